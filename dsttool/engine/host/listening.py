"""Where a daemon accepts clients: the sockets that always exist, and what `--listen` adds.

    runtime folder   NAME.nbd, NAME.dst for every name the daemon serves; 0600
    --listen         replaces the default of TCP port 6207, which is for authorised keys only

All are bound before any accepts, so that a socket that accepts means: everything is ready. The places may be
changed while it serves: what is new is bound before anything else happens, and what stays is not touched.
Clients who came by a place that goes stay until they leave.
"""

import errno
import functools
import grp
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
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
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, NotFound, UsageError
from dsttool.engine.wire.dst_security import Security

LOG = logging.getLogger(__name__)

_WITH_PORTS: Final = ("tcp", "mptcp")
_ALWAYS: Final[tuple[tuple[Literal["dst", "nbd"], Callable[[str], Path]], ...]] = (
    ("nbd", paths.nbd_socket),
    ("dst", paths.dst_socket),
)

# A security and the key for it, as a place spells them; '' for the machine's own key.
Protected = tuple[str, str]


class Server(Protocol):
    """What accepts connections of one protocol."""

    @property
    def connections(self) -> Collection[object]:
        """Those that are not closed."""

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


@dataclass(frozen=True, slots=True)
class Place:
    """A place to listen at, with all that has to be looked up for it. See `Listening.prepare`.

    endpoints: numeric. public: the server's key, where it has one. shown: how clients reach it, if not as it
    is bound.
    """

    listen: Listen
    endpoints: tuple[Endpoint, ...]
    group: int | None
    security: Security
    public: bytes | None
    shown: Endpoint | None = None

    @property
    def mode(self) -> int:
        """Of a Unix socket's file."""
        return 0o600 if self.listen.mode is None else self.listen.mode


@dataclass(frozen=True, slots=True)
class NewKey:
    """Another key in the file that places name, as they spell both. before: one of these places as it is."""

    before: Place
    security: Security
    public: bytes | None

    @property
    def is_alike(self) -> bool:
        """Whether clients are told apart by it if they were before."""
        return (self.public is None) == (self.before.public is None)


@dataclass(frozen=True, slots=True)
class _Open:
    """A place that is listened at."""

    place: Place
    listeners: tuple[Listener, ...]
    server: Server
    offers: tuple[Offer, ...]

    @property
    def address(self) -> Endpoint:
        """Where clients reach it; as the user named it: a host name stays one."""
        asked = self.place.listen.endpoint
        named = asked.family != "unix" and asked.port
        return self.place.shown or (asked if named else self.listeners[0].endpoint)

    @property
    def ports(self) -> set[int]:
        """Those of TCP that it takes up."""
        return {each.endpoint.port for each in self.listeners if each.endpoint.family in _WITH_PORTS}

    def start(self) -> None:
        """Let its server have who comes from now on."""
        for listener in self.listeners:
            listener.on_accept = self.server.accept
            listener.start()

    def close(self) -> None:
        """Accept no more; a socket's file goes."""
        for listener in self.listeners:
            listener.close()


