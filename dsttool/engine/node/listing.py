"""What `tx list` and the live view show of a transaction, whatever the node speaks."""

from typing import Any, Final

from dsttool.engine.device.request import Request
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.transaction.table import ENDLESS
from dsttool.engine.vocabulary.operations import DF, FAIL_FAST, FAST_ZERO, FUA, NAMES, NO_HOLE, REQ_ONE
from dsttool.engine.vocabulary.status import TransactionStatus

_FLAGS: Final = {
    FUA: "FUA",
    NO_HOLE: "NO_HOLE",
    DF: "DF",
    REQ_ONE: "REQ_ONE",
    FAST_ZERO: "FAST_ZERO",
    FAIL_FAST: "FAIL_FAST",
}


def entry(
    node: str,
    policy: Policy,
    request: Request,
    state: str,
    *,
    id_: int,
    started: int,
    now: int,
    attempts: int,
    next_resend_ns: int | None,
) -> TransactionStatus:
    """One transaction, as of `now`. started: ns; ENDLESS if it has no budget, and began at no time."""
    age = max(0, now - started)
    waits = state not in ("exhausted", "frozen") and started != ENDLESS
    return {
        "id": id_,
        "op": NAMES.get(request.op, str(request.op)),
        "flags": [name for flag, name in _FLAGS.items() if request.flags & flag],
        "offset": request.offset,
        "length": request.length,
        "node": node,
        "state": state,
        "age_ns": age,
        "attempts": attempts,
        "attempts_max": policy.resends + 1 if started != ENDLESS else None,
        "next_resend_ns": next_resend_ns,
        "budget_ns": policy.budget_ns if started != ENDLESS else None,
        "budget_left_ns": max(0, policy.budget_ns - age) if waits else None,
        "client": client_of(request),
    }


def client_of(request: Request) -> str | None:
    """Who asked for it in the end; None if that is not known.

    Nothing is kept for this: a request's sink belongs to whoever made it, and that one says in `peer` who it
    is, or whom it serves.
    """
    while True:
        parent: Request | None = getattr(request, "parent", None)
        if parent is None:
            break
        request = parent
    maker: Any = getattr(request.sink, "__self__", None)
    return getattr(maker, "peer", None)
