"""Flow: an array's requests on their way down to the members, and back up.

    batch -> pieces, one list per member -> nodes -> pieces -> requests whose last piece is done

Rules:
* Overlapping writes, trims and zeroes are ordered over all members, so that members agree.
* A read goes to one member in sync; if that one fails or its link is down, to the next (`Searches`).
  What a member that is not in sync any more has read is not believed.
* A write goes to all members that are written to and is acked when all of them answered. What it does not
  reach is dirty there. Which members failed it is judged by `Trust`; what that changes is durable before the
  ack (`Marks`).
* A change is tagged as unflushed when it is acked; a flush covers what was tagged before it was sent.
* When acked writes were lost, what is under way is done once more (`repeat`): part of it may be lost, too.
"""

import errno
from collections.abc import Callable, Sequence
from typing import Any

from dsttool.engine.array.fence import Fence
from dsttool.engine.array.marks import Marks
from dsttool.engine.array.member import Member
from dsttool.engine.array.piece import CHANGES, LOCK, Lock, Piece, if_fast, parts_of
from dsttool.engine.array.readers import first_in_sync, flattened, readers
from dsttool.engine.array.searches import Searches
from dsttool.engine.array.trims import Trims
from dsttool.engine.array.trust import Trust
from dsttool.engine.device.figures import Figures
from dsttool.engine.device.request import Request, deliver
from dsttool.engine.extents.overlap import OverlapGate
from dsttool.engine.mapping.algorithm import Algorithm
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.operations import FAIL_FAST, FLUSH, FUA, READ, WRITE, WRITE_ZEROES

_ORDERED = (*CHANGES, LOCK)


