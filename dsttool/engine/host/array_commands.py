"""The commands of an array daemon: its members, their resyncs, their policies. See host.commands."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dsttool.engine.array.array import Array
from dsttool.engine.array.member import Member
from dsttool.engine.config import paths
from dsttool.engine.config.options import Value, parse_policy
from dsttool.engine.config.units import format_size
from dsttool.engine.control.server import Answer
from dsttool.engine.host.policies import MemberPolicy
from dsttool.engine.node.dst import DstNode
from dsttool.engine.node.nbd import NbdNode
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, NotFound, UsageError
from dsttool.engine.vocabulary.suggest import suggest


def member_named(array: Array, name: str) -> Member:
    """A member by its name. NotFound with a nearer one."""
    for member in array.members:
        if member.name == name:
            return member
    names = [member.name for member in array.members]
    near = suggest(name, names)
    raise NotFound(
        f"{array.name} has no member called {name}.",
        f"Did you mean {near}?" if near else f"There are: {', '.join(names)}.",
    )


def text_of(arguments: Mapping[str, Any], key: str) -> str:
    """A text among a command's arguments. UsageError if there is none."""
    value = arguments.get(key)
    if not isinstance(value, str):
        raise UsageError(f"The command's '{key}' is no text.", "Use the release of dsttool that runs here.")
    return value


def count_of(arguments: Mapping[str, Any], key: str) -> int | None:
    """A number among a command's arguments, or None. UsageError if it is none, or not of 63 bits."""
    value = arguments.get(key)
    if value is not None and (type(value) is not int or not 0 <= value < 1 << 63):
        raise UsageError(f"The command's '{key}' is no number.", "Use the release of dsttool that runs here.")
    return value


class Members:
    """Suspend, resume and discard."""

    def __init__(self, array: Array) -> None:
        self._array = array

    def suspend(self, arguments: dict[str, Any], answer: Answer) -> None:
        """Answered with the member once nothing is under way on it; see Array.suspend for the errors."""
        member = member_named(self._array, text_of(arguments, "node"))
        for_ns = count_of(arguments, "for_ns")
        answer.later(_nobody)
        self._array.suspend(member.slot, for_ns, self._done(member, answer))

    def resume(self, arguments: dict[str, Any], answer: Answer) -> None:
        """Answered with the member once it is not suspended any more; see Array.resume for the errors."""
        member = member_named(self._array, text_of(arguments, "node"))
        answer.later(_nobody)
        self._array.resume(member.slot, self._done(member, answer))

    def discard(self, arguments: dict[str, Any], answer: Answer) -> None:
        """Answered with the member once its content is durably void; see Array.discard for the errors."""
        member = member_named(self._array, text_of(arguments, "node"))
        answer.later(_nobody)
        self._array.discard(member.slot, self._done(member, answer))

    def check_discard(self, arguments: dict[str, Any], answer: Answer) -> None:
        """Answered with the member if it would be discarded, else with why not."""
        member = member_named(self._array, text_of(arguments, "node"))
        self._done(member, answer)(self._array.refuses_to_discard(member.slot))

    def check_suspend(self, arguments: dict[str, Any], answer: Answer) -> None:
        """Answered with the member if it would be suspended, else with why not."""
        member = member_named(self._array, text_of(arguments, "node"))
        count_of(arguments, "for_ns")
        self._done(member, answer)(self._array.refuses_to_suspend(member.slot))

    def check_resume(self, arguments: dict[str, Any], answer: Answer) -> None:
        """Answered with the member if it would be resumed, else with why not."""
        member = member_named(self._array, text_of(arguments, "node"))
        refusal = None
        if member.state != "suspended":
            refusal = Conflict(f"Member {member.name} of {self._array.name} is not suspended.")
        self._done(member, answer)(refusal)

    def _done(self, member: Member, answer: Answer) -> Callable[[DsttoolError | None], None]:
        def done(error: DsttoolError | None) -> None:
            if error is not None and not error.advice:
                error.with_advice(f"`dsttool node list {self._array.name}` shows the states of its members.")
            answer({"member": member.status()} if error is None else error)

        return done


