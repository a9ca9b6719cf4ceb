"""The screen on a real terminal, from its start to its end."""

import gc
from collections.abc import Sequence

from dsttool.engine.control.place import Place
from dsttool.tui.app import Tui
from dsttool.tui.source import Live


def run(places: Sequence[Place], *, read_only: bool, ascii: bool) -> int:
    """Draw what runs at some places until somebody leaves; the exit code."""
    return _draw(Tui(Live(places), places=places, ascii=ascii, read_only=read_only))


def _draw(app: Tui) -> int:
    # What was imported stays: collecting garbage four times a second need not look at it again.
    gc.collect()
    gc.freeze()
    code = app.run()
    return app.return_code or code or 0
