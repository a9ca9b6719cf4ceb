from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsttool.engine.extents.overlap import CHUNK_BYTES, WIDE_BYTES, OverlapGate


@dataclass(eq=False)
class Write:
    offset: int
    length: int


def overlap(one: Write, other: Write) -> bool:
    return max(one.offset, other.offset) < min(one.offset + one.length, other.offset + other.length)


class PlainGate:
    """The rules of the gate, spelled out: each request is compared with each earlier one."""

    def __init__(self) -> None:
        self.queue: list[Write] = []
        self.running: list[Write] = []

    def settle(self) -> list[Write]:
        """Run whatever may run; return what starts now, in the order of submission."""
        started = []
        for index, write in enumerate(self.queue):
            if write in self.running or any(overlap(write, earlier) for earlier in self.queue[:index]):
                continue
            self.running.append(write)
            started.append(write)
        return started

    def admit(self, write: Write) -> bool:
        self.queue.append(write)
        return bool(self.settle())

    def release(self, write: Write) -> list[Write]:
        self.queue.remove(write)
        self.running.remove(write)
        return self.settle()


# Small ones close together, on both sides of a chunk's edge, so that many overlap or touch ...
SMALL = st.builds(Write, st.integers(CHUNK_BYTES - 8, CHUNK_BYTES + 8), st.integers(0, 8))
# ... and sizes and places which the gate treats differently.
LARGE = st.builds(
    lambda chunk, within, length: Write(chunk * CHUNK_BYTES + within, length),
    st.integers(0, 3),
    st.sampled_from([0, 1, 4096, CHUNK_BYTES - 1]),
    st.sampled_from(
        [1, 4096, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, WIDE_BYTES, WIDE_BYTES + 1]
    ),
)
WRITES = st.one_of(SMALL, SMALL, LARGE)
# Submit the write, or let the n-th of those that run finish.
STEPS = st.lists(st.one_of(WRITES, WRITES, st.integers(0, 1000)), max_size=60)


@settings(max_examples=400)
@given(STEPS)
def test_it_admits_exactly_what_the_plain_rules_admit_and_in_their_order(steps):
    gate, plain = OverlapGate(), PlainGate()
    for step in steps:
        if isinstance(step, Write):
            assert gate.admit(step) == plain.admit(step)
        elif plain.running:
            write = plain.running[step % len(plain.running)]
            assert gate.release(write) == plain.release(write)
        assert gate.busy == any(write.length for write in plain.running)


@settings(max_examples=400)
@given(st.lists(WRITES, max_size=40), st.randoms(use_true_random=False))
def test_every_write_runs_once_and_overlapping_ones_in_their_order(writes, random):
    gate = OverlapGate()
    running = [write for write in writes if gate.admit(write)]
    started = list(running)
    while running:
        assert not any(overlap(a, b) for a in running for b in running if a is not b)
        write = running.pop(random.randrange(len(running)))
        admitted = gate.release(write)
        running += admitted
        started += admitted
    assert sorted(map(id, started)) == sorted(map(id, writes))
    place = {id(write): index for index, write in enumerate(started)}
    for index, write in enumerate(writes):
        for later in writes[index + 1 :]:
            assert not overlap(write, later) or place[id(write)] < place[id(later)]


@settings(max_examples=400)
@given(st.lists(WRITES, max_size=40))
def test_nothing_is_left_behind_when_all_have_finished(writes):
    gate = OverlapGate()
    running = [write for write in writes if gate.admit(write)]
    for write in running:
        running += gate.release(write)
    assert not gate.busy
    assert not any(getattr(gate, name) for name in OverlapGate.__slots__)


