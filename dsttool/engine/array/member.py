"""Member: a node's place in an array, and whether its bytes may be relied on.

    state      read  written  flushed  what it misses is dirty
    in_sync    yes   yes      yes      it misses nothing
    resyncing  -     yes      at last  and is being copied
    stale      -     -        -        waits for its node, for what is under way on it, or for another try
    suspended  -     -        -        gets no request at all until it is resumed
    missing    -     -        -        no node there yet

`at last`: what clients have flushed has to be on stable storage of every member in sync. So from the last
flush of its resync on, all flushes of clients go to it.

What leads from one to another is the table vocabulary.states.MEMBER. The status shows `faulty` for a
member whose node has ended for good, whatever the state.
"""

from collections.abc import Callable
from typing import Any

from dsttool.engine.device.device import Device
from dsttool.engine.device.figures import Figures
from dsttool.engine.extents.dirty_map import DirtyMap
from dsttool.engine.transaction.latency import Latencies
from dsttool.engine.vocabulary.states import MEMBER, allows
from dsttool.engine.vocabulary.status import MemberStatus


class Member:
    """One slot. `node` is None while it is missing.

    in_sync, written, flushed: the hot path's questions. in_flight: requests of the array on its node.
    dirty: what it misses, once it is not in sync and part of an array. timed: it is suspended for a time
    only. resynced: bytes copied by the current or the last resync. figures: what the array's clients had it
    do, each piece from its submission to the node until its end; resyncs do not count. errors: those that
    count against it. trouble: the errno of what made it stale, or of its resync that failed last; 0 once it
    has everything.
    """

    __slots__ = (
        "address",
        "changed",
        "dirty",
        "errors",
        "figures",
        "flushed",
        "in_flight",
        "in_sync",
        "name",
        "node",
        "resynced",
        "slot",
        "state",
        "timed",
        "trouble",
        "written",
    )

    def __init__(self, slot: int, name: str, address: str, node: Device | None, state: str) -> None:
        self.slot = slot
        self.name = name
        self.address = address
        self.node = node
        self.errors = 0
        self.figures = Figures()
        self.in_flight = 0
        self.resynced = 0
        self.timed = False
        self.trouble = 0
        self.dirty: DirtyMap | None = None
        self.changed: Callable[[], None] | None = None
        self.state = state if node is not None else "missing"
        self.enter(self.state)

    def enter(self, state: str) -> None:
        """Take a state of vocabulary.md, as the table MEMBER allows."""
        assert allows(MEMBER, self.state, state), f"{self.name}: {self.state} -> {state}"
        self.state = state
        self.in_sync = state == "in_sync"
        self.written = self.in_sync or state == "resyncing"
        self.flushed = self.in_sync
        if self.changed is not None:
            self.changed()

    @property
    def up(self) -> bool:
        """Whether it answers at once: local, or its link is up."""
        return self.node is not None and self.node.up

    @property
    def latencies(self) -> Latencies:
        """How long its requests took; counts grow only."""
        return self.figures.latencies

    @property
    def remembered(self) -> str:
        """What to keep durably of its state: in_sync, stale or suspended."""
        if self.state == "suspended" and not self.timed:
            return "suspended"
        return "in_sync" if self.in_sync else "stale"

    @property
    def missed(self) -> DirtyMap:
        """What it misses, while it is not in sync."""
        assert self.dirty is not None, "a member out of sync has a dirty map"
        return self.dirty

    def status(self) -> MemberStatus:
        """The fields of interface.md."""
        node: dict[str, Any] = self.node.status() if self.node is not None else {}
        figures = self.figures
        return {
            "slot": self.slot,
            "name": self.name,
            "address": self.address,
            "state": "faulty" if self.node is not None and self.node.failure else self.state,
            "size_bytes": self.node.capabilities.size if self.node is not None else None,
            "in_flight": node.get("in_flight", self.in_flight),
            "reads": figures.reads,
            "writes": figures.writes,
            "read_bytes": figures.read_bytes,
            "written_bytes": figures.written_bytes,
            "resends": node.get("resends", 0),
            "losses": node.get("losses", 0),
            "errors": self.errors,
            "dirty_bytes": 0 if self.dirty is None else self.dirty.dirty_bytes,
            "resynced_bytes": self.resynced,
            "link": node.get("link"),
            "links": node.get("links", []),
        }
