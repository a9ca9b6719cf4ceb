"""Stripe: chunks dealt to the members in turn, row by row."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from dsttool.engine.mapping.algorithm import Algorithm, Piece
from dsttool.engine.vocabulary.errors import UsageError
from dsttool.engine.vocabulary.limits import KIB

# The largest block that devices commonly insist on; a chunk's edge must never fall inside one.
SECTOR_BYTES: Final = 512


class Stripe(Algorithm):
    """Chunk c is chunk c // slots of member c % slots. None may be missing.

    Each member is used as far as the smallest one's last whole chunk. Parameter: `chunk`, in
    bytes, a multiple of 512.
    """

    name: ClassVar[str] = "stripe"
    defaults: ClassVar[Mapping[str, Any]] = {"chunk": 64 * KIB}

    def __init__(self, member_sizes: Sequence[int], **parameters: Any) -> None:
        super().__init__(member_sizes, **parameters)
        chunk = self._parameters["chunk"]
        if not isinstance(chunk, int) or chunk <= 0 or chunk % SECTOR_BYTES:
            raise UsageError(
                f"A chunk cannot be {chunk!r} bytes.", f"Use a multiple of {SECTOR_BYTES}, such as 64K."
            )
        smallest = min(member_sizes)
        if smallest < chunk:
            slot = list(member_sizes).index(smallest)
            raise UsageError(
                f"The member in slot {slot} has {smallest} bytes, less than one chunk of {chunk}.",
                "Leave it out, enlarge it, or use smaller chunks.",
            )
        self._chunk: int = chunk
        self._used = smallest // chunk * chunk
        self._alone = [(slot,) for slot in range(self.slots)]
        self.size = self._used * self.slots
        self.spare = 0

    def locate(self, offset: int, length: int) -> tuple[tuple[int, ...], int] | None:
        """See Algorithm.locate."""
        chunk = self._chunk
        slots = self.slots
        within = offset % chunk
        if within + length > chunk:
            return None
        index = offset // chunk
        return self._alone[index % slots], index // slots * chunk + within

    def room(self, offset: int) -> int:
        """See Algorithm.room."""
        return self._chunk - offset % self._chunk

    def runs(self, offset: int, length: int) -> list[Piece]:
        """See Algorithm.runs. One for each member, without going through the chunks."""
        pieces = []
        for slot in range(self.slots):
            first, end = self._before(slot, offset), self._before(slot, offset + length)
            if first < end:
                start = self.join(slot, first, 1)[0][0] - offset
                pieces.append(Piece(self._alone[slot], first, end - first, start))
        return sorted(pieces, key=lambda piece: piece.start)

    def _before(self, slot: int, offset: int) -> int:
        """How many bytes of the member lie before this offset of the array."""
        row, within = divmod(offset, self._chunk * self.slots)
        return row * self._chunk + min(max(within - slot * self._chunk, 0), self._chunk)

    def join(self, slot: int, offset: int, length: int) -> list[tuple[int, int]]:
        """See Algorithm.join. An extent for each chunk."""
        chunk = self._chunk
        end = min(offset + length, self._used)
        extents = []
        while offset < end:
            row, within = divmod(offset, chunk)
            run = min(chunk - within, end - offset)
            extents.append(((row * self.slots + slot) * chunk + within, run))
            offset += run
        return extents

    def member_size(self, slot: int) -> int:
        """See Algorithm.member_size."""
        return self._used
