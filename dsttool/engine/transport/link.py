"""Link: one connected socket, its receive buffer and its output, with back-pressure both ways.

In: bytes are received straight into a pooled segment and parsed in place; payloads are views into
it. A segment that nobody pinned is used again from its start; a message too long for the rest of
its segment moves, with what has come of it, to the start of one that holds it. After a large message
the next is expected to be as long, so that it is received where it can stay.

Out: buffers are queued during a turn and leave with one sendmsg when it ends. Only what the
kernel did not take waits for EPOLLOUT.
"""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from socket import SHUT_WR, SO_ERROR, SOL_SOCKET, socket
from typing import Protocol

from dsttool.engine.runtime.reactor import READABLE, WRITABLE, Reactor
from dsttool.engine.transport.parting import Parting, drop_sent
from dsttool.engine.vocabulary import limits

Bytes = bytes | bytearray | memoryview

# A message this long is received to its own end, so that the next starts a segment of its own.
LARGE = 64 * limits.KIB
# What is expected to come again is at most this long: an idle link keeps a segment for it.
HINT_MAX = limits.SEGMENT_CLASSES[1]
# Less room than this at the end of a segment is not worth a system call.
ROOM_MIN = 16 * limits.KIB


class Receiver(Protocol):
    """The protocol on a link."""

    def received(self, view: memoryview, head: int, tail: int) -> tuple[int, int, bool]:
        """Take whole messages from view[head:tail].

        Returns (new head, bytes the message at the new head needs in all or 0 if unknown, whether
        a view into the segment was kept). May close the link, and may pause it and leave whole
        messages behind: they come again after `resume`.
        """

    def drained(self) -> None:
        """All output has left, after some of it had to wait or while reading was paused."""

    def lost(self, reason: str) -> None:
        """The link is down, for `reason` (empty: the peer closed it). Called once, unless we closed it."""


