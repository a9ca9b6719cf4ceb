"""What goes to the terminal: with colours, without, and in ASCII."""

import pytest
from rich.color import ColorType
from rich.style import Style
from textual.pilot import Pilot

from dsttool.tui import look
from dsttool.tui.app import Tui
from dsttool.tui.tree import Tree
from tui import frames, screens

KEYS = ("j", "tab", "tab", "slash", "x", "escape", "question_mark", "escape", "t")


def colours(app: Tui) -> set[str]:
    """Every colour on the screen but the terminal's own default."""
    found = set()
    for strip in app.screen._compositor.render_strips():
        for part in strip:
            style = part.style or Style()
            for colour in (style.color, style.bgcolor):
                if colour is not None and colour.type is not ColorType.DEFAULT:
                    found.add(str(colour))
    return found


def test_no_color_leaves_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def script(pilot: Pilot[int], app: Tui) -> None:
        assert colours(app) == set()
        for key in KEYS:
            await pilot.press(key)
            await screens.settle(pilot)
            assert colours(app) == set(), key

    screens.run(Tui(frames.mirror_in_trouble()), script, (120, 40))


def test_without_colours_the_cursor_and_the_focus_are_seen_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def script(pilot: Pilot[int], app: Tui) -> None:
        assert screens.styles_of(app, "▾pool")["DEGRADED"].reverse
        assert screens.line(app, "━ STORAGE")
        await pilot.press("tab")
        await screens.settle(pilot)
        assert screens.line(app, "─ STORAGE")

    screens.run(Tui(frames.mirror_in_trouble()), script)


def test_there_are_colours_otherwise() -> None:
    async def script(_pilot: Pilot[int], app: Tui) -> None:
        assert len(colours(app)) > 4

    screens.run(Tui(frames.mirror_in_trouble()), script)


def test_the_terminals_own_colours_are_the_only_ones_of_an_ansi_theme() -> None:
    async def script(_pilot: Pilot[int], app: Tui) -> None:
        assert all("#" not in colour for colour in colours(app))

    screens.run(Tui(frames.mirror_in_trouble(), theme="ansi-dark"), script)


@pytest.mark.parametrize("size", [(40, 10), (80, 24), (120, 40), (200, 60)])
def test_ascii_is_ascii_at_every_size(size: tuple[int, int]) -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        assert all(line.isascii() for line in screens.text(app))
        for key in KEYS:
            await pilot.press(key)
            await screens.settle(pilot)
            assert all(line.isascii() for line in screens.text(app)), key

    screens.run(Tui(frames.mirror_in_trouble(200, 3121), ascii=True), script, size)


def test_the_main_screen_in_ascii() -> None:
    async def script(_pilot: Pilot[int], app: Tui) -> None:
        screens.compare(app, "ascii-80x24")

    screens.run(Tui(frames.mirror_in_trouble(200, 3121), ascii=True), script)


def test_names_in_any_script_keep_the_columns_in_ascii() -> None:
    known = frames.state([frames.array("日本語", members=[])])
    pool = frames.Speaker()

    async def script(_pilot: Pilot[int], app: Tui) -> None:
        row, head = screens.line(app, "-??????"), screens.line(app, "NAME")
        assert row.index("! DEGRADED") == head.index("STATE")

    screens.run(Tui(frames.Still(pool.hello(), pool.snapshot(known)), ascii=True), script)


def test_every_state_has_a_sign_a_word_and_a_colour() -> None:
    words = """online degraded frozen failed down in_sync stale resyncing rebuilding suspended missing faulty
        connecting handshake up serving read_only waiting queued held in_flight resend exhausted"""
    for word in words.split():
        shown = look.state(word)
        assert isinstance(shown, tuple)
        text, role = shown
        assert text[0] in "●↻▲✖○"
        assert word.replace("_", " ").upper() in text
        assert role in look.styles("dst-dark")


def test_a_word_of_a_later_release_is_shown_as_it_is() -> None:
    assert look.state("pondering") == ("? PONDERING", "")


def test_the_tree_of_a_theme_is_drawn_anew_with_it() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("j")
        before = screens.styles_of(app, "▾pool")["DEGRADED"]
        await pilot.press("t")
        await screens.settle(pilot)
        assert screens.styles_of(app, "▾pool")["DEGRADED"] != before
        assert isinstance(app.focused, Tree)

    screens.run(Tui(frames.mirror_in_trouble()), script)
