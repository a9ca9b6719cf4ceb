"""`resync status`, `start`, `pause`, `stop`, `limit`: copying to members what they missed."""

from collections.abc import Sequence
from typing import Any

import click

from dsttool.cli import render
from dsttool.cli.asking import ask_array, connect_array
from dsttool.cli.dry_run import would
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config.units import format_size, format_span, parse_size
from dsttool.engine.vocabulary.errors import UsageError
from dsttool.engine.vocabulary.status import JobStatus


@click.command()
@click.argument("array")
@shared(waits=True, asks=True)
def status(settings: Settings, array: str) -> None:
    """Show which resyncs run, how far they are, and how fast.

    A resync copies to a member what it missed while it was away, and no more than that, while the array
    serves. It runs by itself. Its states are `running`, `paused` and `stopped`; LEFT is the time that it
    still takes at the rate of now. Ctrl-C on whatever waits for one does not end it.
    """
    _show(settings, array, ask_array(settings, array, "resync.status"))


@click.command()
@click.argument("array")
@shared(waits=True, changes=True, asks=True)
def start(settings: Settings, array: str) -> None:
    """Let resyncs that were paused go on, begin those that were stopped, and try again what failed.

    Resyncs begin by themselves when a member that missed something is there and connected, so that this is
    needed only after `resync pause` and `resync stop`, or to have a member that answered with errors tried
    again now; without it that happens later and later, every 30 s at last.
    """
    if settings.dry_run:
        answer = ask_array(settings, array, "resync.status")
        held = answer["paused"] or any(job["state"] == "stopped" for job in answer["jobs"])
        would(settings, [f"let the resyncs of {array} go on: {_running(answer)}"] if held else [])
        return
    _show(settings, array, ask_array(settings, array, "resync.start"))


@click.command()
@click.argument("array")
@shared(waits=True, changes=True, asks=True)
def pause(settings: Settings, array: str) -> None:
    """Copy nothing until `resync start`; what is written meanwhile still goes to every member.

    The copies hold still where they are. A member that is being resynced goes on getting what clients write,
    so that it falls no further behind. To have it get nothing at all: `resync stop`.
    """
    if settings.dry_run:
        answer = ask_array(settings, array, "resync.status")
        would(settings, [] if answer["paused"] else [f"pause the resyncs of {array}: {_running(answer)}"])
        return
    _show(settings, array, ask_array(settings, array, "resync.pause"))


@click.command(
    epilog="""\b
Examples:
  dsttool resync stop pool
  dsttool resync stop pool n1
  dsttool resync start pool"""
)
@click.argument("array")
@click.argument("node", required=False)
@shared(waits=True, changes=True, asks=True)
def stop(settings: Settings, array: str, node: str | None) -> None:
    """End the resyncs of an array, or that of NODE; the members stay stale until `resync start`.

    A stopped member gets nothing any more, neither copies nor what clients write: no requests wait for it,
    which helps while a slow or broken disk is in the way. What it misses is remembered while the array runs,
    and copied after `resync start`, or once the array is brought up anew. It stays stopped when its link
    comes back, and members that are missing stay so when they return.

    `resync pause` is something else: the copies hold still, and go on where they were, and the members get
    all that is written meanwhile. `node suspend` takes a member out that is in sync.

    It returns once no copy is under way any more. If no member needs a resync it is refused (exit 8).
    """
    if settings.dry_run:
        answer = ask_array(settings, array, "check.resync.stop", node=node)
        would(settings, [f"stop the resync of {node or 'all members'} of {array}: {_running(answer)}"])
        return
    with connect_array(settings, array) as daemon:
        answer = daemon.wait(settings.timeout, "resync.stop", node=node)
    _show(settings, array, answer)


@click.command()
@click.argument("array")
@click.option("--floor", metavar="SIZE", help="Bytes a second to copy however busy the array is, e.g. 1M.")
@click.option("--ceiling", metavar="SIZE", help="Bytes a second to copy at most, e.g. 100M; 0 for no limit.")
@shared(waits=True, changes=True, asks=True)
def limit(settings: Settings, array: str, floor: str | None, ceiling: str | None) -> None:
    """Say how fast resyncs may be, until the array goes down.

    While clients ask for something, all resyncs of the array together copy at the floor, so that they come to
    an end however busy it is; while nobody does, as fast as they can, but never beyond the ceiling. The floor
    is 32M unless it is set.
    """
    if floor is None and ceiling is None:
        raise UsageError("There is nothing to set.", "Give --floor, --ceiling or both.")
    limits = {
        "floor": None if floor is None else parse_size(floor),
        "ceiling": None if ceiling is None else parse_size(ceiling),
    }
    if settings.dry_run:
        checked = ask_array(settings, array, "check.resync.limit", **limits)
        would(settings, [f"limit the resyncs of {array}: {_speeds(checked)}"])
        return
    _show(settings, array, ask_array(settings, array, "resync.limit", **limits))


def _show(settings: Settings, array: str, answer: dict[str, Any]) -> None:
    jobs: Sequence[JobStatus] = answer["jobs"]
    if settings.json:
        render.emit_json(settings, {"schema": "dsttool.jobs/1", "array": array, **answer}, jobs)
        return
    if settings.format == "table":
        render.say(settings, _limits(answer))
    if not jobs and settings.format == "table":
        render.say(settings, f"No resync of {array} runs or waits.")
        return
    render.table(
        settings,
        ("JOB", "NODE", "STATE", "DONE", "TOTAL", "RATE", "LEFT"),
        [
            (
                job["kind"],
                job.get("member") or render.UNKNOWN,
                render.state(settings, job["state"]),
                render.size(settings, job["done_bytes"]),
                render.size(settings, job["total_bytes"]),
                render.figure(settings, job["rate_bytes"], lambda rate: f"{format_size(rate)}/s"),
                render.figure(settings, job["eta_ns"], _time_left),
            )
            for job in jobs
        ],
        right=("DONE", "TOTAL", "RATE", "LEFT"),
    )


def _limits(answer: dict[str, Any]) -> str:
    speeds = _speeds(answer)
    return f"{'Paused. ' if answer['paused'] else ''}{speeds[0].upper()}{speeds[1:]}."


def _speeds(answer: dict[str, Any]) -> str:
    ceiling = answer["ceiling_bytes"]
    most = "as fast as it goes" if ceiling is None else f"{format_size(ceiling)}/s at most"
    return f"while the array is busy {format_size(answer['floor_bytes'])}/s, else {most}"


def _running(answer: dict[str, Any]) -> str:
    return f"{len(answer['jobs']) or 'none'} now"


def _time_left(eta_ns: int) -> str:
    return format_span(max(eta_ns, 1_000_000_000))
