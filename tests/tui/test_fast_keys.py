"""Keys that come faster than screens do: what was left before it was there does no harm."""

import asyncio
from collections.abc import Callable
from typing import Any

import frames
import pytest
import screens
from recording import Recorder
from textual import events
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from dsttool.tui import actions, targets
from dsttool.tui.app import Tui
from dsttool.tui.command import CommandLine, Output
from dsttool.tui.details import Detail
from dsttool.tui.dialogs import Dialog, Menu
from dsttool.tui.events import Events
from dsttool.tui.help import Help
from dsttool.tui.panel import Panel
from dsttool.tui.subject import Subject

NAMES = {"/": "slash", ":": "colon"}
POOL = Subject("array", "local", "pool", "pool")


def made_up() -> tuple[frames.Still, Tui]:
    source = frames.mirror_in_trouble()
    return source, Tui(source, places=[Recorder()])  # type: ignore[list-item]


def dialog(app: Tui, title: str) -> Dialog:
    target = targets.pinned(app.picture, POOL)[0]
    action = next(each for each in actions.of(target.kind) if each.title == title)
    return Dialog(lambda: app.picture, target, action)


SCREENS: dict[str, Callable[[Tui], Screen[Any]]] = {
    "a dialog": lambda app: dialog(app, "Set policy"),
    "a dialog about something severe": lambda app: dialog(app, "Take down"),
    "the menu": lambda app: Menu(app.picture, targets.pinned(app.picture, POOL)),
    "details": lambda app: Detail(POOL, app.picture, app.now_ns, app.sender, level=2),
    "events": lambda _: Events(),
    "help": lambda app: Help(app.main.tree_),
    "the command line": lambda _: CommandLine((), read_only=False),
    "a command": lambda _: Output(["--version"]),
}


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_that_is_left_before_it_is_there_does_no_harm(name: str) -> None:
    _, app = made_up()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        app.push_screen(SCREENS[name](app))
        app.pop_screen()
        await screens.settle(pilot)
        assert app.screen is app.main
        await pilot.press("down")
        assert app.subject is not None
        assert app.subject.node == "n1"

    screens.run(app, script)


def test_the_filter_line_has_the_keys_as_long_as_it_is_open() -> None:
    """Also before keys are looked at that came meanwhile."""
    _, app = made_up()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        app.action_filter()
        assert isinstance(app.focused, Input)
        app.main.next_pane(1)
        assert isinstance(app.focused, Panel)
        app.action_filter()
        assert isinstance(app.focused, Input)
        app.on_filter_line_left()
        assert app.focused is app.main.transactions

    screens.run(app, script)


@pytest.mark.parametrize(
    ("typed", "line"), [("/node:n3", "FilterLine Input"), (":status", "CommandLine Input")]
)
def test_what_is_typed_at_once_goes_where_it_goes_when_it_is_typed_slowly(typed: str, line: str) -> None:
    """Over a slow line keys come together: no letter of a filter may be taken for a key of the pane."""
    _, app = made_up()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        for letter in typed:
            app.post_message(events.Key(NAMES.get(letter, letter), letter))
        for _ in range(3000):
            found = app.screen.query(line).results(Input)
            if [each.value for each in found] == [typed[1:]]:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{typed} did not come to {line}, but {app.screen} has {app.focused}")

    screens.run(app, script)


def test_keys_go_on_when_what_had_the_one_before_is_gone() -> None:
    _, app = made_up()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        for _ in range(5):
            for key in ("enter", "escape", "exclamation_mark", "escape", "a", "escape"):
                app.post_message(events.Key(key, None))
        app.post_message(events.Key("down", None))
        for _ in range(3000):
            if app.screen is app.main and app.subject is not None and app.subject.node == "n1":
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{app.screen} has {app.focused}")

    screens.run(app, script)
