"""Dialect: what one NBD server takes, and how to say the rest in its words.

A request that fits (`longest`, `emulated`) goes to the server as it is. What does not:

    longer than the server takes          pieces, each as long as it takes
    FUA, where it has no FUA              without FUA, and a flush once all pieces are written
    WRITE_ZEROES, where it has none       writes of zeroes
    ... with FAST_ZERO                    ENOTSUP, as the flag wants
    TRIM, CACHE, where it has none        nothing: both are advice
    FLUSH, where it has none              nothing: it has no cache it could flush
    WRITE, where it is read-only          EPERM
    anything else                         ENOTSUP
"""

import errno
from typing import Final

from dsttool.engine.device.device import Capabilities
from dsttool.engine.device.request import Request
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.operations import (
    CACHE,
    FAST_ZERO,
    FLUSH,
    FUA,
    NO_HOLE,
    READ,
    TRIM,
    WRITE,
    WRITE_ZEROES,
)
from dsttool.engine.wire.nbd import ExportInfo

_ADVICE: Final = (TRIM, CACHE, FLUSH)
# Long enough that headers do not count; sent by reference, so one serves everybody.
_ZEROES: Final = memoryview(bytes(limits.MIB))


class Piece(Request):
    """A part of a request, `parent`, that cannot be sent as one. `cookie` is its place in it."""

    __slots__ = ()


class Dialect:
    """What the server behind `info` takes.

    longest: by operation, the longest request it takes, in bytes; what is missing it does not know.
    flags: by operation, the flags that may be sent. emulated: by operation, flags that it does not know.
    """

    def __init__(self, info: ExportInfo) -> None:
        fua = FUA if info.fua else 0
        fast_zero = FAST_ZERO if info.fast_zero else 0
        self.flags = {READ: 0, WRITE: fua, FLUSH: 0, TRIM: fua, CACHE: 0}
        self.flags[WRITE_ZEROES] = fua | fast_zero | NO_HOLE
        self.emulated = dict.fromkeys((WRITE, TRIM), FUA & ~fua)
        self.emulated[WRITE_ZEROES] = (FUA | FAST_ZERO) & ~(fua | fast_zero)
        self.longest = {READ: info.payload_max}
        if not info.read_only:
            self.longest[WRITE] = info.payload_max
        if info.flush:
            self.longest[FLUSH] = 0
        if info.trim:
            self.longest[TRIM] = limits.LENGTH_MAX
        # Some servers hold what carries no payload to the same maximum ("Block size constraints").
        if info.write_zeroes:
            self.longest[WRITE_ZEROES] = info.payload_max
        if info.cache:
            self.longest[CACHE] = info.payload_max

    def pieces(self, request: Request) -> list[Piece]:
        """What to send for a request that does not fit. Empty: it is finished, see request.error."""
        op = request.op
        longest = self.longest.get(op)
        request.error = 0
        emulated = self.emulated.get(op, 0)
        if op == WRITE_ZEROES and request.flags & FAST_ZERO & emulated:
            request.error = errno.ENOTSUP
        elif longest is not None:
            return self._split(request, op, longest or request.length)
        elif op == WRITE_ZEROES and not request.flags & FAST_ZERO and WRITE in self.longest:
            return self._split(request, WRITE, min(len(_ZEROES), self.longest[WRITE]))
        elif op == WRITE:
            request.error = errno.EPERM
        elif op not in _ADVICE:
            request.error = errno.ENOTSUP
        return []

    def epilogue(self, request: Request) -> Piece | None:
        """After the last piece succeeded: the flush that stands for FUA, if the request needs one."""
        if not request.flags & FUA & self.emulated.get(request.op, 0) or FLUSH not in self.longest:
            return None
        flush = Piece(FLUSH, 0, 0, 0, None, 0, request.sink)
        flush.parent = request
        request.pending = 1
        return flush

    def _split(self, request: Request, op: int, longest: int) -> list[Piece]:
        pieces: list[Piece] = []
        flags = request.flags & self.flags[op]
        for start in range(0, request.length, longest):
            length = min(longest, request.length - start)
            data = None
            if request.op == WRITE:
                data = request.data[start : start + length]
            elif op == WRITE:
                data = _ZEROES[:length]
            piece = Piece(op, flags, request.offset + start, length, data, len(pieces), request.sink)
            piece.parent = request
            pieces.append(piece)
        request.pending = len(pieces)
        if op == READ:
            request.data = [None] * len(pieces)
        return pieces


def capabilities(info: ExportInfo, read_only: bool) -> Capabilities:
    """What a node over this export can do, what it emulates included.

    All users of a node share its one connection, so a flush covers the writes of all of them.
    """
    return Capabilities(
        size=info.size,
        block_min=info.block_min,
        block_preferred=info.block_preferred,
        payload_max=limits.REQUEST_MAX,
        read_only=read_only or info.read_only,
        flush=info.flush,
        fua=info.fua or info.flush,
        trim=info.trim,
        write_zeroes=not info.read_only,
        fast_zero=info.fast_zero and info.write_zeroes,
        rotational=info.rotational,
        multi_conn=True,
    )
