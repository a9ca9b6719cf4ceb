"""Every action ends in exactly one control message, and whatever is not decided in none."""

import asyncio
from typing import Any

import frames
import pytest
import screens
from recording import Recorder
from textual.pilot import Pilot
from textual.widgets import Button, Input, OptionList, Static

from dsttool.engine.vocabulary.errors import Conflict
from dsttool.tui import dialogs
from dsttool.tui.actions import TABLE
from dsttool.tui.app import Tui
from dsttool.tui.dialogs import Dialog, Menu

SIZE = (100, 40)
# Of each action: the row it is chosen on, and what is typed before its button is pressed.
TYPED: dict[tuple[str, str], tuple[str, dict[str, str]]] = {
    ("node", "Suspend"): ("n1", {}),
    ("node", "Resume"): ("n4", {}),
    ("node", "Set policy"): ("n1", {"field-settings": "resends=2"}),
    ("node", "Stop resync"): ("n2", {}),
    ("node", "Discard content"): ("n2", {"typed": "pool"}),
    ("array", "Start resyncs"): ("pool", {}),
    ("array", "Pause resyncs"): ("pool", {}),
    ("array", "Limit resyncs"): ("pool", {"field-ceiling": "100M"}),
    ("array", "Set policy"): ("pool", {"field-settings": "resends=2"}),
    ("array", "Take down"): ("pool", {"typed": "pool"}),
    ("export", "Stop"): ("scratch", {"typed": "scratch"}),
    ("daemon", "Reload"): ("pool", {}),
    ("daemon", "Set crypto threads"): ("pool", {"field-threads": "2"}),
}
# The good copies that those actions count on which take a member away.
RELIED_ON = {
    ("node", "Suspend"): ["n5"],
    ("node", "Stop resync"): ["n1", "n5"],
    ("node", "Discard content"): ["n1", "n5"],
}


def source() -> tuple[frames.Still, frames.Speaker]:
    """A mirror with a suspended member, too; an export; both with a client."""
    members = [*frames.troubled_members(), frames.member(3, "suspended"), frames.member(4)]
    known = frames.state(
        [frames.array(members=members, jobs=[frames.job(member="n2")], sessions=[frames.session()])],
        [frames.export()],
    )
    pool = frames.Speaker()
    return frames.Still(pool.hello(), pool.snapshot(known, past=False)), pool


def app_with(place: Recorder, still: frames.Still, **more: Any) -> Tui:
    return Tui(still, places=[place], **more)  # type: ignore[list-item]


async def point(pilot: Pilot[int], app: Tui, name: str) -> None:
    """Put the cursor of the tree on a row."""
    tree = app.main.tree_
    names = [row.subject.node or row.subject.name for row in tree._rows]
    tree._move(names.index(name))


async def choose(pilot: Pilot[int], app: Tui, kind: str, title: str) -> None:
    """Open the menu, and an action of it."""
    await pilot.press("a")
    assert isinstance(app.screen, Menu)
    options = app.screen.query_one(OptionList)
    options.highlighted = options.get_option_index(f"{kind} {title}")
    await pilot.press("enter")
    await pilot.pause()
    assert isinstance(app.screen, Dialog)


async def fill(pilot: Pilot[int], app: Tui, typed: dict[str, str]) -> None:
    for name, text in typed.items():
        app.screen.query_one(f"#{name}", Input).value = text
    await pilot.pause()


async def sent(pilot: Pilot[int], place: Recorder) -> None:
    """Until a message has been sent, and its answer was told."""
    for _ in range(3000):
        if place.told and any(True for _ in pilot.app._notifications):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nothing was sent")


def notices(app: Tui) -> list[str]:
    return [notification.message for notification in app._notifications]


