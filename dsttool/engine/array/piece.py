"""What an array makes out of requests: pieces for its members, and locks that no member sees."""

from collections.abc import Callable
from typing import Any, Final

from dsttool.engine.device.request import Request, Sink
from dsttool.engine.mapping.algorithm import Algorithm
from dsttool.engine.mapping.algorithm import Piece as Part
from dsttool.engine.vocabulary.operations import FUA, TRIM, WRITE, WRITE_ZEROES

# The op of a lock; no number of NBD's.
LOCK: Final = -1
CHANGES: Final = (WRITE, TRIM, WRITE_ZEROES)


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
    """A change's parts; what carries no payload may have parts of gigabytes."""
    split = algorithm.split if request.op == WRITE else algorithm.runs
    return split(request.offset, request.length)
