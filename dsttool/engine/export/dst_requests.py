"""Requests of one DST link: checked, carried out once each, answered in batches.

    REQUESTS -> check -> seen before? -> device, as one list
    device -> the session remembers -> this link, or the one that asked last -> REPLIES, as one batch

* Every request is checked here: operation, permission, bounds, alignment, size, id. An id outside the
  session's window is answered ECANCELED, and never carried out.
* A change (WRITE, TRIM, WRITE_ZEROES) that has finished is answered with its status; one that runs is
  answered when it ends. READ and FLUSH run again.
* When the link is gone, what runs goes on: changes are remembered, other answers are dropped. A payload that
  was announced and did not come was never begun.
"""

import errno
from collections import deque
from typing import Protocol

from dsttool.engine.device.request import Request
from dsttool.engine.export.budget import Budget
from dsttool.engine.export.dst_session import DstSession
from dsttool.engine.export.offer import Offer
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transaction.session import BEGUN, DONE, MASK, NEW, OUTSIDE, RUNNING
from dsttool.engine.transport.channel import Channel
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import ProtocolError
from dsttool.engine.vocabulary.operations import (
    CACHE,
    FAST_ZERO,
    FLUSH,
    LOOKED_AT,
    READ,
    TRIM,
    WIRE_FLAGS,
    WRITE,
    WRITE_ZEROES,
)
from dsttool.engine.wire.dst_messages import FLOOR, REQUEST, heads_of, pack_replies, take_floor
from dsttool.engine.wire.dst_records import CROSSOVER

_OPERATIONS = (READ, WRITE, FLUSH, TRIM, CACHE, WRITE_ZEROES)
_CHANGES = (WRITE, TRIM, WRITE_ZEROES)
_STRANGE = ~WIRE_FLAGS
# Not a device's word for anything: the id is outside the window.
_CANCELED = errno.ECANCELED


class RequestsOwner(Protocol):
    """The connection that they come by. peer: the client, as a status shows it."""

    peer: str

    def relaxed(self) -> None:
        """Answers have left, or are not awaited any more."""

    def ended(self) -> None:
        """The link is gone, and nothing that it brought runs any more."""


