"""The status stream on the daemon's side: what each watcher is to be sent next. Of the control thread.

Nothing is queued for anybody. Each watcher has the State it was shown last; when its socket takes more, the
next frame is made of what is there by then, so that one who reads slowly misses deltas, and costs no memory
but that one State. What watchers with the same filter are shown is put together and encoded once.

    hello --> snapshot, once a look holds what its filter needs --> events, deltas --> bye
                 ^------------------------ another filter ----------'
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from dsttool.engine.control import snapshots
from dsttool.engine.control.event_log import EVENTS_MAX
from dsttool.engine.control.frames import FRAME_BYTES_MAX
from dsttool.engine.control.recorder import Recorder
from dsttool.engine.control.sampler import ROWS_SHOWN, Look, Second, Want
from dsttool.engine.vocabulary import stream, tx_filter
from dsttool.engine.vocabulary.errors import Conflict, UsageError

# Watchers of one daemon: screens, consoles, recorders, each of which has its State and a frame in memory.
WATCHERS_MAX: Final = 16
# Samples and events that wait for the control thread; the oldest go first.
NEWS_MAX: Final = 256
# So many wake it while nobody watches, so that what waits stays small: half a minute of samples.
_NEWS_TO_WAKE: Final = 30

_UNLISTED: Final[stream.Transactions] = {"total": 0, "matched": 0, "states": {}, "rows": []}
# After so much work without a pause there is one, so that the reactor gets its turn: a plain yield gives it
# none. It may take 5 ms until this thread has its own again.
_WORK_SECONDS: Final = 0.001
_BREATH_SECONDS: Final = 0.000_05


News = Second | Look | stream.Event


class _View:
    """What watchers with one filter are shown. `version` grows with every State; `sampled_ns`: the end of
    the second that its rates are of; `look`: what it is made of.
    """

    def __init__(self, chosen: tx_filter.TxFilter, listed: bool) -> None:
        self.chosen = chosen
        self.listed = listed
        self.users = 0
        self.version = 0
        self.state: stream.State | None = None
        self.sampled_ns = 0
        self.look: Look | None = None
        self._deltas: dict[int, bytes] = {}

    @property
    def want(self) -> Want:
        """What it needs of a look."""
        return Want(self.listed, self.listed and bool(self.chosen.tests))

    def show(self, look: Look, state: stream.State, sampled_ns: int) -> None:
        """This is how things are now."""
        self.look = look
        self.state = state
        self.sampled_ns = sampled_ns
        self.version += 1
        self._deltas.clear()

    def delta(self, version: int, shown: stream.State) -> bytes:
        """Fields of the delta for those who were shown this State, which had that version."""
        assert self.state is not None, "who was shown something was shown a state"
        body = self._deltas.get(version)
        if body is None:
            body = self._deltas[version] = snapshots.delta_body(shown, self.state)
        return body


class Watcher:
    """One who watches. `shown`: the State it has; None while it waits for a snapshot. sampled_ns: the second
    up to which it knows the past, None if it knows nothing of it.
    """

    __slots__ = ("event_id", "sampled_ns", "sequence", "shown", "version", "view")

    def __init__(self, view: _View) -> None:
        self.view = view
        self.sequence = 0
        self.shown: stream.State | None = None
        self.version = 0
        self.event_id = 0
        self.sampled_ns: int | None = None


class Broadcast:
    """All watchers of a daemon.

    hello: the fields of Hello that are the daemon's own. host: the figures of the machine; asked once a
    second while somebody watches. want: told what looks have to hold, whenever that is another; None for no
    looks.
    """

    def __init__(
        self,
        hello: Mapping[str, Any],
        host: Callable[[], stream.HostStatus],
        want: Callable[[Want | None], None],
    ) -> None:
        self._hello = hello
        self._host = host
        self._tell_want = want
        self._news: deque[News] = deque(maxlen=NEWS_MAX)
        self._recorder = Recorder()
        self._events: deque[stream.Event] = deque(maxlen=EVENTS_MAX)
        self._views: dict[tuple[str, bool], _View] = {}
        self._watchers: set[Watcher] = set()
        self._wanted: Want | None = None
        self._machine: stream.HostStatus | None = None
        self._look: Look | None = None
        self._history: bytes | None = None

    # -- from the reactor --------------------------------------------------------------------------------

    def put(self, news: News) -> bool:
        """Something to tell; whether the control thread is needed for it now."""
        self._news.append(news)
        return bool(self._watchers) or len(self._news) >= _NEWS_TO_WAKE

    # -- watchers come and go ------------------------------------------------------------------------------

    def join(self, arguments: Mapping[str, Any]) -> Watcher:
        """One more, by the arguments of its command. Raises UsageError, Conflict."""
        if len(self._watchers) >= WATCHERS_MAX:
            raise Conflict(
                f"{WATCHERS_MAX} others watch this daemon already.", "End some of them, or try again later."
            )
        view = self._view(arguments)
        self.take()
        watcher = Watcher(view)
        view.users += 1
        self._watchers.add(watcher)
        self._want()
        return watcher

    def change(self, watcher: Watcher, arguments: Mapping[str, Any]) -> None:
        """Another filter: a snapshot follows. Raises UsageError, and all is as it was."""
        view = self._view(arguments)
        view.users += 1
        self._release(watcher.view)
        watcher.view = view
        watcher.shown = None
        self._want()

    def leave(self, watcher: Watcher) -> None:
        """It is gone."""
        self._watchers.remove(watcher)
        self._release(watcher.view)
        self._want()

    def _view(self, arguments: Mapping[str, Any]) -> _View:
        text, listed = arguments.get("filter", ""), arguments.get("transactions", True)
        if not isinstance(text, str) or not isinstance(listed, bool):
            raise UsageError(
                "A filter is a text, and transactions are wanted or not.", "See dsttool-protocol(7)."
            )
        chosen = tx_filter.parse(text)
        key = (chosen.text, listed)
        if key not in self._views:
            self._views[key] = _View(chosen, listed)
        return self._views[key]

    def _release(self, view: _View) -> None:
        view.users -= 1
        if not view.users:
            self._views = {key: each for key, each in self._views.items() if each.users}

    def _want(self) -> None:
        wants = [watcher.view.want for watcher in self._watchers]
        wanted = Want(any(w.listed for w in wants), any(w.whole for w in wants)) if wants else None
        if wanted is None:
            self._look = self._machine = self._history = None  # old by the time that somebody comes
        if wanted != self._wanted:
            self._wanted = wanted
            self._tell_want(wanted)

    # -- news --------------------------------------------------------------------------------------------

    def take(self) -> None:
        """Understand what was put."""
        looked = False
        while self._news:
            news = self._news.popleft()
            if isinstance(news, Second):
                self._recorder.add(news)
                self._history = None
                if self._watchers:
                    self._machine = self._host()
            elif isinstance(news, Look):
                self._look = news
                looked = True
            else:
                self._events.append(news)
        if looked:
            for view in self._views.values():
                self._show(view)

    def _show(self, view: _View) -> None:
        look = self._look
        if look is None or (view.want.listed and not look.listed) or (view.want.whole and not look.whole):
            return
        if self._machine is None:
            self._machine = self._host()
        view.show(
            look,
            {
                "daemon": look.daemon,
                "host": self._machine,
                "arrays": look.arrays,
                "exports": look.exports,
                "rates": self._recorder.rates,
                "transactions": _choose(look, view),
            },
            self._recorder.end_ns,
        )

    # -- frames ------------------------------------------------------------------------------------------

    def next(self, watcher: Watcher) -> bytes | None:
        """The next frame for one whose frames are all sent; None while there is nothing to say."""
        if not watcher.sequence:
            return self._line(watcher, "hello", snapshots.fields(self._hello))
        view = watcher.view
        if watcher.shown is None:
            if view.look is not self._look:
                self._show(view)
            if view.state is None or view.look is not self._look:
                return None
            return self._snapshot(watcher, view.state)
        event = next(self._events_after(watcher.event_id), None)
        if event is not None:
            watcher.event_id = event["id"]
            return self._line(watcher, "event", snapshots.fields({"event": event}))
        if watcher.version == view.version:
            return None
        return self._delta(watcher, view)

    def bye(self, watcher: Watcher, reason: str) -> bytes:
        """The last frame."""
        return self._line(watcher, "bye", snapshots.fields({"reason": reason}))

    def _snapshot(self, watcher: Watcher, state: stream.State) -> bytes:
        view, first = watcher.view, watcher.sampled_ns is None
        own = {} if first else _sampled(watcher)
        history = self._past() if first else b"{}"
        events = self._events_after(watcher.event_id)
        body = snapshots.snapshot_body(view.chosen.text, state, history, events, own)
        if (
            len(body) > FRAME_BYTES_MAX - 1000
        ):  # thousands of clients: what is now is worth more than the past
            body = snapshots.snapshot_body(view.chosen.text, state, b"{}", (), own)
        self._note(watcher, state, self._recorder.end_ns if first else view.sampled_ns)
        watcher.event_id = self._events[-1]["id"] if self._events else 0
        return self._line(watcher, "snapshot", body)

    def _past(self) -> bytes:
        if self._history is None:
            self._history = snapshots.history_json(self._recorder.histories, _Breath())
        return self._history

    def _delta(self, watcher: Watcher, view: _View) -> bytes:
        assert watcher.shown is not None, "a delta is from a state"
        assert view.state is not None, "a delta is to a state"
        own = {"dropped": view.version - watcher.version - 1, **_sampled(watcher)}
        body = snapshots.fields(own) + view.delta(watcher.version, watcher.shown)
        self._note(watcher, view.state, view.sampled_ns)
        return self._line(watcher, "delta", body)

    def _note(self, watcher: Watcher, state: stream.State, sampled_ns: int) -> None:
        watcher.shown = state
        watcher.version = watcher.view.version
        watcher.sampled_ns = sampled_ns

    def _line(self, watcher: Watcher, kind: str, body: bytes) -> bytes:
        watcher.sequence += 1
        return snapshots.line(kind, watcher.sequence, time.time_ns(), body)

    def _events_after(self, id_: int) -> Iterator[stream.Event]:
        """Newer events, the oldest first; those that fell out of the ring are missed."""
        last = self._events[-1]["id"] if self._events else 0
        newer = min(max(0, last - id_), len(self._events))
        return islice(self._events, len(self._events) - newer, None)


def _sampled(watcher: Watcher) -> dict[str, Any]:
    """Whether the rates of a watcher's view are of a second that it does not know yet."""
    end_ns = watcher.view.sampled_ns
    return {"sampled": False} if end_ns == watcher.sampled_ns else {"sampled": True, "sampled_ns": end_ns}


def _choose(look: Look, view: _View) -> stream.Transactions:
    """The transactions that a view's filter lets through."""
    if not view.listed:
        return _UNLISTED
    total = look.states.total()
    matched, rows = total, look.rows
    if view.chosen.tests:
        matches, breathe, rows = view.chosen.matches, _Breath(), []
        for begin in range(0, len(look.rows), 256):
            rows += [row for row in look.rows[begin : begin + 256] if matches(row)]
            breathe()
        matched = len(rows)
    chosen: stream.Transactions = {
        "total": total,
        "matched": matched,
        "states": dict(look.states),
        "rows": rows[:ROWS_SHOWN],
    }
    if view.chosen.tests and len(look.rows) < total:
        chosen["tried"] = len(look.rows)
    return chosen


class _Breath:
    """Called between the parts of long work: lets the reactor have its turn where it is due."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._since > _WORK_SECONDS:
            time.sleep(_BREATH_SECONDS)
            self._since = time.monotonic()
