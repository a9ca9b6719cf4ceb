"""The screen on real daemons."""

import asyncio

from textual.pilot import Pilot

from dsttool.engine.control.place import Local
from dsttool.tui.app import Tui
from dsttool.tui.source import Live
from support.site import Site
from tui import screens


async def shown(pilot: Pilot[int], app: Tui, text: str) -> str:
    """The line with some text, once it is there."""
    for _ in range(600):
        await screens.settle(pilot)
        for line in screens.text(app):
            if text in line:
                return line
        await asyncio.sleep(0.05)
    raise AssertionError(f"never shown: {text}\n" + "\n".join(screens.text(app)))


def test_daemons_come_go_and_are_lost(site: Site) -> None:
    disk = site.export(site.file("a.img", 1 << 20), "a")
    site.export(site.file("b.img", 1 << 20), "b")

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await shown(pilot, app, " a ")
        nodes = [site.dst(name, resend_timeout="500ms", resends=1) for name in "ab"]
        pool = site.array("pool", "mirror", *nodes)
        assert "ONLINE" in await shown(pilot, app, "▾pool")
        assert "IN SYNC" in await shown(pilot, app, "n0 a")
        disk.kill()
        assert await shown(pilot, app, "LOST")
        assert await shown(pilot, app, "retry")
        pool.stop()

    app = Tui(Live([Local(site.folder / "runtime")]))
    screens.run(app, script, (120, 40))


def test_a_filter_is_applied_by_the_daemon(site: Site) -> None:
    site.export(site.file("a.img", 1 << 20), "a")

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await shown(pilot, app, " a ")
        await pilot.press("slash", *"stat:resend", "enter")
        await shown(pilot, app, "Did you mean state:resend?")
        await pilot.press("escape", "slash", *"state:resend", "enter")
        await shown(pilot, app, "filter state:resend")
        daemon = app.picture.places["local"].daemons["a"]
        for _ in range(600):
            if daemon.filter == "state:resend":
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the daemon never heard of it")

    screens.run(Tui(Live([Local(site.folder / "runtime")])), script, (120, 40))
