"""keys/authorized.toml: which clients' keys may use which exports of this machine.

[[keys]]
key = "dst1-…"                  # the client's public key
name = "laptop"                 # for people; no two the same
read_write = ["a"]              # names of exports, or "*" for all of them
read_only = ["*"]               # the name of an export is stronger than "*"
invitations = ["…"]             # those it came by; they are then used up

Commands change it under a lock, keep its comments, and replace it whole; a person may edit it, too.
Whoever may write it decides who reads the disks: so it must be ours, or root's, and writable by nobody else.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from enum import IntEnum
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from dsttool.engine.config import durable, invitations, key_files, keys, paths
from dsttool.engine.config.names import check_name
from dsttool.engine.config.toml_file import StandIns, TomlFile
from dsttool.engine.vocabulary.errors import Conflict, Forbidden, NotFound, UsageError, from_oserror
from dsttool.engine.vocabulary.suggest import suggest

if TYPE_CHECKING:
    from tomlkit.items import AoT, Table

EVERY_EXPORT: Final = "*"
# Some ten thousand keys; what is longer is not written by people.
FILE_BYTES_MAX: Final = 4 << 20


class Permission(IntEnum):
    """What a client may do with an export."""

    NONE = 0
    READ_ONLY = 1
    READ_WRITE = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """One authorised key: its public half, and the exports (or EVERY_EXPORT) it may use."""

    public: bytes
    name: str = ""
    read_write: frozenset[str] = frozenset()
    read_only: frozenset[str] = frozenset()
    invitations: frozenset[str] = frozenset()

    def permission(self, export: str) -> Permission:
        """What the key may do with an export: its name is stronger than EVERY_EXPORT."""
        for name in (export, EVERY_EXPORT):
            if name in self.read_only:
                return Permission.READ_ONLY
            if name in self.read_write:
                return Permission.READ_WRITE
        return Permission.NONE


@dataclass(frozen=True, slots=True)
class AuthorizedKeys:
    """All of them, by public key."""

    entries: Mapping[bytes, Entry] = field(default_factory=dict)

    def permission(self, public: bytes, export: str) -> Permission:
        """What this key may do with an export."""
        entry = self.entries.get(public)
        return Permission.NONE if entry is None else entry.permission(export)

    def any_for(self, exports: Sequence[str]) -> bool:
        """Whether any key may do anything with one of these exports."""
        return any(entry.permission(export) for entry in self.entries.values() for export in exports)

    def invited_by(self, invitation: str) -> Entry | None:
        """The key that has used up an invitation."""
        return next((e for e in self.entries.values() if invitation in e.invitations), None)

    def find(self, text: str) -> Entry:
        """The key of this name, fingerprint or public key. Raises NotFound, UsageError."""
        wanted = keys.parse_public(text) if keys.is_public(text) else None
        for entry in self.entries.values():
            if wanted == entry.public or text in (entry.name, keys.fingerprint(entry.public)):
                return entry
        near = suggest(text, [entry.name for entry in self.entries.values() if entry.name])
        raise NotFound(
            f"No authorised key is called '{text}'.",
            f"Did you mean '{near}'?" if near else "`dsttool key list` lists them.",
        )


class _Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    name: str = ""
    read_write: list[str] = []
    read_only: list[str] = []
    invitations: list[str] = []


class _AuthorizedToml(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: list[_Key] = []


# Each key that is wrong is read as another one that nobody has.
STAND_INS: Final = StandIns(
    elements={"keys": lambda index: {"key": keys.format_public(sha256(b"%d" % index).digest())}}
)


def file() -> Path:
    """Where the authorised keys are listed."""
    return paths.config_dir() / "keys" / "authorized.toml"


def load() -> AuthorizedKeys:
    """The authorised keys; none if there is no file.

    ConfigError with its place if something is wrong in it, Forbidden if others may write it.
    """
    path = file()
    try:
        content = key_files.read_owned(path, key_files.WRITABLE_BY_OTHERS, FILE_BYTES_MAX)
    except FileNotFoundError:
        return AuthorizedKeys()
    return read_authorized(TomlFile(path, content))


def read_authorized(toml: TomlFile) -> AuthorizedKeys:
    """As `load`, of an open file."""
    entries: dict[bytes, Entry] = {}
    for index, listed in enumerate(toml.convert(_AuthorizedToml).keys):
        entry = _entry(toml, index, listed)
        if entry.public in entries:
            raise toml.error(("keys", index, "key"), "this key is listed twice.")
        if entry.name and any(entry.name == other.name for other in entries.values()):
            raise toml.error(("keys", index, "name"), f"two keys are named '{entry.name}'.")
        entries[entry.public] = entry
    return AuthorizedKeys(entries)


def authorize(
    public: bytes,
    *,
    exports: Sequence[str] = (),
    read_only: bool = False,
    name: str = "",
    store: bool = True,
) -> Entry:
    """Let a key use exports (all of them if none is named), durably; its entry then.

    What the key may do with other exports stays. Conflict if another key has the name. store: False to check
    all of it, and change nothing.
    """
    wanted = frozenset(_checked_export(export) for export in exports) or frozenset({EVERY_EXPORT})
    if name:
        _check_key_name(name)
    with _locked() if store else nullcontext():
        known = load()
        entry = known.entries.get(public, Entry(public))
        if name and any(name == other.name for other in known.entries.values() if other.public != public):
            raise Conflict(f"Another key is named '{name}' already.", "Choose another name.")
        entry = replace(_with_rights(entry, wanted, read_only), name=name or entry.name)
        if store:
            _store(public, entry)
    return entry


def redeem(public: bytes, invitation: str) -> AuthorizedKeys:
    """Let a key that was invited in, and use the invitation up, in one durable step; all keys then.

    The same key may come again. Forbidden if the invitation has ended, or another key has used it.
    """
    with _locked():
        known = load()
        user = known.invited_by(invitation)
        if user is not None and user.public == public:
            return known
        if user is not None:
            raise Forbidden("The invitation was used by another key.", "Ask for a new one.")
        invited = invitations.load(invitation)
        if invited is None:
            raise Forbidden("The invitation has expired, or was withdrawn.", "Ask for a new one.")
        entry = known.entries.get(public, Entry(public))
        entry = _with_rights(entry, frozenset(invited.exports), invited.read_only)
        _store(public, replace(entry, invitations=entry.invitations | {invitation}))
        return load()


def revoke(text: str) -> Entry:
    """Authorise a key, found by name, fingerprint or public key, no more, durably; what it was."""
    with _locked():
        entry = load().find(text)
        for invitation in entry.invitations:
            invitations.remove(invitation)
        _store(entry.public, None)
    return entry


def _entry(toml: TomlFile, index: int, listed: _Key) -> Entry:
    place = ("keys", index)
    if listed.name:
        toml.checked((*place, "name"), _check_key_name, listed.name)
    for rights in ("read_write", "read_only"):
        for number, export in enumerate(getattr(listed, rights)):
            toml.checked((*place, rights, number), _checked_export, export)
    both = set(listed.read_write) & set(listed.read_only)
    if both:
        raise toml.error((*place, "read_only"), f"'{min(both)}' is both in read_write and in read_only.")
    return Entry(
        public=toml.checked((*place, "key"), keys.parse_public, listed.key),
        name=listed.name,
        read_write=frozenset(listed.read_write),
        read_only=frozenset(listed.read_only),
        invitations=frozenset(listed.invitations),
    )


def _with_rights(entry: Entry, exports: frozenset[str], read_only: bool) -> Entry:
    """The entry with this right to these exports; what it may do with others stays."""
    read_write, only = entry.read_write - exports, entry.read_only - exports
    if read_only:
        return replace(entry, read_write=read_write, read_only=only | exports)
    return replace(entry, read_write=read_write | exports, read_only=only)


def _checked_export(export: str) -> str:
    return export if export == EVERY_EXPORT else check_name(export)


def _check_key_name(name: str) -> str:
    if keys.is_public(name):
        raise UsageError(f"'{name}' looks like a public key, and is to be a name.", "Choose another name.")
    return check_name(name)


@contextmanager
def _locked() -> Iterator[None]:
    """Only one at a time reads, changes and writes the list."""
    path = paths.make_folder(file().parent) / ".authorized.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise from_oserror(error, f"open {path}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _store(public: bytes, entry: Entry | None) -> None:
    """Write the list with this entry in the place of the key's, or without it."""
    import tomlkit  # only for writing: it takes longer to load than the rest of a command

    path = file()
    try:
        text = path.read_text() if path.exists() else _HEADER
        document = tomlkit.parse(text)
        listed: AoT = document.setdefault("keys", tomlkit.aot())
        index = next((i for i, table in enumerate(listed) if _public_of(table) == public), len(listed))
        if entry is None:
            del listed[index]
            if not listed:
                del document["keys"]
        elif index == len(listed):
            listed.append(_fill(tomlkit.table(), entry))
        else:
            _fill(listed[index], entry)
        durable.write(path, tomlkit.dumps(document).encode(), replace=True)
    except OSError as error:
        raise from_oserror(error, f"write {path}") from error


def _public_of(table: "Table") -> bytes:
    return keys.parse_public(str(table["key"]))


def _fill(table: "Table", entry: Entry) -> "Table":
    """Put an entry into a table; what it does not say is left out."""
    values: dict[str, str | list[str]] = {
        "key": keys.format_public(entry.public),
        "name": entry.name,
        "read_write": sorted(entry.read_write),
        "read_only": sorted(entry.read_only),
        "invitations": sorted(entry.invitations),
    }
    for key, value in values.items():
        if value:
            if table.get(key) != value:
                table[key] = value
        elif key in table:
            del table[key]
    return table


_HEADER: Final = """\
# Keys of clients that may use this machine's exports.
# Written by `dsttool key authorize` and `dsttool key revoke`; may be edited, too.

"""
