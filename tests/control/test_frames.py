"""What is no frame is refused; what is one of a later release is let through."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.control.frames import check_frame, parse_frame
from dsttool.engine.control.picture import DaemonPicture, Update
from dsttool.engine.control.rings import History
from dsttool.engine.vocabulary.errors import ProtocolError
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.stream import SCHEMA
from support.status_frames import RATES, bye, delta, event_frame, hello, snapshot, state

PAST = History()
PAST.add(SECOND, RATES)
FRAMES: dict[str, Any] = {
    "hello": hello(),
    "snapshot": snapshot(state(rates={"pool": RATES}), history={"pool": PAST.sent()}),
    "delta": delta(state(), state(arrays={"a": {}}), sampled=True, sampled_ns=SECOND),
    "event": event_frame(1),
    "bye": bye("The daemon has ended."),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_is_let_through_with_what_it_has_more(kind: str) -> None:
    frame = json.loads(json.dumps(FRAMES[kind] | {"new": 1}))
    assert parse_frame(json.dumps(frame).encode()) == frame


def test_a_type_of_a_later_release_is_none_of_ours() -> None:
    assert check_frame({"schema": SCHEMA, "type": "sigh"}) is None


@pytest.mark.parametrize("line", [b"", b"x", b"[]", b"{}", b'{"schema":"dsttool.stream/2"}', b"[" * 10**5])
def test_what_is_no_frame_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_frame(line)


@pytest.mark.parametrize(
    "wrong", [{"time_ns": -1}, {"time_ns": 1 << 70}, {"name": None}, {"level": 2}, {"node": 1}]
)
def test_an_event_that_cannot_be_shown_is_refused(wrong: dict[str, Any]) -> None:
    event = json.loads(json.dumps(FRAMES["event"]))
    event["event"] |= wrong
    with pytest.raises(ProtocolError, match="malformed"):
        check_frame(event)


garbage = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything within."""
    found = [path] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        found += places(each, (*path, key))
    return found


@given(st.sampled_from(sorted(FRAMES)), st.data())
def test_a_frame_with_something_else_in_it_is_refused_or_can_be_pictured(kind: str, data: Any) -> None:
    frame = json.loads(json.dumps(FRAMES[kind]))
    *way, last = data.draw(st.sampled_from(places(frame)))
    inside = frame
    for key in way:
        inside = inside[key]
    inside[last] = data.draw(garbage)
    picture = DaemonPicture()
    for each in (FRAMES["hello"], FRAMES["snapshot"], frame):
        try:
            checked = check_frame(each)
        except ProtocolError:
            return
        if checked is not None:
            picture.apply(Update("local", "pool", 0, checked))
