"""The graphs as rows of text: what was read and written, and how long it took. Pure: series in, rows out.

A row is runs of (text, part); `part` says what a run is, and whoever shows it which colour that has. Nothing
is told by colour alone: reads grow upwards from the middle and are dense, writes hang below it and are
sparse; the median is dense, and what is above it up to the slowest hundredth is sparse.
"""

from collections.abc import Sequence
from typing import Final, Literal

from dsttool.tui import graph_dots as dots
from dsttool.tui.graph_scale import Axis, heights, ticks
from dsttool.tui.graph_time import Values

Part = Literal["label", "axis", "read", "write", "p50", "p99"]
Run = tuple[str, Part]
Row = list[Run]

GUTTER: Final = 7  # six characters of a figure, and the axis
_ROWS_MIN: Final = 2
_COLUMNS_MIN: Final = 8


def columns_of(width: int) -> int:
    """How many values a graph of `width` characters takes."""
    return max(0, width - GUTTER) * 2


def fits(width: int, height: int) -> bool:
    """Whether a graph of that size, with the line of its times, says anything."""
    return width >= GUTTER + _COLUMNS_MIN and height >= _ROWS_MIN + 1


def throughput(
    reads: Values, writes: Values, axis: Axis, height: int, span: str, *, ascii: bool
) -> list[Row]:
    """`height` rows: reads above the middle, writes below, and the times. Both have the one axis."""
    half, odd = divmod(height - 1, 2)
    up = dots.bars(heights(axis, reads, half * dots.DOTS), half)
    down = dots.bars(heights(axis, writes, half * dots.DOTS), half, down=True, sparse=True)
    marks = dict(ticks(axis, half))
    rows: list[Row] = [
        [*_gutter(marks.get(index), ascii), (_text(cells, _drawn(ascii)), "read")]
        for index, cells in enumerate(up)
    ]
    if odd:
        rows.append([*_gutter("0", ascii), (("-" if ascii else "─") * (len(reads) // 2), "axis")])
    # Figures below the middle stand where a row's lower edge is the figure.
    below = {half - 1 - row: mark for row, mark in marks.items()} | ({} if odd or half < 2 else {0: "0"})
    drawn = _drawn(ascii, down=True, sparse=True)
    for index, cells in enumerate(down):
        rows.append([*_gutter(below.get(index), ascii), (_text(cells, drawn), "write")])
    return [*rows, times(span, len(reads) // 2)]


def latency(p50: Values, p99: Values, axis: Axis, height: int, span: str, *, ascii: bool) -> list[Row]:
    """`height` rows: the median, above it up to the slowest hundredth, and the times."""
    rows_number = height - 1
    dense = dots.bars(heights(axis, p50, rows_number * dots.DOTS), rows_number)
    sparse = dots.bars(heights(axis, p99, rows_number * dots.DOTS), rows_number, sparse=True)
    marks = dict(ticks(axis, rows_number))
    rows: list[Row] = []
    for index in range(rows_number):
        rows.append([*_gutter(marks.get(index), ascii), *_layers(dense[index], sparse[index], ascii)])
    return [*rows, times(span, len(p50) // 2)]


def times(span: str, width: int) -> Row:
    """The line below a graph: how long ago its left edge is, and that the right one is now."""
    left = f"-{span}"
    return [(" " * GUTTER + left + "now".rjust(width - len(left)), "label")]


def _layers(dense: Sequence[int], sparse: Sequence[int], ascii: bool) -> Row:
    """A row of cells of two series, the dense one in front: runs of one part each."""
    drawn, faint = _drawn(ascii), _drawn(ascii, sparse=True)
    row: Row = []
    part: Part = "p99"
    text = ""
    for front, behind in zip(dense, sparse):
        other: Part = "p50" if front else "p99"
        if other != part:
            row.append((text, part))
            part, text = other, ""
        text += (drawn[front] if ascii else drawn[front | behind]) if front else faint[behind]
    return [*row, (text, part)]


def _drawn(ascii: bool, *, down: bool = False, sparse: bool = False) -> str:
    return dots.ascii_of(down=down, sparse=sparse) if ascii else dots.BRAILLE


def _text(cells: Sequence[int], drawn: str) -> str:
    return "".join([drawn[cell] for cell in cells])


def _gutter(mark: str | None, ascii: bool) -> Row:
    text = (mark or "").rjust(GUTTER - 1)[: GUTTER - 1]
    return [(text, "label"), (("+" if mark else "|") if ascii else ("┤" if mark else "│"), "axis")]
