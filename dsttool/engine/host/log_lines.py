"""How a line of the log looks: for people, for programs, for the journal of the service manager.

    text      2026-11-21T22:18:33.123Z INFO  engine: a is ready: …
    json      one object a line: time, level, module, message; of an event kind, name and node, too
    journal   <6>engine: a is ready: …       its own time is the better one; <N> is sd-daemon(3)'s priority

Nothing that steers a terminal gets into any of them: peers may put anything into a name or a reason.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TextIO

from dsttool.engine.config.journal import is_journal
from dsttool.engine.config.names import is_name
from dsttool.engine.vocabulary.texts import printable, readable, to_json

Format = Literal["text", "json", "journal"]
FORMATS: Final[tuple[Format, ...]] = ("text", "json", "journal")

_PRIORITIES: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}


class TextLines(logging.Formatter):
    """For people."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-5s %(room)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        record.room = _module(record)
        return _shown(super().format(record))


class JsonLines(TextLines):
    """For programs."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        line: dict[str, Any] = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "module": _module(record),
            "message": record.getMessage(),
        }
        kind = getattr(record, "event_kind", None)
        if kind is not None:
            line["kind"] = kind
            line["name"], line["node"] = _named(getattr(record, "event_label", ""))
        return to_json(line)


class JournalLines(logging.Formatter):
    """For a journal that reads the standard error stream."""

    def __init__(self) -> None:
        super().__init__("%(room)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter. Each line is an entry of its own, so each has its priority."""
        record.room = _module(record)
        prefix = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in _shown(super().format(record)).split("\n"))


_FORMATTERS: Final[Mapping[str, Callable[[], logging.Formatter]]] = {
    "text": TextLines,
    "json": JsonLines,
    "journal": JournalLines,
}


def formatter(wanted: Format | None, stream: TextIO) -> logging.Formatter:
    """The formatter for lines that go to `stream`; without a wish the journal's, if it reads that stream."""
    return _FORMATTERS[wanted or ("journal" if is_journal(stream) else "text")]()


def _module(record: logging.LogRecord) -> str:
    return record.name.rpartition(".")[2]


def _shown(text: str) -> str:
    return printable(readable(text), "\n")


def _named(label: str) -> tuple[str | None, str | None]:
    """Name and node of an event's label, as far as it is such."""
    name, slash, node = label.partition("/")
    if not is_name(name) or (slash and not is_name(node)):
        return label or None, None
    return name, node if slash else None