@settings(max_examples=400)
@given(st.lists(st.one_of(WRITES, WRITES, st.integers(0, 1000), st.integers(-1000, -1)), max_size=60))
def test_what_overlaps_never_runs_together_while_waiting_ones_are_withdrawn(steps):
    gate = OverlapGate()
    waiting, running = [], []
    for step in steps:
        if isinstance(step, Write):
            (running if gate.admit(step) else waiting).append(step)
        elif step < 0 and waiting:
            gate.withdraw(waiting.pop(step % len(waiting)))
        elif step >= 0 and running:
            for write in gate.release(running.pop(step % len(running))):
                waiting.remove(write)
                running.append(write)
        assert not any(overlap(a, b) for a in running for b in running if a is not b)
    for write in running:
        running += gate.release(write)
    assert not any(getattr(gate, name) for name in OverlapGate.__slots__), "everybody else has run"


def test_whoever_waited_for_a_withdrawn_write_waits_for_what_it_waited_for():
    gate = OverlapGate()
    first, second, third, beside = Write(0, 10), Write(0, 20), Write(5, 10), Write(12, 5)
    gate.admit(first)
    for write in (second, third, beside):
        assert not gate.admit(write)
    gate.withdraw(second)
    assert set(map(id, gate.release(first))) == {id(third)}
    assert gate.release(third) == [beside]
    assert gate.release(beside) == []


def test_withdrawing_a_write_that_runs_is_caught():
    gate = OverlapGate()
    running = Write(0, 10)
    gate.admit(running)
    with pytest.raises(AssertionError):
        gate.withdraw(running)


def test_a_waiting_write_holds_back_a_later_one_that_overlaps_only_it():
    gate = OverlapGate()
    first, second, third = Write(0, 10), Write(5, 10), Write(12, 10)
    assert gate.admit(first)
    assert not gate.admit(second)
    assert not gate.admit(third)
    assert gate.release(first) == [second]
    assert gate.release(second) == [third]


def test_a_write_waits_for_an_early_one_that_the_latest_in_its_way_leaves_free():
    gate = OverlapGate()
    right, left, both = Write(10, 10), Write(0, 10), Write(5, 10)
    assert gate.admit(right)
    assert gate.admit(left)
    assert not gate.admit(both)
    assert gate.release(left) == []
    assert gate.release(right) == [both]


def test_a_write_waits_for_a_late_one_and_an_early_one_to_its_left():
    gate = OverlapGate()
    left, right, both = Write(0, 10), Write(10, 10), Write(5, 10)
    assert gate.admit(left)
    assert gate.admit(right)
    assert not gate.admit(both)
    assert gate.release(right) == []
    assert gate.release(left) == [both]


def test_a_wide_write_holds_back_a_small_one_within_it_and_none_beside_it():
    gate = OverlapGate()
    wide = Write(CHUNK_BYTES, 2 * WIDE_BYTES)
    within = Write(WIDE_BYTES, 512)
    assert gate.admit(wide)
    assert not gate.admit(within)
    assert gate.admit(Write(0, 512))
    assert gate.release(wide) == [within]


def test_neighbours_do_not_wait_for_each_other():
    gate = OverlapGate()
    assert all(gate.admit(Write(offset, 512)) for offset in range(0, 4 * CHUNK_BYTES, 512))


def test_equal_extents_of_different_writes_are_kept_apart():
    gate = OverlapGate()
    writes = [Write(4096, 4096) for _ in range(5)]
    assert [gate.admit(write) for write in writes] == [True, False, False, False, False]
    for write, following in pairwise(writes):
        assert gate.release(write) == [following]


def test_an_empty_write_neither_waits_nor_holds_back():
    gate = OverlapGate()
    assert gate.admit(Write(0, 100))
    empty = Write(50, 0)
    assert gate.admit(empty)
    assert gate.release(empty) == []
    assert gate.admit(Write(100, 100))


def test_a_queue_of_writes_to_one_block_costs_each_of_them_one_wait():
    gate = OverlapGate()
    for _ in range(1000):
        gate.admit(Write(0, 4096))
    assert set(gate._waiting.values()) == {1}


def test_finishing_a_write_that_still_waits_is_caught():
    gate = OverlapGate()
    gate.admit(Write(0, 10))
    waiting = Write(0, 10)
    gate.admit(waiting)
    with pytest.raises(AssertionError):
        gate.release(waiting)
