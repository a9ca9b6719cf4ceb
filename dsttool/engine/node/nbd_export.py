"""Whether an export is the one it was."""

import hashlib

from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.wire.nbd import ExportInfo


def change_of(before: ExportInfo, now: ExportInfo, *, read_only: bool) -> str:
    """What makes an export unusable that was used before; empty if nothing does."""
    if now.size != before.size:
        return f"{now.size} bytes long now, it was {before.size}"
    if now.read_only and not (before.read_only or read_only):
        return "read-only now"
    if (now.block_min, now.payload_max) != (before.block_min, before.payload_max):
        return "one with other block sizes now"
    if not read_only and _can(now) != _can(before):
        return "one with other capabilities now"
    return ""


def _can(info: ExportInfo) -> tuple[bool, ...]:
    return info.flush, info.fua, info.trim, info.write_zeroes, info.fast_zero


def identity_of(endpoint: Endpoint, info: ExportInfo) -> bytes:
    """NBD tells nothing of the storage behind an export: the same place and size must do."""
    words = f"{endpoint}\0{info.name}\0{info.size}"
    return hashlib.blake2b(words.encode(errors="surrogateescape"), digest_size=16).digest()
