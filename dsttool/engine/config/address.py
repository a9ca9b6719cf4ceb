"""Addresses of devices: every form that a NODE, SRC, DST or DEVICE argument may take.

    dst://host[:6207]/export      dst+unix:///export?socket=PATH     dst+vsock://cid[:port]/export
    dst+mptcp://host/export       nbd://host[:10809]/export          nbd+unix:///export?socket=PATH
    nbds://host[:10809]/export    nbds+unix:///export?socket=PATH
    file:PATH  or a path with /   mem:SIZE                           NAME

nbds is NBD inside TLS, and never without. A path with a '/' is taken literally. `file:` and `mem:` are
followed by a percent-encoded path and by a size, and may end in ?name=NAME. NAME is an export or an array
that runs on this machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from dsttool.engine.config import options as query_options
from dsttool.engine.config import units
from dsttool.engine.config.named_keys import is_key_name
from dsttool.engine.config.names import is_name
from dsttool.engine.config.options import Value
from dsttool.engine.config.paths import check_socket_path
from dsttool.engine.config.uri import (
    Uri,
    decode,
    encode,
    format_query,
    format_uri,
    looks_like_uri,
    parse_uri,
    split_query,
)
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import UsageError
from dsttool.engine.vocabulary.texts import readable

Kind = Literal["file", "mem", "dst", "nbd", "name"]

_PATH_OPTIONS: Final = ("key", "tls-certificates")


@dataclass(frozen=True, slots=True)
class Address:
    """One device's address. `parse_address(str(address))` equals it.

    endpoint: dst and nbd. export: dst and nbd (may be '': the only one there), and the NAME of kind
    name. path: file. size: mem, bytes. options: by the query's keys; durations in ns. tls: of kind nbd,
    whether it is inside TLS.
    """

    kind: Kind
    endpoint: Endpoint | None = None
    export: str = ""
    path: str = ""
    size: int = 0
    options: Mapping[str, Value] = field(default_factory=dict, hash=False)
    tls: bool = False

    def __str__(self) -> str:
        if self.kind == "name":
            return self.export
        query = {key: query_options.format_option(key, value) for key, value in self.options.items()}
        if self.kind == "mem":
            return f"mem:{units.format_exact_size(self.size)}{format_query(query)}"
        if self.kind == "file":
            return _format_file(self.path, query)
        return format_uri(self._uri(query))

    @property
    def name(self) -> str:
        """The node's name that the query gives, or ''."""
        return str(self.options.get("name", ""))

    @property
    def security(self) -> str:
        """What protects the link: as spelled, else by the default."""
        if self.kind != "dst":
            return "tls" if self.tls else "none"
        assert self.endpoint is not None
        keyed = "key" in self.options or "server" in self.options
        return str(self.options.get("security", default_security(self.endpoint, keyed=keyed)))

    @property
    def policy(self) -> dict[str, Any]:
        """Fields of transaction.policy.Policy that the query sets: `Policy(**address.policy)`."""
        return query_options.policy_overrides(self.options)

    def bare(self) -> "Address":
        """The same place without options: what identifies a node."""
        return replace(self, options={})

    def named(self, name: str) -> "Address":
        """The same with this node name, or with none if it is ''."""
        others = {key: value for key, value in self.options.items() if key != "name"}
        return replace(self, options={"name": name, **others} if name else others)

    def absolute(self, folder: Path) -> "Address":
        """The same with a relative path of a file, a socket, a key or certificates taken from `folder`."""
        changed = self
        if self.kind == "file":
            changed = replace(changed, path=str(folder / self.path))
        if self.endpoint is not None and self.endpoint.family == "unix":
            path = check_socket_path(str(folder / self.endpoint.path))
            changed = replace(changed, endpoint=replace(self.endpoint, path=path))
        found = {
            key: str(folder / str(self.options[key]))
            for key in _PATH_OPTIONS
            if key in self.options and not (key == "key" and is_key_name(str(self.options[key])))
        }
        return replace(changed, options={**self.options, **found}) if found else changed

    def _uri(self, query: Mapping[str, str]) -> Uri:
        assert self.endpoint is not None
        return Uri("dst" if self.kind == "dst" else "nbd", self.endpoint, self.export, query, self.tls)


