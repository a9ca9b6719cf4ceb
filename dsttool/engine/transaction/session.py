"""What a server remembers of a session's changes, so that each of them is carried out once.

A change (WRITE, TRIM, WRITE_ZEROES) may be asked for again and again, over any link of its session:

    its id is                      asked for, it
    -----------------------------  ----------------------------------------------------------------
    below the floor                never begins: OUTSIDE. One that still runs is RUNNING
    floor ... floor + ID_WINDOW    NEW: begins. RUNNING: does not begin twice. Finished: has a status
    above                          never begins: OUTSIDE

The floor is the lowest id that the client waits for. It only grows, and what finished below it is
forgotten: the client has the answer, or does not want it any more. What runs below it was given up, but
is not forgotten before it ends: the client must learn that it runs.

All of it is one byte for each id, at the place `id & MASK`. There are twice as many places as ids in the
window, so that places are cleared many at a time, and still no two ids that matter share one. That
costs a loop over a batch two look-ups for each change, and no memory that grows.
"""

import re
from typing import Final

from dsttool.engine.vocabulary import limits

# Answers of `begin`; everything else is the status of a change that has finished: 0 or an errno.
NEW: Final = -1
RUNNING: Final = -2
OUTSIDE: Final = -3

PLACES: Final = 2 * limits.ID_WINDOW
MASK: Final = PLACES - 1
# Marks of an id.
UNKNOWN: Final = 0
BEGUN: Final = 1
DONE: Final = 2
FAILED: Final = 3

# Ids that are forgotten together.
_STEP: Final = limits.ID_WINDOW // 16
_MARKED: Final = re.compile(rb"[^\0]+")
_BEGUN_OR_FAILED: Final = re.compile(rb"[\1\3]")


class ServerSession:
    """The changes of one session; who asked for them is its owner's matter.

    floor, ceiling: the window; both only grow. marks: what is known of each id in it; a loop may look for
    UNKNOWN there and set BEGUN itself, and DONE as long as there is nothing in given_up: ids below the floor
    that were forgotten as far as `marks` go, but run. changes: False for a session that only reads.
    """

    __slots__ = ("_cleared", "_failures", "ceiling", "floor", "given_up", "marks")

    def __init__(self, floor: int = 0, *, changes: bool = True) -> None:
        self.floor = self._cleared = floor
        self.ceiling = floor + limits.ID_WINDOW
        self.marks = bytearray(PLACES if changes else 0)
        self._failures: dict[int, int] = {}
        self.given_up: set[int] = set()

    def advance(self, floor: int) -> None:
        """The client waits for nothing below `floor`. One below the last is out of date, and ignored."""
        if floor > self.floor:
            self.floor = floor
            self.ceiling = floor + limits.ID_WINDOW
            if floor - self._cleared >= _STEP and self.marks:
                self._clear()

    def _clear(self) -> None:
        """Forget what is below the floor, except what runs."""
        id_, self._cleared = self._cleared, self.floor
        count = min(self.floor - id_, PLACES)
        start = id_ & MASK
        first = min(count, PLACES - start)
        for low, high, lowest in ((start, start + first, id_), (0, count - first, id_ + first)):
            for found in _BEGUN_OR_FAILED.finditer(self.marks, low, high):
                which = lowest + found.start() - low
                if self._failures.pop(which, None) is None:
                    self.given_up.add(which)
            self.marks[low:high] = bytes(high - low)

    def begin(self, id_: int) -> int:
        """NEW, and it counts as running from now on; or RUNNING, OUTSIDE, or its status."""
        if not self._cleared <= id_ < self.ceiling:
            return RUNNING if id_ in self.given_up else OUTSIDE
        mark = self.marks[id_ & MASK]
        if mark == BEGUN:
            return RUNNING
        if id_ < self.floor:
            return OUTSIDE
        if mark == UNKNOWN:
            self.marks[id_ & MASK] = BEGUN
            return NEW
        return self._failures[id_] if mark == FAILED else 0

    def withdraw(self, id_: int) -> None:
        """A change that was to begin does not; nothing was done in between but beginning others."""
        self.marks[id_ & MASK] = UNKNOWN

    def finish(self, id_: int, status: int) -> None:
        """A change that was begun has ended."""
        if id_ < self._cleared:
            self.given_up.remove(id_)
        elif status:
            self.marks[id_ & MASK] = FAILED
            self._failures[id_] = status
        else:
            self.marks[id_ & MASK] = DONE

    def known(self) -> list[tuple[int, int]]:
        """By id: (id, status) of what has finished from the floor on, (id, RUNNING) of all that runs."""
        found = [(id_, RUNNING) for id_ in sorted(self.given_up)]
        start = self._cleared & MASK
        lowest = self._cleared - start
        for low, high, zero in ((start, len(self.marks), lowest), (0, start, lowest + PLACES)):
            for run in _MARKED.finditer(self.marks, low, high):
                for id_, mark in enumerate(run[0], zero + run.start()):
                    if mark == BEGUN:
                        found.append((id_, RUNNING))
                    elif id_ >= self.floor:
                        found.append((id_, self._failures[id_] if mark == FAILED else 0))
        return found
