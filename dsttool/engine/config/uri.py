"""The form that network addresses share: scheme://authority/export?key=value&…

RFC 3986 and the NBD URI specification (doc/uri.md of the NBD project), with two deliberate limits: no
user part and no fragment. A '+' is a plus sign, as in that specification; it never means a blank.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote, unquote_to_bytes

from dsttool.engine.config.paths import check_socket_path
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.endpoint import Endpoint, Family
from dsttool.engine.vocabulary.errors import UsageError
from dsttool.engine.vocabulary.suggest import suggest

Protocol = Literal["dst", "nbd"]

# 10809 is NBD's at IANA; 6207 is the port of the original DST.
DEFAULT_PORTS: Final[Mapping[Protocol, int]] = {"dst": 6207, "nbd": 10809}

_SCHEMES: Final[Mapping[str, tuple[Protocol, Family]]] = {
    "dst": ("dst", "tcp"),
    "dst+unix": ("dst", "unix"),
    "dst+vsock": ("dst", "vsock"),
    "dst+mptcp": ("dst", "mptcp"),
    "nbd": ("nbd", "tcp"),
    "nbd+unix": ("nbd", "unix"),
    "nbds": ("nbd", "tcp"),
    "nbds+unix": ("nbd", "unix"),
}
_TLS_SCHEMES: Final = ("nbds", "nbds+unix")
_SCHEME_BEGINS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://", re.ASCII)
_HOST: Final = re.compile(r"[^\s\x00-\x20\x7f/?#@:\[\]%]+")
_CID_MAX: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Uri:
    """A network address taken apart. `query` holds decoded texts, without unix's `socket`.

    tls: NBD inside TLS, and nothing else (schemes nbds and nbds+unix).
    """

    protocol: Protocol
    endpoint: Endpoint
    export: str
    query: Mapping[str, str]
    tls: bool = False

    @property
    def scheme(self) -> str:
        """The first part of the scheme, which a family may follow."""
        return "nbds" if self.tls else self.protocol


def looks_like_uri(text: str) -> bool:
    """Whether `text` begins with a scheme and '://', or with a known scheme and ':'."""
    scheme, colon, _ = text.partition(":")
    return _SCHEME_BEGINS.match(text) is not None or (bool(colon) and scheme.lower() in _SCHEMES)


def parse_uri(text: str) -> Uri:
    """Take a dst or nbd address apart. UsageError with the reason if it is not one."""
    scheme, rest = _split_scheme(text)
    protocol, family = _SCHEMES[scheme]
    rest, _, query_text = rest.partition("?")
    authority, _, export_text = rest.partition("/")
    query = split_query(query_text, text)
    if family == "unix":
        if authority:
            raise UsageError(
                f"'{text}' has a host, and a Unix socket has none.",
                f"Write three slashes: {scheme}:///EXPORT?socket=PATH.",
            )
        if "socket" not in query:
            raise UsageError(f"'{text}' does not say which socket.", f"Write {scheme}:///EXPORT?socket=PATH.")
        endpoint = Endpoint("unix", path=check_socket_path(query.pop("socket")))
    else:
        if "socket" in query:
            raise UsageError(
                f"'{text}' has both a host and a socket.",
                f"Write {scheme.partition('+')[0]}+unix:///EXPORT?socket=PATH.",
            )
        host, port = _split_authority(authority, family, text)
        endpoint = Endpoint(family, host, DEFAULT_PORTS[protocol] if port is None else port)
    return Uri(protocol, endpoint, _decode_export(export_text, text), query, scheme in _TLS_SCHEMES)


def parse_host(text: str) -> tuple[str, int | None]:
    """HOST:PORT, HOST, or [IPv6]:PORT taken apart. UsageError otherwise."""
    return _split_authority(text, "tcp", text)


def format_uri(uri: Uri) -> str:
    """The shortest address that `parse_uri` reads as `uri`."""
    endpoint = uri.endpoint
    scheme = uri.scheme if endpoint.family == "tcp" else f"{uri.scheme}+{endpoint.family}"
    query = dict(uri.query)
    authority = ""
    if endpoint.family == "unix":
        query = {"socket": endpoint.path, **query}
    else:
        authority = f"[{endpoint.host.replace('%', '%25')}]" if ":" in endpoint.host else endpoint.host
        if endpoint.port != DEFAULT_PORTS[uri.protocol]:
            authority += f":{endpoint.port}"
    return f"{scheme}://{authority}/{encode(uri.export)}{format_query(query)}"


def split_query(query_text: str, address: str) -> dict[str, str]:
    """Decoded keys and values of what follows '?'. `address` is for the error."""
    query: dict[str, str] = {}
    for option in query_text.split("&") if query_text else ():
        key, _, value = option.partition("=")
        key, value = decode(key, address), decode(value, address)
        if not key or not value:
            raise UsageError(
                f"'{option}' in '{address}' is not an option.",
                "Options are written KEY=VALUE, with & between.",
            )
        if key in query:
            raise UsageError(f"'{key}' is given twice in '{address}'.", "Give it once.")
        query[key] = value
    return query


def format_query(query: Mapping[str, str]) -> str:
    """'?key=value&…', or '' if there is nothing to write."""
    if not query:
        return ""
    return "?" + "&".join(f"{key}={encode(value)}" for key, value in query.items())


def encode(text: str) -> str:
    """Percent-encode everything that could be taken for punctuation; file names keep any byte."""
    return quote(text, safe="/", errors="surrogateescape")


def decode(text: str, address: str) -> str:
    """Undo percent-encoding; bytes that are not UTF-8 are kept as in file names (PEP 383)."""
    try:
        decoded = unquote_to_bytes(text.encode(errors="surrogateescape")).decode(errors="surrogateescape")
    except UnicodeEncodeError:
        raise UsageError(f"{address!r} is not text.", "Check its encoding.") from None
    if "\0" in decoded:
        raise UsageError(f"{address!r} contains a zero byte.", "Remove it.")
    return decoded


def _split_scheme(text: str) -> tuple[str, str]:
    match = _SCHEME_BEGINS.match(text)
    if match is None:
        scheme = text.partition(":")[0]
        raise UsageError(f"'{text}' lacks the slashes after '{scheme}:'.", f"Write {scheme}://HOST/EXPORT.")
    scheme = match[1].lower()
    if scheme not in _SCHEMES:
        near = suggest(scheme, _SCHEMES)
        raise UsageError(
            f"'{match[1]}' is not a scheme.",
            f"Did you mean {near}://?" if near else f"There are: {', '.join(_SCHEMES)}; and file:, mem:.",
        )
    return scheme, text[match.end() :]


def _split_authority(authority: str, family: Family, text: str) -> tuple[str, int | None]:
    if authority.startswith("["):
        host, bracket, port_text = authority[1:].partition("]")
        host = host.replace("%25", "%")
        if not bracket or not _is_ipv6(host):
            raise UsageError(
                f"'{authority}' in '{text}' is not an IPv6 address in brackets.", "Write [::1]:PORT."
            )
    else:
        host, colon, port_text = authority.partition(":")
        port_text = colon + port_text
        if ":" in port_text[1:]:
            raise UsageError(
                f"'{authority}' in '{text}' is not a host.", "Write IPv6 addresses in brackets: [::1]."
            )
        _check_host(host, family, text)
    if not port_text:
        return host, None
    return host, _parse_port(port_text, text, maximum=_CID_MAX if family == "vsock" else 65535)


def _check_host(host: str, family: Family, text: str) -> None:
    if not host:
        raise UsageError(f"'{text}' names no host.", "Write one after the two slashes: dst://HOST/EXPORT.")
    if family == "vsock":
        if not (host.isascii() and host.isdigit() and int(host) <= _CID_MAX):
            raise UsageError(
                f"'{host}' in '{text}' is not a context id.", "A vsock peer is a number; 2 is the host."
            )
    elif _HOST.fullmatch(host) is None:
        raise UsageError(f"'{host}' in '{text}' is not a host.", "Write a name or an IP address.")


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _parse_port(port_text: str, text: str, *, maximum: int) -> int:
    digits = port_text[1:]
    if port_text[0] != ":" or not (digits.isascii() and digits.isdigit() and int(digits) <= maximum):
        raise UsageError(f"'{digits}' in '{text}' is not a port.", f"A port is a number up to {maximum}.")
    return int(digits)


def _decode_export(export_text: str, text: str) -> str:
    export = decode(export_text, text)
    try:
        length = len(export.encode())
    except UnicodeEncodeError:
        raise UsageError(
            f"The export name in '{text}' is not UTF-8.", "Check the percent signs in it."
        ) from None
    if length > limits.NAME_BYTES_MAX:
        raise UsageError(
            f"The export name in the address has {length} bytes, and NBD allows {limits.NAME_BYTES_MAX}.",
            "Use a shorter name.",
        )
    return export
