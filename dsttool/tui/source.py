"""Where pictures come from: the daemons that run, or a recording of them.

A source gathers in threads of its own what arrives, and says that something did; only the screen's own thread
applies it, at its own pace (`advance`), so that a picture never changes while it is drawn.
"""

import copy
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from dsttool.engine.control import clock
from dsttool.engine.control.picture import Picture, Update
from dsttool.tui.taking import take

if TYPE_CHECKING:
    from dsttool.engine.control.place import Place
    from dsttool.engine.control.watching import Watch


# Updates that wait for the screen: ten seconds of a dozen busy daemons.
ARRIVED_MAX: Final = 512


class Source(Protocol):
    """What the screens ask of where pictures come from. None of it waits."""

    picture: Picture

    def start(self, changed: Callable[[], None]) -> None:
        """Begin; `changed` is called, from any thread, whenever there is something to advance to."""

    def advance(self) -> bool:
        """Apply what arrived. Whether the picture is another now."""

    def now_ns(self) -> int:
        """The time at which the picture is looked at, by the clock that its updates came by."""

    def wall_ns(self) -> int:
        """The same by the clock on the wall: Unix time in ns."""

    @property
    def note(self) -> str:
        """What is out of the ordinary about it, in a few words; "" for nothing."""

    def set_filter(self, text: str) -> None:
        """Which transactions to tell of. UsageError if that is no filter; the one before stays."""

    def close(self) -> None:
        """End threads and connections."""


class Live:
    """The daemons of some places, as they are now."""

    note = ""

    def __init__(self, places: "Sequence[Place]") -> None:
        self.picture = Picture()
        self._places = places
        self._watch: Watch | None = None
        self._arrived: list[Update] = []
        self._room = threading.Condition()
        self._closed = False
        self._changed: Callable[[], None] | None = None

    def start(self, changed: Callable[[], None]) -> None:
        """As Source's. The sockets are connected in a thread."""
        from dsttool.engine.control.watching import Watch

        self._changed = changed
        self._watch = Watch(self._places, self._take)

    def advance(self) -> bool:
        """As Source's."""
        with self._room:
            arrived, self._arrived = self._arrived, []
            self._room.notify()
        for update in arrived:
            take(self.picture, update)
        return bool(arrived)

    def now_ns(self) -> int:
        """As Source's."""
        return clock.now_ns()

    def wall_ns(self) -> int:
        """As Source's."""
        return time.time_ns()

    def set_filter(self, text: str) -> None:
        """As Source's."""
        if self._watch is not None:
            self._watch.set_filter(text)

    def close(self) -> None:
        """As Source's."""
        with self._room:
            self._closed = True
            self._room.notify()
        if self._watch is not None:
            self._watch.close()

    def _take(self, update: Update) -> None:
        """In the watching thread: keep it for the screen's. While that one is stuck, in a terminal that takes
        nothing, this one waits, and the daemons send less.
        """
        with self._room:
            self._room.wait_for(lambda: self._closed or len(self._arrived) < ARRIVED_MAX)
            self._arrived.append(update)
        if self._changed is not None:
            self._changed()


def frozen(picture: Picture) -> Picture:
    """A picture that stays as it is. States are never changed in place; histories and events are."""
    still = Picture()
    for name, place in picture.places.items():
        still.places[name] = copy.copy(place)
        still.places[name].daemons = {}
    for found in picture.daemons():
        kept = copy.copy(found.entry)
        kept.events = found.entry.events.copy()
        kept.history = copy.deepcopy(found.entry.history)
        still.places[found.place].daemons[found.daemon] = kept
    return still
