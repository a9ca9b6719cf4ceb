"""Dial: from an endpoint to a connected socket.

A host name is looked up in the I/O pool and may stand for several addresses; they are tried one
after the other. `done` is called once, never from within the constructor, unless `cancel` came
first.
"""

import os
from collections.abc import Callable
from socket import SO_ERROR, SOL_SOCKET, socket

from dsttool.engine.runtime.reactor import WRITABLE, Reactor
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError, TimedOut, Unreachable

Dialled = Callable[[socket | None, DsttoolError | None], None]

_ADVICE = "Check that the server runs there, and the address."


class Dial:
    """One attempt to connect, at most `timeout` ns long. `done(socket, None)` or `done(None, error)`."""

    def __init__(self, reactor: Reactor, endpoint: Endpoint, timeout: int, done: Dialled) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._done: Dialled | None = done
        self._addresses: list[Endpoint] = []
        self._sock: socket | None = None
        self._reason = ""
        self._deadline = reactor.call_later(timeout, self._too_slow)
        if endpoint.family in ("tcp", "mptcp"):
            reactor.run_blocking(lambda: reactor.network.resolve(endpoint), self._resolved, "names")
        else:
            self._addresses.append(endpoint)
            reactor.call_later(0, self._next)

    def cancel(self) -> None:
        """Stop trying; `done` will not be called."""
        self._done = None
        self._deadline.cancel()
        self._drop()

    def _resolved(self, addresses: list[Endpoint] | None, error: BaseException | None) -> None:
        if self._done is None:
            return
        if addresses is not None:
            self._addresses = addresses
            self._next()
        elif isinstance(error, DsttoolError):
            self._finish(None, error)
        else:
            self._finish(None, Unreachable(f"Cannot look up {self._endpoint}: {error}.", _ADVICE))

    def _next(self) -> None:
        while self._done is not None and self._addresses:
            try:
                sock = self._reactor.network.connect(self._addresses.pop(0))
            except OSError as error:
                self._reason = os.strerror(error.errno) if error.errno else str(error)
                continue
            self._sock = sock
            self._reactor.register(sock.fileno(), self._ready, WRITABLE)
            return
        if self._done is not None:
            self._finish(None, Unreachable(f"Cannot connect to {self._endpoint}: {self._reason}.", _ADVICE))

    def _ready(self, _events: int) -> None:
        sock = self._sock
        assert sock is not None, "ready without a socket"
        code = sock.getsockopt(SOL_SOCKET, SO_ERROR)
        if code:
            self._reason = os.strerror(code)
            self._drop()
            self._next()
        else:
            self._reactor.unregister(sock.fileno())
            self._sock = None
            self._finish(sock, None)

    def _too_slow(self) -> None:
        self._drop()
        self._finish(None, TimedOut(f"Connecting to {self._endpoint} took too long.", _ADVICE))

    def _finish(self, sock: socket | None, error: DsttoolError | None) -> None:
        done, self._done = self._done, None
        self._deadline.cancel()
        if done is not None:
            done(sock, error)

    def _drop(self) -> None:
        if self._sock is not None:
            self._reactor.unregister(self._sock.fileno())
            self._sock.close()
            self._sock = None
