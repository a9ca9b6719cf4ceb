"""Array: a device made of members and an algorithm.

    batch -> pieces, one list per member -> nodes -> pieces -> requests whose last piece is done

Rules:
* Overlapping writes, trims and zeroes are ordered over all members, so that members agree.
* A read goes to one member in sync; if that one fails or its link is down, to the next. With nobody
  left that answers at once it is parked until a member in sync is up, as long as the budget lasts.
* A write goes to all members in sync and is acked when all of them answered. A member on which it
  failed is marked stale, if others hold what it missed, and the ack waits until that is stored
  (`Marks`). If nobody holds it, the error goes up and nobody is marked: those extents are unsettled,
  and from then on read from one and the same member.
"""

import errno
import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from dsttool.engine.array.marks import Marks
from dsttool.engine.array.member import Member
from dsttool.engine.array.piece import Piece
from dsttool.engine.device.device import Capabilities, Device
from dsttool.engine.device.request import Request, deliver
from dsttool.engine.extents.overlap import OverlapGate
from dsttool.engine.extents.range_set import RangeSet
from dsttool.engine.mapping.algorithm import Algorithm
from dsttool.engine.mapping.algorithm import Piece as Part
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.operations import FAIL_FAST, FLUSH, READ, TRIM, WRITE, WRITE_ZEROES

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
        self.capabilities = _capabilities(algorithm, self.members)
        self.identity = _identity(name, algorithm, self.members)
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
        self._parked: list[Piece] = []
        self._outgoing: list[tuple[list[list[Request]], list[Request]]] = []
        nodes = [member.node for member in self.members if member.node is not None]
        self._budget = max(node.budget_ns for node in nodes)
        for node in nodes:
            node.on_up = self._unpark

    # -- status --------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """The array's state, in vocabulary.md's words."""
        lost = sum(1 for member in self.members if not member.in_sync)
        return "online" if not lost else "degraded" if lost <= self.algorithm.spare else "failed"

    @property
    def settled(self) -> bool:
        """Whether all members in sync are known to hold the same: no write failed halfway."""
        return not self._unsettled and not self._marks.pending

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

    def close(self, done: Callable[[], None]) -> None:
        """See Device: closes every node."""
        nodes = [member.node for member in self.members if member.node is not None]
        left = len(nodes)
        self._budget = 0
        for piece in self._parked:
            piece.deadline = 1
        self._unpark()

        def closed() -> None:
            nonlocal left
            left -= 1
            if not left:
                done()

        for node in nodes:
            node.close(closed)

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
                    assert node is not None
                    node.submit(pieces)
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

    def _read_failed(self, piece: Piece) -> bool:
        """Ask another member, or park the piece until one is up; False if the error goes up."""
        now = self._reactor.now
        piece.deadline = piece.deadline or now + self._budget
        if piece.error != errno.ENOLINK:  # the member answered, and will not answer otherwise later
            self.members[piece.slot].errors += 1
            piece.tried = (*piece.tried, piece.slot)
        elif now >= piece.deadline:
            return False
        parent = piece.parent
        slots = self.algorithm.split(parent.offset, parent.length)[piece.index].slots
        candidates = [slot for slot in slots if self.members[slot].in_sync]
        if self._unsettled.overlaps(parent.offset, parent.length):
            candidates = candidates[:1]
        candidates = [slot for slot in candidates if slot not in piece.tried]
        ready = [slot for slot in candidates if self.members[slot].up]
        if ready:
            piece.error = 0
            piece.slot = next((slot for slot in ready if slot != piece.slot), ready[0])
            node = self.members[piece.slot].node
            assert node is not None
            node.submit([piece])
        elif candidates:
            piece.error = errno.ENOLINK
            self._parked.append(piece)
            if len(self._parked) == 1:
                self._reactor.call_at(piece.deadline, self._unpark)
        return bool(candidates)

    def _unpark(self) -> None:
        """A member came up, or a parked read's time is over: look again at all of them."""
        parked, self._parked = self._parked, []
        if parked:
            self._done(parked)  # they still carry the error that parked them

    # -- writes and everything else that goes to all copies --------------------------------------------

    def _start_change(self, request: Request, out: list[list[Request]], at_once: list[Request]) -> None:
        op, flags, data, sink = request.op, request.flags, request.data, self._sink
        members = self.members
        if op == FLUSH:
            parts = [Part(tuple(range(len(members))), 0, 0, 0)]
        else:
            place = self.algorithm.locate(request.offset, request.length)
            if place is not None:
                parts = [Part(place[0], place[1], request.length, 0)]
            else:
                parts = self.algorithm.split(request.offset, request.length)
                if op != WRITE:
                    parts = _merged(parts)
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
            request.error = errno.EIO
            at_once.append(request)

    # -- what comes back -------------------------------------------------------------------------------

    def _done(self, pieces: list[Any]) -> None:
        """The sink of every piece."""
        finished: list[Request] = []
        for piece in pieces:
            parent = piece.parent
            if piece.error:
                if piece.op == READ:
                    if self._read_failed(piece):
                        continue
                    parent.error = piece.error if piece.error != errno.ENOLINK else errno.EIO
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
                        out = out or [[] for _ in self.members]
                        self._start_change(admitted, out, at_once)
        deliver(requests)
        if out is not None:
            self._dispatch(out, at_once)

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
            for piece in pieces:
                self._mark(self.members[piece.slot], piece.error)
            return
        request.error = pieces[0].error
        if self.algorithm.spare and request.op in _CHANGES:
            self._unsettled.add(request.offset, request.length)

    def _held_elsewhere(self, request: Request, index: int, failed: set[tuple[int, int]]) -> bool:
        """Whether a member in sync did the part of the request that others failed."""
        if request.op == FLUSH:
            return True
        parts = self.algorithm.split(request.offset, request.length)
        slots = (parts if request.op == WRITE else _merged(parts))[index].slots
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


