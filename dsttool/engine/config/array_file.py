"""arrays/NAME.toml: the configuration of an array.

layout = "mirror"                       # linear, stripe, mirror, …
raw = true                              # the nodes' bytes and nothing else
chunk = "64K"                           # layouts that have one
read_policy = "nearest"                 # mirror: nearest, round_robin, first
nodes = ["dst://a/d0?security=none", {address = "/srv/d1", name = "local"}]
listen = ["nbd://127.0.0.1"]            # besides the sockets in the runtime folder
access = ["allow 10.1.0.0/16"]          # rules for clients' addresses, the first that matches wins

[policy]                                # of every node whose address does not say otherwise
resend_timeout = "500ms"
resends = 2
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec

from dsttool.engine.config import durable, paths, units
from dsttool.engine.config.address import Address, parse_address
from dsttool.engine.config.address_rules import EVERYBODY, AddressRules, rules_in
from dsttool.engine.config.listen import Listen, parse_listen
from dsttool.engine.config.names import check_name
from dsttool.engine.config.options import Value, format_option
from dsttool.engine.config.policy_table import policy_in
from dsttool.engine.config.toml_file import StandIns, TomlFile, require
from dsttool.engine.vocabulary.errors import Conflict, UsageError, from_oserror

ReadPolicy = Literal["nearest", "round_robin", "first"]


@dataclass(frozen=True, slots=True)
class ArrayConfig:
    """An array as configured. `nodes` in slot order; chunk in bytes, None for the layout's default.

    policy: settings by key, durations in ns; a node's own address has the last word.
    Whether a layout of that name exists, and takes these parameters, is the algorithm's to say.
    """

    name: str
    layout: str
    nodes: tuple[Address, ...]
    raw: bool = False
    chunk: int | None = None
    read_policy: ReadPolicy | None = None
    listen: tuple[Listen, ...] = ()
    access: AddressRules = EVERYBODY
    policy: Mapping[str, Value] = field(default_factory=dict, hash=False)


class _Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    address: str
    name: str = ""


class _ArrayToml(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    layout: str
    nodes: list[str | _Node]
    raw: bool = False
    chunk: str | int | None = None
    read_policy: ReadPolicy | None = None
    listen: list[str] = []
    access: list[str] = []
    policy: dict[str, object] = {}


STAND_INS: Final = StandIns(
    values={"layout": "mirror", "nodes": ["mem:1M"]},
    elements={
        "nodes": lambda _: "mem:1M",
        "listen": lambda _: "nbd+unix:///?socket=/nowhere",
        "access": lambda _: "deny all",
    },
)


def load_array(name: str) -> ArrayConfig:
    """Read and check the configuration of an array.

    NotFound if there is none; ConfigError with its place if something is wrong in it.
    """
    path = paths.array_file(name)
    require(path, "array", paths.array_names())
    return read_array(name, TomlFile(path))


def read_array(name: str, file: TomlFile) -> ArrayConfig:
    """As `load_array`, of an open file."""
    content = file.convert(_ArrayToml)
    if not content.nodes:
        raise file.error(("nodes",), "an array needs at least one node.")
    nodes = tuple(_node(file, index, entry) for index, entry in enumerate(content.nodes))
    _refuse_repetition(file, nodes)
    return ArrayConfig(
        name=name,
        layout=file.checked(("layout",), check_name, content.layout),
        nodes=nodes,
        raw=content.raw,
        chunk=None if content.chunk is None else file.checked(("chunk",), parse_chunk, str(content.chunk)),
        read_policy=content.read_policy,
        listen=tuple(
            file.checked(("listen", index), parse_listen, text) for index, text in enumerate(content.listen)
        ),
        access=rules_in(file, "access", content.access),
        policy=policy_in(file, content.policy),
    )


def delete_array(name: str) -> Path:
    """Remove the configuration of an array, durably; where it was. NotFound if there is none."""
    path = paths.array_file(name)
    require(path, "array", paths.array_names())
    try:
        durable.remove(path)
    except OSError as error:
        raise from_oserror(error, f"remove {path}") from error
    return path


def create_array(config: ArrayConfig) -> Path:
    """Write the configuration of a new array durably, mode 0600; return its path.

    Conflict if one of that name is configured already. Give it absolute paths (Address.absolute): a
    daemon is started elsewhere.
    """
    path = paths.array_file(config.name)
    try:
        durable.write(path, _format(config).encode(), replace=False)
    except FileExistsError:
        raise Conflict(
            f"An array named '{config.name}' is configured already.",
            f"Choose another name, or look at it with: dsttool array show {config.name}",
        ) from None
    except OSError as error:
        raise from_oserror(error, f"write {path}") from error
    return path


def parse_chunk(text: str) -> int:
    """Bytes of a chunk: a positive size. UsageError otherwise; layouts may ask for more."""
    chunk = units.parse_size(text)
    if chunk == 0:
        raise UsageError("A chunk of no bytes holds nothing.", "Write for example 64K.")
    return chunk


def _node(file: TomlFile, index: int, entry: str | _Node) -> Address:
    if isinstance(entry, str):
        return file.checked(("nodes", index), parse_address, entry)
    address = file.checked(("nodes", index, "address"), parse_address, entry.address)
    if not entry.name:
        return address
    return address.named(file.checked(("nodes", index, "name"), check_name, entry.name))


def _refuse_repetition(file: TomlFile, nodes: tuple[Address, ...]) -> None:
    for index, node in enumerate(nodes):
        # Memory is new each time; every other place is one device, and two members on it are one copy.
        if node.kind != "mem" and node.bare() in [earlier.bare() for earlier in nodes[:index]]:
            raise file.error(("nodes", index), f"the node '{node.bare()}' is listed twice.")
        if node.name and node.name in [earlier.name for earlier in nodes[:index]]:
            raise file.error(("nodes", index), f"two nodes are named '{node.name}'.")


def _format(config: ArrayConfig) -> str:
    import tomlkit  # only for writing: it takes longer to load than the rest of a command

    document = tomlkit.document()
    document["layout"] = config.layout
    if config.raw:
        document["raw"] = True
    if config.chunk is not None:
        document["chunk"] = units.format_exact_size(config.chunk)
    if config.read_policy is not None:
        document["read_policy"] = config.read_policy
    nodes = tomlkit.array().multiline(True)
    for node in config.nodes:
        if node.name:
            entry = tomlkit.inline_table()
            entry.update({"name": node.name, "address": str(node.named(""))})
            nodes.append(entry)
        else:
            nodes.append(str(node))
    document["nodes"] = nodes
    if config.listen:
        listen = tomlkit.array().multiline(True)
        listen.extend(str(place) for place in config.listen)
        document["listen"] = listen
    if config.access.rules:
        document["access"] = [str(rule) for rule in config.access.rules]
    if config.policy:
        policy = tomlkit.table()
        policy.update({key: _toml_value(key, value) for key, value in config.policy.items()})
        document["policy"] = policy
    return tomlkit.dumps(document)


def _toml_value(key: str, value: Value) -> Value:
    """Counts as numbers, durations and words as texts."""
    text = format_option(key, value)
    return value if text == str(value) else text