class Flow:
    """`drained(member)`: nothing is under way any more on a member that is not in sync.

    verifier: the array's, for flushes. batches: how many were submitted. reading, changing: requests under
    way. read_policy: see readers. budget_ns: how long a read waits when no member is up. trims: None where
    there are no copies.
    """

    def __init__(
        self,
        reactor: Reactor,
        name: str,
        algorithm: Algorithm,
        members: Sequence[Member],
        gate: OverlapGate[Request],
        trust: Trust,
        marks: Marks,
        fence: Fence,
        *,
        read_policy: str,
        budget_ns: int,
        read_only: bool,
        drained: Callable[[Member], None],
    ) -> None:
        self._reactor = reactor
        self._algorithm = algorithm
        self._members = members
        self._gate = gate
        self._trust = trust
        self._marks = marks
        self._fence = fence
        self._read_policy = read_policy
        self._drained = drained
        self._sink = self._done
        self._turn = 0
        self.verifier = b""
        self.batches = self.changing = self.reading = 0
        self._failed: dict[Request, list[Piece]] = {}
        self._flushing: set[Request] = set()
        self._repeat: set[Request] = set()
        self._outgoing: list[tuple[list[list[Request]], list[Request]]] = []
        self._unsettled = trust.unsettled
        self._unflushed = trust.unflushed
        self.searches = Searches(
            reactor, algorithm, members, trust.unsettled, budget_ns, self._ended, trust.failing
        )
        self.trims: Trims | None = None
        if algorithm.spare:
            self.trims = Trims(reactor, name, trust, fence, dispatch=self._dispatch, sink=self._sink)
        # What cannot be written has nothing to flush.
        self._flushed = () if read_only else tuple(range(len(members)))
        self._closing: Callable[[], None] | None = None

    def submit(self, batch: list[Request]) -> None:
        """See Device.submit."""
        if self._fence.up:
            self._fence.came += batch
            return
        self.batches += 1
        out: list[list[Request]] = [[] for _ in self._members]
        locate, sink = self._algorithm.locate, self._sink
        readable = readers(self._members, self._read_policy)
        count = len(self._members)
        fast = FAIL_FAST if self._algorithm.spare else 0
        turn, now = self._turn, self._reactor.now
        reading = 0
        at_once: list[Request] = []
        for request in batch:
            if request.op == READ:
                reading += 1
                place = locate(request.offset, request.length)
                if place is None or self._unsettled:
                    self._start_read(request, readable, out, at_once)
                    continue
                slots, offset = place
                if len(slots) == 1:
                    slot = slots[0]
                elif len(slots) != count:  # not every member has it
                    self._start_read(request, readable, out, at_once)
                    continue
                elif readable:
                    slot = readable[turn % len(readable)]
                    turn += 1
                else:
                    slot = first_in_sync(self._members, slots)
                request.pending = 1
                flags = request.flags | fast
                out[slot].append(
                    Piece(READ, flags, offset, request.length, None, request, slot, 0, sink, now)
                )
            else:
                self.changing += 1
                if request.op not in CHANGES or self._gate.admit(request):
                    self._start_change(request, out, at_once)
        self._turn = turn
        self.reading += reading
        self._dispatch(out, at_once)

    def lock(self, lock: Lock) -> bool:
        """Whether the lock is granted now; if not, it will be told. `release` gives it back."""
        self.changing += 1
        return self._gate.admit(lock)

    def fill(self, lock: Lock, data: memoryview) -> None:
        """Write this where the lock is granted, as a client would have done; with the end of that it is
        released."""
        lock.op, lock.flags, lock.data = WRITE, 0, data
        out: list[list[Request]] = [[] for _ in self._members]
        at_once: list[Request] = []
        self._start_change(lock, out, at_once)
        self._dispatch(out, at_once)

    def repeat(self) -> None:
        """What is under way and not answered yet has to be done once more before it is."""
        self._repeat.update(self._flushing)
        self._repeat.update(request for request in self._gate.running() if request.op in CHANGES)

    def close(self, closed: Callable[[], None]) -> None:
        """Start nothing more. `closed` is called whenever nothing is under way any more."""
        self._closing = closed
        self.searches.end()
        if self.trims is not None:
            self.trims.end()
        ended = self._fence.open()
        if ended:
            self.release(ended)

    def _dispatch(self, out: list[list[Request]], at_once: list[Request]) -> None:
        """Hand pieces to their nodes. What these answers admit is handed on here as well, in a loop:
        a node may answer at once, and a queue of writes to one block must not nest as deep."""
        self._outgoing.append((out, at_once))
        if len(self._outgoing) > 1:
            return
        for out, at_once in self._outgoing:
            for member, pieces in zip(self._members, out):
                if pieces:
                    if not member.in_sync:
                        pieces = self._without_refused(member, pieces)
                    if pieces:
                        member.in_flight += len(pieces)
                        member.node.submit(pieces)  # type: ignore[union-attr]
            if at_once:
                self._complete(at_once)
        self._outgoing.clear()

    # -- reads ---------------------------------------------------------------------------------------

    def _start_read(
        self, request: Request, readable: list[int], out: list[list[Request]], at_once: list[Request]
    ) -> None:
        """A read of several pieces, or one that may touch unsettled extents."""
        parts = self._algorithm.split(request.offset, request.length)
        now = self._reactor.now
        unsettled = self._unsettled.overlaps(request.offset, request.length)
        request.pending = len(parts)
        request.data = [None] * len(parts)
        if not parts:
            at_once.append(request)
        for index, part in enumerate(parts):
            usable = [slot for slot in readable if slot in part.slots]
            flags = request.flags | (FAIL_FAST if len(part.slots) > 1 else 0)
            if unsettled or not usable:
                slot = first_in_sync(self._members, part.slots)
            else:
                slot = usable[self._turn % len(usable)]
                self._turn += 1
            out[slot].append(
                Piece(READ, flags, part.offset, part.length, None, request, slot, index, self._sink, now)
            )

    def _without_refused(self, member: Member, pieces: list[Request]) -> list[Request]:
        """The member may have left since these were made. What it must not be asked any more has failed."""
        ops = CHANGES * member.written + (FLUSH,) * member.flushed
        taken = [piece for piece in pieces if piece.op in ops]
        refused = [piece for piece in pieces if piece.op not in ops]
        for piece in refused:
            piece.error = errno.EIO
        if refused:
            self._ended(refused)
        return taken

    def _disbelieve(self, pieces: list[Piece]) -> None:
        """What members that are not in sync have read is not to be believed: it may be from before a
        write that they missed and that has been acked since."""
        for piece in pieces:
            if piece.op == READ and not piece.error and not self._members[piece.slot].in_sync:
                piece.error = errno.ESTALE

    # -- writes and everything else that goes to all copies --------------------------------------------

    def _start_change(self, request: Request, out: list[list[Request]], at_once: list[Request]) -> None:
        op, flags, data, sink = request.op, request.flags, request.data, self._sink
        if op != WRITE and self._start_special(request, out, at_once):
            return
        members, whole, now = self._members, self._trust.whole, self._reactor.now
        place = self._algorithm.locate(request.offset, request.length)
        parts: Sequence[tuple[tuple[int, ...], int, int, int]]  # a Part each; the usual one is made cheaply
        if place is not None:
            parts = ((*place, request.length, 0),)
        else:
            parts = parts_of(self._algorithm, request)
        pending = 0
        for index, (slots, offset, length, start) in enumerate(parts):
            payload = data
            if op == WRITE and length != request.length:
                payload = data[start : start + length]
            for slot in slots:
                if whole or self._trust.reaches(members[slot], op, offset, length):
                    out[slot].append(
                        Piece(op, flags, offset, length, payload, request, slot, index, sink, now)
                    )
                    pending += 1
        request.pending = pending
        if not pending:
            request.error = errno.EIO
            at_once.append(request)

    def _start_special(self, request: Request, out: list[list[Request]], at_once: list[Request]) -> bool:
        """Whether it does not go to the members as a write does."""
        op = request.op
        if op == FLUSH:
            self._start_flush(request, out, at_once)
        elif op == LOCK:
            request.granted(request)  # type: ignore[attr-defined]
        elif self.trims is not None and if_fast(request):
            self.trims.begin(request, out, at_once)
        else:
            return False
        return True

    def _start_flush(self, request: Request, out: list[list[Request]], at_once: list[Request]) -> None:
        """What members that are not to be relied on yet hold is flushed when they are."""
        self._flushing.add(request)
        request.data = self.verifier
        request.pending = 0
        epoch, now = self._trust.flush_epoch(), self._reactor.now
        for slot in self._flushed:
            member = self._members[slot]
            if member.flushed and not member.in_sync and not member.up:
                self._trust.absent(member)
            if member.flushed and member.node is not None:
                piece = Piece(FLUSH, request.flags, 0, 0, None, request, slot, 0, self._sink, now)
                piece.cookie = (epoch, member.node.verifier, 1)
                out[slot].append(piece)
                request.pending += 1
        if not request.pending:
            at_once.append(request)

    def _maybe_closed(self) -> None:
        if self._closing is not None and not (self.reading or self.changing):
            self._closing()

    # -- what comes back -------------------------------------------------------------------------------

    def _done(self, pieces: list[Any]) -> None:
        """The sink of every piece: those of one member at a time."""
        member = self._members[pieces[0].slot]
        member.in_flight -= len(pieces)
        if not self._trust.whole:
            self._disbelieve(pieces)
        self._ended(pieces, member.figures)
        if not member.in_flight and not member.in_sync:
            self._drained(member)

    def _ended(self, pieces: list[Any], figures: Figures | None = None) -> None:
        """Pieces that have an answer, or get none: another member is asked, or they are done.

        figures: the member's who answered them.
        """
        finished: list[Request] = []
        now, began = self._reactor.clock(), pieces[0].began
        reads = writes = others = read_bytes = written_bytes = errors = told = 0
        for piece in pieces:
            parent = piece.parent
            if piece.began is not began:
                if figures is not None:
                    told = figures.took(now - began, reads + writes + others, told)
                began = piece.began
            if piece.error:
                if piece.op == WRITE_ZEROES and self.trims is not None and not self.trims.answered(piece):
                    continue
                errors += 1
                if piece.op == READ:
                    if self.searches.go_on(piece):
                        continue
                    link = piece.error == errno.ENOLINK and not parent.flags & FAIL_FAST
                    parent.error = errno.EIO if link else piece.error
                else:
                    self._keep_failed(piece)
            elif piece.op == READ:
                reads += 1
                read_bytes += piece.length
                if parent.data is None:
                    parent.data = piece.data
                else:
                    parent.data[piece.index] = piece.data
            elif piece.op == WRITE:
                writes += 1
                written_bytes += piece.length
            else:
                others += 1
                if piece.op == FLUSH:
                    if not self._flush_counts(piece):
                        continue
                elif self.trims is not None and piece.op == WRITE_ZEROES:
                    self.trims.answered(piece)
            parent.pending -= 1
            if not parent.pending:
                finished.append(parent)
        if figures is not None:
            figures.add(now - began, told, reads, writes, others, read_bytes, written_bytes, errors)
        if finished:
            self._complete(finished)

    def _flush_counts(self, piece: Piece) -> bool:
        """Whether a member's flush is done; if not, it is sent again."""
        if not self._trust.flushed(piece):
            member = self._members[piece.slot]
            assert member.node is not None
            member.in_flight += 1
            piece.began = self._reactor.now
            member.node.submit([piece])
            return False
        if piece.error:
            self._keep_failed(piece)
        return True

    def _keep_failed(self, piece: Piece) -> None:
        """Until all pieces of its request have ended. So long it counts as under way, so that its member does
        not come back in sync before it is judged."""
        self._members[piece.slot].in_flight += 1
        self._failed.setdefault(piece.parent, []).append(piece)

    def _judge(self, request: Request, pieces: list[Piece]) -> None:
        if not self._fence.check():
            self._trust.judge(request, pieces)
        for piece in pieces:
            member = self._members[piece.slot]
            member.in_flight -= 1
            if not member.in_flight and not member.in_sync:
                self._drained(member)

    def _complete(self, requests: list[Request]) -> None:
        """Requests whose last piece has ended."""
        if self._failed:
            for request in requests:
                pieces = self._failed.pop(request, None)
                if pieces:
                    self._judge(request, pieces)
        if self._unsettled:
            self._trust.settle(requests)
        reads = 0
        for request in requests:
            if request.op == READ:
                reads += 1
                if type(request.data) is list:
                    request.data = flattened(request)
        self.reading -= reads
        if self._marks.pending:
            held = [request for request in requests if request.op != READ]
            requests = [request for request in requests if request.op == READ]
            self._marks.hold(held)
        if requests:
            self.release(requests)

    def release(self, requests: list[Request]) -> None:
        """Answer requests upward, and start the writes that waited for them."""
        if self._fence.up:
            if self._closing is None:
                self._fence.ended += requests
                return
            for request in requests:
                request.error = errno.ESHUTDOWN
        out: list[list[Request]] | None = None
        at_once: list[Request] = []
        release, unflushed = self._gate.release, self._unflushed
        if self._repeat:
            requests, out = self._repeated(requests, at_once)
        for request in requests:
            if request.op != READ:
                self.changing -= 1
                if request.op in _ORDERED:
                    if unflushed is not None and not request.flags & FUA:
                        chunk = request.offset >> unflushed.shift
                        if request.offset + request.length - 1 >> unflushed.shift == chunk:
                            unflushed.chunks[chunk] = unflushed.value
                        else:
                            unflushed.tag(request.offset, request.length)
                    for admitted in release(request):
                        if self._closing is not None:
                            admitted.error = errno.ESHUTDOWN
                            requests.append(admitted)
                            continue
                        out = out or [[] for _ in self._members]
                        self._start_change(admitted, out, at_once)
                elif request.op == FLUSH:
                    self._flushing.discard(request)
                    self._marks.refresh()
        if requests:
            deliver(requests)
        if out is not None:
            self._dispatch(out, at_once)
        if self._closing is not None:
            self._maybe_closed()

    def _repeated(
        self, requests: list[Request], at_once: list[Request]
    ) -> tuple[list[Request], list[list[Request]]]:
        """Those of the requests that are finished; the pieces of the others, which are done once more."""
        out: list[list[Request]] = [[] for _ in self._members]
        finished = []
        for request in requests:
            again = request in self._repeat
            self._repeat.discard(request)
            fast = self.trims if if_fast(request) else None
            # Of what was refused in the end, a part may have been done, and lost.
            refused = fast is not None and request.error == errno.ENOTSUP
            if not again or (request.error and not refused) or self._closing is not None:
                finished.append(request)
            elif fast is not None:
                fast.send(request, out, at_once)
            else:
                self._start_change(request, out, at_once)
        return finished, out
