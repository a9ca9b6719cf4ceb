"""Copy one device onto another: many large reads and writes at once, zeroes left out.

A block is read, looked through for zeroes, and written; the slot it had is then free for the next
block. Blocks do not wait for each other, so that both devices always have work.

    next offset -> READ block -> runs of zeroes: WRITE_ZEROES, or nothing on a fresh target
                              -> runs of data: WRITE --all written--> next offset
"""

import os
from dataclasses import dataclass
from typing import Final

from dsttool.engine.device.device import Device
from dsttool.engine.device.request import Request
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError
from dsttool.engine.vocabulary.operations import FLUSH, NAMES, READ, WRITE, WRITE_ZEROES

BLOCK: Final = limits.MIB
DEPTH: Final = 16
# Zeroes are looked for in steps of this many bytes; a file system's holes are hardly smaller.
STEP: Final = 64 * limits.KIB
_ZEROES: Final = bytes(STEP)


@dataclass(frozen=True, slots=True)
class Run:
    """Adjacent bytes of a block: data to write, or zeroes if there is none."""

    start: int
    length: int
    data: memoryview | None


class Copy:
    """Copies all of `source` to the beginning of `target`.

    fresh: the target was just created and reads as zeroes. done_bytes: finished so far; zero_bytes:
    of those, zeroes that were not written. Nothing here outlives `run`.
    """

    def __init__(self, reactor: Reactor, source: Device, target: Device, *, fresh: bool) -> None:
        check_sizes(source, target)
        self._reactor = reactor
        self._source = source
        self._target = target
        self._fresh = fresh
        self._next = 0
        self._in_flight = 0
        self._read_blocks: list[Request] = []
        self._free = 0
        self._continuing = False
        self._error: DsttoolError | None = None
        self.total_bytes = source.capabilities.size
        self.done_bytes = 0
        self.zero_bytes = 0
        self._unit = _unit(source, target)
        most = min(BLOCK, source.capabilities.payload_max, target.capabilities.payload_max)
        self._block = most - most % self._unit

    def run(self) -> None:
        """Copy and flush. Raises the first failure, once everything in flight has ended."""
        self._read(DEPTH)
        self._reactor.run_until(self._idle)
        if self._error is None and self._target.capabilities.flush:
            self._submit(self._target, [Request(FLUSH, 0, 0, 0, None, None, self._flushed)])
            self._reactor.run_until(self._idle)
        if self._error is not None:
            raise self._error

    def _idle(self) -> bool:
        return not self._in_flight and not self._continuing

    def _submit(self, device: Device, batch: list[Request]) -> None:
        self._in_flight += len(batch)
        device.submit(batch)

    def _read(self, count: int) -> None:
        """Start reading up to `count` more blocks."""
        batch = []
        while count and self._next < self.total_bytes and self._error is None:
            length = min(self._block, self.total_bytes - self._next)
            batch.append(Request(READ, 0, self._next, length, None, None, self._was_read))
            self._next += length
            count -= 1
        if batch:
            self._submit(self._source, batch)

    def _was_read(self, requests: list[Request]) -> None:
        self._in_flight -= len(requests)
        self._read_blocks += requests
        self._continue_later()

    def _continue_later(self) -> None:
        """Go on in a turn of its own: a device that answers at once would nest without end."""
        if not self._continuing:
            self._continuing = True
            self._reactor.post(self._continue)

    def _continue(self) -> None:
        self._continuing = False
        blocks, self._read_blocks = self._read_blocks, []
        free, self._free = self._free, 0
        writes: list[Request] = []
        for block in blocks:
            if block.error:
                self._failed("read", self._source, block)
                continue
            parts = self._parts(block)
            writes += parts
            free += not parts
        if writes:
            self._submit(self._target, writes)
        self._read(free)

    def _parts(self, block: Request) -> list[Request]:
        """The writes that a block makes; none if all of it can be left out."""
        views = block.data if isinstance(block.data, list) else [block.data]
        if any(len(view) % self._unit for view in views):
            # The source cut them where its nodes meet, which need not be where the target's blocks do.
            views = [memoryview(b"".join(views))]
        parts: list[Request] = []
        offset = block.offset
        for view in views:
            for run in runs(view):
                at = offset + run.start
                if run.data is not None:
                    parts.append(Request(WRITE, 0, at, run.length, run.data, block, self._written))
                    continue
                self.zero_bytes += run.length
                if self._fresh:
                    self.done_bytes += run.length
                elif self._target.capabilities.write_zeroes:
                    parts.append(Request(WRITE_ZEROES, 0, at, run.length, None, block, self._written))
                else:
                    data = view[run.start : run.start + run.length]
                    parts.append(Request(WRITE, 0, at, run.length, data, block, self._written))
            offset += len(view)
        block.data = None
        block.pending = len(parts)
        return parts

    def _written(self, requests: list[Request]) -> None:
        self._in_flight -= len(requests)
        for part in requests:
            if part.error:
                self._failed("write", self._target, part)
            else:
                self.done_bytes += part.length
            block: Request = part.cookie
            block.pending -= 1
            if not block.pending:
                self._free += 1
        if self._free:
            self._continue_later()

    def _flushed(self, requests: list[Request]) -> None:
        self._in_flight -= len(requests)
        for request in requests:
            if request.error:
                self._failed("flush", self._target, request)

    def _failed(self, doing: str, device: Device, request: Request) -> None:
        if self._error is None:
            where = f" at byte {request.offset}" if request.length else ""
            self._error = DsttoolError(
                f"Cannot {doing} {device.name}{where}: {os.strerror(request.error)} ({NAMES[request.op]}).",
                f"{self.done_bytes} of {self.total_bytes} bytes were copied; the target is incomplete.",
            )


