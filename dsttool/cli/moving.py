"""What the commands that move data themselves share: a reactor with open devices, and a progress bar."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from dsttool.cli import render
from dsttool.cli.settings import Settings
from dsttool.engine.config.units import format_size

if TYPE_CHECKING:
    from dsttool.engine.runtime.reactor import Reactor

_BAR_SECONDS: Final = 0.2
_LINE_SECONDS: Final = 30.0
# Rates are over the last so many seconds, so that the remaining time follows what happens now.
_RATE_SECONDS: Final = 10.0


@contextmanager
def reactor() -> "Iterator[Reactor]":
    """A reactor for one command; its log lines about links go to stderr as warnings."""
    from dsttool.engine.runtime.reactor import Reactor

    made = Reactor()
    try:
        yield made
    finally:
        made.close()


class Progress:
    """Shows how far a job is: a bar on a terminal, else a line every 30 s; on stderr."""

    def __init__(self, settings: Settings, doing: str, total_bytes: int) -> None:
        self._live = sys.stderr.isatty()
        self._silent = settings.quiet or settings.json
        self._doing = doing
        self._total = total_bytes
        self._marks = [(time.monotonic(), 0)]
        self.interval = _BAR_SECONDS if self._live else _LINE_SECONDS

    def show(self, done_bytes: int) -> None:
        """Show the state; call it every `interval` seconds."""
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
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r{text[:width]}\x1b[K")
        sys.stderr.flush()

    def end(self) -> None:
        """Remove the bar."""
        if self._live and not self._silent:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _text(self, done_bytes: int) -> str:
        (then, before), (now, _) = self._marks[0], self._marks[-1]
        rate = (done_bytes - before) / (now - then) if now > then else 0.0
        fraction = done_bytes / self._total if self._total else 1.0
        left = f"{(self._total - done_bytes) / rate:.0f} s left" if rate else "no rate yet"
        sizes = f"{format_size(done_bytes)} of {format_size(self._total)}"
        shown = f"{render.bar(fraction)} " if self._live else ""
        return f"{self._doing} {shown}{fraction:4.0%}  {sizes}  {format_size(int(rate))}/s  {left}"
