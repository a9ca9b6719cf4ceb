"""Request: one block operation and, once finished, its answer.

Life of a request: made by whoever needs it (an NBD connection, an array, `cp`), handed to a Device
in a batch, finished exactly once by the device, and returned in a list to its sink, on the
reactor's thread. A finished request belongs to its sink again, but its offset and length stay what
they are: a gate may still hold its extent. A sink that submits again must not do so once per request
from within: a device may answer before `submit` returns, and that would nest.

Until it is finished the payload of a write must not change: nothing is copied for resends. Where the device
retains what it acked (DstNode, NbdNode), not before a later flush has ended either.
"""

from collections.abc import Callable
from typing import Any

Buffer = memoryview | list[memoryview]


class Request:
    """One operation on a device.

    op, flags: vocabulary.operations; offset, length: bytes on the device it is submitted to.
    data: a write's payload (one view of length bytes) on the way down; on the way up what a read brought, as
    one view or as a list of views in order, and for a flush the verifier under which it was done (16 bytes).
    Views keep their pooled segment alive.
    error: 0 or a positive errno, valid once finished.
    cookie: the submitter's own; sink: gets the list of finished requests it is in.
    began: when the submitter began it (ns), if it keeps figures.
    parent, pending: for layers that split a request.
    """

    __slots__ = (
        "began",
        "cookie",
        "data",
        "error",
        "flags",
        "length",
        "offset",
        "op",
        "parent",
        "pending",
        "sink",
    )

    def __init__(
        self,
        op: int,
        flags: int,
        offset: int,
        length: int,
        data: Any,
        cookie: Any,
        sink: "Sink",
        began: int = 0,
    ) -> None:
        self.op = op
        self.flags = flags
        self.offset = offset
        self.length = length
        self.data = data
        self.cookie = cookie
        self.sink = sink
        self.began = began
        self.error = 0

    # Set only by layers that split requests; declared for type checkers, costs nothing here.
    parent: Any
    pending: int

    def __repr__(self) -> str:
        return f"<Request op={self.op} flags={self.flags:#x} {self.offset}+{self.length} error={self.error}>"


Sink = Callable[[list[Request]], None]


def deliver(finished: list[Request]) -> None:
    """Hand finished requests to their sinks, as few lists as their order allows."""
    sink = finished[0].sink
    for request in finished:
        if request.sink is not sink:
            break
    else:
        sink(finished)
        return
    by_sink: dict[Sink, list[Request]] = {}
    for request in finished:
        by_sink.setdefault(request.sink, []).append(request)
    for sink, requests in by_sink.items():
        sink(requests)