class Link:
    """A connected, non-blocking socket. Belongs to the reactor's thread.

    unsent: bytes queued and not yet taken by the kernel. received_at: when the peer last sent
    anything (ns, reactor.now). bytes_in, bytes_out: totals. faulted: it ended because the kernel
    could not read a buffer it was to send (a mapping whose medium failed, or whose file was cut).
    paused: whether reading is.
    """

    def __init__(self, reactor: Reactor, sock: socket, receiver: Receiver) -> None:
        self._reactor = reactor
        self._sock = sock
        self._receiver = receiver
        self._recv_into = sock.recv_into
        self._sendmsg = sock.sendmsg
        self._segment = reactor.pool.take()
        self._capacity = len(self._segment)
        self._head = self._tail = self._need = self._hint = 0
        self._pinned = False
        self._out: list[Bytes] = []
        self._scheduled = self._blocked = self._reparse = False
        self._events = READABLE
        self.unsent = 0
        self.received_at = reactor.now
        self.bytes_in = self.bytes_out = 0
        self.open = True
        self.paused = self.faulted = False
        reactor.register(sock.fileno(), self._ready, READABLE)

    # -- out -------------------------------------------------------------------------------------

    def send(self, buffers: list[Bytes], size: int) -> None:
        """Queue buffers, `size` bytes together, for the end of this turn."""
        self._out += buffers
        self.unsent += size
        if not self._scheduled and not self._blocked:
            self._scheduled = True
            self._reactor.flush_later(self)

    def _schedule(self) -> None:
        if not self._scheduled and (self._reparse or not self._blocked):
            self._scheduled = True
            self._reactor.flush_later(self)

    def flush(self) -> None:
        """Give the kernel what is queued; the reactor calls it when the turn ends."""
        self._scheduled = False
        if self._reparse and self.open:
            self._reparse = False
            if self._events & READABLE:
                self._parse()
        if not self.open:
            return
        out = self._out
        while out:
            chunk = out if len(out) <= limits.IOVECS_MAX else out[: limits.IOVECS_MAX]
            try:
                sent = self._sendmsg(chunk)
            except BlockingIOError:
                self._block()
                return
            except OSError as error:
                self._fail(error)
                return
            self.bytes_out += sent
            self.unsent -= sent
            if self.unsent == 0:
                out.clear()
            else:
                drop_sent(out, sent)
        if self._blocked:
            self._blocked = False
            self._wait_for(self._events & ~WRITABLE)
            self._receiver.drained()
        elif not self._events & READABLE:
            self._receiver.drained()

    def _block(self) -> None:
        if not self._blocked:
            self._blocked = True
            self._wait_for(self._events | WRITABLE)

    def half_close(self) -> None:
        """Send no more: the peer sees the end after what the kernel has. Receiving goes on."""
        self._out.clear()
        self.unsent = 0
        self._blocked = False
        self._wait_for(self._events & ~WRITABLE)
        with suppress(OSError):  # the peer has gone already
            self._sock.shutdown(SHUT_WR)

    @property
    def bytes_taken(self) -> int:
        """How many bytes of what was sent the peer's kernel has taken. A system call: not for hot paths."""
        return self.bytes_out - self._reactor.network.queued(self._sock)

    # -- in --------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Read no more from the socket until `resume`: back-pressure on the peer."""
        self.paused = True
        self._wait_for(self._events & ~READABLE)

    def resume(self) -> None:
        """Read again, beginning with what had been received but not parsed."""
        if self.paused:
            self.paused = False
            self._wait_for(self._events | READABLE)
            self._reparse = self._tail > self._head
            self._schedule()

    @property
    def stuck(self) -> int:
        """Queued buffers, if the kernel takes no more of them; they cost more than their bytes."""
        return len(self._out) if self._blocked else 0

    def _ready(self, events: int) -> None:
        if events & WRITABLE:
            self.flush()
        # A hang-up shows as a read of 0 bytes or an error, after what had come before it.
        # What is left from before comes first, when this turn ends.
        if events & ~WRITABLE and self.open and not self._reparse:
            if self._events & READABLE:
                self._receive()
            elif events & ~(WRITABLE | READABLE):
                self._shut(self._pending_error())

    def _receive(self) -> None:
        budget = limits.TURN_BYTES_MAX
        while budget > 0 and self._events & READABLE:
            tail = self._tail
            # Nothing large is under way or expected: as much as there is room for.
            small = self._need <= LARGE and self._hint <= LARGE
            limit = self._capacity if small else self._limit()
            try:
                got = self._recv_into(self._segment[tail:limit])
            except BlockingIOError:
                return
            except OSError as error:
                self._fail(error)
                return
            if not got:
                self._shut("")
                return
            self.bytes_in += got
            self.received_at = self._reactor.now
            tail += got
            budget -= got
            self._tail = tail
            if tail - self._head >= self._need:
                self._parse()
                if not self.open:
                    return
            if tail < limit:
                return  # a short read: the socket is empty

    def _parse(self) -> None:
        needed = self._need
        head, need, pinned = self._receiver.received(self._segment, self._head, self._tail)
        if self.open:
            self._head, self._need = head, need
            self._hint = hint = min(needed if needed > LARGE else need, HINT_MAX)
            self._pinned |= pinned
            if head == self._tail and hint <= LARGE and not self._pinned:
                self._head = self._tail = 0  # the usual end of a small batch without payloads
            else:
                self._make_room()

    def _limit(self) -> int:
        """Where this receive must end at the latest."""
        if self._need > LARGE:
            return self._head + self._need
        if self._hint > LARGE and self._head == self._tail:
            return min(self._capacity, self._head + self._hint)
        return self._capacity

    def _make_room(self) -> None:
        """After parsing: make sure that the message at the head can be received whole."""
        head, tail, capacity = self._head, self._tail, self._capacity
        wanted = max(self._need, self._hint if head == tail else 0)
        if head == tail and not self._pinned and wanted <= capacity:
            self._head = self._tail = 0
            return
        if head + wanted <= capacity and (wanted > LARGE or capacity - tail >= ROOM_MIN):
            return
        if 0 < self._need <= tail - head:
            return  # left behind by a receiver that paused: nothing is received before it was parsed
        rest = self._segment[head:tail]
        if self._pinned or wanted > capacity:
            if head == tail:
                # If nobody else holds it any more, `take` gives the same memory again, still hot.
                self._segment = rest = _NOTHING
            self._segment = self._reactor.pool.take(max(wanted, limits.SEGMENT_BYTES))
            self._capacity = len(self._segment)
            self._pinned = False
        self._segment[: tail - head] = rest
        self._head, self._tail = 0, tail - head

    # -- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Close at once; what is unsent is dropped. The receiver is not told."""
        if self.open:
            self.open = False
            self._reactor.unregister(self._sock.fileno())
            self._sock.close()
            self._out.clear()
            self._segment = _NOTHING

    def part(self, done: Callable[[], None]) -> Parting:
        """Close, but let what was sent reach the peer. The receiver is not told; `done` is, once it has."""
        assert self.open, "what is closed has nothing to say"
        self.open = False
        self._reactor.unregister(self._sock.fileno())
        self._segment = _NOTHING
        return Parting(self._reactor, self._sock, self._out, self.unsent, done)

    def _pending_error(self) -> str:
        code = self._sock.getsockopt(SOL_SOCKET, SO_ERROR)
        return os.strerror(code) if code else ""

    def _fail(self, error: OSError) -> None:
        self.faulted = error.errno == errno.EFAULT
        if error.errno in (errno.ECONNRESET, errno.EPIPE):
            self._shut("")
        else:
            self._shut(os.strerror(error.errno) if error.errno else str(error))

    def _shut(self, reason: str) -> None:
        if self.open:
            self.close()
            self._receiver.lost(reason)

    def _wait_for(self, events: int) -> None:
        if events != self._events and self.open:
            self._events = events
            self._reactor.modify(self._sock.fileno(), events)


_NOTHING = memoryview(bytearray(0))
