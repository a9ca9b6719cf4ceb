"""The end of devices: nothing that failed is passed over in silence."""

import errno
from collections.abc import Callable, Iterator

import pytest

from dsttool.engine.device.request import Request
from dsttool.engine.host import ending
from dsttool.engine.node.memory import MemoryDevice
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.errors import Fenced


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    yield made
    made.close()


class Faulty(MemoryDevice):
    """Fails its flush, or never answers it; never closes."""

    answers = True

    def submit(self, batch: list[Request]) -> None:
        for request in batch:
            request.error = errno.EIO
            if self.answers:
                request.sink([request])

    def close(self, done: Callable[[], None]) -> None:
        pass


def test_a_failed_flush_is_named(reactor: Reactor) -> None:
    devices = [MemoryDevice(reactor, 4096, "good"), Faulty(reactor, 4096, "bad")]
    assert ending.flush_all(reactor, devices) == ["flush of bad: Input/output error"]


def test_a_device_that_has_ended_is_named_and_not_waited_for(reactor: Reactor) -> None:
    ended = Faulty(reactor, 4096, "ended")
    ended.answers = False
    ended.failure = Fenced("It has another writer.")
    assert ending.flush_all(reactor, [ended]) == ["no flush of ended: It has another writer."]


def test_a_flush_without_an_answer_is_named(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "FLUSH_NS", 1_000_000)
    silent = Faulty(reactor, 4096, "silent")
    silent.answers = False
    assert ending.flush_all(reactor, [silent]) == ["flush of silent: no answer in time"]


def test_devices_that_close_are_told_from_one_that_does_not(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "CLOSE_NS", 1_000_000)
    assert ending.close_all(reactor, [MemoryDevice(reactor, 4096), MemoryDevice(reactor, 4096)])
    assert not ending.close_all(reactor, [MemoryDevice(reactor, 4096), Faulty(reactor, 4096)])