class Listening:
    """The listeners of one daemon and the servers behind them.

    identified: of each export that has one, the first place where clients are told apart by their keys.
    closed: nothing is listened at any more.
    """

    def __init__(self, reactor: Reactor, offers: Sequence[Offer], gate: Gate) -> None:
        self.identified: dict[str, Address] = {}
        self.closed = False
        self._reactor = reactor
        self._offers = offers
        self._gate = gate
        self._open: list[_Open] = []
        self._servers: dict[tuple[str, ...], Server] = {}
        # Of places that are gone; their clients are still here.
        self._left: list[Server] = []

    @property
    def servers(self) -> list[Server]:
        """All servers that accept connections, or still have some."""
        return [*self._servers.values(), *self._left]

    def bind(self, listens: Sequence[Listen]) -> None:
        """Bind all places and note their addresses in the offers. Raises what the system refuses."""
        check_listens(listens, [offer.name for offer in self._offers])
        try:
            for listen in self._wanted(listens):
                self.add(listen)
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Accept from now on, at the places that do not yet."""
        for each in self._open:
            each.start()

    def close(self) -> None:
        """Accept no more, for good; the sockets' files go."""
        self.closed = True
        for each in self._open:
            each.close()
        self._open.clear()

    def add(self, listen: Listen, shown: Endpoint | None = None) -> None:
        """Bind one more place. shown: how clients reach it, if not as it is bound. Raises as `bind`."""
        self._open.append(self._bind(replace(self.prepare(listen), shown=shown)))
        self._note()

    def tells_apart(self, listen: Listen) -> bool:
        """Whether clients there are told apart by their keys. Reads key files."""
        return listen.is_sealed and self._protection(listen)[1] is not None

    # -- changing the places while clients are served ----------------------------------------------------

    def prepare(self, listen: Listen) -> Place:
        """Look up what a place needs: blocks. Raises DsttoolError for a host, a group, or a key file."""
        security, public = self._protection(listen)
        group = _group_id(listen.group) if listen.group else None
        return Place(listen, tuple(self._reactor.network.resolve(listen.endpoint)), group, security, public)

    def prepare_all(self, listens: Sequence[Listen]) -> dict[Listen, Place]:
        """`prepare` what is not listened at yet, for `change`; from any thread. Raises as `bind`, too."""
        check_listens(listens, [offer.name for offer in self._offers])
        here = {each.place.listen for each in self._open}
        return {listen: self.prepare(listen) for listen in self._wanted(listens) if listen not in here}

    def lent(self, listens: Iterable[Listen]) -> list[Listen]:
        """Those of them whose sockets are somebody else's: they are listened at whatever is asked for."""
        return [listen for listen in listens if self._reactor.network.is_lent(listen.endpoint)]

    def change(self, listens: Sequence[Listen], prepared: Mapping[Listen, Place]) -> None:
        """Listen at these places, and no more at others; bound, and told apart, before the first change.

        Raises what the system refuses; nothing is changed then.
        """
        if self.closed:
            raise Conflict("The daemon is stopping.", "It reads its configuration when it is started again.")
        wanted = self._wanted(listens)
        if not {each.place.listen for each in self._open}.union(prepared).issuperset(wanted):
            raise Conflict("The configuration was changed while it was read.", "Reload it again.")
        gone = list(self._open)
        found = [_taken(gone, [each for each in gone if each.place.listen == listen]) for listen in wanted]
        found = [
            each or _taken(gone, [other for other in gone if _is_same_place(other.place.listen, listen)])
            for each, listen in zip(found, wanted)
        ]
        kept = [each for each in gone if self.lent([each.place.listen])]
        undo: list[Callable[[], None]] = []
        opened: list[_Open] = []
        try:
            for listen, here in zip(wanted, found):
                if here is None:
                    opened.append(self._bind_among(prepared[listen], gone, undo))
                elif here.place.listen == listen:
                    opened.append(here)
                else:
                    opened.append(self._become(prepared[listen], here, undo))
        except BaseException:
            for act in reversed(undo):
                with suppress(DsttoolError):  # the file of a socket may be gone
                    act()
            self._forget_unused()
            raise
        self._open = [*opened, *kept]
        self.start()
        for each in gone:
            if each not in kept:
                each.close()
        self._forget_unused()
        self._note()

    def new_keys(self, among: Collection[Protected] | None) -> dict[Protected, NewKey]:
        """What the files of keys have now that are named where it is listened, if that is another key than
        before; from any thread, and blocks. Raises DsttoolError for a file that is of no use any more.

        among: look at no others.
        """
        found: dict[Protected, NewKey] = {}
        for each in list(self._open):
            listen = each.place.listen
            by = (listen.security, listen.key)
            if among is not None and by not in among:
                continue
            if listen.is_sealed and listen.key and by not in found:
                security, public = protection.of_listen(listen, self._gate.knows, self._gate.invitation_key)
                if security != each.place.security:
                    found[by] = NewKey(each.place, security, public)
        return found

    def take_keys(self, new: Mapping[Protected, NewKey]) -> None:
        """Let in by these keys whoever comes from now on. Who is here already stays, as after `change`."""

        def renewed(each: _Open) -> _Open:
            found = new.get((each.place.listen.security, each.place.listen.key))
            if found is None:
                return each
            place = replace(each.place, security=found.security, public=found.public)
            return replace(each, place=place, server=self._server(place, each.offers))

        for key, server in list(self._servers.items()):
            if key[1:3] in new:
                del self._servers[key]
                self._left.append(server)
        self._open = [renewed(each) for each in self._open]
        self.start()
        self._forget_unused()
        self._note()

    def _bind_among(self, place: Place, gone: list[_Open], undo: list[Callable[[], None]]) -> _Open:
        """Bind a place. One that goes, and overlaps with it as all addresses do with each, is left before."""
        try:
            opened = self._bind(place)
        except Conflict:
            ports = {endpoint.port for endpoint in place.endpoints if endpoint.family in _WITH_PORTS}
            in_its_way = [each for each in gone if each.ports & ports and not self.lent([each.place.listen])]
            if not in_its_way:
                raise
            for each in in_its_way:
                undo.append(functools.partial(self._go_back, each))
                gone.remove(each)
                each.close()
            opened = self._bind(place)
        undo.append(opened.close)
        return opened

    def _go_back(self, left: _Open) -> None:
        """Listen again at a place that was left for another one."""
        try:
            again = self._bind(left.place)
        except DsttoolError as error:  # somebody was faster
            LOG.error("%s is not listened at any more: %s", left.place.listen, error)
            self._open.remove(left)
            self._note()
            return
        self._open[self._open.index(left)] = again
        again.start()

    def _become(self, place: Place, here: _Open, undo: list[Callable[[], None]]) -> _Open:
        """What listens there now, as the place is to be."""
        if place.listen.endpoint.family == "unix" and not self.lent([place.listen]):
            before, listener = here.place, here.listeners[0]
            undo.append(lambda: listener.permit(before.mode, before.group))
            listener.permit(place.mode, place.group)
        offers = self._offered(place.listen)
        return _Open(place, here.listeners, self._server(place, offers), offers)

    def _forget_unused(self) -> None:
        """Servers of places that are gone go with their last client."""
        used = [each.server for each in self._open]
        for key, server in list(self._servers.items()):
            if server not in used:
                del self._servers[key]
                self._left.append(server)
        self._left = [server for server in self._left if server.connections]

    # -- one place ---------------------------------------------------------------------------------------

    def _wanted(self, listens: Sequence[Listen]) -> list[Listen]:
        """Those, and the sockets that always exist."""
        always = [
            Listen(protocol, Endpoint("unix", path=str(path(offer.name))), offer.name)
            for offer in self._offers
            for protocol, path in _ALWAYS
        ]
        # The first name's sockets offer everything, the others' what they are named after.
        always[:2] = [replace(listen, export="") for listen in always[:2]]
        spelled = [listen.endpoint for listen in listens]
        return [*(listen for listen in always if listen.endpoint not in spelled), *listens]

    def _bind(self, place: Place) -> _Open:
        offers = self._offered(place.listen)
        server = self._server(place, offers)
        listeners: list[Listener] = []
        refusal: DsttoolError | None = None
        for endpoint in place.endpoints:
            try:
                listeners.append(
                    Listener(self._reactor, endpoint, server.accept, mode=place.mode, group=place.group)
                )
            except DsttoolError as error:
                # A host may resolve to an address family that this machine does not have.
                cause = error.__cause__
                if not isinstance(cause, OSError) or cause.errno not in (
                    errno.EADDRNOTAVAIL,
                    errno.EAFNOSUPPORT,
                ):
                    for listener in listeners:
                        listener.close()
                    raise
                refusal = error
        if not listeners:
            assert refusal is not None
            raise refusal
        return _Open(place, tuple(listeners), server, offers)

    def _offered(self, listen: Listen) -> tuple[Offer, ...]:
        return tuple(o for o in self._offers if o.name == listen.export) or tuple(self._offers)

    def _note(self) -> None:
        """Tell the offers how they are reached now."""
        self.identified.clear()
        for offer in self._offers:
            offer.addresses.clear()
        for each in self._open:
            listen, public = each.place.listen, each.place.public
            server = "" if public is None else keys.format_public(public)
            only = len(each.offers) == 1 and listen.protocol == "nbd"
            for offer in each.offers:
                address = listen.address(listen.export if only else offer.name, each.address, server=server)
                offer.addresses.append(str(address))
                if server:
                    self.identified.setdefault(offer.name, address)

    def _server(self, place: Place, offers: Sequence[Offer]) -> Server:
        """One server for each protocol, protection and set of names."""
        listen = place.listen
        names = tuple(offer.name for offer in offers)
        alias = "" if listen.export in names else listen.export
        key = (listen.protocol, listen.security, listen.key, alias, *names)
        server = self._servers.get(key)
        if server is None and listen.protocol == "nbd":
            server = NbdServer(self._reactor, offers, alias=alias, gate=self._gate)
        elif server is None:
            server = DstServer(self._reactor, offers, alias=alias, security=place.security, gate=self._gate)
        self._servers[key] = server
        return server

    def _protection(self, listen: Listen) -> tuple[Security, bytes | None]:
        """What protects the links there, and the server's public key if it has one.

        Reads key files, once for all places that name the same one.
        """
        for each in self._open:
            if (each.place.listen.security, each.place.listen.key) == (listen.security, listen.key):
                return each.place.security, each.place.public
        return protection.of_listen(listen, self._gate.knows, self._gate.invitation_key)


def _taken(places: list[_Open], fitting: list[_Open]) -> _Open | None:
    """The first that fits, taken out of the places."""
    if not fitting:
        return None
    places.remove(fitting[0])
    return fitting[0]


def _is_same_place(listen: Listen, other: Listen) -> bool:
    """Whether one socket serves for both; any free port is another one each time."""
    same = listen.endpoint == other.endpoint
    return same and (listen.endpoint.family == "unix" or listen.endpoint.port != 0)


def _group_id(group: str) -> int:
    if group.isdigit():
        return int(group)
    with suppress(KeyError):
        return grp.getgrnam(group).gr_gid
    raise NotFound(f"There is no group {group!r} on this machine.", "`getent group` lists the groups.")
