"""Wait for a daemon that does not run yet, without polling: inotify(7) on the runtime folder.

A daemon touches its control socket once it is ready (host.engine), so the folder always has news for
those who found nobody there, or somebody who did not listen yet. The standard library has no inotify;
its three calls are in every Linux C library.
"""

import os
import select
from pathlib import Path
from types import TracebackType
from typing import Final

from dsttool.engine.vocabulary.errors import from_oserror

# inotify.h
_IN_MODIFY: Final = 0x2
_IN_ATTRIB: Final = 0x4
_IN_MOVED_TO: Final = 0x80
_IN_CREATE: Final = 0x100
_IN_DELETE: Final = 0x200
_IN_MOVE_SELF: Final = 0x800
# Events are read only to be forgotten; a full queue of the kernel's still wakes us.
_READ_BYTES: Final = 1 << 16


class News:
    """What happens in a folder from the moment this is made: files come, go and are touched.

    written: whether it is also news that a file is written to. Raises DsttoolError if that cannot be told.
    """

    def __init__(self, folder: Path, *, written: bool = False) -> None:
        import ctypes  # takes longer to load than a question to all daemons, and most commands need no news

        library = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = library.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._descriptor < 0:
            raise from_oserror(OSError(ctypes.get_errno(), ""), "watch folders")
        events = (
            _IN_ATTRIB
            | _IN_MOVED_TO
            | _IN_CREATE
            | _IN_DELETE
            | _IN_MOVE_SELF
            | (_IN_MODIFY if written else 0)
        )
        if library.inotify_add_watch(self._descriptor, os.fsencode(folder), events) < 0:
            code = ctypes.get_errno()
            os.close(self._descriptor)
            raise from_oserror(OSError(code, ""), f"watch {folder}")

    def wait(self, timeout: float | None) -> bool:
        """Wait for something to appear or to be touched; False once `timeout` seconds have passed first."""
        if not select.select([self._descriptor], [], [], timeout)[0]:
            return False
        self.drain()
        return True

    def fileno(self) -> int:
        """Readable when there is news, and when the folder itself is gone: for those who wait for more."""
        return self._descriptor

    def drain(self) -> None:
        """Forget the news there was."""
        try:
            os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Watch no more."""
        os.close(self._descriptor)

    def __enter__(self) -> "News":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
