"""A recording as a source: it plays at the speed at which it was made, stops, and goes in steps.

Times are the recording's own: ns since its beginning. A step back plays it anew from the beginning, for only
there is everything known that the frames change.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from dsttool.engine.control.picture import Picture, Update
from dsttool.engine.control.recording import Reader
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError
from dsttool.engine.vocabulary.limits import MS, SECOND
from dsttool.tui.cells import clean
from dsttool.tui.taking import take

# Updates this close together are one step: several daemons tell of the same moment.
_MOMENT_NS: Final = 100 * MS


class Replay:
    """As Source. It is played in the loop that `start` is called in."""

    def __init__(self, path: Path, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """Open it. Raises NotFound, Forbidden, UsageError."""
        self.playing = True
        self._path = path
        self._clock = clock
        self._changed: Callable[[], None] | None = None
        self._stepped = False
        self._due: asyncio.TimerHandle | None = None
        self._rewind()

    def start(self, changed: Callable[[], None]) -> None:
        """As Source's."""
        self._changed = changed
        self._since_ns = self._clock()
        changed()

    def advance(self) -> bool:
        """As Source's: everything up to now."""
        some = self._play_to(self.now_ns()) or self._stepped
        self._stepped = False
        if self._next is not None and self.playing:
            self._cancel()
            wait = max(0, self._next.received_ns - self.now_ns()) / SECOND
            self._due = asyncio.get_running_loop().call_later(wait, self._tell)
        return some

    def toggle(self) -> None:
        """Stop, or go on."""
        self._stop_at(self.now_ns())
        self.playing = not self.playing
        self._tell()

    def step(self, by: int) -> None:
        """Stop, one moment later (1) or earlier (-1)."""
        self._stop_at(self.now_ns())
        self.playing = False
        if by > 0 and self._next is not None:
            self._stop_at(self._next.received_ns + _MOMENT_NS)
        elif by < 0:
            earlier = self._moments[-2] if len(self._moments) > 1 else 0
            self._reader.close()
            self._rewind()
            self._stop_at(earlier + _MOMENT_NS)
        self._stepped = True
        self._tell()

    @property
    def note(self) -> str:
        """As Source's."""
        if self._wrong:
            return self._wrong
        word = "ended" if self._next is None else "playing" if self.playing else "stopped"
        return f"replay {word} at {self.now_ns() / SECOND:.1f} s"

    def now_ns(self) -> int:
        """As Source's."""
        if not self.playing or self._next is None:
            return self._at_ns
        return self._at_ns + self._clock() - self._since_ns

    def wall_ns(self) -> int:
        """As Source's: when it was recorded."""
        return self._reader.began_ns + self.now_ns()

    def set_filter(self, text: str) -> None:
        """As Source's; but nobody is there who could apply it."""
        raise Conflict("A recording cannot be filtered any more.", "Filters work on what runs.")

    def close(self) -> None:
        """As Source's."""
        self._changed = None
        self._cancel()
        self._reader.close()

    def _rewind(self) -> None:
        """To the beginning, where nothing is known."""
        self.picture = Picture()
        self._reader = Reader(self._path)
        self._updates = iter(self._reader)
        self._moments: list[int] = []
        self._wrong = ""
        self._at_ns = 0
        self._since_ns = self._clock()
        self._next: Update | None = None
        self._read()

    def _stop_at(self, at_ns: int) -> None:
        self._at_ns = at_ns
        self._since_ns = self._clock()

    def _play_to(self, at_ns: int) -> bool:
        """Apply what was told until then. Whether that was something."""
        some = False
        while self._next is not None and self._next.received_ns <= at_ns:
            if not self._moments or self._next.received_ns > self._moments[-1] + _MOMENT_NS:
                self._moments.append(self._next.received_ns)
            take(self.picture, self._next)
            some = True
            if not self._read():
                self._stop_at(at_ns)
        return some

    def _read(self) -> bool:
        """The next update. False at the end, and where the rest cannot be read."""
        try:
            self._next = next(self._updates, None)
        except DsttoolError as error:
            self._next = None
            self._wrong = clean(error.what)
        return self._next is not None

    def _cancel(self) -> None:
        if self._due is not None:
            self._due.cancel()

    def _tell(self) -> None:
        self._cancel()
        if self._changed is not None:
            self._changed()
