"""The picture: snapshot and deltas give what the daemon has; what is lost stays, and is known as old."""

import copy
import itertools
import json
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.control import frames
from dsttool.engine.control.event_log import EVENTS_MAX
from dsttool.engine.control.picture import STALE_NS, DaemonPicture, Picture, Update
from dsttool.engine.control.rings import History
from dsttool.engine.vocabulary import stream
from dsttool.engine.vocabulary.limits import SECOND
from support.status_frames import RATES, bye, delta, event, event_frame, hello, snapshot, state


def update(frame: stream.Frame | None, at: int = 0, *, daemon: str = "pool", reason: str = "") -> Update:
    return Update("local", daemon, at, frame, reason)


def shown(*given_frames: stream.Frame | None) -> DaemonPicture:
    """What is known after these frames, each of which passed the check for frames."""
    picture = DaemonPicture()
    for at, frame in enumerate(given_frames):
        if frame is not None:
            frame = frames.parse_frame(json.dumps(frame).encode())
            assert frame is not None
        picture.apply(update(frame, at))
    return picture


keys = st.sampled_from(["a", "b", "c"])
values = st.recursive(
    st.one_of(
        st.none(), st.integers(0, 3), st.sampled_from(["x", "y"]), st.lists(st.integers(0, 2), max_size=2)
    ),
    lambda inner: st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
entries = st.dictionaries(keys, st.dictionaries(keys, values, max_size=3), max_size=3)
states = st.builds(
    state,
    arrays=entries,
    exports=entries,
    daemon=st.dictionaries(keys, values, max_size=3),
    rates=st.dictionaries(keys, st.builds(lambda n: RATES | {"reads": n}, st.integers(0, 9)), max_size=3),
)


@given(st.lists(states, min_size=1, max_size=6))
def test_a_snapshot_and_its_deltas_give_the_state_of_the_daemon(course: list[stream.State]) -> None:
    steps = [delta(before, after) for before, after in itertools.pairwise(course)]
    assert shown(hello(), snapshot(course[0]), *steps).state == course[-1]


@given(states, states)
def test_a_delta_leaves_the_state_before_it_as_it_was(before: stream.State, after: stream.State) -> None:
    picture = shown(hello(), snapshot(before))
    kept, copied = picture.state, copy.deepcopy(picture.state)
    picture.apply(update(delta(before, after)))
    assert kept == copied
    assert picture.state == after


def test_what_did_not_change_is_the_same_object() -> None:
    before = state(arrays={"a": {"in_flight": 1}, "b": {"in_flight": 2}})
    after = state(arrays={"a": {"in_flight": 1}, "b": {"in_flight": 3}})
    picture = shown(hello(), snapshot(before))
    old = cast(Any, picture.state)
    picture.apply(update(delta(before, after)))
    new = cast(Any, picture.state)
    assert new["arrays"]["a"] is old["arrays"]["a"]
    assert new["exports"] is old["exports"]


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9)), max_size=40), st.integers(0, 10**6))
def test_the_history_goes_on_as_the_daemon_keeps_it(steps: list[tuple[int, int]], begun: int) -> None:
    """Also over seconds that were not measured, or not sent."""
    kept = History()
    kept.add(begun * SECOND, RATES)
    whole = state(rates={"pool": RATES})
    sent = json.loads(json.dumps(kept.sent()))
    picture = shown(hello(), snapshot(whole, history={"pool": sent}))
    end = begun * SECOND
    for seconds, reads in steps:
        end += seconds * SECOND
        rates = cast(stream.Rates, RATES | {"reads": reads})
        kept.add(end, rates)
        after = state(rates={"pool": rates})
        picture.apply(update(delta(whole, after, sampled=True, sampled_ns=end)))
        whole = after
    assert picture.history["pool"].sent() == kept.sent()


def test_a_label_that_is_gone_takes_its_history_with_it() -> None:
    kept = History()
    kept.add(SECOND, RATES)
    before = state(rates={"pool": RATES, "pool/n0": RATES})
    after = state(rates={"pool": RATES})
    past = {"pool": kept.sent(), "pool/n0": kept.sent()}
    picture = shown(hello(), snapshot(before, history=past), delta(before, after, sampled=True))
    assert list(picture.history) == ["pool"]
    assert len(picture.history["pool"].seconds) == 2


def test_a_state_without_a_new_second_adds_no_point_to_the_history() -> None:
    kept = History()
    kept.add(SECOND, RATES)
    whole = state(rates={"pool": RATES})
    picture = shown(hello(), snapshot(whole, history={"pool": kept.sent()}), delta(whole, whole))
    assert len(picture.history["pool"].seconds) == 1


def test_events_are_kept_once_in_order_and_not_for_ever() -> None:
    picture = shown(hello(), snapshot(state(), events=[event(1), event(2)]), event_frame(2), event_frame(3))
    assert [each["id"] for each in picture.events] == [1, 2, 3]
    for id_ in range(4, 2000):
        picture.apply(update(event_frame(id_)))
    assert len(picture.events) == EVENTS_MAX
    assert picture.events[-1]["id"] == 1999


