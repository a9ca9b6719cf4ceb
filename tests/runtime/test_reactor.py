"""The loop: events, timers, posts, and output once per turn."""

import os
import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from dsttool.engine.runtime.reactor import READABLE, WRITABLE, Reactor
from dsttool.engine.vocabulary.limits import IO_THREADS, MS, SECOND

PATIENCE = 10 * SECOND


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    yield left, right
    left.close()
    right.close()


Pair = tuple[socket.socket, socket.socket]


def test_timers_run_in_the_order_of_their_times(reactor: Reactor) -> None:
    ran: list[int] = []
    for delay in (5, 1, 3, 2, 4):
        reactor.call_later(delay * MS, lambda delay=delay: ran.append(delay))  # type: ignore[misc]
    assert reactor.run_until(lambda: len(ran) == 5, PATIENCE)
    assert ran == [1, 2, 3, 4, 5]


def test_a_timer_never_runs_early(reactor: Reactor) -> None:
    ran: list[int] = []
    when = time.monotonic_ns() + 3 * MS
    reactor.call_at(when, lambda: ran.append(time.monotonic_ns()))
    assert reactor.run_until(lambda: bool(ran), PATIENCE)
    assert ran[0] >= when


def test_a_cancelled_timer_does_not_run(reactor: Reactor) -> None:
    ran: list[str] = []
    cancelled = reactor.call_later(MS, lambda: ran.append("cancelled"))
    reactor.call_later(2 * MS, lambda: ran.append("kept"))
    cancelled.cancel()
    assert reactor.run_until(lambda: bool(ran), PATIENCE)
    assert ran == ["kept"]


def test_a_timer_may_cancel_one_that_is_due_in_the_same_turn(reactor: Reactor) -> None:
    ran: list[str] = []
    reactor.call_at(reactor.now, lambda: (ran.append("first"), second.cancel()))  # type: ignore[arg-type, func-returns-value]
    second = reactor.call_at(reactor.now + 1, lambda: ran.append("second"))
    assert reactor.run_until(lambda: bool(ran), PATIENCE)
    assert not reactor.run_until(lambda: len(ran) > 1, 5 * MS)


def test_cancelling_a_timer_that_ran_does_nothing(reactor: Reactor) -> None:
    ran: list[int] = []
    timer = reactor.call_later(0, lambda: ran.append(1))
    assert reactor.run_until(lambda: bool(ran), PATIENCE)
    timer.cancel()


def test_a_timer_that_is_always_due_again_does_not_starve_the_others(reactor: Reactor, pair: Pair) -> None:
    """A backoff of nothing must not keep the reactor in one turn for ever."""
    heard: list[int] = []
    left, right = pair
    reactor.register(left.fileno(), lambda _: heard.append(1))
    runs = 0

    def again() -> None:
        nonlocal runs
        runs += 1
        if runs == 2:
            right.send(b"x")
        if not heard and runs < 10_000:
            reactor.call_later(0, again)

    again()
    assert reactor.run_until(lambda: bool(heard), PATIENCE)
    assert runs < 100
    reactor.unregister(left.fileno())


def test_post_wakes_the_reactor_from_another_thread(reactor: Reactor) -> None:
    where: list[threading.Thread] = []
    thread = threading.Thread(target=reactor.post, args=(lambda: where.append(threading.current_thread()),))
    thread.start()
    assert reactor.run_until(lambda: bool(where), PATIENCE)
    thread.join()
    assert where == [threading.current_thread()]


def test_posts_run_in_their_order_and_those_of_a_post_in_a_later_turn(reactor: Reactor) -> None:
    ran: list[str] = []
    reactor.post(lambda: (ran.append("a"), reactor.post(lambda: ran.append("c"))))  # type: ignore[arg-type, func-returns-value]
    reactor.post(lambda: ran.append("b"))
    reactor.turn()
    assert ran == ["a", "b"]
    reactor.turn()
    assert ran == ["a", "b", "c"]


def test_posts_from_many_threads_all_run(reactor: Reactor) -> None:
    ran: list[int] = []

    def work() -> None:
        for number in range(500):
            reactor.post(lambda: ran.append(number))  # noqa: B023

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert reactor.run_until(lambda: len(ran) == 2000, PATIENCE)
    for thread in threads:
        thread.join()


