"""Lines of the log that say what they are become events of the daemon."""

import logging
from collections.abc import Iterator

import pytest

from dsttool.engine.host import events
from dsttool.engine.host.events import EVENTS_PER_PERIOD, Events, sentence
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary.event_kinds import KINDS
from dsttool.engine.vocabulary.limits import MS, SECOND

LOG = logging.getLogger("dsttool.test")


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    yield made
    made.close()


@pytest.fixture
def told(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> Iterator[Events]:
    root = logging.getLogger("dsttool")
    monkeypatch.setattr(root, "level", logging.INFO)
    LOG.setLevel(logging.INFO)
    made = Events(reactor, ["pool"])
    yield made
    made.close()
    LOG.setLevel(logging.NOTSET)


def test_a_line_that_says_its_kind_is_an_event_of_that_object(told: Events) -> None:
    tell(LOG, "member.stale", "pool/n1", "%s: member %s is stale: %s", "pool", "n1", "it failed")
    (event,) = told.event_log.since(0)
    assert (event["level"], event["kind"]) == ("warning", "member.stale")
    assert (event["name"], event["node"]) == ("pool", "n1")
    assert event["text"] == "Member n1 is stale: it failed."


def test_a_line_that_says_nothing_is_none(told: Events) -> None:
    LOG.error("something else")
    assert told.event_log.since(0) == []


def test_what_is_about_nobody_in_particular_is_the_daemons(told: Events) -> None:
    tell(LOG, "link.lost", "dst://10.0.0.1/a", "%s: %s", "dst://10.0.0.1/a", "no route")
    (event,) = told.event_log.since(0)
    assert (event["name"], event["node"], event["text"]) == ("pool", None, "No route.")


def test_another_threads_line_is_an_event_once_the_reactor_turns(told: Events, reactor: Reactor) -> None:
    done: list[BaseException | None] = []
    reactor.run_blocking(
        lambda: tell(LOG, "flush.failed", "pool", "pool: no"), lambda _, error: done.append(error)
    )
    assert reactor.run_until(lambda: bool(done) and bool(told.event_log.since(0)), 10 * SECOND)
    assert done == [None]


def test_control_bytes_do_not_reach_those_who_watch(told: Events) -> None:
    tell(LOG, "link.notice", "pool/n0", "pool/n0: %s", "\x1b[2J")
    assert told.event_log.since(0)[0]["text"] == "?[2J."


def test_what_goes_on_happening_is_counted(
    told: Events, reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PERIOD_NS", 20 * MS)
    for number in range(EVENTS_PER_PERIOD + 90):
        tell(LOG, "client.refused", "", "number %d", number)
    tell(LOG, "daemon.ready", "pool", "another kind")
    assert len(told.event_log.since(0)) == EVENTS_PER_PERIOD + 1
    assert reactor.run_until(lambda: len(told.event_log.since(0)) > EVENTS_PER_PERIOD + 1, 10 * SECOND)
    last = told.event_log.since(0)[-1]
    assert last["kind"] == "client.refused"
    assert last["text"].startswith("90 more in ")
    assert last["text"].endswith("the last: number 99.")


def test_what_still_goes_on_is_said_once_a_period(
    told: Events, reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PERIOD_NS", 20 * MS)
    for _ in range(EVENTS_PER_PERIOD + 1):
        tell(LOG, "client.refused", "", "again")
    assert reactor.run_until(lambda: told.event_log.last_id == EVENTS_PER_PERIOD + 1, 10 * SECOND)
    for _ in range(5):
        tell(LOG, "client.refused", "", "again")
    assert told.event_log.last_id == EVENTS_PER_PERIOD + 1
    assert reactor.run_until(lambda: told.event_log.last_id == EVENTS_PER_PERIOD + 2, 10 * SECOND)
    assert told.event_log.since(0)[-1]["text"].startswith("5 more in ")


def test_every_kind_names_a_thing_and_what_became_of_it() -> None:
    for kind, about in KINDS.items():
        thing, dot, became = kind.partition(".")
        assert dot, kind
        assert f"{thing}{became}".replace("_", "").isalpha(), kind
        assert about.says.endswith("."), kind


def test_a_sentence_does_not_repeat_whom_it_is_about() -> None:
    assert sentence("pool: member n1 is there", "pool/n1", "pool") == "Member n1 is there."
    assert sentence("export a: b writes", "a", "a") == "B writes."
    assert sentence("pool is online: all is well.", "pool", "pool") == "pool is online: all is well."
