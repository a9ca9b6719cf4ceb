"""Suspensions: members that get no request at all until they are resumed, by a command or by their time.

suspend: the member leaves -> what is under way on it ends, or is given up when it takes long -> it is
flushed, so that it cannot lose what it has, for as long at most -> the state is durable -> done. What is
written meanwhile and from then on is dirty on it. resume: the state is durable -> done; the resync follows
by itself.
"""

import logging
from collections.abc import Callable
from typing import Final

from dsttool.engine.array.marks import Marks
from dsttool.engine.array.member import Member
from dsttool.engine.array.resyncs import Resyncs
from dsttool.engine.array.trust import Trust
from dsttool.engine.device.request import Request
from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, Unsafe
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.operations import FLUSH

LOG = logging.getLogger(__name__)

Done = Callable[[DsttoolError | None], None]

# What a member has not answered by then is given up, then its flush: nobody is to wait for it.
DRAIN_NS: Final = 2 * SECOND


class _Leaving:
    """A member on its way out. left: what `done` waits for: the drain with its flush, and the record."""

    __slots__ = ("done", "drained", "left", "timer", "was_written")

    def __init__(self, done: Done, *, was_written: bool) -> None:
        self.done = done
        self.left = 2
        self.drained = False
        self.was_written = was_written
        self.timer: Timer | None = None


class Suspensions:
    """The suspended members of an array."""

    # Whose its requests are, where a status shows them.
    peer: Final = "suspension"

    def __init__(
        self, reactor: Reactor, name: str, members: list[Member], trust: Trust, marks: Marks, resyncs: Resyncs
    ) -> None:
        self._reactor = reactor
        self._name = name
        self._members = members
        self._trust = trust
        self._marks = marks
        self._resyncs = resyncs
        self._leaving: dict[int, _Leaving] = {}
        self._returns: dict[int, Timer] = {}

    def suspend(self, slot: int, for_ns: int | None, done: Done) -> None:
        """See Array.suspend."""
        member = self._members[slot]
        refusal = self.refusal(member)
        if refusal is not None:
            done(refusal)
            return
        until = "" if for_ns is None else f" for {for_ns / SECOND:g} s"
        self._tell("member.suspended", member, f"is suspended{until}")
        leaving = self._leaving[slot] = _Leaving(done, was_written=member.written)
        member.timed = for_ns is not None
        self._trust.leave(member, "suspended")
        if for_ns is not None:
            self._returns[slot] = self._reactor.call_later(for_ns, lambda: self._return(member))
        leaving.timer = self._reactor.call_later(DRAIN_NS, lambda: self._give_up(member))
        self._resyncs.stop(member)
        self._marks.store(stored=lambda: self._part_done(slot, leaving))
        if not member.up:
            self._give_up(member)
        self.drained(member)

    def resume(self, slot: int, done: Done) -> None:
        """See Array.resume."""
        member = self._members[slot]
        if member.state != "suspended":
            done(Conflict(f"Member {member.name} of {self._name} is not suspended."))
            return
        timer = self._returns.pop(slot, None)
        if timer is not None:
            timer.cancel()
        self._leave_no_more(slot, Conflict(f"Member {member.name} of {self._name} was resumed meanwhile."))
        self._tell("member.resumed", member, "is resumed")
        member.timed = False
        member.enter("stale")
        self._marks.store(urgent=False, stored=lambda: done(None))
        self._resyncs.came_up(member)

    def drained(self, member: Member) -> None:
        """Something has ended on a member: if that was the last, a suspended one is flushed."""
        leaving = self._leaving.get(member.slot)
        if leaving is None or leaving.drained or member.in_flight or self._resyncs.runs(member):
            return
        leaving.drained = True
        self._cancel(leaving)
        node = member.node
        if node is None or not (leaving.was_written and node.up and node.capabilities.flush):
            self._part_done(member.slot, leaving)
            return
        leaving.timer = self._reactor.call_later(DRAIN_NS, lambda: self._give_up(member))
        cookie = (member, leaving, node.verifier)
        node.submit([Request(FLUSH, 0, 0, 0, None, cookie, self._flushed)])

    def end(self) -> None:
        """The array closes."""
        for timer in self._returns.values():
            timer.cancel()
        self._returns.clear()
        for slot in list(self._leaving):
            self._leave_no_more(slot, Conflict(f"{self._name} is closing."))

    def refusal(self, member: Member) -> DsttoolError | None:
        """Why the member cannot be suspended now; None if it can."""
        who = f"Member {member.name} of {self._name}"
        if member.state == "suspended":
            return Conflict(f"{who} is suspended already.")
        if member.state == "missing":
            return Conflict(f"{who} is missing: there is nothing to suspend.")
        if not self._trust.algorithm.spare:
            return Unsafe(
                f"{who} holds the only copy of its part of the data.",
                "Only members of layouts that keep copies can be suspended.",
            )
        if not self._trust.spares(member):
            return Unsafe(
                f"{who} cannot be spared: without it too few members are in sync and connected.",
                f"Wait until the others are: dsttool wait {self._name} --for clean",
            )
        return None

    def _tell(self, kind: str, member: Member, what: str) -> None:
        label = f"{self._name}/{member.name}"
        tell(LOG, kind, label, "%s: member %s %s", self._name, member.name, what)

    def _flushed(self, requests: list[Request]) -> None:
        (flush,) = requests
        member, leaving, verifier = flush.cookie
        assert member.node is not None
        self._cancel(leaving)
        going = self._leaving.get(member.slot) is leaving
        if going and not flush.error and (flush.data or member.node.verifier) == verifier:
            member.missed.flushed()
        elif flush.error and member.dirty is not None:  # also if it was resumed meanwhile
            self._trust.dropped(member)
        self._part_done(member.slot, leaving)

    def _part_done(self, slot: int, leaving: _Leaving) -> None:
        leaving.left -= 1
        if not leaving.left and self._leaving.get(slot) is leaving:
            del self._leaving[slot]
            leaving.done(None)

    def _leave_no_more(self, slot: int, reason: DsttoolError) -> None:
        leaving = self._leaving.pop(slot, None)
        if leaving is not None:
            self._cancel(leaving)
            leaving.done(reason)

    def _cancel(self, leaving: _Leaving) -> None:
        if leaving.timer is not None:
            leaving.timer.cancel()
            leaving.timer = None

    def _give_up(self, member: Member) -> None:
        if member.node is not None:
            member.node.abandon()

    def _return(self, member: Member) -> None:
        del self._returns[member.slot]
        if member.state == "suspended":
            self.resume(member.slot, lambda _: None)
