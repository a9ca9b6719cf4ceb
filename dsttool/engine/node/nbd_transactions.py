"""The transactions of an NBD node: which requests they are for."""

import errno
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from dsttool.engine.device.request import Request
from dsttool.engine.node.nbd_dialect import Piece
from dsttool.engine.transaction.table import InFlightTable, Transaction
from dsttool.engine.vocabulary.operations import FLUSH, FUA, TRIM, WRITE, WRITE_ZEROES

CHANGES: Final = frozenset({WRITE, TRIM, WRITE_ZEROES})


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
