"""Ending daemons: asked to, waited for, and what they left removed if they had died."""

import errno
import select
import socket
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from dsttool.cli.careful import go_ahead
from dsttool.cli.settings import Settings
from dsttool.cli.using import losers
from dsttool.engine.config import paths
from dsttool.engine.control import client
from dsttool.engine.control.lock import NameLock
from dsttool.engine.control.place import Local, Place
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, NotFound, TimedOut, Unreachable

# A daemon drains its clients for up to 10 s and may then flush for up to 60 s.
STOP_TIMEOUT: Final = 90.0
# Of a time that is over: what answers at once is still heard.
_LAST_MOMENT: Final = 0.001


class Term:
    """The time that daemons have to end: `seconds` from its making, less what was `spent` before."""

    def __init__(self, seconds: float, spent: float = 0.0) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds - spent

    @property
    def left(self) -> float:
        """Seconds, more than none."""
        return max(_LAST_MOMENT, self._end - time.monotonic())

    @property
    def answer(self) -> float:
        """Seconds that one answer may take."""
        return min(self.left, client.ANSWER_TIMEOUT)


def agreed(settings: Settings, names: Sequence[str]) -> Term | None:
    """Ask whoever loses something by the end of these daemons; the time they have all together, if one was
    given. How long somebody thinks about it is no part of that. Raises Unsafe.
    """
    if settings.timeout is None:
        go_ahead(settings, losers(settings, names))
        return None
    began = time.monotonic()
    # Another daemon that does not answer must leave time for the end of these.
    patience = min(settings.timeout / 2, client.ANSWER_TIMEOUT)
    consequences = losers(replace(settings, timeout=patience), names)
    spent = time.monotonic() - began
    go_ahead(settings, consequences)
    return Term(settings.timeout, spent)


def end(place: Place, name: str, term: Term, kind: str | None = None) -> int:
    """Ask the daemon `name` to end and wait until it has; its process id.

    NotFound if it does not run (dead sockets are then removed), Conflict if it is not of that kind,
    TimedOut.
    """
    try:
        with place.connect(name, term.answer) as daemon:
            about = _about(daemon, name, kind, term.answer)
            pid = int(about["pid"])
            if isinstance(place, Local):
                # The kernel's word, in case the process id it says is one of another name space.
                pid = daemon.peer_pid() or pid
            daemon.wait(term.answer, "stop")
    except TimedOut as error:
        if term.left > _LAST_MOMENT:
            raise
        what = f"The daemon {name} did not answer within {term.seconds:g} s."
        raise TimedOut(what, error.advice) from None
    except Unreachable:
        if not (isinstance(place, Local) and _is_dead(paths.control_socket(name))):
            raise
        _remove_dead(name)
        raise NotFound(f"{name} is not running; it had died.", "Its dead sockets are now removed.") from None
    gone = (
        client.wait_gone(pid, term.left) if isinstance(place, Local) else _wait_gone(place, name, term.left)
    )
    if not gone:
        raise TimedOut(
            f"{name} (process {pid}) has not ended within {term.seconds:g} s.",
            f"It may be flushing; see `dsttool daemon list` and `dsttool logs {name}`.",
        )
    return pid


def would_end(place: Place, name: str, kind: str | None = None) -> str:
    """What `end` would do, as words for --dry-run. Raises what it would, and changes nothing."""
    with place.connect(name) as daemon:
        pid = _about(daemon, name, kind, client.ANSWER_TIMEOUT)["pid"]
        status = daemon.call("status")
    served = [*status["arrays"], *status["exports"]]
    clients = sum(len(each["sessions"]) for each in served)
    names = ", ".join(each["name"] for each in served)
    many = f"{clients} client{'' if clients == 1 else 's'}"
    return f"end the daemon {name} (process {pid}), which serves {names or 'nothing'} to {many}"


def _about(daemon: client.Client, name: str, kind: str | None, timeout: float) -> dict[str, Any]:
    about: dict[str, Any] = daemon.wait(timeout, "hello")
    if kind is not None and about["kind"] != kind:
        raise Conflict(f"{name} is an {about['kind']}.", f"Stop it with: dsttool daemon stop {name}")
    return about


def _wait_gone(place: Place, name: str, timeout: float) -> bool:
    """Wait until another machine's daemon has removed its socket, the last thing it does."""
    deadline = time.monotonic() + timeout
    with closing(place.names()) as names:
        while name in place.daemons():
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([names], [], [], left)[0]:
                return False
            names.read()
    return True


def _is_dead(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        return probe.connect_ex(str(path)) == errno.ECONNREFUSED


def _remove_dead(name: str) -> None:
    try:
        with NameLock([name]):
            for path in (paths.control_socket(name), paths.nbd_socket(name), paths.dst_socket(name)):
                path.unlink(missing_ok=True)
    except DsttoolError:
        pass  # Somebody is just starting it again and has replaced them.
