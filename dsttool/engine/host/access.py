"""Who may come in to a daemon: read when it starts, and again when a command says that it changed.

    keys.reload  {}     control command: read keys and invitations, cut links that may not be any more, listen
                        for the keys that are new; answers {"cut": links that were cut}

The default listener of an export, on DST's TCP port on all addresses, is for authorised keys only. While
there are none (and nobody is invited) it is not even bound: the export waits, and only this machine
reaches it. So it is where security or a key are asked for that tell no clients apart.
"""

import logging
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from dsttool.engine.config import authorized, invitations, keys
from dsttool.engine.config.address import Address
from dsttool.engine.config.address_rules import AddressRules
from dsttool.engine.config.authorized import AuthorizedKeys
from dsttool.engine.config.invitations import Invitation, Invite
from dsttool.engine.config.keys import SharedKey
from dsttool.engine.config.listen import Listen, exposure_remarks
from dsttool.engine.config.uri import DEFAULT_PORTS
from dsttool.engine.control.server import Answer
from dsttool.engine.export.access import Gate
from dsttool.engine.export.offer import Offer
from dsttool.engine.host.listening import Listening, NewKey, Place, Protected
from dsttool.engine.host.reloading import Comparison
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError, UsageError
from dsttool.engine.wire.dst_security import Security

LOG = logging.getLogger(__name__)

# All addresses of this machine; the second where it has no IPv6.
DEFAULT_ENDPOINTS: Final = (
    Endpoint("tcp", "::", DEFAULT_PORTS["dst"]),
    Endpoint("tcp", "0.0.0.0", DEFAULT_PORTS["dst"]),
)
DEFAULT_LISTEN: Final = Listen("dst", DEFAULT_ENDPOINTS[0])
_EVERYWHERE: Final = ("::", "0.0.0.0")
_LOCAL_ONLY: Final = (
    f"Only this machine can connect: TCP port {DEFAULT_PORTS['dst']} is for authorised keys, and there are"
    " none. Authorise one (dsttool key authorize), invite one (--invite), or name other places (--listen)."
)
_TELLS_NOBODY_APART: Final = (
    f"Only this machine can connect: TCP port {DEFAULT_PORTS['dst']} is for authorised keys, and clients with"
    " a shared key, or without a seal, are not told apart by keys. Name the places for them (--listen)."
)


@dataclass(frozen=True, slots=True)
class AccessPlan:
    """Who may come in, as asked for.

    rules: for addresses, by export. default: whether to listen on DST's TCP port, too, for authorised
    keys, and with which security and key; its place does not matter. invite_ns: how long an invitation
    to each export is to hold; None for no invitation.
    """

    rules: Mapping[str, AddressRules] = field(default_factory=dict)
    default: Listen | None = None
    invite_ns: int | None = None


# Whoever reaches a listener may come in, as far as its security lets.
OPEN: Final = AccessPlan()


