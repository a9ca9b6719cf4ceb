"""Where a daemon's events come from: lines of the log that say what they are (runtime.telling).

Nothing is asked per request: an event costs what its line of log costs, and there is one when something
changes. Something that goes on happening fills neither the ring nor the screens of those who watch: of
each kind and object a few per period are events, then one says how many more there were.
"""

import logging
import threading
import time
from types import TracebackType
from typing import Final

from dsttool.engine.array.array import Array
from dsttool.engine.control.event_log import EventLog
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary.event_kinds import KINDS
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.texts import printable

LOG = logging.getLogger(__name__)

# Of one kind and object. A link that is lost every two seconds takes hours to push the rest out of the ring.
EVENTS_PER_PERIOD: Final = 10
PERIOD_NS: Final = 60 * SECOND


class Events(logging.Handler):
    """The events of one daemon, from now until `close`. names: what it serves, its own name first.

    log: where they are. Belongs to the reactor's thread; lines of other threads are posted to it.
    """

    def __init__(self, reactor: Reactor, names: list[str]) -> None:
        super().__init__(logging.INFO)
        self.event_log = EventLog(time.time_ns)
        self._names = names
        self._reactor = reactor
        self._thread = threading.get_ident()
        self._seen: dict[tuple[str, str], int] = {}
        self._latest: dict[tuple[str, str], str] = {}
        logging.getLogger("dsttool").addHandler(self)

    def __enter__(self) -> "Events":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """What is said from now on is no event."""
        logging.getLogger("dsttool").removeHandler(self)
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        kind = getattr(record, "event_kind", None)
        if kind is None:
            return
        label: str = getattr(record, "event_label", "")
        try:
            message = printable(record.getMessage())
        except (TypeError, ValueError):
            self.handleError(record)
            return
        if threading.get_ident() == self._thread:
            self._take(kind, label, message)
        else:
            self._reactor.post(lambda: self._take(kind, label, message))

    def _take(self, kind: str, label: str, message: str) -> None:
        key = (kind, label)
        seen = self._seen.get(key, 0) + 1
        if not self._seen:
            self._reactor.call_later(PERIOD_NS, self._end_period)
        self._seen[key] = seen
        name, node = self._split(label)
        text = sentence(message, label, name)
        if seen <= EVENTS_PER_PERIOD:
            self.event_log.add(KINDS[kind].level, kind, name, node, text)
        else:
            self._latest[key] = text

    def _end_period(self) -> None:
        """Tell what was left out; what still goes on is left out in the next period, too."""
        before, self._seen = self._seen, {}
        for key, seen in before.items():
            more = seen - EVENTS_PER_PERIOD
            if more <= 0:
                continue
            kind, label = key
            name, node = self._split(label)
            text = f"{more} more in {PERIOD_NS // SECOND} s, the last: {self._latest.pop(key)}"
            self.event_log.add(KINDS[kind].level, kind, name, node, text)
            self._seen[key] = EVENTS_PER_PERIOD
        if self._seen:
            self._reactor.call_later(PERIOD_NS, self._end_period)

    def _split(self, label: str) -> tuple[str, str | None]:
        """The name and the member of a label; the daemon's name for what is none of both."""
        name, slash, node = label.partition("/")
        if name in self._names:
            return name, node if slash else None
        return self._names[0], None


class ArrayStates:
    """Says when the state of an array is another. Have `changed` called whenever it may be."""

    def __init__(self, reactor: Reactor, array: Array) -> None:
        self._reactor = reactor
        self._array = array
        self._before = "online"
        self._due = False

    def changed(self) -> None:
        """Look once this turn is over, however often this is called in it."""
        if not self._due:
            self._due = True
            self._reactor.post(self._look)

    def _look(self) -> None:
        self._due = False
        array = self._array
        state, before = array.state, self._before
        if state != before:
            self._before = state
            tell(LOG, f"array.{state}", array.name, "%s is %s: %s", array.name, state, _why(array))


def _why(array: Array) -> str:
    shown = [(member.name, member.status()["state"]) for member in array.members]
    reasons = [f"{name} is {state}" for name, state in shown if state != "in_sync"]
    held = [each.name for each in array.members if each.node is not None and each.node.frozen]
    reasons += [f"{name} gave no answer within its budget" for name in held]
    return ", ".join(reasons) or "all members are in sync"


def sentence(message: str, label: str, name: str) -> str:
    """A line of the log as a sentence of its own: without whom it is about, which the event says anyway."""
    for prefix in (label, f"export {label}", name):
        if prefix and message.startswith(f"{prefix}: "):
            message = message[len(prefix) + 2 :]
            message = message[:1].upper() + message[1:]
            break
    return message if message.endswith((".", "!", "?")) else f"{message}."
