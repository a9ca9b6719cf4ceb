"""The in-flight table: every transaction of one node, from its start to its end.

    queued -> in flight -> acked | failed          (each send: attempts + 1)

* Ids grow and are never used again in a session; they begin at 1. The lowest and the highest without
  an answer are less than ID_WINDOW apart.
* At most `window` transactions, of at most `window_bytes`, are in the table. What comes beyond
  waits in the backlog, in order. One is always admitted, however large.
* No transaction has a timer of its own: one deadline, that of the oldest, suffices.
* What is doubted was sent before the other end lost what it had not flushed, and may have been carried out
  before that too: whatever is answered, it is done again, with a new id, once it has an answer.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Final

from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.operations import READ, TRIM, WRITE, WRITE_ZEROES

CHANGES: Final = (WRITE, TRIM, WRITE_ZEROES)


# When a transaction started for which no budget runs.
ENDLESS: Final = 1 << 62


class Transaction:
    """A request's trip over a link. started: ns; attempts: times sent; link: the last one, once sent."""

    __slots__ = ("attempts", "id", "link", "request", "started")
    link: Any

    def __init__(self, id_: int, request: Any, started: int) -> None:
        self.id = id_
        self.request = request
        self.started = started
        self.attempts = 0


class InFlightTable:
    """Transactions by id, with a window and a backlog.

    in_flight: the table itself; the caller pops what is answered and then calls `settle`. hold: while it is
    set, everything new goes to the backlog, and stays there.
    """

    def __init__(self, window: int, window_bytes: int) -> None:
        self.window = window
        self.window_bytes = window_bytes
        self.in_flight: dict[int, Transaction] = {}
        self.doubted: dict[int, Transaction] = {}
        self.backlog: deque[tuple[Any, int]] = deque()
        self.bytes = 0
        self.resends = 0
        self.hold = False
        self._next_id = 1

    def __len__(self) -> int:
        return len(self.in_flight) + len(self.doubted) + len(self.backlog)

    def start(self, requests: Iterable[Any], now: int) -> list[Transaction]:
        """Begin transactions for requests; those the window admits are returned, to be sent."""
        table, backlog = self.in_flight, self.backlog
        admitted: list[Transaction] = []
        id_, total = self._next_id, self.bytes
        room = self._room()
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

    def _room(self) -> int:
        """How many transactions may be admitted now."""
        if self.hold:
            return 0
        return min(self.window - len(self.in_flight), self.ids_left)

    @property
    def ids_left(self) -> int:
        """How many more may begin before the lowest has an answer."""
        return self.floor + limits.ID_WINDOW - self._next_id

    def begin(self, requests: Iterable[Any]) -> list[Transaction]:
        """Begin transactions past the window and the backlog, without a budget, as far as ids reach."""
        began: list[Transaction] = []
        for request in islice(requests, max(self.ids_left, 0)):
            transaction = Transaction(self._next_id, request, ENDLESS)
            self.in_flight[self._next_id] = transaction
            self._next_id += 1
            began.append(transaction)
            if request.op <= WRITE:
                self.bytes += request.length
        return began

    def settle(self, finished: Iterable[Any]) -> list[Transaction]:
        """Take the finished requests' bytes off the window; returns what the backlog may send now."""
        for request in finished:
            if request.op <= WRITE:
                self.bytes -= request.length
        return self.refill() if self.backlog else []

    def put_back(self, transaction: Transaction) -> None:
        """It was popped, but what came is no answer: in flight again, in its old place."""
        self.in_flight[transaction.id] = transaction
        in_order = sorted(self.in_flight.items())
        self.in_flight.clear()
        self.in_flight.update(in_order)

    def refill(self) -> list[Transaction]:
        """What the backlog may send now."""
        admitted = []
        backlog, table = self.backlog, self.in_flight
        room = self._room()
        while backlog and room > 0 and self.bytes < self.window_bytes:
            request, started = backlog.popleft()
            transaction = Transaction(self._next_id, request, started)
            table[self._next_id] = transaction
            self._next_id += 1
            room -= 1
            if request.op <= WRITE:
                self.bytes += request.length
            admitted.append(transaction)
        return admitted

    def take_known(self, statuses: Mapping[int, int]) -> list[Any]:
        """Take out what was sent and has a status (0 or an errno) by now; the requests, errors set."""
        finished = []
        for id_, transaction in list(self.in_flight.items()):
            status = statuses.get(id_)
            if status is not None and transaction.attempts and transaction.request.op in CHANGES:
                del self.in_flight[id_]
                transaction.request.error = status
                finished.append(transaction.request)
        return finished

    def doubt(self, may_run: Callable[[Transaction], bool]) -> None:
        """The other end has lost what was not flushed: nothing that was sent before counts.

        Changes that may run are doubted; all else goes back to the front of the backlog, in order.
        """
        again = []
        for id_, transaction in self.in_flight.items():
            if transaction.attempts and transaction.request.op in CHANGES and may_run(transaction):
                self.doubted[id_] = transaction
            else:
                again.append(transaction)
        self.in_flight.clear()
        self._to_backlog(again)

    def believe(self, ids: Iterable[int]) -> list[Transaction]:
        """These are doubted no longer: they have ended at the other end. What the backlog may send now."""
        found = (self.doubted.pop(id_, None) for id_ in ids)
        self._to_backlog([transaction for transaction in found if transaction is not None])
        return self.refill()

    def withdraw(self, unwanted: Callable[[Any], bool]) -> None:
        """Take out of the backlog what nobody wants any more."""
        self.backlog = deque(entry for entry in self.backlog if not unwanted(entry[0]))

    def _to_backlog(self, transactions: list[Transaction]) -> None:
        for transaction in reversed(transactions):
            if transaction.request.op <= WRITE:
                self.bytes -= transaction.request.length
            self.resends += transaction.attempts > 0
            self.backlog.appendleft((transaction.request, transaction.started))

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
        starts = [t.started for t in (*self.in_flight.values(), *self.doubted.values())]
        if self.backlog:
            starts.append(min(started for _, started in self.backlog))
        return min(starts, default=None)

    def expire(self, before: int) -> list[Transaction]:
        """Take out everything started at or before `before`; backlog entries get the id 0."""
        expired = []
        for table in (self.doubted, self.in_flight):
            gone = [transaction for transaction in table.values() if transaction.started <= before]
            for transaction in gone:
                del table[transaction.id]
            expired += gone
        if any(started <= before for _, started in self.backlog):
            kept: deque[tuple[Any, int]] = deque()
            for request, started in self.backlog:
                if started <= before:
                    expired.append(Transaction(0, request, started))
                else:
                    kept.append((request, started))
            self.backlog = kept
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
        sent = [*self.doubted.values(), *self.in_flight.values()]
        everything = [*sent, *(Transaction(0, *entry) for entry in self.backlog)]
        self.doubted.clear()
        self.in_flight.clear()
        self.backlog.clear()
        return everything
