"""Member: a node's place in an array, and whether its bytes may be relied on.

    in_sync   holds everything that was acked: read and written
    stale     missed a write: neither read nor written
    missing   no node there

A member leaves in_sync when a write failed on it, and only while others hold what it missed.
"""

from typing import Any

from dsttool.engine.device.device import Device
from dsttool.engine.vocabulary.status import MemberStatus


class Member:
    """One slot. `node` is None while it is missing; `in_sync` is the hot path's question."""

    __slots__ = ("address", "errors", "in_sync", "name", "node", "slot", "state")

    def __init__(self, slot: int, name: str, address: str, node: Device | None, state: str) -> None:
        self.slot = slot
        self.name = name
        self.address = address
        self.node = node
        self.errors = 0
        self.enter(state if node is not None else "missing")

    def enter(self, state: str) -> None:
        """Take a state of vocabulary.md."""
        self.state = state
        self.in_sync = state == "in_sync"

    @property
    def up(self) -> bool:
        """Whether it answers at once: local, or its link is up."""
        return self.node is not None and self.node.up

    def status(self) -> MemberStatus:
        """The fields of interface.md."""
        node: dict[str, Any] = self.node.status() if self.node is not None else {}
        return {
            "slot": self.slot,
            "name": self.name,
            "address": self.address,
            "state": "faulty" if self.node is not None and self.node.failure else self.state,
            "in_flight": node.get("in_flight", 0),
            "resends": node.get("resends", 0),
            "errors": self.errors,
            # What a stale member missed is not tracked yet.
            "dirty_bytes": 0 if self.in_sync else None,
            "resynced_bytes": 0,
            "link": node.get("link"),
        }
