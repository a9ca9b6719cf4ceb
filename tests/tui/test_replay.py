"""Recordings as sources: they play, stop, and go in steps."""

import asyncio
from pathlib import Path

import pytest
from textual.pilot import Pilot

from dsttool.engine.control.recording import Writer
from dsttool.engine.vocabulary.errors import Conflict, UsageError
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.tui.app import Tui
from dsttool.tui.replay import Replay
from tui import frames, screens


class Clock:
    def __init__(self) -> None:
        self.now = 5 * SECOND

    def __call__(self) -> int:
        return self.now


def recorded(path: Path, states: tuple[str, ...] = ("online", "degraded", "failed")) -> Path:
    """One second after another the array is in these states."""
    pool = frames.Speaker()
    with Writer(path, frames.BEGAN_NS, pool.now_ns) as writer:
        for number, word in enumerate(states):
            pool.now_ns = frames.BEGAN_NS + number * SECOND
            if number == 0:
                writer.add(pool.hello())
                writer.add(pool.snapshot(frames.state([frames.array(state=word)]), past=False))
            else:
                writer.add(pool.delta((["arrays", "pool", "state"], word)))
    return path


def test_a_recording_plays_as_it_was_made(tmp_path: Path) -> None:
    async def play() -> None:
        clock = Clock()
        source = Replay(recorded(tmp_path / "r"), clock)
        source.start(lambda: None)
        assert source.advance()
        assert source.picture.worst(0) == "online"
        clock.now += SECOND // 2
        assert not source.advance()
        assert source.wall_ns() == frames.BEGAN_NS + SECOND // 2
        clock.now += SECOND // 2
        assert source.advance()
        assert source.picture.worst(0) == "degraded"
        source.close()

    asyncio.run(play())


def test_it_tells_when_there_is_more(tmp_path: Path) -> None:
    async def play() -> None:
        told = asyncio.Event()
        source = Replay(recorded(tmp_path / "r", ("online", "degraded")))
        source.start(told.set)
        told.clear()
        source.advance()
        while source.picture.worst(0) != "degraded":
            await asyncio.wait_for(told.wait(), 60)
            told.clear()
            source.advance()
        assert "ended at 1." in source.note
        source.close()

    asyncio.run(play())


def test_a_stopped_one_stands_still(tmp_path: Path) -> None:
    async def play() -> None:
        clock = Clock()
        source = Replay(recorded(tmp_path / "r"), clock)
        source.start(lambda: None)
        source.advance()
        source.toggle()
        clock.now += 60 * SECOND
        assert not source.advance()
        assert source.note == "replay stopped at 0.0 s"
        source.toggle()
        clock.now += SECOND
        assert source.advance()
        assert source.picture.worst(0) == "degraded"
        source.close()

    asyncio.run(play())


def test_steps_go_on_and_back(tmp_path: Path) -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        seen = []
        for key in ("full_stop", "full_stop", "full_stop", "comma", "comma", "comma", "full_stop"):
            await pilot.press(key)
            await screens.settle(pilot)
            seen.append(app.picture.worst(0))
        assert seen == ["degraded", "failed", "failed", "degraded", "online", "online", "degraded"]
        assert "replay stopped at 1.1 s" in screens.text(app)[0]
        assert "DEGRADED" in screens.line(app, "▾pool")

    source = Replay(recorded(tmp_path / "r"), Clock())
    screens.run(Tui(source), script)


def test_keys_of_recordings_do_nothing_elsewhere() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        before = screens.text(app)
        await pilot.press("space", "full_stop", "comma")
        await screens.settle(pilot)
        assert screens.text(app) == before

    screens.run(Tui(frames.mirror_in_trouble()), script)


def test_a_recording_is_not_filtered(tmp_path: Path) -> None:
    source = Replay(recorded(tmp_path / "r"))
    with pytest.raises(Conflict):
        source.set_filter("op:write")
    source.close()


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_text("{}\n")
    with pytest.raises(UsageError):
        Replay(path)


def test_a_damaged_one_is_shown_up_to_the_damage(tmp_path: Path) -> None:
    path = recorded(tmp_path / "r")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], "garbage", *lines[3:], ""]))

    async def script(_pilot: Pilot[int], app: Tui) -> None:
        assert app.picture.worst(0) == "online"
        assert "Line 4" in screens.text(app)[0]

    screens.run(Tui(Replay(path)), script, (160, 40))
