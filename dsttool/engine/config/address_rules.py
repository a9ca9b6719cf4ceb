"""Which machines may connect at all: rules by address, the first that matches wins.

    allow 10.1.0.0/16      allow fd00::/8      deny 10.1.2.3      deny all

In exports/NAME.toml `access = ["allow 10.1.0.0/16", "deny all"]`, on the command line `--access`, repeated.
`all` is every peer of a network. What no rule matches is denied if any rule allows something, and
allowed if they only deny. Peers on this machine's Unix sockets are not asked: the sockets' modes decide
on them. An IPv4 address that came in over IPv6 (::ffff:10.1.2.3) is the IPv4 address.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dsttool.engine.config.toml_file import TomlFile
from dsttool.engine.vocabulary.errors import UsageError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class AddressRule:
    """One rule. network: None for all peers."""

    allows: bool
    network: Network | None = None

    def __str__(self) -> str:
        return f"{'allow' if self.allows else 'deny'} {_ALL if self.network is None else self.network}"


@dataclass(frozen=True, slots=True)
class AddressRules:
    """An ordered list of rules; without any, everybody may connect."""

    rules: tuple[AddressRule, ...] = ()

    def admit(self, address: IpAddress | None) -> bool:
        """Whether a peer of a network may connect. None: it has no IP address (vsock)."""
        for rule in self.rules:
            if rule.network is None or (
                address is not None and address.version == rule.network.version and address in rule.network
            ):
                return rule.allows
        return not any(rule.allows for rule in self.rules)


EVERYBODY: Final = AddressRules()


def parse_rule(text: str) -> AddressRule:
    """Read one rule. UsageError otherwise."""
    verb, _, place = text.strip().partition(" ")
    place = place.strip()
    if verb not in ("allow", "deny") or not place:
        raise UsageError(
            f"'{text}' is not a rule.", "Write allow or deny, and a network: 'allow 10.0.0.0/8', 'deny all'."
        )
    if place == _ALL:
        return AddressRule(verb == "allow")
    try:
        return AddressRule(verb == "allow", ipaddress.ip_network(place))
    except ValueError:
        pass
    try:
        network = ipaddress.ip_network(place, strict=False)
    except ValueError:
        raise UsageError(
            f"'{place}' in '{text}' is not a network.", "Write for example 10.0.0.0/8, fd00::/8 or all."
        ) from None
    raise UsageError(
        f"'{place}' in '{text}' is an address within a network.", f"For the whole network write {network}."
    )


def parse_rules(texts: Sequence[str]) -> AddressRules:
    """Read rules in their order. UsageError otherwise."""
    return AddressRules(tuple(parse_rule(text) for text in texts))


def rules_in(file: TomlFile, key: str, texts: Sequence[str]) -> AddressRules:
    """The rules listed under a key of a file. UsageError with the line otherwise."""
    return AddressRules(
        tuple(file.checked((key, index), parse_rule, text) for index, text in enumerate(texts))
    )


def parse_ip(host: str) -> IpAddress | None:
    """The IP address of a peer as the system names it; None if it is none."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
