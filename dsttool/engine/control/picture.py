"""Everything known of some machines' daemons, put together from the frames they send.

Pure: no thread, no clock; frames come in as Updates, live or from a recording, and `now` as an argument. A
frame never changes what an earlier one left: unchanged parts of a new state are the same objects as before,
so that a screen may keep a state, and compares with `is` what it has to draw again.

    nothing --hello--> greeted --snapshot--> current --delta, event--> current
       any --connection lost--> lost, with all that was known, until the next hello
"""

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

from dsttool.engine.control.event_log import EVENTS_MAX
from dsttool.engine.control.rings import History
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.status import ArrayStatus, ExportStatus, TransactionStatus
from dsttool.engine.vocabulary.stream import Delta, Event, Frame, Hello, Snapshot, State

# Silence after which a picture is no picture of now: a daemon sends rates once a second.
STALE_NS: Final = 3 * SECOND
# State words of arrays and exports, the worst first.
WORST_FIRST: Final = (
    *("failed", "unreachable", "frozen", "degraded", "down"),
    *("stopping", "starting", "waiting", "read_only", "serving", "online"),
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Update:
    """One frame of one daemon, or (None) that its connection is lost and why.

    place, daemon: names. received_ns: when it came, by the clock that `now` is of: that of control.clock, and
    in a recording the time since its beginning. With no daemon ("") it is about the place: lost for that
    reason, or, without a reason, reached again.
    """

    place: str
    daemon: str
    received_ns: int
    frame: Frame | None
    reason: str = ""


class Found(NamedTuple, Generic[T]):
    """Something of a daemon's status, and where it is."""

    place: str
    daemon: str
    entry: T


class DaemonPicture:
    """What one daemon told. `lost_since_ns` is set while there is no connection to it; `ended`: it said
    goodbye. `dropped`: deltas that were not sent, because this side read slowly.
    """

    def __init__(self) -> None:
        self.hello: Hello | None = None
        self.state: State | None = None
        self.history: dict[str, History] = {}
        self.events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self.filter = ""
        self.lost_since_ns: int | None = None
        self.reason = ""
        self.ended = False
        self.last_ns = 0
        self.dropped = 0

    def apply(self, update: Update) -> None:
        """Take what came. Frames must have passed control.frames; anything else is a defect here."""
        frame = update.frame
        if frame is None:
            if self.lost_since_ns is None:
                self.lost_since_ns = update.received_ns
            self.reason = update.reason or self.reason
            return
        self.last_ns = update.received_ns
        if frame["type"] == "hello":
            self._greet(frame)
        elif frame["type"] == "snapshot":
            self._begin(frame)
        elif frame["type"] == "delta":
            self._change(frame)
        elif frame["type"] == "event":
            self._note(frame["event"])
        else:
            self.ended = True
            self.reason = frame.get("reason", "")

    def age_ns(self, now: int) -> int:
        """How old the picture is: the time since the last frame."""
        return max(0, now - self.last_ns)

    def stale(self, now: int) -> bool:
        """Whether it is no picture of now: the connection is lost, or the daemon silent."""
        return self.lost_since_ns is not None or self.age_ns(now) > STALE_NS

    def _greet(self, hello: Hello) -> None:
        if self.hello is not None and self.hello["instance"] != hello["instance"]:
            self.events.clear()  # ids begin again
            self.history = {}
            self.state = None
        self.hello = hello
        self.lost_since_ns = None
        self.reason = ""
        self.ended = False

    def _begin(self, snapshot: Snapshot) -> None:
        self.state = snapshot["state"]
        self.filter = snapshot["filter"]
        self.history |= {label: History.of(sent) for label, sent in snapshot["history"].items()}
        if snapshot.get("sampled"):
            self._sampled(self.state, snapshot.get("sampled_ns", snapshot["time_ns"]))
        for event in snapshot["events"]:
            self._note(event)

    def _change(self, delta: Delta) -> None:
        self.dropped += delta["dropped"]
        if self.state is None:
            return  # Deltas are of a snapshot; without one there is nothing to change.
        state = cast(dict[str, Any], self.state)
        for path, value in delta["changes"]:
            state = _with(state, path, value)
        for path in delta["removals"]:
            state = _without(state, path)
        self.state = cast(State, state)
        if delta["sampled"]:
            self._sampled(self.state, delta.get("sampled_ns", delta["time_ns"]))

    def _sampled(self, state: State, end_ns: int) -> None:
        for label in self.history.keys() - state["rates"].keys():
            del self.history[label]
        for label, rates in state["rates"].items():
            if label not in self.history:
                self.history[label] = History()
            self.history[label].add(end_ns, rates)

    def _note(self, event: Event) -> None:
        if not self.events or event["id"] > self.events[-1]["id"]:
            self.events.append(event)


class PlacePicture:
    """The daemons of one place, by name. `lost_since_ns`: since when the place cannot be reached, and why."""

    def __init__(self) -> None:
        self.daemons: dict[str, DaemonPicture] = {}
        self.lost_since_ns: int | None = None
        self.reason = ""

    def apply(self, update: Update) -> None:
        """Take what came about the place itself."""
        self.reason = update.reason
        if not update.reason:
            self.lost_since_ns = None
        elif self.lost_since_ns is None:
            self.lost_since_ns = update.received_ns


class Picture:
    """The daemons of all places."""

    def __init__(self) -> None:
        self.places: dict[str, PlacePicture] = {}

    def apply(self, update: Update) -> PlacePicture | DaemonPicture:
        """Take what came; what of the picture it changed."""
        place = self.places.setdefault(update.place, PlacePicture())
        changed: PlacePicture | DaemonPicture = place
        if update.daemon:
            changed = place.daemons.setdefault(update.daemon, DaemonPicture())
        changed.apply(update)
        return changed

    def forget(self, place: str, daemon: str) -> None:
        """Not show a daemon any more; a frame of it brings it back."""
        self.places[place].daemons.pop(daemon, None)

    def daemons(self) -> Iterator[Found[DaemonPicture]]:
        """All, by place and name."""
        for place, known in sorted(self.places.items()):
            for name, daemon in sorted(known.daemons.items()):
                yield Found(place, name, daemon)

    def arrays(self) -> list[Found[ArrayStatus]]:
        """Arrays as last heard of, by place and name; those of daemons that ended run no more."""
        return [
            Found(place, name, array)
            for place, name, daemon in self.daemons()
            if daemon.state is not None and not daemon.ended
            for _, array in sorted(daemon.state["arrays"].items())
        ]

    def exports(self) -> list[Found[ExportStatus]]:
        """Exports as last heard of, by place and name; those of daemons that ended run no more."""
        return [
            Found(place, name, export)
            for place, name, daemon in self.daemons()
            if daemon.state is not None and not daemon.ended
            for _, export in sorted(daemon.state["exports"].items())
        ]

    def transactions(self, most: int = 200) -> list[Found[TransactionStatus]]:
        """The oldest of those daemons that can be reached, oldest first."""
        found = (
            Found(place, name, row)
            for place, name, daemon in self.daemons()
            if daemon.state is not None and daemon.lost_since_ns is None
            for row in daemon.state["transactions"]["rows"]
        )
        return heapq.nlargest(most, found, key=lambda each: each.entry["age_ns"])

    def events(self, most: int = EVENTS_MAX) -> list[Found[Event]]:
        """The latest of all daemons, latest first."""
        each = [
            [Found(place, name, event) for event in reversed(daemon.events)]
            for place, name, daemon in self.daemons()
        ]
        merged = heapq.merge(*each, key=lambda found: found.entry["time_ns"], reverse=True)
        return list(islice(merged, most))

    def worst(self, now: int) -> str:
        """The worst state of what is known, in the words of the status; '' while nothing is. A daemon that is
        connected and silent is as bad as one that cannot be reached.
        """
        states = {found.entry["state"] for found in self.arrays()}
        states |= {found.entry["state"] for found in self.exports()}
        unheard = any(each.entry.stale(now) and not each.entry.ended for each in self.daemons())
        if unheard or any(place.lost_since_ns is not None for place in self.places.values()):
            states.add("unreachable")
        return min(states, key=_badness, default="")


def _badness(state: str) -> int:
    """A word of a later release is worse than all that is well, and better than all that is not."""
    return WORST_FIRST.index(state if state in WORST_FIRST else "stopping")


def _with(node: dict[str, Any], path: list[str], value: object) -> dict[str, Any]:
    """A copy in which `path` has the value; dictionaries on the way that are missing are made."""
    key, *rest = path
    if not rest:
        return {**node, key: value}
    inner = node.get(key)
    return {**node, key: _with(inner if isinstance(inner, dict) else {}, rest, value)}


def _without(node: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """A copy without what `path` leads to."""
    key, *rest = path
    inner = node.get(key)
    if not rest:
        return {name: each for name, each in node.items() if name != key}
    if not isinstance(inner, dict):
        return node
    return {**node, key: _without(inner, rest)}
