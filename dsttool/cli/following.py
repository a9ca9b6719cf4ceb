"""Commands that look for a while: a picture of all daemons that is kept current by the status stream."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from dsttool.engine.config.units import format_span
from dsttool.engine.control import clock
from dsttool.engine.control.gathering import lost
from dsttool.engine.control.picture import DaemonPicture, Picture, Update
from dsttool.engine.control.place import Place
from dsttool.engine.control.watching import Watch
from dsttool.engine.vocabulary import status
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.status import Status

# Seconds in which whoever has said nothing for long may still speak: each does so every second.
MOMENT: Final = 2.0


class Following:
    """Follows the daemons of some places; `picture` may be looked at with `lock` held.

    told: called with what of a daemon each update changed, with the lock held; it must not wait.
    """

    def __init__(
        self,
        places: Sequence[Place],
        told: Callable[[DaemonPicture], None] | None = None,
    ) -> None:
        self.picture = Picture()
        self.lock = threading.Condition()
        self._told = told
        self._places = places
        self._silent: set[tuple[str, str]] = set()
        # Of whom `settle` has heard nothing, though it waited so many seconds.
        self._awaited: list[tuple[str, str]] = []
        self._patience = 0.0
        self._watch = Watch(places, self._tell, transactions=False)

    def settle(self, seconds: float) -> None:
        """Wait until every daemon there is has told everything, or that it does not; so long at most.

        Raises DsttoolError if none of the places can be reached; one that cannot is no reason to see nothing.
        """
        failures: list[DsttoolError] = []
        wanted = self._names(failures)
        if len(failures) == len(self._places):
            raise failures[0]
        with self.lock:
            if self.lock.wait_for(lambda: all(self._known(*each) for each in wanted), seconds):
                return
        there = self._names([])  # Those who ended meanwhile owe no answer.
        with self.lock:
            self._awaited, self._patience = [each for each in wanted if each in there], seconds

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Wait so long, or until something holds, which is asked after each update; whether it held."""
        with self.lock:
            return self.lock.wait_for(until, seconds)

    def listen(self) -> None:
        """Find out who hangs: is connected, and says nothing. `status` then has them as unreachable.

        Before that is said of somebody, they have another moment: perhaps it was this process that did
        nothing for so long, or the machine that slept.
        """
        with self.lock:
            self.lock.wait_for(lambda: self._unheard() <= self._silent, MOMENT)
            self._silent = self._unheard()

    def status(self) -> Status:
        """What is known now, as `status` has it. With the lock held."""
        total = status.empty()
        for found in self.picture.daemons():
            picture = found.entry
            if picture.lost_since_ns is not None:
                if not picture.ended:
                    total["daemons"].append(lost(found.daemon, "", picture.reason))
            elif (found.place, found.daemon) in self._silent:
                silence = format_span(picture.age_ns(clock.now_ns()))
                total["daemons"].append(lost(found.daemon, "", f"nothing was heard of it for {silence}"))
            elif picture.state is not None:
                state = picture.state
                total["arrays"] += list(state["arrays"].values())
                total["exports"] += list(state["exports"].values())
                total["daemons"].append(state["daemon"])
        for place_name, name in self._awaited:
            if not self._known(place_name, name):
                total["daemons"].append(lost(name, "", f"no answer within {self._patience:g} s"))
        for name, place in sorted(self.picture.places.items()):
            if place.lost_since_ns is not None:
                total["daemons"].append(lost(name, "", place.reason))
        return total

    def close(self) -> None:
        """Follow no more."""
        self._watch.close()

    def _names(self, failures: list[DsttoolError]) -> list[tuple[str, str]]:
        """The daemons of all places; why some cannot be asked is added to `failures`."""
        found: list[tuple[str, str]] = []
        for place in self._places:
            try:
                found += [(place.name, name) for name in place.daemons()]
            except DsttoolError as error:
                failures.append(error)
        return found

    def _known(self, place: str, daemon: str) -> bool:
        known = self.picture.places.get(place)
        picture = known.daemons.get(daemon) if known else None
        return picture is not None and (picture.state is not None or picture.lost_since_ns is not None)

    def _unheard(self) -> set[tuple[str, str]]:
        now = clock.now_ns()
        return {
            (found.place, found.daemon)
            for found in self.picture.daemons()
            if found.entry.lost_since_ns is None and found.entry.stale(now)
        }

    def _tell(self, update: Update) -> None:
        with self.lock:
            self._silent.discard((update.place, update.daemon))
            changed = self.picture.apply(update)
            if self._told is not None and isinstance(changed, DaemonPicture):
                self._told(changed)
            self.lock.notify_all()


@contextmanager
def following(
    places: Sequence[Place], told: Callable[[DaemonPicture], None] | None = None
) -> Iterator[Following]:
    """A Following that ends with the block."""
    made = Following(places, told)
    try:
        yield made
    finally:
        made.close()
