"""What the host of a raw array must remember: which members are in sync, and whether it ended cleanly.

A raw array has no superblock, so this file is the only witness that a member missed writes. An array
that marks a member stale stores that here before it acks the write which the member missed
(arrays.md, rule 2); and the verifiers of its members before it acks anything under them, for those tell
after an unclean end whether acked writes were lost (protocol.md, durability verifier). Content that
cannot be understood is therefore refused, never taken for none.
"""

from typing import Annotated, Final, Literal

import msgspec

from dsttool.engine.config import durable, paths
from dsttool.engine.vocabulary.errors import DsttoolError, from_oserror

VERSION: Final = 3
# Version 1 had neither verifiers nor suspended members, version 2 no identities.
READABLE: Final = (1, 2, 3)

MemberState = Literal["in_sync", "stale", "suspended"]
Word = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]


class ArrayState(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The state of a raw array.

    layout, parameters: as it was made (chunk in bytes). nodes: addresses without options, in slot order;
    members: their states. clean: nothing was in flight when it ended. generation grows by one each
    time a member's state or verifier changes. verifiers: of the nodes, in slot order, null where there was
    none. lost: while it ran acked writes were lost, and not every client may know. identities: which storage
    the nodes were, in slot order, null where there was none.
    """

    layout: str
    parameters: dict[str, int | str]
    nodes: tuple[str, ...]
    members: tuple[MemberState, ...]
    clean: bool
    generation: Annotated[int, msgspec.Meta(ge=0)]
    verifiers: tuple[Word | None, ...] = ()
    lost: bool = False
    identities: tuple[Word | None, ...] = ()
    version: int = VERSION

    def __post_init__(self) -> None:
        if len(self.nodes) != len(self.members):
            raise ValueError(f"{len(self.nodes)} nodes, but {len(self.members)} member states")
        if self.verifiers and len(self.nodes) != len(self.verifiers):
            raise ValueError(f"{len(self.nodes)} nodes, but {len(self.verifiers)} verifiers")
        if self.identities and len(self.nodes) != len(self.identities):
            raise ValueError(f"{len(self.nodes)} nodes, but {len(self.identities)} identities")
        if "in_sync" not in self.members:
            raise ValueError("no member is in sync")


def load(name: str) -> ArrayState | None:
    """The stored state of an array, None if it never had one. DsttoolError if it cannot be understood."""
    path = paths.state_file(name)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_oserror(error, f"read {path}") from error
    try:
        version = msgspec.json.decode(content, type=_Versioned).version
        if version not in READABLE:
            raise DsttoolError(
                f"{path} has version {version}, and this release of dsttool reads versions up to {VERSION}.",
                "Use the release that wrote it.",
            )
        return msgspec.json.decode(content, type=ArrayState)
    except msgspec.DecodeError as error:
        raise DsttoolError(
            f"The member states of '{name}' in {path} are damaged: {error}.",
            "Find out which members are current; only then move the file away.",
        ) from error


def store(name: str, state: ArrayState) -> None:
    """Replace the stored state of an array; it is durable when this returns.

    Blocks for the disk. One call at a time per array. DsttoolError if it failed: the caller must
    then not rely on either content.
    """
    path = paths.state_file(name)
    try:
        durable.write(path, msgspec.json.encode(state) + b"\n", replace=True)
    except OSError as error:
        raise from_oserror(error, f"write {path}") from error


class _Versioned(msgspec.Struct, frozen=True):
    version: int
