"""TLS under a link: a Link over a socket that seals what is sent and opens what comes.

    receiver  <-  TlsLink (a Link)  <-  TlsSocket: clear, then sealed  <-  socket

The connection begins in the clear; after `secure` the bytes that come belong to the TLS handshake and go
to `shake`; once that is done everything goes through TLS. The library works on memory only and never waits.

Out: what the kernel did not take of sealed bytes waits here, and the plain bytes they were made of stay
the link's, unsent, until it has: the link offers them again, and they are taken without being sealed twice.

In: sealed bytes are received as they come, and may hold more than the link has asked for. The kernel does not
tell of those again, so the link goes on with them in a turn of its own.
"""

import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from socket import socket
from typing import cast

from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transport.link import Bytes, Link, Receiver
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import DsttoolError, Forbidden, ProtocolError, UsageError

# Sealed and opened at a time: as much as a segment holds.
PIECE = limits.SEGMENT_BYTES
# A TLS record has at most this many bytes (RFC 8446, 5.1); shorter buffers are joined to fill records.
RECORD = 16 * limits.KIB


@dataclass(frozen=True, slots=True)
class Tls:
    """How to meet a server. load: reads certificates, and may block. name: the host that its certificate must
    be for; '' if the context asks for none.
    """

    load: Callable[[], ssl.SSLContext]
    name: str


class TlsSocket:
    """What a Link uses of a socket. sealed: everything goes through TLS. holds: there may be more to receive
    of which the kernel does not tell. sent: bytes that the kernel took.
    """

    def __init__(self, sock: socket) -> None:
        self._sock = sock
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._received = memoryview(b"")
        self._waiting = memoryview(b"")
        self._waiting_for = 0
        self.sealed = self.holds = False
        self.sent = 0
        self.fileno = sock.fileno
        self.getsockopt = sock.getsockopt

    # -- the handshake -----------------------------------------------------------------------------

    def begin(self, context: ssl.SSLContext, name: str) -> bytes:
        """Begin TLS; returns what to send. UsageError if the name cannot be a host's."""
        try:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name or None)
        except ValueError as error:
            raise UsageError(f"No certificate can be for a host '{name}': {error}.", "Check it.") from error
        self._received = memoryview(bytearray(PIECE))
        return self.shake(b"")

    def shake(self, data: Bytes) -> bytes:
        """Take handshake bytes; returns what to send. Raises why the server is not to be trusted."""
        assert self._tls is not None
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return self._outgoing.read()
        except ssl.SSLCertVerificationError as error:
            raise _untrusted(error) from error
        except ssl.SSLError as error:
            raise ProtocolError(f"The TLS handshake failed: {_reason(error)}.") from error
        self.sealed = True  # what is left to send goes before what is sealed first
        return b""

    def last_words(self) -> bytes:
        """What a handshake that failed has left to tell the server."""
        return self._outgoing.read()

    # -- what a Link calls -------------------------------------------------------------------------

    def recv_into(self, view: memoryview) -> int:
        """Receive and open. At most so much that other links get their turn."""
        if not self.sealed:
            return self._sock.recv_into(view)
        assert self._tls is not None
        read, incoming = self._tls.read, self._incoming
        size = min(len(view), limits.TURN_BYTES_MAX)
        got = taken = 0
        empty = self.holds = False
        while got < size:
            try:
                opened = int(read(size - got, view[got:]))
            except ssl.SSLWantReadError:
                try:
                    if empty:
                        raise BlockingIOError
                    count = self._sock.recv_into(self._received)
                except BlockingIOError:
                    if got:
                        return got
                    raise
                if not count:
                    return got  # the kernel will say it again
                taken += count
                # Records that carry nothing may come without end, too.
                empty = count < PIECE or taken >= limits.TURN_BYTES_MAX
                incoming.write(self._received[:count])
                continue
            except ssl.SSLZeroReturnError:
                opened = 0
            except ssl.SSLError as error:
                raise OSError(f"TLS: {_reason(error)}") from error
            if not opened:  # the end, which the library says again
                self.holds = got > 0
                return got
            got += opened
        self.holds = incoming.pending > 0 or self._tls.pending() > 0
        return got

    def sendmsg(self, buffers: Sequence[Bytes]) -> int:
        """Seal and send. Returns how many bytes of the buffers have left for good."""
        if not self.sealed:
            sent = self._sock.sendmsg(buffers)
            self.sent += sent
            return sent
        if not self._waiting_for:
            self._waiting_for = self._seal(buffers)
            self._waiting = memoryview(self._outgoing.read())
        waiting = self._waiting
        sent = self._sock.send(waiting)
        self.sent += sent
        if sent < len(waiting):
            self._waiting = waiting[sent:]
            raise BlockingIOError
        taken, self._waiting_for = self._waiting_for, 0
        return taken

    def shutdown(self, how: int) -> None:
        """Say that nothing more comes, in TLS too: then a server may still answer."""
        self._say_the_end()
        self._sock.shutdown(how)

    def close(self) -> None:
        """Close, and say so: a server would take the end for an attack otherwise, and log it."""
        self._say_the_end()
        self._sock.close()

    def _say_the_end(self) -> None:
        # The library would stumble over answers that it has and that nobody has read yet.
        if self._tls is None or not self.sealed or self._waiting_for:
            return
        if self._incoming.pending or self._tls.pending():
            return
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # the server's half comes later, if ever; or it has ended already
        last = self._outgoing.read()
        if last:
            with suppress(OSError):  # it may have gone already
                self._sock.send(last)

    def _seal(self, buffers: Sequence[Bytes]) -> int:
        """Seal the next bytes of these; returns how many."""
        total = 0
        short: list[Bytes] = []
        for buffer in buffers:
            size = min(len(buffer), PIECE - total)
            if size < RECORD and size == len(buffer):
                short.append(buffer)
            else:
                self._write(short)
                self._write([memoryview(buffer)[:size]])
                short = []
            total += size
            if total >= PIECE:
                break
        self._write(short)
        return total

    def _write(self, buffers: list[Bytes]) -> None:
        if buffers:
            assert self._tls is not None
            try:
                self._tls.write(buffers[0] if len(buffers) == 1 else b"".join(buffers))
            except ssl.SSLError as error:
                raise OSError(f"TLS: {_reason(error)}") from error


