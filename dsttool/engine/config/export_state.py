"""What a server must remember of an export: who may write to it, under which term.

exports/NAME.json in the state folder has an entry for each device that was offered under the name, told
apart by identity: another device under an old name begins anew, and the old one goes on when it is back.
Without this file a writer that was displaced could come back and be taken for a new one, so content that
cannot be understood is refused, never taken for none.
"""

from typing import Annotated, Final

import msgspec

from dsttool.engine.config import durable, paths
from dsttool.engine.transaction.grant import Holder
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import DsttoolError, from_oserror

VERSION: Final = 1
# Devices remembered under one name; the one stored longest ago goes first.
_DEVICES_MAX: Final = 64
# Far more than that many entries with the longest owners need.
_BYTES_MAX: Final = limits.MIB

_Id = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]


class _Writer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    owner: str
    session: _Id
    term: Annotated[int, msgspec.Meta(ge=1)]
    released: bool


class _ExportState(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    devices: Annotated[dict[_Id, _Writer], msgspec.Meta(max_length=_DEVICES_MAX)]
    version: int = VERSION


class _Versioned(msgspec.Struct, frozen=True):
    version: int


def load(name: str, device: bytes) -> Holder | None:
    """Who holds, or held last, the writer's grant of a device (its identity) under this name.

    None if nobody ever did. DsttoolError if what is stored cannot be understood.
    """
    writer = _load(name).devices.get(device.hex())
    if writer is None:
        return None
    return Holder(writer.owner, bytes.fromhex(writer.session), writer.term, writer.released)


def store(name: str, device: bytes, holder: Holder) -> None:
    """Remember the holder of the grant; it is durable when this returns.

    Blocks for the disk. One call at a time for each name. DsttoolError if it failed: what is stored is then
    either the old holder or this one.
    """
    devices = dict(_load(name).devices)
    devices.pop(device.hex(), None)
    while len(devices) >= _DEVICES_MAX:
        del devices[next(iter(devices))]
    devices[device.hex()] = _Writer(
        owner=holder.owner, session=holder.session.hex(), term=holder.term, released=holder.released
    )
    path = paths.export_state_file(name)
    try:
        durable.write(path, msgspec.json.encode(_ExportState(devices=devices)) + b"\n", replace=True)
    except OSError as error:
        raise from_oserror(error, f"write {path}") from error


def _load(name: str) -> _ExportState:
    path = paths.export_state_file(name)
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES_MAX + 1)
    except FileNotFoundError:
        return _ExportState(devices={})
    except OSError as error:
        raise from_oserror(error, f"read {path}") from error
    try:
        if len(content) > _BYTES_MAX:
            raise msgspec.ValidationError(f"it is longer than {_BYTES_MAX} bytes")
        version = msgspec.json.decode(content, type=_Versioned).version
        if version != VERSION:
            raise DsttoolError(
                f"{path} has version {version}, and this release of dsttool reads version {VERSION}.",
                "Use the release that wrote it.",
            )
        return msgspec.json.decode(content, type=_ExportState)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DsttoolError(
            f"What is remembered of the writers of '{name}' in {path} is damaged: {error}.",
            "Make sure that whoever wrote to it before has been stopped; only then move the file away.",
        ) from error
