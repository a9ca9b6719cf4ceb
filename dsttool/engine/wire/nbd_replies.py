"""Parsing what an NBD server sends in transmission, without I/O: simple and structured replies.

A reply is simple (error, and a READ's payload), or made of structured chunks with one cookie, the last
of which says DONE. Chunks of several replies may be interleaved, and those of one READ come in any
order: data and holes, which together are all of its bytes, each of them once.

    chunk                 may answer            says
    --------------------  --------------------  ----------------------------------------------
    OFFSET_DATA           READ                  these bytes
    OFFSET_HOLE           READ                  zeroes
    NONE                  anything, with DONE   that was all
    ERROR, ERROR_OFFSET   anything              it failed; the first error counts
    other errors          anything              the same: their payload begins as ERROR's does
    anything else         nothing               (BLOCK_STATUS: we negotiate no meta contexts)

Rules:
* A READ that comes as one chunk, the usual case, is handed on as it was received. Another one is put
  together in a buffer of its own.
* The length of a chunk is checked against its request before anybody waits for its payload; an answer
  nobody asked for, bytes outside of the request, twice or not at all, and more chunks than a server
  has a reason to send are errors of protocol.

Source: "The NBD protocol", sections "Simple reply message" and "Structured reply message".
"""

from bisect import bisect_left
from collections.abc import Callable
from struct import Struct
from typing import Any, Final, Generic, Protocol, TypeVar

from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import ProtocolError
from dsttool.engine.vocabulary.operations import READ
from dsttool.engine.wire import nbd

# Flags and type of a chunk, as one number.
_DONE: Final = nbd.REPLY_FLAG_DONE << 16
_WHOLE_READ: Final = _DONE | nbd.REPLY_OFFSET_DATA
_TYPE: Final = 0xFFFF
# A chunk's header with flags and type as one number, and the offset that begins OFFSET_DATA.
_WHOLE_CHUNK: Final = Struct(">IIQIQ")
_LENGTH_AT: Final = 16  # of the chunk's length in its header
_DATA_AT: Final = _WHOLE_CHUNK.size
# A message (at most 4096 bytes, "Values") with its framing and an offset.
_ERROR_PAYLOAD_MAX: Final = nbd.CHUNK_ERROR.size + limits.NAME_BYTES_MAX + nbd.CHUNK_OFFSET.size
# No storage is fragmented more finely than by sectors.
_SECTOR: Final = 512
_CHUNKS_SPARE: Final = 64
_ZEROES: Final = memoryview(bytes(64 * limits.KIB))


class Awaited(Protocol):
    """A transaction."""

    @property
    def attempts(self) -> int:
        """How often it was sent."""

    @property
    def request(self) -> Any:
        """It has op, offset and length (bytes)."""


T = TypeVar("T", bound=Awaited)
Answer = tuple[T, int, memoryview | None]


class _Parts:
    """A reply of several chunks, as far as it has come. covered: disjoint runs that do not touch."""

    __slots__ = ("buffer", "chunks", "ends", "error", "starts")

    def __init__(self) -> None:
        self.buffer: memoryview | None = None
        self.error = 0
        self.chunks = 0
        self.starts: list[int] = []
        self.ends: list[int] = []

    def cover(self, start: int, end: int) -> None:
        """These bytes have come. Raises ProtocolError if some of them had come before."""
        index = bisect_left(self.starts, start)
        before = index > 0 and self.ends[index - 1]
        after = index < len(self.starts) and self.starts[index]
        if (index > 0 and before > start) or (index < len(self.starts) and after < end):
            raise ProtocolError("The server broke the NBD protocol: it sent bytes of a read twice.")
        if index > 0 and before == start:
            index -= 1
            start = self.starts[index]
            del self.starts[index], self.ends[index]
        if index < len(self.starts) and self.starts[index] == end:
            end = self.ends[index]
            del self.starts[index], self.ends[index]
        self.starts.insert(index, start)
        self.ends.insert(index, end)


