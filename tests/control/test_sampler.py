"""The sampler: seconds always, looks while they are wanted, and never more than a bounded piece in a turn."""

import heapq
import itertools
import logging
from collections.abc import Callable
from typing import Any, cast

import pytest

from dsttool.engine.control.sampler import (
    LABELS_PER_TURN,
    ROWS_MAX,
    ROWS_PER_TURN,
    ROWS_SHOWN,
    Look,
    Sampler,
    Second,
    Want,
)
from dsttool.engine.device.figures import Figures
from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.vocabulary.limits import MS, SECOND
from support.watched import MadeUp, row

PLAIN, LISTED, WHOLE = Want(False, False), Want(True, False), Want(True, True)


class Turns:
    """Stands in for the reactor: its time passes as it is told to."""

    def __init__(self) -> None:
        self.now = 10 * SECOND
        self.turns = 0
        self._timers: list[Timer] = []
        self._posted: list[Callable[[], None]] = []

    def post(self, call: Callable[[], None]) -> None:
        self._posted.append(call)

    def call_at(self, when: int, call: Callable[[], None]) -> Timer:
        timer = Timer(when, call)
        heapq.heappush(self._timers, timer)
        return timer

    def call_later(self, delay: int, call: Callable[[], None]) -> Timer:
        return self.call_at(self.now + delay, call)

    def run(self, ns: int) -> None:
        """Everything that is due from now on until `ns` later; a turn takes 10 us."""
        end = self.now + ns
        while self._posted or (self._timers and self._timers[0].when <= end):
            self.turns += 1
            if not self._posted:
                self.now = max(self.now, self._timers[0].when)
            posted, self._posted = self._posted, []
            while self._timers and self._timers[0].when <= self.now:
                timer = heapq.heappop(self._timers)
                if timer.call is not None:
                    posted.append(timer.call)
            for call in posted:
                call()
            self.now += 10_000
        self.now = max(self.now, end)


class Stage:
    """A sampler over made-up figures, begun."""

    def __init__(self) -> None:
        self.reactor = Turns()
        self.source = MadeUp()
        self.seconds: list[Second] = []
        self.looks: list[Look] = []
        self.ahead = 1_700_000_000 * SECOND + 300 * MS
        self.sampler = Sampler(cast(Reactor, self.reactor), self.source, self._take, self._unix)
        self.sampler.begin()

    def _unix(self) -> int:
        return self.reactor.now + self.ahead

    def _take(self, news: Any) -> None:
        (self.seconds if isinstance(news, Second) else self.looks).append(news)


def test_counters_are_sampled_at_the_end_of_every_second() -> None:
    stage = Stage()
    for n in range(1, 5):
        stage.source.counters["pool"].reads = n
        stage.reactor.run(SECOND)
    assert [second.counted["pool"].reads for second in stage.seconds] == [0, 1, 2, 3, 4]
    assert stage.seconds[0].span_ns == 0
    assert all(abs(second.span_ns - SECOND) < 5 * MS for second in stage.seconds[2:])
    ends = [second.end_ns for second in stage.seconds]
    assert all(end % SECOND == 0 for end in ends)
    assert [later - end for end, later in itertools.pairwise(ends)] == [SECOND] * 4
    assert stage.source.looks == 0


def test_a_sample_holds_copies() -> None:
    stage = Stage()
    stage.source.counters["pool"].latencies.add(1000)
    assert sum(stage.seconds[0].counted["pool"].latencies) == 0


def test_looks_are_taken_four_times_a_second_while_they_are_wanted() -> None:
    stage = Stage()
    stage.reactor.run(5 * SECOND)
    stage.sampler.want(LISTED)
    stage.reactor.run(MS)
    assert len(stage.looks) == 1
    stage.reactor.run(10 * SECOND)
    assert 40 <= len(stage.looks) <= 52
    stage.sampler.want(None)
    stage.reactor.run(MS)
    seen = len(stage.looks)
    stage.reactor.run(5 * SECOND)
    assert len(stage.looks) == seen


def test_transactions_are_listed_only_as_far_as_they_are_wanted() -> None:
    stage = Stage()
    stage.source.rows = [row(n) for n in range(2 * ROWS_MAX)]
    for want, rows in ((PLAIN, 0), (LISTED, ROWS_SHOWN), (WHOLE, ROWS_MAX)):
        stage.sampler.want(want)
        stage.reactor.run(100 * MS)
        look = stage.looks[-1]
        assert len(look.rows) == rows
        assert look.states.total() == (2 * ROWS_MAX if want.listed else 0)
        assert (look.listed, look.whole) == want
    assert stage.source.listings == 2


def test_a_turn_of_the_reactor_gets_a_bounded_piece() -> None:
    stage = Stage()
    stage.source.rows = [row(n) for n in range(1000)]
    stage.source.arrays = {f"a{n}": {"name": f"a{n}"} for n in range(5)}
    stage.sampler.want(WHOLE)
    before = stage.reactor.turns
    stage.reactor.run(10 * MS)
    assert len(stage.looks) == 1
    assert stage.reactor.turns - before >= 1000 / ROWS_PER_TURN + 5
    stage.sampler.want(None)
    stage.source.counters = {f"n{n}": Figures() for n in range(2 * LABELS_PER_TURN + 1)}
    before = stage.reactor.turns
    stage.reactor.run(SECOND)
    assert len(stage.seconds[-1].counted) == 2 * LABELS_PER_TURN + 1
    assert stage.reactor.turns - before >= 3


def test_a_daemon_with_many_transactions_is_looked_at_less_often() -> None:
    stage = Stage()
    stage.source.rows = [row(n) for n in range(ROWS_MAX)]
    stage.sampler.want(WHOLE)
    stage.reactor.run(10 * SECOND)
    assert 9 <= len(stage.looks) <= 21


def test_asking_again_and_again_brings_no_more_looks_than_time_allows() -> None:
    stage = Stage()
    for _ in range(500):
        for want in (None, LISTED, WHOLE):
            stage.sampler.want(want)
            stage.reactor.run(MS // 3)
    assert len(stage.looks) <= 12


def test_a_sample_that_fails_is_logged_and_the_next_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.sampler.want(PLAIN)
    broken: Any = {"pool": None}
    stage.source.arrays, whole = broken, stage.source.arrays
    with caplog.at_level(logging.ERROR):
        stage.reactor.run(SECOND)
    assert stage.looks == []
    assert "a sample failed" in caplog.text
    stage.source.arrays = whole
    stage.reactor.run(SECOND)
    assert stage.looks


def test_nothing_is_sampled_after_the_end() -> None:
    stage = Stage()
    stage.sampler.want(WHOLE)
    stage.sampler.end()
    stage.sampler.want(LISTED)
    stage.reactor.run(3 * SECOND)
    assert len(stage.seconds) == 1
    assert stage.looks == []


def test_a_clock_that_is_set_does_not_stop_the_seconds() -> None:
    stage = Stage()
    for jump in (3600 * SECOND, -7200 * SECOND, 400 * MS):
        stage.ahead += jump
        seen = len(stage.seconds)
        stage.reactor.run(3 * SECOND)
        assert 2 <= len(stage.seconds) - seen <= 4
