"""A member's dirty map against a plain list of chunks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsttool.engine.extents.dirty_map import CHUNKS_MAX, DirtyMap, chunk_count, chunk_shift
from dsttool.engine.extents.extent import Extent
from dsttool.engine.vocabulary.limits import KIB, MIB

SHIFT = 4
SIZE = 300  # 18 whole chunks and a short one
COUNT = chunk_count(SIZE, SHIFT)
EXTENT = st.integers(0, SIZE).flatmap(
    lambda offset: st.tuples(st.just(offset), st.integers(0, SIZE - offset))
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["mark", "loosen", "copied", "flushed", "lost"]), EXTENT), max_size=30
)


def touched(offset: int, length: int) -> range:
    return range(offset >> SHIFT, (offset + length - 1 >> SHIFT) + 1) if length else range(0)


def whole(offset: int, length: int) -> tuple[int, int]:
    start = offset >> SHIFT << SHIFT
    return start, min(SIZE, chunk_count(offset + length, SHIFT) << SHIFT) - start


def apply(steps: list[tuple[str, tuple[int, int]]]) -> tuple[DirtyMap, list[str]]:
    dirty, model = DirtyMap(SIZE, SHIFT), ["clean"] * COUNT
    for step, (offset, length) in steps:
        if step == "copied":
            offset, length = whole(offset, max(1, min(length, SIZE - offset)) if offset < SIZE else 0)
            if not length:
                continue
        if step in ("flushed", "lost"):
            getattr(dirty, step)()
            model = [{"flushed": "clean", "lost": "dirty"}[step] if at == "loose" else at for at in model]
            continue
        getattr(dirty, step)(offset, length)
        for chunk in touched(offset, length):
            if step == "mark":
                model[chunk] = "dirty"
            elif step == "copied" or model[chunk] == "clean":
                model[chunk] = "loose"
    return dirty, model


def length_of(chunk: int) -> int:
    return min(SIZE, chunk + 1 << SHIFT) - (chunk << SHIFT)


@settings(max_examples=400)
@given(STEPS)
def test_it_knows_exactly_which_chunks_are_dirty(steps):
    dirty, model = apply(steps)
    assert dirty.dirty_bytes == sum(length_of(c) for c, at in enumerate(model) if at == "dirty")
    assert dirty.loose == ("loose" in model)
    found, offset = [], 0
    while (run := dirty.next_run(offset, SIZE)) is not None:
        found += touched(*run)
        offset = run.end
    assert found == [chunk for chunk, at in enumerate(model) if at == "dirty"]


@given(STEPS, st.integers(0, SIZE), st.integers(1, SIZE))
def test_a_run_is_as_long_as_was_asked_for_or_one_chunk(steps, offset, longest):
    dirty, model = apply(steps)
    run = dirty.next_run(offset, longest)
    later = [c for c in range(chunk_count(offset, SHIFT), COUNT) if model[c] == "dirty"]
    if run is None:
        assert not later
        return
    assert run.offset == later[0] << SHIFT
    assert run.length <= max(longest, 1 << SHIFT)
    assert all(model[chunk] == "dirty" for chunk in touched(*run))


def test_a_map_may_begin_all_dirty() -> None:
    dirty = DirtyMap(SIZE, SHIFT, dirty=True)
    assert dirty.dirty_bytes == SIZE
    assert dirty.next_run(0, 2 * SIZE) == Extent(0, SIZE)


def test_parts_of_chunks_are_never_taken_for_copied() -> None:
    dirty = DirtyMap(SIZE, SHIFT, dirty=True)
    with pytest.raises(AssertionError):
        dirty.copied(0, 8)


@pytest.mark.parametrize(
    ("size", "block", "chunk"),
    [
        (MIB, 1, 4 * KIB),
        (4 << 30, 512, 4 * KIB),
        ((4 << 30) + 1, 512, 8 * KIB),
        (1 << 40, 4096, MIB),
        (1 << 44, 4096, MIB),
        (MIB, 64 * KIB, 64 * KIB),
    ],
)
def test_chunks_are_small_where_memory_allows_and_never_smaller_than_a_block(size, block, chunk) -> None:
    shift = chunk_shift(size, block)
    assert 1 << shift == chunk
    assert chunk_count(size, shift) <= CHUNKS_MAX or chunk == MIB
