"""Memory as a Device: for tests, benches and scratch arrays. What it holds dies with the process."""

import mmap
from collections.abc import Callable

from dsttool.engine.device.device import Capabilities, Device
from dsttool.engine.device.request import Request, deliver
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.operations import FLUSH, READ, TRIM, WRITE, WRITE_ZEROES

_PAGE = mmap.PAGESIZE
_NORESERVE = 0x4000  # mman.h; the mmap module of Python 3.11 does not name it
_ZEROES = memoryview(bytes(limits.MIB))


class MemoryDevice(Device):
    """`size` bytes of anonymous memory, taken as they are first written."""

    def __init__(self, reactor: Reactor, size: int, name: str = "mem") -> None:
        self._reactor = reactor
        self._mapping = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE)
        self._view = memoryview(self._mapping)
        self.name = name
        self.identity = reactor.random_bytes(16)
        self.verifier = reactor.random_bytes(16)
        self.capabilities = Capabilities(size=size, fast_zero=True)

    def submit(self, batch: list[Request]) -> None:
        """See Device. Reads are views of the memory itself: no copy, as fresh as when they are sent."""
        view = self._view
        for request in batch:
            op = request.op
            if op == READ:
                request.data = view[request.offset : request.offset + request.length]
            elif op == WRITE:
                view[request.offset : request.offset + request.length] = request.data
            elif op in (TRIM, WRITE_ZEROES):
                self._zero(request.offset, request.length)
            elif op == FLUSH:
                request.data = self.verifier
        if batch:
            deliver(batch)

    def close(self, done: Callable[[], None]) -> None:
        """See Device."""
        self._view = memoryview(b"")
        done()

    def _zero(self, offset: int, length: int) -> None:
        """Whole pages go back to the system and read as zeroes again."""
        end = offset + length
        first, last = -(-offset // _PAGE) * _PAGE, end // _PAGE * _PAGE
        if first < last:
            self._mapping.madvise(mmap.MADV_DONTNEED, first, last - first)
            self._clear(offset, first)
            self._clear(last, end)
        else:
            self._clear(offset, end)

    def _clear(self, start: int, end: int) -> None:
        while start < end:
            step = min(end - start, len(_ZEROES))
            self._view[start : start + step] = _ZEROES[:step]
            start += step