class ReplyParser(Generic[T]):
    """One connection's replies.

    in_flight: what is awaited, by cookie; what has been answered is taken out of it. late: what is
    awaited, too, though its asker has given it up; `ended` gets those of them that were answered.
    error: how the server broke the protocol, if it did; nothing may be parsed any more.
    structured: whether the server may send structured replies. allocate: a buffer of at least so many
    bytes, for READs that come in several chunks.
    """

    def __init__(
        self, in_flight: dict[int, T], *, structured: bool, allocate: Callable[[int], memoryview]
    ) -> None:
        self.in_flight = in_flight
        self.late: dict[int, T] = {}
        self.ended: list[T] = []
        self.error: ProtocolError | None = None
        self._structured = structured
        self._allocate = allocate
        self._parts: dict[int, _Parts] = {}

    def parse(self, view: memoryview, start: int, end: int) -> tuple[list[Answer[T]], int, int]:
        """All complete messages in view[start:end].

        Returns the answers as (transaction, errno, payload of a READ or None), where parsing stopped,
        and the bytes wanted from there on for the next message to be complete (so that a buffer can be
        made for it). Payloads are slices of `view` or of allocated buffers. Look at `error` afterwards:
        what was answered before the server broke the protocol counts.
        """
        answers: list[Answer[T]] = []
        try:
            start, need = self._take(answers, view, start, end)
        except ProtocolError as error:
            self.error = error
            return answers, end, 0
        return answers, start, need

    def _take(self, answers: list[Answer[T]], view: memoryview, start: int, end: int) -> tuple[int, int]:
        in_flight, parts = self.in_flight, self._parts
        unpack = nbd.SIMPLE_REPLY.unpack_from
        need = header = nbd.SIMPLE_REPLY.size
        while end - start >= header:
            if self._structured:
                start = self._take_whole_reads(answers, view, start, end)
                if end - start < header:
                    break
            # A structured reply has its flags and type where a simple one has its error.
            magic, word, cookie = unpack(view, start)
            transaction = in_flight.get(cookie)
            if transaction is None or not transaction.attempts:
                transaction = self._find_late(magic, cookie)
            request = transaction.request
            if magic == nbd.SIMPLE_REPLY_MAGIC:
                stop = start + header
                payload: memoryview | None = None
                if request.op == READ and not word:
                    if self._structured:
                        raise ProtocolError("The server broke the NBD protocol: a simple reply to a read.")
                    stop += request.length
                    if stop > end:
                        need = stop - start
                        break
                    payload = view[start + header : stop]
                elif cookie in parts:
                    raise ProtocolError("The server broke the NBD protocol: a reply of two kinds.")
                answer = (transaction, nbd.error_from_wire(word) if word else 0, payload)
            elif magic == nbd.STRUCTURED_REPLY_MAGIC and self._structured:
                if end - start < nbd.STRUCTURED_REPLY.size:
                    need = nbd.STRUCTURED_REPLY.size
                    break
                length = int.from_bytes(view[start + _LENGTH_AT : start + _LENGTH_AT + 4], "big")
                _check_length(request, word & _TYPE, length)
                stop = start + nbd.STRUCTURED_REPLY.size + length
                if stop > end:
                    need = stop - start
                    break
                start, chunk = stop, view[start + nbd.STRUCTURED_REPLY.size : stop]
                done = self._take_chunk(transaction, cookie, word, chunk)
                if done is None:
                    continue
                answer = done
            else:
                raise _bad_magic(magic)
            start = stop
            if in_flight.pop(cookie, None) is None:
                del self.late[cookie]
                self.ended.append(transaction)
            else:
                answers.append(answer)
        return start, need

    def _take_whole_reads(self, answers: list[Answer[T]], view: memoryview, start: int, end: int) -> int:
        """The reads at the head that came as one chunk each, as far as they are plain and complete.

        Returns where something else begins. This is the hot path, so it judges nothing: `_take` does.
        """
        in_flight, parts = self.in_flight, self._parts
        unpack = _WHOLE_CHUNK.unpack_from
        while end - start >= _DATA_AT:
            magic, word, cookie, length, offset = unpack(view, start)
            if word != _WHOLE_READ or magic != nbd.STRUCTURED_REPLY_MAGIC or cookie not in in_flight:
                break
            transaction = in_flight[cookie]
            request = transaction.request
            stop = start + nbd.STRUCTURED_REPLY.size + length
            if (
                stop > end
                or request.length != stop - start - _DATA_AT
                or request.offset != offset
                or request.op != READ
                or not transaction.attempts
                or cookie in parts
            ):
                break
            answers.append((transaction, 0, view[start + _DATA_AT : stop]))
            del in_flight[cookie]
            start = stop
        return start

    def _find_late(self, magic: int, cookie: int) -> T:
        transaction = self.late.get(cookie)
        if transaction is None and magic not in (nbd.SIMPLE_REPLY_MAGIC, nbd.STRUCTURED_REPLY_MAGIC):
            raise _bad_magic(magic)
        if transaction is None:
            raise ProtocolError("The server broke the NBD protocol: it answered what it was not asked.")
        return transaction

    def _take_chunk(self, transaction: T, cookie: int, word: int, chunk: memoryview) -> Answer[T] | None:
        """One chunk of a reply; the answer, if it was the last."""
        request = transaction.request
        parts = self._parts.get(cookie)
        if parts is None:
            parts = self._parts[cookie] = _Parts()
        parts.chunks += 1
        if parts.chunks > request.length // _SECTOR + _CHUNKS_SPARE:
            raise ProtocolError("The server broke the NBD protocol: a reply has too many chunks.")
        kind = word & _TYPE
        if kind & nbd.REPLY_IS_ERROR:
            parts.error = parts.error or _error_of(request, kind, chunk)
        elif kind == nbd.REPLY_OFFSET_DATA:
            (offset,) = nbd.CHUNK_OFFSET.unpack_from(chunk)
            self._fill(parts, request, offset, chunk[nbd.CHUNK_OFFSET.size :])
        elif kind == nbd.REPLY_OFFSET_HOLE:
            self._fill_hole(parts, request, *nbd.CHUNK_HOLE.unpack(chunk))
        elif not word & _DONE:
            raise ProtocolError("The server broke the NBD protocol: an empty chunk that is not the last.")
        if not word & _DONE:
            return None
        del self._parts[cookie]
        payload = None
        if request.op == READ and not parts.error:
            if request.length and (parts.starts, parts.ends) != ([0], [request.length]):
                raise ProtocolError("The server broke the NBD protocol: it left out bytes of a read.")
            payload = self._buffer(parts, request)
        return transaction, parts.error, payload

    def _buffer(self, parts: _Parts, request: Any) -> memoryview:
        if parts.buffer is None:
            parts.buffer = self._allocate(request.length)[: request.length]
        return parts.buffer

    def _fill(self, parts: _Parts, request: Any, offset: int, data: memoryview) -> None:
        start = _place(request, offset, len(data))
        parts.cover(start, start + len(data))
        self._buffer(parts, request)[start : start + len(data)] = data

    def _fill_hole(self, parts: _Parts, request: Any, offset: int, length: int) -> None:
        start = _place(request, offset, length)
        parts.cover(start, start + length)
        buffer = self._buffer(parts, request)
        for at in range(start, start + length, len(_ZEROES)):
            count = min(len(_ZEROES), start + length - at)
            buffer[at : at + count] = _ZEROES[:count]


