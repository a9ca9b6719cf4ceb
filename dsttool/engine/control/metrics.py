"""What Prometheus reads of a daemon: names, helps and labels. What they are made of is a Reading.

Figures that only grow are counters, and begin anew with the daemon. A state is a gauge for each of its words,
1 for the one that holds. Seconds and bytes, as Prometheus wants them; what is unknown is left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from dsttool.engine.transaction.latency import BUCKETS, bucket_end
from dsttool.engine.vocabulary.status import DaemonStatus

ARRAY_STATES: Final = ("online", "degraded", "frozen", "failed")
MEMBER_STATES: Final = ("in_sync", "stale", "resyncing", "suspended", "missing", "faulty")
EXPORT_STATES: Final = ("serving", "read_only", "waiting", "failed")
# Of the buckets that are kept only each that ends at a power of two from 16 us to 34 s: whoever asks keeps
# what he is told for months.
_ENDS: Final = tuple(1 << power for power in range(14, 36))


@dataclass(slots=True)
class Reading:
    """What was true at one moment. transactions: how many are in each state. latencies: by label, NAME or
    NAME/MEMBER; see Latencies.counts. Nothing of it is changed any more.
    """

    daemon: DaemonStatus
    arrays: list[Any] = field(default_factory=list)
    exports: list[Any] = field(default_factory=list)
    transactions: Mapping[str, int] = field(default_factory=dict)
    latencies: dict[str, list[int]] = field(default_factory=dict)


_DONE: Final = (
    ("reads", "reads", "Reads that succeeded."),
    ("writes", "writes", "Writes that succeeded."),
    ("read_bytes", "read_bytes", "Bytes that were read."),
    ("written_bytes", "written_bytes", "Bytes that were written."),
    ("errors", "errors", "Requests that failed."),
)
_MEMBER_COUNTS: Final = (
    *_DONE,
    ("resends", "resends", "Requests that were sent again on another connection."),
    ("losses", "link_losses", "Established links that were lost."),
)


def families(reading: Reading) -> Iterator[Metric]:
    """Everything, as prometheus_client's metric families."""
    yield from _daemon(reading)
    yield from _served("array", reading.arrays, ARRAY_STATES)
    yield from _members(reading.arrays)
    yield from _links(reading.arrays)
    yield from _jobs(reading.arrays)
    yield from _served("export", reading.exports, EXPORT_STATES)
    yield _sessions([*reading.arrays, *reading.exports])
    yield _latencies(reading.latencies)


def _daemon(reading: Reading) -> Iterator[Metric]:
    daemon = reading.daemon
    info = GaugeMetricFamily(
        "dsttool_build_info",
        "1; the labels say which daemon of which release this is.",
        labels=["daemon", "kind", "version"],
    )
    info.add_metric([daemon["name"], daemon["kind"] or "", daemon["version"] or ""], 1)
    yield info
    age = GaugeMetricFamily("dsttool_daemon_age_seconds", "How long the daemon has run.")
    age.add_metric([], (daemon["since_ns"] or 0) / 1e9)
    yield age
    refusals = CounterMetricFamily(
        "dsttool_refusals", "Clients that were refused, by reason.", labels=["reason"]
    )
    for reason, count in sorted(daemon["refusals"].items()):
        refusals.add_metric([reason], count)
    yield refusals
    transactions = GaugeMetricFamily(
        "dsttool_transactions", "Requests under way to other machines, by state.", labels=["state"]
    )
    for state, count in sorted(reading.transactions.items()):
        transactions.add_metric([state], count)
    yield transactions


def _served(kind: str, served: Sequence[Any], states: Sequence[str]) -> Iterator[Metric]:
    """Of arrays or exports."""
    yield _states(kind, [kind], [([each["name"]], each["state"]) for each in served], states)
    gauges = (("size_bytes", "Its size in bytes."), ("in_flight", "Requests that have no answer yet."))
    for key, says in gauges:
        yield _gauge(f"dsttool_{kind}_{key}", says, [kind], [([each["name"]], each[key]) for each in served])
    for key, name, says in _DONE:
        rows = [([each["name"]], each[key]) for each in served]
        yield _counter(f"dsttool_{kind}_{name}", says, [kind], rows)


def _members(arrays: Sequence[Any]) -> Iterator[Metric]:
    of = ["array", "member"]
    members = [([array["name"], member["name"]], member) for array in arrays for member in array["members"]]
    yield _states("member", of, [(who, each["state"]) for who, each in members], MEMBER_STATES)
    yield _gauge(
        "dsttool_member_in_flight",
        "Requests that have no answer yet.",
        of,
        [(who, each["in_flight"]) for who, each in members],
    )
    yield _gauge(
        "dsttool_member_dirty_bytes",
        "Bytes that it misses, and that a resync has to copy.",
        of,
        [(who, each["dirty_bytes"]) for who, each in members],
    )
    for key, name, says in _MEMBER_COUNTS:
        rows = [(who, each[key]) for who, each in members]
        yield _counter(f"dsttool_member_{name}", says, of, rows)