class DstRequests:
    """What one link of a session has asked for. index: the link's. looked_at: what reads bring is sealed, or
    summed up, before it is sent.

    running: requests that the device has and that came by this link.
    """

    def __init__(
        self,
        reactor: Reactor,
        channel: Channel,
        offer: Offer,
        session: DstSession,
        index: int,
        owner: RequestsOwner,
        *,
        looked_at: bool = False,
    ) -> None:
        self.budget = Budget()
        self.running = 0
        self.announced: deque[Request] = deque()
        self.replies: list[Request] = []
        self._reactor = reactor
        self._channel = channel
        self._offer = offer
        self._session = session
        self._index = index
        self._owner = owner
        self._looked_at = looked_at
        self._closed = False
        self._sink = self._finished
        self._scheduled = False

    @property
    def peer(self) -> str:
        """The client."""
        return self._owner.peer

    # -- in ----------------------------------------------------------------------------------------------

    def take(self, view: memoryview, count: int, start: int, end: int) -> bool:
        """One batch: everything whole goes to the device as one list. True if payloads stay in view."""
        can = self._offer.device.capabilities
        size, payload_max, mask = can.size, can.payload_max, can.block_min - 1
        window, sink, writable = self._session.window, self._sink, not self._session.read_only
        looked_at, strange = self._looked_at, _STRANGE
        floor = take_floor(view, start, end)
        if floor > window.floor:
            window.advance(floor)
        low, high, marks = window.floor, window.ceiling, window.marks
        batch: list[Request] = []
        answered: list[Request] = []
        total, now = 0, self._reactor.now
        start += FLOOR.size
        heads, position = heads_of(REQUEST, view, count, start, end)
        try:
            for id_, offset, length, op, flags, _ in heads:
                request = Request(op, flags, offset, length, None, id_, sink, now)
                if op <= WRITE:
                    total += length
                    if op == WRITE:
                        if length >= CROSSOVER:
                            self._announce(request)
                            continue
                        request.data = view[position : position + length]
                        position += length
                    fits = offset + length <= size and length <= payload_max and not (offset | length) & mask
                    if fits and length and low <= id_ < high and not flags & strange:
                        if op == READ:
                            if looked_at:
                                request.flags = flags | LOOKED_AT
                            batch.append(request)
                            continue
                        if writable and not marks[id_ & MASK]:
                            marks[id_ & MASK] = BEGUN
                            batch.append(request)
                            continue
                self._sort(request, batch, answered)
            if position != end:
                raise ProtocolError("A batch's payloads are not as long as its heads say.")
            if total > limits.CLIENT_BYTES_MAX + limits.REQUEST_MAX:
                raise ProtocolError("A batch asks for more bytes than the window grants.")
        except ProtocolError:
            self._take_back(batch)
            raise
        self.budget.requests += count
        self.budget.bytes += total
        self._run(batch, answered)
        return position != start + REQUEST.size * count

    def _take_back(self, batch: list[Request]) -> None:
        """The batch makes no sense: nothing of it begins."""
        for request in batch:
            if request.op in _CHANGES:
                self._session.withdraw(request.cookie)

    def _announce(self, request: Request) -> None:
        """Its payload comes in a record of its own; only then it begins."""
        if request.length > limits.REQUEST_MAX or len(self.announced) >= limits.CLIENT_REQUESTS_MAX:
            raise ProtocolError("A payload was announced that is beyond all bounds.")
        self.announced.append(request)

    def take_payload(self, payload: memoryview) -> None:
        """What the first of the announced requests waited for."""
        if not self.announced or self.announced[0].length != len(payload):
            raise ProtocolError("A payload came that was not announced.")
        request = self.announced.popleft()
        request.data = payload
        batch: list[Request] = []
        answered: list[Request] = []
        self._sort(request, batch, answered)
        self._run(batch, answered)

    def _sort(self, request: Request, batch: list[Request], answered: list[Request]) -> None:
        """Into `batch` what is to run, into `answered` what is not; what runs already, into neither."""
        error = self._error(request)
        if error is None:
            known = self._known(request)
            if known == NEW:
                batch.append(request)
                return
            if known == RUNNING:
                self._session.wait(self, request)
                return
            # What had ended before was counted then.
            error = _CANCELED if known == OUTSIDE else known
            self._offer.figures.errors += known == OUTSIDE
        elif error:
            self._offer.figures.errors += 1
        request.error = error
        request.data = None
        answered.append(request)

    def _known(self, request: Request) -> int:
        """What the session knows of a request that is in order: see ServerSession.begin."""
        window = self._session.window
        if request.op in _CHANGES:
            return window.begin(request.cookie)
        return NEW if window.floor <= request.cookie < window.ceiling else OUTSIDE

    def _error(self, request: Request) -> int | None:
        """None if the request is in order; else its answer, which is 0 where there is nothing to do."""
        can, op = self._offer.device.capabilities, request.op
        if op not in _OPERATIONS or request.flags & ~WIRE_FLAGS:
            return errno.EINVAL
        if self._session.read_only and op in _CHANGES:
            return errno.EROFS
        if op == FLUSH:
            return errno.EINVAL if request.offset or request.length else None
        if request.offset + request.length > can.size:
            return errno.ENOSPC if op in _CHANGES else errno.EINVAL
        if (request.offset | request.length) & (can.block_min - 1):
            return errno.EINVAL
        if op <= WRITE and request.length > can.payload_max:
            return errno.EINVAL
        if request.flags & FAST_ZERO and not can.fast_zero:
            return errno.ENOTSUP
        return None if request.length else 0

    def _run(self, batch: list[Request], answered: list[Request]) -> None:
        if answered:
            self._reply(answered)
        if batch:
            count = len(batch)
            self.running += count
            self._session.running += count
            self._offer.device.submit(batch)

    # -- out ---------------------------------------------------------------------------------------------

    def _finished(self, requests: list[Request]) -> None:
        """The sink of everything that the device has of this link."""
        session = self._session
        window = session.window
        marks = window.marks
        given_up = window.given_up
        figures, now, began = self._offer.figures, self._reactor.clock(), requests[0].began
        reads = writes = others = read_bytes = written_bytes = errors = told = 0
        for request in requests:
            op = request.op
            if request.began is not began:
                told = figures.took(now - began, reads + writes + others, told)
                began = request.began
            if request.error:
                errors += 1
                if op in _CHANGES:
                    window.finish(request.cookie, request.error)
            elif op == READ:
                reads += 1
                read_bytes += request.length
            elif op == WRITE:
                writes += 1
                written_bytes += request.length
                if given_up:
                    window.finish(request.cookie, 0)
                else:
                    marks[request.cookie & MASK] = DONE
            elif op == FLUSH and session.lost and session.tell_loss(request.cookie):
                request.error = errno.EIO
                errors += 1
            else:
                others += 1
                if op in _CHANGES:
                    window.finish(request.cookie, 0)
        figures.add(now - began, told, reads, writes, others, read_bytes, written_bytes, errors)
        if errors:
            self._offer.failing(requests, now)
        if session.waiters:  # while these still count as running, so that nothing closes the link meanwhile
            self._tell_waiters(requests)
        self.running -= len(requests)
        session.running -= len(requests)
        if not self._closed:
            self._reply(requests)
        elif not self.running:
            self._ended()
        if not session.running and session.when_idle is not None:
            session.idle()

    def _tell_waiters(self, requests: list[Request]) -> None:
        """Changes that other links have asked for since are answered there, too."""
        waiters = self._session.waiters
        for request in requests:
            if request.op in _CHANGES:
                for link, again in waiters.pop(request.cookie, {}).items():
                    again.error = request.error
                    if link is self:
                        self.drop(again)
                    else:
                        link.answer(again)

    def answer(self, request: Request) -> None:
        """See Answering."""
        self._reply([request])

    def drop(self, request: Request) -> None:
        """See Answering."""
        self.budget.requests -= 1
        if request.op <= WRITE:
            self.budget.bytes -= request.length
        if not self._closed:
            self._owner.relaxed()

    def _reply(self, requests: list[Request]) -> None:
        if self._closed:
            return
        self.replies += requests
        if not self._scheduled:
            self._scheduled = True
            self._reactor.flush_later(self)

    def flush(self) -> None:
        """Send the replies of this turn as one batch."""
        self._scheduled = False
        replies, self.replies = self.replies, []
        if not replies:
            return
        budget = self.budget
        budget.requests -= len(replies)
        for request in replies:
            if request.op <= WRITE:
                budget.bytes -= request.length
        self._channel.send(pack_replies(replies))
        self._owner.relaxed()

    # -- the end -----------------------------------------------------------------------------------------

    def close(self) -> None:
        """The link is gone. More than once does no harm."""
        if self._closed:
            return
        self._closed = True
        self.announced.clear()
        self.replies.clear()
        self._session.wait_no_more(self)
        if self.running:
            stalled = self._session.stalled
            stalled[self._index] = stalled.get(self._index, 0) + 1
        else:
            self._owner.ended()

    def _ended(self) -> None:
        self._session.stalled[self._index] -= 1
        self._owner.ended()