@pytest.mark.parametrize(("kind", "title"), list(TYPED))
def test_an_action_ends_in_exactly_one_message(kind: str, title: str) -> None:
    place = Recorder({"changes": [], "applied": [], "restart": []})
    still, _ = source()
    row, typed = TYPED[kind, title]

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await point(pilot, app, row)
        await choose(pilot, app, kind, title)
        await fill(pilot, app, typed)
        await pilot.click("#go")
        await sent(pilot, place)
        assert app.screen is app.main

    screens.run(app_with(place, still), script, SIZE)
    assert len(place.told) == 1
    daemon, command, _, expect = place.told[0]
    assert (daemon, command[:4]) == ("pool", command[:4])
    assert expect is not None
    assert expect["instance"] == frames.INSTANCE
    assert expect.get("good") == RELIED_ON.get((kind, title))


def test_every_action_is_tried() -> None:
    assert set(TYPED) == {(action.kind, action.title) for action in TABLE}


@pytest.mark.parametrize(("kind", "title"), list(TYPED))
def test_cancel_has_the_focus_and_it_and_escape_send_nothing(kind: str, title: str) -> None:
    place = Recorder()
    still, _ = source()
    row, typed = TYPED[kind, title]

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await point(pilot, app, row)
        for leave in ("enter", "escape"):
            await choose(pilot, app, kind, title)
            await fill(pilot, app, typed)
            assert app.focused is app.screen.query_one("#cancel")
            await pilot.press(leave)
            await pilot.pause()
            assert app.screen is app.main

    screens.run(app_with(place, still), script, SIZE)
    assert place.told == []


def test_leaving_the_menu_sends_nothing() -> None:
    place = Recorder()
    still, _ = source()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await point(pilot, app, "n1")
        await pilot.press("a", "escape")
        await pilot.pause()
        assert app.screen is app.main

    screens.run(app_with(place, still), script, SIZE)
    assert place.told == []


def test_a_row_that_moves_while_a_dialog_is_open_leaves_it_with_what_was_pinned() -> None:
    place = Recorder()
    still, pool = source()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await point(pilot, app, "n1")
        await choose(pilot, app, "node", "Suspend")
        members = [frames.member(4), *frames.troubled_members()]
        still.say(pool.delta((["arrays", "pool", "members"], members)))
        still.say(pool.delta((["arrays", "abc"], frames.array("abc"))))
        await screens.settle(pilot)
        await pilot.click("#go")
        await sent(pilot, place)

    screens.run(app_with(place, still), script, SIZE)
    expect = {"instance": frames.INSTANCE, "name": "pool", "good": ["n5"]}
    assert place.told == [("pool", "node.suspend", {"node": "n1", "for_ns": None}, expect)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("members", "pool/n1 is not there any more."),
        ("array", "pool is not there any more."),
        ("restart", "has been started again"),
        ("lost", "cannot be reached"),
    ],
)
def test_what_is_not_as_it_was_is_refused_with_a_sentence(change: str, says: str) -> None:
    place = Recorder()
    still, pool = source()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await point(pilot, app, "n1")
        await choose(pilot, app, "node", "Suspend")
        changes = {
            "members": [pool.delta((["arrays", "pool", "members"], [frames.member(4)]))],
            "array": [pool.delta(removals=(["arrays", "pool"],))],
            "restart": [pool.lost(), pool.hello("f" * 16), pool.snapshot()],
            "lost": [pool.lost()],
        }
        still.say(*changes[change])
        await screens.settle(pilot)
        app.screen.query_one("#go", Button).press()  # at once, before the dialog has had the time to say so
        await pilot.pause()
        assert isinstance(app.screen, Dialog)
        assert app.screen.query_one("#go", Button).disabled
        assert says in " ".join(" ".join(screens.text(app)).replace("│", " ").split())

    screens.run(app_with(place, still), script, SIZE)
    assert place.told == []


def test_what_changes_elsewhere_while_a_dialog_is_open_stops_nothing() -> None:
    place = Recorder()
    still, pool = source()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await point(pilot, app, "n1")
        await choose(pilot, app, "node", "Suspend")
        flapping = frames.member(0, "stale", link=frames.link("down"), links=[])
        others = [frames.member(1), frames.member(2), frames.member(3, "suspended"), frames.member(4)]
        still.say(pool.delta((["arrays", "pool", "members"], [flapping, *others])))
        still.say(pool.delta((["arrays", "pool", "generation"], 12)))
        await screens.settle(pilot)
        app.screen.query_one("#go", Button).press()
        await sent(pilot, place)

    screens.run(app_with(place, still), script, SIZE)
    expect = {"instance": frames.INSTANCE, "name": "pool", "good": ["n5"]}
    assert [expected for *_, expected in place.told] == [expect]


