"""The in-flight table: every transaction of one node, from its start to its end.

    queued -> in flight -> acked | failed          (each send: attempts + 1)

* Ids grow and are never used again in a session; they begin at 1.
* At most `window` transactions, of at most `window_bytes`, are in the table. What comes beyond
  waits in the backlog, in order. One is always admitted, however large.
* Entries keep the order of their start, so the first is the oldest: one deadline for all of them
  suffices, and no transaction has a timer of its own.
* A write is sent again only by `resend`, in the order of ids, so that of two writes the later wins.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any

from dsttool.engine.vocabulary.operations import READ, WRITE


class Transaction:
    """A request's trip over a link. started: ns; attempts: times sent."""

    __slots__ = ("attempts", "id", "request", "started")

    def __init__(self, id_: int, request: Any, started: int) -> None:
        self.id = id_
        self.request = request
        self.started = started
        self.attempts = 0


class InFlightTable:
    """Transactions by id, with a window and a backlog.

    in_flight: the table itself; the caller pops what is answered and then calls `settle`.
    """

    def __init__(self, window: int, window_bytes: int) -> None:
        self.window = window
        self.window_bytes = window_bytes
        self.in_flight: dict[int, Transaction] = {}
        self.backlog: deque[tuple[Any, int]] = deque()
        self.bytes = 0
        self.resends = 0
        self._next_id = 1

    def __len__(self) -> int:
        return len(self.in_flight) + len(self.backlog)

    def start(self, requests: Iterable[Any], now: int) -> list[Transaction]:
        """Begin transactions for requests; those the window admits are returned, to be sent."""
        table, backlog = self.in_flight, self.backlog
        admitted: list[Transaction] = []
        id_, total = self._next_id, self.bytes
        room = self.window - len(table)
        for request in requests:
            if backlog or room <= 0 or total >= self.window_bytes:
                backlog.append((request, now))
                continue
            transaction = Transaction(id_, request, now)
            table[id_] = transaction
            admitted.append(transaction)
            id_ += 1
            room -= 1
            if request.op <= WRITE:
                total += request.length
        self._next_id, self.bytes = id_, total
        return admitted

    def settle(self, finished: Iterable[Any]) -> list[Transaction]:
        """Take the finished requests' bytes off the window; returns what the backlog may send now."""
        for request in finished:
            if request.op <= WRITE:
                self.bytes -= request.length
        return self._refill() if self.backlog else []

    def put_back(self, transaction: Transaction) -> None:
        """It was popped, but what came is no answer: in flight again, in its old place."""
        self.in_flight[transaction.id] = transaction
        in_order = sorted(self.in_flight.items())
        self.in_flight.clear()
        self.in_flight.update(in_order)

    def _refill(self) -> list[Transaction]:
        admitted = []
        backlog, table = self.backlog, self.in_flight
        while backlog and len(table) < self.window and self.bytes < self.window_bytes:
            request, started = backlog.popleft()
            transaction = Transaction(self._next_id, request, started)
            table[self._next_id] = transaction
            self._next_id += 1
            if request.op <= WRITE:
                self.bytes += request.length
            admitted.append(transaction)
        return admitted

    def resend(self) -> list[Transaction]:
        """All unanswered transactions, oldest id first: for a link that has just come up."""
        transactions = list(self.in_flight.values())
        self.resends += sum(1 for transaction in transactions if transaction.attempts)
        return transactions

    @property
    def floor(self) -> int:
        """The lowest id that has no answer yet."""
        return next(iter(self.in_flight), self._next_id)

    def oldest(self) -> int | None:
        """When the oldest one was started (ns), or None if there is none."""
        if self.in_flight:
            return next(iter(self.in_flight.values())).started
        return self.backlog[0][1] if self.backlog else None

    def expire(self, before: int) -> list[Transaction]:
        """Take out everything started at or before `before`; backlog entries get the id 0."""
        expired = []
        for transaction in self.in_flight.values():
            if transaction.started > before:
                break
            expired.append(transaction)
        for transaction in expired:
            del self.in_flight[transaction.id]
        while self.backlog and self.backlog[0][1] <= before:
            request, started = self.backlog.popleft()
            expired.append(Transaction(0, request, started))
        return expired

    def take_reads(self, flag: int, before: int) -> list[Transaction]:
        """Take out the READs that carry `flag` and were started at or before `before`."""
        taken = [
            transaction
            for transaction in self.in_flight.values()
            if transaction.request.op == READ
            and transaction.request.flags & flag
            and transaction.started <= before
        ]
        for transaction in taken:
            del self.in_flight[transaction.id]
        kept: deque[tuple[Any, int]] = deque()
        for request, started in self.backlog:
            if request.op == READ and request.flags & flag and started <= before:
                taken.append(Transaction(0, request, started))
            else:
                kept.append((request, started))
        self.backlog = kept
        return taken

    def take_all(self) -> list[Transaction]:
        """Take out everything: the node gives up."""
        everything = [*self.in_flight.values(), *(Transaction(0, *entry) for entry in self.backlog)]
        self.in_flight.clear()
        self.backlog.clear()
        return everything
