"""DST/2 records: what a link carries after the preface.

    record header, 8 bytes, big-endian
      0  u32  length of the body in bytes
      4  u8   type
      5  u8   reserved, 0
      6  u16  count: heads in a REQUESTS or REPLIES body, else 0

A record is either many small messages or one announced payload. A batch body (REQUESTS, REPLIES) is
`count` fixed heads (in REQUESTS after a u64, the floor) followed by their payloads, in order, without
gaps. A payload of at least CROSSOVER bytes is not in the batch: it comes as a PAYLOAD record of its
own, and PAYLOAD records answer the announcements of their direction first in, first out. So a large
payload is never joined with its header, which sealing could not do without a copy, and other records
may come between.
"""

from collections.abc import Iterable
from struct import Struct
from typing import Final

from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import ProtocolError

HEADER: Final = Struct(">IBBH")

HELLO: Final = 1
WELCOME: Final = 2
REFUSAL: Final = 3
REQUESTS: Final = 4
REPLIES: Final = 5
PAYLOAD: Final = 6
PING: Final = 7
PONG: Final = 8
NOTICE: Final = 9

# From this length on a payload is a record of its own. Sealing crosses over near it too.
CROSSOVER: Final = 32 * limits.KIB
# A batch's body stays below this, so that it fits the usual receive segment whole.
BATCH_BYTES_MAX: Final = limits.SEGMENT_BYTES - 4 * limits.KIB
BATCH_COUNT_MAX: Final = 1024
# Hello, refusal, notice: names and reasons.
GREETING_BYTES_MAX: Final = 64 * limits.KIB
# Welcome: what is known of a whole window of ids, 12 bytes each.
WELCOME_BYTES_MAX: Final = 12 * limits.ID_WINDOW + GREETING_BYTES_MAX
PING_BYTES: Final = 8

_BODY_MAX: Final = {
    HELLO: GREETING_BYTES_MAX,
    WELCOME: WELCOME_BYTES_MAX,
    REFUSAL: GREETING_BYTES_MAX,
    REQUESTS: BATCH_BYTES_MAX,
    REPLIES: BATCH_BYTES_MAX,
    PAYLOAD: limits.REQUEST_MAX,
    PING: PING_BYTES,
    PONG: PING_BYTES,
    NOTICE: GREETING_BYTES_MAX,
}

Record = tuple[int, int, int, int]
"""A record that came: type, count, and where its body begins and ends in the view."""
Buffers = list[bytes | bytearray | memoryview]
OutRecord = tuple[int, int, int, Buffers]
"""A record to send: type, count, length of the body in bytes, and the buffers it consists of."""


def header(kind: int, length: int, count: int = 0) -> bytes:
    """A record header for a body of `length` bytes."""
    return HEADER.pack(length, kind, 0, count)


def frame(records: Iterable[OutRecord]) -> tuple[Buffers, int]:
    """Records as the buffers that plain links carry, and their size together in bytes."""
    buffers: Buffers = []
    size = 0
    for kind, count, length, body in records:
        buffers.append(header(kind, length, count))
        buffers += body
        size += HEADER.size + length
    return buffers, size


def split(view: memoryview, head: int, tail: int, trailer: int = 0) -> tuple[list[Record], int, int]:
    """The whole records in view[head:tail]. trailer: bytes that follow each body (see dst_seal).

    Returns ((type, count, start, end) of each body, new head, bytes the record at the new head needs
    in all). Raises ProtocolError for a header that no peer of ours sends.
    """
    records: list[Record] = []
    unpack = HEADER.unpack_from
    while tail - head >= 8:
        length, kind, reserved, count = unpack(view, head)
        if length > _BODY_MAX.get(kind, -1) or count > BATCH_COUNT_MAX or reserved:
            raise ProtocolError(f"A record of type {kind} with {length} bytes breaks the DST protocol.")
        end = head + 8 + length
        if end + trailer > tail:
            return records, head, 8 + length + trailer
        records.append((kind, count, head + 8, end))
        head = end + trailer
    return records, head, 8