def test_a_lost_daemon_keeps_its_picture_and_says_since_when_and_why() -> None:
    picture = shown(hello(), snapshot(state(arrays={"pool": {"state": "online"}})))
    picture.apply(update(None, 100, reason="it hung up"))
    picture.apply(update(None, 200, reason="connection refused"))
    assert picture.lost_since_ns == 100
    assert picture.reason == "connection refused"
    assert picture.stale(100)
    assert picture.state is not None
    picture.apply(update(hello(sequence=0), 300))
    assert (picture.lost_since_ns, picture.reason) == (None, "")
    assert not picture.stale(300)


def test_a_silent_daemon_is_stale_after_a_while() -> None:
    picture = shown(hello(), snapshot(state()))
    assert picture.age_ns(11) == 10
    assert not picture.stale(STALE_NS)
    assert picture.stale(STALE_NS + 2)


def test_another_instance_begins_anew_and_the_same_one_goes_on() -> None:
    picture = shown(hello("a"), snapshot(state(), events=[event(7)]), hello("a"))
    assert [each["id"] for each in picture.events] == [7]
    picture.apply(update(hello("b")))
    assert (list(picture.events), picture.state, picture.history) == ([], None, {})
    picture.apply(update(snapshot(state(), events=[event(1)])))
    assert [each["id"] for each in picture.events] == [1]


def test_a_goodbye_is_no_failure() -> None:
    picture = Picture()
    for frame in (
        hello(),
        snapshot(state(arrays={"pool": {"state": "online"}})),
        bye("The daemon ends."),
        None,
    ):
        picture.apply(update(frame))
    found = next(picture.daemons()).entry
    assert found.ended
    assert found.reason == "The daemon ends."
    assert (picture.arrays(), picture.worst(0)) == ([], "")


def test_deltas_without_a_snapshot_are_left_alone_and_dropped_ones_counted() -> None:
    picture = shown(hello(), delta(state(), state(arrays={"a": {}}), dropped=3))
    assert picture.state is None
    assert picture.dropped == 3


def row(age: int) -> dict[str, Any]:
    return {"id": age, "age_ns": age}


def test_several_daemons_are_merged() -> None:
    picture = Picture()
    for daemon, ages, times in (("a", [9, 4], [1, 4]), ("b", [7, 1], [2, 3])):
        listed = {"total": 2, "matched": 2, "states": {}, "rows": [row(age) for age in ages]}
        whole = state(transactions=listed, arrays={daemon: {"name": daemon, "state": "online"}})
        past = [event(number + 1, time) for number, time in enumerate(times)]
        picture.apply(update(hello(), daemon=daemon))
        picture.apply(update(snapshot(whole, events=past), daemon=daemon))
    assert [each.entry["age_ns"] for each in picture.transactions()] == [9, 7, 4, 1]
    assert [each.entry["age_ns"] for each in picture.transactions(2)] == [9, 7]
    assert [each.entry["time_ns"] for each in picture.events()] == [4, 3, 2, 1]
    assert [(each.daemon, each.entry["name"]) for each in picture.arrays()] == [("a", "a"), ("b", "b")]
    assert picture.exports() == []
    picture.apply(update(None, daemon="a", reason="gone"))
    assert [each.entry["age_ns"] for each in picture.transactions()] == [7, 1]
    assert picture.worst(0) == "unreachable"
    picture.forget("local", "a")
    assert [each.daemon for each in picture.daemons()] == ["b"]


def test_the_worst_state_of_all_is_named() -> None:
    picture = Picture()
    assert picture.worst(0) == ""
    arrays = {"a": {"state": "online"}, "b": {"state": "degraded"}}
    exports = {"c": {"state": "serving"}}
    picture.apply(update(hello()))
    picture.apply(update(snapshot(state(arrays=arrays, exports=exports))))
    assert picture.worst(0) == "degraded"
    picture.apply(update(snapshot(state(arrays={"a": {"state": "hovering"}, "b": {"state": "online"}}))))
    assert picture.worst(0) == "hovering"


def test_a_silent_daemon_is_as_bad_as_one_that_cannot_be_reached() -> None:
    picture = Picture()
    picture.apply(update(hello(), 0))
    picture.apply(update(snapshot(state(arrays={"a": {"state": "online"}})), 0))
    assert picture.worst(STALE_NS) == "online"
    assert picture.worst(STALE_NS + 1) == "unreachable"
    picture.apply(update(bye("The daemon ends."), 1))
    assert picture.worst(STALE_NS + 9) == ""


def test_a_place_is_lost_and_reached_again() -> None:
    picture = Picture()
    picture.apply(update(None, 5, daemon="", reason="ssh: no route to host"))
    place = picture.places["local"]
    assert (place.lost_since_ns, place.reason, place.daemons) == (5, "ssh: no route to host", {})
    assert picture.worst(0) == "unreachable"
    picture.apply(update(None, 9, daemon=""))
    assert place.lost_since_ns is None
