"""From a ring of samples to one value for each column of a graph.

Columns begin at whole multiples of their own length since 1970: while time passes the picture moves, and
never changes its shape.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from dsttool.engine.control.rings import History, Series

SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
# How much time a graph can show, and how people call it.
ZOOMS: Final = (
    (MINUTE, "1 min"),
    (5 * MINUTE, "5 min"),
    (15 * MINUTE, "15 min"),
    (HOUR, "1 h"),
    (6 * HOUR, "6 h"),
    (24 * HOUR, "24 h"),
)

Values = list[float | None]
Pick = Callable[[Sequence[float]], float]


def mean(values: Sequence[float]) -> float:
    """The mean of what was measured."""
    return sum(values) / len(values)


def series_for(history: History, span_ns: int) -> Series:
    """The ring that reaches so far back: seconds for a quarter of an hour, else tens of seconds."""
    return history.seconds if span_ns <= 15 * MINUTE else history.tens


def resample(
    series: Series, name: str, *, span_ns: int, columns: int, silent_ns: int = 0, pick: Pick = mean
) -> Values:
    """One value for each of `columns` columns over the last `span_ns` of a series' column `name`.

    The right edge is the last sample, or `silent_ns` after it: the clocks of two machines are not compared.
    pick: makes one of the values that fall into a column. None where nothing was measured.
    """
    if columns == 0:
        return []
    step_ns = series.step_ns
    values = series.column(name, span_ns // step_ns + 1)
    # Samples are taken when the daemon has time: a little early or late is the same second.
    end_ns = round(series.end_ns / step_ns) * step_ns
    edge_ns = end_ns + silent_ns
    width_ns = max(1, span_ns // columns)
    first = -(-edge_ns // width_ns) - columns
    origin_ns = end_ns - len(values) * step_ns
    if width_ns <= step_ns:
        middles = (column * width_ns + width_ns // 2 for column in range(first, first + columns))
        places = [(middle - origin_ns) // step_ns for middle in middles]
        return [values[i] if 0 <= i < len(values) else None for i in places]
    # A sample belongs to the column that its middle falls into.
    cuts = [
        min(len(values), max(0, -(-(column * width_ns - origin_ns - step_ns // 2) // step_ns)))
        for column in range(first, first + columns + 1)
    ]
    result: Values = []
    for begin, end in pairwise(cuts):
        known = [value for value in values[begin:end] if value is not None]
        result.append(pick(known) if known else None)
    return result


def together(series: Sequence[Values], pick: Pick = sum) -> Values:
    """Several series as one, column by column: their sum, or what `pick` makes of those that are known."""
    if len(series) == 1:
        return series[0]
    result: Values = []
    for values in zip(*series):
        known = [value for value in values if value is not None]
        result.append(pick(known) if known else None)
    return result


def last(histories: Sequence[History], name: str, pick: Pick = sum) -> float | None:
    """The newest value of a column, of several histories together."""
    newest = [history.seconds.column(name, 1) for history in histories]
    known = [values[0] for values in newest if values and values[0] is not None]
    return pick(known) if known else None
