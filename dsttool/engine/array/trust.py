"""Trust: which members an array relies on, and for what it does not rely on the others.

A member loses trust when it missed a change (`judge`) or may have lost one (`verifier_changed`), if others
hold it; or when it is suspended. From then on its dirty map says what it lacks. It is relied on again after a
resync. The last member in sync is never given up: what fails there goes up, and what it loses is lost.

Extents that a change failed on everywhere are unsettled: members may differ there, so they are read from
the first member in sync and no other, and are dirty on every member that is not in sync. `Settling` makes
them alike again.
"""

import errno
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from dsttool.engine.array.marks import Marks
from dsttool.engine.array.member import Member
from dsttool.engine.array.piece import CHANGES, Piece, parts_of
from dsttool.engine.device.device import Capabilities
from dsttool.engine.device.request import Request
from dsttool.engine.extents.dirty_map import DirtyMap, chunk_shift
from dsttool.engine.extents.overlap import OverlapGate
from dsttool.engine.extents.range_set import RangeSet
from dsttool.engine.extents.unflushed import Unflushed
from dsttool.engine.mapping.algorithm import Algorithm
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.operations import CACHE, FAST_ZERO, FLUSH, WRITE, WRITE_ZEROES

LOG = logging.getLogger(__name__)

# How often a flush is sent again because it was answered under another verifier. Each time stands for a
# loss of power of that member; a peer that never says the same twice is broken.
_FLUSHES_MAX: Final = 5
# A disk that is broken fails at everything: that is said once in this time.
FAILING_NS: Final = 60 * SECOND


