"""Threads for what blocks: results, errors, and how many threads there are."""

import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dsttool.engine.runtime.iopool import IOPool
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.limits import SECOND


class Pool:
    """An IOPool whose wake-ups are counted; `wait` collects until so many calls are done."""

    def __init__(self, size: int = 4) -> None:
        self.woken = threading.Semaphore(0)
        self.pool = IOPool(size, self.woken.release)
        self.results: list[tuple[Any, BaseException | None]] = []

    def submit(self, call: Callable[[], Any]) -> None:
        self.pool.submit(call, lambda result, error: self.results.append((result, error)))

    def wait(self, count: int) -> None:
        while len(self.results) < count:
            assert self.woken.acquire(timeout=10)
            self.pool.collect()


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool()
    yield made
    made.pool.close()


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    yield made
    made.close()


def test_a_result_comes_back(pool: Pool) -> None:
    pool.submit(lambda: 42)
    pool.wait(1)
    assert pool.results == [(42, None)]
    assert pool.pool.pending == 0


def test_an_exception_comes_back_as_it_was_raised(pool: Pool) -> None:
    failure = OSError(5, "no")

    def fail() -> None:
        raise failure

    pool.submit(fail)
    pool.wait(1)
    assert pool.results == [(None, failure)]


def test_done_runs_where_collect_is_called_and_not_in_the_thread(pool: Pool) -> None:
    where: list[threading.Thread] = []
    pool.pool.submit(
        threading.current_thread, lambda result, _: where.extend([result, threading.current_thread()])
    )
    assert pool.woken.acquire(timeout=10)
    assert where == []
    pool.pool.collect()
    assert where[0] is not threading.current_thread()
    assert where[1] is threading.current_thread()


def test_there_are_no_more_threads_than_the_size_and_none_before_they_are_needed(pool: Pool) -> None:
    before = threading.active_count()
    gate = threading.Event()
    for _ in range(10):
        pool.submit(gate.wait)
    assert threading.active_count() == before + 4
    gate.set()
    pool.wait(10)


def test_one_after_the_other_needs_one_thread(pool: Pool) -> None:
    before = threading.active_count()
    for count in range(1, 5):
        pool.submit(int)
        pool.wait(count)
    assert threading.active_count() == before + 1


class Payload:
    """Something that can be watched dying."""


def test_a_sleeping_thread_pins_nothing_of_its_last_task(pool: Pool) -> None:
    payload = Payload()
    watched = weakref.ref(payload)
    pool.submit(lambda kept=payload: None)  # type: ignore[misc]
    del payload
    pool.wait(1)
    pool.results.clear()
    gc.collect()
    assert watched() is None


def test_closing_waits_for_what_runs() -> None:
    made = Pool()
    gate, finished = threading.Event(), threading.Event()

    def work() -> None:
        gate.wait()
        finished.set()

    made.submit(work)
    threading.Timer(0.02, gate.set).start()
    made.pool.close()
    assert finished.is_set()


def test_the_reactor_gets_result_and_error_on_its_own_thread(reactor: Reactor) -> None:
    seen: list[tuple[Any, BaseException | None, threading.Thread]] = []

    def done(result: Any, error: BaseException | None) -> None:
        seen.append((result, error, threading.current_thread()))

    reactor.run_blocking(lambda: os.stat("/").st_ino, done)
    reactor.run_blocking(lambda: os.stat("/no/such"), done)
    assert reactor.run_until(lambda: len(seen) == 2, 10 * SECOND)
    seen.sort(key=lambda item: item[1] is not None)
    assert seen[0][:2] == (os.stat("/").st_ino, None)
    assert isinstance(seen[1][1], FileNotFoundError)
    assert {item[2] for item in seen} == {threading.current_thread()}


def test_what_is_done_when_the_reactor_closes_may_still_ask_for_more() -> None:
    """A device that starts the next flush when one is done must not bring threads back to life."""
    reactor = Reactor()
    gate = threading.Event()
    reactor.run_blocking(gate.wait, lambda *_: reactor.run_blocking(int, lambda *_: None))
    threading.Timer(0.02, gate.set).start()
    reactor.close()


def test_a_pool_may_grow_shrink_and_stand_still_and_does_all_it_was_given(pool: Pool) -> None:
    total = 0
    for size in (1, 4, 0, 2, 0, 3):
        pool.pool.resize(size)
        if size:
            for _ in range(20):
                pool.submit(lambda: 1)
            total += 20
    pool.pool.resize(0)
    pool.wait(total)
    assert len(pool.results) == total
    assert pool.pool.pending == 0


def test_a_pool_has_no_more_threads_than_it_was_resized_to(pool: Pool) -> None:
    pool.pool.resize(1)
    running = 0
    most = 0

    def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        threading.Event().wait(0.001)
        running -= 1

    for _ in range(10):
        pool.submit(work)
    pool.wait(10)
    assert most == 1
