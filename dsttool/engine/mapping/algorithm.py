"""Algorithm: how an array's bytes lie on its members. Every layout is one of these.

An algorithm is a pure map that never changes, made from the members' sizes. It knows no device, no
state of a member and no request. All users of an array's geometry (read, write, trim, write
zeroes, resync, scrub) ask the same few questions here, so offset arithmetic is written once.

The data of a piece is on `slots`, whole and alike on each of them: one slot if there is a single
copy, several in a mirror. A read takes any one of them that is in sync; a write goes to all.

Layouts with parity (WEAVER) fit in beside this without a change for who calls `split`, `locate` or
`join`: those keep meaning where the data itself is, parity is no array byte, and `member_size`
counts both. What they add are two questions, whose answer for copies is "nothing": what to read and
XOR when all slots of a piece are missing, and what else to read and write so that a write keeps
the parity true. `spare` already says how many members may be missing.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from dsttool.engine.vocabulary.errors import UsageError
from dsttool.engine.vocabulary.suggest import suggest


class Piece(NamedTuple):
    """Part of a request for one member, or for several that hold the same.

    slots: the members that all hold it; offset, length: bytes on each of those members;
    start: bytes from the beginning of the request to the piece.
    """

    slots: tuple[int, ...]
    offset: int
    length: int
    start: int


class Algorithm(ABC):
    """Made as `cls(member_sizes, **parameters)`; UsageError if those do not make an array.

    `name`: the layout's; `defaults`: its parameters and their default values; `members_min`: how
    few members it works with. A subclass names these, and sets `size` (bytes of the array) and
    `spare` (how many members may be missing) when it is made. `slots`: how many members.

    Extents that are asked about lie within the array (or the member): that was checked when the
    request came in. An empty one, which may be at the very end, `locate` places and has no pieces.
    """

    name: ClassVar[str]
    defaults: ClassVar[Mapping[str, Any]] = {}
    members_min: ClassVar[int] = 1
    size: int
    spare: int

    def __init__(self, member_sizes: Sequence[int], **parameters: Any) -> None:
        self._check_parameters(parameters)
        self.slots = len(member_sizes)
        if self.slots < self.members_min:
            needed = f"at least {self.members_min} member{'s' if self.members_min > 1 else ''}"
            raise UsageError(f"The layout {self.name} needs {needed}, not {self.slots}.", "Add members.")
        for slot, size in enumerate(member_sizes):
            if size <= 0:
                raise UsageError(f"The member in slot {slot} has no bytes.", "Leave it out, or enlarge it.")
        self._parameters = {**self.defaults, **parameters}

    def parameters(self) -> dict[str, Any]:
        """All parameters with their values, such that the same array can be made again."""
        return dict(self._parameters)

    @abstractmethod
    def locate(self, offset: int, length: int) -> tuple[tuple[int, ...], int] | None:
        """The slots and the offset on those members if the extent is one piece, else None.

        The hot path asks this first; `split` is for the rest.
        """

    @abstractmethod
    def room(self, offset: int) -> int:
        """How many bytes from `offset` on lie in one piece."""

    @abstractmethod
    def join(self, slot: int, offset: int, length: int) -> list[tuple[int, int]]:
        """The array's extents (offset, length) that this extent of a member holds, in its order.

        The inverse of `split`. Bytes of the member that hold none of the array's are left out.
        """

    @abstractmethod
    def member_size(self, slot: int) -> int:
        """How many bytes of this member are in use, from its beginning."""

    def split(self, offset: int, length: int) -> list[Piece]:
        """The pieces of an extent, in its order and without gaps."""
        assert 0 <= offset <= offset + length <= self.size, "the extent leaves the array"
        pieces = []
        start = 0
        while start < length:
            run = min(self.room(offset + start), length - start)
            place = self.locate(offset + start, run)
            assert run > 0, "room() of a byte of the array is never 0"
            assert place is not None, "what room() allows, locate() places"
            pieces.append(Piece(place[0], place[1], run, start))
            start += run
        return pieces

    def runs(self, offset: int, length: int) -> list[Piece]:
        """As `split`, but what lies side by side on its members is one piece, in the order of `start`.

        For operations without payload: a trim of gigabytes is then a few pieces, whatever the chunk.
        `start` is where a piece begins; the request's bytes from there on are not all in it.
        """
        joined: dict[tuple[int, ...], list[Piece]] = {}
        for piece in self.split(offset, length):
            same = joined.setdefault(piece.slots, [])
            if same and same[-1].offset + same[-1].length == piece.offset:
                same[-1] = same[-1]._replace(length=same[-1].length + piece.length)
            else:
                same.append(piece)
        return sorted((piece for same in joined.values() for piece in same), key=lambda piece: piece.start)

    def _check_parameters(self, parameters: Mapping[str, Any]) -> None:
        for parameter in parameters:
            if parameter not in self.defaults:
                near = suggest(parameter, self.defaults)
                known = ", ".join(self.defaults)
                raise UsageError(
                    f"The layout {self.name} has no parameter '{parameter}'.",
                    f"Did you mean '{near}'?" if near else f"It takes {known or 'none'}.",
                )
