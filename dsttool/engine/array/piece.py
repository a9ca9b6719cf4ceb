"""What an array makes out of requests: pieces for its members, and locks that no member sees."""

from collections.abc import Callable
from typing import Any, Final

from dsttool.engine.device.request import Request, Sink
from dsttool.engine.mapping.algorithm import Algorithm
from dsttool.engine.mapping.algorithm import Piece as Part
from dsttool.engine.vocabulary.limits import KIB, MIB
from dsttool.engine.vocabulary.operations import FAST_ZERO, FUA, TRIM, WRITE, WRITE_ZEROES

# The op of a lock; no number of NBD's.
LOCK: Final = -1
CHANGES: Final = (WRITE, TRIM, WRITE_ZEROES)
# Parts of what is only done where it is fast (see Trims). The first is up to twice as long as this: enough to
# tell whether a member can, and done in no time if it has to be written after all.
PROBE_BYTES = 128 * KIB
# The others: what a slow disk writes well within the time that one request has.
PART_BYTES = 32 * MIB


class Piece(Request):
    """A request on a member, made by the array out of `parent`.

    slot: the member's; index: which part of the parent; search: a searches.Search once a read did not
    succeed at once. A flush has its epoch and the node's verifier as cookie.
    """

    __slots__ = ("index", "search", "slot")

    def __init__(
        self,
        op: int,
        flags: int,
        offset: int,
        length: int,
        data: Any,
        parent: Request,
        slot: int,
        index: int,
        sink: Sink,
        began: int,
    ) -> None:
        self.op = op
        self.flags = flags
        self.offset = offset
        self.length = length
        self.data = data
        self.parent = parent
        self.slot = slot
        self.index = index
        self.sink = sink
        self.began = began
        self.error = 0
        self.search: Any = None


class Lock(Request):
    """An extent of the array in which nobody writes from `granted` on until it is released.

    It stands in the gate like a write. If the array closes first, it comes back to `sink` with an error.
    """

    __slots__ = ("granted",)

    def __init__(
        self, offset: int, length: int, cookie: Any, granted: Callable[["Lock"], None], sink: Sink
    ) -> None:
        super().__init__(LOCK, FUA, offset, length, None, cookie, sink)  # FUA: there is nothing to flush
        self.granted = granted


def parts_of(algorithm: Algorithm, request: Request) -> list[Part]:
    """A change's parts; what carries no payload may have parts of gigabytes. Always the same ones."""
    if request.op == WRITE:
        return algorithm.split(request.offset, request.length)
    runs = algorithm.runs(request.offset, request.length)
    return _short(runs) if algorithm.spare and if_fast(request) else runs


def if_fast(request: Request) -> bool:
    """Whether it is only to be done where that is fast: see Trims."""
    return request.op == TRIM or (request.op == WRITE_ZEROES and bool(request.flags & FAST_ZERO))


def proves(piece: Piece) -> bool:
    """Whether what was done there is long enough to tell what its member can do."""
    return piece.length >= PROBE_BYTES


def _short(runs: list[Part]) -> list[Part]:
    """Cut at multiples of PART_BYTES on the members, the first part sooner."""
    parts: list[Part] = []
    for slots, offset, length, start in runs:
        begin, end = offset, offset + length
        while begin < end:
            unit, units = (PART_BYTES, 1) if parts else (PROBE_BYTES, 2)
            stop = min((begin // unit + units) * unit, end)
            parts.append(Part(slots, begin, stop - begin, start + begin - offset))
            begin = stop
    return parts
