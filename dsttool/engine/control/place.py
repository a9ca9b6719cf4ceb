"""Places: where control sockets are, here or on another machine.

A place names its daemons, tells when that list may have changed, and opens connections to them. Whatever it
gives out to wait for has a `fileno`, so that one thread can follow many places.
"""

import os
import socket
from pathlib import Path
from typing import Final, Protocol

from dsttool.engine.config import paths
from dsttool.engine.control.appearing import News
from dsttool.engine.control.client import ANSWER_TIMEOUT, Client, connected, sockets
from dsttool.engine.vocabulary.errors import NotFound, from_oserror

# How the machine itself is called among places.
LOCAL: Final = "local"


class Names(Protocol):
    """The daemons of a place, as they come and go."""

    def fileno(self) -> int:
        """Readable when the list may be another, or a daemon was started again."""

    def read(self) -> list[str]:
        """Those that are there now. Raises DsttoolError once the place cannot be reached any more; it has to
        be asked for its names anew then.
        """

    def reached(self) -> bool:
        """Whether the place has answered; before that there are no names, and nothing is wrong yet."""

    def close(self) -> None:
        """Ask no more."""


class Place(Protocol):
    """A machine, or more exactly a runtime folder on it. Times in seconds."""

    @property
    def name(self) -> str:
        """How it is called on screens."""

    def daemons(self) -> list[str]:
        """The names of those that have a control socket. Raises DsttoolError."""

    def names(self) -> Names:
        """The same, from now on. Raises DsttoolError."""

    def open(self, daemon: str, timeout: float = ANSWER_TIMEOUT) -> socket.socket:
        """A stream to its control socket. Raises Unreachable, Forbidden, NotFound."""

    def connect(self, daemon: str, timeout: float = ANSWER_TIMEOUT) -> Client:
        """A conversation with it. Raises as `open`."""

    def where(self, daemon: str) -> str:
        """Where that daemon's control socket is, for people."""

    def close(self) -> None:
        """End what it keeps open itself."""


class Local:
    """This machine: the sockets in a runtime folder."""

    def __init__(self, runtime: Path, name: str = LOCAL) -> None:
        self.name = name
        self._runtime = runtime

    def daemons(self) -> list[str]:
        """See Place."""
        return [path.stem for path in sockets(self._runtime)]

    def names(self) -> "LocalNames":
        """See Place. Makes the folder if it is not there yet."""
        return LocalNames(self, self._runtime)

    def open(self, daemon: str, timeout: float = ANSWER_TIMEOUT) -> socket.socket:
        """See Place."""
        return connected(self._path(daemon), timeout)

    def connect(self, daemon: str, timeout: float = ANSWER_TIMEOUT) -> Client:
        """See Place."""
        return Client(self._path(daemon), timeout)

    def where(self, daemon: str) -> str:
        """See Place."""
        return str(self._path(daemon))

    def close(self) -> None:
        """See Place."""

    def _path(self, daemon: str) -> Path:
        return self._runtime / f"{daemon}.sock"


class LocalNames:
    """A runtime folder, watched."""

    def __init__(self, place: Local, runtime: Path) -> None:
        self._place = place
        self._runtime = runtime
        self._news = News(paths.make_folder(runtime))
        try:
            self._folder = os.stat(runtime)
        except OSError as error:
            self._news.close()
            raise from_oserror(error, f"watch {runtime}") from error

    def fileno(self) -> int:
        """See Names."""
        return self._news.fileno()

    def read(self) -> list[str]:
        """See Names. NotFound once the folder was removed, even if there is one of that name again."""
        self._news.drain()
        if not self._is_the_same():
            raise NotFound(f"The folder {self._runtime} was removed.", "A daemon that starts makes it again.")
        return self._place.daemons()

    def reached(self) -> bool:
        """See Names."""
        return True

    def close(self) -> None:
        """See Names."""
        self._news.close()

    def _is_the_same(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._runtime), self._folder)
        except OSError:
            return False
