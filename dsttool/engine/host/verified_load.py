"""A load that knows what it wrote: every read is compared with the last write to those bytes.

One request at a time per block, so that there is exactly one right answer to each read.
"""

import random
import struct
from dataclasses import dataclass
from typing import Final

from dsttool.engine.device.device import Device
from dsttool.engine.device.request import Request
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.operations import FLUSH, READ, WRITE

BLOCK: Final = 64 * limits.KIB
DEPTH: Final = 8
# Of ten requests so many are writes; the rest reads.
_WRITES_OF_TEN: Final = 6
_STAMP: Final = struct.Struct("<QQ")


@dataclass(slots=True)
class Tally:
    """What happened so far. longest_ns: the longest that a request took."""

    writes: int = 0
    reads: int = 0
    errors: int = 0
    mismatches: int = 0
    longest_ns: int = 0

    @property
    def requests(self) -> int:
        """All that ended."""
        return self.writes + self.reads + self.errors


class VerifiedLoad:
    """Random writes and verified reads on the first `blocks` blocks of a device."""

    def __init__(self, reactor: Reactor, device: Device, blocks: int, seed: int = 1) -> None:
        self.tally = Tally()
        self._reactor = reactor
        self._device = device
        self._random = random.Random(seed)
        self._versions = [0] * blocks
        self._idle = set(range(blocks))
        self._in_flight = 0
        self._running = False

    @property
    def in_flight(self) -> int:
        """Requests that wait for their answer."""
        return self._in_flight

    def start(self) -> None:
        """Keep DEPTH requests under way from now on."""
        self._running = True
        self._submit(DEPTH)

    def stop(self, timeout: int) -> bool:
        """Let it run empty and flush; False if that takes longer than `timeout` ns."""
        self._running = False
        if not self._reactor.run_until(lambda: not self._in_flight, timeout):
            return False
        self._in_flight += 1
        self._device.submit([Request(FLUSH, 0, 0, 0, None, (-1, self._reactor.now), self._done)])
        return self._reactor.run_until(lambda: not self._in_flight, timeout)

    def check_all(self, timeout: int) -> bool:
        """Read every block and compare; False if that takes longer than `timeout` ns."""
        for block in range(len(self._versions)):
            self._in_flight += 1
            self._device.submit([self._read(block)])
        return self._reactor.run_until(lambda: not self._in_flight, timeout)

    def expected(self) -> bytes:
        """What the device must hold in these blocks."""
        return b"".join(content(block, version) for block, version in enumerate(self._versions))

    def _submit(self, count: int) -> None:
        batch = []
        for _ in range(count):
            block = self._random.choice(tuple(self._idle))
            self._idle.discard(block)
            if self._random.random() * 10 < _WRITES_OF_TEN:
                batch.append(self._write(block))
            else:
                batch.append(self._read(block))
        self._in_flight += count
        self._device.submit(batch)

    def _write(self, block: int) -> Request:
        version = self._versions[block] + 1
        data = memoryview(content(block, version))
        return Request(WRITE, 0, block * BLOCK, BLOCK, data, (block, self._reactor.now), self._done)

    def _read(self, block: int) -> Request:
        return Request(READ, 0, block * BLOCK, BLOCK, None, (block, self._reactor.now), self._done)

    def _done(self, requests: list[Request]) -> None:
        tally = self.tally
        self._in_flight -= len(requests)
        for request in requests:
            block, began = request.cookie
            tally.longest_ns = max(tally.longest_ns, self._reactor.now - began)
            if request.error:
                tally.errors += 1
            elif request.op == WRITE:
                tally.writes += 1
                self._versions[block] += 1
            elif request.op == READ:
                tally.reads += 1
                data = b"".join(request.data) if isinstance(request.data, list) else bytes(request.data)
                tally.mismatches += data != content(block, self._versions[block])
            if block >= 0:
                self._idle.add(block)
        if self._running:
            # In a turn of its own: a device that answers at once would nest without end.
            self._reactor.post(lambda: self._submit(len(requests)) if self._running else None)


def content(block: int, version: int) -> bytes:
    """What a block holds after its `version`-th write; zeroes before the first."""
    return _STAMP.pack(block, version) * (BLOCK // _STAMP.size) if version else bytes(BLOCK)
