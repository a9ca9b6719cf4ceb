"""The transactions of an NBD node: which requests they are for, and what `tx list` shows of them."""

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from dsttool.engine.device.request import Request
from dsttool.engine.node.nbd_dialect import Piece
from dsttool.engine.node.nbd_extents import Extents
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.transaction.table import InFlightTable, Transaction
from dsttool.engine.vocabulary.operations import (
    DF,
    FAIL_FAST,
    FAST_ZERO,
    FLUSH,
    FUA,
    NAMES,
    NO_HOLE,
    REQ_ONE,
    TRIM,
    WRITE,
    WRITE_ZEROES,
)
from dsttool.engine.vocabulary.status import TransactionStatus

CHANGES: Final = frozenset({WRITE, TRIM, WRITE_ZEROES})
_FLAGS: Final = {
    FUA: "FUA",
    NO_HOLE: "NO_HOLE",
    DF: "DF",
    REQ_ONE: "REQ_ONE",
    FAST_ZERO: "FAST_ZERO",
    FAIL_FAST: "FAIL_FAST",
}


def root_of(request: Request) -> Request:
    """The node's request that this one is, or is a piece of."""
    return request.parent if type(request) is Piece else request


def changes_of(transactions: Iterable[Transaction]) -> Iterator[Request]:
    """The requests that change something which these transactions are for, one for each of these."""
    for transaction in transactions:
        root = root_of(transaction.request)
        if root.op in CHANGES:
            yield root


def may_have_dropped(request: Request) -> bool:
    """Whether a server that failed so may have dropped what it could not bring to its storage."""
    return request.error == errno.EIO and (
        request.op == FLUSH or (request.op in CHANGES and bool(request.flags & FUA))
    )


def take_out(table: InFlightTable, matches: Callable[[Request], bool]) -> list[Transaction]:
    """Take transactions out of the table; those that waited for the window have the id 0."""
    taken = [t for t in table.in_flight.values() if matches(t.request)]
    for transaction in taken:
        del table.in_flight[transaction.id]
    entries = [entry for entry in table.backlog if matches(entry[0])]
    if entries:
        kept = [entry for entry in table.backlog if not matches(entry[0])]
        table.backlog.clear()
        table.backlog.extend(kept)
    return taken + [Transaction(0, *entry) for entry in entries]


def transactions_of(
    node: str,
    now: int,
    policy: Policy,
    unfinished: Mapping[Request, int],
    table: InFlightTable,
    extents: Extents,
    resend_ns: int | None,
) -> list[TransactionStatus]:
    """One entry for each request, whatever the number of its pieces; oldest first.

    unfinished: when each was submitted, in ns. resend_ns: until the link is given up if nothing comes.
    """
    sent: dict[Request, tuple[int, int]] = {}
    for transaction in table.in_flight.values():
        sent.setdefault(root_of(transaction.request), (transaction.id, transaction.attempts))
    listed = [
        _entry(node, request, "exhausted", id=0, age_ns=0, attempts=0) for request in extents.exhausted()
    ]
    for request, started in unfinished.items():
        id_, attempts = sent.get(request, (0, 0))
        left = started + policy.budget_ns - now
        if left <= 0 and policy.on_exhausted == "freeze":
            state = "frozen"
        else:
            state = "in_flight" if attempts else "queued"
        entry = _entry(node, request, state, id=id_, age_ns=now - started, attempts=attempts)
        entry["next_resend_ns"] = resend_ns if attempts else None
        entry["budget_left_ns"] = None if state == "frozen" else max(0, left)
        listed.append(entry)
    return listed


def _entry(node: str, request: Request, state: str, **fields: Any) -> TransactionStatus:
    return {
        "op": NAMES.get(request.op, str(request.op)),
        "flags": [name for flag, name in _FLAGS.items() if request.flags & flag],
        "offset": request.offset,
        "length": request.length,
        "node": node,
        "state": state,
        "next_resend_ns": None,
        "budget_left_ns": None,
        **fields,  # type: ignore[typeddict-item]
    }
