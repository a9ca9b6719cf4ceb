"""Sizes and durations as people write them, and back.

A size is a number with K, M, G, T or P, each optionally followed by B or iB; all of them are powers
of two (IEC 80000-13, and what qemu-img and nbdkit do with a bare letter). A duration is a number
with ns, us, ms, s, m, h or d; a plain number is seconds. Arithmetic is exact: what does not come out
as a whole number of bytes or nanoseconds is an error, never rounded.
"""

import re
from itertools import pairwise
from typing import Final

from dsttool.engine.vocabulary.errors import UsageError

# The largest offset Linux can express (off_t), and the largest time it can (ktime_t).
SIZE_MAX: Final = (1 << 63) - 1
DURATION_MAX_NS: Final = (1 << 63) - 1

_SIZE_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_SHOWN_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB")
_DURATION_UNITS: Final = {
    "d": 86_400_000_000_000,
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}
_NUMBER: Final = r"\s*([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*"
_SIZE: Final = re.compile(_NUMBER + r"([KMGTP]?)(?:i?B)?\s*", re.IGNORECASE | re.ASCII)
_DURATION: Final = re.compile(_NUMBER + r"(ns|us|ms|s|m|h|d)?\s*", re.ASCII)

_SIZE_ADVICE: Final = "Write a number of bytes, or one with K, M, G, T or P, for example 64K or 1.5GiB."
_DURATION_ADVICE: Final = (
    "Write a number with ms, s, m or h, for example 500ms or 2m; without a unit it is seconds."
)


def parse_size(text: str) -> int:
    """Bytes in a size such as '512', '64K', '1G' or '1.5GiB'. UsageError otherwise."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"'{text}' is not a size.", _SIZE_ADVICE)
    size, remainder = _scale(match[1], _SIZE_UNITS[match[2].upper()])
    if remainder:
        raise UsageError(
            f"'{text}' is not a whole number of bytes.", "Use a smaller unit, for example 1536M."
        )
    if size > SIZE_MAX:
        raise UsageError(
            f"'{text}' is larger than any device can be.", "The largest size is just below 8192P."
        )
    return size


def format_size(size: int) -> str:
    """A size in bytes for display, three significant digits: '40 GiB', '1.5 MiB', '512 B'."""
    if size < 1024:
        return f"{size} B"
    exponent = 1
    # 1023.5 of a unit would be shown as 1024: that is one of the next.
    while exponent < len(_SHOWN_UNITS) and size >= 1023.5 * 1024**exponent:
        exponent += 1
    value = size / 1024**exponent
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    number = f"{value:.{digits}f}"
    return f"{number.rstrip('0').rstrip('.') if digits else number} {_SHOWN_UNITS[exponent - 1]}"


def format_exact_size(size: int) -> str:
    """A size in bytes for an address or a file: '64K', '1G', '1000'. `parse_size` gives it back."""
    for unit in "PTGMK":
        scale = _SIZE_UNITS[unit]
        if size and size % scale == 0:
            return f"{size // scale}{unit}"
    return str(size)


def parse_duration(text: str) -> int:
    """Nanoseconds in a duration such as '500ms', '5s', '2m', '1h' or '0.5'. UsageError otherwise."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageError(f"'{text}' is not a duration.", _DURATION_ADVICE)
    duration_ns, remainder = _scale(match[1], _DURATION_UNITS[match[2] or "s"])
    if remainder:
        raise UsageError(f"'{text}' is not a whole number of nanoseconds.", "Use fewer decimals.")
    if duration_ns > DURATION_MAX_NS:
        raise UsageError(f"'{text}' is too long.", "The longest duration is 292 years.")
    return duration_ns


def format_duration(duration_ns: int) -> str:
    """A duration in nanoseconds as '500ms', '5s', '90s', '2m'. `parse_duration` gives it back."""
    if duration_ns == 0:
        return "0s"
    for unit, scale in _DURATION_UNITS.items():
        if duration_ns % scale == 0:
            return f"{duration_ns // scale}{unit}"
    raise AssertionError(f"not a whole number of nanoseconds: {duration_ns}")


def format_span(duration_ns: int) -> str:
    """A duration in nanoseconds for display, two units of whole seconds at most: '90s', '12m 5s', '3d 4h'."""
    seconds = max(0, duration_ns) // 1_000_000_000
    for (unit, length), (part, step) in pairwise((("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))):
        if seconds >= 2 * length:
            whole, rest = divmod(seconds, length)
            return f"{whole}{unit} {rest // step}{part}" if rest // step else f"{whole}{unit}"
    return f"{seconds}s"


def _scale(number: str, unit: int) -> tuple[int, int]:
    """A decimal number times a unit: the whole part, and what is left (0 if it comes out exactly)."""
    digits, _, decimals = number.partition(".")
    scale: int = 10 ** len(decimals)
    return divmod(int(digits + decimals) * unit, scale)