def check_sizes(source: Device, target: Device) -> None:
    """Conflict unless everything of the source fits onto the target and may be written there.

    Neither device gets a request that its block_min does not admit (the Device contract), so a source
    that ends within a block is refused.
    """
    have, room = source.capabilities.size, target.capabilities.size
    if target.capabilities.read_only:
        raise Conflict(f"{target.name} is read-only.", "Copy to something that can be written.")
    if room < have:
        raise Conflict(
            f"{target.name} has {room} bytes, and {source.name} has {have}: it does not fit.",
            "Copy to something at least as large.",
        )
    unit = _unit(source, target)
    if unit > min(STEP, source.capabilities.payload_max, target.capabilities.payload_max):
        raise Conflict(
            f"{source.name} and {target.name} have no requests of {unit} bytes in common, "
            "and one of them takes none smaller.",
            f"Copy between devices with blocks of at most {STEP} bytes.",
        )
    if have % unit:
        whole = have + unit - have % unit
        strict = target if have % target.capabilities.block_min else source
        raise Conflict(
            f"{strict.name} takes whole blocks of {strict.capabilities.block_min} bytes only, "
            f"and {source.name} has {have} bytes.",
            f"Copy from something with {whole} bytes; a file is lengthened by: truncate -s {whole} FILE",
        )


def _unit(source: Device, target: Device) -> int:
    """Offsets and lengths that both devices take are multiples of this; both are powers of two."""
    return max(source.capabilities.block_min, target.capabilities.block_min)


def runs(view: memoryview) -> list[Run]:
    """A view cut into runs of data and of zeroes, in steps of STEP bytes."""
    found: list[Run] = []
    length = len(view)
    start = 0
    zero_before: bool | None = None
    for at in range(0, length, STEP):
        zero = _is_zero(view[at : at + STEP])
        if zero != zero_before and zero_before is not None:
            found.append(_run(view, start, at, zero_before))
            start = at
        zero_before = zero
    if zero_before is not None:
        found.append(_run(view, start, length, zero_before))
    return found


def _run(view: memoryview, start: int, end: int, zero: bool) -> Run:
    return Run(start, end - start, None if zero else view[start:end])


def _is_zero(view: memoryview) -> bool:
    # Data mostly differs within its first bytes; only what does not is copied to be compared whole.
    return not any(view[:16]) and bytes(view) == _ZEROES[: len(view)]
