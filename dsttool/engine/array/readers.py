"""Which members to read from, and what to do with pieces that were read."""

from collections.abc import Sequence
from typing import Any, Final

from dsttool.engine.array.member import Member
from dsttool.engine.device.request import Request

# Round trips that differ by less than this are equally near: it is the noise of a busy machine.
NEAR_NS: Final = 200_000


def readers(members: Sequence[Member], policy: str) -> list[int]:
    """The slots to read copies from, best first; empty if nobody answers at once.

    policy: nearest (those with about the shortest round trip), round_robin, first.
    """
    usable = [member for member in members if member.in_sync and member.up]
    if policy == "first":
        usable = usable[:1]
    elif policy == "nearest" and len(usable) > 1:
        times = [member.node.rtt_ns or 0 for member in usable if member.node is not None]
        near = 2 * min(times) + NEAR_NS
        usable = [member for member, time in zip(usable, times) if time <= near]
    return [member.slot for member in usable]


def first_in_sync(members: Sequence[Member], slots: Sequence[int]) -> int:
    """The one member that everybody reads from where members may differ."""
    return next((slot for slot in slots if members[slot].in_sync), slots[0])


def flattened(request: Request) -> Any:
    """The pieces' data in order, as one flat list of views (a piece may itself bring a list)."""
    views: list[memoryview] = []
    for data in request.data:
        if type(data) is list:
            views += data
        elif data is not None:
            views.append(data)
    return views
