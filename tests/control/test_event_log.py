"""The last events of a daemon."""

from dsttool.engine.control.event_log import EVENTS_MAX, TEXT_MAX, EventLog
from dsttool.engine.vocabulary.stream import Event


def test_events_are_numbered_timed_and_told() -> None:
    log = EventLog(iter(range(100, 200)).__next__)
    told: list[Event] = []
    log.listeners.append(told.append)
    log.add("info", "daemon.ready", "pool", None, "It is ready.")
    log.add("warning", "link.lost", "pool", "n0", "It is lost.")
    assert told == log.since(0)
    assert told[1] == {
        "id": 2,
        "time_ns": 101,
        "level": "warning",
        "kind": "link.lost",
        "name": "pool",
        "node": "n0",
        "text": "It is lost.",
    }


def test_only_newer_ones_are_given_and_only_the_last_are_kept() -> None:
    log = EventLog(lambda: 0)
    assert log.since(0) == []
    for _ in range(EVENTS_MAX + 5):
        log.add("info", "link.up", "pool", None, "")
    assert [event["id"] for event in log.since(EVENTS_MAX + 2)] == [EVENTS_MAX + n for n in (3, 4, 5)]
    assert [event["id"] for event in log.since(0)] == list(range(6, EVENTS_MAX + 6))
    assert log.since(EVENTS_MAX + 5) == log.since(10**9) == []


def test_a_sentence_of_a_peer_that_never_ends_is_cut_off() -> None:
    text = EventLog(lambda: 0).add("info", "link.notice", "pool", None, "x" * 10_000)["text"]
    assert (len(text), text[-1]) == (TEXT_MAX, "…")
