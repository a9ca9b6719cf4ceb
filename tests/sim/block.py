"""What a block holds, and the error for a promise that was broken."""

from struct import Struct
from typing import Final

from dsttool.engine.device.request import Request
from dsttool.engine.vocabulary.operations import FUA, NAMES, READ, WRITE

# Bytes that no disk tears; requests are multiples of it.
BLOCK: Final = 512
_UNIT: Final = Struct(">QQ")
_REPEATED: Final = BLOCK // _UNIT.size
_ZEROES: Final = bytes(BLOCK)


class Violation(AssertionError):
    """The engine broke a promise."""


def content(stamp: int, block: int) -> bytes:
    """What a block holds once the change of that stamp has happened; stamp 0 is zeroes."""
    return _UNIT.pack(stamp, block) * _REPEATED if stamp else _ZEROES


def described(request: Request) -> str:
    """A request in a trace: what, where, the stamps of its blocks, and its error."""
    words = [NAMES[request.op] + (" FUA" if request.flags & FUA else "")]
    words.append(f"{request.offset // BLOCK}+{request.length // BLOCK}")
    if request.op in (READ, WRITE) and request.data is not None:
        data = b"".join(request.data) if type(request.data) is list else bytes(request.data)
        stamps = [int.from_bytes(data[at : at + 8], "big") for at in range(0, len(data), BLOCK)]
        words.append(" ".join(f"#{stamp}" for stamp in dict.fromkeys(stamps)))
    if request.error:
        words.append(f"error {request.error}")
    return " ".join(words)
