"""History in rings: the newest points stay, tens of seconds are made of seconds, and gaps are unknown."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.control.rings import COLUMNS, SECONDS_KEPT, TENS_KEPT, History, Series
from dsttool.engine.vocabulary.limits import SECOND

Points = list[dict[str, int | None]]
point = st.fixed_dictionaries({"reads": st.integers(0, 5), "p99_ns": st.none() | st.integers(0, 5)})


@given(st.lists(point, max_size=40), st.integers(1, 12), st.integers(0, 15), st.integers(0, 30))
def test_a_ring_keeps_the_newest_points_also_on_its_way(
    points: Points, kept: int, last: int, sent_after: int
) -> None:
    series, expected = Series(SECOND, kept), deque[dict[str, int | None]](maxlen=kept)
    for at, each in enumerate(points):
        if at == sent_after:
            sent = Series(SECOND, kept)
            sent.load(series.ring())
            series = sent
        series.add(at * SECOND, each)
        expected.append(each)
    assert len(series) == len(expected)
    for name in ("reads", "p99_ns"):
        values = [each[name] for each in expected]
        assert series.column(name) == values
        assert series.column(name, last) == values[max(0, len(values) - last) :]
    assert series.column("writes") == [None] * len(expected)


def test_ten_seconds_are_their_mean_rounded_up_and_their_worst_percentile() -> None:
    history = History()
    for end in range(11, 21):
        rates = dict.fromkeys(COLUMNS) | {"reads": 100 + end, "errors": int(end == 15), "writes": 7}
        if end > 17:
            rates |= {"p50_ns": end, "p99_ns": 1000 - end}
        history.add(end * SECOND, rates)
    assert history.tens.end_ns == 20 * SECOND
    tens = {name: history.tens.column(name) for name in COLUMNS}
    assert tens["reads"] == [116]  # 115.5
    assert tens["errors"] == [1]
    assert tens["writes"] == [7]
    assert (tens["p50_ns"], tens["p99_ns"]) == ([19], [982])
    assert tens["read_bytes"] == [None]


def test_both_rings_are_bounded() -> None:
    history = History()
    for end in range(1, 3 * SECONDS_KEPT):
        history.add(end * SECOND, {"reads": end})
    assert len(history.seconds) == SECONDS_KEPT
    assert history.seconds.column("reads", 1) == [3 * SECONDS_KEPT - 1]
    tens = Series(10 * SECOND, TENS_KEPT)
    for end in range(TENS_KEPT + 1):
        tens.add(end, {})
    assert len(tens) == TENS_KEPT


def test_seconds_that_were_not_measured_are_unknown_however_many() -> None:
    history = History()
    history.add(5 * SECOND, {"reads": 1})
    history.add(8 * SECOND, {"reads": 2})
    assert history.seconds.column("reads") == [1, None, None, 2]
    history.add(10**6 * SECOND, {"reads": 3})
    assert history.seconds.column("reads", 2) == [None, 3]
    assert len(history.seconds) == SECONDS_KEPT


def test_hours_that_a_machine_slept_are_unknown_in_the_tens_of_a_day_too() -> None:
    history = History()
    hour = 3600
    for end in range(9 * hour, 9 * hour + 60):
        history.add(end * SECOND, {"reads": 7})
    history.add(17 * hour * SECOND, {"reads": 1})
    tens = history.tens.column("reads")
    assert history.tens.end_ns == 17 * hour * SECOND
    assert len(tens) == 1 + 8 * hour // 10
    assert [at for at, value in enumerate(tens) if value is not None] == [0, 1, 2, 3, 4, 5, len(tens) - 1]
    history.add(100 * hour * SECOND, {"reads": 2})
    assert history.tens.column("reads") == [None] * (TENS_KEPT - 1) + [2]


def test_a_clock_that_is_set_back_adds_a_point_and_no_gap() -> None:
    history = History()
    for end in (100, 101, 50, 51):
        history.add(end * SECOND, {"reads": end})
    assert history.seconds.column("reads") == [100, 101, 50, 51]
