"""An array daemon: nodes opened, checked against each other, and offered as one device."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from dsttool.engine.array.array import Array
from dsttool.engine.array.member import Member
from dsttool.engine.array.samples import Samples
from dsttool.engine.control.lock import NameLock
from dsttool.engine.device.device import Device
from dsttool.engine.host import owners
from dsttool.engine.host.array_plan import ArrayPlan
from dsttool.engine.host.array_state import History
from dsttool.engine.host.array_status import array_status
from dsttool.engine.host.commands import for_array
from dsttool.engine.host.daemon import Ready, spare_from_signals
from dsttool.engine.host.ending import flush_all
from dsttool.engine.host.engine import Engine
from dsttool.engine.host.events import ArrayStates, Events
from dsttool.engine.host.offers import offer_of
from dsttool.engine.host.open_node import Opening
from dsttool.engine.host.patience import MISSING, open_patiently
from dsttool.engine.host.policies import MemberPolicy
from dsttool.engine.host.reload_parts import ArrayPart
from dsttool.engine.host.returning import Returning
from dsttool.engine.mapping.algorithm import Algorithm
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError, Unsafe

LOG = logging.getLogger(__name__)


def run(
    plan: ArrayPlan,
    lock: NameLock,
    ready: Ready,
    running: Callable[[Engine], None] | None = None,
    *,
    metrics: Endpoint | None = None,
) -> int:
    """Bring the array up and serve it until stopped; the exit code.

    Raises Unsafe where members are missing or may not hold the same. `lock` is of the array's name;
    `running` gets the engine before it serves. metrics: where Prometheus is answered.
    """
    spare_from_signals()
    reactor = Reactor()
    with Events(reactor, [plan.name]) as events:
        return _run(plan, lock, ready, running, reactor, events, metrics)


def _run(
    plan: ArrayPlan,
    lock: NameLock,
    ready: Ready,
    running: Callable[[Engine], None] | None,
    reactor: Reactor,
    events: Events,
    metrics: Endpoint | None,
) -> int:
    history = History(plan)
    states = history.states_to_begin_with()
    policies = plan.policies()
    asked = openings(plan, policies)
    nodes = open_members(reactor, plan, states, asked)
    check_vouched(plan, history, nodes)
    history.check_storage(nodes, states)
    lost = not history.clean and (_cannot_flush(reactor, nodes) or history.has_lost(nodes, states))
    algorithm = plan.algorithm(sizes(nodes))
    members = [
        Member(slot, name, str(address.bare()), node, state)
        for slot, (name, address, node, state) in enumerate(
            zip(plan.member_names, plan.config.nodes, nodes, states)
        )
    ]
    if not plan.assume_clean:
        _compare(reactor, plan, algorithm, members)
    array = Array(
        reactor,
        plan.name,
        algorithm,
        members,
        store=history.store,
        generation=history.generation,
        read_policy=plan.config.read_policy or "nearest",
        lost=lost,
    )
    offer = offer_of(plan.name, array, read_only=plan.read_only, shared=plan.shared)
    offer.lost = lost
    history.store(array.record)
    returning = Returning(reactor, array, asked, policies, history.is_known)
    commands = for_array(reactor, array, offer, policies)
    engine = Engine(
        *("array", reactor, lock, [offer], events),
        lambda: ([array_status(array, offer)], []),
        commands,
        plan.access_plan,
        metrics=metrics,
        part=lambda access: ArrayPart(plan, array, policies, access),
    )
    shown = ArrayStates(reactor, array)

    def changed() -> None:
        engine.waits.changed()
        shown.changed()

    array.on_change = changed
    shown.changed()  # it may be degraded from the start
    if running is not None:
        running(engine)
    try:
        code = engine.serve([listen.absolute(Path.cwd()) for listen in plan.listens], ready)
    finally:
        returning.end()
    if engine.clean and array.settled:
        history.end(array.record)
    return code


def openings(plan: ArrayPlan, policies: Sequence[MemberPolicy]) -> list[Opening]:
    """How to open the members, in slot order."""
    array = owners.array_id(plan.name)
    return [
        Opening(
            address,
            name=f"{plan.name}/{name}",
            read_only=plan.read_only,
            mapped=True,
            policy=each.policy,
            array=array,
            slot=slot,
            takeover=plan.takeover,
            ordered_above=True,
            retain=not plan.spare,
        )
        for slot, (name, address, each) in enumerate(zip(plan.member_names, plan.config.nodes, policies))
    ]


def _cannot_flush(reactor: Reactor, nodes: Sequence[Device | None]) -> bool:
    """Whether what was acked before an unclean end may not have reached the media."""
    failures = flush_all(reactor, [node for node in nodes if node is not None])
    for failure in failures:
        tell(LOG, "flush.failed", "", "after an unclean end: %s", failure)
    return bool(failures)


def open_members(
    reactor: Reactor, plan: ArrayPlan, states: Sequence[str], asked: Sequence[Opening]
) -> list[Device | None]:
    """The members' devices; None for one that is missing and that --degraded goes without."""
    results = open_patiently(reactor, asked, plan.wait_ns)
    nodes: list[Device | None] = []
    missing: list[tuple[str, DsttoolError]] = []
    for name, result in zip(plan.member_names, results):
        if not isinstance(result, DsttoolError):
            nodes.append(result)
        elif isinstance(result, MISSING):
            nodes.append(None)
            missing.append((name, result))
        else:
            raise type(result)(f"Member {name} of {plan.name}: {result.what}", result.advice)
    in_sync = [state == "in_sync" and node is not None for state, node in zip(states, nodes)]
    _check_missing(plan, missing, len(nodes) - sum(in_sync))
    return nodes


