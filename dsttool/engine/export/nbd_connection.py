"""One NBD client: handshake, then transmission. Parse many, answer once.

    socket -> RequestParser -> list[Request] -> device
    device -> list[Request] -> replies gathered -> one sendmsg when the turn ends

The connection lives until the client says goodbye, breaks the protocol, or the link is lost. What the
device still works on then comes back to nobody, but counts as running until it has ended: nobody else is
let in to write before. The handshake stands still until it is known whether this client may write.

NBD has no word for writes that were acked and are lost. So each connection remembers the verifier under
which its device began, and a flush that finishes under another one fails, once: the client must not rely
on what it wrote before. As connections are told that a flush on one covers writes on all, one that begins
while another has not been told yet remembers what that one does.
"""

import errno
from collections.abc import Callable
from socket import socket

from dsttool.engine.device.request import Request
from dsttool.engine.export.access import Gate
from dsttool.engine.export.budget import Budget
from dsttool.engine.export.nbd_writers import NbdClaim, NbdWork
from dsttool.engine.export.offer import Offer, Session
from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.transport.link import Bytes, Link
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.operations import FLUSH, READ, WRITE
from dsttool.engine.wire.nbd import SIMPLE_REPLY, SIMPLE_REPLY_MAGIC, error_to_wire
from dsttool.engine.wire.nbd_requests import RequestParser
from dsttool.engine.wire.nbd_server import Exports, ServerHandshake

REPLY = SIMPLE_REPLY.size
# With less than this to send, and nothing unanswered, no bound is near.
UNSENT_EASY = 16 * limits.KIB
_TOLD = "acked writes may be lost; its flush fails"


