"""The client's side of one DST link: connect, preface, hello, welcome, then records; and again.

Its states are the table vocabulary.states.LINK. The preface and the hello are sent once the socket is
connected; a link that is idle for ping_interval is pinged. Down for good is one that meets another export
than before, whose access is refused, that is fenced, or closed; any other tries again after the backoff,
which a welcome resets. Times are the policy's. What the link carries is its owner's matter.
"""

import logging
import os
from socket import SO_ERROR, SOL_SOCKET, socket
from typing import Final, Protocol

from dsttool.engine.node.dst_replies import Replies
from dsttool.engine.runtime.reactor import WRITABLE, Reactor, Timer
from dsttool.engine.runtime.telling import Quiet
from dsttool.engine.transaction.policy import Policy, backoff
from dsttool.engine.transport.channel import Channel
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError, ProtocolError, Unreachable
from dsttool.engine.vocabulary.states import LINK, allows
from dsttool.engine.vocabulary.status import LinkStatus
from dsttool.engine.wire import dst_hello, dst_records
from dsttool.engine.wire.dst_handshake import ClientHandshake
from dsttool.engine.wire.dst_hello import Hello, Welcome
from dsttool.engine.wire.dst_records import OutRecord, Record
from dsttool.engine.wire.dst_seal import BadRecord
from dsttool.engine.wire.dst_security import PLAIN, Security

LOG = logging.getLogger(__name__)


class LinkOwner(Protocol):
    """The node above a link."""

    def hello(self, link: "DstLink", epoch: int) -> Hello:
        """What to say at this connect."""

    def check_welcome(self, welcome: Welcome) -> DsttoolError | None:
        """The server's answer; an error says why the node does not go on with it, for good."""

    def link_up(self, link: "DstLink", welcome: Welcome) -> None:
        """The link is up: send."""

    def link_down(self, link: "DstLink", error: DsttoolError, final: bool) -> None:
        """The link is not up (any more), or an attempt failed. Final: there will be no other."""


# What a server says when the client must not come again as it is; after all else it may.
_FINAL: Final = frozenset({dst_hello.REFUSED_ACCESS, dst_hello.REFUSED_KEY, dst_hello.FENCED})


