"""Axes: where they end, what is written at them, and how high a value is.

Figures are raw (bytes a second, requests a second, ns); an axis says them in a unit that suits its end.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

Value = float | None

_STEPS: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_MS: Final = 1_000_000
# The units of an axis: its name, what it is in raw figures, and the least end of an axis that it suits.
_BYTES: Final = (("GiB/s", 1 << 30, 4 << 30), ("MiB/s", 1 << 20, 1 << 20), ("KiB/s", 1 << 10, 0))
_REQUESTS: Final = (("k IOPS", 1000, 10_000), ("IOPS", 1, 0))


@dataclass(frozen=True)
class Axis:
    """low and high in raw figures; `one`: how many of those the unit is."""

    low: float
    high: float
    unit: str
    one: float
    logarithmic: bool = False

    def dots(self, value: Value, height: int) -> int | None:
        """How many of `height` dots a value fills; None stays None."""
        if value is None:
            return None
        if self.logarithmic:
            if value <= self.low:
                return 0
            share = math.log10(value / self.low) / math.log10(self.high / self.low)
        else:
            share = value / self.high
        return min(height, round(share * height))

    def text(self, value: float) -> str:
        """A figure in the axis's unit, without it."""
        return figure(value / self.one)


def figure(value: float) -> str:
    """A figure with about three digits: 0.05, 0.5, 5.0, 50, 500, 5000."""
    if value == 0 or value >= 99.5:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.0f}" if float(f"{value:.1f}").is_integer() else f"{value:.1f}"
    if value >= 1:
        return f"{value:.1f}"
    return f"{value:.2f}".rstrip("0").rstrip(".") if value >= 0.005 else f"{value:.1g}"


def byte_axis(values: Iterable[Value]) -> Axis:
    """From nothing to a round figure above the highest rate; at least to 64 KiB a second."""
    most = max((value for value in values if value is not None), default=0)
    unit, one = next((name, one) for name, one, least in _BYTES if most >= least)
    return Axis(0, max(_above(most / one) * one, 64 << 10), unit, one)


def request_axis(values: Iterable[Value]) -> Axis:
    """As byte_axis, for requests a second; at least to 10."""
    most = max((value for value in values if value is not None), default=0)
    unit, one = next((name, one) for name, one, least in _REQUESTS if most >= least)
    return Axis(0, max(_above(most / one) * one, 10), unit, one)


def latency_axis(values: Iterable[Value]) -> Axis:
    """Whole decades of milliseconds around what there is: a second and a tenth of a millisecond both show."""
    known = [value for value in values if value is not None and value > 0]
    low = math.floor(math.log10(min(known, default=_MS) / _MS))
    high = math.ceil(math.log10(max(known, default=_MS) / _MS))
    return Axis(10.0**low * _MS, 10.0 ** max(high, low + 1) * _MS, "ms", _MS, logarithmic=True)


def ticks(axis: Axis, rows: int) -> list[tuple[int, str]]:
    """What to write beside `rows` rows, the ground being below the last: (row from above, figure).

    Only where a row's upper edge is the figure, or nearly: the end, halves of it where there is room, or the
    decades of a logarithmic axis.
    """
    if not axis.logarithmic:
        marks = [(0, axis.high)]
        if rows >= 4 and rows % 2 == 0:
            marks.append((rows // 2, axis.high / 2))
        return [(row, axis.text(value)) for row, value in marks]
    decades = round(math.log10(axis.high / axis.low))
    marks = []
    for decade in range(decades, -1, -1):
        # The ground is the lower edge of the last row; its figure stands there if no other one does.
        row = min(rows - 1, round((decades - decade) * rows / decades))
        if not marks or row > marks[-1][0]:
            marks.append((row, axis.low * 10.0**decade))
    return [(row, axis.text(value)) for row, value in marks]


def _above(value: float) -> float:
    """The next round figure that is not less than a value."""
    if value <= 0:
        return 0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in _STEPS if value <= step * power * (1 + 1e-9))


def heights(axis: Axis, values: Sequence[Value], dots: int) -> list[int | None]:
    """Each value in dots of `dots`."""
    return [axis.dots(value, dots) for value in values]
