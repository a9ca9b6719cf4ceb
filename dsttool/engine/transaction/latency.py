"""How long requests take: a histogram whose figures are a few per cent exact from 1 us to a minute.

Buckets are log-linear: every power of two is cut into 8 equal ones. So each is at most an eighth wider than
what is in it, and its middle at most a sixteenth off. What is quicker than 1 us shares the first
bucket, what is slower than 68.7 s the last.
"""

from dataclasses import dataclass
from typing import Final

# The first bucket ends at 2 ** _FIRST ns, the last begins at 2 ** _LAST ns.
_FIRST: Final = 10
_LAST: Final = 36
_CUT: Final = 3  # 2 ** 3 buckets each time a value doubles
BUCKETS: Final = (_LAST - _FIRST << _CUT) + 2


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of `count` requests, half took at most p50_ns, and 99 % at most p99_ns; None if there were none."""

    count: int
    p50_ns: int | None
    p99_ns: int | None


class Latencies:
    """counts: how many requests fell into each bucket; they only grow.

    Whoever wants the figures of a span of time keeps a copy (`copy_into`) and asks `since` it.
    """

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS

    def add(self, ns: int, count: int = 1) -> None:
        """So many requests took so long."""
        self.counts[bucket_of(ns)] += count

    def copy_into(self, other: "Latencies") -> None:
        """Make the other one like this."""
        other.counts[:] = self.counts

    def since(self, previous: "Latencies") -> Quantiles:
        """The figures of what was added since the other was a copy of this."""
        new = [now - before for now, before in zip(self.counts, previous.counts)]
        count = sum(new)
        if not count:
            return Quantiles(0, None, None)
        return Quantiles(
            count, _middle(_rank(new, -(-count // 2))), _middle(_rank(new, count - count // 100))
        )


def bucket_of(ns: int) -> int:
    """The index of the bucket that the value is in."""
    bits = ns.bit_length()
    if bits <= _FIRST:
        return 0
    if bits > _LAST:
        return BUCKETS - 1
    # The value's highest bits below the first are the place within its power of two.
    return (bits - _FIRST - 2 << _CUT) + (ns >> bits - _CUT - 1) + 1


def bucket_end(index: int) -> int | None:
    """The first value (ns) beyond the bucket; None for the last, which has no end."""
    if index == BUCKETS - 1:
        return None
    power, place = divmod(index, 1 << _CUT)
    return (1 << _FIRST + power) + (place << _FIRST + power - _CUT)


def _rank(counts: list[int], rank: int) -> int:
    """The bucket in which the value of that rank is; the lowest has rank 1."""
    seen = 0
    for index, count in enumerate(counts):
        seen += count
        if seen >= rank:
            return index
    raise AssertionError("a rank is at most the sum of all counts")


def _middle(index: int) -> int:
    """What stands for the values in a bucket."""
    end = bucket_end(index)
    if end is None:
        return 1 << _LAST
    below = bucket_end(index - 1) if index else 0
    assert below is not None, "only the last has no end"
    return (below + end) // 2
