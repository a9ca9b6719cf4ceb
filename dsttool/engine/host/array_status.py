"""An array's status: its own fields, and those of its offer to clients."""

import os
from typing import Any, cast

from dsttool.engine.array.array import Array
from dsttool.engine.export.offer import Offer
from dsttool.engine.vocabulary.status import ArrayStatus


def array_status(array: Array, offer: Offer) -> ArrayStatus:
    """The status of an array that is offered."""
    counted: dict[str, Any] = offer.status()
    own = array.status()
    for field in ("reads", "writes", "read_bytes", "written_bytes", "errors", "addresses", "sessions"):
        own[field] = counted[field]
    own["read_only"] = offer.read_only
    for member, shown in zip(array.members, own["members"]):
        failure = None if member.node is None else member.node.failure
        trouble = os.strerror(member.trouble) if member.trouble else None
        shown["reason"] = trouble if failure is None else failure.what
    return cast(ArrayStatus, own)
