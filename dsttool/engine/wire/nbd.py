"""The words of the NBD protocol: magics, options, replies, flags, errors, and what an export is.

Source: "The NBD protocol", doc/proto.md of the NBD project; section names below are its own.
Everything on the wire is big-endian. Request types and command flags are in
vocabulary.operations, since the engine uses NBD's numbers for them throughout.
"""

import errno
from dataclasses import dataclass
from struct import Struct
from typing import Final

from dsttool.engine.vocabulary import limits, texts

# -- Handshake ("Fixed newstyle negotiation")

INIT_MAGIC: Final = 0x4E42444D41474943  # "NBDMAGIC"
OPTION_MAGIC: Final = 0x49484156454F5054  # "IHAVEOPT"; also the second magic of a newstyle greeting
OLDSTYLE_MAGIC: Final = 0x00420281861253  # the second magic of an oldstyle greeting
OPTION_REPLY_MAGIC: Final = 0x0003E889045565A9

GREETING: Final = Struct(">QQH")  # INIT_MAGIC, OPTION_MAGIC, handshake flags
CLIENT_FLAGS: Final = Struct(">I")
OPTION: Final = Struct(">QII")  # OPTION_MAGIC, option, length of its data
OPTION_REPLY: Final = Struct(">QIII")  # OPTION_REPLY_MAGIC, option, reply type, length of its data
EXPORT_NAME_REPLY: Final = Struct(">QH")  # size, transmission flags; then the zeroes
EXPORT_NAME_ZEROES: Final = bytes(124)

# Handshake flags and client flags have the same two bits.
FLAG_FIXED_NEWSTYLE: Final = 1 << 0
FLAG_NO_ZEROES: Final = 1 << 1

OPT_EXPORT_NAME: Final = 1
OPT_ABORT: Final = 2
OPT_LIST: Final = 3
OPT_STARTTLS: Final = 5
OPT_INFO: Final = 6
OPT_GO: Final = 7
OPT_STRUCTURED_REPLY: Final = 8

REP_ACK: Final = 1
REP_SERVER: Final = 2
REP_INFO: Final = 3
REP_IS_ERROR: Final = 1 << 31
REP_ERR_UNSUP: Final = REP_IS_ERROR + 1
REP_ERR_POLICY: Final = REP_IS_ERROR + 2
REP_ERR_INVALID: Final = REP_IS_ERROR + 3
REP_ERR_PLATFORM: Final = REP_IS_ERROR + 4
REP_ERR_TLS_REQD: Final = REP_IS_ERROR + 5
REP_ERR_UNKNOWN: Final = REP_IS_ERROR + 6
REP_ERR_SHUTDOWN: Final = REP_IS_ERROR + 7
REP_ERR_BLOCK_SIZE_REQD: Final = REP_IS_ERROR + 8
REP_ERR_TOO_BIG: Final = REP_IS_ERROR + 9

INFO_EXPORT: Final = 0
INFO_NAME: Final = 1
INFO_DESCRIPTION: Final = 2
INFO_BLOCK_SIZE: Final = 3

INFO_TYPE: Final = Struct(">H")
INFO_EXPORT_DATA: Final = Struct(">HQH")  # INFO_EXPORT, size, transmission flags
INFO_BLOCK_SIZE_DATA: Final = Struct(">HIII")  # INFO_BLOCK_SIZE, minimum, preferred, maximum
STRING_LENGTH: Final = Struct(">I")

# Transmission flags ("Transmission flags")
FLAG_HAS_FLAGS: Final = 1 << 0
FLAG_READ_ONLY: Final = 1 << 1
FLAG_SEND_FLUSH: Final = 1 << 2
FLAG_SEND_FUA: Final = 1 << 3
FLAG_ROTATIONAL: Final = 1 << 4
FLAG_SEND_TRIM: Final = 1 << 5
FLAG_SEND_WRITE_ZEROES: Final = 1 << 6
FLAG_CAN_MULTI_CONN: Final = 1 << 8
FLAG_SEND_CACHE: Final = 1 << 10
FLAG_SEND_FAST_ZERO: Final = 1 << 11

# Block sizes ("Block size constraints"): what holds when none were negotiated, and the legal ones.
BLOCK_MIN_DEFAULT: Final = 1
BLOCK_PREFERRED_DEFAULT: Final = 4096
BLOCK_MIN_MAX: Final = 64 * limits.KIB
BLOCK_PREFERRED_MIN: Final = 512
PAYLOAD_UNLIMITED: Final = 0xFFFFFFFF
SIZE_MAX: Final = (1 << 63) - 1  # offsets are signed in every operating system

# -- Transmission ("Request message", "Simple reply message", "Structured reply message")

REQUEST_MAGIC: Final = 0x25609513
SIMPLE_REPLY_MAGIC: Final = 0x67446698
STRUCTURED_REPLY_MAGIC: Final = 0x668E33EF

