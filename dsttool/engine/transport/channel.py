"""Channel: whole records over a link, after the handshake that begins every connection.

    Link (bytes)  ->  Channel (handshake, then records)  ->  what understands the records

Records come in order, all that one receive brought as one list. Whoever takes them may stop in between:
what it leaves comes again, beginning with the same record, after `resume`. What protects the records is
settled by the handshake: nothing, checksums (both here), or seals (in sealing).
"""

from collections.abc import Callable
from socket import socket
from typing import Protocol

from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transport.link import Link
from dsttool.engine.transport.parting import Parting
from dsttool.engine.transport.sealing import SealedIn, SealedOut
from dsttool.engine.vocabulary.errors import DsttoolError, ProtocolError
from dsttool.engine.wire import dst_records
from dsttool.engine.wire.dst_handshake import Handshake
from dsttool.engine.wire.dst_records import OutRecord, Record
from dsttool.engine.wire.dst_seal import BadRecord, Checksum, Seal

_HEADER = dst_records.HEADER.size


class RecordReceiver(Protocol):
    """What is above a channel."""

    def opened(self) -> None:
        """Records may be sent from now on. Called once; what the handshake learnt is in `handshake`."""

    def take(self, view: memoryview, records: list[Record]) -> tuple[int, bool]:
        """Take records, whose bodies lie in `view`, in their order.

        Returns (how many were taken, whether a part of the view was kept). Those not taken come again
        after `resume`: leave some only when paused. May close the channel. A ProtocolError that it raises
        comes back as `broken`.
        """

    def broken(self, error: DsttoolError) -> None:
        """The peer broke the protocol or was refused in the handshake: close the channel."""

    def drained(self) -> None:
        """All output has left, after some of it had to wait or while reading was paused."""

    def lost(self, reason: str) -> None:
        """The link is down (see Receiver of a link)."""


