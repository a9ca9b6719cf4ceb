"""Pacer: how fast a resync may go. Time comes in as `now`, in ns.

While the array has nothing else to do, a resync copies as fast as it can, or up to the ceiling. While it
serves requests, the resync yields: it goes at the floor, so that it ends some day whatever the load.
"""

from typing import Final

from dsttool.engine.vocabulary.limits import MIB, MS, SECOND

# A hundredth of what two local devices copy; a 100 GiB mirror under constant load is whole in an hour.
FLOOR: Final = 32 * MIB
# What was not used up to now may be made up for, as far as this.
_SLACK_NS: Final = 20 * MS
# Over how long a rate is measured.
_MEASURED_NS: Final = SECOND


class Pacer:
    """floor, ceiling: bytes per second; a ceiling of 0 is none. The ceiling wins."""

    def __init__(self) -> None:
        self.floor = FLOOR
        self.ceiling = 0
        self._next = 0

    def wait(self, now: int) -> int:
        """How long to wait before the next copy, in ns."""
        return max(0, self._next - now)

    def began(self, now: int, length: int, *, busy: bool) -> None:
        """A copy of `length` bytes has begun. busy: the array serves requests as well."""
        rate = self.ceiling
        if busy and (not rate or self.floor < rate):
            rate = self.floor
        begin = max(self._next, now - _SLACK_NS)
        self._next = begin + length * SECOND // rate if rate else now

    def forget(self) -> None:
        """The limits have changed: what was copied under the old ones does not count."""
        self._next = 0


class Meter:
    """A rate in bytes per second, over the last second or so; None before the first."""

    def __init__(self, now: int) -> None:
        self._since = now
        self._bytes = 0
        self._rate: int | None = None

    def count(self, now: int, length: int) -> None:
        """So many more bytes."""
        self._bytes += length
        if now - self._since >= _MEASURED_NS:
            self._rate = self._bytes * SECOND // (now - self._since)
            self._since = now
            self._bytes = 0

    def rate(self, now: int) -> int | None:
        """The last full second's, or that of what has passed since if nothing came for longer."""
        passed = now - self._since
        if passed > 2 * _MEASURED_NS:
            return self._bytes * SECOND // passed
        if self._rate is None and passed and self._bytes:
            return self._bytes * SECOND // passed
        return self._rate
