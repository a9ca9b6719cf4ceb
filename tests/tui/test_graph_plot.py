"""Graphs as rows of text."""

from dsttool.tui import graph_plot
from dsttool.tui.graph_plot import Row
from dsttool.tui.graph_scale import byte_axis, latency_axis

MIB = 1 << 20
MS = 1_000_000


def texts(rows: list[Row]) -> list[str]:
    return ["".join(text for text, _ in row) for row in rows]


def test_reads_grow_up_and_are_dense_and_writes_hang_down_and_are_sparse() -> None:
    reads = [1.0 * MIB * i / 8 for i in range(16)]
    writes = [2.0 * MIB] * 16
    rows = graph_plot.throughput(reads, writes, byte_axis(reads + writes), 7, "1 min", ascii=False)
    assert texts(rows) == [
        "   2.0┤      ⣠⣴",
        "      │   ⢀⣴⣿⣿⣿",
        "      │⣀⣤⣾⣿⣿⣿⣿⣿",
        "     0┤⢕⢕⢕⢕⢕⢕⢕⢕",
        "      │⢕⢕⢕⢕⢕⢕⢕⢕",
        "   2.0┤⢕⢕⢕⢕⢕⢕⢕⢕",
        "       -1 minnow",
    ]


def test_a_graph_in_ascii_uses_nothing_else() -> None:
    reads = [1.0 * MIB * i / 8 for i in range(16)]
    rows = graph_plot.throughput(reads, reads[::-1], byte_axis(reads), 6, "1 min", ascii=True)
    assert texts(rows) == [
        "   2.0+     ::#",
        "      |.::#####",
        "     0+--------",
        "      |:::::'''",
        "   2.0+:''     ",
        "       -1 minnow",
    ]
    assert all(text.isascii() for text in texts(rows))


def test_what_was_not_measured_is_a_gap_and_a_known_nothing_is_not() -> None:
    values = [0.0] * 4 + [None] * 4 + [0.0] * 4
    rows = graph_plot.throughput(values, values, byte_axis(values), 5, "1 min", ascii=False)
    assert texts(rows)[1:3] == ["      │⣀⣀  ⣀⣀", "     0┤⠁⠁  ⠁⠁"]


def test_the_median_stands_out_of_the_slowest_hundredth() -> None:
    p50 = [10.0 * MS] * 8
    p99 = [100.0 * MS] * 4 + [1000.0 * MS] * 4
    rows = graph_plot.latency(p50, p99, latency_axis([1 * MS, 1000 * MS]), 7, "5 min", ascii=False)
    assert texts(rows)[:-1] == [
        "  1000┤  ⡪⡪",
        "      │  ⡪⡪",
        "   100┤⡪⡪⡪⡪",
        "      │⡪⡪⡪⡪",
        "    10┤⣿⣿⣿⣿",
        "   1.0┤⣿⣿⣿⣿",
    ]
    assert [part for _, part in rows[0][2:]] == ["p99"]
    assert [part for text, part in rows[5][2:] if text] == ["p50"]


def test_every_row_is_as_wide_as_the_pane() -> None:
    for width in range(20, 40):
        for height in range(3, 12):
            values = [float(i) for i in range(graph_plot.columns_of(width))]
            axis = byte_axis(values)
            for ascii in (False, True):
                rows = graph_plot.throughput(values, values, axis, height, "15 min", ascii=ascii)
                rows_of_latency = graph_plot.latency(values, values, axis, height, "15 min", ascii=ascii)
                assert len(rows) == len(rows_of_latency) == height
                assert {len(text) for text in texts(rows + rows_of_latency)} == {width}
