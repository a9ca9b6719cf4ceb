"""A small blocking client of the control sockets, and questions to all daemons at once.

It imports nothing of the engine, so that a command which only asks starts fast. Every wait here
has a deadline: a daemon that is dead, stopped or stuck is reported, never waited for.
"""

import errno
import os
import select
import socket
import struct
import time
from pathlib import Path
from typing import Any, Final

from dsttool.engine.control import messages
from dsttool.engine.vocabulary import errors

SUFFIX: Final = ".sock"
# Seconds a daemon has for one answer; its reactor is never busy for longer than milliseconds.
ANSWER_TIMEOUT: Final = 5.0


class Client:
    """One connection to one daemon. Times in seconds."""

    def __init__(
        self, path: Path, timeout: float = ANSWER_TIMEOUT, connection: socket.socket | None = None
    ) -> None:
        """Connect, unless there is a `connection` already. Raises Unreachable, Forbidden."""
        self.path = path
        self._deadline: float | None = None
        self._timeout = timeout
        self._socket = connected(path, timeout) if connection is None else connection

    def call(self, command: str, *, expect: messages.Expect | None = None, **arguments: Any) -> Any:
        """The daemon's answer. Raises the error it answers with, Unreachable, TimedOut.

        expect: what the command relies on (see messages); Conflict if it is otherwise.
        """
        return self.wait(self._timeout, command, expect=expect, **arguments)

    def wait(
        self, timeout: float | None, command: str, *, expect: messages.Expect | None = None, **arguments: Any
    ) -> Any:
        """As `call`, for a command that takes its time: `timeout` seconds, or None for ever."""
        self._deadline = None if timeout is None else time.monotonic() + timeout
        try:
            self._socket.settimeout(self._timeout)
            self._socket.sendall(messages.pack_command(command, arguments, expect))
            return messages.parse_answer(self._line())
        except TimeoutError:
            raise errors.TimedOut(
                f"The daemon {self.path.stem} did not answer within {timeout or self._timeout:.3g} s.",
                f"See `dsttool logs {self.path.stem}`.",
            ) from None
        except OSError as error:
            raise _unreachable(self.path, error) from None

    def peer_pid(self) -> int | None:
        """The daemon's process id as the kernel knows it, or None where the kernel does not say."""
        if not hasattr(socket, "SO_PEERCRED"):
            return None
        packed = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", packed)[0])

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _line(self) -> bytes:
        received = bytearray()
        while not received.endswith(b"\n"):
            deadline = self._deadline
            self._socket.settimeout(None if deadline is None else max(0.001, deadline - time.monotonic()))
            part = self._socket.recv(1 << 16)
            if not part:
                raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
            received += part
            if len(received) > messages.ANSWER_BYTES_MAX:
                raise errors.ProtocolError(f"The answer of the daemon {self.path.stem} is too long.")
        return bytes(received)


def connected(path: Path, timeout: float) -> socket.socket:
    """A socket with a daemon at its other end. Raises Unreachable, Forbidden, NotFound; TimedOut if it is
    there, but does not let us in.
    """
    try:
        return _connect(path, timeout)
    except (BlockingIOError, TimeoutError):
        raise errors.TimedOut(
            f"The daemon {path.stem} takes no connection.", f"See `dsttool logs {path.stem}`."
        ) from None
    except OSError as error:
        raise _unreachable(path, error) from None


def sockets(runtime: Path) -> list[Path]:
    """The control sockets in the runtime folder, by name. Forbidden if we may not look into it."""
    try:
        entries = os.listdir(runtime)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise errors.from_oserror(error, f"look into {runtime}") from error
    return sorted(runtime / entry for entry in entries if entry.endswith(SUFFIX))


def wait_gone(pid: int, timeout: float) -> bool:
    """Wait until the process has ended; False if it still runs after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    if hasattr(os, "pidfd_open"):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([descriptor], [], [], timeout)[0])
        finally:
            os.close(descriptor)
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def _connect(path: Path, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _unreachable(path: Path, error: OSError) -> errors.DsttoolError:
    name = path.stem
    if error.errno in (errno.EACCES, errno.EPERM):
        return errors.Forbidden(
            f"The daemon {name} belongs to another user.", "Run the command as that user, or as root."
        )
    if isinstance(error, FileNotFoundError):
        return errors.NotFound(f"Nothing called {name} is running.", "`dsttool status` lists what runs.")
    return errors.Unreachable(
        f"The daemon {name} cannot be reached: {_reason(error)}.",
        f"It may have died; starting it again replaces {path}.",
    )


def _reason(error: Exception) -> str:
    if isinstance(error, errors.DsttoolError):
        return error.what
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error)