def loses(pool: frames.Speaker, *lost: int) -> list[Any]:
    """Copies of a mirror of five that has all but those members in sync."""
    members = [frames.member(slot, "stale" if slot in lost else "in_sync") for slot in range(5)]
    return [pool.delta((["arrays", "pool", "members"], members))]


def five() -> tuple[frames.Still, frames.Speaker]:
    """A mirror of five good copies."""
    known = frames.state([frames.array(members=[frames.member(slot) for slot in range(5)])])
    pool = frames.Speaker()
    return frames.Still(pool.hello(), pool.snapshot(known, past=False)), pool


def complaint(app: Tui) -> str:
    """What the dialog says is in its way."""
    return str(app.screen.query_one("#wrong", Static).content)


def test_fewer_good_copies_than_were_told_of_are_asked_about_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dialogs, "_AGAIN_SECONDS", 3.0)
    place = Recorder()
    still, pool = five()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await point(pilot, app, "n1")
        await choose(pilot, app, "node", "Suspend")
        still.say(*loses(pool, 2, 3))
        await screens.settle(pilot)
        go = app.screen.query_one("#go", Button)
        go.press()
        await pilot.pause()
        assert "n3 is stale, n4 is stale. Good copies meanwhile: 2 of 5, not 4." in complaint(app)
        assert app.focused is app.screen.query_one("#cancel")
        assert go.disabled  # for a moment: two clicks are no two decisions
        assert place.told == []
        await again(app)
        assert not go.disabled
        go.press()
        await sent(pilot, place)

    screens.run(app_with(place, still), script, SIZE)
    expect = {"instance": frames.INSTANCE, "name": "pool", "good": ["n2", "n5"]}
    assert [expected for *_, expected in place.told] == [expect]


async def again(app: Tui) -> None:
    """Until the dialog has looked again by itself."""
    for _ in range(3000):
        if not app.screen.query_one("#go", Button).disabled:
            return
        await asyncio.sleep(0.01)


def test_a_severe_action_wants_the_name_again_when_good_copies_got_fewer() -> None:
    place = Recorder()
    still, pool = five()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await point(pilot, app, "n1")
        await choose(pilot, app, "node", "Discard content")
        await fill(pilot, app, {"typed": "pool"})
        still.say(*loses(pool, 1))
        await screens.settle(pilot)
        app.screen.query_one("#go", Button).press()
        await pilot.pause()
        assert app.screen.query_one("#typed", Input).value == ""
        app.screen.query_one("#go", Button).press()
        await pilot.pause()
        assert isinstance(app.screen, Dialog)

    screens.run(app_with(place, still), script, SIZE)
    assert place.told == []


def test_a_copy_that_comes_back_while_a_dialog_is_open_is_not_asked_about() -> None:
    place = Recorder()
    still, pool = five()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await point(pilot, app, "n1")
        await choose(pilot, app, "node", "Suspend")
        still.say(*loses(pool, 2))
        await screens.settle(pilot)
        still.say(*loses(pool))
        await screens.settle(pilot)
        app.screen.query_one("#go", Button).press()
        await sent(pilot, place)

    screens.run(app_with(place, still), script, SIZE)
    assert len(place.told) == 1


def test_a_client_that_comes_while_a_dialog_is_open_makes_taking_down_severe() -> None:
    place = Recorder()
    still, pool = five()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await point(pilot, app, "pool")
        await choose(pilot, app, "array", "Take down")
        still.say(pool.delta((["arrays", "pool", "sessions"], [frames.session()])))
        await screens.settle(pilot)
        app.screen.query_one("#go", Button).press()
        await pilot.pause()
        assert isinstance(app.screen, Dialog)
        assert app.screen.query_one("#typed").display

    screens.run(app_with(place, still), script, SIZE)
    assert place.told == []


