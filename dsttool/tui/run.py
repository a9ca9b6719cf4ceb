"""The screen on a real terminal, from its start to its end."""

import gc
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from dsttool.engine.control.place import Place
from dsttool.tui.app import Tui
from dsttool.tui.command import Command
from dsttool.tui.replay import Replay
from dsttool.tui.source import Live


def run(
    places: Sequence[Place],
    *,
    commands: Sequence[tuple[tuple[str, ...], bool]],
    read_only: bool,
    ascii: bool,
) -> int:
    """Draw what runs at some places until somebody leaves; the exit code.

    commands: those there are, by their words, and whether they only look.
    """
    known = [Command(words, reads) for words, reads in commands]
    return _draw(lambda: Tui(Live(places), places=places, commands=known, ascii=ascii, read_only=read_only))


def replay(path: Path, *, ascii: bool) -> int:
    """Draw a recording; the exit code. Raises NotFound, Forbidden, and UsageError if it is none."""
    return _draw(lambda: Tui(Replay(path), ascii=ascii, read_only=True))


def _draw(make: Callable[[], Tui]) -> int:
    # Whoever exports these means another terminal: this one says itself how large it is, again and again.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    app = make()
    # Under nohup, too: once its terminal has gone, nobody can see the screen or leave it.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # What was imported stays: collecting garbage four times a second need not look at it again.
    gc.collect()
    gc.freeze()
    code = app.run()
    if app.failure is not None:
        raise app.failure
    return code or 0
