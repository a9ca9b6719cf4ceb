"""Extent: contiguous bytes of a device."""

from typing import NamedTuple


class Extent(NamedTuple):
    """`length` bytes from `offset` on."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The offset of the first byte after the extent."""
        return self.offset + self.length
