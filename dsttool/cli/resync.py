"""`resync status`, `start`, `pause`, `limit`: copying to members what they missed."""

from collections.abc import Sequence
from typing import Any

import click

from dsttool.cli import render
from dsttool.cli.asking import ask_array
from dsttool.cli.dry_run import would
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config.units import format_duration, format_size, parse_size
from dsttool.engine.vocabulary.errors import UsageError
from dsttool.engine.vocabulary.status import JobStatus


@click.command()
@click.argument("array")
@shared(waits=True, asks=True)
def status(settings: Settings, array: str) -> None:
    """Show which resyncs run, how far they are, and how fast."""
    _show(settings, array, ask_array(settings, array, "resync.status"))


@click.command()
@click.argument("array")
@shared(waits=True, changes=True, asks=True)
def start(settings: Settings, array: str) -> None:
    """Let resyncs that were paused go on."""
    if settings.dry_run:
        answer = ask_array(settings, array, "resync.status")
        would(settings, [f"let the resyncs of {array} go on: {_running(answer)}"] if answer["paused"] else [])
        return
    _show(settings, array, ask_array(settings, array, "resync.start"))


@click.command()
@click.argument("array")
@shared(waits=True, changes=True, asks=True)
def pause(settings: Settings, array: str) -> None:
    """Copy nothing until `resync start`; what is written meanwhile still goes to every member."""
    if settings.dry_run:
        answer = ask_array(settings, array, "resync.status")
        would(settings, [] if answer["paused"] else [f"pause the resyncs of {array}: {_running(answer)}"])
        return
    _show(settings, array, ask_array(settings, array, "resync.pause"))


@click.command()
@click.argument("array")
@click.option("--floor", metavar="SIZE", help="Bytes a second to copy however busy the array is, e.g. 1M.")
@click.option("--ceiling", metavar="SIZE", help="Bytes a second to copy at most, e.g. 100M; 0 for no limit.")
@shared(waits=True, changes=True, asks=True)
def limit(settings: Settings, array: str, floor: str | None, ceiling: str | None) -> None:
    """Say how fast resyncs may be, until the array goes down."""
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
        ("JOB", "STATE", "DONE", "TOTAL", "RATE", "LEFT"),
        [
            (
                job["kind"],
                render.state(settings, job["state"]),
                format_size(job["done_bytes"]),
                render.UNKNOWN if job["total_bytes"] is None else format_size(job["total_bytes"]),
                render.UNKNOWN if job["rate_bytes"] is None else f"{format_size(job['rate_bytes'])}/s",
                _time_left(job["eta_ns"]),
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


def _time_left(eta_ns: int | None) -> str:
    if eta_ns is None:
        return render.UNKNOWN
    return format_duration(max(1, eta_ns // 1_000_000_000) * 1_000_000_000)
