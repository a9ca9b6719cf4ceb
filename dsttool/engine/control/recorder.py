"""What has become of counters: Rates of each second, and their History.

Of the control thread. Two samples of counters make the Rates of the time between them; the first one of a
label makes none.
"""

from typing import Final

from dsttool.engine.control.rings import History
from dsttool.engine.control.sampler import Counted, Second
from dsttool.engine.transaction.latency import Latencies, Quantiles
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.stream import Rates

# Labels whose past is kept: an array with two dozen members and more. A busy day of one is 600 KiB.
HISTORIES_MAX: Final = 32

_NONE: Final = Quantiles(0, None, None)


class Recorder:
    """Rates by label of the last second that was sampled, which ended at `end_ns`; `histories` by label."""

    def __init__(self) -> None:
        self.rates: dict[str, Rates] = {}
        self.end_ns = 0
        self.histories: dict[str, History] = {}
        self._before: dict[str, Counted] = {}

    def add(self, second: Second) -> None:
        """Take the counters at the end of another second."""
        before, self._before = self._before, second.counted
        if not second.span_ns:
            return
        self.rates = {
            label: rates_between(before[label], counted, second.span_ns)
            for label, counted in second.counted.items()
            if label in before
        }
        self.end_ns = second.end_ns
        for label in self.histories.keys() - second.counted.keys():
            del self.histories[label]
        for label, rates in self.rates.items():
            history = self.histories.get(label)
            if history is None:
                if len(self.histories) >= HISTORIES_MAX:
                    continue
                history = self.histories[label] = History()
            history.add(second.end_ns, rates)


def rates_between(before: Counted, after: Counted, span_ns: int) -> Rates:
    """What was done in `span_ns` (more than 0), a second."""

    def rate(was: int, now: int) -> int:
        # A counter that has shrunk is a new one; half a request a second is one.
        return (max(0, now - was) * SECOND + span_ns // 2) // span_ns

    took = _latencies(before.latencies, after.latencies)
    return {
        "reads": rate(before.reads, after.reads),
        "writes": rate(before.writes, after.writes),
        "read_bytes": rate(before.read_bytes, after.read_bytes),
        "written_bytes": rate(before.written_bytes, after.written_bytes),
        "errors": rate(before.errors, after.errors),
        "in_flight": after.in_flight,
        "p50_ns": took.p50_ns,
        "p99_ns": took.p99_ns,
    }


def _latencies(before: list[int], after: list[int]) -> Quantiles:
    if before == after:
        return _NONE
    was, now = Latencies(), Latencies()
    was.counts, now.counts = before, after
    return now.since(was)
