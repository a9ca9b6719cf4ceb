"""What a node does that may not lose what it acked: nobody else has another copy.

Every acked change is retained until a flush covers it (`Retained`). When the server says that what was not
flushed may be lost, what is left of it is written again, before anything else is sent:

    lost -> wait until nothing of before runs at the server -> write again -> go on.
    Lost once more meanwhile: from the beginning.

Of bytes that several changes wrote only the last counts, and where that was durable by itself (FUA) there is
nothing to write: an older one must not revert it, not even for the moment in which this process may die.

* Past half of the bound the node flushes by itself; past all of it everything new waits.
* What cannot be written again is lost, and the node ends with that: never silently.
"""

import logging
import os
from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol

from dsttool.engine.device.request import Request
from dsttool.engine.extents.range_set import RangeSet
from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.runtime.telling import tell
from dsttool.engine.transaction.retained import Change, Retained
from dsttool.engine.transaction.table import InFlightTable, Transaction
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.operations import FAST_ZERO, FLUSH, FUA, NAMES, WRITE

LOG = logging.getLogger(__name__)

# A flush of ours that failed is tried again after so long.
_RETRY_NS = 1 * SECOND
# With nothing retained for so long, the memory for it is given back.
_IDLE_NS = 10 * SECOND


class RepairOwner(Protocol):
    """The node whose changes are retained."""

    def send(self, transactions: list[Transaction]) -> None:
        """Have transactions sent when this turn ends."""

    def fail(self, error: DsttoolError) -> None:
        """The node ends with this."""


