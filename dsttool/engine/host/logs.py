"""The log of a process: what is said in its threads becomes lines of one stream (log_lines says how).

Lines are written by a thread of their own: a terminal that is stopped, or a full pipe, must not stop
the reactor. What waits for that thread is bounded; past the bound lines are dropped and counted.
"""

import logging
import logging.handlers
import os
import queue
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TextIO

from dsttool.engine.host.log_lines import Format, formatter
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.limits import MIB

# Lines that may wait; a daemon that logs faster than its log can be written is of no use to read.
WAITING_MAX: Final = 10_000
# A log that has grown this long is put aside, and the one put aside before it goes: a daemon may run for
# years, and its runtime folder is often memory.
LOG_BYTES_KEPT: Final = 8 * MIB
_VERBOSE: Final = (None, logging.DEBUG)
_NAMED: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


class _Queue(logging.handlers.QueueHandler):
    """spelled: the command line says what is said; the configuration does not. form: as asked for."""

    dropped = 0
    spelled = False
    form: Format | None = None

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class _Writer(logging.StreamHandler[TextIO]):
    """Writes lines, puts the log aside when it has grown long, and begins it anew when others moved it."""

    def __init__(self, stream: TextIO, put_aside: Callable[[], None] | None, file: Path | None) -> None:
        super().__init__(stream)
        self._put_aside = put_aside
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        if self._file is not None and self._is_elsewhere(self._file):
            self._begin_anew()
        super().emit(record)
        with suppress(OSError):
            if self._put_aside is not None and os.fstat(self.stream.fileno()).st_size > LOG_BYTES_KEPT:
                self._begin_anew()

    def _is_elsewhere(self, file: Path) -> bool:
        """Whether what is written on is not what is there any more: logrotate(8), or rm(1)."""
        try:
            return not os.path.samestat(os.fstat(self.stream.fileno()), file.stat())
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def _begin_anew(self) -> None:
        # If it cannot be (its folder is full, or gone), the log is written on: this thread must not end.
        with suppress(OSError, DsttoolError):
            if self._put_aside is not None:
                self._put_aside()


class Logs:
    """Log lines of this process go to `stream` from now until `close`.

    put_aside: called from the writing thread when the file behind the stream has grown long, or is not `file`
    any more. form: None for what fits the stream.
    """

    def __init__(
        self,
        verbose: int,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
        put_aside: Callable[[], None] | None = None,
        file: Path | None = None,
        form: Format | None = None,
    ) -> None:
        level = logging.WARNING if quiet else _VERBOSE[min(verbose, len(_VERBOSE) - 1)]
        writer = _Writer(stream or sys.stderr, put_aside, file)
        writer.setFormatter(formatter(form, writer.stream))
        waiting: queue.Queue[Any] = queue.Queue(WAITING_MAX)
        self._handler = _Queue(waiting)
        self._handler.spelled = level is not None
        self._handler.form = form
        self._listener = logging.handlers.QueueListener(waiting, writer)
        self._root = logging.getLogger("dsttool")
        self._root.propagate = False
        self._root.addHandler(self._handler)
        _set_level(self._handler, logging.INFO if level is None else level)
        self._listener.start()

    def close(self) -> None:
        """Write what waits and end the thread."""
        if self._handler.dropped:
            self._root.warning("%d log lines were dropped", self._handler.dropped)
        self._root.removeHandler(self._handler)
        self._listener.stop()


def configure(level: str | None) -> None:
    """Say what the configuration wants said (debug, info, warning; None for the default), from now on.

    What the command line spells (-v, -q) is stronger.
    """
    for handler in logging.getLogger("dsttool").handlers:
        if isinstance(handler, _Queue) and not handler.spelled:
            _set_level(handler, _NAMED[level or "info"])


def is_spelled() -> bool:
    """Whether the command line says what is said."""
    handlers = logging.getLogger("dsttool").handlers
    return any(isinstance(handler, _Queue) and handler.spelled for handler in handlers)


def form() -> Format | None:
    """How lines look, as it was asked for by the command line or else the configuration."""
    handlers = logging.getLogger("dsttool").handlers
    return next((handler.form for handler in handlers if isinstance(handler, _Queue)), None)


def _set_level(handler: logging.Handler, level: int) -> None:
    """What goes to a handler. Events are made of lines that are not written, too (host.events)."""
    handler.setLevel(level)
    logging.getLogger("dsttool").setLevel(min(level, logging.INFO))
