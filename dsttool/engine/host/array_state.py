"""What is remembered of a raw array between its runs, and what that means when it comes up again.

Remembered are which members missed writes, what storage they were, under which verifiers they acked, and
whether the array was stopped or just ended. `clean` is false while it runs.

    last end   copies                                      no copies
    clean      members in sync are taken as such, if       -
               they are the storage that they were
    unclean    exit 6: --resync-from or --assume-clean     members are flushed first
               if several members were in sync
    unclean    a member taken for in sync that acked under another verifier has lost acked writes:
               clients are told with their first flush (Offer.lost)
"""

import logging
from collections.abc import Sequence

from dsttool.engine.array.marks import Record
from dsttool.engine.config import state_file
from dsttool.engine.config.state_file import ArrayState, MemberState
from dsttool.engine.device.device import Device
from dsttool.engine.host.array_plan import ArrayPlan
from dsttool.engine.host.open_node import resolved
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary.errors import Unsafe

LOG = logging.getLogger(__name__)


class History:
    """The stored state of the array of a plan. What is remembered of a node counts in whatever slot it is
    given. A node that was no part of the array when it last ran, or that is other storage now, is never
    taken for a copy of the others unless somebody says so. If none of its nodes is known, it is a new array.

    generation: grows with each stored change of a member's state. clean: it was stopped when it last ran.
    """

    def __init__(self, plan: ArrayPlan) -> None:
        self._plan = plan
        self._parameters = plan.parameters
        self._nodes = tuple(str(resolved(node).bare()) for node in plan.config.nodes)
        before = state_file.load(plan.name)
        self._before = before if before is not None and self._is_same(before) else None
        self.generation = self._before.generation if self._before is not None else 0
        self.clean = self._before is None or self._before.clean
        # Of nodes that are missing now, too: what comes back in their place is told by that.
        self._identities: dict[str, str | None] = {}
        if self._before is not None:
            self._identities = dict(zip(self._before.nodes, self._before.identities))

    def states_to_begin_with(self) -> list[MemberState]:
        """Each member's state as far as is remembered. Unsafe if that is no good to begin with."""
        plan, before = self._plan, self._before
        if plan.source is not None:
            return self._states_from(plan.source)
        if before is None or plan.assume_clean or not plan.spare:
            return ["in_sync"] * len(self._nodes)
        states = self._carried_over(before)
        current = [name for name, state in zip(plan.member_names, states) if state == "in_sync"]
        if None in states:
            raise self._unknown(states.index(None), "was no part of it when it last ran", current)
        behind = [name for name, state in zip(plan.member_names, states) if state != "in_sync"]
        if behind and not plan.degraded:
            raise Unsafe(
                f"Member {' and '.join(behind)} of {plan.name} missed writes when it last ran.",
                f"Add --resync-from {(current or ['NODE'])[0]} to copy that one onto the others; or"
                " --degraded to do so with members missing.",
            )
        if not before.clean and before.members.count("in_sync") > 1:
            raise Unsafe(
                f"{plan.name} was not stopped cleanly: its members may differ where it was just written.",
                f"Add --resync-from {plan.member_names[0]} (or another member) to copy that one onto the"
                " others, or --assume-clean if they hold the same.",
            )
        return [state or "stale" for state in states]

    def check_storage(self, nodes: Sequence[Device | None], states: Sequence[str]) -> None:
        """Unsafe if a member that is to count as in sync, or to be overwritten though nobody has named it, is
        other storage than it was, behind the same address, and another one holds everything, or may do so and
        is missing.

        NBD tells nothing of the storage behind an address, so there only its size is known.
        """
        plan, before = self._plan, self._before
        if before is None or plan.assume_clean or not plan.spare:
            return
        had_all = [slot for slot, state in enumerate(self._carried_over(before)) if state == "in_sync"]
        known = [node is not None and self._is_same_storage(slot, node) for slot, node in enumerate(nodes)]
        current = [plan.member_names[slot] for slot in had_all if known[slot]]
        other = [
            slot
            for slot, node in enumerate(nodes)
            if node is not None and not known[slot] and (plan.source is None or states[slot] == "in_sync")
        ]
        if other and (current or any(nodes[slot] is None for slot in had_all)):
            raise self._unknown(other[0], "is other storage than when it last ran", current)

    def is_known(self, slot: int, node: Device) -> bool:
        """Whether a member that was missing may be overwritten with what the others hold: it is the storage
        that it was, or somebody has named what is to be copied onto all others."""
        return self._plan.source is not None or self._is_same_storage(slot, node)

    def vouches_for(self, present: Sequence[bool]) -> bool:
        """Whether any member that is present had everything when the array last ran."""
        if self._before is None:
            return True
        states = self._carried_over(self._before)
        best = "in_sync" if "in_sync" in states else None  # which may be one under another address
        return any(here and state == best for here, state in zip(present, states))

    def has_lost(self, nodes: Sequence[Device | None], states: Sequence[str]) -> bool:
        """Whether acked writes were lost that clients have to be told of. The nodes have been flushed."""
        before = self._before
        if before is None or before.clean:
            return False
        lost = before.lost
        for name, address, node, state in zip(self._plan.member_names, self._nodes, nodes, states):
            known = _of(before.nodes, before.verifiers, address)
            if node is not None and state == "in_sync" and known not in (None, node.lasting_verifier.hex()):
                lost = True
                what = "has lost acked writes that were not flushed"
                names = (self._plan.name, name)
                message = "%s was not stopped cleanly, and member %s %s"
                tell(LOG, "array.lost", "/".join(names), message, *names, what)
        return lost

    def store(self, record: Record) -> None:
        """The array is about to be written to, or a member's state or verifier has changed. Blocks until
        that is durable."""
        self._store(record, clean=False)

    def end(self, record: Record) -> None:
        """The array has ended: all is on stable storage, and its members in sync hold the same."""
        self._store(record._replace(lost=False), clean=True)

    def _store(self, record: Record, *, clean: bool) -> None:
        if self._plan.read_only:
            return
        self.generation = record.generation
        self._identities |= {
            address: identity
            for address, identity in zip(self._nodes, _hex(record.identities))
            if identity is not None
        }
        states: list[MemberState] = [_known(state) for state in record.states]
        state_file.store(
            self._plan.name,
            ArrayState(
                layout=self._plan.config.layout,
                parameters=self._parameters,
                nodes=self._nodes,
                members=tuple(states),
                clean=clean,
                generation=record.generation,
                verifiers=_hex(record.verifiers),
                lost=record.lost,
                identities=tuple(self._identities.get(address) for address in self._nodes),
            ),
        )

    def _unknown(self, slot: int, what: str, current: Sequence[str]) -> Unsafe:
        """The member of the slot cannot be relied on. what: why; current: those that hold everything."""
        source = (current or ["NODE"])[0]
        name = self._plan.member_names[slot]
        return Unsafe(
            f"Member {name} of {self._plan.name} {what}: nobody knows what it holds.",
            f"Add --resync-from {source} to copy that one onto it; or --assume-clean if it holds the same.",
        )

    def _states_from(self, source: int) -> list[MemberState]:
        """The source in sync, all others stale. Unsafe if another one is known to hold more."""
        plan, before = self._plan, self._before
        states = None if before is None else self._carried_over(before)
        if states is not None and states[source] != "in_sync" and "in_sync" in states:
            newer = plan.member_names[states.index("in_sync")]
            if states[source] is None:
                raise self._unknown(source, "was no part of it when it last ran", [newer])
            raise Unsafe(
                f"Member {plan.member_names[source]} of {plan.name} missed writes that {newer} holds.",
                f"Add --resync-from {newer} instead; if that one is lost for good, form an array of another"
                " name.",
            )
        return ["in_sync" if slot == source else "stale" for slot in range(len(self._nodes))]

    def _is_same_storage(self, slot: int, node: Device) -> bool:
        """Whether it is what was there before, as far as is known. Nodes that share an address are memory."""
        address = self._nodes[slot]
        known = self._identities.get(address) if self._nodes.count(address) == 1 else None
        return known in (None, node.identity.hex())

    def _is_same(self, before: ArrayState) -> bool:
        return (before.layout, before.parameters) == (
            self._plan.config.layout,
            self._parameters,
        ) and not set(before.nodes).isdisjoint(self._nodes)

    def _carried_over(self, before: ArrayState) -> list[MemberState | None]:
        """What is remembered of these nodes; None for one that was no part of the array."""
        remembered = list(zip(before.nodes, before.members))
        states: list[MemberState | None] = []
        for node in self._nodes:
            known = next((each for each in remembered if each[0] == node), None)
            if known is not None:
                remembered.remove(known)  # memory has no place: two of one size differ by their order
            states.append(None if known is None else known[1])
        return states


def _hex(words: Sequence[bytes | None]) -> tuple[str | None, ...]:
    return tuple(None if word is None else word.hex() for word in words)


def _of(nodes: Sequence[str], words: Sequence[str | None], address: str) -> str | None:
    """The word that belongs to an address; None if there is none, or if several nodes have that address."""
    return dict(zip(nodes, words)).get(address) if nodes.count(address) == 1 else None


def _known(state: str) -> MemberState:
    """A state as it is remembered: `Member.remembered` has no others."""
    return "in_sync" if state == "in_sync" else "suspended" if state == "suspended" else "stale"
