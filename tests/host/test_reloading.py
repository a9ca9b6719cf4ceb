"""When a daemon reads its configuration again: what must not wait for it, and what must not be missed."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dsttool.engine.host.reloading import Comparison, Reloading
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.limits import SECOND


class Slow:
    """A part that takes as long to look up as a name server that does not answer."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.compared = 0

    def look_up(self) -> None:
        assert self.answered.wait(20)

    def read(self) -> None:
        pass

    def compare(self, _found: Any, _comparison: Comparison) -> None:
        self.compared += 1


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor(io_threads=1)
    yield made
    made.close()


def test_what_has_to_be_stored_waits_for_no_name_server(reactor: Reactor) -> None:
    slow, stored = Slow(), []
    reloading = Reloading(reactor, "a", [slow], [])
    reloading.by_signal()
    reactor.run_blocking(lambda: None, lambda _result, _error: stored.append(slow.compared), "state")
    assert reactor.run_until(lambda: bool(stored), 20 * SECOND)
    slow.answered.set()
    assert reactor.run_until(lambda: slow.compared == 1, 20 * SECOND)
    assert stored == [0]


def test_a_signal_while_the_configuration_is_read_has_it_read_once_more(reactor: Reactor) -> None:
    slow = Slow()
    reloading = Reloading(reactor, "a", [slow], [])
    for _ in range(3):
        reloading.by_signal()
    slow.answered.set()
    assert reactor.run_until(lambda: slow.compared == 2, 20 * SECOND)
