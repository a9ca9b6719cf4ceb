"""Which acked writes a member may still lose, against a model that remembers every write."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsttool.engine.extents.unflushed import Unflushed

SHIFT = 4
SIZE = 300
OFFSETS = range(0, SIZE, 1 << SHIFT)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(OFFSETS)),
        st.tuples(st.just("send"), st.just(0)),
        st.tuples(st.just("done"), st.integers(0, 1), st.integers(0, 10)),
    ),
    max_size=60,
)


def exposed(unflushed: Unflushed, slot: int) -> set[int]:
    return {at for extent in unflushed.exposed(slot) for at in OFFSETS if extent.offset <= at < extent.end}


@settings(max_examples=300)
@given(STEPS)
def test_a_flush_covers_what_was_acked_before_it_was_sent_and_nothing_else(steps):
    unflushed = Unflushed(SIZE, SHIFT)
    unflushed.watch(0)
    unflushed.watch(1)
    acked = [set(), set()]
    flushes = []
    for step in steps:
        if step[0] == "write":
            unflushed.tag(step[1], 1)
            for slot in (0, 1):
                acked[slot].add(step[1])
            for _, left in flushes:
                for slot in (0, 1):
                    left[slot].discard(step[1])  # written again after the flush was sent
        elif step[0] == "send":
            flushes.append((unflushed.begin_flush(), [set(acked[0]), set(acked[1])]))
        elif step[2] < len(flushes):
            slot = step[1]
            epoch, covered = flushes[step[2]]
            unflushed.flushed(slot, epoch)
            acked[slot] -= covered[slot]
            for _, earlier in flushes[: step[2]]:
                earlier[slot] -= covered[slot]
    assert exposed(unflushed, 0) == acked[0]
    assert exposed(unflushed, 1) == acked[1]


@pytest.mark.parametrize("seed", range(3))
def test_thousands_of_flushes_forget_nothing_and_remember_nothing_too_long(seed: int) -> None:
    rng = random.Random(seed)
    unflushed = Unflushed(SIZE, SHIFT)
    for slot in (0, 1):
        unflushed.watch(slot)
    acked: set[int] = set()
    for _ in range(5000):
        if rng.random() < 0.5:
            offset = rng.choice(OFFSETS)
            unflushed.tag(offset, 1)
            acked.add(offset)
        else:
            epoch = unflushed.begin_flush()
            for slot in (0, 1):
                unflushed.flushed(slot, epoch)
            acked.clear()
    assert exposed(unflushed, 0) == exposed(unflushed, 1) == acked


def test_a_member_that_lags_behind_for_long_loses_nothing_from_sight() -> None:
    unflushed = Unflushed(SIZE, SHIFT)
    for slot in (0, 1):
        unflushed.watch(slot)
    unflushed.tag(0, 1)
    assert not unflushed.crowded
    for _ in range(1000):
        unflushed.flushed(0, unflushed.begin_flush())
    unflushed.tag(64, 1)
    assert unflushed.crowded
    assert exposed(unflushed, 1) == {0, 64}
    assert 64 in exposed(unflushed, 0)
    unflushed.forget(1)
    assert not unflushed.crowded
    unflushed.flushed(0, unflushed.begin_flush())
    unflushed.flushed(0, unflushed.begin_flush())
    assert exposed(unflushed, 0) == set()


def test_a_member_that_begins_later_answers_only_for_what_comes_then() -> None:
    unflushed = Unflushed(SIZE, SHIFT)
    unflushed.watch(0)
    unflushed.tag(0, 1)
    unflushed.watch(1)
    unflushed.tag(32, 40)
    assert exposed(unflushed, 1) == {32, 48, 64}
    unflushed.forget(1)
    assert exposed(unflushed, 1) == set()
    unflushed.flushed(1, unflushed.begin_flush())
    assert unflushed.covered.keys() == {0}
