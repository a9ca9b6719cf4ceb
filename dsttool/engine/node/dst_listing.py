"""What `tx list` and the live view show of a DST node's transactions."""

import heapq
from collections import Counter
from collections.abc import Iterator
from operator import attrgetter, itemgetter

from dsttool.engine.node.dst_extents import Extents
from dsttool.engine.node.dst_links import Links
from dsttool.engine.node.listing import entry
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.transaction.table import InFlightTable, Transaction
from dsttool.engine.vocabulary.status import TransactionStatus

_STARTED = attrgetter("started")


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
        """Oldest first. Which ones is decided now; each is looked at when it is taken."""
        table = self._table
        sent = [*self._extents.locked.values(), *table.doubted.values(), *table.in_flight.values()]
        sent.sort(key=_STARTED)  # they nearly are: what was lost comes once more, and later
        waiting = sorted(table.backlog, key=itemgetter(1))
        queued = (Transaction(0, request, started) for request, started in waiting)
        return map(self._entry, heapq.merge(sent, queued, key=_STARTED))

    def states(self) -> Counter[str]:
        """How many are in each state."""
        table, held = self._table, self._extents.held
        found = Counter(map(self._state, (*table.doubted.values(), *table.in_flight.values())))
        if self._extents.locked:
            found["exhausted"] = len(self._extents.locked)
        if self._policy.on_exhausted == "freeze":
            found.update(self._state(Transaction(0, *waiting)) for waiting in table.backlog)
        elif table.backlog:
            # Nothing but being held tells those apart that the window has not admitted.
            there = sum(1 for admitted in held.values() if admitted is None)
            found["held"] += there
            found["queued"] += len(table.backlog) - there
        return +found

    def _state(self, transaction: Transaction) -> str:
        if self._extents.locked.get(transaction.id) is transaction:
            return "exhausted"
        ended = transaction.started + self._policy.budget_ns <= self._now
        if ended and self._policy.on_exhausted == "freeze":
            return "frozen"
        if transaction.attempts:
            return "in_flight" if transaction.link in self._up else "resend"
        return "held" if transaction.request in self._extents.held else "queued"

    def _entry(self, transaction: Transaction) -> TransactionStatus:
        state = self._state(transaction)
        return entry(
            self._node,
            self._policy,
            transaction.request,
            state,
            id_=transaction.id,
            started=transaction.started,
            now=self._now,
            attempts=transaction.attempts,
            next_resend_ns=None if state in ("in_flight", "exhausted") else self._resend,
        )
