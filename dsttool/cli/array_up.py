"""`array up`."""

import functools
from typing import TYPE_CHECKING, Final

import click

from dsttool.cli import render, severe
from dsttool.cli.array_create import described
from dsttool.cli.careful import go_ahead
from dsttool.cli.dry_run import would
from dsttool.cli.offering import Offering, offering
from dsttool.cli.running import Running, running
from dsttool.cli.serving import exit_with, report_ready, run_foreground
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config import paths
from dsttool.engine.config.units import parse_duration
from dsttool.engine.vocabulary.errors import DsttoolError, UsageError

if TYPE_CHECKING:
    from dsttool.engine.host.array_plan import ArrayPlan


_HELP: Final = """\
Bring arrays up; return when they serve.

Without --layout: configured arrays by NAME, or all of them, those that others are made of first. With
--layout: one array called NAME over the NODEs that follow; nothing is saved, and it is refused if that
name is configured (exit 8). Layouts are explained with `array create`.

It serves NBD and DST through NAME.nbd and NAME.dst in the runtime folder; --listen adds places, as for
`export`. A dst place makes it a node for other arrays, here and elsewhere. It returns when the array
serves; --foreground stays, for service managers.

When a raw mirror comes up, samples of its members are compared. If they differ, or the array was not
stopped cleanly, or a member missed writes when it last ran, it is refused (exit 6): somebody has to say
which member is right. So it is if a member was no part of it then, or is other storage at the old address
(a restored or copied file is one; of NBD servers only the size is known). --resync-from NODE copies that
one onto all others while the array serves. --assume-clean takes all of them for right, and compares
nothing. What is overwritten, or forgotten, is said first, and whoever is at the terminal is asked.

Where members are missing it is refused, too (exit 6), for they may hold newer data: bring them back, or
give --degraded to go on without them. They are taken in, and copied to, when they return; other storage
in their place is not. --wait gives them time to come, for example after a power cut that hit all machines;
one that was there and is taken over meanwhile ends the wait.

--takeover takes the nodes from another owner who writes to them, and who is cut off for good. It is a
severe act: the array's name has to be typed, or given with --confirm.
"""


@click.command(
    help=_HELP,
    epilog="""\b
Examples:
  dsttool array up pool
  dsttool array up pool --layout mirror --raw --assume-clean a.img b.img
  dsttool array up pool --degraded --resync-from n0""",
)
@click.argument("words", nargs=-1, metavar="[NAME [NODE...]]...")
@described(required=False)
@click.option("--assume-clean", is_flag=True, help="Take all members for equal; nothing is compared.")
@click.option("--resync-from", default="", metavar="NODE", help="Copy this member onto all others.")
@click.option("--degraded", is_flag=True, help="Go on without members that are missing; resync stale ones.")
@click.option("--wait", metavar="TIME", default="0s", help="Wait that long for members that are missing.")
@click.option("--read-only", is_flag=True, help="Let nobody write.")
@click.option("--shared", "several", is_flag=True, help="Let several write at a time, not one.")
@click.option("--takeover", is_flag=True, help="Take the nodes from whoever writes to them now.")
@click.option("--confirm", metavar="NAME", help="The array's name, to go ahead with --takeover unasked.")
@click.option("--foreground", is_flag=True, help="Stay in this process, for service managers.")
@shared(confirms=True, changes=True)
@offering(invites=True)
@running
def up(
    settings: Settings,
    words: tuple[str, ...],
    layout: str | None,
    raw: bool,
    chunk: str | None,
    read_policy: str | None,
    listens: tuple[str, ...],
    assume_clean: bool,
    resync_from: str,
    degraded: bool,
    wait: str,
    read_only: bool,
    several: bool,
    takeover: bool,
    confirm: str | None,
    foreground: bool,
    offering: Offering,
    running: Running,
) -> None:
    """Bring arrays up; return when they serve."""
    from dataclasses import replace

    from dsttool.engine.config.array_file import ArrayConfig, parse_chunk
    from dsttool.engine.host import array_plan

    places = offering.places(listens)
    options = array_plan.ArrayPlan(
        ArrayConfig("", "", ()),
        places,
        assume_clean,
        degraded,
        read_only,
        resync_from,
        takeover,
        offering.access,
        offering.invite_ns,
        several,
        parse_duration(wait),
    )
    if confirm is not None and not takeover:
        raise UsageError("--confirm is for --takeover.", "Leave it out.")
    if layout is None:
        _check_names(words, raw=raw or chunk is not None or read_policy is not None)
        plans = array_plan.from_configuration(words, options)
    else:
        if len(words) < 2:
            raise UsageError(
                "With --layout the first word is the array's name, and the rest are its nodes.",
                "Write: dsttool array up NAME --layout mirror --raw NODE NODE",
            )
        array_plan.refuse_configured(words[0])
        config = array_plan.from_words(
            words[0],
            words[1:],
            layout=layout,
            raw=raw,
            chunk=None if chunk is None else parse_chunk(chunk),
            read_policy=read_policy,
            listens=places,
        )
        plans = [replace(options, config=config, listens=config.listen)]
        plans[0].check()
    if settings.dry_run:
        _rehearse(settings, plans, all_of_them=not words)
        return
    if takeover:
        _confirm_takeover(settings, plans, confirm)
    _say_what_follows(settings, plans)
    _bring_up(settings, plans, running, foreground=foreground, listening=bool(places), all_of_them=not words)


