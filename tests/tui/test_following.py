"""What comes is followed on machines that have much else to do, too."""

import asyncio
import itertools

import frames
import pytest
import screens
from textual import timer
from textual.pilot import Pilot

from dsttool.tui.app import Tui


def test_a_screen_that_is_held_up_when_it_is_about_to_follow_follows_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Timers of Textual leave out what they are late for: one that is to run once then never does."""
    source = frames.mirror_in_trouble()
    held_up = (0.002 * calls for calls in itertools.count())

    async def script(pilot: Pilot[int], app: Tui) -> None:
        monkeypatch.setattr(timer._time, "get_time", lambda: next(held_up))
        app._followed = 0.0
        source.say(frames.Speaker().lost("gone"))
        app.on_tui_changed()
        for _ in range(3000):
            if not app.scheduled:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it does not follow any more")

    screens.run(Tui(source), script)