class Repair:
    """verifier: what is told upward, the same for as long as nothing is lost for good.

    replaying: from a loss until everything is written again; only what is sent from here is answered then.
    """

    # Whose its requests are, where a status shows them.
    peer: Final = "repair"

    def __init__(self, reactor: Reactor, name: str, table: InFlightTable, owner: RepairOwner) -> None:
        self.verifier = reactor.random_bytes(16)
        self.retained = Retained()
        reactor.pool.keepers.append(self.retained)
        self.replaying = False
        self._reactor = reactor
        self._name = name
        self._table = table
        self._owner = owner
        # Flushes without an answer, and what they cover.
        self._marks: dict[Request, int] = {}
        self._flushing = False
        # The changes that are still to be written again, and how many are under way.
        self._left: deque[Change] = deque()
        self._under_way = 0
        self._round = 0
        self._superseded = False
        self._idle: Timer | None = None

    # -- while all is well -----------------------------------------------------------------------------

    def submitted(self, batch: Iterable[Request]) -> None:
        """Requests that begin."""
        for request in batch:
            if request.op == FLUSH:
                self._marks[request] = self.retained.flush_sent()

    def settled(self, finished: list[Request]) -> None:
        """Requests that were answered."""
        if self.replaying:
            return
        self.retained.acked(finished)
        if self._marks:
            for request in finished:
                mark = self._marks.pop(request, None)
                if mark is not None and not request.error:
                    self.retained.flush_done(mark)
                    request.data = self.verifier
            if not self.retained.bytes and self._idle is None:
                self._idle = self._reactor.call_later(_IDLE_NS, self._trim)
        if self.retained.wants_flush or self._table.hold:
            self._make_room()

    def given_up(self, expired: Iterable[Transaction]) -> None:
        """Transactions that have ended without an answer."""
        for transaction in expired:
            self._marks.pop(transaction.request, None)

    def _trim(self) -> None:
        self._idle = None
        if not self.retained.bytes:
            self._reactor.pool.trim()

    def _make_room(self) -> None:
        self._table.hold = self.retained.full
        if self.retained.wants_flush and not self._flushing:
            request = Request(FLUSH, 0, 0, 0, None, self._round, self._flushed)
            began = self._table.begin([request])
            if began:
                self._flushing = True
                self._marks[request] = self.retained.flush_sent()
                self._owner.send(began)

    def _flushed(self, requests: list[Request]) -> None:
        """The sink of our own flushes."""
        (request,) = requests
        if request.cookie != self._round:
            return
        if not request.error:
            self._flush_again()
            return
        what = f"a flush in the background failed: {os.strerror(request.error)}"
        tell(LOG, "flush.failed", self._name, "%s: %s", self._name, what)
        self._reactor.call_later(_RETRY_NS, lambda: self._flush_again(request.cookie))

    def _flush_again(self, round_: int | None = None) -> None:
        if round_ in (None, self._round):
            self._flushing = False
            self._make_room()
            self._owner.send(self._table.refill())

    # -- after a loss ----------------------------------------------------------------------------------

    def lost(self) -> None:
        """What was not flushed may be lost. Nothing is in flight any more but what is doubted."""
        self.retained.lost()
        self._round += 1
        self._marks = dict.fromkeys((r for r in self._marks if r.sink != self._flushed), 0)
        self._flushing = False
        self.replaying = self._table.hold = True
        self._left = deque(newest(self.retained.replay()))
        self._under_way = 0
        self._superseded = True
        if self._left:
            what = "the server may have lost what was not flushed"
            values = (self._name, what, len(self._left))
            tell(LOG, "rewrite.begun", self._name, "%s: %s: %d changes are made again", *values)

    def go_on(self) -> None:
        """Write again what fits into the window, once nothing of before runs any more."""
        if not self.replaying or self._table.doubted:
            return
        if self._superseded:
            # What an earlier round had under way went to the backlog. This round does all of it.
            self._superseded = False
            self._table.withdraw(lambda request: request.sink in (self._written, self._flushed))
        batch: list[Request] = []
        room = min(self._table.window - self._under_way, self._table.ids_left)
        size = self._table.bytes
        while self._left and len(batch) < room and size < self._table.window_bytes:
            op, flags, offset, length, data = self._left.popleft()
            batch.append(Request(op, flags, offset, length, data, self._round, self._written))
            size += length if op == WRITE else 0
        self._under_way += len(batch)
        self._start(batch)
        if not self._under_way:
            self._done()

    def _start(self, requests: list[Request]) -> None:
        began = self._table.begin(requests)
        assert len(began) == len(requests), "there were ids for all of them"
        self._owner.send(began)

    def _written(self, requests: list[Request]) -> None:
        """The sink of what is written again."""
        for request in requests:
            if request.cookie != self._round or not self.replaying:
                continue
            if request.error:
                self._give_up(request)
                return
            self._under_way -= 1
        self.go_on()

    def _give_up(self, request: Request) -> None:
        self._owner.fail(
            DsttoolError(
                f"{self._name} has lost acked writes, and they could not be made again:"
                f" {NAMES[request.op]} at byte {request.offset}: {os.strerror(request.error)}.",
                "Check what is on it (fsck, or a restore), then start again.",
            )
        )

    def _done(self) -> None:
        self.replaying = False
        self._table.hold = self.retained.full
        self._marks = dict.fromkeys(self._marks, self.retained.flush_sent())
        tell(LOG, "rewrite.done", self._name, "%s: nothing is missing any more", self._name)
        self._make_room()
        self._owner.send(self._table.refill())

    def clear(self) -> None:
        """The node has ended."""
        self.replaying = False
        self._round += 1
        if self._idle is not None:
            self._idle.cancel()
        self._left.clear()
        self._marks.clear()
        self.retained.clear()
        self._reactor.pool.keepers = [
            each for each in self._reactor.pool.keepers if each is not self.retained
        ]
        self._reactor.pool.trim()


def newest(changes: list[Change]) -> list[Change]:
    """Of changes in their order: what has to be written so that all bytes are as the last one left them,
    given that those with FUA are durable. No two of them overlap. All of it has to be done: fast or not."""
    later = RangeSet()
    kept: list[Change] = []
    for op, flags, offset, length, data in reversed(changes):
        if not flags & FUA:
            for start, size in later.gaps(offset, length):
                part = data[start - offset : start - offset + size] if op == WRITE else None
                kept.append((op, flags & ~FAST_ZERO, start, size, part))
        later.add(offset, length)
    kept.reverse()
    return kept
