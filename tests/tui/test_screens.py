"""What the screen shows at the usual sizes."""

import pytest
from textual.pilot import Pilot

from dsttool.engine.control.picture import Update
from dsttool.tui.app import Tui
from tui import frames, screens


@pytest.mark.parametrize("size", [(40, 10), (80, 24), (120, 40), (200, 60)])
def test_the_main_screen_at_the_usual_sizes(size: tuple[int, int]) -> None:
    async def script(_pilot: Pilot[int], app: Tui) -> None:
        screens.compare(app, f"main-{size[0]}x{size[1]}")

    screens.run(Tui(frames.mirror_in_trouble(200, 3121)), script, size)


def test_a_screen_that_is_too_small_says_what_it_needs() -> None:
    async def script(_pilot: Pilot[int], app: Tui) -> None:
        shown = screens.text(app)
        assert "40x10 is too small" in shown[0]
        assert "60x15" in shown[0]

    screens.run(Tui(frames.mirror_in_trouble()), script, (40, 10))


def test_there_is_a_screen_before_anything_is_heard() -> None:
    async def script(_pilot: Pilot[int], app: Tui) -> None:
        shown = screens.text(app)
        assert "NOTHING RUNS" in shown[0]
        assert any("STORAGE" in line for line in shown)

    screens.run(Tui(frames.Still()), script)


def test_a_lost_daemon_stays_in_grey_with_its_age() -> None:
    source = frames.mirror_in_trouble()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        styles = screens.styles_of(app, "▾pool")
        assert styles["DEGRADED"].color != styles["63"].color
        source.say(frames.Speaker().lost())
        source.clock_ns += 12 * frames.SECOND
        await screens.settle(pilot)
        row = screens.line(app, "▾pool")
        assert "LOST 12s" in row
        assert "UNREACHABLE" in screens.text(app)[0]
        styles = screens.styles_of(app, "▾pool")
        assert styles["LOST"].color == styles["63"].color

    screens.run(Tui(source), script)


def test_a_daemon_that_says_nothing_is_grey_too_though_it_is_connected() -> None:
    source = frames.mirror_in_trouble()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        source.clock_ns += 7 * frames.SECOND
        source.say(frames.Speaker("scratch", now_ns=source.clock_ns).delta())
        await screens.settle(pilot)
        assert "SILENT 7s" in screens.line(app, "▾pool")
        styles = screens.styles_of(app, "▾pool")
        assert styles["SILENT"].color == styles["63"].color

    screens.run(Tui(source), script)


def test_the_header_says_that_a_daemon_is_silent_when_nothing_comes_any_more() -> None:
    """A stopped process keeps its connections, and no news make anything draw."""
    source = frames.mirror_in_trouble()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        assert "DEGRADED" in screens.text(app)[0]
        source.clock_ns += 7 * frames.SECOND
        app._second()
        await screens.settle(pilot)
        assert "UNREACHABLE" in screens.text(app)[0]
        assert "SILENT 7s" in screens.line(app, "▾pool")
        source.clock_ns += 2 * frames.SECOND
        app._second()
        await screens.settle(pilot)
        assert "SILENT 9s" in screens.line(app, "▾pool")

    screens.run(Tui(source), script)


def test_a_place_that_cannot_be_reached_grows_older() -> None:
    source = frames.mirror_in_trouble()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        source.say(Update("box", "", source.clock_ns, None, "The connection to box ended."))
        source.say(frames.Speaker("scratch", now_ns=source.clock_ns + 60 * frames.SECOND).delta())
        source.say(frames.Speaker(now_ns=source.clock_ns + 60 * frames.SECOND).delta())
        await screens.settle(pilot)
        source.clock_ns += 12 * frames.SECOND
        app._second()
        await screens.settle(pilot)
        assert "LOST 12s" in screens.line(app, "▾box")

    screens.run(Tui(source), script, (120, 40))


def test_what_ended_in_good_order_counts_no_more() -> None:
    source = frames.mirror_in_trouble()
    pool = frames.Speaker()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        assert "↻ resync pool" in screens.text(app)[-2]
        source.say(pool.bye(), pool.lost("it ended"))
        await screens.settle(pilot)
        assert "● SERVING" in screens.text(app)[0]
        assert "0 arrays, 1 export" in screens.text(app)[0]
        assert "resync" not in screens.text(app)[-2].split("Resync")[0]

    screens.run(Tui(source), script)


