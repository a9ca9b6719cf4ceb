"""Gate: who may come in, and how many, over all servers of a daemon; every refusal is counted and said.

    accepted socket -- turned away: its address is not admitted, or there are too many
          |
      half open, until a valid hello (DST) or transmission (NBD) -- pushed out by newer ones
          |
      admitted, with what its key may do

Whoever opens connections and says nothing must not keep others out. So a newcomer is let in, and the
oldest half-open connection of the source that has the most of them goes: an honest handshake takes
milliseconds, and a flood only pushes out itself. A source is an IPv4 address, an IPv6 network of 64 bits
(one machine may use all of it), or a user of this machine.

A flood must not fill the log either: of each kind of refusal a few lines per period are written, then
one that says how many more there were. The counters have all of them.
"""

import ipaddress
import logging
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Final, Literal, Protocol

from dsttool.engine.config import authorized
from dsttool.engine.config.address_rules import AddressRules, parse_ip
from dsttool.engine.config.authorized import AuthorizedKeys, Permission
from dsttool.engine.config.invitations import Invitation
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.runtime.telling import Quiet
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import DsttoolError, Forbidden

if TYPE_CHECKING:
    from dsttool.engine.export.offer import Session

LOG = logging.getLogger(__name__)

Reason = Literal[
    "address",
    "busy",
    "source",
    "half_open",
    "slow",
    "protocol",
    "record",
    "key",
    "access",
    "export",
    "writer",
    "fenced",
    "late",
    "failure",
]
"""Why a client was refused: its address; too many clients, or from its source; pushed out half open; no
handshake in time; the protocol broken (a wrong shared key, too); a record that does not open or has a
wrong checksum; key, access or export refused; another owner writes; its session has ended; a newer link is
here; the server cannot."""


class Guest(Protocol):
    """A connection."""

    peer: str

    def close(self) -> None:
        """End it now."""


