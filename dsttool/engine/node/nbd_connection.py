"""One connection to an NBD server, from its dial to its end.

    dial, handshake -> introduced(error) -> begin -> answered, ended ... -> lost
                                              |
                                              +-> part: half closed, answers only, until it is lost

After `part` the connection is a witness: nothing is sent on it, and the answers that still come tell
which of its requests have ended at the server and can take effect there no more.
"""

from functools import partial
from typing import Protocol

from dsttool.engine.node.nbd_handshake import Introduction
from dsttool.engine.runtime.network import keep_alive
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.transaction.table import Transaction
from dsttool.engine.transport.link import Bytes, Link
from dsttool.engine.transport.tls import Tls
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.wire.nbd_client import ClientHandshake
from dsttool.engine.wire.nbd_replies import ReplyParser

Answers = list[tuple[Transaction, int, memoryview | None]]


class ConnectionOwner(Protocol):
    """What a connection tells."""

    def introduced(self, connection: "Connection", error: DsttoolError | None) -> None:
        """The handshake has ended; without an error the owner calls `begin` or `close`."""

    def answered(self, connection: "Connection", answers: Answers) -> None:
        """What was in flight has been answered: (transaction, errno, payload of a READ)."""

    def ended(self, connection: "Connection", transactions: list[Transaction]) -> None:
        """Late answers: nobody waits for them, but they have ended at the server."""

    def lost(self, connection: "Connection", reason: str) -> None:
        """The connection is over; the reason is a phrase."""


class Connection:
    """See the head of this file. repairing: what it carried was written again, not the node's requests."""

    def __init__(
        self,
        reactor: Reactor,
        endpoint: Endpoint,
        export: str,
        policy: Policy,
        owner: ConnectionOwner,
        tls: Tls | None = None,
    ) -> None:
        self._pool = reactor.pool
        self._owner = owner
        self.handshake = ClientHandshake(export, tls=tls is not None)
        self.link: Link | None = None
        self.parser: ReplyParser[Transaction] | None = None
        self.parted = self.repairing = False
        self.introduction: Introduction | None = Introduction(
            reactor,
            endpoint,
            self.handshake,
            policy.connect_timeout_ns,
            self._introduced,
            receiver=self,
            prepare=partial(keep_alive, interval_ns=policy.ping_interval_ns, misses=policy.ping_misses),
            tls=tls,
        )
        self.rtt_ns: int | None = None

    def _introduced(self, error: DsttoolError | None) -> None:
        introduction = self.introduction
        assert introduction is not None, "introduced twice"
        self.introduction = None
        self.rtt_ns = introduction.rtt_ns
        if error is None:
            self.link = introduction.link
        self._owner.introduced(self, error)

    @property
    def dialling(self) -> bool:
        """Whether the server has not been reached yet."""
        return self.introduction is not None and self.introduction.link is None

    # -- transmission --------------------------------------------------------------------------------

    def begin(self, in_flight: dict[int, Transaction]) -> None:
        """The handshake was fine: from now on answers are for what is `in_flight`, by cookie."""
        self.parser = ReplyParser(in_flight, structured=self.handshake.structured, allocate=self._pool.take)

    def turn_to(self, in_flight: dict[int, Transaction]) -> None:
        """Answers are for another table from now on; nothing of the old one is in flight."""
        assert self.parser is not None
        self.parser.in_flight = in_flight

    def send(self, buffers: list[Bytes], size: int) -> None:
        """Queue requests."""
        assert self.link is not None, "sent without a connection"
        self.link.send(buffers, size)

    @property
    def late(self) -> dict[int, Transaction]:
        """What was sent here and is awaited only to know that it has ended, by cookie."""
        return self.parser.late if self.parser is not None else {}

    @property
    def moved(self) -> int:
        """Bytes that came, and that the server's kernel took: while this grows, the server lives."""
        link = self.link
        return 0 if link is None else link.bytes_in + link.bytes_taken

    def part(self) -> list[Transaction]:
        """Send no more and witness. Returns what was in flight; all of it is late now."""
        assert self.parser is not None
        assert self.link is not None
        self.parted = True
        sent = [t for t in self.parser.in_flight.values() if t.attempts]
        self.parser.in_flight = {}
        self.parser.late.update({t.id: t for t in sent})
        self.link.half_close()
        return sent

    def close(self) -> None:
        """End at once; the owner is not told."""
        if self.introduction is not None:
            self.introduction.cancel()
            self.introduction = None
        if self.link is not None:
            self.link.close()
            self.link = None

    # -- Receiver --------------------------------------------------------------------------------------

    def received(self, view: memoryview, head: int, tail: int) -> tuple[int, int, bool]:
        """See Receiver."""
        if self.introduction is not None:
            return self.introduction.received(view, head, tail)
        parser = self.parser
        if parser is None:  # more came with the end of the handshake than belongs to it
            return head, 0, False
        answers, head, need = parser.parse(view, head, tail)
        pinned = any(answer[2] is not None for answer in answers)
        if answers:
            self._owner.answered(self, answers)
        if parser.ended:
            ended, parser.ended = parser.ended, []
            self._owner.ended(self, ended)
        if parser.error is not None and self.link is not None:
            self.close()
            self._owner.lost(self, parser.error.what.rstrip("."))
        return head, need, pinned

    def drained(self) -> None:
        """See Receiver: nothing to do, the window bounds what is queued."""

    def lost(self, reason: str) -> None:
        """See Receiver."""
        if self.introduction is not None:
            self.introduction.lost(reason)
        else:
            self.link = None
            self._owner.lost(self, reason or "the server closed it")
