"""Piece: the part of a request that one member serves."""

from typing import Any

from dsttool.engine.device.request import Request, Sink


class Piece(Request):
    """A request on a member, made by the array out of `parent`.

    slot: the member's; index: which part of the parent; search: a searches.Search once a read did not
    succeed at once.
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
        self.error = 0
        self.search: Any = None
