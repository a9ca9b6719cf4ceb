"""DirtyMap: what a member that is not in sync lacks, a byte for each chunk.

    CLEAN   it holds what the array holds, on stable storage
    DIRTY   it missed something there
    LOOSE   it holds what the array holds, but may lose it with its power: that was never flushed

    CLEAN, LOOSE --mark--> DIRTY --copied--> LOOSE --flushed--> CLEAN
    CLEAN --loosen--> LOOSE --lost--> DIRTY

A chunk is dirty as a whole. Chunks are small where memory allows: writes of 4 KiB, wherever they are, then
make no more than that dirty. Beyond CHUNKS_MAX of them chunks grow, up to 1 MiB.
"""

from typing import Final

from dsttool.engine.extents.extent import Extent

CLEAN: Final = 0
DIRTY: Final = 1
LOOSE: Final = 2

# A map of 1 MiB: devices of up to 4 GiB have chunks of 4 KiB, those of 1 TiB chunks of 1 MiB. Chunks
# that are larger still would be copied for every small write, so beyond that maps grow instead.
CHUNKS_MAX: Final = 1 << 20
_SHIFT_MIN: Final = 12
_SHIFT_MAX: Final = 20

# What becomes of each state, as tables for `translate`, which wants all 256.
_REST: Final = bytes(range(3, 256))
_LOOSEN: Final = bytes([LOOSE, DIRTY, LOOSE]) + _REST
_FLUSH: Final = bytes([CLEAN, DIRTY, CLEAN]) + _REST
_LOSE: Final = bytes([CLEAN, DIRTY, DIRTY]) + _REST


def chunk_shift(size: int, block: int = 1) -> int:
    """The chunk to use for a device of `size` bytes and such blocks, as a power of two."""
    shift = max(_SHIFT_MIN, (block - 1).bit_length())
    while shift < _SHIFT_MAX and chunk_count(size, shift) > CHUNKS_MAX:
        shift += 1
    return shift


def chunk_count(size: int, shift: int) -> int:
    """How many chunks of 1 << shift bytes it takes."""
    return -(-size >> shift)


class DirtyMap:
    """The map of `size` bytes of one member. Extents lie within it, in bytes."""

    __slots__ = ("_chunks", "_count", "shift", "size")

    def __init__(self, size: int, shift: int, *, dirty: bool = False) -> None:
        self.size = size
        self.shift = shift
        count = chunk_count(size, shift)
        self._chunks = bytearray([DIRTY]) * count if dirty else bytearray(count)
        self._count = count if dirty else 0

    @property
    def dirty_bytes(self) -> int:
        """How much is dirty."""
        total = self._count << self.shift
        short = -self.size & ((1 << self.shift) - 1)
        return total - short if short and self._chunks[-1] == DIRTY else total

    @property
    def loose(self) -> bool:
        """Whether anything waits for a flush."""
        return LOOSE in self._chunks

    def mark(self, offset: int, length: int) -> None:
        """The member lacks something there."""
        if length <= 0:
            return
        chunks = self._chunks
        first, end = self._range(offset, length)
        if end - first == 1:
            self._count += chunks[first] != DIRTY
            chunks[first] = DIRTY
        else:
            self._count += end - first - chunks.count(DIRTY, first, end)
            chunks[first:end] = bytes([DIRTY]) * (end - first)

    def loosen(self, offset: int, length: int) -> None:
        """What it holds there it may lose."""
        if length > 0:
            first, end = self._range(offset, length)
            self._chunks[first:end] = self._chunks[first:end].translate(_LOOSEN)

    def copied(self, offset: int, length: int) -> None:
        """It was given what the array holds in these chunks. They must be whole ones."""
        chunk = (1 << self.shift) - 1
        end = offset + length
        assert not offset & chunk, "part of a chunk was copied"
        assert not end & chunk or end == self.size, "part of a chunk was copied"
        first, stop = self._range(offset, length)
        self._count -= self._chunks.count(DIRTY, first, stop)
        self._chunks[first:stop] = bytes([LOOSE]) * (stop - first)

    def flushed(self) -> None:
        """All that is loose has reached stable storage."""
        self._chunks[:] = self._chunks.translate(_FLUSH)

    def lost(self) -> None:
        """All that was loose may be gone."""
        self._chunks[:] = self._chunks.translate(_LOSE)
        self._count = self._chunks.count(DIRTY)

    def next_run(self, offset: int, longest: int) -> Extent | None:
        """The first dirty chunks at or after `offset` that lie side by side: whole ones, at least one, and
        not more than `longest` bytes unless a chunk is larger. None if there are none."""
        first = self._chunks.find(DIRTY, chunk_count(offset, self.shift))
        if first < 0:
            return None
        end = first + 1
        stop = min(len(self._chunks), first + max(1, longest >> self.shift))
        while end < stop and self._chunks[end] == DIRTY:
            end += 1
        start = first << self.shift
        return Extent(start, min(end << self.shift, self.size) - start)

    def _range(self, offset: int, length: int) -> tuple[int, int]:
        assert 0 <= offset <= offset + length <= self.size, "the extent leaves the member"
        return offset >> self.shift, (offset + length - 1 >> self.shift) + 1
