"""Measure a device: a queue of requests that is kept full for a while."""

import os
import random
import time
from array import array
from dataclasses import dataclass
from typing import Final

from dsttool.engine.device.device import Device
from dsttool.engine.device.request import Request
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, UsageError
from dsttool.engine.vocabulary.operations import READ, WRITE

DEPTH_MAX: Final = limits.CLIENT_REQUESTS_MAX
# A server that has stopped answering ends the measurement with an error after this time.
_HANG_NS: Final = 60 * limits.SECOND


@dataclass(frozen=True, slots=True)
class Workload:
    """What to do. pattern: randread, randwrite, read or write; block, depth: bytes of a request, requests
    at once; seconds: for how long.
    """

    pattern: str
    block: int
    depth: int
    seconds: float

    @property
    def writes(self) -> bool:
        """Whether this overwrites what is there."""
        return self.pattern in ("randwrite", "write")

    def check(self, device: Device) -> None:
        """UsageError or Conflict if the device cannot take this."""
        can = device.capabilities
        if not 1 <= self.depth <= DEPTH_MAX:
            raise UsageError(f"A depth of {self.depth} is out of range.", f"Choose 1 to {DEPTH_MAX}.")
        if not 0 < self.block <= min(can.payload_max, can.size) or self.block % can.block_min:
            raise UsageError(
                f"{device.name} takes no requests of {self.block} bytes.",
                f"Choose a multiple of {can.block_min}, at most {min(can.payload_max, can.size)}.",
            )
        if self.writes and can.read_only:
            raise Conflict(f"{device.name} is read-only.", "Measure reads, or another device.")


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured. Latencies in ns, from the submission of a request to its answer."""

    requests: int
    bytes: int
    elapsed_ns: int
    mean_ns: int
    p50_ns: int
    p99_ns: int
    max_ns: int

    @property
    def iops(self) -> float:
        """Requests a second."""
        return self.requests * 1e9 / self.elapsed_ns

    @property
    def bytes_per_second(self) -> float:
        """Payload a second."""
        return self.bytes * 1e9 / self.elapsed_ns


class Bench:
    """One measurement of one device. Requests carry the time they were submitted as their cookie."""

    def __init__(self, reactor: Reactor, device: Device, workload: Workload) -> None:
        workload.check(device)
        self._reactor = reactor
        self._device = device
        self._load = workload
        self._op = WRITE if workload.writes else READ
        self._blocks = device.capabilities.size // workload.block
        self._sequential = workload.pattern in ("read", "write")
        self._position = -1
        self._payload = memoryview(os.urandom(workload.block)) if workload.writes else None
        self._latencies = array("Q")
        self._in_flight = 0
        self._due = 0
        self._submitting = False
        self._ends = 0
        self._error = 0

    def run(self) -> Figures:
        """Keep the queue full for the time given, then let it run empty."""
        began = time.monotonic_ns()
        self._ends = began + int(self._load.seconds * 1e9)
        self._due = self._load.depth
        self._submit()
        allowed = int(self._load.seconds * 1e9) + _HANG_NS
        if not self._reactor.run_until(lambda: self._in_flight == 0, allowed):
            raise DsttoolError(f"{self._device.name} stopped answering.", "Look at the state of its server.")
        elapsed = time.monotonic_ns() - began
        if self._error:
            raise DsttoolError(
                f"{self._device.name} answered with an error: {os.strerror(self._error)}.",
                "Look at the log of its server.",
            )
        return figures(self._latencies, self._load.block, elapsed)

    def _submit(self) -> None:
        """Submit what is due; a loop, because a device may answer before `submit` returns."""
        op, block, payload, sink = self._op, self._load.block, self._payload, self._answered
        self._submitting = True
        while self._due:
            count, self._due = self._due, 0
            now = time.monotonic_ns()
            batch = [Request(op, 0, self._place(), block, payload, now, sink) for _ in range(count)]
            self._in_flight += count
            self._device.submit(batch)
        self._submitting = False

    def _place(self) -> int:
        """Where the next request goes, in bytes."""
        if not self._sequential:
            return int(random.random() * self._blocks) * self._load.block
        self._position += 1
        return self._position % self._blocks * self._load.block

    def _answered(self, requests: list[Request]) -> None:
        now = time.monotonic_ns()
        self._in_flight -= len(requests)
        note = self._latencies.append
        for request in requests:
            self._error = self._error or request.error
            note(now - request.cookie)
        if now < self._ends and not self._error:
            self._due += len(requests)
            if not self._submitting:
                self._submit()


def figures(latencies: "array[int]", block: int, elapsed_ns: int) -> Figures:
    """Sum up the latencies of all requests, which were of `block` bytes."""
    ordered = sorted(latencies)
    count = len(ordered)
    if not count:
        return Figures(0, 0, elapsed_ns, 0, 0, 0, 0)
    return Figures(
        requests=count,
        bytes=count * block,
        elapsed_ns=elapsed_ns,
        mean_ns=sum(ordered) // count,
        p50_ns=ordered[count // 2],
        p99_ns=ordered[min(count - 1, count * 99 // 100)],
        max_ns=ordered[-1],
    )
