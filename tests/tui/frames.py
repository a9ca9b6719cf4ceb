"""Made-up frames of daemons, and sources of them: a mirror in trouble, an export, transactions, history.

Everything follows from a few numbers and a clock that only tests move, so that screens come out the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dsttool.engine.control.picture import Picture, Update
from dsttool.engine.vocabulary import stream
from dsttool.engine.vocabulary.errors import UsageError
from dsttool.engine.vocabulary.limits import MS, SECOND

# 2025-10-09 08:53:20 UTC
BEGAN_NS = 1_760_000_000 * SECOND
GIB, MIB, KIB = 1 << 30, 1 << 20, 1 << 10
INSTANCE = "00d5c0ffee00d5c0"


def link(state: str = "up", **more: Any) -> dict[str, Any]:
    return {
        "state": state,
        "security": "aes256gcm",
        "rtt_ns": 210_000 if state == "up" else None,
        "connects": 1,
        "bad_records": 0,
        "since_ns": 3 * 86400 * SECOND,
        **more,
    }


def member(slot: int, state: str = "in_sync", **more: Any) -> dict[str, Any]:
    own = link("down" if state == "missing" else "up")
    return {
        "slot": slot,
        "name": f"n{slot + 1}",
        "address": f"dst+tcp://{'abcdefgh'[slot % 8]}:6207/d0",
        "state": state,
        "size_bytes": 40 * GIB,
        "reason": None,
        "in_flight": 80 + slot,
        "resends": 12 * slot,
        "errors": 0,
        "dirty_bytes": 0,
        "resynced_bytes": 0,
        "reads": 1000,
        "writes": 2000,
        "read_bytes": 1000 * 64 * KIB,
        "written_bytes": 2000 * 64 * KIB,
        "losses": 0,
        "link": own,
        "links": [own],
        **more,
    }


def troubled_members() -> list[dict[str, Any]]:
    """One in sync, one being resynced, one gone."""
    gone = link("down", since_ns=9 * SECOND, connects=4, retry_ns=9 * SECOND)
    return [
        member(0),
        member(
            1, "resyncing", dirty_bytes=590 * MIB, resynced_bytes=410 * MIB, link=link(since_ns=240 * SECOND)
        ),
        member(2, "missing", in_flight=0, resends=51, losses=3, link=gone, links=[gone], dirty_bytes=2 * GIB),
    ]


def job(**more: Any) -> dict[str, Any]:
    return {
        "kind": "resync",
        "state": "running",
        "done_bytes": 410 * MIB,
        "total_bytes": 1000 * MIB,
        "rate_bytes": 106 * MIB,
        "eta_ns": 340 * SECOND,
        **more,
    }


def array(name: str = "pool", state: str = "degraded", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "layout": "mirror",
        "state": state,
        "generation": 7,
        "size_bytes": 40 * GIB,
        "read_only": False,
        "in_flight": 171,
        "reads": 1000,
        "writes": 2000,
        "read_bytes": 1000 * 64 * KIB,
        "written_bytes": 2000 * 64 * KIB,
        "errors": 0,
        "addresses": [f"nbd+unix:///{name}?socket=/run/dsttool/{name}.nbd"],
        "jobs": [job()],
        "members": troubled_members(),
        "sessions": [],
        **more,
    }


def session(**more: Any) -> dict[str, Any]:
    return {
        "peer": "nbd :51522",
        "owner": None,
        "protocol": "nbd",
        "access": "write",
        "links": 1,
        "in_flight": 12,
        **more,
    }


def export(name: str = "scratch", state: str = "serving", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "device": f"/srv/{name}.img",
        "state": state,
        "size_bytes": 8 * GIB,
        "read_only": False,
        "in_flight": 12,
        "reads": 10,
        "writes": 20,
        "read_bytes": 10 * MIB,
        "written_bytes": 20 * MIB,
        "errors": 0,
        "addresses": [f"dst+tcp://[::]:6207/{name}"],
        "sessions": [session()],
        **more,
    }


def transaction(number: int, **more: Any) -> dict[str, Any]:
    """Number 0 is the oldest; every third waits to be sent again."""
    waits = number % 3 == 0
    return {
        "id": 4_170_000 + number,
        "op": "READ" if number % 2 else "WRITE",
        "flags": [] if number % 2 else ["FUA"],
        "offset": 0x9A3F0000 + number * 64 * KIB,
        "length": 64 * KIB,
        "node": "pool/n3" if waits else "pool/n1",
        "state": "resend" if waits else "in_flight",
        "age_ns": max(MS, 4211 * MS - number * 21 * MS),
        "attempts": 3 if waits else 1,
        "attempts_max": 5,
        "next_resend_ns": 1800 * MS if waits else None,
        "budget_left_ns": 25 * SECOND - number * 125 * MS,
        "budget_ns": 30 * SECOND,
        "client": "nbd :51522",
        **more,
    }


def transactions(count: int = 12, total: int | None = None) -> dict[str, Any]:
    rows = [transaction(number) for number in range(min(count, 200))]
    total = count if total is None else total
    resend = sum(1 for row in rows if row["state"] == "resend")
    states = {"in_flight": total - resend, "resend": resend}
    return {"total": total, "matched": total, "states": states, "rows": rows}


def rates(scale: float = 1.0) -> dict[str, Any]:
    return {
        "reads": round(1536 * scale),
        "writes": round(3392 * scale),
        "read_bytes": round(96 * MIB * scale),
        "written_bytes": round(212 * MIB * scale),
        "errors": 0,
        "in_flight": round(171 * scale),
        "p50_ns": round(2_100_000 * scale),
        "p99_ns": round(8_100_000 * scale),
    }


def host(name: str = "alpha", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "cpus": 8,
        "cpu_fraction": 0.34,
        "memory_bytes": 16 * GIB,
        "memory_used_bytes": 5 * GIB,
        "received_bytes": 120 * MIB,
        "sent_bytes": 230 * MIB,
        "disk_read_bytes": 96 * MIB,
        "disk_written_bytes": 212 * MIB,
        **more,
    }


def event(number: int, **more: Any) -> dict[str, Any]:
    kinds = [
        ("info", "link.up", "n1", "n1 of pool is connected."),
        ("warning", "link.lost", "n3", "The link to n3 of pool was lost: connection reset by peer."),
        ("error", "member.missing", "n3", "n3 of pool is missing: pool is degraded."),
        ("info", "resync.started", "n2", "Resync of n2 of pool began."),
    ]
    level, kind, node, text = kinds[number % len(kinds)]
    return {
        "id": number + 1,
        "time_ns": BEGAN_NS - 60 * SECOND + number * 10 * SECOND,
        "level": level,
        "kind": kind,
        "name": "pool",
        "node": node,
        "text": text,
        **more,
    }


def ring(step_ns: int, count: int, peak: float = 1.0) -> dict[str, Any]:
    """A saw tooth of 60 points."""
    points = [rates(peak * (at % 60) / 60) for at in range(count)]
    columns = {name: [point[name] for point in points] for name in stream.Rates.__annotations__}
    return {"step_ns": step_ns, "end_ns": BEGAN_NS, "columns": columns}


def history(peak: float = 1.0, seconds: int = 900, tens: int = 1000) -> dict[str, Any]:
    return {"seconds": ring(SECOND, seconds, peak), "tens": ring(10 * SECOND, tens, peak)}


def state(
    arrays: list[dict[str, Any]] | None = None,
    exports: list[dict[str, Any]] | None = None,
    waiting: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    arrays = [array()] if arrays is None else arrays
    exports = [] if exports is None else exports
    every: dict[str, Any] = {}
    for each in arrays:
        every[each["name"]] = rates()
        for one in each["members"]:
            every[f"{each['name']}/{one['name']}"] = rates(0.0 if one["state"] == "missing" else 0.5)
    every |= {each["name"]: rates(0.25) for each in exports}
    return {
        "daemon": daemon((arrays + exports)[0]["name"] if arrays or exports else "idle"),
        "host": host(),
        "arrays": {each["name"]: each for each in arrays},
        "exports": {each["name"]: each for each in exports},
        "rates": every,
        "transactions": transactions() if waiting is None else waiting,
        **more,
    }


def daemon(name: str = "pool") -> dict[str, Any]:
    return {
        "name": name,
        "kind": "array",
        "state": "running",
        "reason": None,
        "pid": 4711,
        "version": "1.0",
        "instance": INSTANCE,
        "since_ns": 3600 * SECOND,
        "socket": f"/run/dsttool/{name}.sock",
        "serves": [name],
        "refusals": {},
    }


@dataclass
class Speaker:
    """One daemon of one place, which frames come from. `clock` is what `Still` looks at."""

    daemon: str = "pool"
    place: str = "local"
    now_ns: int = BEGAN_NS
    sequence: int = field(default=0)

    def hello(self, instance: str = INSTANCE) -> Update:
        return self._update("hello", daemon=self.daemon, kind="array", instance=instance, host="alpha",
                            version="1.0", pid=4711)  # fmt: skip

    def snapshot(self, known: dict[str, Any] | None = None, events: int = 6, past: bool = True) -> Update:
        known = state() if known is None else known
        remembered = {label: history() for label in known["rates"]} if past else {}
        return self._update("snapshot", filter="", state=known, history=remembered,
                            events=[event(number) for number in range(events)])  # fmt: skip

    def delta(self, *changes: tuple[list[str], Any], removals: tuple[list[str], ...] = (),
              sampled: bool = False) -> Update:  # fmt: skip
        return self._update(
            "delta", sampled=sampled, dropped=0, changes=list(changes), removals=list(removals)
        )

    def event(self, number: int, **more: Any) -> Update:
        return self._update("event", event=event(number, **more))

    def bye(self) -> Update:
        return self._update("bye", reason="it was told to end")

    def lost(self, reason: str = "connection reset by peer") -> Update:
        return Update(self.place, self.daemon, self.now_ns, None, reason)

    def _update(self, type_: str, **fields: Any) -> Update:
        self.sequence += 1
        frame: Any = {
            "schema": stream.SCHEMA,
            "type": type_,
            "sequence": self.sequence,
            "time_ns": self.now_ns,
        }
        return Update(self.place, self.daemon, self.now_ns, frame | fields)


class Still:
    """A source that says what a test gives it, when the test does; `filters`: what was asked for."""

    note = ""

    def __init__(self, *updates: Update) -> None:
        self.picture = Picture()
        self.clock_ns = BEGAN_NS
        self.filters: list[str] = []
        self.closed = False
        self._waiting: list[Update] = list(updates)
        self._changed: Callable[[], None] | None = None

    def start(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        if self._waiting:
            changed()

    def say(self, *updates: Update) -> None:
        self._waiting += updates
        if self._changed is not None:
            self._changed()

    def advance(self) -> bool:
        waiting, self._waiting = self._waiting, []
        for update in waiting:
            self.picture.apply(update)
        return bool(waiting)

    def now_ns(self) -> int:
        return self.clock_ns

    def wall_ns(self) -> int:
        return self.clock_ns

    def set_filter(self, text: str) -> None:
        if "nonsense" in text:
            raise UsageError("There is nothing called 'nonsense' to filter by.", "Did you mean node?")
        self.filters.append(text)

    def close(self) -> None:
        self.closed = True


def mirror_in_trouble(waiting: int = 12, total: int | None = None) -> Still:
    """The usual source of tests: a degraded mirror, an export, transactions, history and events."""
    pool, scratch = Speaker(), Speaker("scratch")
    known = state(waiting=transactions(waiting, total))
    alone = state([], [export()], transactions(0))
    return Still(pool.hello(), pool.snapshot(known), scratch.hello(), scratch.snapshot(alone, events=0))
