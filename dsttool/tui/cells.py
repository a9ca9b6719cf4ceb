"""Text in so many cells of the screen, and figures as the tables show them.

What daemons say may come from other machines: characters that do not print never reach the terminal.
"""

from typing import Final

from rich.cells import cell_len, set_cell_size

from dsttool.engine.config.units import format_size
from dsttool.tui.look import UNKNOWN

_MIB: Final = 1 << 20
# Eighths of a cell, from the left.
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"


def clean(text: str) -> str:
    """The text with a "?" for every character that does not print (escapes, newlines)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "?" for c in text)


def fit(text: str, width: int, *, right: bool = False) -> str:
    """The text in exactly `width` cells, cut with an ellipsis, or padded; `right`: to the right."""
    text = clean(text)
    length = len(text) if text.isascii() else cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    return " " * (width - length) + text if right else text + " " * (width - length)


def size(count: int | None) -> str:
    """Bytes: "40 GiB"."""
    return UNKNOWN if count is None else format_size(count)


def rate(per_second: int | None) -> str:
    """Bytes a second, in MiB/s: "96.0"."""
    return UNKNOWN if per_second is None else f"{per_second / _MIB:.1f}"


def count(number: int | None) -> str:
    """A count of up to five digits, then in thousands or millions: "63", "120k"."""
    if number is None:
        return UNKNOWN
    if number < 100_000:
        return str(number)
    return f"{number // 1000}k" if number < 10_000_000 else f"{number // 1_000_000}M"


def milliseconds(duration_ns: int | None, digits: int = 1) -> str:
    """A duration in ms: "8.1"."""
    return UNKNOWN if duration_ns is None else f"{duration_ns / 1e6:.{digits}f}"


def seconds(duration_ns: int | None) -> str:
    """A duration in s: "1.8"."""
    return UNKNOWN if duration_ns is None else f"{duration_ns / 1e9:.1f}"


def age(duration_ns: int | None) -> str:
    """A duration in the one unit that says most: "9s", "4m", "3h", "3d"."""
    if duration_ns is None:
        return UNKNOWN
    whole = max(0, duration_ns) // 10**9
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= length:
            return f"{whole // length}{unit}"
    return f"{whole}s"


def left(duration_ns: int) -> str:
    """Time that is still to pass, as `age` has it, but never less than it is: "<1s", "9s"."""
    return "<1s" if duration_ns < 10**9 else age(duration_ns + 10**9 - 1)


def bar(fraction: float, width: int) -> str:
    """A bar between two marks, in eighths of a cell; `width` with the marks, 3 at least."""
    eighths = round(min(1.0, max(0.0, fraction)) * (width - 2) * 8)
    whole, part = divmod(eighths, 8)
    filled = "█" * whole + (_EIGHTHS[part] if part else "")
    return f"▕{filled:<{width - 2}}▏"
