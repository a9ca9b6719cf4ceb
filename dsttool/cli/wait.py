"""`wait`: until an array or export is in a wanted state. Nothing polls; see host.waiting."""

import select
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import click

from dsttool.cli import render
from dsttool.cli.asking import GRACE_SECONDS, connect, place
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config.names import check_name
from dsttool.engine.config.units import format_duration
from dsttool.engine.control import client, gathering
from dsttool.engine.control.place import Place
from dsttool.engine.vocabulary.errors import NotFound, TimedOut, Unreachable


@click.command(
    epilog="""\b
Examples:
  dsttool wait pool --for up --timeout 30s
  dsttool node resume pool n1 && dsttool wait pool --for clean --timeout 1h"""
)
@click.argument("name")
@click.option(
    "--for",
    "condition",
    required=True,
    type=click.Choice(["up", "clean", "connected", "degraded"]),
    help="up: it serves. connected: every member is there. clean: every member is in sync. "
    "degraded: one is not.",
)
@shared(waits=True, asks=True)
def wait(settings: Settings, name: str, condition: str) -> None:
    """Wait until the array or export NAME is in a state.

    Of arrays and exports: `up`, it serves. Of arrays: `connected`, no member is missing or suspended, and
    every link is up; `clean`, every member is in sync; `degraded`, one is not. Only `up` waits for what
    does not run yet, and whoever starts it.

    While it waits for an array to be clean, it shows how far the copying is. Ctrl-C ends the wait only: the
    resync goes on, until it is done or `dsttool resync stop` stops it.

    It returns at once if it is so already. Without --timeout it waits for ever; with it, it gives up with
    exit code 7. If the daemon ends meanwhile, exit code 4. Nothing is asked again and again: the daemon
    answers when it is so.
    """
    check_name(name)
    deadline = None if settings.timeout is None else time.monotonic() + settings.timeout
    with _appear(settings, name, deadline) if condition == "up" else connect(settings, name) as daemon:
        left = _left(deadline)
        arguments: dict[str, Any] = {
            "name": name,
            "condition": condition,
            "timeout_ns": None if left is None else int(left * 1e9),
        }
        patience = None if left is None else left + GRACE_SECONDS
        if condition == "clean":
            entry = _wait_clean(settings, daemon, patience, arguments)
        else:
            entry = daemon.wait(patience, "wait", **arguments)
    if settings.json:
        answer = {"schema": "dsttool.waited/1", "name": name, "for": condition, "state": entry["state"]}
        render.emit_json(settings, answer)
    else:
        render.say(settings, f"{name} is {condition}.")


def _wait_clean(
    settings: Settings, daemon: client.Client, patience: float | None, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Wait while it is shown how far the resyncs are. Ctrl-C lets them go on, and says how to stop them."""
    from dsttool.cli.jobs_shown import jobs_shown

    name = arguments["name"]
    try:
        with jobs_shown(settings, name):
            entry: dict[str, Any] = daemon.wait(patience, "wait", **arguments)
    except KeyboardInterrupt:
        render.note(settings, f"What is being copied goes on. To stop it: dsttool resync stop {name}")
        raise
    return entry


@contextmanager
def _appear(settings: Settings, name: str, deadline: float | None) -> Iterator[client.Client]:
    """A connection to the daemon that serves `name`, now or once it is ready. Raises TimedOut."""
    with place(settings) as chosen, closing(chosen.names()) as names:
        chosen.daemons()  # Raises if the machine cannot be reached.
        said = False
        while (daemon := _reach(chosen, name)) is None:
            if not said:
                render.note(settings, f"{name} is not running yet.")
                said = True
            if not select.select([names], [], [], _left(deadline))[0]:
                raise TimedOut(
                    f"{name} did not come up within {format_duration(int((settings.timeout or 0) * 1e9))}.",
                    f"Start it (dsttool array up {name}, dsttool export), or see `dsttool logs {name}`.",
                )
            names.read()
        with daemon:
            yield daemon


def _reach(chosen: Place, name: str) -> client.Client | None:
    """A connection to the daemon that serves `name`, if there is one that answers."""
    try:
        daemon = chosen.connect(gathering.find(chosen, name))
    except NotFound:
        return None
    except Unreachable:
        chosen.daemons()  # Raises if the machine cannot be reached; a daemon may yet come.
        return None
    try:
        daemon.call("hello")
    except BaseException as error:
        daemon.close()
        if isinstance(error, NotFound | Unreachable):
            return None
        raise
    return daemon


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
