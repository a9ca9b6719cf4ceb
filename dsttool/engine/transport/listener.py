"""Listener: a listening socket; hands each accepted connection on, and bounds how many there are."""

import os
import socket
from collections.abc import Callable
from contextlib import suppress

from dsttool.engine.runtime.network import tune
from dsttool.engine.runtime.reactor import READABLE, Reactor
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import NotFound

Accepted = Callable[[socket.socket, str], None]

# After accept failed for want of descriptors or memory, wait this long before trying again.
ACCEPT_PAUSE_NS = 100 * limits.MS
# Connections taken per turn, so that a flood does not keep the others waiting.
ACCEPTS_PER_TURN = 16


class Listener:
    """Accepts on one endpoint. `on_accept(sock, peer)` gets non-blocking sockets and the peer's name.

    Binding and accepting are apart (`start`), so that all listeners of a daemon can be bound before
    any accepts. `endpoint` tells which port one with port 0 got. `on_accept` may be replaced.
    """

    def __init__(
        self,
        reactor: Reactor,
        endpoint: Endpoint,
        on_accept: Accepted,
        *,
        mode: int = 0o600,
        group: int | None = None,
    ) -> None:
        self._reactor = reactor
        self.on_accept = on_accept
        self._sock = reactor.network.listen(endpoint, mode=mode, group=group)
        self._started = False
        self.endpoint = endpoint
        if endpoint.family == "unix":
            self._inode = os.stat(endpoint.path).st_ino
        elif endpoint.port == 0:
            self.endpoint = Endpoint(endpoint.family, endpoint.host, self._sock.getsockname()[1])

    def start(self) -> None:
        """Begin to accept, if it does not yet."""
        if not self._started:
            self._started = True
            self._reactor.register(self._sock.fileno(), self._ready, READABLE)

    def permit(self, mode: int, group: int | None) -> None:
        """Who may connect to a Unix socket from now on; None is this user's own group. See network.

        NotFound if its file is gone, or another one is in its place, which is left as it is.
        """
        if not self._has_file():
            raise NotFound(f"The socket {self.endpoint.path} was removed.", "Restart what listens there.")
        self._reactor.network.permit(self.endpoint, mode, group)

    def close(self) -> None:
        """Stop; a Unix socket's file goes too, if it is still ours."""
        if self._started:
            self._reactor.unregister(self._sock.fileno())
            self._started = False
        self._sock.close()
        if self.endpoint.family != "unix" or self._reactor.network.is_lent(self.endpoint):
            return
        if self._has_file():
            os.unlink(self.endpoint.path)

    def _has_file(self) -> bool:
        """Whether the file of a Unix socket is still there, and ours."""
        try:
            return os.lstat(self.endpoint.path).st_ino == self._inode
        except FileNotFoundError:
            return False

    def _ready(self, _events: int) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                return
            except OSError:
                # Out of descriptors or memory (or the peer is gone already): level-triggered epoll
                # would spin, so look again a little later.
                self._reactor.modify(self._sock.fileno(), 0)
                self._reactor.call_later(ACCEPT_PAUSE_NS, self._again)
                return
            sock.setblocking(False)
            with suppress(OSError):  # it may be gone again already
                tune(sock)
            self.on_accept(sock, _peer_name(sock, address))

    def _again(self) -> None:
        if self._started:
            self._reactor.modify(self._sock.fileno(), READABLE)


def _peer_name(sock: socket.socket, address: object) -> str:
    """Who is there: host:port, the context and port of a virtual machine, or a local process and its user."""
    if sock.family == socket.AF_UNIX:
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid = int.from_bytes(credentials[0:4], "little")
        uid = int.from_bytes(credentials[4:8], "little")
        return f"unix pid {pid} uid {uid}"
    if isinstance(address, tuple) and len(address) >= 2:
        if sock.family == socket.AF_VSOCK:
            return f"vsock {address[0]}:{address[1]}"
        return f"[{address[0]}]:{address[1]}" if ":" in str(address[0]) else f"{address[0]}:{address[1]}"
    return str(address)
