"""One DST client: handshake, hello, then batches of requests answered by batches of replies.

    handshake -> hello -> (the session's older link is cut and drained) -> serving

* Nothing changes on the server before a whole, valid hello has come.
* A hello of a session that has a link already replaces it: the old link is read no more, and the
  welcome waits until every request it brought has ended. So nothing of the old link can run after
  what the new one brings.
* Every request is checked here: operation, permission, bounds, alignment, size.
"""

import errno
import logging
from collections import deque
from collections.abc import Callable
from socket import socket
from typing import Protocol

from dsttool.engine.config.authorized import Permission
from dsttool.engine.device.request import Request
from dsttool.engine.export.access import Gate, Reason
from dsttool.engine.export.budget import WINDOW, WINDOW_BYTES, Budget
from dsttool.engine.export.offer import Offer, Session
from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.transport.channel import Channel
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import DsttoolError, Forbidden, ProtocolError
from dsttool.engine.vocabulary.operations import (
    CACHE,
    FAST_ZERO,
    FLUSH,
    READ,
    TRIM,
    WIRE_FLAGS,
    WRITE,
    WRITE_ZEROES,
)
from dsttool.engine.wire import dst_hello, dst_records
from dsttool.engine.wire.dst_handshake import ServerHandshake
from dsttool.engine.wire.dst_hello import Hello, Welcome
from dsttool.engine.wire.dst_messages import FLOOR, REQUEST, heads_of, pack_replies, take_floor
from dsttool.engine.wire.dst_records import CROSSOVER, PAYLOAD, PING, PONG, REQUESTS, Record
from dsttool.engine.wire.dst_seal import BadRecord
from dsttool.engine.wire.dst_security import Security

LOG = logging.getLogger(__name__)
_OPERATIONS = (READ, WRITE, FLUSH, TRIM, CACHE, WRITE_ZEROES)
_CHANGES = (WRITE, TRIM, WRITE_ZEROES)
_REASONS: dict[int, Reason] = {
    dst_hello.REFUSED_EXPORT: "export",
    dst_hello.REFUSED_ACCESS: "access",
    dst_hello.REFUSED_PROTOCOL: "protocol",
    dst_hello.REFUSED_KEY: "key",
}


class Sessions(Protocol):
    """What a connection needs of its server."""

    security: Security
    gate: Gate

    def find(self, name: str) -> Offer | None:
        """The offer of that name; the empty name is the only one."""

    def claim(self, connection: "DstConnection", ready: Callable[[], None]) -> None:
        """Make the connection its session's link; `ready` once the older one has ended."""

    def ended(self, connection: "DstConnection") -> None:
        """The connection is closed and nothing of it runs any more."""


