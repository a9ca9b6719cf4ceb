"""A part of a terminal that is written anew in place, without flicker, and given back as it was.

It is the alternate screen of the terminal: what stood there before comes back when it ends, however the
command ends. Every frame overwrites the one before line by line; nothing is cleared first.
"""

import os
import shutil
import signal
import sys
from types import FrameType, TracebackType
from typing import Final

# DEC private modes (ctlseqs of xterm): 1049 the alternate screen, 25 the cursor, 7 wrapping of long lines.
_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[H\x1b[2J"
_LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_REST_OF_LINE: Final = "\x1b[K"
_REST_OF_SCREEN: Final = "\x1b[J"


class LiveScreen:
    """The screen while it is ours. Ctrl-Z gives it back, too, until the command goes on."""

    def __init__(self) -> None:
        self._text = ""

    def show(self, text: str) -> None:
        """Show this text: as many lines as fit, each as far as it fits."""
        self._text = text
        lines = text.splitlines()
        height = shutil.get_terminal_size().lines
        if len(lines) > height:
            left = len(lines) - height + 1
            lines = [*lines[: height - 1], f"({left} more lines; a larger terminal shows them)"]
        shown = "\n".join(line + _REST_OF_LINE for line in lines)
        self._write(_HOME + shown.replace("\n", "\r\n") + _REST_OF_SCREEN)

    def __enter__(self) -> "LiveScreen":
        self._write(_ENTER)
        self._before = {
            signal.SIGTSTP: signal.signal(signal.SIGTSTP, self._stop),
            signal.SIGWINCH: signal.signal(signal.SIGWINCH, self._resized),
        }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._write(_LEAVE)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._write(_LEAVE)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        # Here it goes on, after SIGCONT.
        signal.signal(signal.SIGTSTP, self._stop)
        self._write(_ENTER)
        self.show(self._text)

    def _resized(self, _number: int, _frame: FrameType | None) -> None:
        self._write(_HOME + "\x1b[2J")
        self.show(self._text)

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