class Channel:
    """Records on one connected socket. Call `start` once. first_max: how long the body of the first record
    may be, 0 for what its type allows: nobody is to wait for megabytes from a stranger.

    link: for what it counts (unsent, stuck, paused, received_at, faulted, open). Sending, pausing and
    closing are the channel's.
    """

    def __init__(
        self,
        reactor: Reactor,
        sock: socket,
        receiver: RecordReceiver,
        handshake: Handshake,
        *,
        first_max: int = 0,
    ) -> None:
        self.handshake = handshake
        self._first_max = first_max
        self._reactor = reactor
        self._receiver = receiver
        self._shaken = self._told = self._owes_drained = False
        self._checksum: Checksum | None = None
        self._sealed: SealedOut | None = None
        self._opener: SealedIn | None = None
        self._parting: Parting | None = None
        self.link = Link(reactor, sock, self)

    def start(self) -> None:
        """Begin the handshake."""
        self._say(self.handshake.begin())
        self._tell()

    def send(self, records: list[OutRecord]) -> None:
        """Queue records for the end of this turn. What is sent before `opened` goes nowhere."""
        if not self.link.open:
            return
        if self._sealed is not None:
            self._sealed.send(records)
        elif self._checksum is not None:
            self.link.send(*self._checksum.frame(records))
        elif self._told:
            self.link.send(*dst_records.frame(records))

    def flush(self) -> None:
        """Give the kernel what is queued, now."""
        self.link.flush()
        if self._owes_drained and self.link.open:
            self.drained()

    def _all_sealed(self) -> None:
        """The threads have nothing more of what was sent: whoever waits for its leaving is told."""
        if self._owes_drained:
            self._reactor.flush_later(self)

    def pause(self) -> None:
        """Take no more records until `resume`: back-pressure on the peer."""
        (self._opener or self.link).pause()

    def resume(self) -> None:
        """Take records again, beginning with those that were left."""
        (self._opener or self.link).resume()

    def part(self, done: Callable[[], None]) -> None:
        """Close, but let what was sent reach the peer, in limits.PARTING_NS at most. The receiver is not
        told; `done` is, when that is over.
        """
        self._parting = self.link.part(done)
        if self._sealed is not None and self._opener is not None:
            self._sealed.part(self._parting)
            self._opener.close()

    def close(self) -> None:
        """Close at once; what is unsent is dropped. The receiver is not told."""
        self.link.close()
        self._forget()
        if self._parting is not None:
            self._parting.close()

    # -- what the link tells ---------------------------------------------------------------------------

    def received(self, view: memoryview, head: int, tail: int) -> tuple[int, int, bool]:
        """See Receiver of a link."""
        try:
            if not self._shaken:
                head = self._shake(view, head, tail)
                if not self._shaken:
                    return head, self.handshake.need, False
            if self._first_max and tail - head >= _HEADER:
                self._check_first(view, head)
            if self._opener is not None:
                return self._opener.received(view, head, tail)
            checksum = self._checksum
            trailer = 0 if checksum is None else checksum.size
            records, after, need = dst_records.split(view, head, tail, trailer)
            if not records:
                return after, need, False
            bad = checksum is not None and checksum.cut_bad(view, records)
            taken, kept = self._receiver.take(view, records) if records else (0, False)
            if bad and taken == len(records):
                raise BadRecord("A record's checksum is wrong: it was damaged on the way.")
        except DsttoolError as error:
            self._break(error)
            return tail, 0, False
        if taken < len(records):
            _, _, start, end = records[taken]
            return start - _HEADER, end - start + _HEADER + trailer, kept
        return after, need, kept

    def _check_first(self, view: memoryview, head: int) -> None:
        length = dst_records.HEADER.unpack_from(view, head)[0]
        if length > self._first_max:
            raise ProtocolError(f"The first record has {length} bytes, which no greeting has.")
        self._first_max = 0

    def drained(self) -> None:
        """See Receiver of a link. What threads still seal has not left."""
        self._owes_drained = bool(self.link.unsent)
        if not self._owes_drained:
            self._receiver.drained()

    def lost(self, reason: str) -> None:
        """See Receiver of a link. What came whole before is taken first, as if nothing were."""
        if self._sealed is not None and self._opener is not None:
            self._sealed.close()
            self._opener.end(lambda: self._receiver.lost(reason))
        else:
            self._receiver.lost(reason)

    def _break(self, error: DsttoolError) -> None:
        if self.link.open:
            # Whoever keeps the error must not keep the segment with it, which tracebacks' frames hold.
            error.__context__ = error.__cause__ = None
            self._receiver.broken(error.with_traceback(None))

    def _forget(self) -> None:
        if self._sealed is not None and self._opener is not None:
            self._sealed.close()
            self._opener.close()

    # -- the handshake ---------------------------------------------------------------------------------

    def _shake(self, view: memoryview, head: int, tail: int) -> int:
        """Go on with the handshake; returns where what follows it begins."""
        handshake = self.handshake
        while not handshake.done and tail - head >= handshake.need:
            end = head + handshake.need
            self._say(handshake.take(bytes(view[head:end])))
            head = end
            if handshake.error is not None:
                self.link.flush()
                raise handshake.error
        self._shaken = handshake.done
        self._tell()
        return head

    def _say(self, message: bytes) -> None:
        if message:
            self.link.send([message], len(message))

    def _tell(self) -> None:
        handshake = self.handshake
        if handshake.open and not self._told:
            self._told = True
            if handshake.checksum:
                self._checksum = Checksum(handshake.checksum)
            if handshake.ciphers is not None:
                send, receive = (Seal(cipher) for cipher in handshake.ciphers)
                self._sealed = SealedOut(self._reactor, self.link, send, self._break, self._all_sealed)
                self._opener = SealedIn(self._reactor, self.link, receive, self._receiver, self._break)
            self._receiver.opened()
