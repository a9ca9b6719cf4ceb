"""`wait`: until an array or export is in a wanted state. Nothing polls; see host.waiting."""

import time
from typing import Any

import click

from dsttool.cli import render
from dsttool.cli.asking import GRACE_SECONDS, connect
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config import paths
from dsttool.engine.config.names import check_name
from dsttool.engine.config.units import format_duration
from dsttool.engine.control import client
from dsttool.engine.control.appearing import News
from dsttool.engine.vocabulary.errors import NotFound, TimedOut, Unreachable


@click.command()
@click.argument("name")
@click.option(
    "--for",
    "condition",
    required=True,
    type=click.Choice(["up", "clean", "connected", "degraded"]),
    help="up: it serves. connected: every member is there. clean: every member is in sync. degraded.",
)
@shared(waits=True)
def wait(settings: Settings, name: str, condition: str) -> None:
    """Wait until the array or export NAME is in a state.

    Only --for up waits for what does not run yet. Without --timeout it waits for ever.
    """
    check_name(name)
    deadline = None if settings.timeout is None else time.monotonic() + settings.timeout
    daemon = _appear(settings, name, deadline) if condition == "up" else connect(settings, name)
    with daemon:
        left = _left(deadline)
        entry: dict[str, Any] = daemon.wait(
            None if left is None else left + GRACE_SECONDS,
            "wait",
            name=name,
            condition=condition,
            timeout_ns=None if left is None else int(left * 1e9),
        )
    if settings.json:
        answer = {"schema": "dsttool.waited/1", "name": name, "for": condition, "state": entry["state"]}
        render.emit_json(settings, answer)
    else:
        render.say(settings, f"{name} is {condition}.")


def _appear(settings: Settings, name: str, deadline: float | None) -> client.Client:
    """A connection to the daemon that serves `name`, now or once it is ready. Raises TimedOut."""
    runtime = paths.make_folder(paths.runtime_dir())
    said = False
    with News(runtime) as news:
        while True:
            daemon = _reach(name)
            if daemon is not None:
                return daemon
            if not said:
                render.note(settings, f"{name} is not running yet.")
                said = True
            if not news.wait(_left(deadline)):
                raise TimedOut(
                    f"{name} did not come up within {format_duration(int((settings.timeout or 0) * 1e9))}.",
                    f"Start it (dsttool array up {name}, dsttool export), or see `dsttool logs {name}`.",
                )


def _reach(name: str) -> client.Client | None:
    """A connection to the daemon that serves `name`, if there is one that answers."""
    try:
        daemon = client.Client(client.find(paths.runtime_dir(), name))
    except (NotFound, Unreachable):
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
