"""Figures: what was done for somebody, in counters that a sampler reads."""

from dsttool.engine.transaction.latency import Latencies, bucket_of


class Figures:
    """Finished requests since the start: those that succeeded, and how many failed (`errors`).

    latencies: of all that succeeded, flushes and trims too, from `Request.began` on.

    A sink counts in the loop that it has anyway, and adds a batch at once. In that loop it calls `took` where
    a request does not have the very `began` of the one before: those that came together share it.
    """

    __slots__ = ("errors", "latencies", "read_bytes", "reads", "writes", "written_bytes")

    def __init__(self) -> None:
        self.reads = self.writes = self.read_bytes = self.written_bytes = self.errors = 0
        self.latencies = Latencies()

    def took(self, ns: int, done: int, told: int) -> int:
        """Of a batch `done` requests have succeeded so far, all but the first `told` in this time.

        Returns what is told now.
        """
        self.latencies.counts[bucket_of(ns)] += done - told
        return done

    def add(
        self,
        ns: int,
        told: int,
        reads: int,
        writes: int,
        others: int,
        read_bytes: int,
        written_bytes: int,
        errors: int,
    ) -> None:
        """Add what a batch was. All that succeeded but the first `told` took this time."""
        self.latencies.counts[bucket_of(ns)] += reads + writes + others - told
        if reads:
            self.reads += reads
            self.read_bytes += read_bytes
        if writes:
            self.writes += writes
            self.written_bytes += written_bytes
        if errors:
            self.errors += errors
