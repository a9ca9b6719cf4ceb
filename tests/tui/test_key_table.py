"""What keys do on the main screen."""

import pytest
from textual import events
from textual.pilot import Pilot

from dsttool.tui import keys
from dsttool.tui.app import Tui
from dsttool.tui.panel import Panel
from tui import frames, screens


def cursor(app: Tui) -> str:
    """The name in the tree's row under the cursor."""
    subject = app.main.tree_.subject
    assert subject is not None
    return subject.node or subject.name


@pytest.mark.parametrize(("key", "at"), [("down", "n1"), ("j", "n1"), ("end", "scratch"), ("G", "scratch")])
def test_keys_move_the_cursor(key: str, at: str) -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press(key)
        assert cursor(app) == at

    screens.run(Tui(frames.mirror_in_trouble()), script)


@pytest.mark.parametrize("key", ["up", "k", "home", "g", "pageup", "ctrl+u"])
def test_keys_move_the_cursor_back(key: str) -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("down", key)
        assert cursor(app) == "pool"

    screens.run(Tui(frames.mirror_in_trouble()), script)


def test_rows_fold_and_unfold() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("j", "h")
        assert cursor(app) == "pool"
        await pilot.press("h")
        assert screens.line(app, "▸pool")
        assert not [line for line in screens.text(app) if line.startswith("   n1")]
        await pilot.press("right")
        assert screens.line(app, "   n1")

    screens.run(Tui(frames.mirror_in_trouble()), script)


def test_links_of_a_node_with_several_unfold() -> None:
    links = [frames.link(), frames.link("connecting")]
    known = frames.state([frames.array(members=[frames.member(0, links=links)])])
    pool = frames.Speaker()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("j", "l")
        assert "CONNECTING" in screens.line(app, "     link 1")

    screens.run(Tui(frames.Still(pool.hello(), pool.snapshot(known))), script)


def test_the_cursor_stays_on_its_row_when_others_come() -> None:
    source = frames.mirror_in_trouble()
    pool = frames.Speaker()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("G")
        source.say(pool.delta((["arrays", "alpha"], frames.array("alpha"))))
        await screens.settle(pilot)
        assert cursor(app) == "scratch"

    screens.run(Tui(source), script)


def test_the_cursor_goes_to_a_neighbour_when_its_row_goes() -> None:
    source = frames.mirror_in_trouble()
    pool = frames.Speaker()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("j", "j", "j")
        assert cursor(app) == "n3"
        two = frames.array(members=frames.troubled_members()[:2])
        source.say(pool.delta((["arrays", "pool"], two)))
        await screens.settle(pilot)
        assert cursor(app) == "scratch"

    screens.run(Tui(source), script)


def test_tab_goes_through_all_panes_of_a_small_screen() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        seen = []
        for _ in app.main.panes:
            assert isinstance(app.focused, Panel)
            seen.append(app.focused.LABEL)
            assert any(app.focused.LABEL in line for line in screens.text(app))
            await pilot.press("tab")
            await screens.settle(pilot)
        assert len(set(seen)) == len(app.main.panes)
        assert app.focused is app.main.tree_
        await pilot.press("shift+tab")
        assert app.focused is app.main.events

    screens.run(Tui(frames.mirror_in_trouble()), script)


def test_a_filter_goes_to_the_daemons() -> None:
    source = frames.mirror_in_trouble()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("slash", *"op:write", "enter")
        assert source.filters == ["op:write"]
        await screens.settle(pilot)
        assert "filter op:write" in screens.text(app)[0]
        await pilot.press("escape")
        assert source.filters == ["op:write", ""]

    screens.run(Tui(source), script)


def test_what_is_no_filter_is_explained_under_it_and_can_be_mended() -> None:
    source = frames.mirror_in_trouble()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("slash", *"nonsense:1", "enter")
        await screens.settle(pilot)
        assert any("nothing called 'nonsense'" in line for line in screens.text(app))
        assert source.filters == []
        await pilot.press("ctrl+u", *"node:n3", "enter")
        assert source.filters == ["node:n3"]

    screens.run(Tui(source), script)


def test_escape_leaves_the_filter_as_it_was() -> None:
    source = frames.mirror_in_trouble()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("slash", *"op", "escape")
        assert source.filters == []
        assert app.focused is app.main.transactions

    screens.run(Tui(source), script)


def test_keys_typed_into_the_filter_do_nothing_else() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("slash", *"qpsta!?:j")
        assert app.is_running
        assert app.main.filter_line.has_class("-open")
        assert app.theme == "dst-dark"

    screens.run(Tui(frames.mirror_in_trouble()), script)


