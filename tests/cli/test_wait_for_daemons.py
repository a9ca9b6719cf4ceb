"""`wait --for up` while a daemon takes the place of one that died."""

import socket
from pathlib import Path

from dsttool.cli.wait import _reach
from dsttool.engine.control.place import Local


class Restarting(Local):
    """A daemon of this place has died; who starts it again removes its socket right after the first look."""

    def __init__(self, runtime: Path) -> None:
        super().__init__(runtime)
        self._socket = runtime / "a.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self._socket))
        self._looks = 0

    def daemons(self) -> list[str]:
        self._looks += 1
        if self._looks > 1:
            self._socket.unlink(missing_ok=True)
        return super().daemons()


def test_a_daemon_that_is_just_being_started_again_is_waited_for(tmp_path: Path) -> None:
    place = Restarting(tmp_path)
    assert _reach(place, "a") is None
    assert place.daemons() == []
