"""Reaching an NBD server: dial, shake hands, and hand the link over or leave again.

certificates (tls) -> dial -> greeting -> STARTTLS, TLS handshake (tls) -> the export -> done
"""

from collections.abc import Callable
from socket import socket
from ssl import SSLContext
from typing import Final

from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transport.dial import Dial
from dsttool.engine.transport.link import Link, Receiver
from dsttool.engine.transport.tls import Tls, TlsLink
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError, TimedOut, Unreachable
from dsttool.engine.wire.nbd_client import ClientHandshake

# A server tells after the handshake, by an alert, that it wanted to see another certificate.
_CERTIFICATE_ADVICE: Final = (
    "If the server wants a certificate of its clients, put client-cert.pem and client-key.pem into the"
    " folder that tls-certificates= names."
)


class Introduction:
    """One attempt to reach an export, at most `timeout` ns long.

    `done(error)` is called once, and not from within the constructor; `handshake` holds what the
    server said. In mode go the link is up then, and what comes next is `receiver`'s, which passes
    everything on to this object's own three methods before. In the other modes it is closed.
    prepare: called with the socket once it is connected. tls: what protects the link, in a handshake that
    asks for it; None for one in the clear. rtt_ns: how long the server took for its first
    answer.
    """

    def __init__(
        self,
        reactor: Reactor,
        endpoint: Endpoint,
        handshake: ClientHandshake,
        timeout: int,
        done: Callable[[DsttoolError | None], None],
        receiver: Receiver | None = None,
        prepare: Callable[[socket], None] | None = None,
        tls: Tls | None = None,
    ) -> None:
        self.handshake = handshake
        self.link: Link | None = None
        self.rtt_ns: int | None = None
        self._reactor = reactor
        self._endpoint = endpoint
        self._done: Callable[[DsttoolError | None], None] | None = done
        self._receiver: Receiver = receiver or self
        self._prepare = prepare
        self._tls = tls
        self._context: SSLContext | None = None
        self._asked_at = 0
        self._timeout = timeout
        self._deadline = reactor.call_later(timeout, self._too_slow)
        self._dial: Dial | None = None
        if tls is None:
            self._dial = Dial(reactor, endpoint, timeout, self._dialled)
        else:
            reactor.run_blocking(tls.load, self._loaded, "state")

    def cancel(self) -> None:
        """Stop; `done` will not be called."""
        self._done = None
        self._deadline.cancel()
        if self._dial is not None:
            self._dial.cancel()
        if self.link is not None:
            self.link.close()

    def received(self, view: memoryview, head: int, tail: int) -> tuple[int, int, bool]:
        """See Receiver."""
        link, handshake = self.link, self.handshake
        assert link is not None, "received without a link"
        if handshake.securing:
            self._shake(view[head:tail])
            return tail, 0, False
        out = handshake.receive(view[head:tail])
        if self.rtt_ns is None and self._asked_at:
            self.rtt_ns = self._reactor.now - self._asked_at
        if out:
            link.send([out], len(out))
            self._asked_at = self._reactor.now
        if handshake.error is not None:
            self._leave()
            self._finish(handshake.error)
        elif handshake.done:
            if self._receiver is self:
                self._leave()
            self._finish(None)
        elif handshake.securing:
            self._secure()
        return tail - len(handshake.leftover), 0, False

    def drained(self) -> None:
        """See Receiver."""

    def lost(self, reason: str) -> None:
        """See Receiver."""
        if reason:
            self._finish(Unreachable(f"The connection to {self._endpoint} broke: {reason}.", self._advice))
            return
        self.handshake.peer_closed()
        error = self.handshake.error
        if error is not None and not error.advice:
            error.with_advice(self._advice)
        self._finish(error)

    def _loaded(self, context: SSLContext | None, error: BaseException | None) -> None:
        if self._done is None:
            return
        if isinstance(error, DsttoolError):
            self._finish(error)
        elif context is None:
            self._finish(DsttoolError(f"The certificates cannot be read: {error}."))
        else:
            self._context = context
            self._dial = Dial(self._reactor, self._endpoint, self._timeout, self._dialled)

    def _secure(self) -> None:
        """The server agreed to TLS."""
        assert isinstance(self.link, TlsLink)
        assert self._tls is not None
        assert self._context is not None
        try:
            self.link.secure(self._context, self._tls.name)
        except DsttoolError as error:
            self._leave()
            self._finish(error)

    def _shake(self, data: memoryview) -> None:
        """The TLS handshake; after it the other one goes on."""
        assert isinstance(self.link, TlsLink)
        try:
            if self.link.shake(data):
                out = self.handshake.secured()
                self.link.send([out], len(out))
        except DsttoolError as error:
            self._leave()
            self._finish(error)

    @property
    def _advice(self) -> str:
        return "" if self._tls is None else _CERTIFICATE_ADVICE

    def _dialled(self, sock: socket | None, error: DsttoolError | None) -> None:
        if sock is None:
            self._finish(error)
        else:
            if self._prepare is not None:
                self._prepare(sock)
            made = Link if self._tls is None else TlsLink
            self.link = made(self._reactor, sock, self._receiver)

    def _too_slow(self) -> None:
        if self._dial is not None:
            self._dial.cancel()
        if self.link is not None:
            self.link.close()
        self._finish(TimedOut(f"The server at {self._endpoint} did not answer in time."))

    def _leave(self) -> None:
        if self.link is not None:
            self.link.flush()
            self.link.close()

    def _finish(self, error: DsttoolError | None) -> None:
        done, self._done = self._done, None
        self._deadline.cancel()
        if done is not None:
            done(error)


def list_exports(
    reactor: Reactor,
    endpoint: Endpoint,
    done: Callable[[list[tuple[str, str]], DsttoolError | None], None],
    timeout: int = limits.HANDSHAKE_TIMEOUT_NS,
    tls: Tls | None = None,
) -> Introduction:
    """Ask an NBD server for its exports: `done([(name, description)], error)`."""
    handshake = ClientHandshake("", "list", tls=tls is not None)
    return Introduction(
        reactor, endpoint, handshake, timeout, lambda error: done(handshake.listed, error), tls=tls
    )