def _links(arrays: Sequence[Any]) -> Iterator[Metric]:
    of = ["array", "member", "link"]
    links = [
        ([array["name"], member["name"], str(index)], link)
        for array in arrays
        for member in array["members"]
        for index, link in enumerate(member.get("links") or [member["link"]])
        if link is not None
    ]
    yield _gauge(
        "dsttool_link_up",
        "1 while the link is up.",
        of,
        [(who, int(link["state"] == "up")) for who, link in links],
    )
    yield _gauge(
        "dsttool_link_round_trip_seconds",
        "The last round trip that was measured.",
        of,
        [(who, None if link["rtt_ns"] is None else link["rtt_ns"] / 1e9) for who, link in links],
    )
    yield _counter(
        "dsttool_link_connects",
        "How often the link was established.",
        of,
        [(who, link["connects"]) for who, link in links],
    )
    yield _counter(
        "dsttool_link_bad_records",
        "Records that did not open or had a wrong checksum.",
        of,
        [(who, link["bad_records"]) for who, link in links],
    )


def _jobs(arrays: Sequence[Any]) -> Iterator[Metric]:
    of = ["array", "member", "job", "state"]
    jobs = [
        ([array["name"], job.get("member") or "", job["kind"], job["state"]], job)
        for array in arrays
        for job in array["jobs"]
    ]
    for key, name, says in (
        ("done_bytes", "done_bytes", "What a resync has copied."),
        ("total_bytes", "total_bytes", "What a resync has to copy in all."),
        ("rate_bytes", "bytes_per_second", "How fast a resync copies."),
    ):
        yield _gauge(f"dsttool_job_{name}", says, of, [(who, job[key]) for who, job in jobs])


def _sessions(served: Sequence[Any]) -> Metric:
    counts: dict[tuple[str, str, str], int] = {}
    for each in served:
        for session in each["sessions"]:
            who = (each["name"], session["protocol"], session["access"])
            counts[who] = counts.get(who, 0) + 1
    rows: list[tuple[list[str], float | None]] = [(list(who), count) for who, count in sorted(counts.items())]
    return _gauge("dsttool_sessions", "Clients that are connected.", ["name", "protocol", "access"], rows)


def _latencies(latencies: Mapping[str, Sequence[int]]) -> Metric:
    family = HistogramMetricFamily(
        "dsttool_request_duration_seconds",
        "How long requests that succeeded took; the sum is exact to a sixteenth.",
        labels=["name", "member"],
    )
    for label, counts in latencies.items():
        name, _, member = label.partition("/")
        family.add_metric([name, member], _cumulated(counts), _sum(counts))
    return family


def _cumulated(counts: Sequence[int]) -> list[tuple[str, float]]:
    """For each end how many took less, and how many there are in all."""
    buckets: list[tuple[str, float]] = []
    seen = 0
    for index, count in enumerate(counts):
        seen += count
        end = bucket_end(index)
        if end in _ENDS:
            buckets.append((repr(end / 1e9), seen))
    return [*buckets, ("+Inf", seen)]


def _sum(counts: Sequence[int]) -> float:
    return sum(count * _MIDDLES[index] for index, count in enumerate(counts) if count) / 1e9


def _middle(index: int) -> float:
    end, begin = bucket_end(index), bucket_end(index - 1) if index else 0
    assert begin is not None, "only the last bucket has no end"
    return begin if end is None else (begin + end) / 2


_MIDDLES: Final = tuple(_middle(index) for index in range(BUCKETS))

Rows = Sequence[tuple[list[str], float | None]]


def _gauge(name: str, says: str, labels: Sequence[str], rows: Rows) -> Metric:
    family = GaugeMetricFamily(name, says, labels=labels)
    for who, value in rows:
        if value is not None:
            family.add_metric(who, value)
    return family


def _counter(name: str, says: str, labels: Sequence[str], rows: Rows) -> Metric:
    family = CounterMetricFamily(name, says, labels=labels)
    for who, value in rows:
        if value is not None:
            family.add_metric(who, value)
    return family


def _states(
    kind: str, labels: list[str], rows: Sequence[tuple[list[str], str]], words: Sequence[str]
) -> Metric:
    family = GaugeMetricFamily(
        f"dsttool_{kind}_state", f"1 for the state that the {kind} is in.", labels=[*labels, "state"]
    )
    for who, state in rows:
        for word in words if state in words else (*words, state):
            family.add_metric([*who, word], int(word == state))
    return family
