"""RangeSet: a set of bytes, kept as the fewest extents that hold them."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from dsttool.engine.extents.extent import Extent


class RangeSet:
    """A set of byte offsets that is made of few, long runs.

    Two parallel sorted lists, the runs' first bytes and the bytes after their last. Runs neither
    overlap nor touch, so both lists ascend strictly and a search needs no comparison of pairs.
    Offsets and lengths are bytes, lengths >= 0; an empty extent adds and removes nothing.
    """

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, offset: int, length: int) -> None:
        """Put these bytes in; runs that they overlap or touch become one."""
        if length <= 0:
            return
        start, end = offset, offset + length
        low = bisect_left(self._ends, start)
        high = bisect_right(self._starts, end)
        if low < high:
            start = min(start, self._starts[low])
            end = max(end, self._ends[high - 1])
        self._starts[low:high] = [start]
        self._ends[low:high] = [end]

    def remove(self, offset: int, length: int) -> None:
        """Take these bytes out, those of them that are in."""
        if length <= 0:
            return
        start, end = offset, offset + length
        low, high = self._touched(start, end)
        if low == high:
            return
        first, last = self._starts[low], self._ends[high - 1]
        starts, ends = [], []
        if first < start:
            starts.append(first)
            ends.append(start)
        if end < last:
            starts.append(end)
            ends.append(last)
        self._starts[low:high] = starts
        self._ends[low:high] = ends

    def overlaps(self, offset: int, length: int) -> bool:
        """Whether any of these bytes is in."""
        if length <= 0:
            return False
        low, high = self._touched(offset, offset + length)
        return low < high

    def covers(self, offset: int, length: int) -> bool:
        """Whether all of these bytes are in. True of no bytes at all."""
        if length <= 0:
            return True
        index = bisect_right(self._starts, offset) - 1
        return index >= 0 and offset + length <= self._ends[index]

    def gaps(self, offset: int, length: int) -> list[Extent]:
        """The runs of these bytes that are not in, ascending."""
        end = offset + max(length, 0)
        low, high = self._touched(offset, end)
        found = []
        for start, stop in zip(self._starts[low:high], self._ends[low:high]):
            if offset < start:
                found.append(Extent(offset, start - offset))
            offset = stop
        if offset < end:
            found.append(Extent(offset, end - offset))
        return found

    def after(self, offset: int) -> Extent | None:
        """The first run from `offset` on, without what is before that; None if nothing is."""
        index = bisect_right(self._ends, offset)
        if index == len(self._ends):
            return None
        start = max(offset, self._starts[index])
        return Extent(start, self._ends[index] - start)

    @property
    def total(self) -> int:
        """How many bytes are in."""
        return sum(self._ends) - sum(self._starts)

    def __iter__(self) -> Iterator[Extent]:
        """The runs, ascending. The set must not change meanwhile."""
        for start, end in zip(self._starts, self._ends):
            yield Extent(start, end - start)

    def __len__(self) -> int:
        """How many runs there are."""
        return len(self._starts)

    def __repr__(self) -> str:
        return f"<RangeSet {', '.join(f'{run.offset}+{run.length}' for run in self)}>"

    def _touched(self, start: int, end: int) -> tuple[int, int]:
        """The slice of runs that share a byte with start..end."""
        return bisect_right(self._ends, start), bisect_left(self._starts, end)
