"""Discards: a member's content is declared void, and all of it is copied from the others again.

The member leaves at once, so that nothing is read there any more, and no write waits for it; that it is stale
is durable before `done`. Its resync follows by itself, of everything. A suspended member stays suspended.
"""

import logging
from collections.abc import Callable

from dsttool.engine.array.marks import Marks
from dsttool.engine.array.member import Member
from dsttool.engine.array.resyncs import Resyncs
from dsttool.engine.array.trust import Trust
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, Unsafe

LOG = logging.getLogger(__name__)

Done = Callable[[DsttoolError | None], None]


class Discards:
    """For the members of an array."""

    def __init__(self, name: str, trust: Trust, marks: Marks, resyncs: Resyncs, *, read_only: bool) -> None:
        self._name = name
        self._read_only = read_only
        self._trust = trust
        self._marks = marks
        self._resyncs = resyncs

    def discard(self, member: Member, done: Done) -> None:
        """See Array.discard."""
        refusal = self.refusal(member)
        if refusal is not None:
            done(refusal)
            return
        label, text = f"{self._name}/{member.name}", "%s: member %s is stale: its content was discarded"
        tell(LOG, "member.stale", label, text, self._name, member.name)
        suspended = member.state == "suspended"
        if not suspended:
            self._trust.leave(member, "stale")
        member.missed.mark(0, member.missed.size)
        self._resyncs.anew(member)
        self._marks.store(stored=lambda: done(None))
        if not suspended:
            self._resyncs.broke(member, 0)
            assert member.node is not None, "a member without is refused"
            member.node.abandon()  # what is under way there is worth nothing, and somebody waits for it

    def refusal(self, member: Member) -> DsttoolError | None:
        """Why the member's content cannot be discarded; None if it can."""
        who = f"Member {member.name} of {self._name}"
        if not self._trust.algorithm.spare:
            return Unsafe(
                f"{who} holds the only copy of its part of the data.",
                "Only members of layouts that keep copies can be discarded.",
            )
        if self._read_only:
            return Conflict(
                f"{self._name} is only read: nothing can be copied to {member.name}.",
                "Bring it up over members that may be written.",
            )
        if member.node is None:
            return Conflict(
                f"{who} is missing: all of it is copied anyway once it is there.", "Bring it back."
            )
        if member.node.failure is not None:
            return Conflict(f"{who} has ended for good.", f"Restart {self._name} with --resync-from another.")
        if not self._trust.spares(member):
            return Unsafe(
                f"{who} is the last good copy: no other member that is connected holds everything.",
                f"Wait until one does: dsttool wait {self._name} --for clean",
            )
        return None