class Gate:
    """Access to the exports of a daemon.

    `keys`, `invitations` and rules may be replaced while it runs; what that means for those inside is the
    servers' `cut_revoked`. `on_redeemed` is called when a key came in by an invitation. `knows` and
    `invitation_key` are for dst_security.of_server.
    """

    def __init__(
        self,
        reactor: Reactor,
        *,
        rules: Mapping[str, AddressRules] | None = None,
        keys: AuthorizedKeys | None = None,
    ) -> None:
        self.keys = keys or AuthorizedKeys()
        self.invitations: Mapping[bytes, Invitation] = {}
        self.on_redeemed: Callable[[], None] = _nothing
        self.refusals: dict[str, int] = {}
        self._reactor = reactor
        self._rules = rules or {}
        self._half_open: dict[str, dict[Guest, None]] = {}
        self._half_open_count = 0
        self._sources: dict[str, int] = {}
        self._guests: dict[Guest, str] = {}
        self._quiet = Quiet(reactor, LOG)

    def set_rules(self, export: str, rules: AddressRules) -> None:
        """Other rules for the addresses of an export's clients; see `keys` for those inside."""
        self._rules = {**self._rules, export: rules}

    # -- at accept -------------------------------------------------------------------------------------

    def turns_away(self, protocol: str, peer: str, exports: Collection[str], connected: int) -> Reason | None:
        """Why a new connection to these exports is refused; None if it may come in.

        connected: how many the server has already.
        """
        if not any(self.admits(peer, export) for export in exports):
            return self.refused("address", protocol, peer, "its address is not admitted")
        if connected >= limits.CLIENTS_MAX:
            return self.refused("busy", protocol, peer, f"{connected} clients are connected")
        if not _is_local(peer) and self._sources.get(source_of(peer), 0) >= limits.SOURCE_CLIENTS_MAX:
            text = f"{limits.SOURCE_CLIENTS_MAX} clients of that address are connected"
            return self.refused("source", protocol, peer, text)
        return None

    def enter(self, guest: Guest, protocol: str) -> None:
        """A connection is here, half open. Another one may have to go for it."""
        source = source_of(guest.peer)
        own = self._half_open.get(source, ())
        if len(own) >= limits.SOURCE_HALF_OPEN_MAX:
            self._push_out(source, protocol)
        elif self._half_open_count >= limits.HALF_OPEN_MAX:
            self._push_out(max(self._half_open, key=lambda each: len(self._half_open[each])), protocol)
        self._guests[guest] = source
        self._sources[source] = self._sources.get(source, 0) + 1
        self._half_open.setdefault(source, {})[guest] = None
        self._half_open_count += 1

    def admit(self, guest: Guest) -> None:
        """The connection is not half open any more."""
        source = self._guests.get(guest)
        half_open = self._half_open.get(source, {}) if source is not None else {}
        if source is not None and guest in half_open:
            del half_open[guest]
            self._half_open_count -= 1
            if not half_open:
                del self._half_open[source]

    def leave(self, guest: Guest) -> None:
        """The connection has ended; more than once does no harm."""
        self.admit(guest)
        source = self._guests.pop(guest, None)
        if source is not None:
            self._sources[source] -= 1
            if not self._sources[source]:
                del self._sources[source]

    # -- at the handshake --------------------------------------------------------------------------------

    def knows(self, key: bytes) -> bool:
        """Whether a client's public key is authorised for anything."""
        return key in self.keys.entries

    def invitation_key(self, invitation: bytes) -> bytes | None:
        """The one-time key of an invitation; None if there is no such invitation."""
        invited = self.invitations.get(invitation)
        return None if invited is None else invited.key

    def redeem(self, key: bytes, invitation: bytes, done: Callable[[DsttoolError | None], None]) -> None:
        """Authorise an invited client's key, durably; `done` gets why not, or None. After its hello only."""
        invited = self.invitations.get(invitation)
        if invited is None:
            done(Forbidden("The invitation was withdrawn."))
            return
        name = invited.name

        def redeemed(keys: AuthorizedKeys | None, error: BaseException | None) -> None:
            if keys is not None:
                self.keys = keys
                self.on_redeemed()
                done(None)
            elif isinstance(error, DsttoolError):
                done(error)
            else:
                LOG.error("an invitation could not be redeemed: %r", error)
                done(DsttoolError("The server could not store that the key is authorised."))

        # The same lane as reading the list again: the later result is the newer one.
        self._reactor.run_blocking(lambda: authorized.redeem(key, name), redeemed, "state")

    # -- at hello ----------------------------------------------------------------------------------------

    def admits(self, peer: str, export: str) -> bool:
        """Whether the rules of an export admit a peer's address."""
        rules = self._rules.get(export)
        if rules is None or _is_local(peer):
            return True
        return rules.admit(parse_ip(_host(peer)))

    def permission(self, peer: str, key: bytes | None, export: str) -> Permission:
        """What a client may do with an export. key: its public key, None where the security has none."""
        if not self.admits(peer, export):
            return Permission.NONE
        return Permission.READ_WRITE if key is None else self.keys.permission(key, export)

    # -- refusals ----------------------------------------------------------------------------------------

    def refused(self, reason: Reason, protocol: str, peer: str, text: str) -> Reason:
        """Count a refusal and say it in the log."""
        self.refusals[reason] = self.refusals.get(reason, 0) + 1
        self._quiet.tell("client.refused", "", reason, f"{protocol} client {peer} refused: {text}")
        return reason

    def note(self, kind: str, label: str, protocol: str, peer: str, text: str) -> None:
        """Say something about a client that any number of clients can make us say.

        kind: of event_kinds. label: the export's name, '' if it is not known.
        """
        self._quiet.tell(kind, label, protocol, f"{protocol} client {peer}: {text}")

    def arrived(self, session: "Session") -> None:
        """Say that a client is in."""
        text = f"reads '{session.offer.name}'" if session.read_only else f"writes to '{session.offer.name}'"
        self.note("client.in", session.offer.name, session.protocol, session.peer, text)

    def departed(self, session: "Session", reason: str) -> None:
        """Say that a client that was in has left. reason: why its connection was lost; '' if it was not."""
        kind = "client.lost" if reason else "client.out"
        text = f"connection lost: {reason}" if reason else "has left"
        self.note(kind, session.offer.name, session.protocol, session.peer, text)

    def close(self) -> None:
        """Say what was not said yet."""
        self._quiet.close()

    def _push_out(self, source: str, protocol: str) -> None:
        victim = next(iter(self._half_open[source]))
        self.leave(victim)
        text = "it has not finished its handshake, and others want to come in"
        self.refused("half_open", protocol, victim.peer, text)
        victim.close()


def _nothing() -> None:
    pass


def source_of(peer: str) -> str:
    """Who is behind a peer's name, as far as limits are concerned."""
    if _is_local(peer):
        return peer.partition("uid ")[2] or peer
    host = _host(peer)
    address = parse_ip(host)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
    return (host or peer) if address is None else str(address)


def _is_local(peer: str) -> bool:
    """Peers are named 'unix pid P uid U', 'vsock CID:PORT', 'IP:PORT' or '[IP]:PORT' (transport.listener)."""
    return peer.startswith(_UNIX)


def _host(peer: str) -> str:
    return peer.rpartition(":")[0].strip("[]")


_UNIX: Final = "unix "
