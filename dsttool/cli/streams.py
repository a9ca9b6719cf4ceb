"""The three streams that a process is born with, which may be closed, full, or read by nobody."""

import os
import sys
from typing import Any

from dsttool.engine.vocabulary.texts import readable


def fill_closed() -> None:
    """Open the null device in the place of each of descriptors 0, 1 and 2 that is closed. To be done first.

    Else what is opened next, a device perhaps, gets its number, and what is meant for people goes there.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this one
    # Python has None for those that were closed when it started.
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def finish(code: int) -> int:
    """Let everything that was said leave this process; the exit code, which is `code` if that succeeds.

    What cannot leave is dropped: at its end Python would try again, and end with a code of its own.
    """
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError as error:
            drop(descriptor)
            code = code or (141 if isinstance(error, BrokenPipeError) else 1)
    return code


def drop(descriptor: int) -> None:
    """Let what is written to a stream from now on go nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def printable(text: Any) -> str:
    """Text that a terminal takes for nothing else: what would steer it is shown as an escape, as \\x1b."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in readable(str(text)))
