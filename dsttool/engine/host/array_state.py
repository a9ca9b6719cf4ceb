"""What is remembered of a raw array between its runs, and what that means when it comes up again.

Only layouts with copies have something to remember: which member missed writes, and whether the array
was stopped or just ended. `clean` is false while it runs.
"""

from collections.abc import Sequence

from dsttool.engine.config import state_file
from dsttool.engine.config.state_file import ArrayState, MemberState
from dsttool.engine.host.array_plan import ArrayPlan
from dsttool.engine.host.open_node import resolved
from dsttool.engine.vocabulary.errors import Unsafe


class History:
    """The stored state of the array of a plan. What is remembered of a node counts in whatever slot it is
    given; of a node that was never part of the array nothing is known.

    generation: grows with each stored change of a member's state.
    """

    def __init__(self, plan: ArrayPlan) -> None:
        self._plan = plan
        self._kept = plan.spare > 0
        self._parameters = plan.parameters
        self._nodes = tuple(str(resolved(node).bare()) for node in plan.config.nodes)
        before = state_file.load(plan.name) if self._kept else None
        self._before = before if before is not None and self._is_same(before) else None
        self.generation = self._before.generation if self._before is not None else 0

    def states_to_begin_with(self) -> list[MemberState]:
        """Each member's state as far as is remembered. Unsafe if that is no good to begin with."""
        plan, before = self._plan, self._before
        if before is None or plan.assume_clean:
            return ["in_sync"] * len(self._nodes)
        states = _carried_over(before, self._nodes)
        stale = [name for name, state in zip(plan.member_names, states) if state == "stale"]
        if stale and not plan.degraded:
            raise Unsafe(
                f"Member {' and '.join(stale)} of {plan.name} missed writes when it last ran.",
                "Add --degraded to go on without it. Or copy a current member onto it (dsttool cp), and "
                "only then add --assume-clean.",
            )
        if not before.clean and before.members.count("in_sync") > 1:
            raise Unsafe(
                f"{plan.name} was not stopped cleanly: its members may differ where it was just written.",
                "Copy one member onto the others (dsttool cp), or add --assume-clean if they hold the same.",
            )
        return states

    def vouches_for(self, present: Sequence[bool]) -> bool:
        """Whether any member that is present had everything when the array last ran."""
        if self._before is None:
            return True
        states = _carried_over(self._before, self._nodes)
        return any(here and state == "in_sync" for here, state in zip(present, states))

    def begin(self, states: Sequence[str]) -> None:
        """The array is about to be written to. Blocks until that is durable."""
        self._store(states, clean=False)

    def store(self, states: Sequence[str], generation: int) -> None:
        """Members' states have changed. Blocks until that is durable."""
        self.generation = generation
        self._store(states, clean=False)

    def end(self, states: Sequence[str], generation: int) -> None:
        """The array has ended, and its members in sync hold the same."""
        self.generation = generation
        self._store(states, clean=True)

    def _store(self, states: Sequence[str], *, clean: bool) -> None:
        if not self._kept:
            return
        members: list[MemberState] = ["in_sync" if state == "in_sync" else "stale" for state in states]
        state_file.store(
            self._plan.name,
            ArrayState(
                layout=self._plan.config.layout,
                parameters=self._parameters,
                nodes=self._nodes,
                members=tuple(members),
                clean=clean,
                generation=self.generation,
            ),
        )

    def _is_same(self, before: ArrayState) -> bool:
        return (before.layout, before.parameters) == (
            self._plan.config.layout,
            self._parameters,
        ) and not set(before.nodes).isdisjoint(self._nodes)


def _carried_over(before: ArrayState, nodes: Sequence[str]) -> list[MemberState]:
    """What is remembered of these nodes; what is new counts as in sync until it is compared."""
    remembered = list(zip(before.nodes, before.members))
    states: list[MemberState] = []
    for node in nodes:
        known = next((each for each in remembered if each[0] == node), None)
        if known is not None:
            remembered.remove(known)  # memory has no place: two of one size are told apart by their order
        states.append("in_sync" if known is None else known[1])
    return states
