"""History in rings: Rates of the last 15 minutes by the second, of the last 24 hours by ten seconds.

Pure. The daemon keeps one History a label and sends it once; a watcher goes on with the same class, so that
both hold the same at any time. Ten seconds are the mean of what was measured in them, rounded up (one error
is one error); a 99th percentile is the worst of them.
"""

from array import array
from collections.abc import Mapping
from typing import Any, Final, cast

from dsttool.engine.vocabulary import stream
from dsttool.engine.vocabulary.limits import SECOND

COLUMNS: Final = tuple(stream.Rates.__annotations__)
SECONDS_KEPT: Final = 15 * 60
TENS_KEPT: Final = 24 * 60 * 6
# How an unknown figure is kept; no figure of Rates is negative.
_UNKNOWN: Final = -1
_NOTHING: Final[Mapping[str, int | None]] = dict.fromkeys(COLUMNS)
_WORST: Final = frozenset({"p99_ns"})


class Series:
    """Points of equal distance, at most `kept` of them, each with a value or None for every column."""

    def __init__(self, step_ns: int, kept: int) -> None:
        self.step_ns = step_ns
        self.end_ns = 0
        self._kept = kept
        self._next = 0  # where the oldest is overwritten, once there are `kept`
        self._columns = {name: array("q") for name in COLUMNS}

    def __len__(self) -> int:
        return len(self._columns[COLUMNS[0]])

    def add(self, end_ns: int, values: Mapping[str, int | None]) -> None:
        """One point more; the oldest leaves once there are `kept`."""
        full = len(self) == self._kept
        for name, column in self._columns.items():
            value = values.get(name)
            known = _UNKNOWN if value is None else value
            if full:
                column[self._next] = known
            else:
                column.append(known)
        if full:
            self._next = (self._next + 1) % self._kept
        self.end_ns = end_ns

    def skip(self, end_ns: int, count: int) -> None:
        """So many unknown points more, the last of which is that of `end_ns`."""
        unknown = array("q", [_UNKNOWN]) * min(count, self._kept)
        for name, column in self._columns.items():
            self._columns[name] = (column[self._next :] + column[: self._next] + unknown)[-self._kept :]
        self._next = 0
        self.end_ns = end_ns

    def column(self, name: str, last: int | None = None) -> list[int | None]:
        """The values of a column, oldest first: all, or the `last` ones. None is unknown."""
        values = self._raw(name, len(self) if last is None else last)
        if _UNKNOWN in values:
            return [None if value == _UNKNOWN else value for value in values]
        return cast(list[int | None], values)

    def mean(self, last: int) -> dict[str, int | None]:
        """The `last` points in one, as the rules above say."""
        folded: dict[str, int | None] = {}
        for name in COLUMNS:
            known = [value for value in self._raw(name, last) if value != _UNKNOWN]
            if not known:
                folded[name] = None
            else:
                folded[name] = max(known) if name in _WORST else -(-sum(known) // len(known))
        return folded

    def ring(self) -> stream.Ring:
        """As it travels."""
        return {
            "step_ns": self.step_ns,
            "end_ns": self.end_ns,
            "columns": {name: self.column(name) for name in COLUMNS},
        }

    def load(self, ring: stream.Ring) -> None:
        """Become what was sent; what is missing of a column is unknown."""
        count = min(max(map(len, ring["columns"].values()), default=0), self._kept)
        for name in COLUMNS:
            values = ring["columns"].get(name, [])[-count:] if count else []
            known = [_UNKNOWN if value is None else value for value in values]
            self._columns[name] = array("q", [_UNKNOWN] * (count - len(known)) + known)
        self._next = 0
        self.end_ns = ring["end_ns"]

    def _raw(self, name: str, last: int) -> list[int]:
        column = self._columns[name]
        begin = self._next - min(last, len(column))  # from the end, where it is negative
        if begin >= 0:
            return column[begin : self._next].tolist()
        return (column[begin:] + column[: self._next]).tolist()


class History:
    """Both rings of one label."""

    def __init__(self) -> None:
        self.seconds = Series(SECOND, SECONDS_KEPT)
        self.tens = Series(10 * SECOND, TENS_KEPT)

    @classmethod
    def of(cls, sent: stream.History) -> "History":
        """What a daemon sent."""
        history = cls()
        history.seconds.load(sent["seconds"])
        history.tens.load(sent["tens"])
        return history

    def add(self, end_ns: int, rates: Mapping[str, Any]) -> None:
        """The Rates of the second that ended at `end_ns`; seconds that are missing before it are unknown."""
        seconds = self.seconds
        if len(seconds):
            missed = round((end_ns - seconds.end_ns) / SECOND) - 1
            if missed > SECONDS_KEPT:  # the machine slept
                last = end_ns // SECOND - 1
                self.tens.skip(last // 10 * 10 * SECOND, last // 10 - seconds.end_ns // SECOND // 10)
                seconds.skip(last * SECOND, missed)
            else:
                for late in range(missed, 0, -1):
                    self._add(end_ns - late * SECOND, _NOTHING)
        self._add(end_ns, rates)

    def _add(self, end_ns: int, rates: Mapping[str, int | None]) -> None:
        self.seconds.add(end_ns, rates)
        if end_ns // SECOND % 10 == 0:
            self.tens.add(end_ns, self.seconds.mean(10))

    def sent(self) -> stream.History:
        """As it travels."""
        return {"seconds": self.seconds.ring(), "tens": self.tens.ring()}
