"""Addresses to listen on: what `--listen` and `listen = […]` may say.

    nbd+unix:///?socket=PATH[&mode=0660&group=disk]      nbd://host[:10809]?security=none
    dst+unix:///?socket=PATH[&security=…][&key=FILE]     dst://host[:6207][?security=…][&key=FILE]
    dst+vsock://cid[:port]                               dst+mptcp://host[:6207]

security and key say how DST clients are met (see protection). A path is the name of an export that is
offered there, or nothing for all of them. Port 0 is any free port. `check_exposure` keeps unprotected
data from being offered to a network by accident.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dsttool.engine.config.address import Address, default_security
from dsttool.engine.config.named_keys import is_key_name
from dsttool.engine.config.options import Value, parse_option
from dsttool.engine.config.uri import Protocol, Uri, format_uri, parse_uri
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import Unsafe, UsageError
from dsttool.engine.vocabulary.suggest import suggest

_KEYS = ("security", "key", "mode", "group")
_UNSEALED = ("none", "checksum")
_VMADDR_CID_LOCAL = "1"


@dataclass(frozen=True, slots=True)
class Listen:
    """One place to accept clients at. `parse_listen(str(listen))` equals it.

    export: the path given ('' if none). spelled_security, key (a file): '' if not given. mode, group: of a
    Unix socket; None and '' if not given, which means 0600 and the user's own group.
    """

    protocol: Protocol
    endpoint: Endpoint
    export: str = ""
    spelled_security: str = ""
    mode: int | None = None
    group: str = ""
    key: str = ""

    def __str__(self) -> str:
        query = {"security": self.spelled_security} if self.spelled_security else {}
        if self.key:
            query["key"] = self.key
        if self.mode is not None:
            query["mode"] = f"{self.mode:04o}"
        if self.group:
            query["group"] = self.group
        return format_uri(Uri(self.protocol, self.endpoint, self.export, query))

    @property
    def security(self) -> str:
        """What protects the links of clients here: as spelled, else by protocol.md's default."""
        if self.protocol == "nbd":
            return "none"
        return self.spelled_security or default_security(self.endpoint, keyed=bool(self.key))

    @property
    def is_sealed(self) -> bool:
        """Whether nobody on the way can read or change what is said."""
        return self.security not in _UNSEALED

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        return is_local(self.endpoint)

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can connect and nothing seals what they say: worth a warning."""
        return not self.is_local and not self.is_sealed

    def with_security(self, security: str, key: str = "") -> "Listen":
        """The same under `--security` and `--key`, which govern DST listeners that do not spell their own.

        Who spells a security without a seal has no use for the key.
        """
        if self.protocol == "nbd":
            return self
        spelled = self.spelled_security or security
        if self.spelled_security in _UNSEALED:
            key = ""
        return _checked(replace(self, spelled_security=spelled, key=self.key or key))

    def absolute(self, folder: Path) -> "Listen":
        """The same with a relative path of a socket or a key file taken from `folder`."""
        by_path = self.key and not is_key_name(self.key)
        changed = replace(self, key=str(folder / self.key)) if by_path else self
        if self.endpoint.family != "unix":
            return changed
        address = self.address("").absolute(folder)
        assert address.endpoint is not None
        return replace(changed, endpoint=address.endpoint)

    def address(self, export: str, bound: Endpoint | None = None, *, server: str = "") -> Address:
        """Where clients reach `export`. `bound` is the endpoint with the port that was really got.

        server: the public key of the server there, which clients need; '' where a shared key is used.
        """
        endpoint = bound or self.endpoint
        options: dict[str, Value] = {}
        if self.is_sealed and (server or self.key):
            options = {"server": server} if server else {"key": self.key}
        if self.protocol == "dst" and self.security != default_security(endpoint, keyed=bool(options)):
            options = {"security": self.security, **options}
        return Address(self.protocol, endpoint, export, options=options)


def parse_listen(text: str) -> Listen:
    """Read an address to listen on. UsageError says what is wrong with it."""
    if "://" not in text:
        raise UsageError(
            f"'{text}' is not an address to listen on.",
            "Write for example nbd+unix:///?socket=PATH or dst://127.0.0.1?security=none.",
        )
    uri = parse_uri(text)
    if uri.tls:
        raise UsageError(
            f"'{text}' asks for TLS, which the NBD server of this release does not have.",
            "Listen on dst:// for sealed links, or on nbd+unix:// behind a tunnel such as ssh.",
        )
    _check_keys(uri, text)
    security = uri.query.get("security", "")
    if security:
        parse_option("security", security, text)
    if uri.protocol == "nbd" and security not in ("", "none"):
        raise UsageError(
            f"NBD has no security={security}, which '{text}' asks for.", "Listen on dst:// for that."
        )
    return _checked(
        Listen(
            uri.protocol,
            uri.endpoint,
            uri.export,
            security,
            _parse_mode(uri.query, text),
            uri.query.get("group", ""),
            uri.query.get("key", ""),
        )
    )


def check_exposure(listen: Listen) -> None:
    """Unsafe unless data goes to other machines sealed, or with security=none spelled out."""
    if listen.is_exposed and not listen.spelled_security:
        separator = "&" if "?" in str(listen) else "?"
        raise Unsafe(
            f"'{listen}' would offer data to other machines over {listen.protocol.upper()}, readable for"
            " everybody on the way and writable for everybody who can connect.",
            f"Listen on 127.0.0.1 or a Unix socket, or spell it out: {listen}{separator}security=none.",
        )


def exposure_remarks(listens: Sequence[Listen]) -> list[str]:
    """A warning for each place at which other machines can connect to unprotected data."""
    return [
        f"Warning: everybody who can reach {listen.endpoint} can read what is offered there, and write it "
        "unless it is read-only."
        for listen in listens
        if listen.is_exposed
    ]


def is_local(endpoint: Endpoint) -> bool:
    """Whether what listens there can be reached from this machine only."""
    if endpoint.family == "unix":
        return True
    if endpoint.family == "vsock":
        return endpoint.host == _VMADDR_CID_LOCAL
    return is_loopback(endpoint.host)


def is_loopback(host: str) -> bool:
    """Whether a host, as written, is this machine's loopback. Other names count as networks."""
    if host.lower() == "localhost":
        return True
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def _checked(listen: Listen) -> Listen:
    if listen.key and not listen.is_sealed:
        raise UsageError(
            f"'{listen}' has a key, and security={listen.security} seals nothing with it.",
            "Use aes256gcm, or leave the key out.",
        )
    return listen


def _check_keys(uri: Uri, text: str) -> None:
    for key in uri.query:
        if key not in _KEYS:
            near = suggest(key, _KEYS)
            raise UsageError(
                f"'{key}' in '{text}' is not an option of an address to listen on.",
                f"Did you mean '{near}'?" if near else f"There are: {', '.join(_KEYS)}.",
            )
        if key in ("mode", "group") and uri.endpoint.family != "unix":
            raise UsageError(f"'{key}' in '{text}' is for Unix sockets only.", "Leave it out.")


def _parse_mode(query: Mapping[str, str], text: str) -> int | None:
    mode = query.get("mode")
    if mode is None:
        return None
    if not (1 <= len(mode) <= 4 and set(mode) <= set("01234567")) or int(mode, 8) > 0o777:
        raise UsageError(
            f"mode={mode} in '{text}' is not a file mode.", "Write it in octal, for example 0660."
        )
    return int(mode, 8)
