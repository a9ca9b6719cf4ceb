"""Frames of the status stream as lines, for those who watch: what is no frame is refused here.

Frames come from a daemon that may be of another release, or on another machine. Their skeleton is checked,
so that putting a picture together from them never fails; fields that are new are let through.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from dsttool.engine.vocabulary import stream
from dsttool.engine.vocabulary.errors import ProtocolError

# The largest a frame may be: a snapshot with all its history, 200 transactions and a thousand sessions is
# less than half of it (control.snapshots keeps to it).
FRAME_BYTES_MAX: Final = 8 << 20
# Keys from State's root to a value; three are usual.
PATH_MAX: Final = 8
_INT64_MAX: Final = (1 << 63) - 1


def parse_frame(line: bytes) -> stream.Frame | None:
    """The frame in a line; None for a type that this release does not know. Raises ProtocolError."""
    return check_frame(parse_line(line))


def parse_line(line: bytes) -> Any:
    """What a line of a daemon says, whatever it is. Raises ProtocolError if it is not JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError("What the daemon sends is not JSON.") from None


def check_frame(frame: Any) -> stream.Frame | None:
    """`frame`, if it is one; None for a type that this release does not know. Raises ProtocolError."""
    if not isinstance(frame, dict) or frame.get("schema") != stream.SCHEMA:
        raise ProtocolError(
            f"What the daemon sends is not {stream.SCHEMA!r}.",
            "Use the same release of dsttool on both sides.",
        )
    check = _CHECKS.get(str(frame.get("type")))
    if check is None:
        return None
    try:
        if type(frame["sequence"]) is int and type(frame["time_ns"]) is int and check(frame):
            return cast(stream.Frame, frame)
    except (LookupError, TypeError, ValueError, AttributeError):
        pass
    raise ProtocolError(f"The daemon's {frame['type']} frame is malformed.")


def _is_hello(frame: Mapping[str, Any]) -> bool:
    return all(isinstance(frame[key], str) for key in ("daemon", "kind", "instance", "host", "version"))


def _is_snapshot(frame: Mapping[str, Any]) -> bool:
    state = frame["state"]
    return (
        isinstance(frame["filter"], str)
        and type(frame.get("sampled_ns", 0)) is int
        and all(isinstance(state[key], dict) for key in stream.State.__annotations__)
        and isinstance(state["transactions"]["rows"], list)
        and all(map(_are_rates, state["rates"].values()))
        and all(_is_ring(history[ring]) for history in frame["history"].values() for ring in _RINGS)
        and all(map(_is_event_entry, frame["events"]))
    )


def _is_ring(ring: Mapping[str, Any]) -> bool:
    return (
        type(ring["step_ns"]) is int
        and type(ring["end_ns"]) is int
        and all(
            isinstance(column, list) and all(map(_is_figure, column)) for column in ring["columns"].values()
        )
    )


def _are_rates(rates: Any) -> bool:
    return isinstance(rates, dict) and all(
        _is_figure(rates.get(name)) for name in stream.Rates.__annotations__
    )


def _is_figure(value: Any) -> bool:
    """Whether a ring can keep it."""
    return value is None or (type(value) is int and 0 <= value <= _INT64_MAX)


def _is_delta(frame: Mapping[str, Any]) -> bool:
    return (
        type(frame["dropped"]) is int
        and type(frame["sampled"]) is bool
        and type(frame.get("sampled_ns", 0)) is int
        and all(_is_path(path) and _keeps_skeleton(path, value) for path, value in frame["changes"])
        and all(_is_path(path) and len(path) > 1 for path in frame["removals"])
    )


def _is_path(path: Any) -> bool:
    return isinstance(path, list) and 0 < len(path) <= PATH_MAX and all(isinstance(key, str) for key in path)


def _keeps_skeleton(path: list[str], value: Any) -> bool:
    """Whether a value may be set there: what has to be a dictionary or a list stays one."""
    if path == ["transactions"]:
        return isinstance(value["rows"], list)
    if path == ["transactions", "rows"]:
        return isinstance(value, list)
    if path[0] == "rates":
        return _are_rates(value) if len(path) == 2 else len(path) == 3 and _is_figure(value)
    return isinstance(value, dict) if len(path) == 1 else True


def _is_event(frame: Mapping[str, Any]) -> bool:
    return _is_event_entry(frame["event"])


def _is_event_entry(event: Mapping[str, Any]) -> bool:
    return (
        type(event["id"]) is int
        and type(event["time_ns"]) is int
        and 0 <= event["time_ns"] <= _INT64_MAX  # later no clock can show
        and all(isinstance(event[key], str) for key in ("level", "kind", "name", "text"))
        and isinstance(event["node"], str | None)
    )


def _is_bye(_frame: Mapping[str, Any]) -> bool:
    return True


_RINGS: Final = tuple(stream.History.__annotations__)
_CHECKS: Final[Mapping[str, Callable[[Mapping[str, Any]], bool]]] = {
    "hello": _is_hello,
    "snapshot": _is_snapshot,
    "delta": _is_delta,
    "event": _is_event,
    "bye": _is_bye,
}
