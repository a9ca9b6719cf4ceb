"""Any size, any number of rows, any length of names: nothing breaks, nothing grows without bound."""

import random
from typing import Any

import pytest
from textual.pilot import Pilot

from dsttool.tui.app import Tui
from dsttool.tui.table import Column, place
from tui import frames, screens
from tui.recording import Recorder


def test_no_size_breaks_the_screen() -> None:
    """The rooms of panes change with every resize, also while their rows change and the cursor moves."""
    source = frames.mirror_in_trouble(200, 3121)
    pool, dice = frames.Speaker(), random.Random(4)

    async def script(pilot: Pilot[int], app: Tui) -> None:
        for number in range(120):
            width, height = dice.choice([1, 20, 59, 60, 80, 99, 100, 169, 170, 300]), dice.randint(1, 80)
            await pilot.resize_terminal(width, height)
            if number % 10 == 0:
                source.say(pool.delta((["transactions"], frames.transactions(dice.randint(0, 200)))))
                await pilot.press(dice.choice(["tab", "j", "G", "h", "l", "s", "p"]))
                await screens.settle(pilot)
                assert len(screens.text(app)) == height

    screens.run(Tui(source), script)


@pytest.mark.parametrize(
    "keys", ["a", "question_mark", "colon", "ctrl+p", "exclamation_mark", "enter", "slash"]
)
def test_no_size_breaks_what_is_open_over_the_screen(keys: str) -> None:
    source = frames.mirror_in_trouble(200, 3121)

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press(keys)
        for size in ((1, 1), (8, 80), (300, 1), (59, 14), (60, 15), (2, 40), (120, 40)):
            await pilot.resize_terminal(*size)
            source.say(frames.Speaker().delta((["arrays", "pool", "generation"], size[0])))
            await screens.settle(pilot)
        await pilot.press("escape")

    screens.run(Tui(source, places=[Recorder()]), script)


def test_the_screen_comes_back_after_it_was_too_small() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        before = screens.text(app)
        await pilot.resize_terminal(30, 8)
        await screens.settle(pilot)
        assert "too small" in screens.text(app)[0]
        await pilot.resize_terminal(80, 24)
        await screens.settle(pilot)
        assert screens.text(app) == before


def test_a_pane_that_has_no_room_beside_the_others_takes_it_with_the_keys() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        app.main.focus_pane(app.main.jobs)
        await pilot.resize_terminal(80, 24)
        await screens.settle(pilot)
        assert app.focused is app.main.jobs
        assert screens.line(app, "━ JOBS")

    screens.run(Tui(frames.mirror_in_trouble()), script, (120, 40))

    screens.run(Tui(frames.mirror_in_trouble()), script)


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 40), (200, 60)])
def test_long_and_wide_names_stay_in_their_columns(size: tuple[int, int]) -> None:
    name, wide = "x" * 4000, "記憶装置" * 500
    known = frames.state(
        [frames.array(name, members=[frames.member(0, name=wide, address=f"dst+tcp://{wide}/{name}")])],
        [frames.export(wide, device=name)],
        host=frames.host(name * 3),
    )
    known["transactions"]["rows"][0] |= {"client": wide, "node": wide, "op": name, "offset": 1 << 62}
    pool = frames.Speaker()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        source.say(pool.event(99, text=wide), pool.event(100, text=name))
        await screens.settle(pilot)
        assert screens.cells_used(app) <= size[0]

    source = frames.Still(pool.hello(), pool.snapshot(known))
    screens.run(Tui(source), script, size)


def test_only_rows_that_are_seen_are_drawn() -> None:
    members: list[dict[str, Any]] = [frames.member(slot, name=f"n{slot}") for slot in range(5000)]
    known = frames.state([frames.array(members=members)])
    pool = frames.Speaker()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        asked: list[str] = []
        cells = app.main.tree_.cells
        app.main.tree_.cells = lambda row: asked.append(row.subject.node) or cells(row)  # type: ignore
        source.say(pool.delta((["arrays", "pool", "in_flight"], 3)))
        await screens.settle(pilot)
        assert 0 < len(asked) < 60
        await pilot.press("G")
        assert screens.line(app, "   n4999")

    source = frames.Still(pool.hello(), pool.snapshot(known, past=False))
    screens.run(Tui(source), script)


def test_only_lines_that_changed_are_drawn_again() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        drawn: list[int] = []
        draw = app.main.tree_.draw
        app.main.tree_.draw = lambda y: drawn.append(y) or draw(y)  # type: ignore
        source.say(frames.Speaker().delta((["arrays", "pool", "in_flight"], 3)))
        await screens.settle(pilot)
        assert drawn == [1]

    source = frames.mirror_in_trouble()
    screens.run(Tui(source), script)


def test_columns_that_matter_least_go_first() -> None:
    columns = (Column("A", 10, grow=True), Column("B", 5, keep=2), Column("C", 5, keep=1))
    assert [placed.column.title for placed in place(columns, 30)] == ["A", "B", "C"]
    assert [placed.column.title for placed in place(columns, 20)] == ["A", "C"]
    assert [placed.column.title for placed in place(columns, 10)] == ["A"]


def test_what_is_left_goes_to_the_columns_that_grow() -> None:
    columns = (Column("A", 10, grow=True), Column("B", 5))
    assert [placed.width for placed in place(columns, 30)] == [24, 5]


def test_columns_that_must_stay_stay() -> None:
    columns = (Column("A", 10), Column("B", 10))
    assert len(place(columns, 5)) == 2
