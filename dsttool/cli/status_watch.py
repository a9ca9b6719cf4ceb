"""`status --watch`: the same again and again, in place on a terminal, below each other elsewhere."""

import io
import sys
import time
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from typing import Final

import click

from dsttool.cli.asking import places
from dsttool.cli.following import Following, following
from dsttool.cli.live_screen import LiveScreen
from dsttool.cli.settings import Settings
from dsttool.cli.signals import terminable
from dsttool.cli.status import show
from dsttool.cli.status_text import only
from dsttool.engine.config.units import parse_duration
from dsttool.engine.control.client import ANSWER_TIMEOUT
from dsttool.engine.vocabulary.errors import NotFound, Unreachable, UsageError

# A daemon tells of changes four times a second at most.
_SHORTEST_NS: Final = 250_000_000


def parse_period(text: str) -> float:
    """Seconds between two reports. UsageError for a time that is none, or too short."""
    period_ns = parse_duration(text)
    if period_ns < _SHORTEST_NS:
        raise UsageError(f"'{text}' is too short a time between two looks.", "Write 0.25 or more.")
    return period_ns / 1e9


def watch(settings: Settings, name: str | None, period: str) -> None:
    """Show the status every `period` until somebody ends it; a name that is not there yet is waited for."""
    seconds = parse_period(period)
    in_place = settings.in_place()
    screen = LiveScreen() if in_place else None
    fixed = replace(settings, color="always" if settings.coloured() else "never")
    with places(settings, prompts=True) as chosen, following(chosen) as followed:
        followed.settle(settings.timeout or ANSWER_TIMEOUT)
        with terminable(), screen or nullcontext():
            first = True
            while True:
                followed.listen()
                text = _text(fixed, followed, name)
                if screen is not None:
                    screen.show(text)
                else:
                    click.echo(text if first or settings.json else f"\n{text}", nl=False, color=True)
                    sys.stdout.flush()
                first = False
                _pause(followed, seconds, at_changes=in_place)


def _pause(followed: Following, seconds: float, *, at_changes: bool) -> None:
    """Wait for the next report; on a terminal a state that changes is not waited for."""
    if not at_changes:
        followed.wait(seconds)
        return
    before = _states(followed)
    followed.wait(seconds, lambda: _states(followed) != before)


def _states(followed: Following) -> list[tuple[str, str]]:
    found = followed.status()
    listed = [(each["name"], each["state"]) for each in (*found["arrays"], *found["exports"])]
    members = [(each["name"], each["state"]) for array in found["arrays"] for each in array["members"]]
    return listed + members + [(each["name"], each["state"]) for each in found["daemons"]]


def _text(settings: Settings, followed: Following, name: str | None) -> str:
    """One report, as `status` prints it, after the time of day."""
    taken = _Taken(sys.stdout.encoding or "ascii")
    with redirect_stdout(taken), followed.lock:
        found = followed.status()
        if settings.format == "table":
            click.echo(time.strftime("%H:%M:%S"))
        try:
            if name is not None:
                found = only(settings, found, name)
        except (NotFound, Unreachable) as error:
            # It may come (back): whoever watches is told, and the watch goes on.
            if settings.format == "table":
                click.echo(f"{error}")
                return taken.getvalue()
            found = {**found, "arrays": [], "exports": [], "daemons": []}
        show(settings, found, named=name is not None)
    return taken.getvalue()


class _Taken(io.StringIO):
    """Takes what is printed, as if it went to a stream with that encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the stream it stands for."""
        return self._encoding
