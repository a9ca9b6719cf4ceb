"""The writer's grant of one export: who may write, and who has to wait, or is too late.

One session writes at a time. Each that is admitted gets a term, higher than all before it; the holder and
its term are stored before it is told (a restarted server goes on from there). An owner is whoever stands
behind sessions: an array that was killed and comes back has a new session and the same owner.

    the grant is     who asks                                      decision
    ---------------  --------------------------------------------  ------------------------------------
    anybody's        a session that was displaced, or has left     Fenced
    held, released   with a term, but not the holder, and the      Fenced
                     holder's term is as high or higher
    never given      anybody                                       Admit, term 1
    released         another session                               Admit, term + 1
    held             the holder: its owner, its session            Admit, the same term; nothing changes
    held             the same owner with another session           Admit, term + 1; the holder is displaced
    held, present    another owner                                 Busy
    held, silent     another owner, before GRANT_NS have passed    Busy
    held, silent     another owner, later                          Admit, term + 1; the holder is displaced
    held             another owner that takes over                 Admit, term + 1; the holder is displaced

A session that knows a higher term than the server (whose state was lost, or is old) keeps it. The holder is
present while it has a link; when it has none it is silent, and a restarted server counts from its start.
Released is what the holder gave up by saying goodbye.

All NBD connections of an export are one owner and one session. Sessions that only read ask for nothing, and
a shared export has no grant.
"""

from dataclasses import dataclass, replace
from typing import Final

from dsttool.engine.vocabulary import limits

# The owner that stands for all NBD connections; other owners have at least two words.
NBD_OWNER: Final = "nbd"
# What a client may claim its term to be, so that terms never outgrow 64 bits.
TERM_MAX: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Holder:
    """Who writes, or wrote last. This is what is stored of a grant. session: 16 bytes."""

    owner: str
    session: bytes
    term: int
    released: bool = False


@dataclass(frozen=True, slots=True)
class Asker:
    """Who wants to write. term: that of its session, 0 if it was never told one."""

    owner: str
    session: bytes
    term: int = 0
    takeover: bool = False


@dataclass(frozen=True, slots=True)
class Admit:
    """It may write. store: the holder is to be stored first; displaces: it takes another session's place."""

    holder: Holder
    store: bool
    displaces: bool


@dataclass(frozen=True, slots=True)
class Busy:
    """Another owner writes, or did a moment ago: it may be displaced after `wait_ns` of silence."""

    owner: str
    wait_ns: int
    present: bool


@dataclass(frozen=True, slots=True)
class Fenced:
    """Another session has taken its place."""

    term: int


Decision = Admit | Busy | Fenced


class Grant:
    """The grant of one export. `stored` is what was stored of it before; `now` in ns.

    holder: None if it was never given.
    """

    def __init__(self, stored: Holder | None, now: int) -> None:
        self.holder = stored
        self._stored = stored
        self._present = False
        self._heard = now
        # The highest term that anybody may have been given, though it could not be stored.
        self._highest = stored.term if stored is not None else 0
        self._retired: dict[bytes, None] = {}

    def decide(self, asker: Asker, now: int) -> Decision:
        """What becomes of it; see the table. Nothing changes yet."""
        holder = self.holder
        if self.retired(asker.session):
            return Fenced(self._highest)
        if holder is None:
            return self._admit(asker, displaces=False)
        itself = (asker.owner, asker.session) == (holder.owner, holder.session)
        if asker.term and asker.term <= holder.term and not (itself and asker.term == holder.term):
            return Fenced(holder.term)
        if itself and not holder.released:
            kept = replace(holder, term=max(holder.term, asker.term))
            return Admit(kept, self._stored != kept, displaces=False)
        if holder.released:
            return Fenced(holder.term) if itself else self._admit(asker, displaces=False)
        if asker.owner != holder.owner and not asker.takeover:
            silence = 0 if self._present else now - self._heard
            if silence < limits.GRANT_NS:
                return Busy(holder.owner, limits.GRANT_NS - silence, self._present)
        return self._admit(asker, displaces=True)

    def _admit(self, asker: Asker, *, displaces: bool) -> Admit:
        term = asker.term if asker.term > self._highest else self._highest + 1
        return Admit(Holder(asker.owner, asker.session, term), store=True, displaces=displaces)

    def retired(self, session: bytes) -> bool:
        """Whether this session was displaced, or has left."""
        return session in self._retired

    def would_write(self, owner: str, now: int) -> bool:
        """Whether a new session of this owner would be admitted now."""
        return isinstance(self.decide(Asker(owner, b""), now), Admit)

    def displace(self) -> None:
        """The holder's links are cut: its session may not come back, whatever becomes of the next one."""
        if self.holder is not None:
            self._retire(self.holder.session)

    def begin(self, holder: Holder) -> None:
        """It was stored, if it had to be, and the holder is told: it is present from now on."""
        self.holder = self._stored = holder
        self._highest = max(self._highest, holder.term)
        self._present = True

    def not_stored(self, holder: Holder) -> None:
        """Storing failed: what is stored now may be the old holder or this one, which is not admitted."""
        self._stored = None
        self._highest = max(self._highest, holder.term)

    def come_back(self) -> None:
        """The holder has a link again."""
        self._present = True

    def leave(self, now: int) -> None:
        """The holder has no link any more: it is silent from now on."""
        if self._present:
            self._present = False
            self._heard = now

    def release(self) -> Holder | None:
        """The holder has said goodbye. What is to be stored, None if there is nothing to release."""
        if self.holder is None or self.holder.released:
            return None
        self._present = False
        self._retire(self.holder.session)
        self.holder = replace(self.holder, released=True)
        return self.holder

    def _retire(self, session: bytes) -> None:
        self._retired[session] = None
        if len(self._retired) > limits.RETIRED_SESSIONS_MAX:
            del self._retired[next(iter(self._retired))]
