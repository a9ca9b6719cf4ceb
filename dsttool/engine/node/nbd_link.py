"""The way to an NBD server: one connection at a time, made again whenever it is lost.

    state       event                                    next
    ----------  ---------------------------------------  ---------------------------------
    down        start, or the backoff's timer            connecting
    connecting  the socket is connected                  handshake
    handshake   the export is given out                  up
    up          silent for resend_timeout                down: the connection becomes a witness
    any         lost, timed out, refused                 down (backoff), connecting again
    any         another export than before, or closed    down, for good

The first answer to a request resets the backoff: a server may well shake hands and then do no good.

**Liveness.** NBD has no ping. The kernel finds a dead machine (TCP keepalive: ping_interval and
ping_misses). A server that is alive and slow must not be cut: the request it works on would run there
on, while it is sent again and newer ones come. So a link is given up only when requests have waited
for a whole resend_timeout in which no byte came, and none of ours was taken.

**Witnesses.** Even then the old connection is only half closed, and its answers still count: each tells
that a request has ended there. Once the link has been up again for a resend_timeout witnesses are
dismissed, with a warning: NBD has no way to find out more. One that the server closes has nothing more to
tell: a server that has ended runs nothing, and one that lives usually closes after its last request.
"""

import logging
from typing import Final, Protocol

from dsttool.engine.node.nbd_connection import Answers, Connection
from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.runtime.telling import tell
from dsttool.engine.transaction.policy import Policy, backoff
from dsttool.engine.transaction.table import Transaction
from dsttool.engine.transport.link import Bytes
from dsttool.engine.transport.tls import Tls
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError, Unreachable
from dsttool.engine.vocabulary.operations import DISCONNECT
from dsttool.engine.vocabulary.status import LinkStatus
from dsttool.engine.wire.nbd import ExportInfo
from dsttool.engine.wire.nbd_client import pack_request

LOG = logging.getLogger(__name__)

# Looks at the link per resend_timeout: so exactly is its silence measured.
_LOOKS: Final = 4
# Each holds a socket and what it awaits; a server that hangs again and again has that many at most.
_WITNESSES_MAX: Final = 4


class LinkOwner(Protocol):
    """The node above."""

    def check_export(self, info: ExportInfo) -> DsttoolError | None:
        """What the server gives out; an error says why the node does not go on with it, for good."""

    def link_up(self, connection: Connection) -> None:
        """Connected: `begin` it, and send."""

    def link_down(self, error: DsttoolError, *, final: bool, in_doubt: list[Transaction]) -> None:
        """Not up (any more), or an attempt failed. Final: there will be no other.

        in_doubt: sent on the connection that was given up, and it has witnesses: each will come back by
        `no_longer_runs`, whether it is sent again or not.
        """

    def answered(self, answers: Answers) -> None:
        """What was in flight has been answered."""

    def no_longer_runs(self, transactions: list[Transaction]) -> None:
        """Nobody waits for these, and they take effect no more (as far as one can know)."""

    def awaits(self) -> bool:
        """Whether anything was sent on this connection that has no answer."""


