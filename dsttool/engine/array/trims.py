"""Trims of an array that keeps copies: afterwards all members in sync read alike there.

A trim is advice, and each device takes it as it likes: one reads zeroes afterwards, the other what was there
before. So members are not told to trim, but to write zeroes, holes allowed, where that is fast (FAST_ZERO);
what clients ask for with that flag goes the same way. A member may refuse that, here or anywhere (ENOTSUP):

* What it has refused it gets as plain zeroes, for others have done it: one part after the other. With the
  first that it fails at while its link is down all of them have failed: one budget, not one for each.
* Nobody wants to wait for gigabytes of zeroes. So of what is long a short part is tried first, alone, until
  all members that are written to have done such a part. If none of them does it, for whatever reason, what
  waited for that is left undone.
* Once a member has refused, nothing more is begun, until the array comes up again or gets another node: a
  trim is answered at once, zeroes with ENOTSUP, as the flag wants it.

So a trim that was acked has been done, or left undone, in whole or in part; but the same on all members.
"""

import errno
import logging
from collections import deque
from collections.abc import Callable, Sequence

from dsttool.engine.array.fence import Fence
from dsttool.engine.array.piece import Piece, parts_of, proves
from dsttool.engine.array.trust import Trust
from dsttool.engine.device.request import Request, Sink
from dsttool.engine.mapping.algorithm import Piece as Part
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.operations import FAST_ZERO, WRITE_ZEROES

LOG = logging.getLogger(__name__)

Out = list[list[Request]]


