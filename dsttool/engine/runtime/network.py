"""Sockets: the only place that makes them. All are non-blocking."""

import errno
import fcntl
import os
import socket
import stat
import sys
import termios
from contextlib import suppress
from typing import Any

from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, Unreachable, UsageError, from_oserror

# Bytes of a Unix socket's path, without the closing zero (unix(7)).
UNIX_PATH_MAX = 107
# Four requests of 1 MiB: from there on throughput does not grow any more.
UNIX_SEND_BYTES = 4 * limits.MIB
# Seconds: a client whose machine lost power holds its place for two minutes, not for the usual two hours.
KEEPALIVE_IDLE = 60
KEEPALIVE_INTERVAL = 10
KEEPALIVE_COUNT = 6
# What the kernel takes (tcp(7)): seconds, and probes.
_KEEPALIVE_MAX = 32767
_KEEPALIVES_MAX = 127
# asm-generic/socket.h; the socket module does not name it.
_SO_SNDBUFFORCE = 32


class Network:
    """Connects and listens. A simulator offers the same methods."""

    def __init__(self) -> None:
        self._lent: dict[Endpoint, socket.socket | None] = {}

    def lend(self, endpoint: Endpoint, sock: socket.socket) -> None:
        """A socket that listens there already, and that somebody else keeps: `listen` there gives it out."""
        sock.setblocking(False)
        sock.set_inheritable(False)
        self._lent[endpoint] = sock

    def is_lent(self, endpoint: Endpoint) -> bool:
        """Whether what listens there, and its file if it has one, is somebody else's."""
        return endpoint in self._lent

    def resolve(self, endpoint: Endpoint) -> list[Endpoint]:
        """The numeric endpoints of a host name. Blocks: call it in the I/O pool. Raises Unreachable."""
        if endpoint.family not in ("tcp", "mptcp"):
            return [endpoint]
        try:
            found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            # Names with labels that are empty or too long do not get as far as the resolver.
            reason = error.strerror if isinstance(error, OSError) else "that cannot be a name"
            raise Unreachable(
                f"Cannot find the address of host '{endpoint.host}': {reason}.", "Check the name."
            ) from error
        numeric = [Endpoint(endpoint.family, str(sockaddr[0]), int(sockaddr[1])) for *_, sockaddr in found]
        return list(dict.fromkeys(numeric))

    def connect(self, endpoint: Endpoint) -> socket.socket:
        """A socket that is connecting: wait until it is writable, then ask SO_ERROR.

        The endpoint must be numeric. Raises OSError where the system refuses at once.
        """
        sock = _make_socket(endpoint)
        try:
            sock.connect(_sockaddr(endpoint))
        except BlockingIOError as blocked:
            # A Unix socket with a full backlog says EAGAIN and is not connecting at all.
            if blocked.errno != errno.EINPROGRESS:
                sock.close()
                raise
        except OSError:
            sock.close()
            raise
        return sock

    def listen(self, endpoint: Endpoint, *, mode: int = 0o600, group: int | None = None) -> socket.socket:
        """A listening socket. A dead Unix socket file is replaced; one that accepts is a Conflict."""
        lent = self._lent.get(endpoint)
        if lent is not None:
            self._lent[endpoint] = None
            return lent
        try:
            sock = _make_socket(endpoint)
        except OSError as error:
            raise DsttoolError(
                f"This kernel makes no {endpoint.family} sockets: {error.strerror}.", "Listen elsewhere."
            ) from error
        try:
            if endpoint.family == "unix":
                _bind_unix(sock, endpoint.path, mode, group)
            else:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(_sockaddr(endpoint, any_port=endpoint.port == 0))
            sock.listen(128)
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRINUSE:
                raise Conflict(
                    f"Cannot listen on {endpoint}: the address is in use.", "Choose another one."
                ) from error
            raise from_oserror(error, f"listen on {endpoint}") from error
        except DsttoolError:
            sock.close()
            raise
        return sock

    def permit(self, endpoint: Endpoint, mode: int, group: int | None) -> None:
        """Change who may connect to a Unix socket; None is this user's own group. Raises DsttoolError."""
        try:
            os.chmod(endpoint.path, mode & 0o600)  # the group may change in between
            os.chown(endpoint.path, -1, os.getegid() if group is None else group)
            os.chmod(endpoint.path, mode)
        except OSError as error:
            raise from_oserror(error, f"change {endpoint.path}") from error

    def queued(self, sock: socket.socket) -> int:
        """How many bytes that were sent the peer's kernel has not taken yet (TIOCOUTQ, tcp(7), unix(7))."""
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def tune(sock: socket.socket) -> None:
    """Options every connected socket wants.

    TCP: no delay, and keepalive for links that only listen; its buffers grow by themselves. Unix
    sockets have a fixed send buffer, by default about 200 KiB, so that each MiB costs five wake-ups on
    both sides: ask for more, beyond the system's usual maximum where we may.
    """
    if sock.family == socket.AF_UNIX:
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, UNIX_SEND_BYTES // 2)  # the kernel doubles it
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNIX_SEND_BYTES // 2)
    elif sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_COUNT)


def keep_alive(sock: socket.socket, interval_ns: int, misses: int) -> None:
    """Have the kernel find out that the peer's machine is gone, for protocols that have no ping.

    It asks after `interval_ns` of silence and, without an answer, `misses` times more. Unix sockets need
    nothing. TCP_USER_TIMEOUT stays off: it also cuts a living peer that for so long takes no data.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    seconds = min(max(1, round(interval_ns / 1e9)), _KEEPALIVE_MAX)
    with suppress(OSError):  # then it takes longer
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, seconds)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, min(misses, _KEEPALIVES_MAX))


def _make_socket(endpoint: Endpoint) -> socket.socket:
    family: int
    protocol = 0
    match endpoint.family:
        case "unix":
            family = socket.AF_UNIX
        case "vsock":
            family = socket.AF_VSOCK
        case "tcp" | "mptcp":
            family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
            protocol = socket.IPPROTO_MPTCP if endpoint.family == "mptcp" else 0
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
    with suppress(OSError):  # options make it faster, not right
        tune(sock)
    return sock


def _sockaddr(endpoint: Endpoint, *, any_port: bool = False) -> Any:
    match endpoint.family:
        case "unix":
            return endpoint.path
        case "vsock":
            return (int(endpoint.host), socket.VMADDR_PORT_ANY if any_port else endpoint.port)
        case _:
            return (endpoint.host, endpoint.port)


def _bind_unix(sock: socket.socket, path: str, mode: int, group: int | None) -> None:
    if len(os.fsencode(path)) > UNIX_PATH_MAX:
        raise UsageError(
            f"The socket path '{path}' is too long: {len(os.fsencode(path))} bytes of {UNIX_PATH_MAX}.",
            "Choose a shorter path.",
        )
    _remove_dead_socket(path)
    # Nobody may connect between bind and chmod, so the file is born with no permissions.
    before = os.umask(0o777)
    try:
        sock.bind(path)
    finally:
        os.umask(before)
    if group is not None:
        os.chown(path, -1, group)
    os.chmod(path, mode)


def _remove_dead_socket(path: str) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise Conflict(f"Cannot listen on {path}: a file that is no socket is there.", "Choose another path.")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except (TimeoutError, BlockingIOError):
            pass
    raise Conflict(
        f"Cannot listen on {path}: somebody already does.", "Stop it first, or choose another path."
    )
