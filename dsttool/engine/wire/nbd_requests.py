"""The server's side of NBD transmission: requests from bytes, many at a time.

Source: "The NBD protocol", sections "Request message" and "Request types". Everything in the buffer
is parsed in one loop, payloads stay where they were received, and each request is checked against
the export before anything below sees it. What is wrong with one request is answered; what is wrong
with the stream (a bad magic, a payload beyond all bounds) ends the connection.
"""

import errno
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.operations import (
    CACHE,
    DISCONNECT,
    FAST_ZERO,
    FLUSH,
    FUA,
    NO_HOLE,
    READ,
    TRIM,
    WRITE,
    WRITE_ZEROES,
)
from dsttool.engine.wire.nbd import REQUEST, REQUEST_MAGIC, ExportInfo

HEADER: Final = REQUEST.size
_CHANGES: Final = (WRITE, TRIM, WRITE_ZEROES)
# "Command flags": a server that offers FUA accepts it on every command; it says nothing about reads.
_FLAGS: Final = {
    READ: FUA,
    WRITE: FUA,
    FLUSH: FUA,
    TRIM: FUA,
    CACHE: FUA,
    WRITE_ZEROES: FUA | NO_HOLE,
}

R = TypeVar("R")
# (op, flags, offset, length, payload or None, cookie, sink, when it came) -> request
Make = Callable[[int, int, int, int, Any, int, Any, int], R]


class RequestParser(Generic[R]):
    """Parses one connection's requests.

    After `parse`: `requests` to run, and `bytes`, their payloads both ways; `refused` as (cookie,
    errno); `need`, the bytes that the message at the front wants in all (0 unknown); `pinned`, whether
    a request holds a view of the buffer; `full`, whether it stopped for want of room and left
    requests behind; `disconnect`, the client said goodbye; `fault`, a sentence if the stream is broken.
    """

    def __init__(self, info: ExportInfo, make: Make[R], sink: Any) -> None:
        self._make = make
        self._sink = sink
        self._size = info.size
        self._mask = info.block_min - 1
        self._payload_max = info.payload_max
        self._read_only = info.read_only
        self._flags = {op: flags for op, flags in _FLAGS.items() if _offers(info, op)}
        if info.fast_zero and WRITE_ZEROES in self._flags:
            self._flags[WRITE_ZEROES] |= FAST_ZERO
        if not info.fua:
            self._flags = {op: flags & ~FUA for op, flags in self._flags.items()}
        self.requests: list[R] = []
        self.refused: list[tuple[int, int]] = []
        self.bytes = 0
        self.need = 0
        self.pinned = False
        self.full = False
        self.disconnect = False
        self.fault = ""

    def parse(self, view: memoryview, head: int, tail: int, room: int, room_bytes: int, now: int = 0) -> int:
        """Parse view[head:tail]; stop after `room` requests or once `room_bytes` are spoken for.

        now: when they came (ns). Returns the new head. Never raises for what a client sends.
        """
        unpack, make, sink = REQUEST.unpack_from, self._make, self._sink
        size, payload_max, mask = self._size, self._payload_max, self._mask
        writable, strange = not self._read_only, ~self._flags[READ]
        requests: list[R] = []
        self.requests, self.refused = requests, []
        self.pinned = False
        self.need = HEADER
        given = room_bytes
        last = tail - HEADER
        while head <= last and room > 0 and room_bytes > 0:
            magic, flags, op, cookie, offset, length = unpack(view, head)
            if magic != REQUEST_MAGIC:
                self.fault = f"a request has the wrong magic ({magic:#010x})"
                break
            room -= 1
            start = head + HEADER
            fits = offset + length <= size and length <= payload_max and not (offset | length) & mask
            if op == READ and fits and not flags & strange and length:
                requests.append(make(READ, 0, offset, length, None, cookie, sink, now))
                room_bytes -= length
                head = start
            elif op == WRITE:
                if length > max(payload_max, limits.REQUEST_MAX):
                    self.fault = f"a write of {length} bytes is longer than {payload_max}"
                    break
                end = start + length
                if end > tail:
                    self.need = HEADER + length
                    break
                if fits and writable and length and (not flags or (flags == FUA and self._flags[WRITE])):
                    requests.append(make(WRITE, flags, offset, length, view[start:end], cookie, sink, now))
                    self.pinned = True
                    room_bytes -= length
                else:
                    self._unusual(op, flags, offset, length, cookie, now)
                head = end
            else:
                head = start
                if op == DISCONNECT:
                    self.disconnect = True
                    break
                self._unusual(op, flags, offset, length, cookie, now)
        self.bytes = given - room_bytes
        self.full = head <= last and (room <= 0 or room_bytes <= 0)
        return head

    def _unusual(self, op: int, flags: int, offset: int, length: int, cookie: int, now: int) -> None:
        """Whatever the loop above does not take at once: run it, or refuse it."""
        error = self._error(op, flags, offset, length)
        if error is not None:
            self.refused.append((cookie, error))
        else:
            flags = flags if op in _CHANGES else 0
            self.requests.append(self._make(op, flags, offset, length, None, cookie, self._sink, now))

    def _error(self, op: int, flags: int, offset: int, length: int) -> int | None:
        """None if the request may run; else its answer, which is 0 where there is nothing to do."""
        allowed = self._flags.get(op)
        if op in _CHANGES and self._read_only:
            return errno.EPERM
        if allowed is None or flags & ~allowed:
            return errno.EINVAL
        if op == FLUSH:
            return errno.EINVAL if offset or length else None
        if offset + length > self._size:
            return errno.ENOSPC if op in _CHANGES else errno.EINVAL
        if (offset | length) & self._mask or (op in (READ, WRITE) and length > self._payload_max):
            return errno.EINVAL
        return None if length else 0


def _offers(info: ExportInfo, op: int) -> bool:
    """Whether the export takes this operation at all."""
    return {FLUSH: info.flush, TRIM: info.trim, CACHE: info.cache, WRITE_ZEROES: info.write_zeroes}.get(
        op, True
    )
