"""Say what happened: once, as a line of the log that is an event, too (host.events makes it one).

A line of the log that is only that goes to the module's own logger as everywhere.
"""

import logging
from typing import Final

from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.event_kinds import KINDS
from dsttool.engine.vocabulary.texts import printable

LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def tell(log: logging.Logger, kind: str, label: str, message: str, *values: object) -> None:
    """Something of a kind (vocabulary.event_kinds) has happened to `label`.

    label: NAME of an array or export, or NAME/MEMBER; '' for the daemon. message, values: as the log takes
    them; the label at its beginning is no part of the event's sentence. Not for what happens per request.
    """
    log.log(
        LEVELS[KINDS[kind].level],
        message,
        *values,
        extra={"event_kind": kind, "event_label": label},
    )


class Quiet:
    """A few lines of each topic per period; at its end how many more there were.

    Whatever strangers can bring about as often as they like is said here. Call `close` in the end.
    """

    def __init__(self, reactor: Reactor, log: logging.Logger) -> None:
        self._reactor = reactor
        self._log = log
        self._said: dict[tuple[str, str, str], int] = {}
        self._period: Timer | None = None

    def tell(self, kind: str, label: str, topic: str, text: str) -> None:
        """Say something of a kind; topic: a word for what is counted together."""
        key = (kind, label, topic)
        said = self._said[key] = self._said.get(key, 0) + 1
        if said <= limits.LOG_LINES_PER_PERIOD:
            tell(self._log, kind, label, "%s", printable(text))
        if self._period is None:
            self._period = self._reactor.call_later(limits.LOG_PERIOD_NS, self._end_period)

    def close(self) -> None:
        """Say what was not said yet."""
        if self._period is not None:
            self._period.cancel()
            self._end_period()

    def _end_period(self) -> None:
        self._period = None
        said, self._said = self._said, {}
        for (kind, label, topic), count in said.items():
            more = count - limits.LOG_LINES_PER_PERIOD
            if more > 0:
                tell(self._log, kind, label, "%d more lines like these (%s) are left out", more, topic)
