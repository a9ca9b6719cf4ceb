"""Where a daemon accepts clients: the sockets that always exist, and what `--listen` adds.

    runtime folder   NAME.nbd, NAME.dst for every name the daemon serves; 0600
    --listen         replaces the default of TCP port 6207, which is for authorised keys only

All are bound before any accepts, so that a socket that accepts means: everything is ready.
"""

import errno
import grp
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from socket import socket
from typing import Final, Literal, Protocol

from dsttool.engine.config import keys, paths, protection
from dsttool.engine.config.address import Address
from dsttool.engine.config.listen import Listen, check_exposure
from dsttool.engine.export.access import Gate
from dsttool.engine.export.dst_server import DstServer
from dsttool.engine.export.nbd_server import NbdServer
from dsttool.engine.export.offer import Offer
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transport.listener import Listener
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError, NotFound, UsageError
from dsttool.engine.wire.dst_security import Security

_ALWAYS: Final[tuple[tuple[Literal["dst", "nbd"], Callable[[str], Path]], ...]] = (
    ("nbd", paths.nbd_socket),
    ("dst", paths.dst_socket),
)


class Server(Protocol):
    """What accepts connections of one protocol."""

    def accept(self, sock: socket, peer: str) -> None:
        """Take a connected, non-blocking socket."""

    def cut_revoked(self) -> int:
        """Close every connection that may not be here any more; how many there were."""

    def drain(self) -> None:
        """Let every connection answer what it has begun, take nothing more, and close."""

    def close(self) -> None:
        """Close every connection."""


def check_listens(listens: Sequence[Listen], names: Sequence[str]) -> None:
    """UsageError or Unsafe for what must not, or cannot, be listened on. Touches nothing."""
    for listen in listens:
        check_exposure(listen)
        if listen.export and len(names) > 1 and listen.export not in names:
            raise UsageError(
                f"'{listen}' names the export {listen.export!r}, which is none of {', '.join(names)}.",
                "Leave the name out to offer all of them there.",
            )


class Listening:
    """The listeners of one daemon and the servers behind them.

    identified: of each export that has one, the first place where clients are told apart by their keys.
    """

    def __init__(self, reactor: Reactor, offers: Sequence[Offer], gate: Gate) -> None:
        self.identified: dict[str, Address] = {}
        self._reactor = reactor
        self._offers = offers
        self._gate = gate
        self._listeners: list[Listener] = []
        self._servers: dict[tuple[str, ...], Server] = {}
        self._protections: dict[tuple[str, str], tuple[Security, bytes | None]] = {}

    @property
    def servers(self) -> list[Server]:
        """All servers behind the listeners."""
        return list(self._servers.values())

    def bind(self, listens: Sequence[Listen]) -> None:
        """Bind all places and note their addresses in the offers. Raises what the system refuses."""
        names = [offer.name for offer in self._offers]
        check_listens(listens, names)
        always = [
            Listen(protocol, Endpoint("unix", path=str(path(offer.name))), offer.name)
            for offer in self._offers
            for protocol, path in _ALWAYS
        ]
        # The first name's sockets offer everything, the others' what they are named after.
        always[:2] = [replace(listen, export="") for listen in always[:2]]
        spelled = [listen.endpoint for listen in listens]
        always = [listen for listen in always if listen.endpoint not in spelled]
        try:
            for listen in [*always, *listens]:
                self.add(listen)
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Accept from now on, at the places that do not yet."""
        for listener in self._listeners:
            listener.start()

    def close(self) -> None:
        """Accept no more; the sockets' files go."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def add(self, listen: Listen, shown: Endpoint | None = None) -> None:
        """Bind one more place. shown: how clients reach it, if not as it is bound. Raises as `bind`."""
        offers = [o for o in self._offers if o.name == listen.export] or list(self._offers)
        server = self._server(listen, offers)
        bound = None
        refusal: DsttoolError | None = None
        group = _group_id(listen.group) if listen.group else None
        for endpoint in self._reactor.network.resolve(listen.endpoint):
            try:
                listener = Listener(
                    self._reactor,
                    endpoint,
                    server.accept,
                    mode=0o600 if listen.mode is None else listen.mode,
                    group=group,
                )
            except DsttoolError as error:
                # A host may resolve to an address family that this machine does not have.
                cause = error.__cause__
                if not isinstance(cause, OSError) or cause.errno not in (
                    errno.EADDRNOTAVAIL,
                    errno.EAFNOSUPPORT,
                ):
                    raise
                refusal = error
                continue
            self._listeners.append(listener)
            bound = bound or listener.endpoint
        if bound is None:
            assert refusal is not None
            raise refusal
        if listen.endpoint.family != "unix" and listen.endpoint.port:
            bound = listen.endpoint  # As the user named it: a host name stays one.
        self._note(listen, offers, shown or bound)

    def tells_apart(self, listen: Listen) -> bool:
        """Whether clients there are told apart by their keys. Reads key files."""
        return listen.is_sealed and self._protection(listen)[1] is not None

    def _note(self, listen: Listen, offers: Sequence[Offer], place: Endpoint) -> None:
        """Tell the offers how they are reached now."""
        public = None if listen.protocol == "nbd" else self._protection(listen)[1]
        server = "" if public is None else keys.format_public(public)
        for offer in offers:
            only = len(offers) == 1 and listen.protocol == "nbd"
            address = listen.address(listen.export if only else offer.name, place, server=server)
            offer.addresses.append(str(address))
            if server:
                self.identified.setdefault(offer.name, address)

    def _server(self, listen: Listen, offers: Sequence[Offer]) -> Server:
        """One server for each protocol, protection and set of names."""
        names = tuple(offer.name for offer in offers)
        alias = "" if listen.export in names else listen.export
        key = (listen.protocol, listen.security, listen.key, alias, *names)
        server = self._servers.get(key)
        if server is None and listen.protocol == "nbd":
            server = NbdServer(self._reactor, offers, alias=alias, gate=self._gate)
        elif server is None:
            security, _ = self._protection(listen)
            server = DstServer(self._reactor, offers, alias=alias, security=security, gate=self._gate)
        self._servers[key] = server
        return server

    def _protection(self, listen: Listen) -> tuple[Security, bytes | None]:
        """What protects the links there, and the server's public key if it has one. Reads key files."""
        key = (listen.security, listen.key)
        if key not in self._protections:
            gate = self._gate
            self._protections[key] = protection.of_listen(listen, gate.knows, gate.invitation_key)
        return self._protections[key]


def _group_id(group: str) -> int:
    if group.isdigit():
        return int(group)
    with suppress(KeyError):
        return grp.getgrnam(group).gr_gid
    raise NotFound(f"There is no group {group!r} on this machine.", "`getent group` lists the groups.")