class DstLink:
    """One link of a session. `state`: down, connecting, handshake, up (vocabulary.md).

    index: its place among the session's links. floor: the one told in the last hello. retry_at: when the next
    attempt to connect begins, while it is down.
    """

    def __init__(
        self,
        reactor: Reactor,
        name: str,
        endpoint: Endpoint,
        session: bytes,
        policy: Policy,
        owner: LinkOwner,
        replies: Replies,
        security: Security = PLAIN,
        *,
        index: int = 0,
    ) -> None:
        self._reactor = reactor
        self._name = name
        self._endpoint = endpoint
        self._session = session
        self._owner = owner
        self._security = security
        self._channel: Channel | None = None
        self._sock: socket | None = None
        self._timer: Timer | None = None
        self._deadline: Timer | None = None
        self._attempt = self._epoch = 0
        self._missed = 0
        self._pinged_at = self._hello_at = 0
        self._closed = False
        self.policy = policy
        self.index = index
        self.floor = 0
        self.retry_at: int | None = None
        self.replies = replies
        self.state = "down"
        self.since = reactor.now
        self.connects = self.bad_records = 0
        self._notices = Quiet(reactor, LOG)
        self.rtt: int | None = None

    @property
    def losses(self) -> int:
        """How many connections were established and are not any more."""
        return self.connects - (self.state == "up")

    def status(self) -> LinkStatus:
        """The fields of interface.md."""
        return {
            "state": self.state,
            "security": self._security.name,
            "rtt_ns": self.rtt,
            "connects": self.connects,
            "bad_records": self.bad_records,
            "since_ns": self._reactor.now - self.since,
            "retry_ns": None if self.retry_at is None else max(0, self.retry_at - self._reactor.now),
        }

    def send(self, records: list[OutRecord]) -> None:
        """Queue records; only while up."""
        assert self._channel is not None
        self._channel.send(records)

    @property
    def unsent(self) -> int:
        """Bytes that wait for the kernel to take them."""
        return self._channel.link.unsent if self._channel is not None else 0

    def set_policy(self, policy: Policy) -> None:
        """Go on under another policy; what waits, waits as long as that one says from now on."""
        self.policy = policy
        if self.state == "up":
            self._beat_in(policy.ping_interval_ns)
        elif self.retry_at is not None:
            self._retry_in(min(policy.backoff_max_ns, max(0, self.retry_at - self._reactor.now)))

    def say_goodbye(self) -> None:
        """The session ends, everything is answered; only while up, and `close` follows."""
        assert self._channel is not None
        self._send_one(dst_records.NOTICE, dst_hello.pack_reason(dst_hello.GOODBYE, "The session ends."))
        self._channel.flush()

    def restart(self) -> None:
        """Connect anew at once; the owner is not told that the old connection has ended."""
        self._drop()
        self._enter("down")
        self._retry_in(0)

    def close(self) -> None:
        """End for good; the owner is not told."""
        self._closed = True
        self._notices.close()
        self._drop()
        self._enter("down")

    # -- connecting ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin an attempt to connect."""
        if self._closed:
            return
        self.retry_at = None
        self._enter("connecting")
        self._deadline = self._reactor.call_later(
            self.policy.connect_timeout_ns,
            lambda: self._fail(_unreachable(self._endpoint, "no answer in time")),
        )
        if self._endpoint.family in ("tcp", "mptcp"):
            network, endpoint, deadline = self._reactor.network, self._endpoint, self._deadline
            self._reactor.run_blocking(
                lambda: network.resolve(endpoint),
                lambda found, error: self._resolved(found, error) if deadline is self._deadline else None,
                "names",
            )
        else:
            self._connect(self._endpoint)

    def _resolved(self, found: list[Endpoint], error: BaseException | None) -> None:
        if self._closed:
            return
        if isinstance(error, DsttoolError):
            self._fail(error)
        elif error is not None:
            reason = error.strerror if isinstance(error, OSError) else None
            self._fail(_unreachable(self._endpoint, reason or str(error)))
        else:
            # The next attempt, and the next link, take the host's next address.
            self._connect(found[(self._attempt + self.index) % len(found)])

    def _connect(self, endpoint: Endpoint) -> None:
        try:
            sock = self._reactor.network.connect(endpoint)
        except OSError as error:
            self._fail(_unreachable(self._endpoint, os.strerror(error.errno or 0)))
            return
        self._sock = sock
        self._reactor.register(sock.fileno(), self._connected, WRITABLE)

    def _connected(self, _events: int) -> None:
        sock = self._sock
        assert sock is not None
        self._reactor.unregister(sock.fileno())
        self._sock = None
        code = sock.getsockopt(SOL_SOCKET, SO_ERROR)
        if code:
            sock.close()
            self._fail(_unreachable(self._endpoint, os.strerror(code)))
            return
        self._enter("handshake")
        self._epoch += 1
        self.replies.begin()
        handshake = ClientHandshake(self._security, self._session)
        self._channel = Channel(self._reactor, sock, self, handshake)
        self._channel.start()

    # -- what comes in ---------------------------------------------------------------------------------

    def opened(self) -> None:
        """See RecordReceiver."""
        self._hello_at = self._reactor.now
        hello = self._owner.hello(self, self._epoch)
        self.floor = hello.floor
        self._send_one(dst_records.HELLO, hello.pack())

    def _send_one(self, kind: int, body: bytes) -> None:
        assert self._channel is not None
        self._channel.send([(kind, 0, len(body), [body])])

    def take(self, view: memoryview, records: list[Record]) -> tuple[int, bool]:
        """See RecordReceiver."""
        self._missed = 0
        kept = False
        for kind, count, start, end in records:
            if self._channel is None:  # closed by what the last record brought
                break
            if kind == dst_records.REPLIES and self.state == "up":
                kept |= self.replies.take(view, count, start, end)
            elif kind == dst_records.PAYLOAD and self.state == "up":
                self.replies.take_payload(view[start:end])
                kept = True
            elif not self._take_other(kind, bytes(view[start:end])):
                break
        return len(records), kept

    def broken(self, error: DsttoolError) -> None:
        """See RecordReceiver."""
        self.bad_records += isinstance(error, BadRecord)
        self._fail(error)

    def _take_other(self, kind: int, body: bytes) -> bool:
        """Everything but the hot path. False when the link has ended."""
        if kind == dst_records.PONG and self.state == "up":
            self.rtt = self._reactor.now - self._pinged_at
        elif kind == dst_records.PING and self.state == "up":
            self._send_one(dst_records.PONG, body)
        elif kind == dst_records.WELCOME and self.state == "handshake":
            return self._take_welcome(Welcome.parse(body))
        elif kind == dst_records.REFUSAL:
            code, error = dst_hello.parse_reason(body)
            # An export that is not there may come; one that refuses access has changed.
            (self._give_up if code in _FINAL else self._fail)(error)
            return False
        elif kind == dst_records.NOTICE:
            code, error = dst_hello.parse_reason(body)
            if code in _FINAL:
                self._give_up(error)
                return False
            # What the server says is worth a line; what it says a thousand times is not.
            self._notices.tell("link.notice", self._name, "notice", f"{self._name}: {error}")
        else:
            raise ProtocolError(f"A record of type {kind} came when it must not.")
        return True

    def _take_welcome(self, welcome: Welcome) -> bool:
        error = self._owner.check_welcome(welcome)
        if error is not None:
            self._give_up(error)
            return False
        self._attempt = 0
        self._missed = 0
        self.connects += 1
        self.rtt = self._reactor.now - self._hello_at
        self._enter("up")
        self._cancel_timers()
        self._timer = self._reactor.call_later(self.policy.ping_interval_ns, self._beat)
        self._owner.link_up(self, welcome)
        return self._channel is not None

    def drained(self) -> None:
        """See RecordReceiver: nothing to do, the window bounds what is queued."""

    def lost(self, reason: str) -> None:
        """See RecordReceiver."""
        self._channel = None
        self._fail(_unreachable(self._endpoint, reason or "the connection was closed"))

    # -- liveness --------------------------------------------------------------------------------------

    def _beat(self) -> None:
        """While up, once per ping interval: ping an idle link, give up a dead one."""
        assert self._channel is not None
        interval = self.policy.ping_interval_ns
        quiet = self._reactor.now - self._channel.link.received_at
        if quiet < interval:
            self._missed = 0
            self._beat_in(interval - quiet)
            return
        if self._missed >= self.policy.ping_misses:
            self._fail(_unreachable(self._endpoint, f"no answer to {self._missed} pings"))
            return
        self._missed += 1
        self._pinged_at = self._reactor.now
        self._send_one(dst_records.PING, self._pinged_at.to_bytes(dst_records.PING_BYTES, "big"))
        self._beat_in(interval)

    def _beat_in(self, wait: int) -> None:
        self._cancel_timers()
        self._timer = self._reactor.call_later(wait, self._beat)

    # -- the end of a connection -----------------------------------------------------------------------

    def _fail(self, error: DsttoolError) -> None:
        """This attempt or connection is over; try again after the backoff."""
        self._drop()
        self._attempt += 1
        self._enter("down")
        self._retry_in(backoff(self.policy, self._attempt, self._reactor.random()))
        self._owner.link_down(self, error, False)

    def _retry_in(self, wait: int) -> None:
        self._cancel_timers()
        self.retry_at = self._reactor.now + wait
        self._timer = self._reactor.call_at(self.retry_at, self.start)

    def _give_up(self, error: DsttoolError) -> None:
        """The export is not the one it was: it must not be used again."""
        self.close()
        self._owner.link_down(self, error, True)

    def _drop(self) -> None:
        self._cancel_timers()
        self.retry_at = None
        if self._sock is not None:
            self._reactor.unregister(self._sock.fileno())
            self._sock.close()
            self._sock = None
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _cancel_timers(self) -> None:
        for timer in (self._timer, self._deadline):
            if timer is not None:
                timer.cancel()
        self._timer = self._deadline = None

    def _enter(self, state: str) -> None:
        if state != self.state:
            assert allows(LINK, self.state, state), f"{self._name}: {self.state} -> {state}"
            self.state = state
            self.since = self._reactor.now


def _unreachable(endpoint: Endpoint, reason: str) -> DsttoolError:
    return Unreachable(
        f"Cannot reach {endpoint}: {reason[:1].lower()}{reason[1:]}.",
        "Check that the export runs there and that the address is right.",
    )