REQUEST: Final = Struct(">IHHQQI")  # magic, command flags, type, cookie, offset, length
SIMPLE_REPLY: Final = Struct(">IIQ")  # magic, error, cookie
STRUCTURED_REPLY: Final = Struct(">IHHQI")  # magic, flags, type, cookie, length of the chunk's payload

# "Structured reply flags" and "Structured reply types"
REPLY_FLAG_DONE: Final = 1 << 0
REPLY_NONE: Final = 0
REPLY_OFFSET_DATA: Final = 1
REPLY_OFFSET_HOLE: Final = 2
REPLY_IS_ERROR: Final = 1 << 15
REPLY_ERROR: Final = REPLY_IS_ERROR + 1
REPLY_ERROR_OFFSET: Final = REPLY_IS_ERROR + 2

CHUNK_OFFSET: Final = Struct(">Q")  # OFFSET_DATA: offset, then the data
CHUNK_HOLE: Final = Struct(">QI")  # OFFSET_HOLE: offset, length of the hole
CHUNK_ERROR: Final = Struct(">IH")  # ERROR, ERROR_OFFSET: error, length of the message; then it

# "Error values": the only numbers allowed in a reply. They are Linux's.
_ERRORS: Final = frozenset(
    {
        errno.EPERM,
        errno.EIO,
        errno.ENOMEM,
        errno.EINVAL,
        errno.ENOSPC,
        errno.EOVERFLOW,
        errno.ENOTSUP,
        errno.ESHUTDOWN,
    }
)
_NEAREST: Final = {
    errno.EACCES: errno.EPERM,
    errno.EROFS: errno.EPERM,
    errno.EDQUOT: errno.ENOSPC,
    errno.EFBIG: errno.ENOSPC,
}


def error_to_wire(error: int) -> int:
    """The NBD error for a Linux errno (0 stays 0); EIO for those NBD has no word for."""
    if error == 0 or error in _ERRORS:
        return error
    return _NEAREST.get(error, errno.EIO)


def error_from_wire(error: int) -> int:
    """The Linux errno for an error in a reply (0 stays 0); EIO for a number NBD does not define."""
    return error if error == 0 or error in _ERRORS else errno.EIO


@dataclass(frozen=True, slots=True)
class ExportInfo:
    """What a handshake says about an export. Sizes in bytes.

    The block sizes are those of "Block size constraints"; payload_max bounds one READ or WRITE.
    The switches are the transmission flags.
    """

    name: str
    size: int
    description: str = ""
    block_min: int = BLOCK_MIN_DEFAULT
    block_preferred: int = BLOCK_PREFERRED_DEFAULT
    payload_max: int = limits.REQUEST_MAX
    read_only: bool = False
    flush: bool = True
    fua: bool = True
    trim: bool = True
    write_zeroes: bool = True
    fast_zero: bool = False
    rotational: bool = False
    multi_conn: bool = True
    cache: bool = True


_SWITCHES: Final = (
    ("read_only", FLAG_READ_ONLY),
    ("flush", FLAG_SEND_FLUSH),
    ("fua", FLAG_SEND_FUA),
    ("rotational", FLAG_ROTATIONAL),
    ("trim", FLAG_SEND_TRIM),
    ("write_zeroes", FLAG_SEND_WRITE_ZEROES),
    ("multi_conn", FLAG_CAN_MULTI_CONN),
    ("cache", FLAG_SEND_CACHE),
    ("fast_zero", FLAG_SEND_FAST_ZERO),
)


def transmission_flags(info: ExportInfo) -> int:
    """The transmission flags of an export. What changes data is not offered on a read-only one."""
    flags = FLAG_HAS_FLAGS
    for switch, flag in _SWITCHES:
        if getattr(info, switch):
            flags |= flag
    if info.read_only:
        flags &= ~(FLAG_SEND_TRIM | FLAG_SEND_WRITE_ZEROES)
    if not flags & FLAG_SEND_WRITE_ZEROES:
        flags &= ~FLAG_SEND_FAST_ZERO
    return flags


def switches(flags: int) -> dict[str, bool]:
    """The keyword arguments of ExportInfo that transmission flags stand for."""
    if not flags & FLAG_HAS_FLAGS:
        flags = 0
    return {switch: bool(flags & flag) for switch, flag in _SWITCHES}


def advertised_block_sizes(info: ExportInfo) -> tuple[int, int, int]:
    """Minimum, preferred and maximum as "Block size constraints" wants them: powers of two, in order."""
    assert info.block_min.bit_count() == 1
    assert info.block_min <= min(BLOCK_MIN_MAX, info.payload_max)
    payload_max = min(info.payload_max - info.payload_max % info.block_min, PAYLOAD_UNLIMITED)
    preferred = max(info.block_preferred, info.block_min, BLOCK_PREFERRED_MIN)
    preferred = 1 << (preferred - 1).bit_length()
    return info.block_min, min(preferred, 1 << (payload_max.bit_length() - 1)), payload_max


def printable(text: str, length_max: int = 256) -> str:
    """A peer's text made safe for a log or a terminal: no control characters, bounded."""
    shown = texts.printable(text[:length_max])
    return shown if len(text) <= length_max else shown + "..."
