"""A device in memory that answers when told, fails as told, whose link goes down and comes up, and which
loses with its power whatever was not flushed.

It takes effect when it answers, so the order of answers is the order in which things happen to it; and
it insists on what a Device may rely on: no request leaves it, none comes once it is closed.
"""

import errno
from collections.abc import Callable

from dsttool.engine.device.device import Capabilities, Device
from dsttool.engine.device.request import Request, deliver
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.operations import (
    FAIL_FAST,
    FAST_ZERO,
    FLUSH,
    FUA,
    READ,
    TRIM,
    WRITE,
    WRITE_ZEROES,
)

CHANGES = (WRITE, TRIM, WRITE_ZEROES)
Matches = Callable[[Request], bool]


class FaultyDevice(Device):
    """prompt: answers within `submit`. got: all requests, in the order they came, as (op, offset, length).
    trims: whether a trim does anything.

    waiting: those without an answer. Reads marked FAIL_FAST get ENOLINK while it is down, from `post`,
    as a remote node does it; everything else waits for `come_up` or `end_budget`.
    """

    def __init__(
        self, reactor: Reactor, size: int, name: str = "n0", *, prompt: bool = True, **capabilities: object
    ) -> None:
        self._reactor = reactor
        self.name = name
        self.identity = name.encode().ljust(16, b"\0")
        self.capabilities = Capabilities(size=size, **capabilities)  # type: ignore[arg-type]
        self.bytes = bytearray(size)
        self.stable = bytearray(size)
        self.verifier = reactor.random_bytes(16)
        self.prompt = prompt
        self.trims = True
        self.got: list[tuple[int, int, int]] = []
        self.flags: list[int] = []
        self.waiting: list[Request] = []
        self.abandoned = 0
        self.closed = False
        self._faults: list[tuple[Matches, int, bool]] = []

    # -- Device ----------------------------------------------------------------------------------------

    def submit(self, batch: list[Request]) -> None:
        assert not self.closed, "a request came after close"
        for request in batch:
            self._check(request)
            self.got.append((request.op, request.offset, request.length))
            self.flags.append(request.flags)
            self.waiting.append(request)
        if not self.up:
            self._reactor.post(self._fail_fast)
        elif self.prompt:
            self.answer(*batch)

    def abandon(self) -> None:
        self.abandoned += 1
        self._fail(self.waiting, errno.EIO)

    def close(self, done: Callable[[], None]) -> None:
        self.closed = True
        self._fail(self.waiting, errno.ESHUTDOWN)
        done()

    # -- what a test tells it --------------------------------------------------------------------------

    def fail(self, error: int, matches: Matches | int = lambda _: True, *, once: bool = False) -> None:
        """Answer with this error what matches, or every request of this operation."""
        if isinstance(matches, int):
            op = matches
            matches = lambda request: request.op == op  # noqa: E731
        self._faults.append((matches, error, once))

    def refuse_fast_zeroes(self) -> None:
        """Answer ENOTSUP to zeroes that are only to be written if that is fast."""
        self.fail(errno.ENOTSUP, lambda request: bool(request.flags & FAST_ZERO))

    def heal(self) -> None:
        self._faults.clear()

    def answer(self, *requests: Request) -> None:
        """Answer these, in this order; all that wait if none is named. Nobody if it is down."""
        chosen = [request for request in requests or tuple(self.waiting) if request in self.waiting]
        if not self.up or not chosen:
            return
        for request in chosen:
            self.waiting.remove(request)
            request.error = self._fault(request)
            if not request.error:
                self._perform(request)
        deliver(chosen)

    def answer_only(self, op: int) -> None:
        self.answer(*[request for request in self.waiting if request.op == op])

    def go_down(self) -> None:
        self.up = False
        self._fail_fast()

    def come_up(self) -> None:
        self.up = True
        if self.prompt:
            self.answer()
        if self.on_up is not None:
            self.on_up()

    def end_budget(self) -> None:
        """Whatever still waits for the link has waited long enough."""
        self._fail(self.waiting, errno.EIO)

    def lose_power(self) -> None:
        """What was not flushed is gone; what has no answer yet is done after that."""
        self.bytes[:] = self.stable
        self.verifier = self._reactor.random_bytes(16)
        if self.on_verifier is not None:
            self.on_verifier()

    def lose_patience(self) -> None:
        """The link is up, but reads that another member could answer have waited too long."""
        self._fail_fast()

    # -- inside ----------------------------------------------------------------------------------------

    def _check(self, request: Request) -> None:
        assert request.offset >= 0
        assert request.offset + request.length <= len(self.bytes), "it leaves the device"
        assert not (request.offset | request.length) % self.capabilities.block_min, "not aligned"
        assert request not in self.waiting, "it is under way already"
        assert request.error == 0, "it has an error before it began"
        if request.op == WRITE:
            assert len(request.data) == request.length, "the payload is not as long as the request"
        if request.op in CHANGES:
            for other in self.waiting:
                if other.op in CHANGES:
                    apart = other.offset + other.length <= request.offset
                    apart = apart or request.offset + request.length <= other.offset
                    assert apart, "overlapping changes are under way together"

    def _fault(self, request: Request) -> int:
        for fault in self._faults:
            matches, error, once = fault
            if matches(request):
                if once:
                    self._faults.remove(fault)
                return error
        return 0

    def _perform(self, request: Request) -> None:
        start, end = request.offset, request.offset + request.length
        if request.op == READ:
            request.data = memoryview(bytes(self.bytes[start:end]))
        elif request.op == FLUSH:
            self.stable[:] = self.bytes
            request.data = self.verifier
        elif request.op in CHANGES and (request.op != TRIM or self.trims):
            self.bytes[start:end] = request.data if request.op == WRITE else bytes(request.length)
            if request.flags & FUA:
                self.stable[start:end] = self.bytes[start:end]

    def _fail(self, requests: list[Request], error: int) -> None:
        chosen = list(requests)
        for request in chosen:
            self.waiting.remove(request)
            request.error = error
        if chosen:
            deliver(chosen)

    def _fail_fast(self) -> None:
        impatient = [r for r in self.waiting if r.op == READ and r.flags & FAIL_FAST]
        self._fail(impatient, errno.ENOLINK)
