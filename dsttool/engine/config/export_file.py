"""exports/NAME.toml: the configuration of an export.

device = "/srv/a.img"           # any address
size = "10G"                    # create the file with this size, sparse, if it does not exist
read_only = false
shared = false                  # true: several may write at a time, and must not disturb each other
listen = ["dst://10.1.0.1"]
access = ["allow 10.1.0.0/16"]  # rules for addresses, the first that matches wins
security = "aes256gcm"          # of DST listeners that do not spell their own
key = "/etc/dsttool/keys/a.key" # likewise, or a name from dsttool.toml; else this machine's identity
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from dsttool.engine.config import paths, units
from dsttool.engine.config.address import Address, parse_address
from dsttool.engine.config.address_rules import EVERYBODY, AddressRules, rules_in
from dsttool.engine.config.listen import Listen, parse_listen
from dsttool.engine.config.options import Security
from dsttool.engine.config.toml_file import StandIns, TomlFile, require


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """An export as configured. size in bytes, None for the device's own.

    security, key: of DST listeners that do not spell their own (Listen.with_security).
    """

    name: str
    device: Address
    size: int | None = None
    read_only: bool = False
    listen: tuple[Listen, ...] = ()
    access: AddressRules = EVERYBODY
    security: str = ""
    key: str = ""
    shared: bool = False


class _ExportToml(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device: str
    size: str | int | None = None
    read_only: bool = False
    listen: list[str] = []
    access: list[str] = []
    security: Security | None = None
    key: str = ""
    shared: bool = False


STAND_INS: Final = StandIns(
    values={"device": "mem:1M"},
    elements={"listen": lambda _: "nbd+unix:///?socket=/nowhere", "access": lambda _: "deny all"},
)


def load_export(name: str) -> ExportConfig:
    """Read and check the configuration of an export.

    NotFound if there is none; ConfigError with its place if something is wrong in it.
    """
    path = paths.export_file(name)
    require(path, "export", paths.export_names())
    return read_export(name, TomlFile(path))


def read_export(name: str, file: TomlFile) -> ExportConfig:
    """As `load_export`, of an open file."""
    content = file.convert(_ExportToml)
    return ExportConfig(
        name=name,
        device=file.checked(("device",), parse_address, content.device),
        size=None if content.size is None else file.checked(("size",), units.parse_size, str(content.size)),
        read_only=content.read_only,
        listen=tuple(
            file.checked(("listen", index), parse_listen, text) for index, text in enumerate(content.listen)
        ),
        access=rules_in(file, "access", content.access),
        security=content.security or "",
        key=content.key,
        shared=content.shared,
    )
