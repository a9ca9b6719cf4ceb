from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from dsttool.engine.extents.extent import Extent
from dsttool.engine.extents.range_set import RangeSet

SPACE = 24
STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(0, SPACE), st.integers(0, 8)),
    max_size=40,
)


def build(steps: list[tuple[bool, int, int]]) -> tuple[RangeSet, set[int]]:
    ranges, model = RangeSet(), set()
    for adding, offset, length in steps:
        if adding:
            ranges.add(offset, length)
            model.update(range(offset, offset + length))
        else:
            ranges.remove(offset, length)
            model.difference_update(range(offset, offset + length))
    return ranges, model


@settings(max_examples=400)
@given(STEPS)
def test_it_holds_the_bytes_that_a_plain_set_would_hold(steps):
    ranges, model = build(steps)
    held = [byte for run in ranges for byte in range(run.offset, run.end)]
    assert held == sorted(model)
    assert ranges.total == len(model)


@settings(max_examples=400)
@given(STEPS)
def test_its_runs_neither_overlap_nor_touch(steps):
    ranges, _ = build(steps)
    runs = list(ranges)
    assert len(ranges) == len(runs)
    assert all(run.length > 0 for run in runs)
    assert all(one.end < other.offset for one, other in pairwise(runs))


@settings(max_examples=400)
@given(STEPS, st.integers(0, SPACE), st.integers(0, 8))
def test_it_answers_overlaps_and_covers_as_a_plain_set_would(steps, offset, length):
    ranges, model = build(steps)
    asked = set(range(offset, offset + length))
    assert ranges.overlaps(offset, length) == bool(asked & model)
    assert ranges.covers(offset, length) == (asked <= model)


@settings(max_examples=400)
@given(STEPS, st.integers(0, SPACE + 8))
def test_what_comes_after_an_offset_is_the_first_run_without_the_bytes_before(steps, offset):
    ranges, model = build(steps)
    left = min((byte for byte in model if byte >= offset), default=None)
    found = ranges.after(offset)
    assert (found and found.offset) == left
    if found is not None:
        assert found.end not in model
        assert ranges.covers(found.offset, found.length)


def test_adding_a_bridge_makes_one_run_of_many():
    ranges = RangeSet()
    for offset in (0, 20, 40):
        ranges.add(offset, 10)
    ranges.add(5, 40)
    assert list(ranges) == [Extent(0, 50)]


def test_removing_the_middle_leaves_both_sides():
    ranges = RangeSet()
    ranges.add(0, 100)
    ranges.remove(40, 20)
    assert list(ranges) == [Extent(0, 40), Extent(60, 40)]


def test_the_byte_before_a_run_and_the_byte_after_it_are_not_in():
    ranges = RangeSet()
    ranges.add(10, 5)
    assert not ranges.overlaps(9, 1)
    assert not ranges.overlaps(15, 1)
    assert ranges.covers(10, 5)


@settings(max_examples=400)
@given(STEPS, st.integers(0, SPACE), st.integers(0, 8))
def test_the_gaps_of_an_extent_are_its_bytes_that_are_not_in(
    steps: list[tuple[bool, int, int]], offset: int, length: int
) -> None:
    ranges, model = build(steps)
    gaps = ranges.gaps(offset, length)
    assert [byte for gap in gaps for byte in range(gap.offset, gap.end)] == [
        byte for byte in range(offset, offset + length) if byte not in model
    ]
    assert all(first.end < second.offset for first, second in pairwise(gaps))
