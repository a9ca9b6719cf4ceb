"""What each watcher is sent next: everything once, then what has changed; nothing is queued for anybody."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.control.broadcast import NEWS_MAX, WATCHERS_MAX, Broadcast, Watcher
from dsttool.engine.control.event_log import EVENTS_MAX, EventLog
from dsttool.engine.control.frames import FRAME_BYTES_MAX, parse_frame
from dsttool.engine.control.picture import DaemonPicture, Update
from dsttool.engine.control.sampler import ROWS_SHOWN, Counted, Look, Second, Want
from dsttool.engine.transaction.latency import BUCKETS
from dsttool.engine.vocabulary.errors import Conflict, UsageError
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.status import TransactionStatus
from support.watched import HELLO, HOST, row


def look(*rows: TransactionStatus, whole: bool = True, **arrays: Any) -> Look:
    states = Counter(each["state"] for each in rows)
    return Look(cast(Any, {"name": "pool"}), whole, True, arrays, {}, states, list(rows))


def second(end: int, reads: int = 0, labels: tuple[str, ...] = ("pool",)) -> Second:
    counted = Counted(reads, 0, 0, 0, 0, 0, [0] * BUCKETS)
    return Second(end * SECOND, SECOND if end > 1 else 0, dict.fromkeys(labels, counted))


class Stage:
    """A broadcast, and the pictures that its watchers have."""

    def __init__(self) -> None:
        self.wants: list[Want | None] = []
        self.broadcast = Broadcast(HELLO, lambda: HOST, self.wants.append)
        self.log = EventLog(lambda: 0)
        self.log.listeners.append(self.broadcast.put)

    def news(self, *news: Look | Second) -> None:
        for each in news:
            self.broadcast.put(each)
        self.broadcast.take()

    def join(self, filter_: str = "", **arguments: Any) -> Watcher:
        return self.broadcast.join({"filter": filter_, **arguments})

    def read(self, watcher: Watcher, picture: DaemonPicture | None = None) -> list[Any]:
        """All frames that are due; the picture gets them, too."""
        frames = []
        while (line := self.broadcast.next(watcher)) is not None:
            assert line.endswith(b"\n")
            assert line.count(b"\n") == 1
            frame = parse_frame(line)
            assert frame is not None
            if picture is not None:
                picture.apply(Update("local", "pool", 0, frame))
            frames.append(frame)
        return frames


def kinds(frames: list[Any]) -> list[str]:
    return [frame["type"] for frame in frames]


def test_hello_then_everything_then_what_changes() -> None:
    stage = Stage()
    watcher = stage.join()
    assert kinds(stage.read(watcher)) == ["hello"]
    stage.news(look(pool={"state": "online"}))
    assert kinds(stage.read(watcher)) == ["snapshot"]
    assert stage.read(watcher) == []
    stage.news(look(pool={"state": "degraded"}))
    (frame,) = stage.read(watcher)
    assert frame["changes"] == [[["arrays", "pool", "state"], "degraded"]]
    assert (frame["sequence"], frame["dropped"], frame["sampled"]) == (3, 0, False)


def test_the_first_frame_says_who_speaks() -> None:
    stage = Stage()
    (hello,) = stage.read(stage.join())
    assert {key: hello[key] for key in HELLO} == HELLO
    assert hello["schema"] == "dsttool.stream/1"


def test_one_who_reads_slowly_gets_all_changes_in_one_delta_and_how_many_it_missed() -> None:
    stage = Stage()
    slow, fast = stage.join(), stage.join()
    pictures = {slow: DaemonPicture(), fast: DaemonPicture()}
    stage.news(look(pool={"n": 0}))
    for watcher, picture in pictures.items():
        stage.read(watcher, picture)
    for n in range(1, 6):
        stage.news(look(pool={"n": n, f"new {n}": n}))
        stage.read(fast, pictures[fast])
    (frame,) = stage.read(slow, pictures[slow])
    assert frame["dropped"] == 4
    assert pictures[slow].state == pictures[fast].state
    assert pictures[slow].dropped == 4


def test_nothing_is_kept_for_one_who_does_not_read() -> None:
    stage = Stage()
    watcher = stage.join()
    stage.news(look())
    stage.read(watcher)
    for n in range(5 * EVENTS_MAX):
        stage.log.add("info", "link.up", "pool", None, f"{n}")
        stage.news(look(pool={"n": n}))
    frames = stage.read(watcher)
    assert kinds(frames) == ["event"] * EVENTS_MAX + ["delta"]
    assert frames[-2]["event"]["id"] == 5 * EVENTS_MAX


def test_what_waits_for_the_control_thread_is_bounded_and_wakes_it_in_time() -> None:
    stage = Stage()
    woken = [stage.broadcast.put(second(n)) for n in range(3 * NEWS_MAX)]
    assert not any(woken[:20])
    assert woken[40]
    assert len(stage.broadcast._news) == NEWS_MAX


def test_an_event_is_told_at_once_and_once() -> None:
    stage = Stage()
    stage.log.add("info", "daemon.ready", "pool", None, "It is ready.")
    watcher = stage.join()
    stage.news(look())
    _, snapshot = stage.read(watcher)
    assert [event["text"] for event in snapshot["events"]] == ["It is ready."]
    assert stage.broadcast.put(stage.log.add("error", "link.lost", "pool", "n0", "It is lost."))
    stage.broadcast.take()
    (frame,) = stage.read(watcher)
    assert frame["event"]["text"] == "It is lost."
    assert stage.read(watcher) == []


def test_each_filter_shows_its_own_transactions_and_the_totals_of_all() -> None:
    stage = Stage()
    reads, writes, none = stage.join("op:read"), stage.join("op:write"), stage.join("op:trim")
    everything = stage.join()
    unlisted = stage.join(transactions=False)
    rows = [row(1, op="READ"), row(2), row(3, op="READ", state="resend")]
    stage.news(look(*rows))
    shown = [stage.read(each)[-1]["state"]["transactions"] for each in (reads, writes, none, everything)]
    assert [[each["id"] for each in one["rows"]] for one in shown] == [[1, 3], [2], [], [1, 2, 3]]
    assert [one["matched"] for one in shown] == [2, 1, 0, 3]
    assert all(one["total"] == 3 and one["states"] == {"in_flight": 2, "resend": 1} for one in shown)
    empty = {"total": 0, "matched": 0, "states": {}, "rows": []}
    assert stage.read(unlisted)[-1]["state"]["transactions"] == empty


def test_only_the_oldest_are_shown_of_many() -> None:
    stage = Stage()
    watcher = stage.join("op:write")
    stage.news(look(*(row(n) for n in range(1500))))
    shown = stage.read(watcher)[-1]["state"]["transactions"]
    assert [each["id"] for each in shown["rows"]] == list(range(ROWS_SHOWN))
    assert shown["matched"] == shown["total"] == 1500
    assert "tried" not in shown


def test_a_filter_that_was_not_tried_on_all_says_on_how_many() -> None:
    stage = Stage()
    watcher, everything = stage.join("op:write"), stage.join()
    seen = look(*(row(n) for n in range(300)))
    seen.states["queued"] += 5000
    stage.news(seen)
    shown = stage.read(watcher)[-1]["state"]["transactions"]
    assert (shown["total"], shown["tried"], shown["matched"]) == (5300, 300, 300)
    assert "tried" not in stage.read(everything)[-1]["state"]["transactions"]


def test_what_is_the_same_for_several_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from dsttool.engine.control import snapshots

    encoded = []
    delta = snapshots.delta_body
    monkeypatch.setattr(snapshots, "delta_body", lambda *states: encoded.append(1) or delta(*states))
    stage = Stage()
    watchers = [stage.join(" op:read ") for _ in range(8)] + [stage.join("op:write")]
    for n in range(2):
        stage.news(look(pool={"n": n}))
        for watcher in watchers:
            stage.read(watcher)
    assert len(encoded) == 2  # one a filter


def test_another_filter_is_answered_by_a_snapshot() -> None:
    stage = Stage()
    watcher = stage.join()
    stage.news(look(row(1), row(2, op="READ"), whole=False))
    stage.read(watcher)
    stage.broadcast.change(watcher, {"filter": "op:read"})
    assert stage.read(watcher) == []  # that look was not of all transactions
    stage.news(look(row(1), row(2, op="READ")))
    (frame,) = stage.read(watcher)
    assert (frame["type"], frame["filter"]) == ("snapshot", "op:read")
    assert [each["id"] for each in frame["state"]["transactions"]["rows"]] == [2]


@pytest.mark.parametrize("arguments", [{"filter": "stat:x"}, {"filter": 7}, {"transactions": "yes"}])
def test_a_filter_that_is_none_is_refused_and_the_old_one_stays(arguments: dict[str, Any]) -> None:
    stage = Stage()
    watcher = stage.join("op:read")
    with pytest.raises(UsageError):
        stage.broadcast.change(watcher, arguments)
    with pytest.raises(UsageError):
        stage.broadcast.join(arguments)
    stage.news(look(row(1)))
    assert stage.read(watcher)[-1]["filter"] == "op:read"


def test_watchers_are_bounded_and_one_that_leaves_makes_room() -> None:
    stage = Stage()
    watchers = [stage.join() for _ in range(WATCHERS_MAX)]
    for n in range(100):
        with pytest.raises(Conflict):
            stage.join(f"id:{n}")
    assert len(stage.broadcast._views) == 1
    stage.broadcast.leave(watchers[0])
    stage.join()


def test_no_more_is_sampled_than_somebody_needs() -> None:
    stage = Stage()
    first = stage.join(transactions=False)
    second_ = stage.join()
    third = stage.join("op:read")
    for watcher in (third, second_, first):
        stage.broadcast.leave(watcher)
    plain, listed, whole = Want(False, False), Want(True, False), Want(True, True)
    assert stage.wants == [plain, listed, whole, listed, plain, None]


def test_a_look_from_before_everybody_left_is_not_shown() -> None:
    stage = Stage()
    watcher = stage.join()
    stage.news(look(pool={"n": 1}))
    stage.broadcast.leave(watcher)
    late = stage.join()
    assert kinds(stage.read(late)) == ["hello"]


def test_the_past_comes_with_the_snapshot_and_goes_on_with_every_second() -> None:
    stage = Stage()
    stage.news(*(second(n, reads=n * n) for n in range(1, 15)))
    watcher, picture = stage.join(), DaemonPicture()
    stage.news(look())
    stage.read(watcher, picture)
    assert picture.history["pool"].seconds.column("reads") == [n * n - (n - 1) ** 2 for n in range(2, 15)]
    for n in range(15, 18):
        stage.news(second(n, reads=n * n), look())
        (frame,) = stage.read(watcher, picture)
        assert (frame["sampled"], frame["sampled_ns"]) == (True, n * SECOND)
    stage.news(look(pool={}))
    assert stage.read(watcher, picture)[0]["sampled"] is False
    assert picture.history["pool"].seconds.column("reads", 3) == [29, 31, 33]


def test_a_second_that_nobody_was_shown_is_unknown_and_leaves_a_gap() -> None:
    stage = Stage()
    stage.news(second(1), second(2, reads=5))
    watcher, picture = stage.join(), DaemonPicture()
    stage.news(look())
    stage.read(watcher, picture)
    stage.news(second(3, reads=6), second(4, reads=8), look())
    stage.read(watcher, picture)
    assert picture.history["pool"].seconds.column("reads") == [5, None, 2]


def test_another_filter_does_not_bring_the_past_once_more_and_leaves_no_gap_in_it() -> None:
    stage = Stage()
    stage.log.add("info", "daemon.ready", "pool", None, "It is ready.")
    stage.news(second(1), second(2, reads=1), look())
    watcher, picture = stage.join(), DaemonPicture()
    stage.news(look())
    stage.read(watcher, picture)
    stage.log.add("info", "link.up", "pool", None, "It is up.")
    stage.news(second(3, reads=3), look())
    stage.broadcast.change(watcher, {"filter": "op:read"})
    stage.news(look())
    (frame,) = stage.read(watcher, picture)
    assert (frame["history"], frame["sampled"], len(frame["events"])) == ({}, True, 1)
    stage.news(second(4, reads=6), look())
    stage.read(watcher, picture)
    assert picture.history["pool"].seconds.column("reads") == [1, 2, 3]
    assert len(picture.events) == 2


def test_the_past_of_many_labels_is_cut_before_a_snapshot_grows_too_long() -> None:
    stage = Stage()
    labels = tuple(f"pool/n{n}" for n in range(100))
    for n in range(1, 12):
        stage.news(second(n, labels=labels))
    watcher = stage.join()
    stage.news(look())
    line = stage.broadcast.next(watcher), stage.broadcast.next(watcher)
    assert line[1] is not None
    assert len(line[1]) < FRAME_BYTES_MAX
    assert len(json.loads(line[1])["history"]) == 32


def test_a_state_that_leaves_no_room_for_the_past_goes_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsttool.engine.control.broadcast.FRAME_BYTES_MAX", 5000)
    stage = Stage()
    stage.log.add("info", "daemon.ready", "pool", None, "It is ready.")
    stage.news(*(second(n) for n in range(1, 200)))
    watcher = stage.join()
    stage.news(look(pool={"sessions": ["x" * 10_000]}))
    frame = stage.read(watcher)[-1]
    assert (frame["history"], frame["events"]) == ({}, [])
    assert frame["state"]["arrays"]["pool"]["sessions"]


def test_goodbye_says_why() -> None:
    stage = Stage()
    watcher = stage.join()
    stage.read(watcher)
    frame = cast(Any, parse_frame(stage.broadcast.bye(watcher, "The daemon has ended.")))
    assert (frame["type"], frame["reason"], frame["sequence"]) == ("bye", "The daemon has ended.", 2)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("look"), st.integers(0, 3), st.integers(0, 6)),
        st.tuples(st.just("second"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("event"), st.just(0), st.just(0)),
        st.tuples(st.just("read"), st.integers(0, 2), st.integers(1, 3)),
        st.tuples(st.just("filter"), st.integers(0, 2), st.integers(0, 2)),
    ),
    max_size=40,
)
FILTERS = ("", "op:read", "-op:read")


@given(steps)
def test_whoever_reads_on_has_the_same_picture_in_the_end_however_slowly(
    course: list[tuple[str, int, int]],
) -> None:
    stage = Stage()
    watchers = [stage.join(text) for text in FILTERS]
    pictures = [DaemonPicture() for _ in watchers]
    now = reads = 0
    for kind, which, much in course:
        if kind == "look":
            rows = [row(n, op=("READ", "WRITE")[n % 2]) for n in range(much)]
            stage.news(look(*rows, **{f"array {n}": {"n": which} for n in range(which)}))
        elif kind == "second":
            now, reads = now + 1, reads + which
            stage.news(second(now, reads))
        elif kind == "event":
            stage.log.add("info", "link.up", "pool", None, "")
            stage.broadcast.take()
        elif kind == "filter":
            stage.broadcast.change(watchers[which], {"filter": FILTERS[much]})
        else:
            for _ in range(much):
                line = stage.broadcast.next(watchers[which])
                if line is not None:
                    pictures[which].apply(Update("", "pool", 0, parse_frame(line)))
    stage.news(look(row(7)))
    for watcher, picture in zip(watchers, pictures):
        stage.read(watcher, picture)
        assert picture.state == json.loads(json.dumps(watcher.view.state))
        assert [event["id"] for event in picture.events] == list(range(1, stage.log.last_id + 1))
        if now > 1:
            assert picture.history["pool"].seconds.end_ns == now * SECOND


def test_a_machine_that_cannot_be_sampled_while_nobody_watches_is_not_asked() -> None:
    def asked() -> Any:
        raise AssertionError("nobody watches")

    broadcast = Broadcast(HELLO, cast(Callable[[], Any], asked), lambda _want: None)
    for n in range(100):
        broadcast.put(second(n))
    broadcast.take()
