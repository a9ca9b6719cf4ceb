"""Pooled memory: who keeps a segment alive, and when it comes back."""

import gc
import threading

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dsttool.engine.runtime.segments import SegmentPool
from dsttool.engine.transaction.retained import Retained
from dsttool.engine.vocabulary import limits

CLASSES = limits.SEGMENT_CLASSES


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, CLASSES[0]),
        (CLASSES[0], CLASSES[0]),
        (CLASSES[0] + 1, CLASSES[1]),
        (CLASSES[1] + 1, CLASSES[2]),
        (limits.REQUEST_MAX + 28, CLASSES[3]),
    ],
)
def test_the_smallest_class_that_fits_is_taken(size: int, expected: int) -> None:
    assert len(SegmentPool().take(size)) == expected


def test_more_than_the_largest_class_is_refused() -> None:
    with pytest.raises(ValueError, match="no segment holds"):
        SegmentPool().take(CLASSES[-1] + 1)


def test_a_segment_is_writable_bytes() -> None:
    view = SegmentPool().take()
    view[:5] = b"hello"
    assert (view.format, view.itemsize, view.readonly) == ("B", 1, False)
    assert bytes(view[:5]) == b"hello"


def test_a_slice_keeps_the_segment_and_its_last_one_gives_it_back() -> None:
    pool = SegmentPool()
    view = pool.take()
    small = view[10:20][2:4]
    del view
    assert (pool.bytes_in_use, pool.bytes_free) == (CLASSES[0], 0)
    del small
    assert (pool.bytes_in_use, pool.bytes_free) == (0, CLASSES[0])


def test_two_that_are_out_at_once_share_no_memory() -> None:
    pool = SegmentPool()
    one, other = pool.take(), pool.take()
    one[:] = b"1" * len(one)
    other[:] = b"2" * len(other)
    assert one[0] == one[-1] == ord("1")


def test_memory_that_came_back_is_used_again_whatever_it_held() -> None:
    pool = SegmentPool()
    view = pool.take()
    view[:4] = b"same"
    del view
    assert bytes(pool.take()[:4]) == b"same"
    assert pool.bytes_free == CLASSES[0]


def test_memory_of_another_class_is_not_used_for_it() -> None:
    pool = SegmentPool()
    del (view := {0: pool.take(CLASSES[1])})[0]
    assert view == {}
    kept = pool.take(1)
    assert len(kept) == CLASSES[0]
    assert pool.bytes_free == CLASSES[1]


def test_no_more_is_kept_for_reuse_than_the_bound() -> None:
    pool = SegmentPool()
    views = [pool.take() for _ in range(limits.SEGMENTS_FREE_MAX // CLASSES[0] + 5)]
    views.clear()
    assert pool.bytes_in_use == 0
    assert limits.SEGMENTS_FREE_MAX - CLASSES[0] < pool.bytes_free <= limits.SEGMENTS_FREE_MAX


def test_a_view_in_a_cycle_comes_back_with_the_garbage() -> None:
    pool = SegmentPool()
    cycle: list[object] = [pool.take()]
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert pool.bytes_in_use == 0


def test_the_last_view_may_die_in_another_thread() -> None:
    pool = SegmentPool()
    views = [pool.take() for _ in range(8)]
    thread = threading.Thread(target=views.clear)
    thread.start()
    thread.join()
    assert (pool.bytes_in_use, pool.bytes_free) == (0, 8 * CLASSES[0])


def test_the_accounts_are_right_while_views_die_in_many_threads() -> None:
    pool = SegmentPool()
    handed: list[list[memoryview]] = [[] for _ in range(4)]
    over = threading.Event()

    def drop(views: list[memoryview]) -> None:
        while not over.is_set() or views:
            if views:
                views.pop()

    threads = [threading.Thread(target=drop, args=(views,)) for views in handed]
    for thread in threads:
        thread.start()
    for number in range(2000):
        handed[number % 4].append(pool.take()[:8])
    over.set()
    for thread in threads:
        thread.join()
    assert pool.bytes_in_use == 0
    assert pool.bytes_free <= limits.SEGMENTS_FREE_MAX


class PoolModel(RuleBasedStateMachine):
    """Segments go out, are sliced, and die in any order: what is alive keeps its bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = SegmentPool()
        self.alive: dict[int, list[memoryview]] = {}
        self.capacity: dict[int, int] = {}
        self.number = 0

    @rule(size=st.sampled_from([1, CLASSES[0], CLASSES[0] + 1, CLASSES[1]]))
    def take(self, size: int) -> None:
        if len(self.alive) == 8:
            return
        self.number += 1
        view = self.pool.take(size)
        view[:8] = view[-8:] = self.number.to_bytes(8, "big")
        self.alive[self.number] = [view]
        self.capacity[self.number] = len(view)

    @rule(data=st.data())
    def slice_and_drop(self, data: st.DataObject) -> None:
        if self.alive:
            views = self.alive[data.draw(st.sampled_from(sorted(self.alive)))]
            views.append(views[0][:8])
            views.pop(0)

    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        if self.alive:
            number = data.draw(st.sampled_from(sorted(self.alive)))
            del self.alive[number], self.capacity[number]

    @invariant()
    def what_is_alive_keeps_its_bytes(self) -> None:
        for number, views in self.alive.items():
            assert all(bytes(view[:8]) == number.to_bytes(8, "big") for view in views)

    @invariant()
    def the_accounts_are_right(self) -> None:
        assert self.pool.bytes_in_use == sum(self.capacity.values())


TestPoolModel = PoolModel.TestCase


def test_with_a_keeper_about_more_is_kept_for_reuse_until_it_is_trimmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "SEGMENTS_FREE_MAX", CLASSES[0])
    monkeypatch.setattr(limits, "RETAINED_BYTES_MAX", 2 * CLASSES[1])
    pool = SegmentPool()

    def use() -> None:
        views = [pool.take(CLASSES[1]) for _ in range(3)] + [pool.take()]
        del views

    use()
    assert pool.bytes_free <= CLASSES[0]
    pool.keepers.append(Retained())
    use()
    assert pool.bytes_free == 2 * CLASSES[1] + CLASSES[0]
    pool.trim()
    assert pool.bytes_free <= CLASSES[0]