def test_sorting_goes_through_the_orders() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        assert any("by age" in line for line in screens.text(app))
        first = app.main.transactions.row
        await pilot.press("s")
        assert any("by budget left" in line for line in screens.text(app))
        assert app.main.transactions.row != first
        for _ in range(5):
            await pilot.press("s")
        assert any("by age" in line for line in screens.text(app))
        assert app.main.transactions.row == first

    screens.run(Tui(frames.mirror_in_trouble()), script)


def test_a_paused_screen_stays_as_it_is_and_goes_on_receiving() -> None:
    source = frames.mirror_in_trouble()
    pool = frames.Speaker()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("p")
        source.clock_ns += 7 * frames.SECOND
        pool.now_ns = source.clock_ns
        source.say(pool.delta((["arrays", "pool"], frames.array(state="online")), sampled=True))
        await screens.settle(pilot)
        app.redraw()
        await screens.settle(pilot)
        assert "PAUSED 7s" in screens.text(app)[0]
        assert "DEGRADED" in screens.line(app, "▾pool")
        assert len(app.picture.places["local"].daemons["pool"].history["pool"].seconds) == 900
        await pilot.press("p")
        await screens.settle(pilot)
        assert "PAUSED" not in screens.text(app)[0]
        assert "ONLINE" in screens.line(app, "▾pool")

    screens.run(Tui(source), script)


def test_themes_go_round() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        seen = set()
        for _ in range(4):
            seen.add(app.theme)
            await pilot.press("t")
            await screens.settle(pilot)
            assert "DEGRADED" in screens.line(app, "▾pool")
        assert len(seen) == 4
        assert app.theme == "dst-dark"

    screens.run(Tui(frames.mirror_in_trouble()), script)


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
def test_leaving_hangs_up(key: str) -> None:
    source = frames.mirror_in_trouble()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press(key)
        await pilot.pause()

    app = Tui(source)
    screens.run(app, script)
    assert app.return_value == 0
    assert source.closed


def test_help_explains_the_focused_pane() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("question_mark")
        await screens.settle(pilot)
        shown = screens.text(app)
        assert any("STORAGE" in line for line in shown)
        assert any("RESENT" in line for line in shown)
        await pilot.press("q")
        await screens.settle(pilot)
        assert app.screen is app.main

    screens.run(Tui(frames.mirror_in_trouble()), script, (120, 60))


def test_every_key_of_the_table_is_bound_to_something() -> None:
    async def script(_pilot: Pilot[int], app: Tui) -> None:
        owners = {"": [app]} | {
            kind: [pane for pane in app.main.panes if kind in pane.kinds]
            for key in keys.TABLE
            if (kind := key.pane)
        }
        for key in keys.TABLE:
            name = key.action.partition("(")[0]
            for owner in owners[key.pane]:
                assert hasattr(owner, f"action_{name}"), key
            for one in key.keys.split(","):
                assert all(one in owner._bindings.key_to_bindings for owner in owners[key.pane]), key

    screens.run(Tui(frames.mirror_in_trouble()), script)


def test_no_key_of_a_pane_hides_one_that_works_everywhere() -> None:
    everywhere = {one for key in keys.of("") for one in key.keys.split(",")}
    for key in keys.TABLE:
        if key.pane:
            assert not everywhere & set(key.keys.split(",")), key


def test_a_click_chooses_a_row() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.click("Tree", offset=(5, 4))
        assert cursor(app) == "n2"

    screens.run(Tui(frames.mirror_in_trouble()), script)


def test_the_wheel_scrolls_and_leaves_the_cursor() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        table = app.main.transactions
        first = table.row
        await pilot._post_mouse_events([events.MouseScrollDown], "TransactionTable", offset=(5, 4))
        await screens.settle(pilot)
        assert not any(line.startswith("4170000") for line in screens.text(app))
        assert table.row == first

    screens.run(Tui(frames.mirror_in_trouble(200)), script)


def test_the_cursor_is_on_the_first_row_until_somebody_moves_it() -> None:
    scratch, pool = frames.Speaker("scratch"), frames.Speaker()
    alone = frames.state([], [frames.export()], frames.transactions(0))
    source = frames.Still(scratch.hello(), scratch.snapshot(alone))

    async def script(pilot: Pilot[int], app: Tui) -> None:
        assert cursor(app) == "scratch"
        source.say(pool.hello(), pool.snapshot())
        await screens.settle(pilot)
        assert cursor(app) == "pool"

    screens.run(Tui(source), script)


def test_tab_leaves_the_filter_line() -> None:
    source = frames.mirror_in_trouble()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("slash", "x", "tab")
        assert not app.main.filter_line.has_class("-open")
        assert app.focused in app.main.panes
        await pilot.press("slash")
        assert app.main.filter_line.has_class("-open")

    screens.run(Tui(source), script)
