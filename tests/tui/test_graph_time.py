"""From rings of samples to the columns of a graph."""

from dsttool.engine.control.rings import History, Series
from dsttool.tui.graph_time import MINUTE, SECOND, ZOOMS, last, resample, series_for, together

BEGIN = 1_700_000_000 * SECOND


def seconds(count: int, begin_ns: int = BEGIN) -> Series:
    series = Series(SECOND, 900)
    for i in range(1, count + 1):
        series.add(begin_ns + i * SECOND, {"reads": i})
    return series


def test_a_column_of_many_samples_is_their_mean_or_what_is_picked() -> None:
    series = seconds(60)
    assert resample(series, "reads", span_ns=MINUTE, columns=6) == [5.5, 15.5, 25.5, 35.5, 45.5, 55.5]
    assert resample(series, "reads", span_ns=MINUTE, columns=6, pick=max) == [10, 20, 30, 40, 50, 60]


def test_a_sample_fills_several_columns_where_there_are_more_of_them() -> None:
    assert resample(seconds(60), "reads", span_ns=4 * SECOND, columns=8) == [57, 57, 58, 58, 59, 59, 60, 60]


def test_time_that_is_not_remembered_is_unknown() -> None:
    assert resample(seconds(3), "reads", span_ns=6 * SECOND, columns=6) == [None, None, None, 1, 2, 3]


def test_silence_moves_the_picture_to_the_left() -> None:
    columns = resample(seconds(60), "reads", span_ns=6 * SECOND, columns=6, silent_ns=2 * SECOND)
    assert columns == [57, 58, 59, 60, None, None]


def test_the_picture_moves_and_does_not_change_its_shape() -> None:
    """One sample more shows the same columns, the newest excepted, each a place further or where it was."""
    before = resample(seconds(600), "reads", span_ns=5 * MINUTE, columns=110)
    for count in range(601, 640):
        after = resample(seconds(count), "reads", span_ns=5 * MINUTE, columns=110)
        assert before[2:-2] in (after[2:-2], after[1:-3])
        before = after


def test_samples_a_little_late_are_of_the_same_second() -> None:
    late = Series(SECOND, 900)
    for i in range(1, 61):
        late.add(BEGIN + i * SECOND + i % 3 * SECOND // 10, {"reads": i})
    assert resample(late, "reads", span_ns=MINUTE, columns=60) == resample(
        seconds(60), "reads", span_ns=MINUTE, columns=60
    )


def test_every_zoom_has_a_ring_that_reaches_so_far() -> None:
    history = History()
    for span_ns, _ in ZOOMS:
        series = series_for(history, span_ns)
        kept = {SECOND: 900, 10 * SECOND: 8640}[series.step_ns]
        assert kept * series.step_ns >= span_ns


def test_several_series_add_up_where_something_is_known() -> None:
    assert together([[1, None, None], [2, 3, None]]) == [3, 3, None]
    assert together([[1, None]]) == [1, None]


def test_the_last_figure_of_several_is_their_sum() -> None:
    one, other = History(), History()
    one.add(BEGIN, {"reads": 3})
    other.add(BEGIN, {"reads": 4})
    assert last([one, other, History()], "reads") == 7
    assert last([one], "p99_ns") is None
