"""Waiting for a state: answered when it holds, when time is over, or at the daemon's end; never polled."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from dsttool.engine.control.server import Answer
from dsttool.engine.host import waiting
from dsttool.engine.host.waiting import Waits, obstacle
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.errors import (
    Conflict,
    DsttoolError,
    NotFound,
    TimedOut,
    Unreachable,
    UsageError,
)
from dsttool.engine.vocabulary.limits import MS, SECOND


def member(name: str, state: str = "in_sync", link: str | None = "up") -> dict[str, Any]:
    return {"name": name, "state": state, "link": None if link is None else {"state": link}}


def array(state: str, *members: dict[str, Any], jobs: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {"name": "pool", "state": state, "members": list(members), "jobs": list(jobs)}


EXPORT = {"name": "disk", "state": "serving"}


@pytest.mark.parametrize(
    ("condition", "entry", "said"),
    [
        ("up", array("online"), ""),
        ("up", array("degraded"), ""),
        ("up", array("frozen"), "it is frozen"),
        ("up", EXPORT, ""),
        ("up", EXPORT | {"state": "read_only"}, ""),
        ("up", EXPORT | {"state": "failed"}, "it is failed"),
        ("degraded", array("degraded"), ""),
        ("degraded", array("online"), "it is online"),
        ("connected", array("online", member("n0"), member("n1", link=None)), ""),
        ("connected", array("online", member("n0", link="connecting")), "the link of n0 is connecting"),
        (
            "connected",
            array("degraded", member("n0", "missing", None), member("n1", "suspended", "down")),
            "n0 is missing and n1 is suspended",
        ),
        ("connected", array("degraded", member("n0", "resyncing")), ""),
        ("clean", array("online", member("n0"), member("n1")), ""),
        ("clean", array("degraded", member("n0"), member("n1", "resyncing")), "n1 is resyncing"),
        (
            "clean",
            array("online", member("n0"), jobs=({"kind": "resync", "state": "running"},)),
            "a resync is running",
        ),
    ],
)
def test_a_condition_holds_or_says_what_is_in_its_way(
    condition: str, entry: dict[str, Any], said: str
) -> None:
    assert obstacle(condition, entry) == said


def test_an_export_can_only_be_waited_for_to_be_up_and_unknown_words_are_refused() -> None:
    with pytest.raises(Conflict, match="disk is an export"):
        obstacle("clean", EXPORT)
    with pytest.raises(UsageError, match="'tidy' is none of up, clean, connected, degraded"):
        obstacle("tidy", EXPORT)


class Asker:
    """Stands in for an Answer: keeps what came, and can leave."""

    def __init__(self) -> None:
        self.results: list[Any] = []
        self.leave: Callable[[], None] | None = None

    def __call__(self, result: Any) -> None:
        self.results.append(result)

    def later(self, gone: Callable[[], None]) -> None:
        self.leave = gone


class Hall:
    """A daemon that serves one array whose state the test sets."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.entry = array("degraded", member("n0"), member("n1", "stale"))
        self.looks = 0
        self.waits = Waits(self.reactor, self.statuses)

    def statuses(self) -> tuple[list[Any], list[Any]]:
        self.looks += 1
        return [self.entry], []

    def ask(self, condition: str = "clean", timeout_ns: int | None = None, name: str = "pool") -> Asker:
        asker = Asker()
        arguments = {"name": name, "condition": condition, "timeout_ns": timeout_ns}
        self.waits.ask(arguments, cast(Answer, asker))
        return asker

    def become(self, *members: dict[str, Any]) -> None:
        self.entry = array("online", *members)
        self.waits.changed()


@pytest.fixture
def hall() -> Iterator[Hall]:
    made = Hall()
    yield made
    made.reactor.close()


def test_what_holds_already_is_answered_at_once(hall: Hall) -> None:
    asker = hall.ask("degraded")
    assert asker.results == [hall.entry]
    assert len(hall.waits) == 0


def test_a_wait_is_answered_when_its_condition_holds_and_not_before(hall: Hall) -> None:
    asker = hall.ask()
    hall.become(member("n0"), member("n1", "resyncing"))
    hall.reactor.run_until(lambda: hall.looks == 2, 10 * SECOND)
    assert asker.results == []
    hall.become(member("n0"), member("n1"))
    assert hall.reactor.run_until(lambda: bool(asker.results), 10 * SECOND)
    assert asker.results == [hall.entry]
    assert len(hall.waits) == 0


def test_many_changes_of_one_turn_are_one_look_and_none_without_waits(hall: Hall) -> None:
    for _ in range(100):
        hall.waits.changed()
    assert hall.looks == 0
    hall.ask()
    for _ in range(100):
        hall.waits.changed()
    hall.reactor.run_until(lambda: hall.looks >= 2, 10 * SECOND)
    hall.reactor.run_until(lambda: False, 10 * MS)
    assert hall.looks == 2


def test_a_wait_whose_time_is_over_says_what_was_in_its_way(hall: Hall) -> None:
    asker = hall.ask(timeout_ns=20 * MS)
    assert hall.reactor.run_until(lambda: bool(asker.results), 10 * SECOND)
    (error,) = asker.results
    assert isinstance(error, TimedOut)
    assert error.what == "pool did not become clean in time: n1 is stale."
    assert len(hall.waits) == 0


def test_a_wait_whose_client_has_left_is_forgotten(hall: Hall) -> None:
    asker = hall.ask(timeout_ns=20 * MS)
    assert asker.leave is not None
    asker.leave()
    assert len(hall.waits) == 0
    hall.become(member("n0"))
    hall.reactor.run_until(lambda: False, 50 * MS)
    assert asker.results == []


def test_everybody_who_waits_is_told_of_the_end(hall: Hall) -> None:
    askers = [hall.ask(), hall.ask(timeout_ns=SECOND)]
    hall.waits.end()
    for asker in askers:
        (error,) = asker.results
        assert isinstance(error, Unreachable)
    assert len(hall.waits) == 0


def test_waits_are_bounded(hall: Hall) -> None:
    for _ in range(waiting.WAITS_MAX):
        hall.ask()
    with pytest.raises(Conflict, match="16 commands wait for pool already"):
        hall.ask()


@pytest.mark.parametrize(
    ("condition", "name", "error"), [("clean", "zzz", NotFound), ("tidy", "pool", UsageError)]
)
def test_a_wait_for_nothing_that_exists_is_refused(
    hall: Hall, condition: str, name: str, error: type[DsttoolError]
) -> None:
    with pytest.raises(error):
        hall.ask(condition, name=name)
    assert len(hall.waits) == 0