class Trims:
    """Of one array. `dispatch(out, at_once)`: hand on pieces, by slot, and requests that are done; `sink`: of
    the pieces."""

    def __init__(
        self,
        reactor: Reactor,
        name: str,
        trust: Trust,
        fence: Fence,
        *,
        dispatch: Callable[[Out, list[Request]], None],
        sink: Sink,
    ) -> None:
        self._reactor = reactor
        self._name = name
        self._trust = trust
        self._members = trust.members
        self._fence = fence
        self._dispatch = dispatch
        self._sink = sink
        self._over = False
        self._done = False
        self._proven: set[int] = set()  # slots that have done a part that is long enough to tell
        self._trial: Request | None = None
        self._trial_left = 0
        self._trial_done = False  # by one member at least
        self._waiting: list[Request] = []
        self._undone: list[Request] = []
        # What members have refused, by slot; the first of each is being done again.
        self._refused: list[deque[Piece]] = [deque() for _ in trust.members]
        self.anew()

    def anew(self) -> None:
        """The array has its nodes, or another one: try again."""
        can = [member.node.capabilities for member in self._members if member.node is not None]
        self._done = not self._over and all(c.write_zeroes and c.fast_zero for c in can)
        self._proven.clear()

    def end(self) -> None:
        """The array closes: begin nothing more."""
        self._over = True
        self._done = False

    # -- down ------------------------------------------------------------------------------------------

    def begin(self, request: Request, out: Out, at_once: list[Request]) -> None:
        """One that is in nobody's way: make pieces, now or when it is known that members do them."""
        if not self._done:
            self._leave_undone(request)
            return
        parts = parts_of(self._trust.algorithm, request)
        if len(parts) < 2 or all(m.slot in self._proven for m in self._members if m.written):
            self.send(request, out, at_once)
        elif self._trial is not None:
            self._waiting.append(request)
        else:
            self._trial = request
            self._trial_done = False
            self._trial_left = self._make(request, parts[:1], 0, out)
            request.pending = self._trial_left + 1  # for the rest
            if not self._trial_left:
                self._reactor.post(self._go_on)  # there is nobody to do it

    def send(self, request: Request, out: Out, at_once: list[Request]) -> None:
        """All of it, whatever members have refused: part of it may have been done before, and lost."""
        request.error = 0
        request.pending = self._make(request, parts_of(self._trust.algorithm, request), 0, out)
        if not request.pending:
            request.error = errno.EIO if request.length else 0  # as a write that reaches nobody
            at_once.append(request)

    def _make(self, request: Request, parts: Sequence[Part], first: int, out: Out) -> int:
        """Pieces of these parts; how many."""
        flags, trust, now = request.flags | FAST_ZERO, self._trust, self._reactor.now
        count = 0
        for index, (slots, offset, length, _) in enumerate(parts, first):
            for slot in slots:
                if trust.reaches(self._members[slot], WRITE_ZEROES, offset, length):
                    piece = Piece(
                        WRITE_ZEROES, flags, offset, length, None, request, slot, index, self._sink, now
                    )
                    out[slot].append(piece)
                    count += 1
        return count

    def _leave_undone(self, request: Request) -> None:
        """Answered in a turn of its own: what it waited for may not be answered yet."""
        self._undone.append(request)
        if len(self._undone) == 1:
            self._reactor.post(self._answer)

    def _answer(self) -> None:
        undone, self._undone = self._undone, []
        for request in undone:
            request.error = _refusal(request)
        self._dispatch([[] for _ in self._members], undone)

    # -- up --------------------------------------------------------------------------------------------

    def answered(self, piece: Piece) -> bool:
        """A member has answered a piece that writes zeroes. False: it is asked again."""
        refused = self._refused[piece.slot]
        if refused and refused[0] is piece:
            refused.popleft()
            if refused:
                self._reactor.post(lambda: self._ask_again(piece.slot, piece.error))
        if not piece.flags & FAST_ZERO:
            return True
        again = False
        if piece.error == errno.ENOTSUP:
            again = self._refuse(piece)
        elif not piece.error and proves(piece):
            self._proven.add(piece.slot)
        if piece.parent is self._trial:
            self._trial_left -= 1
            self._trial_done |= not piece.error
            if not self._trial_left:
                self._reactor.post(self._go_on)
        return not again

    def _refuse(self, piece: Piece) -> bool:
        """Whether the member gets plain zeroes instead; if not, it has missed them."""
        member = self._members[piece.slot]
        if self._done:
            self._done = False
            LOG.warning(
                "%s: trims are not done any more: member %s cannot write zeroes fast", self._name, member.name
            )
        if self._over or not member.written:
            return False
        piece.error = 0
        piece.flags &= ~FAST_ZERO
        member.in_flight += 1
        refused = self._refused[piece.slot]
        refused.append(piece)
        if len(refused) == 1:
            self._reactor.post(lambda: self._ask_again(piece.slot, 0))
        return True

    def _ask_again(self, slot: int, failed: int) -> None:
        """Ask for the next one. failed: the errno of the one before."""
        refused, member = self._refused[slot], self._members[slot]
        if self._over or not member.written or (failed and not member.up):
            given_up: list[Request] = list(refused)
            refused.clear()
            for piece in given_up:
                piece.error = failed or errno.EIO
            self._sink(given_up)
        else:
            assert member.node is not None
            refused[0].began = self._reactor.now
            member.node.submit([refused[0]])

    def _go_on(self) -> None:
        """What was tried has an answer from everybody: the rest of it, and what waited for that."""
        request, self._trial = self._trial, None
        done = self._trial_done
        assert request is not None
        if self._fence.check():
            self._done = False
        out: Out = [[] for _ in self._members]
        at_once: list[Request] = []
        if self._done and done:
            parts = parts_of(self._trust.algorithm, request)
            request.pending += self._make(request, parts[1:], 1, out)
        else:
            request.error = _refusal(request)
        request.pending -= 1
        if not request.pending:
            at_once.append(request)
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if done:
                self.begin(each, out, at_once)
            else:
                self._leave_undone(each)
        self._dispatch(out, at_once)


def _refusal(request: Request) -> int:
    """What is answered where nothing is done: a trim is advice."""
    return errno.ENOTSUP if request.op == WRITE_ZEROES else 0
