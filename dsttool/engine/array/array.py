"""Array: a device made of members and an algorithm.

    batch -> pieces, one list per member -> nodes -> pieces -> requests whose last piece is done

Rules:
* Overlapping writes, trims and zeroes are ordered over all members, so that members agree.
* A read goes to one member in sync; if that one fails or its link is down, to the next (`Searches`).
  What a member that is not in sync any more has read is not believed.
* A write goes to all members in sync and is acked when all of them answered. A member on which it
  failed is marked stale, if others hold what it missed, and the ack waits until that is stored
  (`Marks`). If nobody holds it, the error goes up and nobody is marked: those extents are unsettled,
  and read from one and the same member until a write there succeeds on all.
"""

import errno
import logging
from collections.abc import Callable, Sequence
from typing import Any

from dsttool.engine.array.marks import Marks
from dsttool.engine.array.member import Member
from dsttool.engine.array.nature import capabilities_of, identity_of
from dsttool.engine.array.piece import Piece
from dsttool.engine.array.searches import Searches
from dsttool.engine.device.device import Device
from dsttool.engine.device.request import Request, deliver
from dsttool.engine.extents.overlap import OverlapGate
from dsttool.engine.extents.range_set import RangeSet
from dsttool.engine.mapping.algorithm import Algorithm
from dsttool.engine.mapping.algorithm import Piece as Part
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.operations import CACHE, FAIL_FAST, FLUSH, READ, TRIM, WRITE, WRITE_ZEROES

LOG = logging.getLogger(__name__)
_CHANGES = (WRITE, TRIM, WRITE_ZEROES)


