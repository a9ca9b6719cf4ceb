"""NbdServer: offers over NBD, to any number of clients up to a bound."""

from collections.abc import Sequence
from socket import socket

from dsttool.engine.export.access import Gate
from dsttool.engine.export.nbd_connection import NbdConnection
from dsttool.engine.export.offer import Offer
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.wire.nbd import ExportInfo


class NbdServer:
    """Serves `offers` by name; the empty name is the only one. `accept` is a listener's on_accept.

    alias: another name for the only offer. gate: who may come in; without one everybody may.
    """

    def __init__(
        self, reactor: Reactor, offers: Sequence[Offer], *, alias: str = "", gate: Gate | None = None
    ) -> None:
        self.gate = gate or Gate(reactor)
        self._reactor = reactor
        self._offers = {offer.name: offer for offer in offers}
        self._aliases = {alias: offers[0]} if alias and len(offers) == 1 else {}
        self.connections: set[NbdConnection] = set()
        for offer in offers:
            offer.attach(reactor)

    def accept(self, sock: socket, peer: str) -> None:
        """Take a connected, non-blocking socket."""
        if self.gate.turns_away("nbd", peer, self._offers, len(self.connections)) is not None:
            sock.close()
            return
        exports = _Admitted(self, self.gate, peer)
        connection = NbdConnection(
            self._reactor, sock, peer, exports, self._offers.__getitem__, self._left, self.gate
        )
        self.connections.add(connection)
        self.gate.enter(connection, "nbd")

    def cut_revoked(self) -> int:
        """Close every connection whose address is not admitted any more; how many there were."""
        revoked = [
            connection
            for connection in self.connections
            if connection.served and not self.gate.admits(connection.peer, connection.offer.name)
        ]
        for connection in revoked:
            self.gate.refused("address", "nbd", connection.peer, "its address is not admitted any more")
            connection.close()
        return len(revoked)

    def drain(self) -> None:
        """Let every connection answer what it has begun, take nothing more, and close."""
        for connection in list(self.connections):
            connection.leave()

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self.connections):
            connection.close()

    def _left(self, connection: NbdConnection) -> None:
        self.connections.discard(connection)
        self.gate.leave(connection)

    # -- wire.nbd_server.Exports -------------------------------------------------------------------

    def names(self) -> Sequence[str]:
        """The names to list."""
        return list(self._offers)

    def find(self, name: str) -> ExportInfo | None:
        """What a handshake says about the export of that name."""
        offer = self._offer(name)
        if offer is None:
            return None
        can = offer.device.capabilities
        return ExportInfo(
            name=offer.name,
            size=can.size,
            description=offer.description,
            block_min=can.block_min,
            block_preferred=can.block_preferred,
            payload_max=can.payload_max,
            read_only=offer.read_only or not offer.nbd.would_write,
            flush=can.flush,
            fua=can.fua,
            trim=can.trim,
            write_zeroes=can.write_zeroes,
            fast_zero=can.fast_zero,
            rotational=can.rotational,
            multi_conn=can.multi_conn,
        )

    def asks(self, name: str) -> str:
        """If it must be asked whether a client of that export may write: its own name."""
        offer = self._offer(name)
        return "" if offer is None or offer.read_only else offer.name

    def _offer(self, name: str) -> Offer | None:
        return self._offers.get(name) or self._aliases.get(name)


class _Admitted:
    """The exports whose rules admit a peer's address; the others are not there for it."""

    def __init__(self, server: NbdServer, gate: Gate, peer: str) -> None:
        self._server = server
        self._gate = gate
        self._peer = peer

    def names(self) -> Sequence[str]:
        """The names to list."""
        return [name for name in self._server.names() if self._gate.admits(self._peer, name)]

    def find(self, name: str) -> ExportInfo | None:
        """What a handshake says about the export of that name."""
        info = self._server.find(name)
        if info is None or self._gate.admits(self._peer, info.name):
            return info
        self._gate.refused("address", "nbd", self._peer, f"its address is not admitted to '{info.name}'")
        return None

    def asks(self, name: str) -> str:
        """If it must be asked whether a client of that export may write: its own name."""
        own = self._server.asks(name)
        return own if own and self._gate.admits(self._peer, own) else ""
