"""The last events of a daemon: what happened, in order, for those who watch and those who ask later.

Belongs to the reactor's thread. It asks no clock itself, and knows nothing of who raises events.
"""

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

from dsttool.engine.vocabulary.stream import Event, Level

# What a daemon remembers: hours of a bad day. An event is about 200 bytes.
EVENTS_MAX: Final = 1000
# A sentence; what a peer says may be part of it, and a peer may say much.
TEXT_MAX: Final = 500

Listener = Callable[[Event], None]
"""Told of each event, at once and on the reactor; must not raise."""


class EventLog:
    """A ring of the last EVENTS_MAX events. `clock`: Unix time in ns."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self.last_id = 0
        self.listeners: list[Listener] = []

    def add(self, level: Level, kind: str, name: str, node: str | None, text: str) -> Event:
        """Something happened now. See Event for the words; `text` is cut off at TEXT_MAX characters."""
        self.last_id += 1
        event: Event = {
            "id": self.last_id,
            "time_ns": self._clock(),
            "level": level,
            "kind": kind,
            "name": name,
            "node": node,
            "text": text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…",
        }
        self._events.append(event)
        for listener in self.listeners:
            listener(event)
        return event

    def since(self, id_: int) -> list[Event]:
        """Events with a higher id, oldest first; those that fell out of the ring are missing."""
        newer = min(len(self._events), max(0, self.last_id - id_))
        return list(islice(self._events, len(self._events) - newer, None))
