"""The service manager that started this process, if one did: sd_notify(3), its watchdog, its sockets.

    NOTIFY_SOCKET       it wants to know: READY, STATUS, RELOADING, STOPPING, and signs of life
    WATCHDOG_USEC       how long it waits for a sign of life: one is sent in half of that, by a timer of the
                        reactor, so that they end when the reactor does not turn any more
    LISTEN_FDS          sockets that it listens on for us, so that clients wait, and are not refused, while
                        the daemon is started again

A socket takes the place of the listener that would be bound to the same address. Any other one is listened
on, too, for what its name says (FileDescriptorName= in the .socket unit): nbd or dst.
"""

import os
import socket
import time
from collections.abc import Sequence
from typing import Final, Literal, cast

from dsttool.engine.config.listen import Listen
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import UsageError

# sd_listen_fds(3): where the sockets begin.
_FIRST_DESCRIPTOR: Final = 3
_PROTOCOLS: Final = ("nbd", "dst")
# Fields of a status line are lines; a long one is of no use.
_STATUS_MAX: Final = 200


def is_managed() -> bool:
    """Whether a service manager wants to hear of this process."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def notify(*lines: str) -> None:
    """Tell the service manager; nothing without one. Never waits for it, and never fails."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        try:
            sender.sendto("\n".join(lines).encode(), "\0" + address[1:] if address[0] == "@" else address)
        except OSError:
            pass  # A service manager that does not listen must not end the service, or hold it up.


def notify_status(text: str) -> None:
    """What the daemon is doing, as `systemctl status` shows it."""
    notify(f"STATUS={' '.join(text.split())[:_STATUS_MAX]}")


def notify_reloading() -> None:
    """The configuration is read again; `notify("READY=1")` follows."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


class Watchdog:
    """Signs of life from now on, as long as the reactor turns, if the service manager waits for them."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        interval = _watchdog_ns()
        if interval:
            self._interval = max(1, interval // 2)
            self._beat()

    def _beat(self) -> None:
        notify("WATCHDOG=1")
        self._reactor.call_later(self._interval, self._beat)


def _watchdog_ns() -> int:
    """How long the service manager waits, in ns; 0 if it does not."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0
    asked = os.environ.get("WATCHDOG_USEC", "")
    return int(asked) * 1000 if asked.isascii() and asked.isdigit() else 0


def inherit(reactor: Reactor, listens: Sequence[Listen], known: Sequence[Endpoint]) -> list[Listen]:
    """Take the sockets that the service manager listens on; what is to be listened on beside `listens`.

    known: where is listened anyway. UsageError for a socket that says neither by its address nor by its name
    what it is for. Once per process.
    """
    expected = {each.endpoint for each in listens} | set(known)
    more = []
    for name, sock in _inherited():
        endpoint = _endpoint(sock)
        reactor.network.lend(endpoint, sock)
        if endpoint in expected:
            continue
        if name not in _PROTOCOLS:
            raise UsageError(
                f"The service manager listens on {endpoint}, and the socket's name {name!r} does not say for"
                " what.",
                "Write FileDescriptorName=nbd (or dst) into its .socket unit.",
            )
        more.append(Listen(cast(Literal["nbd", "dst"], name), endpoint))
    return more


def _inherited() -> list[tuple[str, socket.socket]]:
    """The sockets with their names, once: no child is to take them for its own."""
    told = {key: os.environ.pop(key, "") for key in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")}
    if told["LISTEN_PID"] != str(os.getpid()) or not told["LISTEN_FDS"].isdigit():
        return []
    names = told["LISTEN_FDNAMES"].split(":")
    count = int(told["LISTEN_FDS"])
    names += [""] * (count - len(names))
    return [(names[index], _socket(_FIRST_DESCRIPTOR + index)) for index in range(count)]


def _socket(descriptor: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=descriptor)
        listens = sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise UsageError(
            f"Descriptor {descriptor}, which the service manager passed, is no socket: {error.strerror}.",
            "Check the .socket unit.",
        ) from error
    if not listens:
        raise UsageError(
            f"Descriptor {descriptor}, which the service manager passed, does not listen for streams.",
            "Write ListenStream= and Accept=no into its .socket unit.",
        )
    return sock


def _endpoint(sock: socket.socket) -> Endpoint:
    address = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return Endpoint("unix", path=os.fsdecode(address))
    if sock.family == socket.AF_VSOCK:
        return Endpoint("vsock", str(address[0]), address[1])
    family: Literal["tcp", "mptcp"] = "mptcp" if sock.proto == socket.IPPROTO_MPTCP else "tcp"
    return Endpoint(family, address[0], address[1])
