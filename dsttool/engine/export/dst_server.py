"""DstServer: offers over DST/2, to any number of clients up to a bound."""

from collections.abc import Sequence
from contextlib import suppress
from socket import socket

from dsttool.engine.export.access import Gate
from dsttool.engine.export.dst_connection import DstConnection
from dsttool.engine.export.offer import Offer
from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.vocabulary import limits
from dsttool.engine.wire import dst_hello, dst_preface
from dsttool.engine.wire.dst_security import PLAIN, Security


class DstServer:
    """Serves `offers` by name; the empty name is the only one. `accept` is a listener's on_accept.

    alias: another name for the only offer. security: what protects every
    link, and who may make one. gate: who may come in; without one everybody may.
    """

    def __init__(
        self,
        reactor: Reactor,
        offers: Sequence[Offer],
        *,
        alias: str = "",
        security: Security = PLAIN,
        gate: Gate | None = None,
    ) -> None:
        self.security = security
        self.gate = gate or Gate(reactor)
        self._reactor = reactor
        self._offers = {offer.name: offer for offer in offers}
        self._aliases = {alias: offers[0]} if alias and len(offers) == 1 else {}
        self.connections: set[DstConnection] = set()
        self._timer: Timer | None = None
        for offer in offers:
            offer.attach(reactor)

    def accept(self, sock: socket, peer: str) -> None:
        """Take a connected, non-blocking socket."""
        reason = self.gate.turns_away("dst", peer, self._offers, len(self.connections))
        if reason is not None:
            code = dst_preface.REFUSED_ADDRESS if reason == "address" else dst_preface.REFUSED_BUSY
            with suppress(OSError):  # it may have left already
                sock.send(dst_preface.server_preface(self.security.code, code))
            sock.close()
            return
        connection = DstConnection(self._reactor, sock, peer, self)
        self.connections.add(connection)
        self.gate.enter(connection, "dst")
        self._keep_beating()

    def cut_revoked(self) -> int:
        """Close every connection that may not do any more what it was let in for; how many there were."""
        here = [each for each in self.connections if each.hello is not None and each.link.open]
        revoked = [each for each in here if each.permission < each.granted]
        for connection in revoked:
            connection.expel(dst_hello.REFUSED_KEY, "This client's key was revoked.")
        return len(revoked)

    def drain(self) -> None:
        """Let every connection answer what it has begun, take nothing more, and close."""
        for connection in list(self.connections):
            connection.leave()

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self.connections):
            connection.close()

    def find(self, name: str) -> Offer | None:
        """See Sessions."""
        if not name and len(self._offers) == 1:
            return next(iter(self._offers.values()))
        return self._offers.get(name) or self._aliases.get(name)

    def ended(self, connection: DstConnection) -> None:
        """See Sessions."""
        self.connections.discard(connection)
        self.gate.leave(connection)

    def _beat(self) -> None:
        """One timer for all clients, while there are any."""
        for connection in list(self.connections):
            connection.beat()
        self._timer = None
        self._keep_beating()

    def _keep_beating(self) -> None:
        if self._timer is None and self.connections:
            self._timer = self._reactor.call_later(limits.CLIENT_QUIET_NS, self._beat)
