"""Array: a device made of members and an algorithm. This module puts its parts together:

    Flow         requests down to the members, and back up
    Trust        which members are relied on; what the others lack; who may lose what with his power
    Marks        what has to be durable before anything is acked that relies on it
    Resyncs      members that lack something get it back
    Suspensions  members that get no request at all for a while
    Discards     members whose content is void, by somebody's word
    Settling     what failed everywhere is made alike again
    Fence        a member that has another writer freezes all of it

The array's own `verifier` changes when acked writes were lost that no member can give back.
"""

import heapq
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dsttool.engine.array.discards import Discards
from dsttool.engine.array.fence import Fence
from dsttool.engine.array.flow import Flow
from dsttool.engine.array.marks import Marks, Record
from dsttool.engine.array.member import Member
from dsttool.engine.array.nature import capabilities_of, check_newcomer, identity_of
from dsttool.engine.array.resyncs import Resyncs
from dsttool.engine.array.settling import Settling
from dsttool.engine.array.suspensions import Done, Suspensions
from dsttool.engine.array.trust import Trust
from dsttool.engine.device.device import Device
from dsttool.engine.device.request import Request
from dsttool.engine.extents.overlap import OverlapGate
from dsttool.engine.mapping.algorithm import Algorithm
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary.errors import DsttoolError, Fenced
from dsttool.engine.vocabulary.status import TransactionStatus

LOG = logging.getLogger(__name__)


