"""Retained: changes that were acked and are not known to be durable, to be done again if they are lost.

A write may have been acked from a cache at the other end. If that end loses its power, the write is gone,
and where no other copy is, only who still has the payload can repair it. So:

* Every change that was acked is kept, in the order of the acks, payload included.
* A flush covers exactly those acked before it was sent. When it has succeeded they are dropped.
* When what was not flushed may have been lost, everything kept is done again in that order, before
  anything else is sent; no flush that was sent before that covers any of it. Until a later flush does,
  it stays kept, for it may be lost again.

Why order is enough: overlapping changes never run together, so they are acked in the order in which they
took effect, and of what is done again the later wins, as it did before. That includes what would have been
durable by itself (FUA): without it, an older write to the same bytes would revert it.

Payloads stay where they were received, so what counts towards the bound is the memory that they keep
from being used again: whole segments, each once.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.operations import TRIM, WRITE, WRITE_ZEROES

CHANGES: Final = (WRITE, TRIM, WRITE_ZEROES)
# What one change costs beside its payload: a tuple, a view, their places in lists.
ENTRY_BYTES: Final = 384
_SEGMENT_MAX: Final = limits.SEGMENT_CLASSES[-1]

Change = tuple[int, int, int, int, Any]
"""Operation, flags, offset, length, and a write's payload."""


class Retained:
    """bytes: the memory held. Payloads must not change until they are flushed or dropped."""

    __slots__ = ("_batches", "_first", "_half", "_held", "_most", "bytes")

    def __init__(self, bytes_max: int = limits.RETAINED_BYTES_MAX) -> None:
        # The acks of one call, and the memory whose holders they are among: (changes, identities).
        self._batches: deque[tuple[list[Change], list[int]]] = deque()
        # The position of the oldest batch; a mark is the position of the next one to come.
        self._first = 0
        # Memory that is held, by identity: how many batches hold it, and its size.
        self._held: dict[int, list[int]] = {}
        self._half, self._most = bytes_max // 2, bytes_max
        self.bytes = 0

    @property
    def wants_flush(self) -> bool:
        """Whether so much is kept that a flush in the background is due."""
        return self.bytes > self._half

    @property
    def full(self) -> bool:
        """Whether further changes have to wait until a flush has made room."""
        return self.bytes >= self._most

    def acked(self, finished: Iterable[Any]) -> None:
        """Requests that have been answered, in the order of their answers; reads and failures count not."""
        changes = [
            (request.op, request.flags, request.offset, request.length, request.data)
            for request in finished
            if request.op in CHANGES and not request.error
        ]
        if changes:
            self._batches.append((changes, self._hold(changes)))
            self.bytes += len(changes) * ENTRY_BYTES

    def flush_sent(self) -> int:
        """A flush is being sent. Returns its mark, for `flush_done`."""
        return self._first + len(self._batches)

    def flush_done(self, mark: int) -> None:
        """A flush succeeded, and nothing was lost since it was sent: what was acked before that is safe."""
        while self._first < mark and self._batches:
            changes, identities = self._batches.popleft()
            self._first += 1
            self.bytes -= len(changes) * ENTRY_BYTES
            for identity in identities:
                holders = self._held[identity]
                holders[0] -= 1
                if not holders[0]:
                    self.bytes -= holders[1]
                    del self._held[identity]

    def lost(self) -> None:
        """What was not flushed may be lost: no flush that has been sent covers anything any more."""
        self._first += len(self._batches)

    def replay(self) -> list[Change]:
        """Everything that has to be done again, in order. It stays kept."""
        return [change for changes, _ in self._batches for change in changes]

    def clear(self) -> None:
        """Nothing will be done again."""
        self.flush_done(self.flush_sent())

    def _hold(self, changes: list[Change]) -> list[int]:
        """Count the memory behind the payloads; returns its identities, most often one."""
        identities: list[int] = []
        last: Any = None
        for index, (op, flags, offset, length, data) in enumerate(changes):
            if op != WRITE or data.obj is last:
                continue
            last = memory = data.obj
            size = memoryview(memory).nbytes
            if size > _SEGMENT_MAX:
                # No segment, but a device's own memory: it changes, and is not ours to keep.
                memory = bytes(data)
                size, last = length, None
                changes[index] = (op, flags, offset, length, memory)
            identity = id(memory)
            if identity in identities:
                continue
            identities.append(identity)
            holders = self._held.get(identity)
            if holders is None:
                self._held[identity] = [1, size]
                self.bytes += size
            else:
                holders[0] += 1
        return identities