class Output:
    """Counts its flushes."""

    def __init__(self, reactor: Reactor, log: list[str], name: str = "flush") -> None:
        self.reactor, self.log, self.name = reactor, log, name

    def flush(self) -> None:
        self.log.append(self.name)


def test_output_is_flushed_when_the_turn_ends_after_everything_else(reactor: Reactor, pair: Pair) -> None:
    log: list[str] = []
    left, right = pair
    output = Output(reactor, log)

    def heard(_: int) -> None:
        left.recv(100)
        log.append("heard")
        reactor.flush_later(output)

    reactor.register(left.fileno(), heard)
    reactor.call_at(0, lambda: log.append("timer"))
    reactor.post(lambda: log.append("post"))
    right.send(b"x")
    reactor.turn()
    assert log == ["heard", "timer", "post", "flush"]
    reactor.unregister(left.fileno())


def test_output_that_a_flush_brings_leaves_in_the_same_turn(reactor: Reactor) -> None:
    log: list[str] = []

    class Chained(Output):
        def flush(self) -> None:
            super().flush()
            self.reactor.flush_later(Output(self.reactor, log, "second"))

    reactor.flush_later(Chained(reactor, log, "first"))
    reactor.turn()
    assert log == ["first", "second"]


def test_a_handler_may_unregister_another_that_is_ready_in_the_same_turn(reactor: Reactor) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    heard: list[int] = []

    def handler(index: int) -> None:
        heard.append(index)
        for left, _ in pairs:
            reactor.unregister(left.fileno())

    for index, (left, right) in enumerate(pairs):
        reactor.register(left.fileno(), lambda _, index=index: handler(index))  # type: ignore[misc]
        right.send(b"x")
    reactor.turn()
    assert len(heard) == 1
    for left, right in pairs:
        left.close()
        right.close()


def test_readiness_is_told_again_until_it_is_taken(reactor: Reactor, pair: Pair) -> None:
    left, right = pair
    heard: list[int] = []
    reactor.register(left.fileno(), heard.append)
    right.send(b"x")
    reactor.turn()
    reactor.turn()
    assert heard == [READABLE, READABLE]
    reactor.unregister(left.fileno())


def test_events_can_be_changed_and_a_hang_up_is_always_told(reactor: Reactor, pair: Pair) -> None:
    left, right = pair
    heard: list[int] = []
    reactor.register(left.fileno(), heard.append, READABLE)
    right.send(b"x")
    reactor.modify(left.fileno(), WRITABLE)
    reactor.turn()
    assert heard == [WRITABLE]
    reactor.modify(left.fileno(), 0)
    right.close()
    reactor.turn()
    assert heard[1] & select.EPOLLHUP
    reactor.unregister(left.fileno())


def test_run_until_gives_up_in_time(reactor: Reactor) -> None:
    before = time.monotonic_ns()
    assert not reactor.run_until(lambda: False, 20 * MS)
    assert time.monotonic_ns() - before >= 20 * MS


def test_stop_ends_run_from_another_thread(reactor: Reactor) -> None:
    thread = threading.Timer(0.01, reactor.stop)
    thread.start()
    reactor.run()
    thread.join()


def test_a_stop_that_came_before_run_is_heard(reactor: Reactor) -> None:
    reactor.stop()
    reactor.run()


def test_now_stands_still_within_a_turn(reactor: Reactor) -> None:
    seen: list[int] = []
    for _ in range(2):
        reactor.post(lambda: (seen.append(reactor.now), time.sleep(0.002)))  # type: ignore[arg-type, func-returns-value]
    reactor.turn()
    assert seen[0] == seen[1]


def test_closing_releases_every_descriptor() -> None:
    before = set(os.listdir("/proc/self/fd"))
    made = Reactor()
    made.run_blocking(int, lambda *_: None)
    made.close()
    assert set(os.listdir("/proc/self/fd")) == before


def test_host_names_and_state_files_do_not_wait_for_a_device_that_hangs(reactor: Reactor) -> None:
    hung = threading.Event()
    answered: list[str] = []
    for _ in range(IO_THREADS + 1):
        reactor.run_blocking(hung.wait, lambda *_: None)
    try:
        reactor.run_blocking(lambda: "name", lambda result, _: answered.append(result), "names")
        reactor.run_blocking(lambda: "state", lambda result, _: answered.append(result), "state")
        assert reactor.run_until(lambda: len(answered) == 2, 10 * SECOND)
    finally:
        hung.set()
    assert set(answered) == {"name", "state"}
