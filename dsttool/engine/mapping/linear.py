"""Linear: the members one after the other."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, ClassVar

from dsttool.engine.mapping.algorithm import Algorithm


class Linear(Algorithm):
    """Every member is used whole; they may differ in size. None may be missing."""

    name: ClassVar[str] = "linear"

    def __init__(self, member_sizes: Sequence[int], **parameters: Any) -> None:
        super().__init__(member_sizes, **parameters)
        self._sizes = tuple(member_sizes)
        self._ends = list(accumulate(member_sizes))
        # Where one member ends and the next begins: a search here never goes past the last member.
        self._bounds = self._ends[:-1]
        self._starts = [0, *self._bounds]
        self._alone = [(slot,) for slot in range(self.slots)]
        self.size = self._ends[-1]
        self.spare = 0

    def locate(self, offset: int, length: int) -> tuple[tuple[int, ...], int] | None:
        """See Algorithm.locate."""
        slot = bisect_right(self._bounds, offset)
        if offset + length > self._ends[slot]:
            return None
        return self._alone[slot], offset - self._starts[slot]

    def room(self, offset: int) -> int:
        """See Algorithm.room."""
        return self._ends[bisect_right(self._bounds, offset)] - offset

    def join(self, slot: int, offset: int, length: int) -> list[tuple[int, int]]:
        """See Algorithm.join."""
        run = min(length, self._sizes[slot] - offset)
        return [(self._starts[slot] + offset, run)] if run > 0 else []

    def member_size(self, slot: int) -> int:
        """See Algorithm.member_size."""
        return self._sizes[slot]
