"""Everything known of one object, as text and on its screen."""

import asyncio
from typing import Any

import frames
import pytest
import screens
from recording import Recorder
from rich.cells import cell_len
from textual.pilot import Pilot

from dsttool.engine.control.picture import Picture
from dsttool.engine.vocabulary.errors import Conflict
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.tui.app import Tui
from dsttool.tui.detail import Asked, lines_of, wrapped
from dsttool.tui.details import Detail
from dsttool.tui.look import UNKNOWN
from dsttool.tui.subject import Subject

POLICY = {
    "array": "pool",
    "nodes": [
        {
            "node": "n1",
            "budget_ns": 10 * SECOND,
            "policy": {
                "resend_timeout_ns": {"value": 2 * SECOND, "source": "default"},
                "resends": {"value": 4, "source": "live"},
                "ping_interval_ns": {"value": SECOND, "source": "default"},
                "ping_misses": {"value": 3, "source": "default"},
                "connect_timeout_ns": {"value": 5 * SECOND, "source": "default"},
                "backoff_min_ns": {"value": SECOND // 10, "source": "default"},
                "backoff_max_ns": {"value": 10 * SECOND, "source": "address"},
                "window": {"value": 1024, "source": "default"},
                "on_exhausted": {"value": "fail", "source": "array"},
                "links": {"value": 1, "source": "default"},
            },
        }
    ],
}


def known(*more: Any) -> tuple[Picture, frames.Speaker]:
    picture, speaker = Picture(), frames.Speaker()
    state = frames.state([frames.array(sessions=[frames.session()])], [frames.export()])
    for update in (speaker.hello(), speaker.snapshot(state)):
        picture.apply(update)
    return picture, speaker


def text(picture: Picture, subject: Subject, asked: Asked = None, now_ns: int = frames.BEGAN_NS) -> str:
    lines = lines_of(picture, subject, now_ns, asked)
    return "\n".join("".join(piece for piece, _ in line) for line in lines)


def about(kind: str, name: str = "pool", node: str = "", number: int = 0) -> Subject:
    return Subject(kind, "local", "pool", name, node, number)  # type: ignore[arg-type]


def test_an_array_says_its_state_what_that_means_and_what_to_do() -> None:
    said = text(known()[0], about("array"))
    assert "▲ DEGRADED  it serves from the members that are in sync" in said
    assert "n3 is not there: bring back what is at dst+tcp://c:6207/d0." in said
    assert "nbd :51522" in said


def test_a_member_says_each_link_its_transactions_and_its_policy_with_sources() -> None:
    said = text(known()[0], about("node", node="n1"), POLICY)
    assert "aes256gcm" in said
    assert "0.21 ms" in said
    assert "4170001  ↻ IN FLIGHT" in said
    assert "resends             4            live" in said
    assert "backoff_max         10s          address" in said
    assert "budget              10s" in said


def test_why_a_member_has_no_policy_is_said() -> None:
    error = Conflict("n1 of pool has no link.", "A policy is about links.")
    assert "n1 of pool has no link. A policy is about links." in text(
        known()[0], about("node", node="n1"), error
    )


def test_a_transaction_says_all_there_is_and_what_its_state_means() -> None:
    said = text(known()[0], about("transaction", node="n3", number=4_170_000))
    assert "▲ RESEND  its link was lost before its answer came" in said
    assert "WRITE FUA" in said
    assert "0x9a3f0000 + 65536 bytes (64 KiB)" in said
    assert "25.0 s of 30.0 s" in said
    assert "nbd :51522" in said


def test_a_transaction_that_has_ended_is_said_to_have() -> None:
    assert "Transaction 5 has ended" in text(known()[0], about("transaction", node="n3", number=5))


def test_an_export_says_who_uses_it() -> None:
    said = text(known()[0], about("export", "scratch"))
    assert "● SERVING" in said
    assert f"nbd :51522  {UNKNOWN}      nbd       write" in said


def test_a_daemon_says_what_it_is_and_whom_it_refused() -> None:
    picture, speaker = known()
    picture.apply(speaker.delta((["daemon", "refusals"], {"unknown_key": 2, "busy": 0})))
    said = text(picture, about("daemon", ""), {"threads": 2})
    assert "2 for large sealed records" in said
    assert "unknown_key 2" in said
    assert "busy" not in said


def test_a_host_lists_its_daemons() -> None:
    said = text(known()[0], Subject("host", "local"))
    assert "34% busy" in said
    assert "pool" in said


def test_what_is_gone_is_said_to_be() -> None:
    picture, speaker = known()
    picture.apply(speaker.delta(removals=(["exports", "scratch"],)))
    assert "scratch is not there any more." in text(picture, about("export", "scratch"))
    picture.apply(speaker.delta((["arrays", "pool", "members"], [])))
    assert "pool/n1 is not there any more." in text(picture, about("node", node="n1"))


def test_what_is_lost_says_since_when_and_is_shown_as_it_was() -> None:
    picture, speaker = known()
    picture.apply(speaker.lost("connection refused"))
    said = text(picture, about("array"), now_ns=frames.BEGAN_NS + 90 * SECOND)
    assert "Nothing was heard of it for 1m (connection refused). What follows was true then." in said
    assert "mirror, 40 GiB" in said


def test_a_daemon_that_was_never_heard_has_no_age_but_a_reason_and_what_to_do() -> None:
    picture = Picture()
    picture.apply(frames.Speaker().lost("no answer within 5 s"))
    shown = text(picture, about("daemon"), now_ns=frames.BEGAN_NS + 13 * 3600 * SECOND)
    assert "Nothing was heard of it yet (no answer within 5 s)." in shown
    assert "13h" not in shown
    assert "dsttool logs pool" in shown


def test_a_long_reason_is_read_to_its_end() -> None:
    picture, speaker = known()
    picture.apply(speaker.lost("The daemon pool cannot be reached: " + "why " * 30 + "and the end"))
    lines = [
        part for line in lines_of(picture, about("array"), frames.BEGAN_NS) for part in wrapped(line, 60)
    ]
    shown = [("".join(piece for piece, _ in line)) for line in lines]
    assert all(cell_len(line) <= 60 for line in shown[:3])
    assert "and the end" in " ".join(shown[:4])


@pytest.mark.parametrize("width", [1, 16, 29, 60])
def test_nothing_of_a_long_address_is_lost(width: int) -> None:
    address = f"dst+unix:///pool?socket=/run/{'長い' * 9}/{'x' * 50}.dst"
    shown = [
        "".join(text for text, _ in part)
        for part in wrapped([(" address       ", "dim"), (address, "")], width)
    ]
    assert "".join(line[15:] for line in shown) == address
    assert all(cell_len(line) <= max(width, 17) for line in shown)


def test_long_values_are_wrapped_beside_their_label() -> None:
    line = [(" state         ", "dim"), ("● UP", "good"), ("  one two three four", "")]
    shown = ["".join(text for text, _ in part) for part in wrapped(line, 29)]  # type: ignore[arg-type]
    assert shown == [" state         ● UP one two", "               three four"]


def test_enter_opens_what_the_cursor_is_on_and_escape_leads_back() -> None:
    place = Recorder(answer=POLICY)

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("down", "enter")
        await screens.settle(pilot)
        assert isinstance(app.screen, Detail)
        for _ in range(3000):
            if "live" in "\n".join(screens.text(app)):
                break
            await asyncio.sleep(0.01)
        shown = "\n".join(screens.text(app))
        assert "node  pool/n1" in shown
        assert "resends             4            live" in shown
        assert "GRAPHS pool/n1" in shown
        await pilot.press("escape")
        assert app.screen is app.main

    screens.run(Tui(frames.mirror_in_trouble(), places=[place]), script, (100, 60))  # type: ignore[list-item]
    assert place.told == [("pool", "policy.show", {"node": "n1"}, None)]


def test_a_policy_is_asked_for_again_when_it_may_be_another() -> None:
    place, still, pool = Recorder(answer=POLICY), frames.mirror_in_trouble(), frames.Speaker()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        async def follow(*updates: Any, asked: int) -> None:
            still.say(*updates)
            await screens.settle(pilot)
            for _ in range(3000):
                if len(place.told) >= asked:
                    break
                await asyncio.sleep(0.01)
            assert len(place.told) == asked

        await pilot.press("down", "enter")
        await follow(pool.delta(sampled=True), asked=1)
        await follow(pool.event(50, kind="policy.changed"), asked=2)
        await follow(pool.event(51, kind="link.up"), pool.lost(), asked=2)
        await follow(pool.hello("f" * 16), pool.snapshot(), asked=3)

    screens.run(Tui(still, places=[place]), script, (100, 60))  # type: ignore[list-item]


def test_the_screen_of_an_object_follows_it() -> None:
    still = frames.mirror_in_trouble()
    pool = frames.Speaker()

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("enter")
        await screens.settle(pilot)
        assert "▲ DEGRADED" in "\n".join(screens.text(app))
        still.say(pool.delta((["arrays", "pool", "state"], "failed")))
        await screens.settle(pilot)
        assert "✖ FAILED" in "\n".join(screens.text(app))
        still.say(pool.lost())
        still.clock_ns += 5 * SECOND
        await screens.settle(pilot)
        assert "Nothing was heard of it for 5s" in "\n".join(screens.text(app))

    screens.run(Tui(still), script, (80, 24))


def test_the_actions_of_an_object_can_be_chosen_on_its_screen() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("down", "enter")
        await screens.settle(pilot)
        await pilot.press("a")
        assert "Suspend" in "\n".join(screens.text(app))

    screens.run(Tui(frames.mirror_in_trouble(), places=[Recorder()]), script, (80, 24))  # type: ignore[list-item]
