"""Parting: the last words on a socket that nobody uses any more.

What was sent before leaves, what threads still seal too; then the sending direction ends, and what the peer
says is thrown away until it hangs up: a socket that is closed with words unread would take back what the peer
has not read yet (RFC 1122, 4.2.2.13). It takes limits.PARTING_NS at most, and so many words of a peer that
goes on talking as are read in one turn elsewhere.
"""

from collections.abc import Callable
from contextlib import suppress
from socket import SHUT_WR, socket

from dsttool.engine.runtime.reactor import READABLE, WRITABLE, Reactor
from dsttool.engine.vocabulary import limits
from dsttool.engine.wire.dst_records import Buffers

# What is thrown away lands here, whoever it is from.
_SINK = memoryview(bytearray(64 * limits.KIB))


class Parting:
    """Of one connected socket, which it closes; then it calls `done`. Belongs to the reactor's thread.

    out: what the kernel has not taken yet. unsent: as many bytes, and those which are still to come by
    `send`, when they are sealed.
    """

    def __init__(
        self, reactor: Reactor, sock: socket, out: Buffers, unsent: int, done: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self._sock = sock
        self._out = out
        self._done = done
        self._left = False
        self._patience = limits.TURN_BYTES_MAX
        self._events = 0
        self.unsent = unsent
        self.open = True
        reactor.register(sock.fileno(), self._ready, 0)
        self._timer = reactor.call_later(limits.PARTING_NS, self.close)
        reactor.flush_later(self)

    def send(self, buffers: Buffers, size: int) -> None:
        """What was being sealed is."""
        self._out += buffers
        self.unsent += size
        self._reactor.flush_later(self)

    def flush(self) -> None:
        """Give the kernel what there is; the reactor calls it when the turn ends."""
        while self.open and self._out:
            try:
                sent = self._sock.sendmsg(self._out[: limits.IOVECS_MAX])
            except BlockingIOError:
                break
            except OSError:
                self.close()
                return
            self.unsent -= sent
            drop_sent(self._out, sent)
        if self.open and not self.unsent and not self._left:
            self._left = True
            with suppress(OSError):  # the peer has gone already
                self._sock.shutdown(SHUT_WR)
        self._wait_for((READABLE if self._left else 0) | (WRITABLE if self._out else 0))

    def close(self) -> None:
        """Now."""
        if self.open:
            self.open = False
            self._timer.cancel()
            self._reactor.unregister(self._sock.fileno())
            self._sock.close()
            self._out.clear()
            self._done()

    def _ready(self, events: int) -> None:
        if not self._left and events & WRITABLE:
            self.flush()
        elif not self._left:
            # What is heard now belongs to the turn in which this began; later only a peer that is gone is.
            if events & ~READABLE:
                self.close()
        else:
            self._throw_away()

    def _throw_away(self) -> None:
        try:
            said = self._sock.recv_into(_SINK)
        except BlockingIOError:
            return
        except OSError:
            said = 0
        self._patience -= said
        if not said or self._patience <= 0:
            self.close()

    def _wait_for(self, events: int) -> None:
        if events != self._events and self.open:
            self._events = events
            self._reactor.modify(self._sock.fileno(), events)


def drop_sent(out: Buffers, sent: int) -> None:
    """Remove the first `sent` bytes from a queue of buffers."""
    index = 0
    for buffer in out:
        size = len(buffer)
        if sent < size:
            break
        sent -= size
        index += 1
    if sent:
        out[index] = memoryview(out[index])[sent:]
    del out[:index]