class NbdLink:
    """See the head of this file. `state`: down, connecting, handshake, up (vocabulary.md)."""

    def __init__(
        self,
        reactor: Reactor,
        name: str,
        endpoint: Endpoint,
        export: str,
        policy: Policy,
        owner: LinkOwner,
        tls: Tls | None = None,
    ) -> None:
        self._reactor = reactor
        self._name = name
        self._endpoint = endpoint
        self._export = export
        self._owner = owner
        self._tls = tls
        self._current: Connection | None = None
        self._timer: Timer | None = None
        self._watch: Timer | None = None
        self._moved = 0
        self._quiet_since = 0
        self._attempt = 0
        self._closed = False
        self.witnesses: list[Connection] = []
        self.policy = policy
        self.up = False
        self.since = reactor.now
        self.connects = 0
        self.rtt_ns: int | None = None

    @property
    def state(self) -> str:
        """A link's state, in vocabulary.md's words."""
        if self.up:
            return "up"
        if self._current is None:
            return "down"
        return "connecting" if self._current.dialling else "handshake"

    @property
    def losses(self) -> int:
        """How many connections were established and are not any more."""
        return self.connects - self.up

    def status(self) -> LinkStatus:
        """The fields of interface.md."""
        return {
            "state": self.state,
            "security": "none" if self._tls is None else "tls",
            "rtt_ns": self.rtt_ns,
            "connects": self.connects,
            "bad_records": 0,
            "since_ns": self._reactor.now - self.since,
            "retry_ns": None if self._timer is None else max(0, self._timer.when - self._reactor.now),
        }

    def resend_ns(self) -> int | None:
        """Until what has no answer is sent again (ns): over a new connection, once this one is given up for
        its silence, or by the next attempt if there is none. None while an attempt is under way."""
        now = self._reactor.now
        if self.up:
            quiet = now - self._quiet_since if self._watch is not None else 0
            return max(0, self.policy.resend_timeout_ns - quiet)
        return None if self._timer is None else max(0, self._timer.when - now)

    # -- connecting ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin an attempt to connect."""
        self._timer = None
        if self._closed:
            return
        self.since = self._reactor.now
        self._current = Connection(self._reactor, self._endpoint, self._export, self.policy, self, self._tls)

    def introduced(self, connection: Connection, error: DsttoolError | None) -> None:
        """See ConnectionOwner."""
        info = connection.handshake.info
        if error is not None or info is None:
            self._fail(error or Unreachable(f"{self._endpoint} said nothing of the export."))
            return
        refused = self._owner.check_export(info)
        if refused is not None:
            self.close()
            self._owner.link_down(refused, final=True, in_doubt=[])
            return
        self.connects += 1
        self.rtt_ns = connection.rtt_ns
        self.since = self._reactor.now
        self.up = True
        if self.witnesses:
            leaving = list(self.witnesses)
            self._reactor.call_later(self.policy.resend_timeout_ns, lambda: self._dismiss(leaving))
        self._owner.link_up(connection)

    # -- transmission ----------------------------------------------------------------------------------

    def send(self, buffers: list[Bytes], size: int) -> None:
        """Queue requests; only while up."""
        assert self._current is not None
        self._current.send(buffers, size)
        if self._watch is None:
            self._moved = self._current.moved
            self._quiet_since = self._reactor.now
            self._watch = self._reactor.call_later(self.policy.resend_timeout_ns // _LOOKS, self._look)

    def answered(self, connection: Connection, answers: Answers) -> None:
        """See ConnectionOwner."""
        self._attempt = 0
        self._owner.answered(answers)

    def ended(self, connection: Connection, transactions: list[Transaction]) -> None:
        """See ConnectionOwner."""
        if connection.parted and not connection.late:
            connection.close()
            self.witnesses.remove(connection)
        self._owner.no_longer_runs(transactions)

    def lost(self, connection: Connection, reason: str) -> None:
        """See ConnectionOwner."""
        late = list(connection.late.values())
        connection.late.clear()
        if connection.parted:
            self.witnesses.remove(connection)
        else:
            self._fail(Unreachable(f"The connection to {self._endpoint} is lost: {reason}."))
        if late or connection.repairing:
            self._owner.no_longer_runs(late)

    # -- liveness --------------------------------------------------------------------------------------

    def _look(self) -> None:
        """While requests wait for answers; an idle link has no timer."""
        self._watch = None
        connection = self._current
        if connection is None or not self.up or not self._owner.awaits():
            return
        moved = connection.moved
        now = self._reactor.now
        if moved != self._moved:
            self._moved = moved
            self._quiet_since = now
        elif now - self._quiet_since >= self.policy.resend_timeout_ns:
            seconds = self.policy.resend_timeout_ns / 1e9
            self.renew(f"no answer for {seconds:g} s")
            return
        self._watch = self._reactor.call_later(self.policy.resend_timeout_ns // _LOOKS, self._look)

    def renew(self, reason: str) -> None:
        """Try another connection, and keep this one as a witness."""
        connection = self._current
        if connection is None or not self.up:
            return
        self._current = None
        in_doubt = connection.part()
        self.witnesses.append(connection)
        self._fail(Unreachable(f"The connection to {self._endpoint} is given up: {reason}."), in_doubt)
        if len(self.witnesses) > _WITNESSES_MAX:
            self._dismiss(self.witnesses[:1])

    def _dismiss(self, leaving: list[Connection]) -> None:
        """Wait for these witnesses no longer."""
        for connection in leaving:
            if connection in self.witnesses:
                late = list(connection.late.values())
                connection.close()
                self.witnesses.remove(connection)
                values = (self._name, len(late), "requests of a lost connection have no answer")
                tell(LOG, "link.late", self._name, "%s: %d %s; what they write may land late", *values)
                self._owner.no_longer_runs(late)

    # -- the end of a connection -----------------------------------------------------------------------

    def _fail(self, error: DsttoolError, in_doubt: list[Transaction] | None = None) -> None:
        """This attempt or connection is over; try again after the backoff."""
        self._drop()
        self._attempt += 1
        wait = backoff(self.policy, self._attempt, self._reactor.random())
        self._timer = self._reactor.call_later(wait, self.start)
        self._owner.link_down(error, final=False, in_doubt=in_doubt or [])

    def _drop(self) -> None:
        for timer in (self._timer, self._watch):
            if timer is not None:
                timer.cancel()
        self._timer = self._watch = None
        connection, self._current = self._current, None
        if connection is not None:
            connection.close()
        if self.up:
            self.since = self._reactor.now
        self.up = False

    def close(self, *, politely: bool = False) -> None:
        """End for good; the owner is not told. politely: with a goodbye."""
        self._closed = True
        connection = self._current
        if politely and self.up and connection is not None and connection.link is not None:
            goodbye = pack_request(DISCONNECT, 0, 0, 0, 0)
            connection.send([goodbye], len(goodbye))
            connection.link.flush()
        self._drop()
        for witness in self.witnesses:
            witness.close()
        self.witnesses.clear()