class DstConnection(Session):
    """Receiver of one accepted socket."""

    protocol = "dst"

    def __init__(self, reactor: Reactor, sock: socket, peer: str, server: Sessions) -> None:
        self.peer = peer
        self.read_only = True
        self.key: bytes | None = None
        self.session = b""
        self.hello: Hello | None = None
        self._greeted = False
        self._reactor = reactor
        self._server = server
        self._budget = Budget()
        self._serving = False
        self._running = 0
        self._ended = self._leaving = False
        self._sink = self._finished
        self._replies: list[Request] = []
        self._scheduled = False
        self._announced: deque[Request] = deque()
        self._deadline: Timer | None = reactor.call_later(limits.HANDSHAKE_TIMEOUT_NS, self._too_slow)
        self._channel = Channel(reactor, sock, self, ServerHandshake(server.security))
        self.link = self._channel.link
        self._channel.start()

    @property
    def in_flight(self) -> int:  # type: ignore[override]
        """Requests not answered yet."""
        return self._budget.requests

    @property
    def permission(self) -> Permission:
        """What this client's key and address may do with its export, as of now."""
        return self._server.gate.permission(self.peer, self.key, self.offer.name)

    @property
    def granted(self) -> Permission:
        """What it was let in for."""
        return Permission.READ_ONLY if self.read_only else Permission.READ_WRITE

    # -- what the link tells -------------------------------------------------------------------------

    def opened(self) -> None:
        """See RecordReceiver."""
        self.session = self._channel.handshake.session
        self.key = self._channel.handshake.peer_key

    def broken(self, error: DsttoolError) -> None:
        """See RecordReceiver."""
        code = dst_hello.REFUSED_KEY if isinstance(error, Forbidden) else dst_hello.REFUSED_PROTOCOL
        self.refuse(code, error.what, "record" if isinstance(error, BadRecord) else None)

    def take(self, view: memoryview, records: list[Record]) -> tuple[int, bool]:
        """See RecordReceiver."""
        kept = False
        for index, (kind, count, start, end) in enumerate(records):
            if not self.link.open:
                break
            if kind == REQUESTS and self._serving:
                if self._full():
                    if self._announced:
                        raise ProtocolError("More requests came than the window grants.")
                    self._channel.pause()
                    return index, kept
                kept |= self._take_requests(view, count, start, end)
            elif kind == PAYLOAD and self._serving:
                self._take_payload(view[start:end])
                kept = True
            elif kind == PING and self._serving:
                if self._announced and self._full():
                    raise ProtocolError("Pings came whose answers are not taken.")
                self._send_one(PONG, bytes(view[start:end]))
            elif kind == dst_records.HELLO and not self._greeted:
                self._greeted = True
                self._take_hello(bytes(view[start:end]))
            else:
                raise ProtocolError(f"A record of type {kind} came when it must not.")
        # What was announced is always read: its request could not end without it.
        if self.link.open and self._full() and not self._announced:
            self._channel.pause()
        return len(records), kept

    def _send_one(self, kind: int, body: bytes) -> None:
        self._channel.send([(kind, 0, len(body), [body])])

    def _full(self) -> bool:
        """Whether the client has as much unanswered as it may."""
        budget, link = self._budget, self.link
        # What was announced is always read, and whoever announced it may go on within its window.
        if self._crowded() and not self._announced:
            return True
        return budget.room(link.stuck) <= 0 or budget.room_bytes(link.unsent) <= 0

    def _crowded(self) -> bool:
        """Whether all clients together hold so much that this one must wait for what it has asked."""
        waits = self._budget.requests or self.link.unsent
        return bool(waits) and self._reactor.pool.bytes_in_use > limits.POOL_BYTES_MAX

    def drained(self) -> None:
        """See RecordReceiver."""
        self._maybe_resume()

    def lost(self, reason: str) -> None:
        """See RecordReceiver."""
        if self.link.faulted:
            self.offer.device.distrust()
        if reason:
            LOG.warning("dst client %s: connection lost: %s", self.peer, reason)
        self._down()

    # -- hello ---------------------------------------------------------------------------------------

    def _take_hello(self, body: bytes) -> None:
        hello = Hello.parse(body)
        if hello.session != self.session:
            raise ProtocolError("The hello's session is not the preface's.")
        invitation = self._channel.handshake.invitation
        if invitation and self.key is not None:
            self._server.gate.redeem(self.key, invitation, lambda why_not: self._redeemed(hello, why_not))
        else:
            self._admit(hello)

    def _redeemed(self, hello: Hello, why_not: DsttoolError | None) -> None:
        """The client's key is authorised now, by its invitation; or not."""
        if not self.link.open:
            return
        if why_not is None:
            self._admit(hello)
        else:
            self.refuse(dst_hello.REFUSED_KEY, why_not.what)

    def _admit(self, hello: Hello) -> None:
        offer = self._server.find(hello.export)
        if offer is None:
            self.refuse(dst_hello.REFUSED_EXPORT, f"There is no export named '{hello.export}'.")
            return
        self.offer = offer
        permission = self.permission
        if permission is Permission.NONE:
            self.refuse(dst_hello.REFUSED_KEY, f"This client may not use export '{offer.name}'.")
            return
        if permission is Permission.READ_ONLY and hello.access != dst_hello.READ_ONLY:
            self.refuse(dst_hello.REFUSED_ACCESS, f"This client's key may only read export '{offer.name}'.")
            return
        if offer.read_only and hello.access != dst_hello.READ_ONLY:
            self.refuse(dst_hello.REFUSED_ACCESS, f"Export '{offer.name}' is read-only.")
            return
        self.hello = hello
        self._server.gate.admit(self)
        self.owner = hello.owner or None
        self.read_only = hello.access == dst_hello.READ_ONLY
        self._server.claim(self, self._welcome)

    def _welcome(self) -> None:
        if not self.link.open:
            return
        can = self.offer.device.capabilities
        names = ("flush", "fua", "trim", "write_zeroes", "fast_zero", "rotational")
        body = Welcome(
            export_id=self.offer.device.identity,
            size=can.size,
            block_min=can.block_min,
            block_preferred=can.block_preferred,
            payload_max=can.payload_max,
            capabilities=frozenset(name for name in names if getattr(can, name)),
            window=WINDOW,
            window_bytes=WINDOW_BYTES,
            access=dst_hello.READ_ONLY if self.read_only else dst_hello.READ_WRITE,
        ).pack()
        self._serving = True
        self._cancel_deadline()
        self.offer.sessions.append(self)
        self._send_one(dst_records.WELCOME, body)

    def _too_slow(self) -> None:
        self._server.gate.refused("slow", "dst", self.peer, "no hello in time")
        self.close()

    # -- requests --------------------------------------------------------------------------------------

    def _take_requests(self, view: memoryview, count: int, start: int, end: int) -> bool:
        """One batch: everything whole goes to the device as one list. True if payloads stay in view."""
        can = self.offer.device.capabilities
        size, payload_max, mask = can.size, can.payload_max, can.block_min - 1
        sink, writable = self._sink, not self.read_only
        batch: list[Request] = []
        refused: list[Request] = []
        total = 0
        take_floor(view, start, end)
        start += FLOOR.size
        heads, position = heads_of(REQUEST, view, count, start, end)
        for id_, offset, length, op, flags, _ in heads:
            request = Request(op, flags, offset, length, None, id_, sink)
            if op <= WRITE:
                total += length
                if op == WRITE:
                    if length >= CROSSOVER:
                        self._announce(request)
                        continue
                    request.data = view[position : position + length]
                    position += length
                fits = offset + length <= size and length <= payload_max and not (offset | length) & mask
                if fits and length and (op == READ or writable) and not flags & ~WIRE_FLAGS:
                    batch.append(request)
                    continue
            error = self._error(request)
            if error is None:
                batch.append(request)
            else:
                request.error = error
                refused.append(request)
        if position != end:
            raise ProtocolError("A batch's payloads are not as long as its heads say.")
        if total > limits.CLIENT_BYTES_MAX + limits.REQUEST_MAX:
            raise ProtocolError("A batch asks for more bytes than the window grants.")
        self._budget.requests += len(batch) + len(refused)
        self._budget.bytes += total
        self._run(batch, refused)
        return position != start + REQUEST.size * count

    def _announce(self, request: Request) -> None:
        if request.length > limits.REQUEST_MAX or len(self._announced) >= limits.CLIENT_REQUESTS_MAX:
            raise ProtocolError("A payload was announced that is beyond all bounds.")
        self._announced.append(request)
        self._budget.requests += 1

    def _take_payload(self, payload: memoryview) -> None:
        if not self._announced or self._announced[0].length != len(payload):
            raise ProtocolError("A payload came that was not announced.")
        request = self._announced.popleft()
        request.data = payload
        error = self._error(request)
        if error is None:
            self._run([request], [])
        else:
            request.error = error
            self._run([], [request])

    def _run(self, batch: list[Request], refused: list[Request]) -> None:
        self._running += len(batch) + len(refused)
        if refused:
            self._finished(refused)
        if batch:
            self.offer.device.submit(batch)

    def _error(self, request: Request) -> int | None:
        """None if the request may run; else its answer, which is 0 where there is nothing to do."""
        can, op = self.offer.device.capabilities, request.op
        if op not in _OPERATIONS or request.flags & ~WIRE_FLAGS:
            return errno.EINVAL
        if self.read_only and op in _CHANGES:
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

    # -- replies ---------------------------------------------------------------------------------------

    def _finished(self, requests: list[Request]) -> None:
        """The sink of every request of this client."""
        self._running -= len(requests)
        self.offer.count(requests)
        if not self.link.open:
            self._maybe_ended()
            return
        self._replies += requests
        if not self._scheduled:
            self._scheduled = True
            self._reactor.flush_later(self)

    def flush(self) -> None:
        """Send the replies of this turn as one batch."""
        self._scheduled = False
        replies, self._replies = self._replies, []
        if not self.link.open:
            return
        budget = self._budget
        budget.requests -= len(replies)
        for request in replies:
            if request.op <= WRITE:
                budget.bytes -= request.length
        self._channel.send(pack_replies(replies))
        self._maybe_resume()

    def _maybe_resume(self) -> None:
        link = self.link
        if self._leaving:
            self._maybe_leave()
        elif link.paused and self._budget.relaxed(link.unsent, link.stuck) and not self._crowded():
            self._channel.resume()

    # -- the end -----------------------------------------------------------------------------------------

    def refuse(self, code: int, reason: str, counts_as: Reason | None = None) -> None:
        """Tell why, and close."""
        self._server.gate.refused(counts_as or _REASONS[code], "dst", self.peer, reason)
        if self.link.open:
            body = dst_hello.pack_reason(code, reason)
            self._send_one(dst_records.REFUSAL, body)
            self._channel.flush()
        self.close()

    def retire(self) -> None:
        """A newer link of the session takes over: read no more; `ended` follows."""
        self._part(dst_hello.REPLACED, "A newer connection of this session replaced this.")

    def expel(self, code: int, reason: str) -> None:
        """It may not be here any more: tell why, and close."""
        self._server.gate.refused(_REASONS[code], "dst", self.peer, reason)
        self._part(code, reason)

    def _part(self, code: int, reason: str) -> None:
        if self.link.open:
            self._send_one(dst_records.NOTICE, dst_hello.pack_reason(code, reason))
            self._channel.flush()
        self.close()

    def leave(self) -> None:
        """Take nothing more; close once everything begun is answered and sent."""
        self._leaving = True
        self._channel.pause()
        self._maybe_leave()

    def _maybe_leave(self) -> None:
        link = self.link
        if self._running or self._replies:
            return
        if link.unsent:
            self._channel.flush()
        if link.open and not link.unsent:
            self.close()

    def close(self) -> None:
        """Close the connection now. What runs on the device goes on; `ended` follows it."""
        self._channel.close()
        self._down()

    def _down(self) -> None:
        self._cancel_deadline()
        if self._serving and self in self.offer.sessions:
            self.offer.sessions.remove(self)
        self._announced.clear()
        self._maybe_ended()

    def _maybe_ended(self) -> None:
        if not self._ended and not self.link.open and not self._running:
            self._ended = True
            self._server.ended(self)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
