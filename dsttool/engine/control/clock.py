"""The clock by which it is known how old something is.

Nobody sets it, unlike the clock on the wall, and it goes on while the machine sleeps, unlike the one of
time.monotonic: what was heard before that is as old as it is.
"""

import time
from collections.abc import Callable


def now_ns() -> int:
    """Time since the machine was started, in ns."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def even_unix() -> Callable[[], int]:
    """Unix time as it is now, and from then on as if nobody ever set it: of two moments the later has more,
    by what passed between them.
    """
    offset = time.time_ns() - now_ns()
    return lambda: offset + now_ns()
