"""The histogram of latencies, against the values themselves."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.transaction.latency import BUCKETS, Latencies, Quantiles, bucket_end, bucket_of

US = 1000
# What it is made for: from 1 us to a minute.
values = st.integers(1024, 60 * 10**9)


def filled(*latencies: int) -> Latencies:
    found = Latencies()
    for ns in latencies:
        found.add(ns)
    return found


def exact(latencies: list[int], percent: int) -> int:
    """The smallest value that so many per cent do not exceed."""
    return sorted(latencies)[-(-len(latencies) * percent // 100) - 1]


@given(st.integers(0, 1 << 40))
def test_every_value_is_in_the_bucket_whose_bounds_it_keeps(ns: int) -> None:
    index = bucket_of(ns)
    end = bucket_end(index)
    assert end is None or ns < end
    assert index == 0 or ns >= (bucket_end(index - 1) or 0)


def test_buckets_follow_each_other_without_a_gap_and_are_an_eighth_wide() -> None:
    ends = [bucket_end(index) for index in range(BUCKETS - 1)]
    assert ends[0] == 1024
    assert ends[-1] == 1 << 36
    for below, end in pairwise(ends):
        assert below is not None
        assert end is not None
        assert 0 < end - below <= below // 8
    assert bucket_end(BUCKETS - 1) is None


@given(st.lists(values, min_size=1, max_size=300))
def test_percentiles_are_a_sixteenth_exact(latencies: list[int]) -> None:
    found = filled(*latencies).since(Latencies())
    assert found.count == len(latencies)
    for shown, percent in ((found.p50_ns, 50), (found.p99_ns, 99)):
        right = exact(latencies, percent)
        assert shown is not None
        assert abs(shown - right) <= right / 16


@given(st.lists(values, max_size=50), st.lists(values, max_size=50))
def test_only_what_came_since_the_copy_counts(before: list[int], after: list[int]) -> None:
    latencies, previous = filled(*before), Latencies()
    latencies.copy_into(previous)
    for ns in after:
        latencies.add(ns)
    assert latencies.since(previous) == filled(*after).since(Latencies())
    assert previous.counts == filled(*before).counts


def test_where_nothing_came_there_are_no_percentiles() -> None:
    latencies = filled(5 * US)
    previous = Latencies()
    latencies.copy_into(previous)
    assert latencies.since(previous) == Quantiles(0, None, None)


def test_many_that_took_the_same_are_added_at_once() -> None:
    at_once = Latencies()
    at_once.add(70 * US, 3)
    assert at_once.counts == filled(70 * US, 70 * US, 70 * US).counts


def test_one_in_a_hundred_may_be_slower_than_the_ninety_ninth_percentile() -> None:
    latencies = Latencies()
    latencies.add(10 * US, 99)
    latencies.add(10**9)
    assert (latencies.since(Latencies()).p99_ns or 0) < 11 * US
    latencies.add(10**9)
    assert (latencies.since(Latencies()).p99_ns or 0) > 900_000 * US


def test_what_is_out_of_bounds_is_in_the_first_and_the_last_bucket() -> None:
    latencies = filled(0, 1, 1023, 1 << 36, 1 << 60)
    assert (latencies.counts[0], latencies.counts[-1]) == (3, 2)
    assert latencies.since(Latencies()) == Quantiles(5, 512, 1 << 36)