def test_a_severe_action_wants_the_name_typed() -> None:
    place = Recorder()
    still, _ = source()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await point(pilot, app, "pool")
        await choose(pilot, app, "array", "Take down")
        go = app.screen.query_one("#go", Button)
        assert go.disabled
        go.press()
        await fill(pilot, app, {"typed": "poo"})
        assert go.disabled
        go.press()
        await pilot.pause()
        assert isinstance(app.screen, Dialog)
        assert place.told == []
        await fill(pilot, app, {"typed": "pool"})
        assert not go.disabled

    screens.run(app_with(place, still), script, SIZE)


def test_what_is_typed_wrong_is_said_and_not_sent() -> None:
    place = Recorder()
    still, _ = source()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await point(pilot, app, "n1")
        await choose(pilot, app, "node", "Suspend")
        await fill(pilot, app, {"field-for": "soon"})
        assert app.screen.query_one("#go", Button).disabled
        assert "'soon' is not" in "\n".join(screens.text(app))
        await fill(pilot, app, {"field-for": "5m"})
        assert "dsttool node suspend pool n1 --for 5m" in "\n".join(screens.text(app))

    screens.run(app_with(place, still), script, SIZE)
    assert place.told == []


def test_what_came_of_it_is_said() -> None:
    place = Recorder()
    still, _ = source()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await point(pilot, app, "n1")
        await choose(pilot, app, "node", "Suspend")
        await pilot.click("#go")
        await sent(pilot, place)
        assert notices(app) == ["n1 of pool is suspended. [dsttool node suspend pool n1]"]

    screens.run(app_with(place, still), script, SIZE)


def test_an_answer_of_another_release_is_no_error() -> None:
    place = Recorder(answer={"what": "is this"})
    still, _ = source()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await choose(pilot, app, "daemon", "Reload")
        await pilot.click("#go")
        await sent(pilot, place)
        assert notices(app) == ["Reload of daemon pool is done. [dsttool daemon reload pool]"]

    screens.run(app_with(place, still), script, SIZE)


def test_an_error_is_said_with_what_to_do() -> None:
    place = Recorder(error=Conflict("The members of pool have changed since.", "Look, and try again."))
    still, _ = source()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await point(pilot, app, "n1")
        await choose(pilot, app, "node", "Suspend")
        await pilot.click("#go")
        await sent(pilot, place)
        assert notices(app) == ["The members of pool have changed since. Look, and try again."]

    screens.run(app_with(place, still), script, SIZE)


def test_read_only_offers_no_action() -> None:
    place = Recorder()
    still, _ = source()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await point(pilot, app, "n1")
        await pilot.press("a")
        assert app.screen is app.main
        assert "--read-only" in notices(app)[0]

    screens.run(app_with(place, still, read_only=True), script, SIZE)
    assert place.told == []


def test_a_recording_offers_no_action() -> None:
    still, _ = source()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await point(pilot, app, "n1")
        await pilot.press("a")
        assert app.screen is app.main
        assert "recording" in notices(app)[0]

    screens.run(Tui(still), script, SIZE)


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 40)])
def test_a_dialog_fits_on_every_screen_with_its_buttons(size: tuple[int, int]) -> None:
    place = Recorder()
    still, _ = source()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await point(pilot, app, "n1")
        await choose(pilot, app, "node", "Suspend")
        shown = "\n".join(screens.text(app))
        for text in ("Suspend: pool/n1", "Good copies meanwhile", "$ dsttool node suspend pool n1", "Cancel"):
            assert text in shown

    screens.run(app_with(place, still), script, size)


def test_a_screen_that_is_left_twice_at_once_is_left_once() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("a")
        menu = app.screen
        assert isinstance(menu, Menu)
        menu.dismiss(None)
        menu.dismiss(None)  # two Escapes, typed faster than the screen follows
        await screens.settle(pilot)
        assert app.screen is app.main

    still = frames.mirror_in_trouble()
    screens.run(Tui(still, places=[Recorder()]), script)
