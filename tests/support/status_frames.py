"""Frames and states for tests, as a daemon would send them."""

from typing import Any, cast

from dsttool.engine.control.deltas import difference
from dsttool.engine.vocabulary import stream
from dsttool.engine.vocabulary.limits import SECOND

RATES: stream.Rates = {
    "reads": 1,
    "writes": 2,
    "read_bytes": 3,
    "written_bytes": 4,
    "errors": 0,
    "in_flight": 5,
    "p50_ns": None,
    "p99_ns": None,
}


def state(**parts: Any) -> stream.State:
    """A daemon that serves nothing, but for `parts`."""
    empty = {
        "daemon": {"name": "pool"},
        "host": {"name": "here"},
        "arrays": {},
        "exports": {},
        "rates": {},
        "transactions": {"total": 0, "matched": 0, "states": {}, "rows": []},
    }
    return cast(stream.State, empty | parts)


def _frame(type_: str, sequence: int, **parts: Any) -> Any:
    return {
        "schema": stream.SCHEMA,
        "type": type_,
        "sequence": sequence,
        "time_ns": sequence * SECOND,
    } | parts


def hello(instance: str = "0" * 16, sequence: int = 0) -> stream.Hello:
    """The first frame of a daemon called pool."""
    about = {"daemon": "pool", "kind": "array", "host": "here", "version": "1", "pid": 1}
    return cast(stream.Hello, _frame("hello", sequence, instance=instance, **about))


def snapshot(whole: stream.State, sequence: int = 1, **parts: Any) -> stream.Snapshot:
    """A state as a snapshot, without a past."""
    frame = _frame("snapshot", sequence, filter="", state=whole, history={}, events=[])
    return cast(stream.Snapshot, frame | parts)


def delta(before: stream.State, after: stream.State, sequence: int = 2, **parts: Any) -> stream.Delta:
    """The way from one state to another."""
    changes, removals = difference(before, after)
    frame = _frame("delta", sequence, sampled=False, dropped=0, changes=changes, removals=removals)
    return cast(stream.Delta, frame | parts)


def event(id_: int, time_ns: int = 0, text: str = "It happened.") -> stream.Event:
    """Something that happened to pool."""
    return {
        "id": id_,
        "time_ns": time_ns,
        "level": "info",
        "kind": "array.up",
        "name": "pool",
        "node": None,
        "text": text,
    }


def event_frame(id_: int, sequence: int = 3, **parts: Any) -> stream.EventFrame:
    """The same as a frame."""
    return cast(stream.EventFrame, _frame("event", sequence, event=event(id_, **parts)))


def bye(reason: str, sequence: int = 9) -> stream.Bye:
    """The last frame."""
    return cast(stream.Bye, _frame("bye", sequence, reason=reason))
