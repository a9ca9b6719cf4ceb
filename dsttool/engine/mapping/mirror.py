"""Mirror: every member holds everything."""

from collections.abc import Sequence
from typing import Any, ClassVar

from dsttool.engine.mapping.algorithm import Algorithm


class Mirror(Algorithm):
    """As large as its smallest member. All members but one may be missing."""

    name: ClassVar[str] = "mirror"
    members_min: ClassVar[int] = 2

    def __init__(self, member_sizes: Sequence[int], **parameters: Any) -> None:
        super().__init__(member_sizes, **parameters)
        self._all = tuple(range(self.slots))
        self.size = min(member_sizes)
        self.spare = self.slots - 1

    def locate(self, offset: int, length: int) -> tuple[tuple[int, ...], int] | None:
        """See Algorithm.locate. Always one piece."""
        return self._all, offset

    def room(self, offset: int) -> int:
        """See Algorithm.room."""
        return self.size - offset

    def join(self, slot: int, offset: int, length: int) -> list[tuple[int, int]]:
        """See Algorithm.join."""
        run = min(length, self.size - offset)
        return [(offset, run)] if run > 0 else []

    def member_size(self, slot: int) -> int:
        """See Algorithm.member_size."""
        return self.size
