"""DST/2 requests and replies: heads and payloads of a batch (see dst_records).

    request head, 24 bytes             reply head, 16 bytes
      0  u64  id                         0  u64  id
      8  u64  offset                     8  u16  status: 0, or the remote errno (Linux numbers)
     16  u32  length                    10  u16  reserved, 0
     20  u8   operation (NBD's number)  12  u32  length of the payload that follows
     21  u8   flags (NBD's bits)
     22  u16  reserved, 0

A WRITE is followed by its payload; a reply to READ by what was read. Sizes in bytes.
"""

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Any, Final

from dsttool.engine.vocabulary.errors import ProtocolError
from dsttool.engine.vocabulary.operations import READ, WIRE_FLAGS, WRITE
from dsttool.engine.wire.dst_records import (
    BATCH_BYTES_MAX,
    BATCH_COUNT_MAX,
    CROSSOVER,
    PAYLOAD,
    REPLIES,
    REQUESTS,
    header,
)

REQUEST: Final = Struct(">QQIBBH")
REPLY: Final = Struct(">QHHI")

Buffers = list[bytes | bytearray | memoryview]
RECORD_HEADER: Final = 8


class BatchWriter:
    """Writes heads and payloads as records, within the bounds of dst_records.

    `finish` gives the buffers to send, in order, and their size together. Payloads are not copied.
    """

    __slots__ = ("_heads", "_inline", "_kind", "_large", "_room", "_size", "buffers")

    def __init__(self, kind: int) -> None:
        self._kind = kind
        self._size = 0
        self.buffers: Buffers = []
        self._clear()

    def _clear(self) -> None:
        self._heads: list[bytes] = []
        self._inline: Buffers = []
        self._large: Buffers = []
        self._room = BATCH_BYTES_MAX

    def add(self, head: bytes, payload: Any, length: int) -> None:
        """Add one head and its payload: one buffer or a list of them, `length` bytes together."""
        needed = len(head) + length if length < CROSSOVER else len(head)
        if needed > self._room or len(self._heads) == BATCH_COUNT_MAX:
            self._emit()
        self._room -= needed
        self._heads.append(head)
        if length:
            target = self._inline
            if length >= CROSSOVER:
                target = self._large
                target.append(header(PAYLOAD, length))
                self._size += RECORD_HEADER + length
            if type(payload) is list:
                target += payload
            else:
                target.append(payload)

    def _emit(self) -> None:
        body = BATCH_BYTES_MAX - self._room
        self.buffers.append(header(self._kind, body, len(self._heads)))
        self.buffers.append(b"".join(self._heads))
        self.buffers += self._inline
        self.buffers += self._large
        self._size += RECORD_HEADER + body
        self._clear()

    def finish(self) -> tuple[Buffers, int]:
        """All of it."""
        if self._heads:
            self._emit()
        return self.buffers, self._size


def pack_requests(transactions: Iterable[Any]) -> tuple[Buffers, int]:
    """Records for transactions (`.id`, `.request`), and their size."""
    batch = BatchWriter(REQUESTS)
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


def pack_replies(requests: Iterable[Any]) -> tuple[Buffers, int]:
    """Records for finished requests (`.cookie` is the id), and their size."""
    batch = BatchWriter(REPLIES)
    pack, add = REPLY.pack, batch.add
    for request in requests:
        if request.op == READ and not request.error:
            add(pack(request.cookie, 0, 0, request.length), request.data, request.length)
        else:
            add(pack(request.cookie, request.error, 0, 0), None, 0)
    return batch.finish()


def heads_of(
    struct: Struct, view: memoryview, count: int, start: int, end: int
) -> tuple[Iterator[tuple[Any, ...]], int]:
    """The heads of a batch body, and where its payloads begin. Raises ProtocolError if they do not fit."""
    payloads = start + struct.size * count
    if payloads > end or not count:
        raise ProtocolError("A batch record is shorter than its heads.")
    return struct.iter_unpack(view[start:payloads]), payloads
