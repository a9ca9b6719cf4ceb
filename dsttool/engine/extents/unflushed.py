"""Unflushed: which acked writes which member may still lose with its power (protocol.md, verifier).

A write is covered on a member by a flush that was sent to it after the write was acked. So time is cut
into epochs. A write is tagged with the epoch in which it is acked; sending a flush ends the epoch; and
once the flush is done, it has covered that epoch and all before, on the members that answered it. Tags
belong to the array, a byte for each chunk; each member has the epoch up to which it is covered. So
tagging is one store into a byte, and a flush clears nothing: what was tagged up to a covered epoch
is simply old.

Epochs grow for ever, bytes do not: a byte is the epoch minus a base. When the bytes are used up, what
everybody has covered is forgotten and the base moves on. Should one member lag behind by all of them (its
flush has no answer yet), flushes cover a little less than they could until it has caught up.
"""

from collections.abc import Iterator
from typing import Final

from dsttool.engine.extents.dirty_map import chunk_count
from dsttool.engine.extents.extent import Extent

_LAST: Final = 255
# Moving the base looks at every byte (about 1 ms for the largest usual map): not for a few epochs.
_WORTH: Final = 64


class Unflushed:
    """Tags over `size` bytes of an array. The hot path writes `chunks[offset >> shift] = value` itself where
    a write lies in one chunk; `chunks` stays the same object.

    value: the byte of the current epoch. covered: by slot, for members that are written to.
    """

    __slots__ = ("_base", "_epoch", "chunks", "covered", "shift", "size", "value")

    def __init__(self, size: int, shift: int) -> None:
        self.size = size
        self.shift = shift
        self.chunks = bytearray(chunk_count(size, shift))
        self.covered: dict[int, int] = {}
        self._base = 0
        self._epoch = 1
        self.value = 1

    def tag(self, offset: int, length: int) -> None:
        """A write there has just been acked."""
        if length > 0:
            first, end = offset >> self.shift, (offset + length - 1 >> self.shift) + 1
            self.chunks[first:end] = bytes([self.value]) * (end - first)

    def begin_flush(self) -> int:
        """A flush is being sent: the epoch it covers once it is done. What is acked from now on is later."""
        if self.value == _LAST:
            self._move_base()
        if self.value == _LAST:
            return self._epoch - 1
        self._epoch += 1
        self.value += 1
        return self._epoch - 1

    @property
    def crowded(self) -> bool:
        """Whether a member lags so far behind that flushes cover less than they could."""
        return self.value == _LAST and min(self.covered.values(), default=self._epoch) - self._base < _WORTH

    def flushed(self, slot: int, epoch: int) -> None:
        """The member has done a flush that covers this epoch. Nothing if it is not watched any more."""
        before = self.covered.get(slot)
        if before is not None and before < epoch:
            self.covered[slot] = epoch

    def watch(self, slot: int) -> None:
        """The member is written to from now on; it has nothing to lose yet."""
        self.covered[slot] = self.begin_flush()

    def forget(self, slot: int) -> None:
        """The member is not written to any more."""
        self.covered.pop(slot, None)

    def exposed(self, slot: int) -> Iterator[Extent]:
        """What the member may lose, ascending. Nothing may be tagged meanwhile."""
        covered = self.covered.get(slot)
        if covered is None:
            return
        old = max(0, covered - self._base)
        tagged = self.chunks.translate(bytes(old + 1) + bytes([1]) * (_LAST - old))
        first = tagged.find(1)
        while first >= 0:
            end = tagged.find(0, first)
            end = len(tagged) if end < 0 else end
            start = first << self.shift
            yield Extent(start, min(end << self.shift, self.size) - start)
            first = tagged.find(1, end)

    def _move_base(self) -> None:
        step = min(self.covered.values(), default=self._epoch) - self._base
        if step >= _WORTH:
            step = min(step, _LAST - 1)
            self.chunks[:] = self.chunks.translate(bytes(step + 1) + bytes(range(1, _LAST + 1 - step)))
            self._base += step
            self.value -= step