class NbdConnection(Session):
    """Receiver of one accepted socket. `on_close(self)` is called once, whoever ends it."""

    protocol = "nbd"

    def __init__(
        self,
        reactor: Reactor,
        sock: socket,
        peer: str,
        exports: Exports,
        find: Callable[[str], Offer],
        on_close: Callable[["NbdConnection"], None],
        gate: Gate,
    ) -> None:
        self.peer = peer
        self.read_only = True
        self._reactor = reactor
        self._pool = reactor.pool
        self._find = find
        self._on_close = on_close
        self._gate = gate
        self._budget = Budget()
        self._parser: RequestParser[Request] | None = None
        self._leaving = self._goodbye = False
        self._claim: NbdClaim | None = None
        # What runs is counted there, and nowhere else until it is known what this client may do.
        self._work = NbdWork(b"")
        self.verifier: bytes | None = None
        self._sink = self._finished
        self._handshake = ServerHandshake(exports)
        self._deadline: Timer | None = reactor.call_later(limits.HANDSHAKE_TIMEOUT_NS, self._too_slow)
        self.link = Link(reactor, sock, self)
        self._send(self._handshake.greeting)

    @property
    def in_flight(self) -> int:  # type: ignore[override]
        """Requests not answered yet."""
        return self._budget.requests

    @property
    def served(self) -> bool:
        """Whether its handshake is done."""
        return self._parser is not None

    # -- what the link tells -------------------------------------------------------------------------

    def received(self, view: memoryview, head: int, tail: int) -> tuple[int, int, bool]:
        """See Receiver."""
        if self._parser is None:
            head = self._shake_hands(view, head, tail)
            if self._parser is None or head == tail or not self.link.open:
                return head, 0, False
        parser, budget, link = self._parser, self._budget, self.link
        if self._leaving:
            return tail, 0, False
        if self._pool.crowded:
            room, room_bytes = int(not self._crowded()), limits.CLIENT_BYTES_MAX
        elif budget.requests or link.unsent:
            room, room_bytes = budget.room(link.stuck), budget.room_bytes(link.unsent)
        else:
            room, room_bytes = limits.CLIENT_REQUESTS_MAX, limits.CLIENT_BYTES_MAX
        head = parser.parse(view, head, tail, room, room_bytes, self._reactor.now)
        requests = parser.requests
        if parser.refused:
            self._refuse(parser.refused)
        if requests:
            budget.requests += len(requests)
            budget.bytes += parser.bytes
            parser.requests = []  # a finished request must not pin its segment until the next parse
            work = self._work
            work.running += len(requests)
            work.used = True
            self.offer.device.submit(requests)
        if parser.fault:
            self._break(parser.fault)
        elif parser.disconnect:
            self._leaving = self._goodbye = True
            self._maybe_leave()
        elif parser.full or (
            (budget.requests or link.unsent > UNSENT_EASY)
            and (budget.room(link.stuck) <= 0 or budget.room_bytes(link.unsent) <= 0)
        ):
            link.pause()
        return head, parser.need, parser.pinned

    def _crowded(self) -> bool:
        """Whether all clients together hold so much that this one must wait for what it has asked."""
        waits = self._budget.requests or self.link.unsent
        return bool(waits) and self._pool.crowded

    def drained(self) -> None:
        """See Receiver."""
        link = self.link
        if self._leaving:
            self._maybe_leave()
        elif self._parser is None:
            return  # whether it may write is not known yet: `granted` goes on
        elif link.paused and self._budget.relaxed(link.unsent, link.stuck) and not self._crowded():
            link.resume()

    def lost(self, reason: str) -> None:
        """See Receiver."""
        if self.link.faulted:
            self.offer.device.distrust()
        if self._parser is None and (reason or not self._leaving):
            text = f"connection lost: {reason}" if reason else "left during the handshake"
            self._gate.note("client.left", "", "nbd", self.peer, text)
        self._end(reason)

    # -- handshake -----------------------------------------------------------------------------------

    def _shake_hands(self, view: memoryview, head: int, tail: int) -> int:
        """Returns where what the handshake did not take begins."""
        handshake = self._handshake
        reply = handshake.receive(view[head:tail])
        head = tail - len(handshake.leftover) if handshake.done or handshake.asks else tail
        self._go_on(reply)
        return head

    def _go_on(self, reply: bytes) -> None:
        handshake = self._handshake
        if reply:
            self._send(reply)
        if handshake.closed:
            self._gate.note("client.left", "", "nbd", self.peer, handshake.closed)
            self._leaving = True
            self.link.flush()
            self.close()
        elif handshake.asks:
            self.link.pause()
            self._gate.admit(self)
            self.offer = self._find(handshake.asks)
            self._claim = self.offer.nbd.join(self)
        elif handshake.done and handshake.chosen is not None:
            info = handshake.chosen
            self.offer = self._find(info.name)
            self.read_only = info.read_only
            self.verifier = self._verifier()
            self.offer.sessions.append(self)
            self._parser = RequestParser(info, Request, self._sink)
            self._cancel_deadline()
            self._gate.admit(self)
            self._gate.arrived(self)

    def granted(self, work: NbdWork | None, reason: str) -> None:
        """See NbdWriter."""
        if work is None:
            self._gate.note("client.read_only", self.offer.name, "nbd", self.peer, f"may only read: {reason}")
        else:
            self._work = work
        self._go_on(self._handshake.answer(read_only=work is None))
        if not self._handshake.done and work is not None:
            self._work = NbdWork(b"")
            self.offer.nbd.leave(self, work, goodbye=True)
        if self.link.open:
            self.link.resume()

    def _verifier(self) -> bytes | None:
        """Under what this client's writes are acked; None if its first flush must fail in any case."""
        now = self.offer.device.verifier
        untold = any(
            isinstance(other, NbdConnection) and not other.read_only and other.verifier != now
            for other in self.offer.sessions
        )
        return None if self.offer.lost or untold else now

    def _too_slow(self) -> None:
        self._gate.refused("slow", "nbd", self.peer, "no handshake in time")
        self.close()

    # -- answers -------------------------------------------------------------------------------------

    def _finished(self, requests: list[Request]) -> None:
        """The sink of every request of this client."""
        work = self._work
        work.running -= len(requests)
        if not work.running and work.when_idle is not None:
            work.idle()
        if not self.link.open:
            return
        out: list[Bytes] = []
        append, pack = out.append, SIMPLE_REPLY.pack
        figures, now, began = self.offer.figures, self._reactor.clock(), requests[0].began
        reads = writes = others = read_bytes = written_bytes = errors = failed_bytes = told = 0
        for request in requests:
            op = request.op
            if request.began is not began:
                told = figures.took(now - began, reads + writes + others, told)
                began = request.began
            if op == FLUSH:
                self._tell_loss(request)
            if request.error:
                append(pack(SIMPLE_REPLY_MAGIC, error_to_wire(request.error), request.cookie))
                errors += 1
                if op <= WRITE:
                    failed_bytes += request.length
                continue
            append(pack(SIMPLE_REPLY_MAGIC, 0, request.cookie))
            if op == READ:
                data = request.data
                if type(data) is list:
                    out += data
                else:
                    append(data)
                reads += 1
                read_bytes += request.length
            elif op == WRITE:
                writes += 1
                written_bytes += request.length
            else:
                others += 1
        figures.add(now - began, told, reads, writes, others, read_bytes, written_bytes, errors)
        if errors:
            self.offer.failing(requests, now)
        size = REPLY * len(requests) + read_bytes
        self._budget.requests -= len(requests)
        self._budget.bytes -= read_bytes + written_bytes + failed_bytes
        link = self.link
        link.send(out, size)
        if self._leaving:
            self._maybe_leave()
        elif link.paused and self._budget.relaxed(link.unsent, link.stuck) and not self._crowded():
            link.resume()

    def _tell_loss(self, flush: Request) -> None:
        """A flush that is done and does not cover what was acked before fails, once; EIO says the same."""
        verifier = flush.data or self.offer.device.verifier
        if flush.error == errno.EIO:
            self.verifier = self.offer.device.verifier
        elif not flush.error and verifier != self.verifier:
            self._gate.note("client.told", self.offer.name, "nbd", self.peer, _TOLD)
            self.verifier = verifier
            flush.error = errno.EIO

    def _refuse(self, refused: list[tuple[int, int]]) -> None:
        for cookie, error in refused:
            self._send(SIMPLE_REPLY.pack(SIMPLE_REPLY_MAGIC, error_to_wire(error), cookie))
        self.offer.figures.errors += sum(1 for _, error in refused if error)

    def _send(self, data: bytes) -> None:
        self.link.send([data], len(data))

    # -- the end -------------------------------------------------------------------------------------

    def _break(self, fault: str) -> None:
        self._gate.refused("protocol", "nbd", self.peer, f"it broke the protocol: {fault}")
        self.close()

    def _maybe_leave(self) -> None:
        """After the goodbye: close once everything is answered and sent."""
        link = self.link
        if self._budget.requests:
            return
        if link.unsent:
            link.flush()
        if link.open and not link.unsent:
            self.close()

    def leave(self) -> None:
        """Take nothing more; close once everything begun is answered and sent."""
        self._leaving = True
        self._maybe_leave()

    def close(self) -> None:
        """Close the connection now."""
        self.link.close()
        self._end()

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self, reason: str = "") -> None:
        """reason: why the connection was lost; '' if it was not."""
        self._cancel_deadline()
        if self._claim is not None:
            self._claim.wanted = False
        if self._parser is not None:
            self.offer.nbd.leave(self, self._work, goodbye=self._goodbye)
            if self in self.offer.sessions:
                self.offer.sessions.remove(self)
                self._gate.departed(self, reason)
        self._on_close(self)
