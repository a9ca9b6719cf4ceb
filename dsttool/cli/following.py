"""Commands that look for a while: a picture of all daemons that is kept current by the status stream."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from dsttool.engine.control.gathering import lost
from dsttool.engine.control.picture import Picture, Update
from dsttool.engine.control.place import Place
from dsttool.engine.control.watching import Watch
from dsttool.engine.vocabulary import status
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.status import Status


class Following:
    """Follows the daemons of some places; `picture` may be looked at with `lock` held. `unreachable`: places
    that cannot be reached, and why.

    told: called with each update, after the picture has it and with the lock held; it must not wait.
    """

    def __init__(
        self,
        places: Sequence[Place],
        told: Callable[[Update], None] | None = None,
        *,
        transactions: bool = False,
    ) -> None:
        self.picture = Picture()
        self.lock = threading.Condition()
        self._told = told
        self._places = places
        self.unreachable: dict[str, str] = {}
        self._watch = Watch(places, self._tell, transactions=transactions)

    def settle(self, seconds: float) -> None:
        """Wait until every daemon there is has told everything, or that it does not; so long at most."""
        try:
            wanted = [(place.name, name) for place in self._places for name in place.daemons()]
        except DsttoolError:
            self.close()
            raise
        deadline = time.monotonic() + seconds
        with self.lock:
            self.lock.wait_for(
                lambda: all(self._known(*each) for each in wanted), max(0.0, deadline - time.monotonic())
            )

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Wait so long, or until something holds, which is asked after each update; whether it held."""
        with self.lock:
            return self.lock.wait_for(until, seconds)

    def status(self) -> Status:
        """What is known now, as `status` has it. With the lock held."""
        total = status.empty()
        for found in self.picture.daemons():
            picture = found.entry
            if not found.daemon:
                continue  # The place itself, which is not among its daemons.
            if picture.lost_since_ns is not None:
                if not picture.ended:
                    total["daemons"].append(lost(found.daemon, "", picture.reason))
            elif picture.state is not None:
                state = picture.state
                total["arrays"] += list(state["arrays"].values())
                total["exports"] += list(state["exports"].values())
                total["daemons"].append(state["daemon"])
        total["daemons"] += [lost(place, "", reason) for place, reason in sorted(self.unreachable.items())]
        return total

    def close(self) -> None:
        """Follow no more."""
        self._watch.close()

    def _known(self, place: str, daemon: str) -> bool:
        known = self.picture.places.get(place)
        picture = known.daemons.get(daemon) if known else None
        return picture is not None and (picture.state is not None or picture.lost_since_ns is not None)

    def _tell(self, update: Update) -> None:
        with self.lock:
            self.picture.apply(update)
            if not update.daemon:
                self._tell_place(update)
            if self._told is not None:
                self._told(update)
            self.lock.notify_all()

    def _tell_place(self, update: Update) -> None:
        """A machine was lost, or, without a reason, found again."""
        if update.reason:
            self.unreachable[update.place] = update.reason
        else:
            self.unreachable.pop(update.place, None)


@contextmanager
def following(places: Sequence[Place], told: Callable[[Update], None] | None = None) -> Iterator[Following]:
    """A Following that ends with the block."""
    made = Following(places, told)
    try:
        yield made
    finally:
        made.close()
