"""A service manager of our own, as systemd is one: it hears of its service, and listens for it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType

from support.site import STOP_SECONDS, Daemon, Site, wait_until

# Puts the sockets where sd_listen_fds(3) wants them, and keeps the process id that LISTEN_PID must be.
_AS_SERVICE = """
import fcntl, os, sys
numbers = [fcntl.fcntl(int(each), fcntl.F_DUPFD, 100) for each in sys.argv[1].split()]
for place, number in enumerate(numbers, 3):
    os.dup2(number, place)
    os.close(number)
os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""
HEARD_SECONDS = 40.0


class Service(Daemon):
    """A daemon that was passed sockets: descriptors 3 and up."""

    def __init__(self, command: list[str], env: dict[str, str], site: Site, sockets: Sequence[int]) -> None:
        self.command = [sys.executable, "-c", _AS_SERVICE, " ".join(map(str, sockets)), *command]
        self.log = site.path(f"{len(site.daemons)}.log")
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=env,
                cwd=site.folder,
                pass_fds=tuple(sockets),
                start_new_session=True,
            )
        site.daemons.append(self)


class Manager:
    """Starts one service at a time in a site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._path = site.path("notify")
        self._notify.bind(str(self._path))
        self._notify.settimeout(HEARD_SECONDS)
        self.sockets: dict[str, socket.socket] = {}

    def __enter__(self) -> "Manager":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._notify.close()
        for listener in self.sockets.values():
            listener.close()

    def listen(self, name: str, listener: socket.socket) -> None:
        """Listen on a bound socket for the service; name: FileDescriptorName=, any suffix in brackets."""
        listener.listen(16)
        self.sockets[name] = listener

    def start(self, *arguments: object, watchdog_usec: int = 0, **more: str) -> Service:
        """Start a dsttool command as a service."""
        env = self._site.env | {"NOTIFY_SOCKET": str(self._path)} | more
        if watchdog_usec:
            env["WATCHDOG_USEC"] = str(watchdog_usec)
        if self.sockets:
            env["LISTEN_FDS"] = str(len(self.sockets))
            env["LISTEN_FDNAMES"] = ":".join(name.partition("[")[0] for name in self.sockets)
        numbers = [listener.fileno() for listener in self.sockets.values()]
        command = [sys.executable, "-m", "dsttool", *(str(word) for word in arguments)]
        return Service(command, env, self._site, numbers)

    def heard(self) -> dict[str, str]:
        """The next message, by its keys; fails if none comes."""
        lines = self._notify.recv(4096).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def hear(self, key: str) -> dict[str, str]:
        """The next message that has this key; signs of life and others are passed over."""
        while key not in (message := self.heard()):
            pass
        return message


def signal_and_wait(service: Daemon, number: signal.Signals, text: str) -> None:
    """Send a signal, and wait until the log has this text once more than before."""
    before = service.output.count(text)
    os.kill(service.process.pid, number)
    wait_until(lambda: service.output.count(text) > before, f"{text!r} in the log: {service.output[-2000:]}")


def ended(service: Daemon) -> int:
    """The exit code, once it has ended by itself."""
    return service.process.wait(STOP_SECONDS)