class Array(Device):
    """`store(record)` keeps the members' states durably; it blocks and may raise. `resyncs`: to show, pause
    and limit them.

    read_policy: nearest (round robin among the members with about the shortest round trip),
    round_robin, first. lost: acked writes were lost before; that is remembered until a clean end.
    """

    def __init__(
        self,
        reactor: Reactor,
        name: str,
        algorithm: Algorithm,
        members: Sequence[Member],
        *,
        store: Callable[[Record], None],
        generation: int = 0,
        read_policy: str = "nearest",
        lost: bool = False,
    ) -> None:
        self._reactor = reactor
        self.name = name
        self.algorithm = algorithm
        self.members = list(members)
        self.capabilities = capabilities_of(algorithm, self.members)
        self.identity = identity_of(name, algorithm, self.members)
        self.verifier = reactor.random_bytes(16)
        self.budget_ns = max(member.node.budget_ns for member in self.members if member.node is not None)
        self._noticed = 0
        self._closed: Callable[[], None] | None = None
        self._open = 0
        gate: OverlapGate[Request] = OverlapGate()
        self._fence = Fence(name, self.members, self._fenced)
        self._marks = Marks(reactor, self.members, store, generation, self._answer)
        self._marks.lost = lost
        self._trust = Trust(
            reactor,
            name,
            algorithm,
            self.members,
            self.capabilities,
            gate,
            self._marks,
            broke=self._broke,
            lose=self._lose,
            differ=self._differ,
        )
        self._flow = Flow(
            reactor,
            name,
            algorithm,
            self.members,
            gate,
            self._trust,
            self._marks,
            self._fence,
            read_policy=read_policy,
            budget_ns=self.budget_ns,
            read_only=self.capabilities.read_only,
            drained=self._drained,
        )
        self._flow.verifier = self.verifier
        self.resyncs = self._make_resyncs()
        self._settling = self._make_settling()
        # Called when a member's state, or its link, may have changed.
        self.on_change: Callable[[], None] | None = None
        self._suspensions = Suspensions(reactor, name, self.members, self._trust, self._marks, self.resyncs)
        read_only = self.capabilities.read_only
        self._discards = Discards(name, self._trust, self._marks, self.resyncs, read_only=read_only)
        for member in self.members:
            member.changed = self.changed
            if member.node is not None:
                self._welcome(member, member.node)

    def _make_resyncs(self) -> Resyncs:
        return Resyncs(
            self._reactor,
            self.name,
            self._trust,
            lock=self._flow.lock,
            unlock=self._flow.release,
            busy=self._is_busy,
            longest=self.capabilities.payload_max,
            drained=self._drained,
            read_only=self.capabilities.read_only,
        )

    def _make_settling(self) -> Settling:
        return Settling(
            self._reactor,
            self._trust,
            self.resyncs.pacer,
            lock=self._flow.lock,
            read=self._flow.submit,
            fill=self._flow.fill,
            release=self._flow.release,
            block=self.capabilities.block_min,
            longest=self.capabilities.payload_max,
        )

    # -- status --------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """The array's state, in vocabulary.md's words."""
        if self._fence.up or any(m.node is not None and m.node.frozen for m in self.members):
            return "frozen"
        lost = sum(1 for m in self.members if not m.in_sync or (m.node is not None and m.node.failure))
        return "online" if not lost else "degraded" if lost <= self.algorithm.spare else "failed"

    @property
    def settled(self) -> bool:
        """Whether all members in sync are known to hold the same: no write failed halfway."""
        return not self._trust.unsettled and not self._marks.pending

    @property
    def up(self) -> bool:  # type: ignore[override]
        """Whether every part of the array has a member in sync that answers at once."""
        down = sum(1 for member in self.members if not (member.in_sync and member.up))
        return down <= self.algorithm.spare

    @property
    def generation(self) -> int:
        """Grows each time a member's state or verifier changes."""
        return self._marks.generation

    @property
    def record(self) -> Record:
        """What has to be remembered of it."""
        return self._marks.record()

    def status(self) -> dict[str, Any]:
        """The fields of an array in interface.md that are its own."""
        return {
            "name": self.name,
            "layout": self.algorithm.name,
            "state": self.state,
            "generation": self.generation,
            "size_bytes": self.capabilities.size,
            "in_flight": self._flow.reading + self._flow.changing,
            "jobs": self.resyncs.status(),
            "members": [member.status() for member in self.members],
        }

    def transactions(self, node: str | None = None) -> Iterator[TransactionStatus]:
        """See Device: those of all members."""
        listed = [member.node.transactions(node) for member in self.members if member.node is not None]
        return heapq.merge(*listed, key=lambda each: -each["age_ns"])

    def transaction_states(self, node: str | None = None) -> Counter[str]:
        """See Device."""
        found: Counter[str] = Counter()
        for member in self.members:
            if member.node is not None:
                found += member.node.transaction_states(node)
        return found

    # -- members -------------------------------------------------------------------------------------------

    def suspend(self, slot: int, for_ns: int | None, done: Done) -> None:
        """Give the member no request any more until `resume`, or for so long.

        `done(None)` once nothing is under way on it and its state is durable; `done(error)` if it was
        resumed meanwhile, or cannot be suspended: Conflict in the wrong state, Unsafe if it cannot be spared.
        """
        self._suspensions.suspend(slot, for_ns, done)

    def refuses_to_suspend(self, slot: int) -> DsttoolError | None:
        """What `suspend` of the member would end with now; None if it would be suspended."""
        return self._suspensions.refusal(self.members[slot])

    def resume(self, slot: int, done: Done) -> None:
        """Resync the member; `done(None)` once that it is not suspended is durable, `done(Conflict)` if it
        is not suspended."""
        self._suspensions.resume(slot, done)

    def discard(self, slot: int, done: Done) -> None:
        """Declare the member's content void: it is not read any more, and all of it is copied again.

        `done(None)` once that is durable; `done(error)`: Unsafe if no other member holds everything, Conflict
        if there is no node, or one that has ended.
        """
        self._discards.discard(self.members[slot], done)

    def refuses_to_discard(self, slot: int) -> DsttoolError | None:
        """What `discard` of the member would answer now; None if it would be done."""
        return self._discards.refusal(self.members[slot])

    def changed(self) -> None:
        """Whoever waits for a state should look."""
        if self.on_change is not None:
            self.on_change()

    def adopt(self, slot: int, node: Device) -> None:
        """The node of a member that was missing: all of it is resynced. UsageError if it does not fit."""
        member = self.members[slot]
        assert member.node is None, "the member has a node"
        check_newcomer(node, self.capabilities, self.algorithm.member_size(slot))
        member.node = node
        self.budget_ns = max(self.budget_ns, node.budget_ns)
        self._trust.leave(member, "stale")
        if self._flow.trims is not None:
            self._flow.trims.anew()
        self._welcome(member, node)
        label = f"{self.name}/{member.name}"
        tell(LOG, "member.back", label, "%s: member %s is there now", self.name, member.name)

    def _welcome(self, member: Member, node: Device) -> None:
        node.on_up = lambda: self._came_up(member)
        node.on_failure = self._node_failed
        node.on_frozen = self.changed
        if not self.capabilities.read_only:
            node.on_verifier = lambda: self._trust.verifier_changed(member)
        self._reactor.post(lambda: self.resyncs.consider(member))

    def _came_up(self, member: Member) -> None:
        self._flow.searches.wake()
        self.resyncs.came_up(member)
        self.changed()
        if self.on_up is not None and self.up:
            self.on_up()

    def _drained(self, member: Member) -> None:
        """Nothing of its resync, or of ours, is under way on a member that is not in sync."""
        self._suspensions.drained(member)
        self.resyncs.consider(member)

    def _node_failed(self) -> None:
        self._fence.check()
        self.changed()

    def _fenced(self) -> None:
        self.failure = Fenced(f"{self.name} has another writer.", "Take it down; the other one goes on.")
        self.resyncs.end()
        self._settling.end()

    def _differ(self) -> None:
        self._settling.begin()

    def _broke(self, member: Member, error: int) -> None:
        self.resyncs.broke(member, error)

    def _answer(self, requests: list[Request]) -> None:
        self._flow.release(requests)

    def _lose(self, acked: bool) -> None:
        """A member lost what no other holds: what is being changed is done once more. acked: and so is
        something that was acked."""
        self._flow.repeat()
        if acked:
            self.verifier = self._flow.verifier = self._reactor.random_bytes(16)
            self._marks.lost = True
            if self.on_verifier is not None:
                self.on_verifier()

    def _is_busy(self) -> bool:
        before, self._noticed = self._noticed, self._flow.batches
        return before != self._noticed

    # -- Device --------------------------------------------------------------------------------------

    def submit(self, batch: list[Request]) -> None:
        """See Device."""
        self._flow.submit(batch)

    def abandon(self) -> None:
        """See Device."""
        for member in self.members:
            if member.node is not None:
                member.node.abandon()
        self._flow.searches.give_up()

    def distrust(self) -> None:
        """See Device: a member's view is handed on as it is."""
        for member in self.members:
            if member.node is not None:
                member.node.distrust()

    def close(self, done: Callable[[], None]) -> None:
        """See Device: closes every node, and waits for what is held until a record is durable."""
        nodes = [member.node for member in self.members if member.node is not None]
        self._closed = done
        self._open = len(nodes) + 1
        self._suspensions.end()
        self.resyncs.end()
        self._settling.end()
        self._flow.close(self._maybe_closed)
        for node in nodes:
            node.close(self._node_closed)
        self._node_closed()

    def _node_closed(self) -> None:
        self._open -= 1
        self._maybe_closed()

    def _maybe_closed(self) -> None:
        if self._closed is not None and not (self._open or self._flow.reading or self._flow.changing):
            self._open = -1  # once
            self._closed()
