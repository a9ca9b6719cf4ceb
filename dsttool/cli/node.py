"""`node list`, `suspend` and `resume`: the members of an array that runs."""

from typing import Any

import click

from dsttool.cli import render
from dsttool.cli.asking import ask_array, connect_array
from dsttool.cli.careful import go_ahead
from dsttool.cli.dry_run import would
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config.units import format_duration, format_size, parse_duration
from dsttool.engine.control.messages import Expect
from dsttool.engine.vocabulary.errors import UsageError
from dsttool.engine.vocabulary.status import MemberStatus, good_members


@click.command(
    "list",
    epilog="""\b
Examples:
  dsttool node list pool
  dsttool node list pool -o plain | cut -f2,3""",
)
@click.argument("array")
@shared(waits=True, asks=True)
def list_nodes(settings: Settings, array: str) -> None:
    """List the nodes of an array that runs: their states, what they miss, and how they are reached.

    STATE is `in sync`; `stale`, it missed something and waits for it; `resyncing`, what it missed is being
    copied to it; `suspended`, it gets no requests until it is resumed; `missing`, it was not there when the
    array came up; or `faulty`, it has ended for good. DIRTY is what it misses, RESYNCED what the current or
    the last resync copied to it, CONNECTS how often its link came up. Where a node has several links, the
    best of them is shown; --json has each.
    """
    (status,) = ask_array(settings, array, "status")["arrays"]
    members: list[MemberStatus] = status["members"]
    if settings.json:
        answer = {"schema": "dsttool.nodes/1", "array": array, "state": status["state"], "members": members}
        render.emit_json(settings, answer, members)
        return
    render.table(
        settings,
        ("SLOT", "NODE", "STATE", "DIRTY", "RESYNCED", "LINK", "SECURITY", "CONNECTS", "ADDRESS"),
        [_row(settings, member) for member in members],
        right=("SLOT", "DIRTY", "RESYNCED", "CONNECTS"),
    )


@click.command(
    epilog="""\b
Examples:
  dsttool node suspend pool n1
  dsttool node suspend pool n1 --for 10m"""
)
@click.argument("array")
@click.argument("node")
@click.option("--for", "duration", metavar="TIME", help="Resume it by itself after this time, e.g. 10m.")
@shared(confirms=True, waits=True, changes=True, asks=True)
def suspend(settings: Settings, array: str, node: str, duration: str | None) -> None:
    """Give NODE no requests until it is resumed; return when none is under way on it.

    For work on a disk, a machine or a network that is to take no part for a while. What the node has is
    flushed before the command returns, and what is written meanwhile is remembered, and copied to it once it
    is resumed; with --for that happens by itself. What it does not answer within 2 s is given up. It is
    remembered when the array goes down, unless --for was given.

    The last member that holds everything and is connected is not suspended (exit 6), nor is one of a layout
    that keeps no copies. Where only one good copy is left, that is said, and whoever is at the terminal is
    asked; a script is told, and it is done.
    """
    for_ns = None if duration is None else parse_duration(duration)
    if for_ns == 0:
        raise UsageError("It must be longer than nothing.", "Write for example --for 10m.")
    back = f"for {format_duration(for_ns)}" if for_ns else f"until `dsttool node resume {array} {node}`"
    if settings.dry_run:
        ask_array(settings, array, "check.node.suspend", node=node, for_ns=for_ns)
        then = "what is written meanwhile is copied to it once it is back"
        would(settings, [f"suspend {node} of {array}: it gets no requests {back}; {then}"])
        return
    consequences, expect = _left_alone(settings, array, node)
    go_ahead(settings, consequences)
    member = _order(settings, array, "node.suspend", expect, node=node, for_ns=for_ns)
    _report(settings, array, member)
    render.say(settings, f"{node} of {array} is suspended {back}.")


@click.command(
    epilog="""\b
Examples:
  dsttool node resume pool n1 && dsttool wait pool --for clean"""
)
@click.argument("array")
@click.argument("node")
@shared(waits=True, changes=True, asks=True)
def resume(settings: Settings, array: str, node: str) -> None:
    """Give NODE requests again; what it missed is copied to it while the array serves.

    It returns when the node is not suspended any more: then it is stale, and its resync begins as soon as it
    is connected. It is read again once it has everything.
    """
    if settings.dry_run:
        member = ask_array(settings, array, "check.node.resume", node=node)["member"]
        missed = _missed(member) or "; it missed nothing"
        would(settings, [f"resume {node} of {array}: it gets requests again{missed}"])
        return
    member = _order(settings, array, "node.resume", node=node)
    _report(settings, array, member)
    state, left = member["state"].replace("_", " "), _missed(member)
    render.say(settings, f"{node} of {array} is resumed: it is {state}{left}.")
    if member["state"] != "in_sync":
        render.say(settings, f"Try: dsttool wait {array} --for clean")


def _left_alone(settings: Settings, array: str, node: str) -> tuple[list[str], Expect | None]:
    """What follows if only one good copy is left without a member, and what that counts on: somebody may
    think about it for long. Raises what suspending it is refused with.
    """
    with connect_array(settings, array) as daemon:
        instance = daemon.call("hello")["instance"]
        (status,) = daemon.call("status")["arrays"]
        daemon.call("check.node.suspend", node=node)
    good = good_members(status)
    left = [name for name in good if name != node]
    if status["layout"] != "mirror" or node not in good or len(left) != 1:
        return [], None
    alone = (
        f"Without {node} only {left[0]} holds what is written to {array} from now on: "
        "if that one is lost meanwhile, so is what was written."
    )
    return [alone], {"instance": instance, "name": array, "good": left}


def _missed(member: MemberStatus) -> str:
    """How much has to be copied to a member, as the end of a sentence."""
    return f"; {format_size(member['dirty_bytes'])} are to be copied" if member["dirty_bytes"] else ""


def _order(
    settings: Settings, array: str, command: str, expect: Expect | None = None, **arguments: Any
) -> MemberStatus:
    """The member as it is once the command is done, which may take as long as what is under way on it."""
    with connect_array(settings, array) as daemon:
        answer = daemon.wait(settings.timeout, command, expect=expect, **arguments)
    member: MemberStatus = answer["member"]
    return member


def _report(settings: Settings, array: str, member: MemberStatus) -> None:
    if settings.json:
        answer = {"schema": "dsttool.nodes/1", "array": array, "members": [member]}
        render.emit_json(settings, answer, [member])


def _row(settings: Settings, member: MemberStatus) -> tuple[str, ...]:
    link = member["link"]
    return (
        str(member["slot"]),
        member["name"],
        render.state(settings, member["state"]),
        render.size(settings, member["dirty_bytes"]),
        render.size(settings, member["resynced_bytes"]),
        render.UNKNOWN if link is None else render.state(settings, link["state"]),
        render.UNKNOWN if link is None else link["security"] or render.UNKNOWN,
        render.UNKNOWN if link is None else str(link["connects"]),
        member["address"] or render.UNKNOWN,
    )
