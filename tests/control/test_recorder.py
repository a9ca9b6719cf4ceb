"""Counters become rates, and rates the past."""

from dsttool.engine.control.recorder import HISTORIES_MAX, Recorder, rates_between
from dsttool.engine.control.sampler import Counted, Second
from dsttool.engine.transaction.latency import BUCKETS, bucket_of
from dsttool.engine.vocabulary.limits import MS, SECOND


def counted(reads: int = 0, errors: int = 0, took: tuple[int, ...] = ()) -> Counted:
    counts = [0] * BUCKETS
    for ns in took:
        counts[bucket_of(ns)] += 1
    return Counted(reads, 2 * reads, 3 * reads, 4 * reads, errors, 7, counts)


def test_rates_are_what_was_done_in_the_time_between_a_second() -> None:
    rates = rates_between(counted(100), counted(300, took=(MS, MS, 50 * MS)), 2 * SECOND)
    assert [rates[name] for name in ("reads", "writes", "read_bytes", "written_bytes")] == [
        100,
        200,
        300,
        400,
    ]
    assert (rates["errors"], rates["in_flight"]) == (0, 7)
    assert abs((rates["p50_ns"] or 0) - MS) < MS // 8
    assert abs((rates["p99_ns"] or 0) - 50 * MS) < 50 * MS // 8


def test_one_error_in_a_second_that_was_a_little_long_is_one() -> None:
    assert rates_between(counted(), counted(errors=1), SECOND + 3 * MS)["errors"] == 1


def test_a_second_in_which_nothing_ended_has_no_latencies_and_a_new_counter_no_negative_rate() -> None:
    rates = rates_between(counted(5, took=(MS,)), counted(2, took=(MS,)), SECOND)
    assert (rates["reads"], rates["p50_ns"], rates["p99_ns"]) == (0, None, None)


def second(end: int, **labels: Counted) -> Second:
    return Second(end * SECOND, SECOND if end else 0, labels)


def test_a_label_has_rates_from_its_second_sample_on_and_a_past_until_it_is_gone() -> None:
    recorder = Recorder()
    recorder.add(second(0, a=counted(1)))
    assert recorder.rates == {}
    recorder.add(second(1, a=counted(3), b=counted(9)))
    assert {label: rates["reads"] for label, rates in recorder.rates.items()} == {"a": 2}
    recorder.add(second(2, b=counted(10)))
    assert list(recorder.rates) == list(recorder.histories) == ["b"]
    assert recorder.histories["b"].seconds.column("reads") == [1]
    assert recorder.end_ns == 2 * SECOND


def test_so_many_have_a_past_and_the_others_only_rates() -> None:
    recorder = Recorder()
    for end in range(3):
        recorder.add(second(end, **{f"n{n}": counted(end) for n in range(HISTORIES_MAX + 5)}))
    assert len(recorder.rates) == HISTORIES_MAX + 5
    assert len(recorder.histories) == HISTORIES_MAX
