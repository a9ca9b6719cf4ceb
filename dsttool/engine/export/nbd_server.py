"""NbdServer: offers over NBD, to any number of clients up to a bound."""

import logging
from collections.abc import Sequence
from socket import socket

from dsttool.engine.export.nbd_connection import NbdConnection
from dsttool.engine.export.offer import Offer
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary import limits
from dsttool.engine.wire.nbd import ExportInfo

LOG = logging.getLogger(__name__)


class NbdServer:
    """Serves `offers` by name; the empty name is the only one. `accept` is a listener's on_accept.

    alias: another name for the only offer.
    """

    def __init__(self, reactor: Reactor, offers: Sequence[Offer], *, alias: str = "") -> None:
        self._reactor = reactor
        self._offers = {offer.name: offer for offer in offers}
        self._aliases = {alias: offers[0]} if alias and len(offers) == 1 else {}
        self.connections: set[NbdConnection] = set()

    def accept(self, sock: socket, peer: str) -> None:
        """Take a connected, non-blocking socket."""
        if len(self.connections) >= limits.CLIENTS_MAX:
            LOG.warning("nbd client %s refused: %d clients are connected", peer, len(self.connections))
            sock.close()
            return
        self.connections.add(
            NbdConnection(self._reactor, sock, peer, self, self._offers.__getitem__, self.connections.discard)
        )

    def drain(self) -> None:
        """Let every connection answer what it has begun, take nothing more, and close."""
        for connection in list(self.connections):
            connection.leave()

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self.connections):
            connection.close()

    # -- wire.nbd_server.Exports -------------------------------------------------------------------

    def names(self) -> Sequence[str]:
        """The names to list."""
        return list(self._offers)

    def find(self, name: str) -> ExportInfo | None:
        """What a handshake says about the export of that name."""
        offer = self._offers.get(name) or self._aliases.get(name)
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
            read_only=offer.read_only,
            flush=can.flush,
            fua=can.fua,
            trim=can.trim,
            write_zeroes=can.write_zeroes,
            fast_zero=can.fast_zero,
            rotational=can.rotational,
            multi_conn=can.multi_conn,
        )
