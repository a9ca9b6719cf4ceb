"""How far long work is: a bar with rate and remaining time on a terminal, elsewhere a line every 30 s."""

import os
import shutil
import sys
import time
from typing import Final

from dsttool.cli import render
from dsttool.cli.settings import Settings
from dsttool.engine.config.units import format_size, format_span

_BAR_SECONDS: Final = 0.2
_LINE_SECONDS: Final = 30.0
# Rates are over the last so many seconds, so that the remaining time follows what happens now.
_RATE_SECONDS: Final = 10.0


class LineInPlace:
    """One line of stderr that is written anew again and again, with nothing but blanks and carriage returns:
    every terminal takes those, whatever it may know of colours and cursors.
    """

    def __init__(self) -> None:
        self._shown = 0

    @staticmethod
    def possible() -> bool:
        """Whether stderr is a terminal on which a line can be written over."""
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def write(self, text: str) -> None:
        """Show this instead of what is shown, as far as it fits."""
        text = text[: shutil.get_terminal_size().columns - 1]
        sys.stderr.write(f"\r{text:<{self._shown}}")
        sys.stderr.flush()
        self._shown = len(text)

    def clear(self) -> None:
        """Leave an empty line."""
        if self._shown:
            self.write("")
            sys.stderr.write("\r")
            sys.stderr.flush()


class Progress:
    """Shows how far a job is: a bar on a terminal, else a line every 30 s; on stderr."""

    def __init__(self, settings: Settings, doing: str, total_bytes: int = 0) -> None:
        self._live = LineInPlace.possible()
        self._line = LineInPlace()
        self._silent = settings.quiet or settings.json
        self._doing = doing
        self._total = total_bytes
        self._marks = [(time.monotonic(), 0)]
        self.interval = _BAR_SECONDS if self._live else _LINE_SECONDS

    def show(self, done_bytes: int, total_bytes: int | None = None) -> None:
        """Show the state; call it every `interval` seconds. total_bytes: if it is another by now."""
        if total_bytes is not None:
            self._total = total_bytes
        if self._silent:
            return
        now = time.monotonic()
        self._marks.append((now, done_bytes))
        while len(self._marks) > 2 and now - self._marks[1][0] > _RATE_SECONDS:
            del self._marks[0]
        text = self._text(done_bytes)
        if not self._live:
            print(text, file=sys.stderr, flush=True)
            return
        self._line.write(text)

    def end(self) -> None:
        """Remove the bar."""
        self._line.clear()

    def _text(self, done_bytes: int) -> str:
        (then, before), (now, _) = self._marks[0], self._marks[-1]
        rate = (done_bytes - before) / (now - then) if now > then else 0.0
        fraction = done_bytes / self._total if self._total else 1.0
        left_ns = int((self._total - done_bytes) / rate * 1e9) if rate > 0 else None
        left = "no rate yet" if left_ns is None else f"{format_span(left_ns)} left"
        sizes = f"{format_size(done_bytes)} of {format_size(self._total)}"
        shown = f"{render.bar(fraction)} " if self._live else ""
        return f"{self._doing} {shown}{fraction:4.0%}  {sizes}  {format_size(int(rate))}/s  {left}"


class TimeProgress:
    """Shows how much of a time has passed, as Progress does; it begins when this is made."""

    def __init__(self, settings: Settings, doing: str, seconds: float) -> None:
        self._live = LineInPlace.possible()
        self._line = LineInPlace()
        self._silent = settings.quiet or settings.json
        self._doing = doing
        self._seconds = seconds
        self._began = time.monotonic()
        self.interval = _BAR_SECONDS if self._live else _LINE_SECONDS

    def show(self) -> None:
        """Show the state; call it every `interval` seconds."""
        spent = min(time.monotonic() - self._began, self._seconds)
        fraction = spent / self._seconds
        text = f"{fraction:4.0%}  {spent:.1f} s of {self._seconds:g} s"
        if self._silent:
            return
        if self._live:
            self._line.write(f"{self._doing} {render.bar(fraction)} {text}")
        else:
            print(f"{self._doing} {text}", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Remove the bar."""
        self._line.clear()
