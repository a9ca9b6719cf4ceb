"""Pooled, reference-counted memory for payloads.

`take(n)` gives a writable view of pooled memory. There is nothing to give back: every slice of that
view, however many layers share it, keeps the segment alive, and when the last one dies the memory
returns to the pool. So a payload stays where it was received until every member has acked it, no
error path can leak or free it twice, and steady state allocates no payload memory at all.

How: each time a segment goes out it is dressed in a new ctypes array over its (page-aligned, anonymous)
mapping; memoryviews of it hold the array, and a weak reference to the array brings the mapping
back. Dressing costs about 2 us, once per batch or per large payload.
"""

import ctypes
import mmap
import weakref
from collections import deque
from typing import Any, Protocol

from dsttool.engine.vocabulary import limits


class Keeper(Protocol):
    """Who keeps segments for long, within a bound of its own. bytes: how much."""

    bytes: int


class _Loan(weakref.ref[Any]):
    """Watches one dressed segment; knows which mapping to bring back, and to which class."""

    __slots__ = ("index", "mapping")
    mapping: mmap.mmap
    index: int


class SegmentPool:
    """Segments in a few size classes (vocabulary.limits.SEGMENT_CLASSES), reused hot.

    `bytes_in_use` is what is out, in bytes; `bytes_free` what is kept for reuse. Both may be read from
    any thread. A view may die in any thread; `take` belongs to the reactor's. keepers: whose share does not
    count when it is asked whether clients hold too much.
    """

    def __init__(self) -> None:
        self._free: list[deque[mmap.mmap]] = [deque() for _ in limits.SEGMENT_CLASSES]
        self._types = [ctypes.c_ubyte * size for size in limits.SEGMENT_CLASSES]
        self._loans: dict[int, _Loan] = {}
        self.bytes_in_use = 0
        self.bytes_free = 0
        self.keepers: list[Keeper] = []

    @property
    def crowded(self) -> bool:
        """Whether so much is out that clients must wait for what they have asked."""
        most = limits.POOL_BYTES_MAX
        return (
            self.bytes_in_use > most and self.bytes_in_use - sum(each.bytes for each in self.keepers) > most
        )

    def take(self, size: int = limits.SEGMENT_BYTES) -> memoryview:
        """A view of at least `size` bytes; contents are whatever was there before."""
        for index, capacity in enumerate(limits.SEGMENT_CLASSES):  # noqa: B007
            if size <= capacity:
                break
        else:
            raise ValueError(f"no segment holds {size} bytes")
        try:
            mapping = self._free[index].pop()
            self.bytes_free -= capacity
        except IndexError:
            mapping = mmap.mmap(-1, capacity, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        dressed = self._types[index].from_buffer(mapping)
        loan = _Loan(dressed, self._returned)
        loan.mapping = mapping
        loan.index = index
        self._loans[id(loan)] = loan
        self.bytes_in_use += capacity
        return memoryview(dressed).cast("B")

    def _returned(self, loan: Any) -> None:
        del self._loans[id(loan)]
        capacity = limits.SEGMENT_CLASSES[loan.index]
        self.bytes_in_use -= capacity
        # What keepers let go of all at once they soon want again, and fresh memory costs as much as a copy.
        most = limits.SEGMENTS_FREE_MAX + (limits.RETAINED_BYTES_MAX if self.keepers else 0)
        if self.bytes_free + capacity <= most:
            self.bytes_free += capacity
            self._free[loan.index].append(loan.mapping)

    def trim(self) -> None:
        """Give back what only busy keepers need. Belongs to the reactor's thread, as `take` does."""
        for index, free in enumerate(self._free):
            while free and self.bytes_free > limits.SEGMENTS_FREE_MAX:
                try:
                    free.pop()
                except IndexError:
                    break
                self.bytes_free -= limits.SEGMENT_CLASSES[index]
