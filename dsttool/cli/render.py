"""How answers look: aligned tables for people, tab-separated lines, JSON.

Lines for scripts (`-o plain`) have the figures that JSON has: bytes, and nanoseconds.
Tables are never truncated, wherever they go. Colour and glyphs only go to terminals that take them;
a state is a word first, so that nothing is said by colour alone.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import click

from dsttool.cli import glyphs
from dsttool.cli.settings import Settings
from dsttool.engine.config.units import format_size
from dsttool.engine.vocabulary.texts import to_json

# Okabe and Ito's palette, which people with any colour vision tell apart, with a glyph each.
_GOOD: Final = ("●", (0, 158, 115))
_BUSY: Final = ("↻", (86, 180, 233))
_WARN: Final = ("▲", (230, 159, 0))
_BAD: Final = ("✖", (213, 94, 0))
_STATES: Final = {
    **dict.fromkeys(("online", "in_sync", "up", "serving", "read_only", "ok"), _GOOD),
    **dict.fromkeys(("connecting", "handshake", "resyncing", "rebuilding", "waiting"), _BUSY),
    **dict.fromkeys(("queued", "in_flight", "held", "running"), _BUSY),
    **dict.fromkeys(("degraded", "stale", "suspended", "stopping", "paused", "stopped"), _WARN),
    **dict.fromkeys(("resend", "warning"), _WARN),
    **dict.fromkeys(("failed", "missing", "faulty", "frozen", "fenced", "exhausted", "unreachable"), _BAD),
    "down": ("○", None),
    "unknown": ("?", None),
}
UNKNOWN: Final = "-"


def say(settings: Settings, line: str) -> None:
    """A line for people on stdout; nothing when quiet, and nothing among JSON."""
    if not settings.quiet and not settings.json:
        click.echo(line, color=True)


def note(settings: Settings, line: str) -> None:
    """A remark on stderr: it is no part of the answer."""
    if not settings.quiet:
        click.echo(line, err=True, color=True)


def emit_json(settings: Settings, answer: Any, lines: Iterable[Any] | None = None) -> None:
    """The answer as one indented object, or for jsonl each of `lines` (else the answer) as one line."""
    if settings.format == "jsonl":
        for line in [answer] if lines is None else lines:
            click.echo(to_json(line))
    else:
        click.echo(to_json(answer, indent=2))


def emit_line(line: Any) -> None:
    """One of many answers as one line of JSON, at once."""
    click.echo(to_json(line))


def table(
    settings: Settings, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()
) -> None:
    """Rows under their columns, aligned; with `-o plain` tab-separated and without a header.

    right: names of the columns that hold figures.
    """
    if settings.format == "plain":
        for row in rows:
            click.echo("\t".join(row))
        return
    grid = [tuple(columns), *rows]
    widths = [max(len(click.unstyle(row[i])) for row in grid) for i in range(len(columns))]
    for row in grid:
        cells = []
        for i, cell in enumerate(row):
            blanks = " " * (widths[i] - len(click.unstyle(cell)))
            cells.append(blanks + cell if columns[i] in right else cell + blanks)
        click.echo("  ".join(cells).rstrip(), color=True)


def state(settings: Settings, word: str) -> str:
    """A state as glyph and word in its colour on a terminal, and as the bare word elsewhere."""
    glyph, rgb = _STATES.get(word, ("", None))
    shown = word.replace("_", " ")
    if settings.format == "plain" or not settings.coloured() or not glyphs.shows(glyph):
        return word if settings.format == "plain" else shown
    return click.style(f"{glyph} {shown}", fg=rgb) if rgb else f"{glyph} {shown}"


def figure(settings: Settings, value: float | None, shown: Callable[[Any], str]) -> str:
    """A figure as `shown` has it for people; with `-o plain` the bare number, rounded to a whole one."""
    if value is None:
        return UNKNOWN
    return str(round(value)) if settings.format == "plain" else shown(value)


def size(settings: Settings, count: int | None) -> str:
    """Bytes, as `figure` has it."""
    return figure(settings, count, format_size)


def glyph(word: str) -> str:
    """The glyph of a state; '' for a word that has none, or where stdout cannot show it."""
    sign = _STATES.get(word, ("", None))[0]
    return sign if glyphs.shows(sign) else ""


def paint(settings: Settings, word: str, text: str) -> str:
    """Text in the colour of a state, where colours are taken."""
    rgb = _STATES.get(word, ("", None))[1]
    return click.style(text, fg=rgb) if rgb and settings.coloured() else text


def emphasis(settings: Settings, text: str) -> str:
    """Text that stands out where colours are taken."""
    return click.style(text, bold=True) if settings.coloured() else text


def bar(fraction: float, width: int = 24) -> str:
    """A bar of `width` characters, filled up to `fraction` (0 to 1)."""
    filled = int(width * min(1.0, max(0.0, fraction)))
    full, empty = "█·" if glyphs.shows("█") else "#."
    return full * filled + empty * (width - filled)
