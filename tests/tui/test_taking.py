"""What would break the screen is not shown: its daemon is lost, for a reason, until it begins anew."""

from typing import Any

import pytest

from dsttool.engine.control.picture import DaemonPicture, Picture
from dsttool.tui.taking import take
from tui import frames


def told(*updates: Any) -> tuple[Picture, DaemonPicture]:
    picture = Picture()
    for update in updates:
        take(picture, update)
    return picture, picture.places["local"].daemons["pool"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["arrays", "pool"], {}),
        (["arrays", "pool", "members"], [{"name": "n1"}]),
        (["arrays", "pool", "addresses"], [True]),
        (["arrays", "pool", "state"], None),
        (["exports", "scratch", "sessions"], 7),
        (["transactions", "rows"], [{"id": "x"}]),
        (["transactions", "states"], {"resend": None}),
        (["host", "cpu_fraction"], "much"),
        (["daemon", "refusals"], []),
        (["arrays", "pool", "\ud800"], "no text can have that"),
    ],
)
def test_a_state_that_is_none_is_not_shown(path: list[str], value: object) -> None:
    pool = frames.Speaker()
    _, daemon = told(pool.hello(), pool.snapshot(), pool.delta((path, value)), pool.delta(sampled=True))
    assert daemon.state is None
    assert daemon.lost_since_ns is not None
    assert "makes no sense" in daemon.reason


def test_a_daemon_that_begins_anew_is_shown_again() -> None:
    pool = frames.Speaker()
    broken = pool.delta((["arrays", "pool"], {}))
    _, daemon = told(pool.hello(), pool.snapshot(), broken, pool.hello(), pool.snapshot())
    assert (daemon.lost_since_ns, daemon.state is None) == (None, False)


def test_fields_and_words_of_a_later_release_are_no_reason() -> None:
    pool = frames.Speaker()
    array = frames.array(state="resting", colour="green", members=[frames.member(0, "dreaming", mood=1)])
    _, daemon = told(pool.hello(), pool.snapshot(), pool.delta((["arrays", "pool"], array)))
    assert daemon.state is not None


def test_others_go_on() -> None:
    pool, scratch = frames.Speaker(), frames.Speaker("scratch")
    broken = pool.delta((["arrays", "pool"], {}))
    picture, _ = told(pool.hello(), pool.snapshot(), scratch.hello(), scratch.snapshot(), broken)
    assert picture.places["local"].daemons["scratch"].state is not None