class Array(Device):
    """`store(states, generation)` keeps the members' states durably; it blocks and may raise.

    read_policy: nearest (round robin among the members with about the shortest round trip),
    round_robin, first.
    """

    def __init__(
        self,
        reactor: Reactor,
        name: str,
        algorithm: Algorithm,
        members: Sequence[Member],
        *,
        store: Callable[[list[str], int], None],
        generation: int = 0,
        read_policy: str = "nearest",
    ) -> None:
        self._reactor = reactor
        self.name = name
        self.algorithm = algorithm
        self.members = list(members)
        self.capabilities = capabilities_of(algorithm, self.members)
        self.identity = identity_of(name, algorithm, self.members)
        self._read_policy = read_policy
        self._sink = self._done
        self._gate: OverlapGate[Request] = OverlapGate()
        self._turn = 0
        self._whole = all(member.in_sync for member in self.members)
        self._failed: dict[Request, list[Piece]] = {}
        self._unsettled = RangeSet()
        self._marks = Marks(reactor, self.members, store, generation, self._release)
        self._changing = 0
        self._reading = 0
        self._closing: Callable[[], None] | None = None
        self._open = 0
        self._outgoing: list[tuple[list[list[Request]], list[Request]]] = []
        nodes = [member.node for member in self.members if member.node is not None]
        self.budget_ns = max(node.budget_ns for node in nodes)
        for node in nodes:
            node.on_up = self._came_up
        self._searches = Searches(
            reactor, algorithm, self.members, self._unsettled, self.budget_ns, self._done
        )
        # What was never written to has nothing to flush.
        self._flushed = () if self.capabilities.read_only else tuple(range(len(self.members)))

    # -- status --------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """The array's state, in vocabulary.md's words."""
        lost = sum(1 for m in self.members if not m.in_sync or (m.node is not None and m.node.failure))
        return "online" if not lost else "degraded" if lost <= self.algorithm.spare else "failed"

    @property
    def settled(self) -> bool:
        """Whether all members in sync are known to hold the same: no write failed halfway."""
        return not self._unsettled and not self._marks.pending

    @property
    def up(self) -> bool:  # type: ignore[override]
        """Whether every part of the array has a member in sync that answers at once."""
        down = sum(1 for member in self.members if not (member.in_sync and member.up))
        return down <= self.algorithm.spare

    @property
    def generation(self) -> int:
        """Grows each time a member is marked."""
        return self._marks.generation

    def status(self) -> dict[str, Any]:
        """The fields of an array in interface.md that are its own."""
        return {
            "name": self.name,
            "layout": self.algorithm.name,
            "state": self.state,
            "size_bytes": self.capabilities.size,
            "in_flight": self._reading + self._changing,
            "jobs": [],
            "members": [member.status() for member in self.members],
        }

    # -- Device --------------------------------------------------------------------------------------

    def submit(self, batch: list[Request]) -> None:
        """See Device."""
        out: list[list[Request]] = [[] for _ in self.members]
        locate, sink = self.algorithm.locate, self._sink
        readers = self._readers()
        count = len(self.members)
        fast = FAIL_FAST if self.algorithm.spare else 0
        turn = self._turn
        at_once: list[Request] = []
        for request in batch:
            if request.op == READ:
                self._reading += 1
                place = locate(request.offset, request.length)
                if place is None or self._unsettled:
                    self._start_read(request, readers, out, at_once)
                    continue
                slots, offset = place
                if len(slots) == 1:
                    slot = slots[0]
                elif len(slots) != count:  # not every member has it
                    self._start_read(request, readers, out, at_once)
                    continue
                elif readers:
                    slot = readers[turn % len(readers)]
                    turn += 1
                else:
                    slot = self._first_in_sync(slots)
                request.pending = 1
                out[slot].append(
                    Piece(READ, request.flags | fast, offset, request.length, None, request, slot, 0, sink)
                )
            else:
                self._changing += 1
                if request.op not in _CHANGES or self._gate.admit(request):
                    self._start_change(request, out, at_once)
        self._turn = turn
        self._dispatch(out, at_once)

    def abandon(self) -> None:
        """See Device."""
        for member in self.members:
            if member.node is not None:
                member.node.abandon()
        self._searches.give_up()

    def distrust(self) -> None:
        """See Device: a member's view is handed on as it is."""
        for member in self.members:
            if member.node is not None:
                member.node.distrust()

    def close(self, done: Callable[[], None]) -> None:
        """See Device: closes every node, and waits for what is held until a record is durable."""
        nodes = [member.node for member in self.members if member.node is not None]
        self._closing = done
        self._open = len(nodes)
        self._searches.end()
        for node in nodes:
            node.close(self._node_closed)

    def _node_closed(self) -> None:
        self._open -= 1
        self._maybe_closed()

    def _maybe_closed(self) -> None:
        if self._closing is not None and not (self._open or self._reading or self._changing):
            self._open = -1  # once
            self._closing()

    def _dispatch(self, out: list[list[Request]], at_once: list[Request]) -> None:
        """Hand pieces to their nodes. What these answers admit is handed on here as well, in a loop:
        a node may answer at once, and a queue of writes to one block must not nest as deep."""
        self._outgoing.append((out, at_once))
        if len(self._outgoing) > 1:
            return
        for out, at_once in self._outgoing:
            for member, pieces in zip(self.members, out):
                if pieces:
                    node = member.node
                    if node is not None and member.in_sync:
                        node.submit(pieces)
                    else:  # marked since they were made
                        self._refuse(pieces)
            if at_once:
                self._complete(at_once)
        self._outgoing.clear()

    # -- reads ---------------------------------------------------------------------------------------

    def _readers(self) -> list[int]:
        """The slots to read copies from, best first; empty if nobody answers at once."""
        usable = [member for member in self.members if member.in_sync and member.up]
        if self._read_policy == "first":
            usable = usable[:1]
        elif self._read_policy == "nearest" and len(usable) > 1:
            times = [member.node.rtt_ns or 0 for member in usable if member.node is not None]
            near = 2 * min(times) + NEAR_NS
            usable = [member for member, time in zip(usable, times) if time <= near]
        return [member.slot for member in usable]

    def _first_in_sync(self, slots: Sequence[int]) -> int:
        return next((slot for slot in slots if self.members[slot].in_sync), slots[0])

    def _start_read(
        self, request: Request, readers: list[int], out: list[list[Request]], at_once: list[Request]
    ) -> None:
        """A read of several pieces, or one that may touch unsettled extents."""
        parts = self.algorithm.split(request.offset, request.length)
        unsettled = self._unsettled.overlaps(request.offset, request.length)
        request.pending = len(parts)
        request.data = [None] * len(parts)
        if not parts:
            at_once.append(request)
        for index, part in enumerate(parts):
            usable = [slot for slot in readers if slot in part.slots]
            flags = request.flags | (FAIL_FAST if len(part.slots) > 1 else 0)
            if unsettled or not usable:
                slot = self._first_in_sync(part.slots)
            else:
                slot = usable[self._turn % len(usable)]
                self._turn += 1
            piece = Piece(READ, flags, part.offset, part.length, None, request, slot, index, self._sink)
            out[slot].append(piece)

    def _refuse(self, pieces: list[Request]) -> None:
        for piece in pieces:
            piece.error = errno.EIO
        self._done(pieces)

    def _disbelieve(self, pieces: list[Piece]) -> None:
        """What members that are not in sync have read is not to be believed: it may be from before a
        write that they missed and that has been acked since."""
        for piece in pieces:
            if piece.op == READ and not piece.error and not self.members[piece.slot].in_sync:
                piece.error = errno.ESTALE

    def _came_up(self) -> None:
        self._searches.wake()
        if self.on_up is not None and self.up:
            self.on_up()

    # -- writes and everything else that goes to all copies --------------------------------------------

    def _start_change(self, request: Request, out: list[list[Request]], at_once: list[Request]) -> None:
        op, flags, data, sink = request.op, request.flags, request.data, self._sink
        members = self.members
        if op == FLUSH:
            parts = [Part(self._flushed, 0, 0, 0)]
        else:
            place = self.algorithm.locate(request.offset, request.length)
            if place is not None:
                parts = [Part(place[0], place[1], request.length, 0)]
            else:
                parts = self._parts(request)
        pending = 0
        for index, (slots, offset, length, start) in enumerate(parts):
            payload = data
            if op == WRITE and length != request.length:
                payload = data[start : start + length]
            for slot in slots:
                if self._whole or members[slot].in_sync:
                    out[slot].append(Piece(op, flags, offset, length, payload, request, slot, index, sink))
                    pending += 1
        request.pending = pending
        if not pending:
            request.error = 0 if op == FLUSH else errno.EIO
            at_once.append(request)

    def _parts(self, request: Request) -> list[Part]:
        split = self.algorithm.split if request.op == WRITE else self.algorithm.runs
        return split(request.offset, request.length)

    # -- what comes back -------------------------------------------------------------------------------

    def _done(self, pieces: list[Any]) -> None:
        """The sink of every piece."""
        finished: list[Request] = []
        if not self._whole:
            self._disbelieve(pieces)
        for piece in pieces:
            parent = piece.parent
            if piece.error:
                if piece.op == READ:
                    if self._searches.go_on(piece):
                        continue
                    link = piece.error == errno.ENOLINK and not parent.flags & FAIL_FAST
                    parent.error = errno.EIO if link else piece.error
                else:
                    self._failed.setdefault(parent, []).append(piece)
            elif piece.op == READ:
                if parent.data is None:
                    parent.data = piece.data
                else:
                    parent.data[piece.index] = piece.data
            parent.pending -= 1
            if not parent.pending:
                finished.append(parent)
        if finished:
            self._complete(finished)

    def _complete(self, requests: list[Request]) -> None:
        """Requests whose last piece has ended."""
        if self._failed:
            for request in requests:
                pieces = self._failed.pop(request, None)
                if pieces:
                    self._judge(request, pieces)
        if self._unsettled:
            self._settle(requests)
        for request in requests:
            if request.op == READ:
                self._reading -= 1
                if type(request.data) is list:
                    request.data = _flattened(request)
        if self._marks.pending:
            held = [request for request in requests if request.op != READ]
            requests = [request for request in requests if request.op == READ]
            self._marks.hold(held)
            if requests:
                deliver(requests)
        else:
            self._release(requests)

    def _release(self, requests: list[Request]) -> None:
        """Answer requests upward, and start the writes that waited for them."""
        out: list[list[Request]] | None = None
        at_once: list[Request] = []
        release = self._gate.release
        for request in requests:
            if request.op != READ:
                self._changing -= 1
                if request.op in _CHANGES:
                    for admitted in release(request):
                        if self._closing is not None:
                            admitted.error = errno.ESHUTDOWN
                            requests.append(admitted)
                            continue
                        out = out or [[] for _ in self.members]
                        self._start_change(admitted, out, at_once)
        deliver(requests)
        if out is not None:
            self._dispatch(out, at_once)
        if self._closing is not None:
            self._maybe_closed()

    def _judge(self, request: Request, pieces: list[Piece]) -> None:
        """A change failed on some members: mark them if others hold it, else the error goes up."""
        failed = {(piece.index, piece.slot) for piece in pieces}
        slots = {piece.slot for piece in pieces}
        in_sync = [member.slot for member in self.members if member.in_sync]
        enough = len(set(in_sync) - slots) >= len(self.members) - self.algorithm.spare
        held = enough and all(self._held_elsewhere(request, index, failed) for index, _ in failed)
        for piece in pieces:
            self.members[piece.slot].errors += 1
        if held:
            for piece in pieces if request.op != CACHE else ():  # that was advice
                self._mark(self.members[piece.slot], piece.error)
            return
        request.error = pieces[0].error
        if self.algorithm.spare and request.op in _CHANGES:
            self._unsettled.add(request.offset, request.length)

    def _settle(self, requests: list[Request]) -> None:
        """What all members in sync have just taken is alike on them. A trim need not be."""
        for request in requests:
            if not request.error and request.op in (WRITE, WRITE_ZEROES):
                self._unsettled.remove(request.offset, request.length)

    def _held_elsewhere(self, request: Request, index: int, failed: set[tuple[int, int]]) -> bool:
        """Whether a member in sync did the part of the request that others failed."""
        if request.op == FLUSH:
            return True
        slots = self._parts(request)[index].slots
        return any(self.members[slot].in_sync and (index, slot) not in failed for slot in slots)

    def _mark(self, member: Member, error: int) -> None:
        """The member missed a change: it is stale from now on, and nobody waits for it any more."""
        if not member.in_sync:
            return
        member.enter("stale")
        self._whole = False
        LOG.error("%s: member %s is stale: a write on it failed (errno %d)", self.name, member.name, error)
        self._marks.store()
        assert member.node is not None
        member.node.abandon()


# Round trips that differ by less than this are equally near: it is the noise of a busy machine.
NEAR_NS = 200_000


def _flattened(request: Request) -> Any:
    """The pieces' data in order, as one flat list of views (a piece may itself bring a list)."""
    views: list[memoryview] = []
    for data in request.data:
        if type(data) is list:
            views += data
        elif data is not None:
            views.append(data)
    return views
