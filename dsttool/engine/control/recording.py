"""Recordings of the status stream, schema "dsttool.recording/1": JSON lines, for a look afterwards.

    {"schema": "dsttool.recording/1", "began_ns": Unix time}
    {"at_ns": ns since then, "place": …, "daemon": …, "frame": {…} or null, "reason": …}     and so on

Each line is what a Watch told: a frame of the stream, or, with null, that a daemon (without one: a place) was
lost. A recording that ends in the middle of a line was cut off there; the rest of it holds.
"""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from dsttool.engine.control.frames import FRAME_BYTES_MAX, check_frame
from dsttool.engine.control.picture import Update
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, ProtocolError, UsageError, from_oserror
from dsttool.engine.vocabulary.texts import to_json

SCHEMA: Final = "dsttool.recording/1"
_LINE_BYTES_MAX: Final = FRAME_BYTES_MAX + 4096


def _opened(path: Path, *, replace: bool) -> int:
    """A file that nobody else can read, also if it was there before. FileExistsError, OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if replace else os.O_EXCL)
    descriptor = os.open(path, flags, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.fchmod(descriptor, 0o600)
    return descriptor


def taken(path: Path) -> Conflict:
    """What is said of a file that exists, and is not to be replaced."""
    return Conflict(f"{path} exists already.", "Choose another file, or replace it with -y.")


class Writer:
    """Writes a recording. `frames`, `bytes`: what was written so far. Times by any clock, in ns.

    Readable by its owner only: names, addresses and clients are in it. Conflict if the file exists, unless
    it is to be replaced.
    """

    def __init__(self, path: Path, began_ns: int, now_ns: int, *, replace: bool = False) -> None:
        self._path = path
        self._now_ns = now_ns
        self.frames = 0
        self.bytes = 0
        try:
            self._file = os.fdopen(_opened(path, replace=replace), "wb")
        except FileExistsError:
            raise taken(path) from None
        except OSError as error:
            raise from_oserror(error, f"write {path}") from error
        try:
            self._write({"schema": SCHEMA, "began_ns": began_ns})
        except BaseException:
            self.close()
            raise

    def add(self, update: Update) -> None:
        """One line more, written through to the system. Raises DsttoolError if there is no room for it."""
        self._write(
            {
                "at_ns": max(0, update.received_ns - self._now_ns),
                "place": update.place,
                "daemon": update.daemon,
                "frame": update.frame,
                "reason": update.reason,
            }
        )
        self.frames += update.frame is not None

    def close(self) -> None:
        """End it. Every line is written through before, so that nothing is left that could fail."""
        with suppress(OSError):
            self._file.close()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, line: dict[str, Any]) -> None:
        packed = to_json(line).encode() + b"\n"
        try:
            self._file.write(packed)
            self._file.flush()
        except OSError as error:
            raise from_oserror(error, f"write {self._path}") from error
        self.bytes += len(packed)


class Reader:
    """Reads a recording; `began_ns`: Unix time of its beginning. NotFound, UsageError if it is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise from_oserror(error, f"read {path}") from error
        self._number = 0
        try:
            header = self._line()
            if header is None or header.get("schema") != SCHEMA or type(header.get("began_ns")) is not int:
                raise UsageError(
                    f"{path} is not a recording of {SCHEMA!r}.", "`dsttool record FILE` makes recordings."
                )
        except BaseException:
            self._file.close()
            raise
        self.began_ns: int = header["began_ns"]

    def __iter__(self) -> Iterator[Update]:
        """What was recorded, in order; `received_ns` is the time since the beginning. Raises UsageError."""
        while (line := self._line()) is not None:
            update = self._update(line)
            if update is not None:
                yield update

    def close(self) -> None:
        """Read no more."""
        self._file.close()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _line(self) -> dict[str, Any] | None:
        """The next line; None at the end, or where the rest was cut off."""
        try:
            text = self._file.readline(_LINE_BYTES_MAX + 1)
        except OSError as error:
            raise from_oserror(error, f"read {self._path}") from error
        self._number += 1
        if len(text) <= _LINE_BYTES_MAX and not text.endswith(b"\n"):
            return None
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        if not isinstance(line, dict):
            raise self._wrong()
        return line

    def _update(self, line: dict[str, Any]) -> Update | None:
        at_ns, place, daemon = line.get("at_ns"), line.get("place"), line.get("daemon")
        if type(at_ns) is not int or not isinstance(place, str) or not isinstance(daemon, str):
            raise self._wrong()
        try:
            frame = line.get("frame")
            checked = None if frame is None else check_frame(frame)
        except ProtocolError as error:
            raise self._wrong() from error
        if frame is not None and checked is None:
            return None  # A frame of a later release.
        return Update(place, daemon, at_ns, checked, str(line.get("reason") or ""))

    def _wrong(self) -> DsttoolError:
        before = self._number - 1
        return UsageError(
            f"Line {self._number} of {self._path} is no line of a recording.",
            f"What comes before it can be saved: head -n {before} '{self._path}' > OTHER"
            if before > 1  # its first line is the header
            else "`dsttool record FILE` makes recordings.",
        )