def parse_address(text: str) -> Address:
    """Read an address in any of its forms. UsageError says what is wrong with it."""
    if "\0" in text:
        raise UsageError(f"{text!r} contains a zero byte.", "Remove it.")
    if text.startswith("mem:"):
        return _parse_memory(text)
    if text.startswith("file:"):
        return _parse_file(text)
    if looks_like_uri(text):
        return _parse_network(text)
    if "/" in text:
        return Address("file", path=decode(text.replace("%", "%25"), text))
    if is_name(text):
        return Address("name", export=text)
    raise UsageError(
        f"{text!r} is not an address.",
        "Write dst://HOST/EXPORT, nbd://HOST/EXPORT, file:PATH, a path with a '/', mem:SIZE,"
        " or the name of what runs on this machine.",
    )


def default_security(endpoint: Endpoint, *, keyed: bool = False) -> str:
    """What protects a DST link when nothing is said: a Unix socket never leaves the machine.

    keyed: a key is given, which means that it is to be used.
    """
    return "none" if endpoint.family == "unix" and not keyed else "aes256gcm"


def _parse_network(text: str) -> Address:
    uri = parse_uri(text)
    if uri.endpoint.family != "unix" and uri.endpoint.port == 0:
        raise UsageError(f"Nothing can be reached at port 0 of '{text}'.", "Leave it out to use the default.")
    options = query_options.parse_options(uri.query, text)
    _check_tls(uri, options, text)
    if uri.protocol == "nbd" and options.get("security", "none") != "none":
        raise UsageError(
            f"NBD has no security={options['security']}, which '{text}' asks for.",
            "Use a dst:// address, or leave the option out.",
        )
    shortest, longest = options.get("backoff_min"), options.get("backoff_max")
    if isinstance(shortest, int) and isinstance(longest, int) and shortest > longest:
        raise UsageError(f"backoff_min is longer than backoff_max in '{text}'.", "Exchange the two.")
    return Address(uri.protocol, uri.endpoint, uri.export, options=options, tls=uri.tls)


def _check_tls(uri: Uri, options: Mapping[str, Value], text: str) -> None:
    if uri.tls and "security" in options:
        raise UsageError(f"'{text}' is inside TLS, which security= cannot change.", "Leave the option out.")
    if not uri.tls:
        for key in query_options.TLS_KEYS:
            if key in options:
                raise UsageError(f"'{key}' in '{text}' is for nbds addresses.", "Write nbds:// for TLS.")


def _parse_memory(text: str) -> Address:
    size_text, _, query_text = text.removeprefix("mem:").partition("?")
    size = units.parse_size(size_text)
    if size == 0:
        raise UsageError(f"'{text}' is a device of no bytes.", "Write a size, for example mem:64M.")
    return Address("mem", size=size, options=_parse_name(query_text, text))


def _parse_file(text: str) -> Address:
    path_text, _, query_text = text.removeprefix("file:").partition("?")
    if path_text.startswith("//") and not path_text.startswith("///"):
        raise UsageError(f"'{text}' names a host, and a file has none.", "Write file:PATH or file:///PATH.")
    path = decode(path_text.removeprefix("//"), text)
    if not path:
        raise UsageError(f"'{text}' names no file.", "Write file:PATH.")
    return Address("file", path=path, options=_parse_name(query_text, text))


def _parse_name(query_text: str, text: str) -> dict[str, Value]:
    options = query_options.parse_options(split_query(query_text, text), text)
    for key in options:
        if key != "name":
            raise UsageError(f"'{key}' in '{text}' is for dst and nbd addresses.", "Leave it out.")
    return options


def _format_file(path: str, query: Mapping[str, str]) -> str:
    if not query and path.startswith(("/", "./", "../")) and readable(path) == path:
        return path
    # Two leading slashes would be read as the beginning of a host.
    text = "/%2F" + encode(path[2:]) if path.startswith("//") else encode(path)
    return f"file:{text}{format_query(query)}"
