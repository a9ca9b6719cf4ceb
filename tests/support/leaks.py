"""What a test may not leave behind: threads, descriptors, child processes."""

import gc
import os
import threading
import time
from pathlib import Path

# What is at its very end may need that long to get there on a busy machine; what stays is left behind.
ENDING_SECONDS = 5.0


def threads() -> set[threading.Thread]:
    """Threads of this process that run now."""
    return set(threading.enumerate())


def descriptors() -> dict[int, str]:
    """Open descriptors of this process and what they are open on."""
    found = {}
    for entry in os.listdir("/proc/self/fd"):
        try:
            found[int(entry)] = os.readlink(f"/proc/self/fd/{entry}")
        except FileNotFoundError:  # the descriptor that listed the folder
            pass
    return found


def children() -> set[int]:
    """Process ids of this process's children, unreaped ones too."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found.update(map(int, (task / "children").read_text().split()))
        except (FileNotFoundError, ProcessLookupError):  # that thread has just ended
            pass
    return found


class Leaks:
    """Compares what is there at its making with what is there at `found()`."""

    def __init__(self) -> None:
        self._threads, self._descriptors, self._children = threads(), descriptors(), children()

    def found(self) -> list[str]:
        """One line for everything left behind. Garbage is collected before it is called a leak."""
        if not self._compare():
            return []
        gc.collect()
        deadline = time.monotonic() + ENDING_SECONDS
        while (found := self._compare()) and time.monotonic() < deadline:
            time.sleep(0.01)
        return found

    def _compare(self) -> list[str]:
        lines = [f"thread {thread.name}" for thread in threads() - self._threads]
        lines += [
            f"descriptor {fd} on {target}"
            for fd, target in descriptors().items()
            if self._descriptors.get(fd) != target
        ]
        lines += [f"child process {pid} ({_command(pid)})" for pid in children() - self._children]
        return lines


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip() or "not reaped"
    except OSError:
        return "gone"
