"""Screens in tests: run the app in memory, read what it shows, compare with golden files."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.cells import cell_len
from rich.style import Style
from textual.pilot import Pilot

from dsttool.tui.app import Tui

GOLDEN = Path(__file__).parent / "golden"
Script = Callable[[Pilot[int], Tui], Awaitable[None]]


def run(app: Tui, script: Script, size: tuple[int, int] = (80, 24)) -> None:
    """Run the app on a screen of (columns, rows), and the script against it."""

    async def play() -> None:
        async with app.run_test(size=size) as pilot:
            _press_in_full(pilot, app)
            await settle(pilot)
            await script(pilot, app)

    asyncio.run(play())


def _press_in_full(pilot: Pilot[int], app: Tui) -> None:
    """Have `press` return when all of the key has been done. By itself it waits until the process seems idle,
    which it seems, too, on a machine that gives it no time.
    """
    press = pilot.press

    async def pressed(*keys: str) -> None:
        for key in keys:
            await press(key)
            while app._typed._overdue is not None:  # for a second at most
                await asyncio.sleep(0.001)

    pilot.press = pressed  # type: ignore[method-assign]


async def settle(pilot: Pilot[int]) -> None:
    """Until everything that came is on the screen, which has the size that it is told to have."""
    app = pilot.app
    assert isinstance(app, Tui)
    await pilot.pause()
    for _ in range(3000):
        if not app.scheduled and app.screen._compositor.size == app.size:
            break
        await asyncio.sleep(0.01)
    await pilot.pause()


def text(app: Tui) -> list[str]:
    """What the screen shows: a string for each line, without blanks at its end."""
    width, height = app.size
    strips = app.screen._compositor.render_strips()
    lines = ["".join(segment.text for segment in strip).rstrip() for strip in strips]
    assert len(lines) == height
    assert all(len(line) <= width for line in lines)
    return lines


def compare(app: Tui, name: str) -> None:
    """The screen is that of golden/NAME.txt. UPDATE_GOLDEN=1 writes the file instead."""
    shown = "\n".join(text(app)) + "\n"
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(shown)
    assert shown == path.read_text(), f"another screen than {path}; UPDATE_GOLDEN=1 accepts it"


def line(app: Tui, beginning: str) -> str:
    """The line of the screen that begins so."""
    return next(line for line in text(app) if line.startswith(beginning))


def styles_of(app: Tui, beginning: str) -> dict[str, Style]:
    """The styles of the words of a line that begins so."""
    for strip in app.screen._compositor.render_strips():
        if strip.text.startswith(beginning):
            return {word: part.style or Style() for part in strip for word in part.text.split()}
    raise AssertionError(f"no line begins with {beginning!r}")


def cells_used(app: Tui) -> int:
    """Cells of the longest line, wide characters counted as two."""
    return max(cell_len(line) for line in text(app))