class Resyncs:
    """The resyncs of all members. Every command answers with the jobs and the limits."""

    def __init__(self, array: Array) -> None:
        self._array = array
        self._resyncs = array.resyncs

    def status(self, _arguments: dict[str, Any], answer: Answer) -> None:
        """Change nothing."""
        pacer = self._resyncs.pacer
        answer(
            {
                "jobs": self._resyncs.status(),
                "paused": self._resyncs.paused,
                "floor_bytes": pacer.floor,
                "ceiling_bytes": pacer.ceiling or None,
            }
        )

    def start(self, arguments: dict[str, Any], answer: Answer) -> None:
        """Go on after a pause or a stop, and try again at once what failed."""
        self._resyncs.start()
        self.status(arguments, answer)

    def pause(self, arguments: dict[str, Any], answer: Answer) -> None:
        """Copy nothing until `start`."""
        self._resyncs.pause()
        self.status(arguments, answer)

    def stop(self, arguments: dict[str, Any], answer: Answer) -> None:
        """Answered once no copy to one member, or to any, is under way. Conflict if none is to be made."""
        members = self._to_stop(arguments)
        answer.later(_nobody)
        self._resyncs.halt(members, lambda: self.status(arguments, answer))

    def check_stop(self, arguments: dict[str, Any], answer: Answer) -> None:
        """Answered with the jobs as they are if there is something to stop."""
        self._to_stop(arguments)
        self.status(arguments, answer)

    def _to_stop(self, arguments: Mapping[str, Any]) -> Sequence[Member]:
        """The members that are meant and that are not in sync."""
        chosen = self._array.members
        if arguments.get("node") is not None:
            chosen = [member_named(self._array, text_of(arguments, "node"))]
        members = [member for member in chosen if member.state in ("stale", "resyncing", "missing")]
        if not members:
            said = f"No member of {self._array.name} needs a resync."
            if len(chosen) == 1:
                said = (
                    f"Member {chosen[0].name} of {self._array.name} is {chosen[0].state.replace('_', ' ')}."
                )
            raise Conflict(said, f"There is nothing to stop: dsttool resync status {self._array.name}")
        return members

    def limit(self, arguments: dict[str, Any], answer: Answer) -> None:
        """Set what is given of floor and ceiling. UsageError if the one would be above the other."""
        self._resyncs.limit(*self._limits(arguments))
        self.status(arguments, answer)

    def check_limit(self, arguments: dict[str, Any], answer: Answer) -> None:
        """Answered with the limits that would hold."""
        floor, ceiling = self._limits(arguments)
        answer({"floor_bytes": floor, "ceiling_bytes": ceiling or None})

    def _limits(self, arguments: Mapping[str, Any]) -> tuple[int, int]:
        pacer = self._resyncs.pacer
        floor, ceiling = count_of(arguments, "floor"), count_of(arguments, "ceiling")
        floor = pacer.floor if floor is None else floor
        ceiling = pacer.ceiling if ceiling is None else ceiling
        if floor == 0:
            raise UsageError("A floor of nothing lets a busy array starve its resyncs.", "Give at least 1K.")
        if ceiling and floor > ceiling:
            raise UsageError(
                f"The floor of {format_size(floor)}/s is above the ceiling of {format_size(ceiling)}/s.",
                "Set both, the floor to no more than the ceiling.",
            )
        return floor, ceiling


def _nobody() -> None:
    """Whoever asked has left; what was asked for goes on."""


class Settings:
    """The members' policies."""

    def __init__(self, array: Array, policies: Sequence[MemberPolicy]) -> None:
        self._array = array
        self._policies = policies

    def show(self, arguments: dict[str, Any], answer: Answer) -> None:
        """The policy of every member that has a link, or of one."""
        answer(self._answer(self._chosen(arguments)))

    def set(self, arguments: dict[str, Any], answer: Answer) -> None:
        """Change the policy of every member that has a link, or of one."""
        settings, members = self._asked(arguments)
        changes = {}
        for member in members:
            policy = self._policies[member.slot]
            changes[member.name] = policy.change(settings)
            if isinstance(member.node, DstNode | NbdNode):
                member.node.set_policy(policy.policy)
        self._array.changed()
        configured = self._array.name in paths.array_names()
        answer(
            {
                **self._answer(members),
                "changes": [
                    {"node": name, "key": key, "before": before, "after": after}
                    for name, each in changes.items()
                    for key, before, after in each
                ],
                "file": str(paths.array_file(self._array.name)) if configured else None,
            }
        )

    def check_set(self, arguments: dict[str, Any], answer: Answer) -> None:
        """Answered with the changes that would be made."""
        settings, members = self._asked(arguments)
        answer(
            {
                "changes": [
                    {"node": member.name, "key": key, "before": before, "after": after}
                    for member in members
                    for key, before, after in self._policies[member.slot].changes(settings)
                ]
            }
        )

    def _asked(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Value], Sequence[Member]]:
        """What is to be set, and for whom; every policy takes it. Raises what keeps it from being set."""
        words = arguments.get("settings")
        if not isinstance(words, dict) or not words:
            raise UsageError("There is nothing to set.", "Write for example resends=2.")
        settings = parse_policy({str(key): str(value) for key, value in words.items()})
        members = self._chosen(arguments)
        for member in members:
            self._policies[member.slot].changed(settings)
        return settings, members

    def _chosen(self, arguments: Mapping[str, Any]) -> Sequence[Member]:
        """The members that are meant. NotFound; Conflict if they have no link."""
        if arguments.get("node") is not None:
            member = member_named(self._array, text_of(arguments, "node"))
            if not self._has_link(member):
                raise Conflict(
                    f"{member.name} of {self._array.name} has no link: it is {member.address}.",
                    "A policy is about links to other machines and processes.",
                )
            return [member]
        members = [member for member in self._array.members if self._has_link(member)]
        if not members:
            raise Conflict(
                f"No member of {self._array.name} has a link.",
                "A policy is about links to other machines and processes.",
            )
        return members

    def _has_link(self, member: Member) -> bool:
        return self._policies[member.slot].has_link

    def _answer(self, members: Sequence[Member]) -> dict[str, Any]:
        nodes = []
        for member in members:
            policy = self._policies[member.slot]
            budget_ns = policy.policy.budget_ns
            nodes.append({"node": member.name, "budget_ns": budget_ns, "policy": policy.status()})
        return {"array": self._array.name, "nodes": nodes}