def _rehearse(settings: Settings, plans: "list[ArrayPlan]", *, all_of_them: bool) -> None:
    """Say what would come up; what would be refused is refused."""
    from dsttool.engine.host import rehearsal

    acts: list[str] = []
    for plan in plans:
        if all_of_them and _answers(plan.name):
            render.note(settings, f"{plan.name} is up already.")
            continue
        if plan.takeover:
            acts.append(f"take the nodes of {plan.name} from whoever writes to them now")
        acts += rehearsal.array(plan)
    would(settings, acts)


def _confirm_takeover(settings: Settings, plans: "list[ArrayPlan]", confirmed: str | None) -> None:
    if len(plans) > 1:
        raise UsageError(f"--takeover is for one array, and these are {len(plans)}.", "Name one of them.")
    plan = plans[0]
    nodes = ", ".join(str(node.bare()) for node in plan.config.nodes)
    severe.confirm(
        settings,
        plan.name,
        [
            f"{plan.name} takes over {nodes}.",
            "Whoever writes there now is cut off for good: what it still holds is lost, and what it serves "
            "freezes or fails.",
            "Do this only if that one is dead, or if you want to end it. Nothing is overwritten by this.",
        ],
        confirmed,
    )


def _say_what_follows(settings: Settings, plans: "list[ArrayPlan]") -> None:
    """Say, or ask, what --resync-from overwrites, and what --assume-clean forgets."""
    lines = []
    for plan in plans:
        source = plan.source
        if source is not None:
            others = [
                f"{name} ({node.bare()})"
                for slot, (name, node) in enumerate(zip(plan.member_names, plan.config.nodes))
                if slot != source
            ]
            lines.append(
                f"{plan.name}: all of {', '.join(others)} is overwritten with what "
                f"{plan.member_names[source]} ({plan.config.nodes[source].bare()}) holds."
            )
        elif plan.assume_clean and plan.spare:
            lines += _doubts(plan)
    go_ahead(settings, lines)


def _doubts(plan: "ArrayPlan") -> list[str]:
    """Why the members of an array may not hold the same, as far as that is remembered."""
    from dsttool.engine.config import state_file

    state = state_file.load(plan.name)
    if state is None:
        return []
    behind = [node for node, member in zip(state.nodes, state.members) if member != "in_sync"]
    if not behind and state.clean:
        return []
    reason = f"{' and '.join(behind)} missed writes" if behind else "it was not stopped cleanly"
    return [
        f"{plan.name}: {reason}, and nothing is compared: where its members differ, reads bring what the one "
        "or the other holds."
    ]


def _check_names(words: tuple[str, ...], *, raw: bool) -> None:
    for word in words:
        if ":" in word or "/" in word:
            raise UsageError(
                f"{word} is a node, and finding arrays by the superblocks on their nodes comes later.",
                "Say what the array is made of: dsttool array up NAME --layout mirror --raw NODE NODE",
            )
    if raw:
        raise UsageError(
            "--raw, --chunk and --read-policy describe a new array, and there is no --layout.",
            "Add --layout, or leave them out to bring up what is configured.",
        )


def _bring_up(
    settings: Settings,
    plans: "list[ArrayPlan]",
    running: Running,
    *,
    foreground: bool,
    listening: bool,
    all_of_them: bool,
) -> None:
    from dsttool.engine.config.listen import exposure_remarks
    from dsttool.engine.host import daemon, run_array

    single = {
        "--foreground": foreground,
        "--listen": listening,
        "--invite": plans[0].invite_ns is not None,
        "--metrics": running.metrics is not None,
    }
    if len(plans) > 1 and any(single.values()):
        option = next(option for option, given in single.items() if given)
        raise UsageError(f"{option} is for one array, and these are {len(plans)}.", "Name one of them.")
    if len(plans) > 1 and plans[0].resync_from:
        raise UsageError(f"--resync-from is for one array, and these are {len(plans)}.", "Name one of them.")
    remarks = [remark for plan in plans for remark in exposure_remarks(plan.listens)] + running.remarks
    if foreground:
        serve = functools.partial(run_array.run, plans[0], metrics=running.metrics)
        exit_with(run_foreground(settings, [plans[0].name], serve, remarks, running.log_format))
    reports: list[daemon.Report] = []
    try:
        for plan in plans:
            if all_of_them and _answers(plan.name):
                render.note(settings, f"{plan.name} is up already.")
                continue
            serve = functools.partial(run_array.run, plan, metrics=running.metrics)
            reports.append(daemon.detach([plan.name], serve, settings.verbose, running.log_format))
    except DsttoolError:
        if reports:
            report_ready(settings, reports, remarks)
        raise
    report_ready(settings, reports, remarks)


def _answers(name: str) -> bool:
    from dsttool.engine.control import client

    try:
        with client.Client(paths.control_socket(name)) as running:
            running.call("hello")
    except DsttoolError:
        return False
    return True
