"""`array discard`: one member's content is void, and refilled from the others."""

from collections.abc import Sequence

import click

from dsttool.cli import render, severe
from dsttool.cli.asking import connect_array, is_here
from dsttool.cli.dry_run import would
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config import paths
from dsttool.engine.config.units import format_size
from dsttool.engine.control.messages import Expect
from dsttool.engine.vocabulary.errors import Conflict, NotFound
from dsttool.engine.vocabulary.status import ArrayStatus, MemberStatus, good_members


@click.command(
    epilog="""\b
Examples:
  dsttool array discard pool n1
  dsttool array discard pool n1 --confirm=pool
  dsttool wait pool --for clean"""
)
@click.argument("name")
@click.argument("node")
@click.option("--confirm", metavar="NAME", help="The array's name, to go ahead unasked.")
@shared(confirms=True, waits=True, changes=True, asks=True)
def discard(settings: Settings, name: str, node: str, confirm: str | None) -> None:
    """Declare all that the member NODE of the array NAME holds void, and copy it from the others again.

    For a member whose bytes nobody trusts any more: a disk that returned wrong data, one that somebody else
    has written to. From then on it is not read, and not waited for; everything on it is overwritten, while
    the array serves from the others. The command returns once it is durable that the member is stale; `wait
    NAME --for clean` waits until it is refilled, `resync limit` says how fast that may be.

    The last good copy is not discarded (exit 6): another member has to be in sync and connected. It is a
    severe act: what is overwritten and what is left is shown, and the array's name has to be typed, or given
    with --confirm; without a terminal nobody is asked.

    The array has to be up. One that is down is told when it comes up which member is right: `array up NAME
    --resync-from OTHER` copies OTHER onto all members, this one included.
    """
    running = False
    try:
        with connect_array(settings, name) as daemon:
            running = True
            instance = daemon.call("hello")["instance"]
            (array,) = daemon.call("status")["arrays"]
            daemon.call("check.node.discard", node=node)
    except NotFound:
        if not running and is_here(settings) and name in paths.array_names():
            raise _down(name, node) from None
        raise
    if settings.dry_run:
        good = ", ".join(_good_others(array, node))
        size = format_size(array["size_bytes"])
        would(settings, [f"declare all of {node} of {name} void, and copy {size} onto it from {good}"])
        return
    severe.confirm(settings, name, _consequences(array, node), confirm)
    expect: Expect = {"instance": instance, "name": name, "good": _good_others(array, node)}
    # Another connection: the one before may have been idle for as long as somebody thought about it.
    with connect_array(settings, name) as daemon:
        member: MemberStatus = daemon.wait(settings.timeout, "node.discard", expect=expect, node=node)[
            "member"
        ]
    if settings.json:
        answer = {"schema": "dsttool.nodes/1", "array": name, "members": [member]}
        render.emit_json(settings, answer, [member])
        return
    render.say(settings, f"{node} of {name} is {member['state']}, and is refilled from the others.")
    render.say(settings, f"Try: dsttool wait {name} --for clean")


def _consequences(array: ArrayStatus, node: str) -> Sequence[str]:
    """What is overwritten, and what is left meanwhile."""
    name = array["name"]
    member = next(each for each in array["members"] if each["name"] == node)
    good = _good_others(array, node)
    left = f"{len(good)} good cop{'y is' if len(good) == 1 else 'ies are'} left"
    return [
        f"All of {node} of {name} ({member['address']}) is declared void, and overwritten: "
        f"{format_size(array['size_bytes'])}.",
        f"{left} until that is done: {', '.join(good) or 'none'}.",
        *(["It is all there is until then: if it is lost, so is what it holds."] if len(good) == 1 else []),
    ]


def _good_others(array: ArrayStatus, node: str) -> list[str]:
    return [name for name in good_members(array) if name != node]


def _down(name: str, node: str) -> Conflict:
    return Conflict(
        f"{name} is down, so {node} cannot be discarded.",
        f"Say which member is right when it comes up, and all others are overwritten: "
        f"dsttool array up {name} --resync-from OTHER",
    )
