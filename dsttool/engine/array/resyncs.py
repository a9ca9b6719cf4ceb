"""Resyncs: a member that is stale is resynced as soon as that can be, without anybody asking.

It can be when its node is up and nothing is under way on it from before (an old answer must not be taken for
a new one). After a failure it is tried again later and later, or at once when its link comes up.

Two commands keep copies from being made. `pause` holds all jobs where they are; writes of clients go to the
members meanwhile. `halt` ends the jobs of some members, which are then stale and not written to, whatever
their links do. `start` ends both.
"""

import errno
import logging
import os
from collections.abc import Callable, Sequence
from typing import Final

from dsttool.engine.array.member import Member
from dsttool.engine.array.pacer import Pacer
from dsttool.engine.array.piece import Lock
from dsttool.engine.array.resync import Resync
from dsttool.engine.array.trust import Trust
from dsttool.engine.device.request import Request
from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.status import JobStatus

LOG = logging.getLogger(__name__)

# A disk that is full or broken does not heal in no time; one that does is back soon enough.
AGAIN_MIN_NS: Final = SECOND
AGAIN_MAX_NS: Final = 30 * SECOND


class Resyncs:
    """All resyncs of an array. `drained(member)`: nothing of its resync is under way any more."""

    def __init__(
        self,
        reactor: Reactor,
        name: str,
        trust: Trust,
        *,
        lock: Callable[[Lock], bool],
        unlock: Callable[[list[Request]], None],
        busy: Callable[[], bool],
        longest: int,
        drained: Callable[[Member], None],
        read_only: bool,
    ) -> None:
        self._reactor = reactor
        self._name = name
        self._trust = trust
        self._lock = lock
        self._unlock = unlock
        self._busy = busy
        self._longest = longest
        self._drained = drained
        self._read_only = read_only
        self._jobs: dict[int, Resync] = {}
        self._failures: dict[int, int] = {}
        self._told: set[int] = set()
        self._told_failed: set[int] = set()
        self._again: dict[int, Timer] = {}
        self._halted: set[int] = set()
        self._ends: list[tuple[set[int], Callable[[], None]]] = []
        self._whole: set[int] = {member.slot for member in trust.members}
        self._ended = False
        self.pacer = Pacer()
        self.paused = False

    # -- commands ------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Copy nothing until `start`. Members are written to all the same."""
        self._pause(paused=True)
        tell(LOG, "resync.changed", self._name, "%s: resyncs are paused", self._name)

    def start(self) -> None:
        """Go on after `pause` and `halt`; and try again now what would be tried later."""
        self._halted.clear()
        self._pause(paused=False)
        tell(LOG, "resync.changed", self._name, "%s: resyncs go on", self._name)
        for member in self._trust.members:
            self.came_up(member)

    def halt(self, members: Sequence[Member], done: Callable[[], None]) -> None:
        """Copy nothing to these members until `start`; `done` once nothing of their copies is under way."""
        for member in members:
            self._halted.add(member.slot)
            if member.state == "resyncing":
                self._tell("resync.changed", member, "is not resynced any more, until it is started again")
                self._trust.leave(member, "stale")
            self.stop(member)
            if member.node is not None and self.runs(member) and not member.up:
                member.node.abandon()  # or the end of its copies had to wait for the budget of its link
        self._ends.append(({member.slot for member in members}, done))
        self._tell_ended()

    def limit(self, floor: int, ceiling: int) -> None:
        """How fast all resyncs together go, in bytes per second; see Pacer."""
        self.pacer.floor, self.pacer.ceiling = floor, ceiling
        self.pacer.forget()
        limits = (self._name, floor, ceiling or "any number of")
        tell(LOG, "resync.changed", self._name, "%s: resyncs copy %d to %s bytes/s", *limits)
        for job in self._jobs.values():
            job.start()

    def status(self) -> list[JobStatus]:
        """The jobs, in the order of the members; those that are halted among them."""
        jobs = {slot: job.status() for slot, job in self._jobs.items()}
        for member in self._trust.members:
            if member.slot in self._halted and member.state in ("stale", "missing"):
                jobs[member.slot] = _halted(member)
        return [jobs[slot] for slot in sorted(jobs)]

    def _pause(self, *, paused: bool) -> None:
        self.paused = paused
        for job in self._jobs.values():
            job.paused = paused
            job.start()

    # -- events --------------------------------------------------------------------------------------------

    def runs(self, member: Member) -> bool:
        """Whether anything of its resync may be under way."""
        return member.slot in self._jobs

    def consider(self, member: Member) -> None:
        """Resync the member if it is stale and can be resynced."""
        node = member.node
        if member.state != "stale" or member.in_flight or member.slot in self._jobs or self._ended:
            return
        if member.slot in self._halted:
            return
        if node is None or not node.up or node.failure is not None or member.slot in self._again:
            return
        if self._read_only:
            self._back_as_it_was(member)
            return
        if member.slot in self._whole:
            self._whole.discard(member.slot)
            member.resynced = 0
        self._trust.begin(member)
        job = self._jobs[member.slot] = Resync(
            self._reactor,
            member,
            self._trust,
            self.pacer,
            lock=self._lock,
            unlock=self._unlock,
            busy=self._busy,
            longest=self._longest,
            ended=self._job_ended,
        )
        job.paused = self.paused
        if member.slot not in self._told:  # once, however often it is tried
            self._told.add(member.slot)
            dirty = member.missed.dirty_bytes
            self._tell("resync.begun", member, f"is resynced, {dirty} bytes are dirty")
        job.start()

    def _back_as_it_was(self, member: Member) -> None:
        """Nothing is copied in an array that is only read; who was suspended there has missed nothing."""
        if not member.missed.dirty_bytes:
            self._trust.begin(member)
            self._trust.promote(member)

    def came_up(self, member: Member) -> None:
        """Its link has come up, or somebody wants it to be tried now."""
        timer = self._again.pop(member.slot, None)
        if timer is not None:
            timer.cancel()
        self.consider(member)

    def broke(self, member: Member, error: int) -> None:
        """The member has become stale. error: the errno it answered, or 0 if it answers."""
        job = self._jobs.get(member.slot)
        if job is None:
            self._told.discard(member.slot)
        if error:
            member.trouble = error
            self._later(member)
        if job is not None:
            job.stop(error or errno.ESTALE)
        else:
            self._reactor.post(lambda: self.consider(member))

    def anew(self, member: Member) -> None:
        """All of the member is to be copied: what was copied so far counts for nothing."""
        self._whole.add(member.slot)

    def stop(self, member: Member) -> None:
        """Nothing may be copied to the member; `drained` follows, also if nothing is."""
        timer = self._again.pop(member.slot, None)
        if timer is not None:
            timer.cancel()
        job = self._jobs.get(member.slot)
        if job is not None:
            job.stop(errno.ECANCELED)

    def end(self) -> None:
        """The array closes, or is not written to any more."""
        self._ended = True
        for timer in self._again.values():
            timer.cancel()
        for job in self._jobs.values():
            job.stop(errno.ESHUTDOWN)

    def _tell(self, kind: str, member: Member, what: str) -> None:
        label = f"{self._name}/{member.name}"
        tell(LOG, kind, label, "%s: member %s %s", self._name, member.name, what)

    def _later(self, member: Member) -> None:
        failures = self._failures[member.slot] = self._failures.get(member.slot, 0) + 1
        delay = min(AGAIN_MIN_NS << min(failures - 1, 10), AGAIN_MAX_NS)
        earlier = self._again.get(member.slot)
        if earlier is not None:
            earlier.cancel()
        self._again[member.slot] = self._reactor.call_later(delay, lambda: self.came_up(member))

    def _job_ended(self, job: Resync, error: int) -> None:
        member = job.member
        del self._jobs[member.slot]
        if member.state == "resyncing" and not self._ended:
            if not error:
                member.trouble = 0
                self._failures.pop(member.slot, None)
                self._told.discard(member.slot)
                self._told_failed.discard(member.slot)
                self._whole.add(member.slot)
                self._trust.promote(member)
                self._tell("resync.done", member, f"is in sync again, {member.resynced} bytes were copied")
            else:
                member.trouble = error
                if member.slot not in self._told_failed:  # once, as that it has begun
                    self._told_failed.add(member.slot)
                    what = f"is not resynced yet, it will be tried again: {os.strerror(error)}"
                    self._tell("resync.failed", member, what)
                self._trust.leave(member, "stale")
                self._later(member)
        self._drained(member)
        self._tell_ended()

    def _tell_ended(self) -> None:
        """Call whoever waits for the end of jobs that have ended."""
        told = [done for slots, done in self._ends if slots.isdisjoint(self._jobs)]
        self._ends = [entry for entry in self._ends if not entry[0].isdisjoint(self._jobs)]
        for done in told:
            done()


def _halted(member: Member) -> JobStatus:
    """The job that would run if it were not halted."""
    dirty = 0 if member.dirty is None else member.dirty.dirty_bytes
    return {
        "kind": "resync",
        "member": member.name,
        "state": "stopped",
        "done_bytes": member.resynced,
        "total_bytes": member.resynced + dirty,
        "rate_bytes": 0,
        "eta_ns": None,
    }
