"""Reaching an NBD server: dial, shake hands, and hand the link over or leave again."""

from collections.abc import Callable
from socket import socket

from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transport.dial import Dial
from dsttool.engine.transport.link import Link, Receiver
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError, TimedOut, Unreachable
from dsttool.engine.wire.nbd_client import ClientHandshake


class Introduction:
    """One attempt to reach an export, at most `timeout` ns long.

    `done(error)` is called once, and not from within the constructor; `handshake` holds what the
    server said. In mode go the link is up then, and what comes next is `receiver`'s, which passes
    everything on to this object's own three methods before. In the other modes it is closed.
    prepare: called with the socket once it is connected. rtt_ns: how long the server took for its first
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
    ) -> None:
        self.handshake = handshake
        self.link: Link | None = None
        self.rtt_ns: int | None = None
        self._reactor = reactor
        self._endpoint = endpoint
        self._done: Callable[[DsttoolError | None], None] | None = done
        self._receiver: Receiver = receiver or self
        self._prepare = prepare
        self._asked_at = 0
        self._deadline = reactor.call_later(timeout, self._too_slow)
        self._dial = Dial(reactor, endpoint, timeout, self._dialled)

    def cancel(self) -> None:
        """Stop; `done` will not be called."""
        self._done = None
        self._deadline.cancel()
        self._dial.cancel()
        if self.link is not None:
            self.link.close()

    def received(self, view: memoryview, head: int, tail: int) -> tuple[int, int, bool]:
        """See Receiver."""
        link, handshake = self.link, self.handshake
        assert link is not None, "received without a link"
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
        return tail - len(handshake.leftover), 0, False

    def drained(self) -> None:
        """See Receiver."""

    def lost(self, reason: str) -> None:
        """See Receiver."""
        if reason:
            self._finish(Unreachable(f"The connection to {self._endpoint} broke: {reason}."))
        else:
            self.handshake.peer_closed()
            self._finish(self.handshake.error)

    def _dialled(self, sock: socket | None, error: DsttoolError | None) -> None:
        if sock is None:
            self._finish(error)
        else:
            if self._prepare is not None:
                self._prepare(sock)
            self.link = Link(self._reactor, sock, self._receiver)

    def _too_slow(self) -> None:
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
) -> Introduction:
    """Ask an NBD server for its exports: `done([(name, description)], error)`."""
    handshake = ClientHandshake("", "list")
    return Introduction(reactor, endpoint, handshake, timeout, lambda error: done(handshake.listed, error))
