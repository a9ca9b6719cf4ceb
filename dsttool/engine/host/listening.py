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

from dsttool.engine.config import paths
from dsttool.engine.config.listen import Listen, check_exposure
from dsttool.engine.config.supported import check_listen_supported
from dsttool.engine.export.dst_server import DstServer
from dsttool.engine.export.nbd_server import NbdServer
from dsttool.engine.export.offer import Offer
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transport.listener import Listener
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError, NotFound, UsageError

_ALWAYS: Final[tuple[tuple[Literal["dst", "nbd"], Callable[[str], Path]], ...]] = (
    ("nbd", paths.nbd_socket),
    ("dst", paths.dst_socket),
)


class Server(Protocol):
    """What accepts connections of one protocol."""

    def accept(self, sock: socket, peer: str) -> None:
        """Take a connected, non-blocking socket."""

    def drain(self) -> None:
        """Let every connection answer what it has begun, take nothing more, and close."""

    def close(self) -> None:
        """Close every connection."""


def check_listens(listens: Sequence[Listen], names: Sequence[str]) -> None:
    """UsageError or Unsafe for what must not, or cannot, be listened on. Touches nothing."""
    for listen in listens:
        check_listen_supported(listen)
        check_exposure(listen)
        if listen.export and len(names) > 1 and listen.export not in names:
            raise UsageError(
                f"'{listen}' names the export {listen.export!r}, which is none of {', '.join(names)}.",
                "Leave the name out to offer all of them there.",
            )


class Listening:
    """The listeners of one daemon and the servers behind them."""

    def __init__(self, reactor: Reactor, offers: Sequence[Offer]) -> None:
        self._reactor = reactor
        self._offers = offers
        self._listeners: list[Listener] = []
        self._servers: dict[tuple[str, str, tuple[str, ...]], Server] = {}

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
                self._bind(listen)
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Accept from now on."""
        for listener in self._listeners:
            listener.start()

    def close(self) -> None:
        """Accept no more; the sockets' files go."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def _bind(self, listen: Listen) -> None:
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
        for offer in offers:
            only = len(offers) == 1 and listen.protocol == "nbd"
            offer.addresses.append(str(listen.address(listen.export if only else offer.name, bound)))

    def _server(self, listen: Listen, offers: Sequence[Offer]) -> Server:
        """One server for each protocol and set of names: a session may come by any of its places."""
        names = tuple(offer.name for offer in offers)
        alias = "" if listen.export in names else listen.export
        key = (listen.protocol, alias, names)
        server = self._servers.get(key)
        if server is None:
            kind = NbdServer if listen.protocol == "nbd" else DstServer
            server = self._servers[key] = kind(self._reactor, offers, alias=alias)
        return server


def _group_id(group: str) -> int:
    if group.isdigit():
        return int(group)
    with suppress(KeyError):
        return grp.getgrnam(group).gr_gid
    raise NotFound(f"There is no group {group!r} on this machine.", "`getent group` lists the groups.")
