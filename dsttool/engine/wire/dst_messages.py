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


class BatchWriter:
    """Writes heads and payloads as records, within the bounds of dst_records. Payloads are not copied.

    prefix: what each batch body begins with, before its heads.
    """

    __slots__ = ("_heads", "_inline", "_kind", "_large", "_prefix", "_room", "records")

    def __init__(self, kind: int, prefix: bytes = b"") -> None:
        self._kind = kind
        self._prefix = prefix
        self.records: list[OutRecord] = []
        self._clear()

    def _clear(self) -> None:
        self._heads: list[bytes] = [self._prefix]
        self._inline: Buffers = []
        self._large: list[OutRecord] = []
        self._room = BATCH_BYTES_MAX - len(self._prefix)

    def add(self, head: bytes, payload: Any, length: int) -> None:
        """Add one head and its payload: one buffer or a list of them, `length` bytes together."""
        needed = len(head) + length if length < CROSSOVER else len(head)
        if needed > self._room or len(self._heads) > BATCH_COUNT_MAX:
            self._emit()
        self._room -= needed
        self._heads.append(head)
        if length:
            if length >= CROSSOVER:
                buffers = payload if type(payload) is list else [payload]
                self._large.append((PAYLOAD, 0, length, buffers))
            elif type(payload) is list:
                self._inline += payload
            else:
                self._inline.append(payload)

    def _emit(self) -> None:
        count = len(self._heads) - 1
        self.records.append(
            (self._kind, count, BATCH_BYTES_MAX - self._room, [b"".join(self._heads), *self._inline])
        )
        self.records += self._large
        self._clear()

    def finish(self) -> list[OutRecord]:
        """All records, in the order in which they must be sent."""
        if len(self._heads) > 1:
            self._emit()
        return self.records


def pack_requests(transactions: Iterable[Any], floor: int) -> list[OutRecord]:
    """Records for transactions (`.id`, `.request`)."""
    batch = BatchWriter(REQUESTS, FLOOR.pack(floor))
    pack, add = REQUEST.pack, batch.add
    for transaction in transactions:
        request = transaction.request
        op, length = request.op, request.length
        head = pack(transaction.id, request.offset, length, op, request.flags & WIRE_FLAGS, 0)
        if op == WRITE:
            add(head, request.data, length)
        else:
            add(head, None, 0)
    return batch.finish()


def pack_replies(requests: Iterable[Any]) -> list[OutRecord]:
    """Records for finished requests (`.cookie` is the id)."""
    batch = BatchWriter(REPLIES)
    pack, add = REPLY.pack, batch.add
    for request in requests:
        if request.error:
            add(pack(request.cookie, request.error, 0, 0), None, 0)
        elif request.op == READ:
            add(pack(request.cookie, 0, 0, request.length), request.data, request.length)
        elif request.op == FLUSH:
            add(
                pack(request.cookie, 0, 0, VERIFIER_BYTES),
                request.data or bytes(VERIFIER_BYTES),
                VERIFIER_BYTES,
            )
        else:
            add(pack(request.cookie, 0, 0, 0), None, 0)
    return batch.finish()


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