class Access:
    """The gate of one daemon and its listeners, kept at what the files of keys say.

    remarks: what whoever started the daemon should know. invites: lines to give to other machines.
    """

    def __init__(self, reactor: Reactor, offers: Sequence[Offer], plan: AccessPlan) -> None:
        self.remarks: list[str] = []
        self.invites: list[str] = []
        self.gate = Gate(reactor, rules=plan.rules)
        self.gate.on_redeemed = self._update
        self.listening = Listening(reactor, offers, self.gate)
        self._reactor = reactor
        self._offers = offers
        self._plan = plan
        self._names = [offer.name for offer in offers]
        # Places that are listened at whatever the configuration says; and where the default one is bound.
        self._lent: tuple[Listen, ...] = ()
        self._default: Listen | None = None
        self._default_is_new = True
        self._new_keys: Mapping[Protected, NewKey] = {}
        # What the places are to be protected by; None where nothing but the command line names places.
        self._protected: set[Protected] | None = None

    def begin(self, listens: Sequence[Listen], lent: Sequence[Listen] = ()) -> None:
        """Read who is authorised, bind all places, invite. Raises what keeps that from being done.

        lent: places that are listened at as long as the daemon runs.
        """
        self._lent = tuple(lent)
        # A key that cannot be read is an error now, not once somebody is authorised.
        self._why_local(self._plan.default)
        if self._plan.default or any(listen.is_sealed for listen in [*listens, *lent]):
            self._take(*self.read())
        self.listening.bind([*listens, *lent])
        try:
            self._bind_default()
            if self._plan.invite_ns is not None:
                self._invite(self._plan.invite_ns)
        except BaseException:
            self.listening.close()
            raise
        self._update()
        self._remark_default()

    def prepare(self, listens: Sequence[Listen], default: Listen | None) -> dict[Listen, Place]:
        """What `move` needs for those of these places that are new; blocks. Raises what is wrong there, or
        with the key for the default place.
        """
        self._why_local(default)
        wanted = self._with_lent(listens)
        named = wanted if default is None else [*wanted, default]
        self._protected = {(listen.security, listen.key) for listen in named}
        return self.listening.prepare_all(wanted)

    def move(
        self, listens: Sequence[Listen], default: Listen | None, prepared: Mapping[Listen, Place]
    ) -> None:
        """Listen at these places from now on; default: as in AccessPlan. Raises, and changes nothing then.

        Who is authorised is to be read again afterwards: the default place depends on it.
        """
        stays = default == self._plan.default
        own = [self._default] if stays and self._default is not None else []
        self.listening.change([*self._with_lent(listens), *own], prepared)
        if not stays:
            self._plan = replace(self._plan, default=default)
            self._default = None
            self._default_is_new = True
        self.remarks += exposure_remarks([*prepared])

    def _with_lent(self, listens: Sequence[Listen]) -> list[Listen]:
        """Those, and what is lent as far as they say nothing of it."""
        spelled = [listen.endpoint for listen in listens]
        return [*listens, *(lent for lent in self._lent if lent.endpoint not in spelled)]

    def reload(self, _arguments: dict[str, Any], answer: Answer) -> None:
        """The control command."""

        def read(result: tuple[AuthorizedKeys, Mapping[bytes, Invitation]] | None, error: Any) -> None:
            if result is None:
                answer(
                    error if isinstance(error, DsttoolError) else DsttoolError(f"Reading failed: {error!r}.")
                )
                return
            answer({"cut": self._renew(result)})

        self._reactor.run_blocking(self.read, read, "state")

    def compare(
        self, found: tuple[AuthorizedKeys, Mapping[bytes, Invitation]], comparison: Comparison
    ) -> None:
        """See reloading.Part: keys that are new come in, clients that may not be here any more are cut."""
        before, after = self.gate.keys.entries, found[0].entries
        if before == after:
            comparison.live("", "authorized_keys", len(before), len(after), _nothing)
        else:
            new = sum(1 for key, entry in after.items() if before.get(key) != entry)
            texts = (f"{len(before)} keys", f"{len(after)} keys, {new} of them new or changed")
            comparison.live("", "authorized_keys", *texts, _nothing)
        self._compare_keys(self._new_keys, comparison)
        comparison.acts.append(lambda: self._take_all(found))

    def _compare_keys(self, new: Mapping[Protected, NewKey], comparison: Comparison) -> None:
        """Keys that are in the files of before. One of another kind may open the default place to others."""
        alike = {by: each for by, each in new.items() if each.is_alike}
        for (_, name), each in new.items():
            texts = _called(each.before.security, each.before.public), _called(each.security, each.public)
            if each.is_alike:
                comparison.live("", f"key {name}", *texts, _nothing)
            else:
                comparison.fixed("", f"key {name}", *texts)
        if alike:
            comparison.acts.append(lambda: self.listening.take_keys(alike))

    def _take_all(self, found: tuple[AuthorizedKeys, Mapping[bytes, Invitation]]) -> None:
        self._renew(found)
        self._remark_default()

    def _renew(self, found: tuple[AuthorizedKeys, Mapping[bytes, Invitation]]) -> int:
        """Take up who is authorised now; how many links were cut."""
        self._take(*found)
        cut = sum(server.cut_revoked() for server in self.listening.servers)
        self._bind_default()
        self.listening.start()
        self._update()
        authorised = len(self.gate.keys.entries)
        message = "keys were read again: %d are authorised, %d links cut"
        tell(LOG, "keys.reloaded", "", message, authorised, cut)
        return cut

    def close(self) -> None:
        """Say what was not said yet about refusals."""
        self.gate.close()

    def look_up(self) -> None:
        """See reloading.Part: the files of keys, but for those that nobody names any more: they may be gone.
        `prepare` comes before.
        """
        self._new_keys = self.listening.new_keys(self._protected)

    def read(self) -> tuple[AuthorizedKeys, Mapping[bytes, Invitation]]:
        """Who is authorised and invited, as the files say; blocks. Raises DsttoolError."""
        return authorized.load(), invitations.to_exports(self._names)

    def _take(self, keys: AuthorizedKeys, invited: Mapping[bytes, Invitation]) -> None:
        self.gate.keys = keys
        self.gate.invitations = invited

    def _bind_default(self) -> None:
        """Listen for authorised keys, once there are any; what keeps it from that is no reason to fail."""
        wanted = self.gate.keys.any_for(self._names) or self.gate.invitations or self._plan.invite_ns
        default = self._plan.default
        if self._default is not None or default is None or not wanted or self.listening.closed:
            return
        error: DsttoolError | None = None
        for endpoint in DEFAULT_ENDPOINTS:
            try:
                # The file of its key may have gone, or be another, since it was looked at.
                if not self.listening.tells_apart(default):
                    return
                place = replace(default, endpoint=endpoint)
                self.listening.add(place, shown=_named(endpoint))
            except DsttoolError as failure:
                error = failure
                continue
            self._default = place
            return
        remark = f"Only this machine can connect. {error} --listen names other places."
        self.remarks.append(remark)
        tell(LOG, "daemon.local_only", "", "%s", remark)

    def _remark_default(self) -> None:
        """Say once that the default place is asked for, and not listened at."""
        if self._default_is_new and self._plan.default and not self._default and not self.remarks:
            try:
                self.remarks.append(self._why_local(self._plan.default))
            except DsttoolError as error:
                self.remarks.append(f"Only this machine can connect. {error}")
        self._default_is_new = False

    def _why_local(self, default: Listen | None) -> str:
        """What keeps the default place closed, if it is. Raises what is wrong with the key for it."""
        if default is None or (
            default.is_sealed and (not default.key or self.listening.tells_apart(default))
        ):
            return _LOCAL_ONLY
        return _TELLS_NOBODY_APART

    def _invite(self, lifetime_ns: int) -> None:
        invited = dict(self.gate.invitations)
        for offer in self._offers:
            address = self.listening.identified.get(offer.name)
            if address is None:
                raise UsageError(
                    f"Nobody can be invited to {offer.name}: it has no listener that tells keys apart.",
                    "Listen with --listen dst://HOST, without a shared key.",
                )
            invitation = invitations.create([offer.name], read_only=offer.read_only, lifetime_ns=lifetime_ns)
            invited[invitation.id] = invitation
            invite = Invite(_reachable(address), invitation.id, invitation.key)
            self.invites.append(invitations.format_invite(invite))
        self.gate.invitations = invited

    def _update(self) -> None:
        """Whether each export waits for its first key."""
        for offer in self._offers:
            for_keys = self._plan.default is not None or offer.name in self.listening.identified
            offer.waiting = for_keys and not self.gate.keys.any_for([offer.name])


def _nothing() -> None:
    """One act takes up keys, invitations and rules together."""


def _called(security: Security, public: bytes | None) -> str:
    """A server's key by its fingerprint, as `key show` has it."""
    if public is not None:
        return keys.fingerprint(public)
    assert security.psk is not None, "a key that is not private is shared"
    return keys.shared_fingerprint(SharedKey(security.psk))


def _named(endpoint: Endpoint) -> Endpoint:
    """An endpoint by which other machines reach what listens everywhere: by this machine's name."""
    return replace(endpoint, host=socket.gethostname()) if endpoint.host in _EVERYWHERE else endpoint


def _reachable(address: Address) -> Address:
    assert address.endpoint is not None
    return replace(address, endpoint=_named(address.endpoint))
