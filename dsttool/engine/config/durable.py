"""Files that must survive a crash whole: the old content or the new, never a part of either."""

import os
from pathlib import Path

from dsttool.engine.config.paths import make_folder, sync_folder


def write(path: Path, content: bytes, *, replace: bool) -> None:
    """Write a file of mode 0600 in a folder of ours and make it durable, its name and its folder included.

    Without `replace`, an existing file is left alone: FileExistsError. OSError for any other failure;
    `path` then has its old content, or already the new one if only the last sync failed.
    """
    make_folder(path.parent)
    _put(path, content, replace=replace)


def create(path: Path, content: bytes) -> None:
    """Write a new file of mode 0600 in any folder that exists, durably. FileExistsError, OSError."""
    _put(path, content, replace=False)


def remove(path: Path) -> None:
    """Remove a file, durably; one that is not there is gone already. OSError."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync_folder(path.parent)


def _put(path: Path, content: bytes, *, replace: bool) -> None:
    # The leading dot hides leftovers of a crash from those who list the folder.
    temporary = path.parent / f".{path.name}.{os.urandom(8).hex()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.rename(temporary, path)
        else:
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
