"""Graphs, jobs and events: the panes, and the screen of events; the palette; pictures of the screen."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import frames
import pytest
import screens
from recording import Recorder
from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from dsttool.engine.control.picture import Picture, Update
from dsttool.engine.control.rings import SECONDS_KEPT
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.tui import cells, lines, svg
from dsttool.tui.app import Tui
from dsttool.tui.details import Detail
from dsttool.tui.dialogs import Dialog
from dsttool.tui.events import Events
from dsttool.tui.look import UNKNOWN

SIZE = (120, 40)


def shown(app: Tui) -> str:
    return "\n".join(screens.text(app))


def test_machines_that_cannot_be_reached_say_why_before_those_that_can() -> None:
    picture, pool = Picture(), frames.Speaker()
    for update in (
        pool.hello(),
        pool.snapshot(),
        Update("box", "", 1, None, "The connection to box ended: Host key verification failed."),
        Update("me@b:22", "", 1, None, "The connection to me@b:22 ended."),
    ):
        picture.apply(update)

    def said(most: int) -> list[str]:
        return ["".join(text for text, _ in line) for line in lines.hosts(picture, 100, most)]

    box, other, near = said(4)
    assert box == " box  ✖ The connection to box ended: Host key verification failed."
    assert other.startswith(" me@b:22  ✖")
    assert "CPU" in near
    (first,) = said(1)
    assert first == box + "  and 2 more"
    picture.apply(Update("box", "", 2, None))
    assert len(said(4)) == 2


def test_graphs_are_full_at_the_first_paint() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        plotted = [line for line in screens.text(app) if "⣿" in line[7:60]]
        assert len(plotted) >= 2
        assert "GRAPHS pool, 15 min" in shown(app)

    screens.run(Tui(frames.mirror_in_trouble()), script, SIZE)


def test_graphs_follow_the_cursor_of_the_tree() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("down")
        await screens.settle(pilot)
        assert "GRAPHS pool/n1" in shown(app)
        await pilot.press("end")
        await screens.settle(pilot)
        assert "GRAPHS scratch" in shown(app)

    screens.run(Tui(frames.mirror_in_trouble()), script, SIZE)


def test_plus_and_minus_zoom_between_a_minute_and_a_day() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        for _ in range(9):
            await pilot.press("plus")
        assert "GRAPHS pool, 1 min" in shown(app)
        for _ in range(9):
            await pilot.press("minus")
        assert "GRAPHS pool, 24 h" in shown(app)

    screens.run(Tui(frames.mirror_in_trouble()), script, SIZE)


def test_requests_can_be_shown_instead_of_bytes() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        assert "MiB/s" in shown(app).split("GRAPHS")[1].split("TRANSACTIONS")[0]
        app.main.focus_pane(app.main.graphs)
        await pilot.press("u")
        assert "IOPS" in shown(app).split("GRAPHS")[1].split("TRANSACTIONS")[0]

    screens.run(Tui(frames.mirror_in_trouble()), script, SIZE)


def test_a_lost_daemon_leaves_a_gap_at_the_right_edge() -> None:
    still = frames.mirror_in_trouble()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        still.say(frames.Speaker().lost())
        still.clock_ns += SECONDS_KEPT // 2 * SECOND
        await screens.settle(pilot)
        dense = app.main.graphs._lines[3][2][0]
        assert len(dense.rstrip()) < len(dense) * 0.6
        assert f"read {UNKNOWN}" in shown(app)

    screens.run(Tui(still), script, SIZE)


def test_jobs_say_of_whom_how_far_how_fast_and_how_long() -> None:
    still, pool = frames.mirror_in_trouble(), frames.Speaker()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        still.say(pool.delta((["arrays", "pool", "jobs"], [frames.job(member="n2")])))
        await screens.settle(pilot)
        jobs = shown(app).split("─ JOBS")[1]
        for word in ("resync", "pool/n2", "↻ RUNNING", "41", "106.0", "5m"):
            assert word in jobs
        paused = frames.job(member="n2", state="paused", rate_bytes=0, eta_ns=None)
        still.say(pool.delta((["arrays", "pool", "jobs"], [paused])))
        await screens.settle(pilot)
        assert "▲ PAUSED" in shown(app)
        still.say(pool.delta((["arrays", "pool", "jobs"], [])))
        await screens.settle(pilot)
        assert "─ JOBS none " in shown(app)

    screens.run(Tui(still), script, SIZE)


def test_events_follow_the_newest_unless_somebody_reads_older_ones() -> None:
    still, pool = frames.mirror_in_trouble(), frames.Speaker()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("exclamation_mark")
        await screens.settle(pilot)
        assert isinstance(app.screen, Events)
        for number in range(6, 60):
            still.say(pool.event(number, text=f"event {number}."))
        await screens.settle(pilot)
        assert "event 59." in shown(app)
        await pilot.press("home")
        still.say(pool.event(60, text="event 60."))
        await screens.settle(pilot)
        assert "event 60." not in shown(app)
        await pilot.press("end")
        assert "event 60." in shown(app)
        await pilot.press("exclamation_mark")
        assert app.screen is app.main

    screens.run(Tui(still), script, (100, 24))


def test_the_screen_of_events_has_the_whole_text_of_the_one_under_the_cursor() -> None:
    still, pool = frames.mirror_in_trouble(), frames.Speaker()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("exclamation_mark")
        still.say(pool.event(6, kind="pool.long", text="word " * 30 + "and the end."))
        await screens.settle(pilot)
        assert "and the end." in shown(app)
        assert "2025-10-09 08:53:20 pool.long: word" in shown(app)  # yesterday's look like today's above
        await pilot.press("up")
        assert "and the end." not in shown(app)

    screens.run(Tui(still), script)


def test_enter_opens_what_an_event_is_about_and_q_leads_back_to_the_events() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("exclamation_mark")
        await screens.settle(pilot)
        await pilot.press("enter")
        await screens.settle(pilot)
        assert isinstance(app.screen, Detail)
        assert screens.line(app, " node  pool/n3")
        await pilot.press("q")
        assert isinstance(app.screen, Events)
        await pilot.press("q")
        assert app.screen is app.main

    screens.run(Tui(frames.mirror_in_trouble()), script)


def test_events_have_the_room_of_jobs_while_there_are_none() -> None:
    busy = frames.array(jobs=[frames.job()])
    still = frames.Still(frames.Speaker().hello(), frames.Speaker().snapshot(frames.state([busy])))

    async def script(pilot: Pilot[int], app: Tui) -> None:
        assert app.main.events.size.width == SIZE[0] // 2
        idle = {**busy, "jobs": []}
        still.say(frames.Speaker().delta((["arrays", "pool"], idle)))
        await screens.settle(pilot)
        assert app.main.events.size.width == SIZE[0] * 3 // 4

    screens.run(Tui(still), script, SIZE)


@pytest.mark.parametrize("pane", ["graphs", "events", "tree"])
def test_the_footer_never_leaves_out_the_help_actions_and_the_way_out(pane: str) -> None:
    for width in (60, 80, 200):
        said = "".join(text for text, _ in lines.footer(width, pane))
        assert said.endswith(" ? help  a act  q quit ")
        assert len(said) <= width


def test_time_that_is_left_is_never_said_to_be_none() -> None:
    assert [cells.left(each) for each in (0, 900_000_000, SECOND, 8 * SECOND + 1)] == [
        "<1s",
        "<1s",
        "1s",
        "9s",
    ]


def test_events_can_be_filtered_by_how_grave_they_are() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("exclamation_mark")
        await screens.settle(pilot)
        assert "  info " in shown(app)
        await pilot.press("L")
        assert "  info " not in shown(app)
        assert "▲ warning" in shown(app)
        assert "EVENTS warnings and errors" in shown(app)
        await pilot.press("L")
        assert "▲ warning" not in shown(app)
        assert "✖ error" in shown(app)
        await pilot.press("L")
        assert "  info " in shown(app)

    screens.run(Tui(frames.mirror_in_trouble()), script, (100, 24))


async def until(happened: Callable[[], bool]) -> None:
    for _ in range(1000):
        if happened():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never happened")


async def pick(pilot: Pilot[int], app: Tui, text: str) -> None:
    """Type into the palette, and take what it finds first."""
    await pilot.press("ctrl+p")
    palette = app.screen
    assert isinstance(palette, CommandPalette)
    palette.query_one(Input).value = text
    found = palette.query_one(OptionList)
    # One that cannot be chosen says that nothing was found yet.
    await until(lambda: found.option_count == 1 and not found.get_option_at_index(0).disabled)
    await pilot.press("enter")
    await until(lambda: app.screen is not palette)


def test_the_palette_opens_what_is_named() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pick(pilot, app, "open pool/n3")
        await screens.settle(pilot)
        assert "node  pool/n3" in shown(app)

    screens.run(Tui(frames.mirror_in_trouble()), script, SIZE)


def test_an_action_of_the_palette_opens_its_dialog_and_sends_nothing() -> None:
    place = Recorder()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("down")
        await pick(pilot, app, "suspend: pool/n1")
        await until(lambda: isinstance(app.screen, Dialog) and app.focused is not None)
        assert app.focused is app.screen.query_one("#cancel")

    screens.run(Tui(frames.mirror_in_trouble(), places=[place]), script, SIZE)  # type: ignore[list-item]
    assert place.told == []


def test_the_palette_of_a_read_only_screen_has_no_action() -> None:
    from dsttool.tui.palette import entries

    async def script(pilot: Pilot[int], app: Tui) -> None:
        assert not [entry for entry in entries(app, app.subject) if "uspend" in entry.name]
        assert [entry for entry in entries(app, app.subject) if entry.name == "Open pool/n1"]

    screens.run(Tui(frames.mirror_in_trouble(), read_only=True), script, SIZE)


def test_the_screen_is_written_to_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("E")
        await pilot.press("E")
        await pilot.pause()

    screens.run(Tui(frames.mirror_in_trouble()), script, SIZE)
    files = list(tmp_path.iterdir())
    assert len(files) == 2
    assert all("DEGRADED" in file.read_text() for file in files)


def test_a_picture_fetches_nothing_and_places_every_character() -> None:
    attributes = 'class="r1" x="12.2" y="20" textLength="97.6" clip-path="url(#a)"'
    text = f"<text {attributes}>&#160;a&#160;b&#160;&#160;c&lt;</text>"
    assert svg.placed(text) == (
        '<text class="r1" x="24.4 36.6 48.8" y="20">a&#160;b</text>'
        '<text class="r1" x="85.4 97.6" y="20">c&lt;</text>'
    )
    rich = "@font-face { src: url('https://example.org/font'); } .m { font-family: Fira Code, monospace; }"
    assert "example.org" not in svg.placed(rich)
    assert "DejaVu Sans Mono" in svg.placed(rich)


def test_the_dots_of_graphs_are_drawn() -> None:
    text = '<text class="r2" x="0" y="20" textLength="24.4" clip-path="url(#a)">\u2801x</text>'
    assert svg.placed(text) == '<path class="r2" d="m2 4h3v3h-3z"/><text class="r2" x="12.2" y="20">x</text>'


def test_a_picture_never_overwrites_another(tmp_path: Path) -> None:
    now = datetime(2026, 5, 4, 3, 2, 1)
    written = [svg.write(f"<svg>{number}</svg>", tmp_path, now) for number in range(3)]
    assert [path.name for path in written] == [
        "dsttool-20260504-030201.svg", "dsttool-20260504-030201-1.svg", "dsttool-20260504-030201-2.svg",
    ]  # fmt: skip
    assert written[0].read_text() == "<svg>0</svg>"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(DsttoolError) as caught:
        svg.write("<svg/>", tmp_path / "nowhere", datetime.now())
    assert "nowhere" in caught.value.what
    assert caught.value.advice
