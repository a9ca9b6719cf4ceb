"""Arrays that are members of others are shown beneath those members, and only where that is sure."""

from typing import Any

import frames
import screens
from textual.pilot import Pilot

from dsttool.engine.control.picture import Picture
from dsttool.tui.app import Tui
from dsttool.tui.detail import lines_of
from dsttool.tui.nesting import Lower, Place, nested
from dsttool.tui.subject import Subject

SIZE = (120, 40)


def over(name: str, *addresses: str, listens: str = "") -> dict[str, Any]:
    """An array of members at some addresses, which listens in the runtime folder."""
    members = [frames.member(slot, address=address) for slot, address in enumerate(addresses)]
    own = listens or f"dst+unix:///{name}?socket=/run/dsttool/{name}.dst"
    return frames.array(name, "online", members=members, addresses=[own], jobs=[])


def told(*arrays: dict[str, Any]) -> tuple[frames.Still, dict[str, frames.Speaker]]:
    """Each array from a daemon of its own."""
    speakers = {array["name"]: frames.Speaker(array["name"]) for array in arrays}
    updates = []
    for array in arrays:
        waiting = frames.transactions(0)
        known = frames.state([array], [], waiting)
        speaker = speakers[array["name"]]
        updates += [speaker.hello(), speaker.snapshot(known, events=0, past=False)]
    return frames.Still(*updates), speakers


def found(*arrays: dict[str, Any]) -> dict[Place, Lower]:
    still, _ = told(*arrays)
    still.advance()
    return nested(still.picture.places["local"].daemons)


def names(app: Tui) -> list[str]:
    """The names in the tree, with what they are indented by."""
    shown = screens.text(app)
    at = next(i for i, line in enumerate(shown) if line.startswith("NAME "))
    rows = [line[: shown[at].index("KIND") - 1].rstrip() for line in shown[at + 1 :]]
    return rows[: next(i for i, row in enumerate(rows) if not row or row.startswith("─"))]


BY_SOCKET = "dst+unix:///m1?socket=/run/dsttool/m1.dst&name=first"


def test_a_member_is_an_array_by_its_name_or_by_where_that_listens() -> None:
    m1, m2 = over("m1", "dst+tcp://a:6207/d0"), over("m2", "dst+tcp://b:6207/d0")
    top = over("top", BY_SOCKET, "m2", "/srv/m2", "dst+tcp://m2:6207/m2")
    assert found(m1, m2, top) == {
        Place("top", "top", "n1"): Lower("m1", "m1"),
        Place("top", "top", "n2"): Lower("m2", "m2"),
    }


def test_what_listens_on_all_addresses_may_be_another() -> None:
    m1 = over("m1", "dst+tcp://a:6207/d0", listens="dst+tcp://[::]:6207/m1")
    assert found(m1, over("top", "dst+tcp://localhost:6207/m1")) == {}


def test_an_array_is_beneath_one_member_and_never_beneath_itself() -> None:
    one, other, third = over("a", "b"), over("b", "a"), over("c", "a")
    assert found(one, other, third) == {
        Place("a", "a", "n1"): Lower("b", "b"),
        Place("c", "c", "n1"): Lower("a", "a"),
    }
    assert found(over("self", "self")) == {}


def test_an_array_is_shown_beneath_the_member_that_it_is() -> None:
    still, speakers = told(over("m1", "dst+tcp://a:6207/d0"), over("top", BY_SOCKET, "dst+tcp://c:6207/d0"))

    async def script(pilot: Pilot[int], app: Tui) -> None:
        assert names(app) == ["▾top", "  ▾n1 m1", "    ▾m1", "       n1 a:6207/d0", "   n2 c:6207/d0"]
        await pilot.press("home", "down", "left")
        assert names(app) == ["▾top", "  ▸n1 m1", "   n2 c:6207/d0"]
        await pilot.press("right", "down")
        assert app.subject == Subject("array", "local", "m1", "m1")
        still.say(speakers["top"].delta(removals=(["arrays", "top"],)))
        await screens.settle(pilot)
        assert "▾m1" in names(app)
        assert app.subject == Subject("array", "local", "m1", "m1")

    screens.run(Tui(still), script, SIZE)


def test_details_lead_from_the_member_to_the_array_and_back() -> None:
    still, _ = told(over("m1", "dst+tcp://a:6207/d0"), over("top", BY_SOCKET))
    still.advance()

    def said(picture: Picture, *subject: str) -> list[str]:
        return ["".join(text for text, _ in line) for line in lines_of(picture, Subject(*subject), 0)]  # type: ignore[arg-type]

    assert any(
        "m1, which runs here, too" in line
        for line in said(still.picture, "node", "local", "top", "top", "n1")
    )
    assert any("top/n1" in line for line in said(still.picture, "array", "local", "m1", "m1"))
