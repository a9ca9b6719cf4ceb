"""An array over devices that misbehave on demand, and requests whose ends are counted."""

import errno
import threading
from collections.abc import Callable, Sequence
from typing import Any

from dsttool.engine.array.array import Array
from dsttool.engine.array.marks import Record
from dsttool.engine.array.member import Member
from dsttool.engine.device.device import Device
from dsttool.engine.device.request import Request
from dsttool.engine.mapping.algorithm import Algorithm
from dsttool.engine.mapping.mirror import Mirror
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.operations import FLUSH, READ, TRIM, WRITE
from support.faulty_device import FaultyDevice

WAIT = 20 * SECOND
SIZE = 1 << 16


class Ticket:
    """The cookie of a test's request: how often it has ended."""

    def __init__(self) -> None:
        self.ends = 0


def ended(requests: list[Request]) -> None:
    for request in requests:
        request.cookie.ends += 1
        assert request.cookie.ends == 1, f"{request} ended twice"


def ask(op: int, offset: int = 0, length: int = 0, data: Any = None, flags: int = 0) -> Request:
    return Request(op, flags, offset, length, data, Ticket(), ended)


def write(offset: int, data: bytes, flags: int = 0) -> Request:
    return ask(WRITE, offset, len(data), memoryview(data), flags)


def read(offset: int, length: int, flags: int = 0) -> Request:
    return ask(READ, offset, length, None, flags)


def trim(offset: int, length: int, flags: int = 0) -> Request:
    return ask(TRIM, offset, length, flags=flags)


def flush() -> Request:
    return ask(FLUSH)


def content(request: Request) -> bytes:
    """What a read brought."""
    assert request.error == 0, f"{request} failed"
    return b"".join(request.data) if type(request.data) is list else bytes(request.data)


def over(reactor: Reactor, algorithm: Algorithm, nodes: Sequence[Device | None], **options: Any) -> Array:
    """An array of these nodes, all in sync; a store that remembers nothing unless one is given."""
    options.setdefault("store", lambda _record: None)
    states = options.pop("states", ["in_sync"] * len(nodes))
    members = [
        Member(slot, f"n{slot}", f"mem{slot}", node, state)
        for slot, (node, state) in enumerate(zip(nodes, states))
    ]
    return Array(reactor, options.pop("name", "a"), algorithm, members, **options)


class ArrayBench:
    """A reactor, misbehaving nodes and an array over them. As a context it closes all of it."""

    def __init__(
        self,
        layout: Callable[[list[int]], Algorithm] = Mirror,
        count: int = 2,
        *,
        size: int = SIZE,
        prompt: bool = True,
        budget: int = 0,
        **options: Any,
    ) -> None:
        self.reactor = Reactor(io_threads=2)
        self.nodes = [
            FaultyDevice(self.reactor, size, f"n{slot}", prompt=prompt, fast_zero=True)
            for slot in range(count)
        ]
        for node in self.nodes:
            node.budget_ns = budget
        self.array = over(self.reactor, layout([size] * count), self.nodes, **options)
        self.asked: list[Request] = []

    def __enter__(self) -> "ArrayBench":
        return self

    def __exit__(self, *error: object) -> None:
        if not any(node.closed for node in self.nodes):
            self.close()
        self.reactor.close()
        if error == (None, None, None):
            unfinished = [request for request in self.asked if request.cookie.ends != 1]
            assert not unfinished, f"never ended: {unfinished}"

    def close(self) -> None:
        closed: list[bool] = []
        self.array.close(lambda: closed.append(True))
        assert self.reactor.run_until(lambda: bool(closed), WAIT)

    def submit(self, *requests: Request) -> None:
        """As one batch."""
        self.asked += requests
        self.array.submit(list(requests))

    def until(self, condition: Callable[[], bool]) -> None:
        assert self.reactor.run_until(condition, WAIT), "it did not happen"

    def run(self, *requests: Request) -> list[int]:
        """Submit as one batch and wait for all; their errors."""
        self.submit(*requests)
        self.until(lambda: all(request.cookie.ends for request in requests))
        return [request.error for request in requests]

    def settle(self) -> None:
        """Let everything happen that needs no word from outside."""
        for _ in range(3):
            turned: list[bool] = []
            self.reactor.post(lambda turned=turned: turned.append(True))  # type: ignore[misc]
            self.until(lambda turned=turned: bool(turned))  # type: ignore[misc]

    def pass_time(self, duration: int) -> None:
        """Turn for so many ns."""
        passed: list[bool] = []
        self.reactor.call_later(duration, lambda: passed.append(True))
        self.until(lambda: bool(passed))

    def states(self) -> list[str]:
        return [member.state for member in self.array.members]


def is_done(*requests: Request) -> bool:
    return all(request.cookie.ends for request in requests)


class Store:
    """Where an array keeps its members' states: it can be slow, and it can fail."""

    def __init__(self, *, blocked: bool = False, failures: int = 0) -> None:
        self.stored: list[tuple[list[str], int]] = []
        self.records: list[Record] = []
        self.attempts = 0
        self.begun = threading.Semaphore(0)
        self._failures = failures
        self._open = threading.Event()
        if not blocked:
            self._open.set()

    def __call__(self, record: Record) -> None:
        self.attempts += 1
        self.begun.release()
        assert self._open.wait(20), "the test never let the record be stored"
        if self._failures:
            self._failures -= 1
            raise OSError(errno.ENOSPC, "no space left")
        self.records.append(record)
        self.stored.append((record.states, record.generation))

    def await_attempt(self) -> None:
        assert self.begun.acquire(timeout=20), "nothing is being stored"

    def let(self) -> None:
        self._open.set()