class TlsLink(Link):
    """See the head of this file."""

    def __init__(self, reactor: Reactor, sock: socket, receiver: Receiver) -> None:
        self._tls = TlsSocket(sock)
        super().__init__(reactor, cast(socket, self._tls), receiver)

    def secure(self, context: ssl.SSLContext, name: str) -> None:
        """Begin TLS: what is received from now on is for `shake`. UsageError: see TlsSocket.begin."""
        self._say(self._tls.begin(context, name))

    def shake(self, data: Bytes) -> bool:
        """Take handshake bytes; True once everything goes through TLS.

        Then send something: the rest of the handshake goes with it. Raises ProtocolError, or Forbidden if the
        server is not who it must be; then close the link, after a flush that lets the server know.
        """
        try:
            self._say(self._tls.shake(data))
        except DsttoolError:
            self._say(self._tls.last_words())
            raise
        assert not (self._tls.sealed and self.unsent), "TLS began before all of its handshake was sent"
        return self._tls.sealed

    def _say(self, data: bytes) -> None:
        if data:
            self.send([data], len(data))

    @property
    def bytes_taken(self) -> int:
        """See Link: of sealed bytes."""
        return self._tls.sent - self._reactor.network.queued(self._sock)

    def resume(self) -> None:
        """See Link."""
        super().resume()
        self._go_on_later()

    def _receive(self) -> None:
        super()._receive()
        self._go_on_later()

    def _go_on_later(self) -> None:
        if self._tls.holds and self.open and not self.paused:
            self._reactor.post(self._go_on)

    def _go_on(self) -> None:
        if self._reparse:  # that comes first, when this turn ends
            self._go_on_later()
        elif self.open and not self.paused:
            self._receive()


def _untrusted(error: ssl.SSLCertVerificationError) -> Forbidden:
    message = error.verify_message.rstrip(".")
    return Forbidden(
        f"The server's certificate is not to be trusted: {message}.",
        "tls-certificates= names a folder whose ca-cert.pem is of who signed it, tls-hostname= the host it"
        " is for. If both are right, this is another server.",
    )


def _reason(error: ssl.SSLError) -> str:
    """What went wrong, in the library's words, of which most are in capitals."""
    return (error.reason or str(error)).lower().replace("_", " ")