class Trust:
    """whole: all members are in sync. era: grows whenever a copy or a flush that is under way may have become
    worthless. unflushed: None where there are no copies.

    broke(member, error): a member became stale, because of this errno or, if that is 0, because of what it
    lost. lose(acked): what was being changed has to be done again; acked: and acked writes are lost.
    differ(): there are unsettled extents.
    """

    def __init__(
        self,
        reactor: Reactor,
        name: str,
        algorithm: Algorithm,
        members: Sequence[Member],
        capabilities: Capabilities,
        gate: OverlapGate[Any],
        marks: Marks,
        *,
        broke: Callable[[Member, int], None],
        lose: Callable[[bool], None],
        differ: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._name = name
        self.algorithm = algorithm
        self.members = members
        self._gate = gate
        self._marks = marks
        self._broke = broke
        self._lose = lose
        self._differ = differ
        self._block = capabilities.block_min
        self._shift = chunk_shift(capabilities.size, capabilities.block_min)
        self.unsettled = RangeSet()
        self.unflushed = Unflushed(capabilities.size, self._shift) if algorithm.spare else None
        self.era = 0
        self.whole = True
        self._silent: dict[int, int] = {}  # by slot, until when nothing is said of failures
        for member in members:
            if not member.in_sync:
                self.whole = False
                member.dirty = self._map(member, dirty=True)
            elif self.unflushed is not None:
                self.unflushed.watch(member.slot)

    # -- states ------------------------------------------------------------------------------------------

    def leave(self, member: Member, state: str) -> None:
        """The member takes a state in which it is not written to, from one in which it was, or not."""
        if member.dirty is None:
            member.dirty = self._map(member)
        if member.written:
            self._each_exposed(member, member.dirty.loosen)
            for run in self.unsettled:
                self._on(member, run.offset, run.length, member.dirty.mark)
            if self.unflushed is not None:
                self.unflushed.forget(member.slot)
        member.enter(state)
        self.whole = False
        self.era += 1

    def begin(self, member: Member) -> None:
        """The member is written to from now on."""
        member.enter("resyncing")
        if self.unflushed is not None:
            self.unflushed.watch(member.slot)

    def promote(self, member: Member) -> None:
        """The member holds everything, and has flushed it."""
        member.enter("in_sync")
        member.dirty = None
        self.whole = all(each.in_sync for each in self.members)
        self._marks.store(urgent=False)

    def absent(self, member: Member) -> None:
        """The link of a member that is resyncing is down: nobody waits for what is under way on it."""
        self.leave(member, "stale")
        self._broke(member, 0)
        assert member.node is not None
        self._reactor.post(member.node.abandon)

    def reaches(self, member: Member, op: int, offset: int, length: int) -> bool:
        """Whether a change is sent to the member; else it is dirty there from now on."""
        if member.in_sync:
            return True
        if op == CACHE:
            return False
        if member.written:
            if member.up:
                return True
            self.absent(member)
        member.missed.mark(offset, length)
        return False

    def spares(self, member: Member) -> bool:
        """Whether the array keeps all data, and serves it, without this member."""
        if not member.in_sync:
            return True
        others = [each for each in self.members if each is not member and each.in_sync and each.up]
        left = [each for each in others if each.node is not None and each.node.failure is None]
        return len(left) >= max(1, len(self.members) - self.algorithm.spare)

    # -- changes and flushes that failed -------------------------------------------------------------------

    def judge(self, request: Request, pieces: list[Piece]) -> None:
        """A change failed on some members: those are stale if others hold it, else the error goes up."""
        if not self.algorithm.spare and all(_refused(piece) for piece in pieces):
            request.error = errno.ENOTSUP
            return
        for piece in pieces:
            member = self.members[piece.slot]
            member.errors += member.written
        behind = [piece for piece in pieces if self.members[piece.slot].in_sync]
        held = not behind or self._held_elsewhere(request, pieces, {piece.slot for piece in behind})
        if not held:
            request.error = behind[0].error
            self.failing(self.members[behind[0].slot], request.error)
            if self.algorithm.spare and request.op in CHANGES:
                self._unsettle(request)
        if request.op == CACHE:  # that was advice
            return
        for piece in pieces:
            member = self.members[piece.slot]
            if held or not member.in_sync:
                self._missed(member, piece)

    def failing(self, member: Member, error: int) -> None:
        """A member in sync answered with an error, and stays what it is. Says so from time to time."""
        if self._reactor.now >= self._silent.get(member.slot, 0):
            self._silent[member.slot] = self._reactor.now + FAILING_NS
            what = f"fails: {os.strerror(error)} (errors so far: {member.errors})"
            self._tell(member, "member.failing", what)

    def settle(self, requests: list[Request]) -> None:
        """What all members in sync have just taken is alike on them. A trim may have been left undone."""
        for request in requests:
            if not request.error and request.op in (WRITE, WRITE_ZEROES):
                self.unsettled.remove(request.offset, request.length)

    def _held_elsewhere(self, request: Request, pieces: list[Piece], slots: set[int]) -> bool:
        """Whether members in sync did every part of the request, and enough of them are left."""
        left = {member.slot for member in self.members if member.in_sync} - slots
        if len(left) < len(self.members) - self.algorithm.spare:
            return False
        if request.op == FLUSH:
            return True
        failed = {(piece.index, piece.slot) for piece in pieces}
        parts = parts_of(self.algorithm, request)
        return all(
            any(self.members[slot].in_sync and (index, slot) not in failed for slot in parts[index].slots)
            for index, _ in failed
        )

    def _unsettle(self, request: Request) -> None:
        self.unsettled.add(request.offset, request.length)
        for member in self.members:
            if member.dirty is not None:
                self._on(member, request.offset, request.length, member.dirty.mark)
        self._differ()

    def _missed(self, member: Member, piece: Piece) -> None:
        """A member that is out of sync, or has to be, has not done this piece."""
        if member.in_sync:
            self.leave(member, "stale")
            reason = os.strerror(piece.error)
            self._tell(member, "member.stale", f"is stale: a request on it failed: {reason}")
            if piece.op == FLUSH:  # some systems drop what they could not write
                member.missed.lost()
            member.missed.mark(piece.offset, piece.length)
            self._marks.store()
            self._broke(member, piece.error)
            assert member.node is not None
            member.node.abandon()
            return
        member.missed.mark(piece.offset, piece.length)
        if member.state == "resyncing":
            self.leave(member, "stale")
            if piece.op == FLUSH:
                member.missed.lost()
            self._broke(member, piece.error)

    def dropped(self, member: Member) -> None:
        """A flush of a member that is not in sync failed. Some systems drop what they could not write, what
        clients wrote meanwhile among it; the next flush would not tell."""
        if member.written:
            self._each_exposed(member, member.missed.mark)
        member.missed.lost()

    # -- unflushed writes ----------------------------------------------------------------------------------

    def flush_epoch(self) -> int:
        """A flush is being sent to the members in sync: the epoch it covers."""
        if self.unflushed is None:
            return 0
        if self.unflushed.crowded:
            self._make_room(self.unflushed)
        return self.unflushed.begin_flush()

    def flushed(self, piece: Piece) -> bool:
        """A member has answered a flush without error. False if it has to be sent again."""
        epoch, verifier, attempt = piece.cookie
        member = self.members[piece.slot]
        assert member.node is not None
        if (piece.data or member.node.verifier) == verifier:
            if self.unflushed is not None:
                self.unflushed.flushed(piece.slot, epoch)
            return True
        if not member.in_sync:
            return True  # it counts for nothing here
        if attempt == _FLUSHES_MAX:
            piece.error = errno.EIO
            return True
        piece.cookie = (self.flush_epoch(), member.node.verifier, attempt + 1)
        piece.data = None
        return False

    def verifier_changed(self, member: Member) -> None:
        """The member may have lost what it acked and did not flush."""
        self.era += 1
        relied_on = member.in_sync
        if self.unflushed is None:
            self._tell(member, "array.lost", "may have lost writes that were not flushed")
            self._lose(True)
        elif member.dirty is not None:
            if member.written:
                self._each_exposed(member, member.dirty.mark)
                self.unflushed.watch(member.slot)
            member.dirty.lost()
        elif self._is_exposed(member):
            self._lost_on(member, self.unflushed)
        self._marks.store(urgent=relied_on)

    def _lost_on(self, member: Member, unflushed: Unflushed) -> None:
        in_sync = sum(1 for each in self.members if each.in_sync)
        if in_sync > max(1, len(self.members) - self.algorithm.spare):
            self._tell(member, "member.stale", "is stale: it may have lost writes that were not flushed")
            self.leave(member, "stale")
            member.missed.lost()
            self._broke(member, 0)
            return
        gone = list(unflushed.exposed(member.slot))
        for other in self.members:
            if other.dirty is not None:
                for extent in gone:
                    self._on(other, extent.offset, extent.length, other.dirty.mark)
        unflushed.watch(member.slot)
        if gone:
            self._tell(
                member,
                "array.lost",
                "may have lost writes that were not flushed, and no other member holds them",
            )
        self._lose(bool(gone))

    def _is_exposed(self, member: Member) -> bool:
        """Whether the member acked anything that it has not flushed."""
        assert self.unflushed is not None
        running = any(request.op in CHANGES for request in self._gate.running())
        return running or next(self.unflushed.exposed(member.slot), None) is not None

    def _each_exposed(self, member: Member, call: Callable[[int, int], None]) -> None:
        """Everything that the member has acked, or may ack yet, and not flushed."""
        if self.unflushed is None:
            return
        for extent in self.unflushed.exposed(member.slot):
            self._on(member, extent.offset, extent.length, call)
        for request in self._gate.running():
            if request.op in CHANGES:
                self._on(member, request.offset, request.length, call)

    def _make_room(self, unflushed: Unflushed) -> None:
        """Members that resync are flushed rarely; their maps remember for them what they may lose."""
        for member in self.members:
            if member.state == "resyncing":
                self._each_exposed(member, member.missed.loosen)
                unflushed.watch(member.slot)
                self.era += 1

    def _tell(self, member: Member, kind: str, what: str) -> None:
        label = f"{self._name}/{member.name}"
        tell(LOG, kind, label, "%s: member %s %s", self._name, member.name, what)

    # -- extents ---------------------------------------------------------------------------------------------

    def _on(self, member: Member, offset: int, length: int, call: Callable[[int, int], None]) -> None:
        """`call` with what the member holds of an extent of the array."""
        for part in self.algorithm.runs(offset, length):
            if member.slot in part.slots:
                call(part.offset, part.length)

    def _map(self, member: Member, *, dirty: bool = False) -> DirtyMap:
        size = self.algorithm.member_size(member.slot) // self._block * self._block
        return DirtyMap(size, self._shift, dirty=dirty)


def _refused(piece: Piece) -> bool:
    """Whether it was not done because that is not fast: an answer as good as any."""
    return piece.error == errno.ENOTSUP and bool(piece.flags & FAST_ZERO)
