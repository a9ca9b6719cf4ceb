"""What `tx list` shows of a DST node's transactions."""

from collections.abc import Iterator
from typing import Final

from dsttool.engine.node.dst_extents import Extents
from dsttool.engine.node.dst_links import Links
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.transaction.table import ENDLESS, InFlightTable, Transaction
from dsttool.engine.vocabulary.operations import FAIL_FAST, FAST_ZERO, FUA, NAMES, NO_HOLE
from dsttool.engine.vocabulary.status import TransactionStatus

_FLAGS: Final = {FUA: "FUA", NO_HOLE: "NO_HOLE", FAST_ZERO: "FAST_ZERO", FAIL_FAST: "FAIL_FAST"}


class Listing:
    """All of one node's transactions, as of `now` (ns)."""

    def __init__(
        self, node: str, now: int, policy: Policy, table: InFlightTable, extents: Extents, links: Links
    ) -> None:
        self._node = node
        self._now = now
        self._policy = policy
        self._table = table
        self._extents = extents
        self._up = links.up
        attempts = [link.retry_at for link in links.all if link.retry_at is not None]
        self._resend = max(0, min(attempts) - now) if attempts and not links.up else None

    def entries(self) -> Iterator[TransactionStatus]:
        """Those that have given up first, for they are the oldest; then in the order of their ids."""
        for locked in self._extents.locked.values():
            yield self._entry(locked, "exhausted")
        for sent in (*self._table.doubted.values(), *self._table.in_flight.values()):
            yield self._entry(sent, self._state(sent))
        for request, started in self._table.backlog:
            waiting = Transaction(0, request, started)
            yield self._entry(waiting, self._state(waiting))

    def _state(self, transaction: Transaction) -> str:
        ended = transaction.started + self._policy.budget_ns <= self._now
        if ended and self._policy.on_exhausted == "freeze":
            return "frozen"
        if transaction.attempts:
            return "in_flight" if transaction.link in self._up else "resend"
        return "held" if transaction.request in self._extents.held else "queued"

    def _entry(self, transaction: Transaction, state: str) -> TransactionStatus:
        request = transaction.request
        age = max(0, self._now - transaction.started)  # what has no budget began at no time
        budget = state not in ("exhausted", "frozen") and transaction.started != ENDLESS
        return {
            "id": transaction.id,
            "op": NAMES.get(request.op, str(request.op)),
            "flags": [name for flag, name in _FLAGS.items() if request.flags & flag],
            "offset": request.offset,
            "length": request.length,
            "node": self._node,
            "state": state,
            "age_ns": age,
            "attempts": transaction.attempts,
            "next_resend_ns": None if state in ("in_flight", "exhausted") else self._resend,
            "budget_left_ns": max(0, self._policy.budget_ns - age) if budget else None,
        }
