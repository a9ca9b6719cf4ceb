"""Searches: for a member that answers a read which did not succeed at once.

What came back       then
-------------------  ------------------------------------------------------------------------------
an error             that member is not asked again for this read, unless it was out of sync by then
ENOLINK (FAIL_FAST)  the member is down, or slow: another one is asked at once
... from all         a slow one is asked once more, and waited for: asking round and round would drop
                     the answers of members that are slower than a resend timeout
... and all down     the read is parked until one is up, as long as the array's budget lasts

A read that itself is FAIL_FAST (of an array above, which has another copy) is not waited with.
"""

import errno
from collections.abc import Callable, Sequence
from typing import Any, Final

from dsttool.engine.array.member import Member
from dsttool.engine.array.piece import Piece
from dsttool.engine.extents.range_set import RangeSet
from dsttool.engine.mapping.algorithm import Algorithm
from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.vocabulary.operations import FAIL_FAST

# The slot of a piece that is parked.
NOWHERE: Final = -1


class Search:
    """What is known of one piece. deadline: when it gives up if nobody is up (ns). failed: slots whose
    members answered with an error; slow: those that did not answer, though another might have."""

    __slots__ = ("deadline", "failed", "slow")

    def __init__(self, deadline: int) -> None:
        self.deadline = deadline
        self.failed: set[int] = set()
        self.slow: set[int] = set()


class Searches:
    """All searches of an array. `sink`: the array's, for pieces that wait no more. failing(member, error): it
    answered a read with an error.

    unsettled: extents that are read from the first member in sync and no other (the array's own set).
    """

    def __init__(
        self,
        reactor: Reactor,
        algorithm: Algorithm,
        members: Sequence[Member],
        unsettled: RangeSet,
        budget_ns: int,
        sink: Callable[[list[Any]], None],
        failing: Callable[[Member, int], None],
    ) -> None:
        self._reactor = reactor
        self._algorithm = algorithm
        self._members = members
        self._unsettled = unsettled
        self._budget_ns = budget_ns
        self._sink = sink
        self._failing = failing
        self._parked: list[Piece] = []
        self._alarm: Timer | None = None
        self._ended = False

    def go_on(self, piece: Piece) -> bool:
        """The piece failed: ask another member or park it; False if its error goes up."""
        search: Search | None = piece.search
        if search is None:
            search = piece.search = Search(self._reactor.now + self._budget_ns)
        if piece.error == errno.ENOLINK and piece.flags & FAIL_FAST:
            search.slow.add(piece.slot)
        elif piece.slot != NOWHERE and self._members[piece.slot].in_sync:
            self._members[piece.slot].errors += 1
            self._failing(self._members[piece.slot], piece.error)
            search.failed.add(piece.slot)
        candidates = [slot for slot in self._holders(piece) if slot not in search.failed]
        ready = [slot for slot in candidates if self._members[slot].up]
        fresh = [slot for slot in ready if slot not in search.slow]
        if self._ended or not candidates:
            return False
        if fresh:
            self._ask(piece, fresh[0])
        elif piece.parent.flags & FAIL_FAST:
            return False
        elif ready:
            piece.flags &= ~FAIL_FAST
            self._ask(piece, ready[0])
        elif self._reactor.now < search.deadline:
            self._park(piece, search)
        else:
            return False
        return True

    def wake(self) -> None:
        """A member came up, or the time of a parked piece is over: look again at all of them."""
        parked, self._parked = self._parked, []
        if parked:
            self._sink(parked)  # they still carry the error that parked them

    def give_up(self) -> None:
        """Nobody waits for a link any more."""
        for piece in self._parked:
            piece.search.deadline = 0
        self.wake()

    def end(self) -> None:
        """From now on what fails has failed."""
        self._ended = True
        self.wake()

    def _holders(self, piece: Piece) -> list[int]:
        """The slots in sync that hold it."""
        parent = piece.parent
        slots = self._algorithm.split(parent.offset, parent.length)[piece.index].slots
        holders = [slot for slot in slots if self._members[slot].in_sync]
        return holders[:1] if self._unsettled.overlaps(parent.offset, parent.length) else holders

    def _ask(self, piece: Piece, slot: int) -> None:
        piece.slot = slot
        piece.error = 0
        piece.data = None
        piece.began = self._reactor.now
        member = self._members[slot]
        assert member.node is not None
        member.in_flight += 1
        member.node.submit([piece])

    def _park(self, piece: Piece, search: Search) -> None:
        """Whoever comes up then counts as never asked."""
        piece.slot = NOWHERE
        piece.error = errno.ENOLINK
        piece.flags |= FAIL_FAST
        search.slow.clear()
        self._parked.append(piece)
        alarm = self._alarm
        if alarm is None or alarm.call is None or search.deadline < alarm.when:
            self._alarm = self._reactor.call_at(search.deadline, self.wake)