def check_vouched(plan: ArrayPlan, history: History, nodes: Sequence[Device | None]) -> None:
    """Unsafe if --assume-clean would take members for equal of which none had everything."""
    if plan.assume_clean and not history.vouches_for([node is not None for node in nodes]):
        raise Unsafe(
            f"The members of {plan.name} that are here missed writes that only the missing ones hold.",
            "Bring one of those back first; if they are lost for good, form an array of another name.",
        )


def _check_missing(plan: ArrayPlan, missing: Sequence[tuple[str, DsttoolError]], lost: int) -> None:
    """Raise unless the array may come up without what is missing."""
    reasons = " ".join(f"Member {name} is missing: {error.what}" for name, error in missing)
    if lost > plan.spare:
        error = missing[0][1] if missing else Unsafe("")
        raise type(error)(
            f"{plan.name} cannot come up. {reasons or 'Too many of its members are stale.'}",
            "Bring the missing members back first.",
        )
    if missing and not plan.degraded:
        raise Unsafe(
            f"{plan.name} is not complete. {reasons}",
            "Bring it back, or add --degraded to go on without it; the absent one may hold newer data.",
        )
    for name, error in missing:
        names = (plan.name, name)
        tell(LOG, "member.missing", "/".join(names), "%s comes up without member %s: %s", *names, error.what)


def sizes(nodes: Sequence[Device | None]) -> list[int]:
    """The members' sizes; a missing one, of which others hold a copy, is taken for the smallest."""
    known = [node.capabilities.size for node in nodes if node is not None]
    return [min(known) if node is None else node.capabilities.size for node in nodes]


def _compare(reactor: Reactor, plan: ArrayPlan, algorithm: Algorithm, members: list[Member]) -> None:
    """Unsafe if samples show that members which should hold the same do not."""
    answers: list[tuple[tuple[str, str, int] | None, DsttoolError | None]] = []
    Samples(algorithm, members, lambda difference, error: answers.append((difference, error))).start()
    reactor.run_until(lambda: bool(answers))
    difference, error = answers[0]
    if error is not None:
        raise error
    if difference is not None:
        first, second, offset = difference
        raise Unsafe(
            f"Members {first} and {second} of {plan.name} differ, for example at byte {offset}.",
            f"Add --resync-from {first} or {second} to copy that one onto the others, or --assume-clean if"
            f" {plan.name} is new.",
        )
