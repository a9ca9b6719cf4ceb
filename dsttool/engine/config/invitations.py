"""Invitations: how a client's key becomes authorised without anybody copying keys by hand.

    state folder   invitations/ID.json     what a server remembers of one, 0600
    one line       dsttool-invite-v1 ADDRESS ID KEY
                   the address has the server's public key; ID and KEY are base 32

The line goes to the other machine, which shows the ID in its first message and uses the KEY as a one-time
shared key of that handshake (IKpsk2), so that only who has the line gets through. The first hello under it
authorises the client's key and uses the invitation up in one durable step: an authorised key that names the
invitation *is* its being used up (see authorized). The same key may come again, as its answer may have been
lost; another one may not. Revoking the key removes the invitation first, so that it cannot come back by it.

An invitation ends at a time of the wall clock, and when it is used or removed; its file goes when it has
ended. The one-time key is in no repr, no log and no configuration of an array.
"""

import base64
import binascii
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from dsttool.engine.config import durable, key_files, paths
from dsttool.engine.config.address import Address, parse_address
from dsttool.engine.config.keys import KEY_BYTES
from dsttool.engine.vocabulary.errors import DsttoolError, UsageError, from_oserror

ID_BYTES: Final = 16
# An invitation that nobody has used within this time is most likely lost. Nanoseconds.
LIFETIME_NS: Final = 24 * 3600 * 1_000_000_000
# A text with some invitations in it; more is something else.
TEXT_BYTES_MAX: Final = 64 << 10
VERSION: Final = 1

_WORD: Final = "dsttool-invite-v1"
_FILE_BYTES_MAX: Final = 16 << 10
_SUFFIX: Final = ".json"


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a server remembers. expires: ns since 1970. The permission is for these exports."""

    id: bytes
    key: bytes = field(repr=False)
    exports: tuple[str, ...]
    read_only: bool
    expires: int

    @property
    def name(self) -> str:
        """The id as a text."""
        return _base32(self.id)


@dataclass(frozen=True, slots=True)
class Invite:
    """What a client was given. The address has the server's public key."""

    address: Address
    id: bytes
    key: bytes = field(repr=False)


class _InvitationJson(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    key: bytes
    exports: tuple[str, ...]
    read_only: bool
    expires: int
    version: int = VERSION


def create(exports: Sequence[str], *, read_only: bool, lifetime_ns: int = LIFETIME_NS) -> Invitation:
    """A new invitation to exports, stored durably."""
    invitation = Invitation(
        os.urandom(ID_BYTES), os.urandom(KEY_BYTES), tuple(exports), read_only, time.time_ns() + lifetime_ns
    )
    content = _InvitationJson(
        key=invitation.key, exports=invitation.exports, read_only=read_only, expires=invitation.expires
    )
    path = _file(invitation.name)
    try:
        durable.write(path, msgspec.json.encode(content) + b"\n", replace=False)
    except OSError as error:
        raise from_oserror(error, f"write {path}") from error
    return invitation


def load(name: str) -> Invitation | None:
    """The invitation of this name; None if there is none, or it has ended.

    Forbidden if others have access to its file, DsttoolError if that is damaged.
    """
    path = _file(name)
    try:
        content = key_files.read_owned(path, key_files.ACCESSIBLE_TO_OTHERS, _FILE_BYTES_MAX)
    except FileNotFoundError:
        return None
    try:
        stored = msgspec.json.decode(content, type=_InvitationJson)
        id_ = _decoded(name, ID_BYTES)
    except (msgspec.DecodeError, UsageError) as error:
        raise DsttoolError(
            f"The invitation in {path} is damaged.", "Remove the file, and invite again."
        ) from error
    if stored.version != VERSION or len(stored.key) != KEY_BYTES:
        raise DsttoolError(f"The invitation in {path} is of another version.", "Remove it, and invite again.")
    if stored.expires <= time.time_ns():
        return None
    return Invitation(id_, stored.key, stored.exports, stored.read_only, stored.expires)


def load_all() -> list[Invitation]:
    """All invitations that hold; files of those that have ended are removed."""
    found = []
    for name in _names():
        invitation = load(name)
        if invitation is None:
            remove(name)
        else:
            found.append(invitation)
    return found


def to_exports(exports: Sequence[str]) -> Mapping[bytes, Invitation]:
    """Those of them that are to any of these exports, by id."""
    return {each.id: each for each in load_all() if set(each.exports) & set(exports)}


def remove(name: str) -> None:
    """Forget an invitation, durably."""
    path = _file(name)
    try:
        durable.remove(path)
    except OSError as error:
        raise from_oserror(error, f"remove {path}") from error


def format_invite(invite: Invite) -> str:
    """The line to give to the other machine."""
    return f"{_WORD} {invite.address} {_base32(invite.id)} {_base32(invite.key)}"


def parse_invites(text: str) -> list[Invite]:
    """The invitations of a text, one a line. UsageError, which shows nothing of them, otherwise."""
    invites = [
        _parse_invite(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()
    ]
    if not invites:
        raise UsageError("There is no invitation.", "`dsttool export DEVICE --invite` prints one.")
    return invites


def _parse_invite(number: int, line: str) -> Invite:
    words = line.split()
    if len(words) != 4 or words[0] != _WORD:
        raise UsageError(
            f"Line {number} is not an invitation.",
            f"It begins with {_WORD}, and has an address and two keys.",
        )
    address = parse_address(words[1])
    if address.kind != "dst" or "server" not in address.options:
        raise UsageError(f"The invitation on line {number} names no server's key.", "Ask for a new one.")
    return Invite(address, _decoded(words[2], ID_BYTES), _decoded(words[3], KEY_BYTES))


def _file(name: str) -> Path:
    return paths.state_dir() / "invitations" / f"{name}{_SUFFIX}"


def _names() -> list[str]:
    try:
        entries = os.listdir(paths.state_dir() / "invitations")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_oserror(error, "read the folder of invitations") from error
    return sorted(e.removesuffix(_SUFFIX) for e in entries if e.endswith(_SUFFIX) and not e.startswith("."))


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def _decoded(text: str, length: int) -> bytes:
    try:
        data = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != length or _base32(data) != text.lower():
        raise UsageError("The invitation is damaged.", "Copy the whole line, or ask for a new one.")
    return data
