"""One DST client: handshake, hello, then batches of requests answered by batches of replies.

    handshake -> hello -> (its session is found, or admitted: see DstSessions) -> serving

* Nothing changes on the server before a whole, valid hello has come.
* A client that says nothing is pinged, and its link is dead when it does not even answer that: so a
  writer that is gone is known to be gone, whoever lost the connection.
"""

from socket import socket
from typing import Protocol

from dsttool.engine.config.authorized import Permission
from dsttool.engine.export.access import Gate, Reason, source_of
from dsttool.engine.export.budget import WINDOW, WINDOW_BYTES
from dsttool.engine.export.dst_requests import DstRequests
from dsttool.engine.export.dst_session import DstClaim, DstSession
from dsttool.engine.export.offer import Offer, Session
from dsttool.engine.export.writers import shown
from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.transaction.session import RUNNING
from dsttool.engine.transport.channel import Channel
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import DsttoolError, Forbidden, ProtocolError
from dsttool.engine.vocabulary.status import SessionStatus
from dsttool.engine.wire import dst_hello, dst_records
from dsttool.engine.wire.dst_handshake import ServerHandshake
from dsttool.engine.wire.dst_hello import Hello, Welcome
from dsttool.engine.wire.dst_records import PAYLOAD, PING, PONG, REQUESTS, Record
from dsttool.engine.wire.dst_seal import BadRecord
from dsttool.engine.wire.dst_security import Security

_REASONS: dict[int, Reason] = {
    dst_hello.REFUSED_EXPORT: "export",
    dst_hello.REFUSED_ACCESS: "access",
    dst_hello.REFUSED_PROTOCOL: "protocol",
    dst_hello.REFUSED_KEY: "key",
    dst_hello.FENCED: "fenced",
    dst_hello.BUSY: "writer",
    dst_hello.REPLACED: "late",
    dst_hello.GOING_AWAY: "failure",
}


class Sessions(Protocol):
    """What a connection needs of its server."""

    security: Security
    gate: Gate

    def find(self, name: str) -> Offer | None:
        """The offer of that name; the empty name is the only one."""

    def ended(self, connection: "DstConnection") -> None:
        """The connection is closed and nothing of it runs any more."""


