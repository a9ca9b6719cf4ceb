"""What was acked and not flushed is kept, and done again gives what was acked: alone, and by a model."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dsttool.engine.transaction.retained import ENTRY_BYTES, Change, Retained
from dsttool.engine.vocabulary.limits import KIB, MIB, SEGMENT_CLASSES
from dsttool.engine.vocabulary.operations import FLUSH, FUA, READ, TRIM, WRITE, WRITE_ZEROES


class Asked:
    """As much of a request as is looked at."""

    def __init__(self, op: int, offset: int, data: Any = None, length: int = 0, flags: int = 0) -> None:
        self.op, self.offset, self.data, self.flags = op, offset, data, flags
        self.length = len(data) if data is not None else length
        self.error = 0


def write(offset: int, data: bytes, flags: int = 0) -> Asked:
    return Asked(WRITE, offset, memoryview(data), flags=flags)


def flush(kept: Retained) -> None:
    kept.flush_done(kept.flush_sent())


def replayed(kept: Retained) -> list[tuple[int, int, int]]:
    return [(op, offset, length) for op, _, offset, length, _ in kept.replay()]


def test_an_acked_write_sent_after_a_flush_is_not_taken_for_covered_by_it() -> None:
    kept = Retained()
    kept.acked([write(0, b"before")])
    mark = kept.flush_sent()
    kept.acked([write(100, b"after")])
    kept.flush_done(mark)
    assert replayed(kept) == [(WRITE, 100, 5)]


def test_a_flush_sent_before_a_loss_covers_nothing_after_it() -> None:
    kept = Retained()
    kept.acked([write(0, b"lost")])
    mark = kept.flush_sent()
    kept.lost()
    kept.flush_done(mark)
    assert replayed(kept) == [(WRITE, 0, 4)]
    flush(kept)
    assert kept.replay() == []


def test_what_was_done_again_stays_until_a_flush_covers_it() -> None:
    kept = Retained()
    kept.acked([write(0, b"a")])
    kept.lost()
    assert replayed(kept) == [(WRITE, 0, 1)]
    kept.lost()
    assert replayed(kept) == [(WRITE, 0, 1)]


def test_flushes_may_end_in_any_order() -> None:
    kept = Retained()
    kept.acked([write(0, b"a")])
    first = kept.flush_sent()
    kept.acked([write(1, b"b")])
    second = kept.flush_sent()
    kept.flush_done(second)
    kept.acked([write(2, b"c")])
    kept.flush_done(first)
    assert replayed(kept) == [(WRITE, 2, 1)]


def test_reads_flushes_and_what_failed_are_not_kept() -> None:
    kept = Retained()
    failed = write(0, b"x")
    failed.error = 5
    kept.acked([failed, Asked(READ, 0, memoryview(b"x")), Asked(FLUSH, 0)])
    assert kept.replay() == []
    assert kept.bytes == 0


def test_what_is_durable_by_itself_is_kept_too_or_an_older_write_would_revert_it() -> None:
    kept = Retained()
    kept.acked([write(0, b"old"), write(0, b"new", FUA)])
    assert [(bytes(data), flags) for _, flags, _, _, data in kept.replay()] == [(b"old", 0), (b"new", FUA)]


def test_trims_and_zeroes_are_kept_as_what_they_are() -> None:
    kept = Retained()
    kept.acked([Asked(TRIM, 0, length=1 << 30), Asked(WRITE_ZEROES, 5, length=7)])
    assert replayed(kept) == [(TRIM, 0, 1 << 30), (WRITE_ZEROES, 5, 7)]
    assert kept.bytes == 2 * ENTRY_BYTES


def test_a_segment_counts_whole_and_once_however_many_payloads_it_holds() -> None:
    kept = Retained()
    segment = memoryview(bytearray(256 * KIB))
    other = memoryview(bytearray(256 * KIB))
    kept.acked([Asked(WRITE, 0, segment[:512]), Asked(WRITE, 0, other[:512]), Asked(WRITE, 0, segment[512:])])
    kept.acked([Asked(WRITE, 0, segment[5:9])])
    assert kept.bytes == 512 * KIB + 4 * ENTRY_BYTES
    flush(kept)
    assert kept.bytes == 0


def test_a_payload_in_a_devices_own_memory_is_copied_for_it_may_change() -> None:
    memory = bytearray(SEGMENT_CLASSES[-1] + 1)
    kept = Retained()
    kept.acked([Asked(WRITE, 0, memoryview(memory)[:4]), Asked(WRITE, 4, memoryview(memory)[4:8])])
    assert kept.bytes == 8 + 2 * ENTRY_BYTES
    memory[:8] = b"changed!"
    assert [bytes(data) for *_, data in kept.replay()] == [bytes(4), bytes(4)]
    flush(kept)
    assert kept.bytes == 0


@pytest.mark.parametrize(("count", "wants", "full"), [(4, False, False), (5, True, False), (8, True, True)])
def test_past_half_of_the_bound_a_flush_is_wanted_and_past_all_of_it_writes_wait(
    count: int, wants: bool, full: bool
) -> None:
    kept = Retained(8 * (MIB + ENTRY_BYTES))
    for _ in range(count):
        kept.acked([write(0, bytes(MIB))])
    assert (kept.wants_flush, kept.full) == (wants, full)
    kept.clear()
    assert not kept.wants_flush


SIZE = 8


def apply(disk: bytearray, change: Change) -> None:
    op, _, offset, length, data = change
    disk[offset : offset + length] = data if op == WRITE else bytes(length)


class LosingDisk(RuleBasedStateMachine):
    """A disk with a cache that may lose any of what was not flushed; what was acked is there in the end.

    A flush makes durable, at worst, only what was acked before it was sent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept = Retained()
        self.expected = bytearray(SIZE)
        self.durable = bytearray(SIZE)
        self.cached: list[Change] = []
        self.flushes: list[tuple[int, int]] = []
        self.next = 1

    @rule(
        plan=st.lists(
            st.tuples(
                st.sampled_from([WRITE, WRITE, TRIM, WRITE_ZEROES]),
                st.integers(0, SIZE - 1),
                st.integers(1, SIZE),
                st.booleans(),
            ),
            min_size=1,
            max_size=4,
        )
    )
    def ack(self, plan: list[tuple[int, int, int, bool]]) -> None:
        batch = []
        for op, offset, length, fua in plan:
            length = min(length, SIZE - offset)
            data = memoryview(bytes([self.next]) * length) if op == WRITE else None
            self.next = self.next % 255 + 1
            asked = Asked(op, offset, data, length, FUA if fua else 0)
            change = (op, asked.flags, offset, length, data)
            apply(self.expected, change)
            self.cached.append(change)
            if fua:
                # Durable itself; older ones to the same bytes are done or gone, none comes after it.
                apply(self.durable, change)
            batch.append(asked)
        self.kept.acked(batch)

    @rule()
    def flush_begins(self) -> None:
        self.flushes.append((self.kept.flush_sent(), len(self.cached)))

    @precondition(lambda self: self.flushes)
    @rule(data=st.data())
    def flush_ends(self, data: st.DataObject) -> None:
        mark, count = self.flushes.pop(data.draw(st.integers(0, len(self.flushes) - 1)))
        for change in self.cached[:count]:
            apply(self.durable, change)
        # What came later overlays it, as a cache does; FUA ones of it are durable again.
        for change in self.cached[count:]:
            if change[1] & FUA:
                apply(self.durable, change)
        del self.cached[:count]
        self.flushes = [(m, max(0, c - count)) for m, c in self.flushes]
        self.kept.flush_done(mark)

    @rule(data=st.data(), again=st.booleans())
    def power_is_lost(self, data: st.DataObject, again: bool) -> None:
        for change in self.cached:
            if data.draw(st.booleans()):
                apply(self.durable, change)
        replayed = self.kept.replay()
        self.cached = []
        self.kept.lost()
        for change in replayed:
            apply(self.durable, change)
            self.cached.append(change)
        assert self.durable == self.expected
        self.flushes = [] if again else [(mark, 0) for mark, _ in self.flushes]

    @invariant()
    def what_is_cached_at_the_disk_is_kept(self) -> None:
        assert [c[:4] for c in self.kept.replay()][-len(self.cached) :] == [c[:4] for c in self.cached] or (
            not self.cached
        )

    @invariant()
    def the_bytes_are_those_of_what_is_kept(self) -> None:
        kept = self.kept.replay()
        memories = {id(data.obj): len(data) for op, *_, data in kept if op == WRITE}
        assert self.kept.bytes == sum(memories.values()) + ENTRY_BYTES * len(kept)


TestLosingDisk = LosingDisk.TestCase
