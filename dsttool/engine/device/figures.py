"""Figures: what was done for somebody, in counters that a sampler reads."""

from dsttool.engine.device.request import Request
from dsttool.engine.transaction.latency import Latencies
from dsttool.engine.vocabulary.operations import READ, WRITE


class Figures:
    """Finished requests since the start: those that succeeded, and how many failed (`errors`).

    latencies: of all that succeeded, flushes and trims too, from `Request.began` on.
    """

    __slots__ = ("errors", "latencies", "read_bytes", "reads", "writes", "written_bytes")

    def __init__(self) -> None:
        self.reads = self.writes = self.read_bytes = self.written_bytes = self.errors = 0
        self.latencies = Latencies()

    def count(self, finished: list[Request], now: int) -> None:
        """Add requests that end now (ns)."""
        reads = writes = read_bytes = written_bytes = errors = 0
        # Those that began together, which most neighbours did, are added together.
        began = together = 0
        for request in finished:
            if request.error:
                errors += 1
                continue
            op = request.op
            if op == READ:
                reads += 1
                read_bytes += request.length
            elif op == WRITE:
                writes += 1
                written_bytes += request.length
            if request.began == began:
                together += 1
            else:
                if together:
                    self.latencies.add(now - began, together)
                began = request.began
                together = 1
        if together:
            self.latencies.add(now - began, together)
        self.reads += reads
        self.writes += writes
        self.read_bytes += read_bytes
        self.written_bytes += written_bytes
        self.errors += errors
