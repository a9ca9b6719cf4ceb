"""One daemon per name: NAME.lock in the runtime folder, held locked while the daemon lives.

The kernel drops the lock with the process, however it dies, so a lock that can be taken means that
nobody serves the name and that its socket files, if any, are dead.
"""

import fcntl
import os
import time
from types import TracebackType

from dsttool.engine.config import paths
from dsttool.engine.vocabulary.errors import Conflict, from_oserror

LOCK_PATIENCE_S = 1.0
LOCK_STEP_S = 0.05


class NameLock:
    """The right to serve some names. Raises Conflict if one of them is taken."""

    def __init__(self, names: list[str]) -> None:
        self._held: list[tuple[str, int]] = []
        paths.make_folder(paths.runtime_dir())
        try:
            for name in names:
                self._held.append((name, _lock(name)))
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let others serve the names."""
        while self._held:
            name, descriptor = self._held.pop()
            # Removed while still locked: whoever opened the old file sees that it has no name left.
            paths.lock_file(name).unlink(missing_ok=True)
            os.close(descriptor)

    def note_pid(self) -> None:
        """Write this process's id into the files, for people who look."""
        for _, descriptor in self._held:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)

    def __enter__(self) -> "NameLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _lock(name: str) -> int:
    path = paths.lock_file(name)
    patience = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise from_oserror(error, f"open {path}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass  # Its holder removed it between our open and our lock: make a new one.
        except BlockingIOError:
            os.close(descriptor)
            # A process killed a moment ago still holds it while the kernel takes it down.
            if time.monotonic() < patience:
                time.sleep(LOCK_STEP_S)
                continue
            raise Conflict(
                f"{name} is already running.",
                f"Use another name, or stop it first: dsttool daemon stop {name}",
            ) from None
        os.close(descriptor)
