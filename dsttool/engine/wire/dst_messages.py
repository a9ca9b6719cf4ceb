"""DST/2 requests and replies: heads and payloads of a batch (see dst_records).

    request head, 24 bytes             reply head, 16 bytes
      0  u64  id                         0  u64  id
      8  u64  offset                     8  u16  status: 0, or the remote errno (Linux numbers)
     16  u32  length                    10  u16  reserved, 0
     20  u8   operation (NBD's number)  12  u32  length of the payload that follows
     21  u8   flags (NBD's bits)
     22  u16  reserved, 0

A REQUESTS body begins with a u64: the floor, the lowest id that the client waits for. Ids below it, or
at or above it plus limits.ID_WINDOW, are never executed. A WRITE is followed by its payload; a reply to
READ by what was read, a reply to FLUSH by the verifier (16 bytes) if it succeeded. Sizes in bytes.
"""

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Any, Final

from dsttool.engine.vocabulary.errors import ProtocolError
from dsttool.engine.vocabulary.operations import FLUSH, READ, WIRE_FLAGS, WRITE
from dsttool.engine.wire.dst_records import (
    BATCH_BYTES_MAX,
    BATCH_COUNT_MAX,
    CROSSOVER,
    PAYLOAD,
    REPLIES,
    REQUESTS,
    Buffers,
    OutRecord,
)

REQUEST: Final = Struct(">QQIBBH")
REPLY: Final = Struct(">QHHI")
FLOOR: Final = Struct(">Q")
VERIFIER_BYTES: Final = 16


class _Batches:
    """Heads and payloads as records of one kind, within the bounds of dst_records. Payloads are not copied.

    prefix: what each batch body begins with, before its heads. A loop fills the lists of the batch that is
    open: heads, payloads that follow them (inline) and those with a record of their own (large). It closes
    the batch before what does not fit any more, and at the end.
    """

    __slots__ = ("_kind", "_prefix", "heads", "inline", "large", "records", "room")

    def __init__(self, kind: int, prefix: bytes = b"") -> None:
        self._kind = kind
        self._prefix = prefix
        self.room = BATCH_BYTES_MAX - len(prefix)
        self.records: list[OutRecord] = []
        self._open()

    def _open(self) -> None:
        self.heads: list[bytes] = [self._prefix]
        self.inline: Buffers = []
        self.large: list[OutRecord] = []

    def close(self, room: int) -> None:
        """The batch that is open becomes a record, and a new one is open. room: bytes left in it."""
        if len(self.heads) > 1:
            body = [b"".join(self.heads), *self.inline]
            self.records.append((self._kind, len(self.heads) - 1, BATCH_BYTES_MAX - room, body))
            self.records += self.large
            self._open()


def pack_requests(transactions: Iterable[Any], floor: int) -> list[OutRecord]:
    """Records for transactions (`.id`, `.request`)."""
    batch = _Batches(REQUESTS, FLOOR.pack(floor))
    heads, inline, room = batch.heads, batch.inline, batch.room
    pack, size = REQUEST.pack, REQUEST.size
    for transaction in transactions:
        request = transaction.request
        op, length = request.op, request.length
        needed = size + length if op == WRITE and length < CROSSOVER else size
        if needed > room or len(heads) > BATCH_COUNT_MAX:
            batch.close(room)
            heads, inline, room = batch.heads, batch.inline, batch.room
        room -= needed
        heads.append(pack(transaction.id, request.offset, length, op, request.flags & WIRE_FLAGS, 0))
        if op == WRITE:
            if length < CROSSOVER:
                inline.append(request.data)
            else:
                batch.large.append((PAYLOAD, 0, length, [request.data]))
    batch.close(room)
    return batch.records


def pack_replies(requests: Iterable[Any]) -> list[OutRecord]:
    """Records for finished requests (`.cookie` is the id)."""
    batch = _Batches(REPLIES)
    heads, inline, room = batch.heads, batch.inline, batch.room
    pack, size = REPLY.pack, REPLY.size
    for request in requests:
        op, data, error = request.op, request.data, request.error
        if error or (op != READ and op != FLUSH):
            length = 0
        elif op == READ:
            length = request.length
        else:
            data, length = data or bytes(VERIFIER_BYTES), VERIFIER_BYTES
        needed = size + length if length < CROSSOVER else size
        if needed > room or len(heads) > BATCH_COUNT_MAX:
            batch.close(room)
            heads, inline, room = batch.heads, batch.inline, batch.room
        room -= needed
        heads.append(pack(request.cookie, error, 0, length))
        if length >= CROSSOVER:
            batch.large.append((PAYLOAD, 0, length, data if type(data) is list else [data]))
        elif length:
            if type(data) is list:
                inline += data
            else:
                inline.append(data)
    batch.close(room)
    return batch.records


def take_floor(view: memoryview, start: int, end: int) -> int:
    """The floor that a REQUESTS body begins with; its heads begin FLOOR.size later. Raises ProtocolError."""
    if end - start < FLOOR.size:
        raise ProtocolError("A batch of requests is too short for its floor.")
    floor: int = FLOOR.unpack_from(view, start)[0]
    return floor


def heads_of(
    struct: Struct, view: memoryview, count: int, start: int, end: int
) -> tuple[Iterator[tuple[Any, ...]], int]:
    """The heads of a batch body, and where its payloads begin. Raises ProtocolError if they do not fit."""
    payloads = start + struct.size * count
    if payloads > end or not count:
        raise ProtocolError("A batch record is shorter than its heads.")
    return struct.iter_unpack(view[start:payloads]), payloads