def test_a_daemon_that_comes_back_is_shown_as_before() -> None:
    source = frames.mirror_in_trouble()
    pool = frames.Speaker()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        source.say(pool.lost())
        await screens.settle(pilot)
        assert "LOST" in screens.line(app, "▾pool")
        source.say(pool.hello(), pool.snapshot())
        await screens.settle(pilot)
        assert "DEGRADED" in screens.line(app, "▾pool")

    screens.run(Tui(source), script)


def test_what_ended_in_good_order_is_shown_for_a_minute() -> None:
    source = frames.mirror_in_trouble()
    scratch = frames.Speaker("scratch")

    async def script(pilot: Pilot[int], app: Tui) -> None:
        source.say(scratch.bye(), scratch.lost("it ended"))
        await screens.settle(pilot)
        assert "○ ENDED 0s" in screens.line(app, " scratch")
        source.clock_ns += 61 * frames.SECOND
        app.redraw()
        await screens.settle(pilot)
        assert not [line for line in screens.text(app) if " scratch" in line]

    screens.run(Tui(source), script)


def test_a_daemon_that_was_never_heard_is_unreachable() -> None:
    async def script(_pilot: Pilot[int], app: Tui) -> None:
        assert "✖ UNREACHABLE" in screens.line(app, " pool")

    screens.run(Tui(frames.Still(frames.Speaker().lost("it hung up"))), script)


def test_several_machines_are_the_roots_of_the_tree() -> None:
    here, there = frames.Speaker(), frames.Speaker(place="root@beta")
    beta = frames.state(host=frames.host("beta"))
    source = frames.Still(here.hello(), here.snapshot(), there.hello(), there.snapshot(beta))

    async def script(_pilot: Pilot[int], app: Tui) -> None:
        screens.compare(app, "two-machines")

    screens.run(Tui(source), script, (120, 40))


def test_what_daemons_say_cannot_steer_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\r\nn\x9b1"
    known = frames.state([frames.array(members=[frames.member(0, name=evil, address=f"dst+tcp://{evil}")])])
    known["host"]["name"] = evil
    known["transactions"]["rows"][0] |= {"client": evil, "op": evil, "node": evil}
    pool = frames.Speaker(place=evil)
    source = frames.Still(pool.hello(), pool.snapshot(known), pool.event(99, text=evil))

    async def script(_pilot: Pilot[int], app: Tui) -> None:
        for size in ((80, 24), (120, 40)):
            await _pilot.resize_terminal(*size)
            await screens.settle(_pilot)
            assert all(line.isprintable() for line in screens.text(app))

    screens.run(Tui(source), script)


def test_what_comes_while_the_app_closes_does_no_harm() -> None:
    source = frames.mirror_in_trouble()
    app = Tui(source)

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("q")

    screens.run(app, script)
    source.say(frames.Speaker().hello())
    app._follow()
    app._second()


def test_members_that_are_here_count_as_connected_and_say_where_they_are() -> None:
    addresses = ["/srv/a.img", "mem:1M", "scratch", "file:/srv/b.img?name=b"]
    here = [frames.member(slot, address=each, link=None, links=[]) for slot, each in enumerate(addresses)]
    gone = frames.member(4, "missing", link=None, links=[], address="/srv/c.img")
    known = frames.state([frames.array(members=[*here, gone], jobs=[])])
    pool = frames.Speaker()

    async def script(_pilot: Pilot[int], app: Tui) -> None:
        assert " 4/5 " in screens.line(app, "▾pool")
        shown = [screens.line(app, f"   n{number} ").split()[:3] for number in range(1, 6)]
        assert shown == [
            ["n1", "/srv/a.img", "file"],
            ["n2", "mem:1M", "mem"],
            ["n3", "scratch", "name"],
            ["n4", "file:/srv/b.img", "file"],
            ["n5", "/srv/c.img", "file"],
        ]

    screens.run(Tui(frames.Still(pool.hello(), pool.snapshot(known, past=False))), script, (160, 40))