def _bad_magic(magic: int) -> ProtocolError:
    return ProtocolError(f"The server broke the NBD protocol: a reply has the magic {magic:#010x}.")


def _place(request: Any, offset: int, length: int) -> int:
    """Where in the request's payload bytes of the export lie."""
    start: int = offset - request.offset
    if not length or start < 0 or start + length > request.length:
        raise ProtocolError("The server broke the NBD protocol: it sent bytes nobody asked for.")
    return start


def _check_length(request: Any, kind: int, length: int) -> None:
    """Whether a chunk of this type and length may answer the request at all."""
    if kind & nbd.REPLY_IS_ERROR:
        fits = nbd.CHUNK_ERROR.size <= length <= _ERROR_PAYLOAD_MAX
    elif kind == nbd.REPLY_NONE:
        fits = length == 0
    elif kind == nbd.REPLY_OFFSET_DATA and request.op == READ:
        fits = nbd.CHUNK_OFFSET.size < length <= nbd.CHUNK_OFFSET.size + request.length
    elif kind == nbd.REPLY_OFFSET_HOLE and request.op == READ:
        fits = length == nbd.CHUNK_HOLE.size
    else:
        raise ProtocolError(
            f"The server broke the NBD protocol: a chunk of type {kind} came when it must not."
        )
    if not fits:
        raise ProtocolError(f"The server broke the NBD protocol: a chunk of type {kind} has {length} bytes.")


def _error_of(request: Any, kind: int, chunk: memoryview) -> int:
    """The Linux errno that an error chunk stands for."""
    error, said = nbd.CHUNK_ERROR.unpack_from(chunk)
    rest = len(chunk) - nbd.CHUNK_ERROR.size - said
    known = {nbd.REPLY_ERROR: 0, nbd.REPLY_ERROR_OFFSET: nbd.CHUNK_OFFSET.size}.get(kind, rest)
    if not error or rest < 0 or rest != known:
        raise ProtocolError("The server broke the NBD protocol: a malformed error.")
    if kind == nbd.REPLY_ERROR_OFFSET:
        (offset,) = nbd.CHUNK_OFFSET.unpack_from(chunk, len(chunk) - nbd.CHUNK_OFFSET.size)
        if not request.offset <= offset <= request.offset + request.length:
            raise ProtocolError("The server broke the NBD protocol: an error where nobody asked.")
    return nbd.error_from_wire(error)