def _merged(parts: Sequence[Part]) -> list[Part]:
    """Parts that lie side by side on their members, as one: for operations without payload."""
    merged: dict[tuple[int, ...], list[Part]] = {}
    for part in parts:
        same = merged.setdefault(part.slots, [])
        if same and same[-1].offset + same[-1].length == part.offset:
            same[-1] = same[-1]._replace(length=same[-1].length + part.length)
        else:
            same.append(part)
    return [part for same in merged.values() for part in same]


def _flattened(request: Request) -> Any:
    """The pieces' data in order, as one flat list of views (a piece may itself bring a list)."""
    views: list[memoryview] = []
    for data in request.data:
        if type(data) is list:
            views += data
        elif data is not None:
            views.append(data)
    return views


def _capabilities(algorithm: Algorithm, members: Sequence[Member]) -> Capabilities:
    """What all present members can do together."""
    can = [member.node.capabilities for member in members if member.node is not None]
    return Capabilities(
        size=algorithm.size,
        block_min=max(c.block_min for c in can),
        block_preferred=max(c.block_preferred for c in can),
        payload_max=min(c.payload_max for c in can),
        read_only=any(c.read_only for c in can),
        flush=all(c.flush for c in can),
        fua=all(c.fua for c in can),
        trim=all(c.trim for c in can),
        write_zeroes=all(c.write_zeroes for c in can),
        fast_zero=all(c.fast_zero for c in can),
        rotational=any(c.rotational for c in can),
    )


def _identity(name: str, algorithm: Algorithm, members: Sequence[Member]) -> bytes:
    """The same as long as the array is made of the same addresses in the same way."""
    words = [name, algorithm.name, *(f"{k}={v}" for k, v in sorted(algorithm.parameters().items()))]
    words += [member.address for member in members]
    return hashlib.blake2b("\0".join(words).encode(), digest_size=16).digest()
