"""The axes of the graphs."""

import pytest

from dsttool.tui.graph_scale import Axis, byte_axis, figure, latency_axis, request_axis, ticks

MIB = 1 << 20
MS = 1_000_000


@pytest.mark.parametrize(
    ("most", "unit", "high"),
    [
        (0, "KiB/s", 64 << 10),
        (500 << 10, "KiB/s", 500 << 10),
        (120 * MIB, "MiB/s", 150 * MIB),
        (96 * MIB, "MiB/s", 100 * MIB),
        (212 * MIB, "MiB/s", 300 * MIB),
        (1600 * MIB, "MiB/s", 2000 * MIB),
        (5 << 30, "GiB/s", 5 << 30),
    ],
)
def test_throughput_ends_at_a_round_figure_of_its_unit(most: int, unit: str, high: int) -> None:
    axis = byte_axis([None, most])
    assert (axis.unit, axis.high) == (unit, high)


def test_requests_are_counted_in_thousands_where_there_are_many() -> None:
    assert request_axis([7]).unit == "IOPS"
    axis = request_axis([45_000])
    assert (axis.unit, axis.text(axis.high)) == ("k IOPS", "50")


def test_latencies_have_whole_decades() -> None:
    axis = latency_axis([0.3 * MS, None, 4200 * MS])
    assert [axis.text(value) for value in (axis.low, axis.high)] == ["0.1", "10000"]
    assert ticks(axis, 10) == [(0, "10000"), (2, "1000"), (4, "100"), (6, "10"), (8, "1.0"), (9, "0.1")]


def test_a_decade_is_written_where_it_is_or_not_at_all() -> None:
    axis = Axis(0.1, 10_000, "ms", 1, logarithmic=True)
    assert ticks(axis, 6) == [(0, "10000"), (1, "1000"), (2, "100"), (4, "10"), (5, "1.0")]


def test_an_axis_without_any_value_can_be_drawn() -> None:
    for axis in (byte_axis([]), request_axis([None]), latency_axis([0])):
        assert axis.high > axis.low
        assert ticks(axis, 4)


def test_values_fill_their_share_of_the_dots() -> None:
    linear = Axis(0, 100, "x", 1)
    assert [linear.dots(value, 20) for value in (None, 0, 50, 100, 300)] == [None, 0, 10, 20, 20]
    decades = Axis(1, 100, "x", 1, logarithmic=True)
    assert [decades.dots(value, 20) for value in (0, 1, 10, 100)] == [0, 0, 10, 20]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.001, "0.001"),
        (0.05, "0.05"),
        (0.5, "0.5"),
        (1, "1.0"),
        (12.5, "12.5"),
        (50, "50"),
        (4000, "4000"),
    ],
)
def test_figures_have_about_three_digits(value: float, text: str) -> None:
    assert figure(value) == text
