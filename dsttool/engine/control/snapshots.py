"""Frames of the status stream as bytes, as a daemon sends them. Pure.

What is the same for many watchers is encoded once, as a `body`; the sequence number and what else is a
watcher's own is put before it. Encoding stops other threads: what is long is encoded in parts, and between
them `breathe` is called.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from dsttool.engine.control.deltas import difference
from dsttool.engine.control.rings import History
from dsttool.engine.vocabulary import stream
from dsttool.engine.vocabulary.texts import cleaned

# The past in one snapshot. That of a label which was busy for 24 hours is 0.5 MB, of an idle one 0.2 MB, and
# 45 KB of it are the seconds of the last 15 minutes: past the first bound only those of further labels are
# sent, past the second nothing of them. An array of four members that were always busy stays below both.
HISTORY_WHOLE_BYTES: Final = 5 << 19
HISTORY_BYTES_MAX: Final = 4 << 20

_ENCODE: Final = msgspec.json.Encoder().encode


def encode(value: Any) -> bytes:
    """A value as JSON. Names of files need not be text: see vocabulary.texts."""
    try:
        return _ENCODE(value)
    except UnicodeEncodeError:
        return _ENCODE(cleaned(value))


def line(kind: str, sequence: int, time_ns: int, body: bytes) -> bytes:
    """A frame; `body`: its own fields, as `fields` makes them."""
    return b'{"schema":"%b","type":"%b","sequence":%d,"time_ns":%d%b}\n' % (
        stream.SCHEMA.encode(),
        kind.encode(),
        sequence,
        time_ns,
        body,
    )


def fields(values: Mapping[str, Any]) -> bytes:
    """Fields of a frame, each with a comma before it."""
    return b"," + encode(values)[1:-1] if values else b""


def snapshot_body(
    filter_: str, state: stream.State, history: bytes, events: Iterable[stream.Event], own: Mapping[str, Any]
) -> bytes:
    """Fields of a snapshot; history: as `history_json` made it. own: further ones."""
    known = {"filter": filter_, "state": state, "events": list(events), **own}
    return fields(known) + b',"history":' + history


def delta_body(before: stream.State, after: stream.State) -> bytes:
    """Fields of a delta that say what has changed."""
    changes, removals = difference(before, after)
    return fields({"changes": changes, "removals": removals})


def history_json(histories: Mapping[str, History], breathe: Callable[[], None]) -> bytes:
    """The past of all labels, as far as it may be sent; arrays and exports go before members."""
    parts: list[bytes] = []
    length = 0
    for label in sorted(histories, key=lambda name: "/" in name):
        past = histories[label]
        part = _series(past, None if length < HISTORY_WHOLE_BYTES else 0, breathe)
        if length + len(part) > HISTORY_BYTES_MAX:
            break
        length += len(part)
        parts.append(encode(label) + b":" + part)
    return b"{" + b",".join(parts) + b"}"


def _series(past: History, tens: int | None, breathe: Callable[[], None]) -> bytes:
    seconds = encode(past.seconds.ring())
    breathe()
    ring = past.tens
    columns = []
    for name in stream.Rates.__annotations__:
        columns.append(encode(name) + b":" + encode(ring.column(name, tens)))
        breathe()
    end = b'{"step_ns":%d,"end_ns":%d,"columns":{%b}}' % (ring.step_ns, ring.end_ns, b",".join(columns))
    return b'{"seconds":' + seconds + b',"tens":' + end + b"}"