class DstConnection(Session):
    """Receiver of one accepted socket."""

    protocol = "dst"

    def __init__(self, reactor: Reactor, sock: socket, peer: str, server: Sessions) -> None:
        self.peer = peer
        self.read_only = True
        self.key: bytes | None = None
        self.identity = ""
        self.hello: Hello | None = None
        self.session: DstSession | None = None
        self._greeted = False
        self._reactor = reactor
        self._server = server
        self._requests: DstRequests | None = None
        self._claim: DstClaim | None = None
        self._ended = self._idle = self._parting = self._leaving = False
        self._pings = self._pinged_at = 0
        self._deadline: Timer | None = reactor.call_later(limits.HANDSHAKE_TIMEOUT_NS, self._too_slow)
        self._channel = Channel(
            *(reactor, sock, self, ServerHandshake(server.security)), first_max=dst_records.GREETING_BYTES_MAX
        )
        self.link = self._channel.link
        self._channel.start()

    @property
    def in_flight(self) -> int:  # type: ignore[override]
        """Requests not answered yet."""
        return 0 if self._requests is None else self._requests.budget.requests

    @property
    def leads(self) -> bool:  # type: ignore[override]
        """See Session."""
        return self.session is not None and next(iter(self.session.links.values()), None) is self

    def session_status(self) -> SessionStatus:
        """See Session: all links of the session together."""
        links = [each for each in self.offer.sessions if isinstance(each, DstConnection)]
        links = [each for each in links if each.session is self.session]
        status = super().session_status()
        return {**status, "links": len(links), "in_flight": sum(each.in_flight for each in links)}

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
            requests = self._requests
            if requests is None:
                self._take_first(kind, bytes(view[start:end]))
            elif kind == REQUESTS:
                if self._full(requests):
                    if requests.announced:
                        raise ProtocolError("More requests came than the window grants.")
                    self._channel.pause()
                    return index, kept
                kept |= requests.take(view, count, start, end)
            elif kind == PAYLOAD:
                requests.take_payload(view[start:end])
                kept = True
            elif kind == PING:
                if requests.announced and self._full(requests):
                    raise ProtocolError("Pings came whose answers are not taken.")
                self._send_one(PONG, bytes(view[start:end]))
            elif kind == dst_records.NOTICE:
                self._take_notice(bytes(view[start:end]))
            elif kind != PONG:
                raise ProtocolError(f"A record of type {kind} came when it must not.")
        requests = self._requests
        # What was announced is always read: its request could not end without it.
        if requests is not None and self.link.open and not requests.announced and self._full(requests):
            self._channel.pause()
        return len(records), kept

    def _take_first(self, kind: int, body: bytes) -> None:
        if kind != dst_records.HELLO or self._greeted:
            raise ProtocolError(f"A record of type {kind} came when it must not.")
        self._greeted = True
        self._take_hello(body)

    def _take_notice(self, body: bytes) -> None:
        if dst_hello.parse_reason(body)[0] == dst_hello.GOODBYE and self.session is not None:
            self.offer.dst.goodbye(self.session)

    def _send_one(self, kind: int, body: bytes) -> None:
        self._channel.send([(kind, 0, len(body), [body])])

    def _full(self, requests: DstRequests) -> bool:
        """Whether the client has as much unanswered as it may."""
        budget, link = requests.budget, self.link
        # What was announced is always read, and whoever announced it may go on within its window.
        if self._crowded(requests) and not requests.announced:
            return True
        return budget.room(link.stuck) <= 0 or budget.room_bytes(link.unsent) <= 0

    def _crowded(self, requests: DstRequests) -> bool:
        """Whether all clients together hold so much that this one must wait for what it has asked."""
        waits = requests.budget.requests or self.link.unsent
        return bool(waits) and self._reactor.pool.crowded

    def drained(self) -> None:
        """See RecordReceiver."""
        self.relaxed()

    def lost(self, reason: str) -> None:
        """See RecordReceiver."""
        if self.link.faulted:
            self.offer.device.distrust()
        if reason and self.session is None:
            self._server.gate.note("client.left", "", "dst", self.peer, f"connection lost: {reason}")
        self._down(reason)

    # -- hello ---------------------------------------------------------------------------------------

    def _take_hello(self, body: bytes) -> None:
        hello = Hello.parse(body)
        handshake = self._channel.handshake
        if hello.session != handshake.session:
            raise ProtocolError("The hello's session is not the preface's.")
        if handshake.invitation and self.key is not None:
            invitation = handshake.invitation
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
        self.identity = owner_of(self.peer, self.key, hello)
        self.owner = shown(self.identity)
        self.read_only = hello.access == dst_hello.READ_ONLY
        self._claim = offer.dst.join(self, hello)

    def joined(self, session: DstSession, found: bool) -> None:
        """See SessionLink."""
        assert self.hello is not None
        offer, can = self.offer, self.offer.device.capabilities
        names = ("flush", "fua", "trim", "write_zeroes", "fast_zero", "rotational")
        body = Welcome(
            export_id=offer.device.identity,
            size=can.size,
            block_min=can.block_min,
            block_preferred=can.block_preferred,
            payload_max=can.payload_max,
            capabilities=frozenset(name for name in names if getattr(can, name)),
            window=WINDOW,
            window_bytes=WINDOW_BYTES,
            verifier=offer.device.verifier,
            access=self.hello.access,
            found=found,
            term=session.term,
            known=tuple(
                (id_, dst_hello.RUNNING if status == RUNNING else status)
                for id_, status in session.window.known()
            ),
        ).pack()
        self.session = session
        self._requests = DstRequests(
            self._reactor,
            self._channel,
            offer,
            session,
            self.hello.link,
            self,
            looked_at=self._server.security.touches_payloads,
        )
        self._cancel_deadline()
        offer.sessions.append(self)
        if not session.announced:
            session.announced = True
            self._server.gate.arrived(self)
        if len(body) > dst_records.WELCOME_BYTES_MAX:
            self.refuse(dst_hello.GOING_AWAY, "Too much of what the session asked for before still runs.")
        else:
            self._send_one(dst_records.WELCOME, body)

    def _too_slow(self) -> None:
        what = "no hello in time" if self.hello is None else "what ran before it did not end in time"
        self._server.gate.refused("slow", "dst", self.peer, what)
        self.close()

    # -- while it serves -------------------------------------------------------------------------------

    def beat(self) -> None:
        """Once per CLIENT_QUIET_NS: ping a client that says nothing, give up one that is dead."""
        link, now = self.link, self._reactor.now
        if link.paused or link.received_at > self._pinged_at:
            self._pings = 0  # a link that we do not read says nothing about its client
        quiet = now - link.received_at >= limits.CLIENT_QUIET_NS
        if self._requests is None or not link.open or link.paused or not quiet:
            return
        if self._pings < limits.CLIENT_PINGS_MISSED:
            self._pings += 1
            self._pinged_at = now
            if not link.unsent:
                self._send_one(PING, bytes(dst_records.PING_BYTES))
        else:
            self._channel.close()
            self._down(f"no answer to {self._pings} pings")

    def relaxed(self) -> None:
        """See RequestsOwner."""
        link, requests = self.link, self._requests
        if self._leaving:
            self._maybe_leave()
        elif requests is None or not link.paused:
            return
        elif requests.budget.relaxed(link.unsent, link.stuck) and not self._crowded(requests):
            self._channel.resume()

    # -- the end -----------------------------------------------------------------------------------------

    def refuse(self, code: int, reason: str, counts_as: Reason | None = None) -> None:
        """Tell why, and close."""
        self._server.gate.refused(counts_as or _REASONS[code], "dst", self.peer, reason)
        self._part(dst_records.REFUSAL, code, reason)

    def cut(self, code: int, reason: str) -> None:
        """See SessionLink."""
        self._part(dst_records.NOTICE, code, reason)

    def expel(self, code: int, reason: str) -> None:
        """It may not be here any more: tell why, and close."""
        self._server.gate.refused(_REASONS[code], "dst", self.peer, reason)
        self.cut(code, reason)

    def _part(self, kind: int, code: int, reason: str) -> None:
        """Close with these as the last words, which may take a moment to leave."""
        if self.link.open:
            self._send_one(kind, dst_hello.pack_reason(code, reason))
            self._parting = True
            self._channel.part(self._parted)
            self._down()

    def _parted(self) -> None:
        self._parting = False
        self._maybe_ended()

    def leave(self) -> None:
        """Take nothing more; close once everything begun is answered and sent."""
        self._leaving = True
        self._channel.pause()
        self._maybe_leave()

    def _maybe_leave(self) -> None:
        link, requests = self.link, self._requests
        if requests is not None and (requests.running or requests.replies):
            return
        if link.unsent:
            self._channel.flush()
        if link.open and not link.unsent:
            self.close()

    def close(self) -> None:
        """Close the connection now. What runs on the device goes on; the server's `ended` follows it."""
        self._channel.close()
        self._down()

    def _down(self, reason: str = "") -> None:
        """reason: why the connection was lost; '' if it was not."""
        self._cancel_deadline()
        if self._claim is not None:
            self._claim.wanted = False
        if self.session is None or self._requests is None:
            self.ended()
            return
        if self in self.offer.sessions:
            self.offer.sessions.remove(self)
            if all(link is self for link in self.session.links.values()):
                self.session.announced = False
                self._server.gate.departed(self, reason)
        assert self.hello is not None
        self.offer.dst.detach(self.session, self.hello.link, self)
        self._requests.close()

    def ended(self) -> None:
        """See RequestsOwner."""
        self._idle = True
        self._maybe_ended()

    def _maybe_ended(self) -> None:
        """The server forgets it once nothing of it runs and its socket is closed."""
        if self._idle and not self._parting and not self._ended:
            self._ended = True
            self._server.ended(self)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def owner_of(peer: str, key: bytes | None, hello: Hello) -> str:
    """Who stands behind a client: as surely as the server can know, and which of its arrays and slots.

    A key proves it; the system vouches for users of this machine; others are believed.
    """
    if key is not None:
        who = f"key {key.hex()}"
    elif peer.startswith("unix "):
        who = f"uid {source_of(peer)}"
    else:
        who = f"machine {hello.owner or source_of(peer)}"
    return f"{who} array {hello.array.hex()} slot {hello.slot}"
