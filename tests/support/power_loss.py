"""A disk with a cache: what was acked and not flushed may be lost with its power, or with a failed flush."""

import errno
from collections.abc import Callable

from dsttool.engine.device.request import Request
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.operations import FLUSH, FUA, READ, WRITE
from support.faulty_device import FaultyDevice

Change = tuple[int, bytes]
Survives = Callable[[int], bool]


def nothing(_index: int) -> bool:
    return False


class CachedDisk(FaultyDevice):
    """bytes: what reads bring. stable: what is there after any loss. cached: the changes in between, oldest
    first. A flush makes stable what was in the cache when it is answered.
    """

    def __init__(self, reactor: Reactor, size: int, name: str = "n0", *, prompt: bool = True) -> None:
        super().__init__(reactor, size, name, prompt=prompt, fast_zero=True)
        self.verifier = reactor.random_bytes(16)
        self.stable = bytearray(size)
        self.cached: list[Change] = []
        self.losses = 0

    def lose_power(self, survives: Survives = nothing) -> None:
        """Of what is cached only what `survives` (by its place in the cache) reaches the medium.

        Nobody is told anything but the next verifier. What has no answer yet has not happened, and may
        still: cut the links, or fail it, first.
        """
        for index, (offset, data) in enumerate(self.cached):
            if survives(index):
                self.stable[offset : offset + len(data)] = data
        self.cached = []
        self.bytes[:] = self.stable
        self.losses += 1
        self.verifier = self._reactor.random_bytes(16)
        if self.on_verifier is not None:
            self.on_verifier()

    def fail_next_flush(self) -> None:
        """It loses what is cached, and those that come later know nothing of that."""
        self.fail(errno.EIO, FLUSH, once=True)

    def _fault(self, request: Request) -> int:
        error = super()._fault(request)
        if error and request.op == FLUSH:
            self.lose_power()
        return error

    def _perform(self, request: Request) -> None:
        start, end = request.offset, request.offset + request.length
        if request.op == READ:
            request.data = memoryview(bytes(self.bytes[start:end]))
        elif request.op == FLUSH:
            self.stable[:] = self.bytes
            self.cached = []
            request.data = self.verifier
        else:
            data = bytes(request.data) if request.op == WRITE else bytes(request.length)
            self.bytes[start:end] = data
            self.cached.append((start, data))
            if request.flags & FUA:
                # Through the cache: what it covers of older ones goes with it.
                self.stable[start:end] = data
                self.cached = [_outside(change, start, end) for change in self.cached]


def _outside(change: Change, start: int, end: int) -> Change:
    """A cached change that can no longer revert start..end: what lies there is superseded."""
    offset, data = change
    if offset + len(data) <= start or end <= offset:
        return change
    left = data[: max(0, start - offset)]
    return (offset, left) if left else (max(offset, end), data[max(0, end - offset) :])
