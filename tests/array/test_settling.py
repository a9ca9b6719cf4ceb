"""What failed on all members of a mirror is made alike again."""

import errno
from collections.abc import Iterator

import pytest

from dsttool.engine.array import settling
from dsttool.engine.array.pacer import FLOOR
from dsttool.engine.vocabulary.limits import KIB, MS
from dsttool.engine.vocabulary.operations import READ, WRITE, WRITE_ZEROES
from support.array_bench import SIZE, ArrayBench, Store, ask, content, flush, is_done, read, write

OLD, NEW, LATER = b"o" * 512, b"n" * 512, b"l" * 512


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "AGAIN_MIN_NS", MS)
    monkeypatch.setattr(settling, "AGAIN_MAX_NS", 4 * MS)


def split(bench: ArrayBench, slot: int = 1) -> None:
    """A write at 512 failed on all members, and that one has it all the same."""
    bench.run(write(0, OLD * 4))
    for node in bench.nodes:
        node.fail(errno.EIO, WRITE, once=True)
    assert bench.run(write(512, NEW)) == [errno.EIO]
    bench.nodes[slot].bytes[512:1024] = NEW
    assert not bench.array.settled


def settled(bench: ArrayBench) -> None:
    bench.until(lambda: bench.array.settled)
    assert len({bytes(node.bytes) for node in bench.nodes}) == 1


@pytest.fixture
def held() -> Iterator[ArrayBench]:
    """A mirror of which one extent is being read to settle it."""
    with ArrayBench() as bench:
        split(bench)
        for node in bench.nodes:
            node.prompt = False
        bench.until(lambda: bool(bench.nodes[0].waiting))
        assert [request.op for request in bench.nodes[0].waiting] == [READ]
        assert not bench.nodes[1].waiting
        yield bench


@pytest.mark.parametrize("slot", [0, 1])
def test_what_failed_everywhere_is_made_alike_and_stays_what_it_was_read_as(slot: int) -> None:
    with ArrayBench(count=3) as bench:
        split(bench, slot)
        first = read(512, 512)
        bench.run(first)
        settled(bench)
        assert bench.states() == ["in_sync"] * 3
        bench.nodes[0].fail(errno.EIO, READ)
        later = read(512, 512)
        bench.run(later)
        assert content(first) == content(later) == (OLD if slot else NEW)


def test_zeroes_that_failed_everywhere_are_made_alike_piece_by_piece() -> None:
    size = 1024 * KIB
    with ArrayBench(size=size) as bench:
        bench.run(write(0, b"x" * size))
        for node in bench.nodes:
            node.fail(errno.EIO, WRITE_ZEROES, once=True)
        assert bench.run(ask(WRITE_ZEROES, 0, size)) == [errno.EIO]
        bench.nodes[0].bytes[: 300 * KIB] = bytes(300 * KIB)
        settled(bench)
        assert bench.nodes[1].bytes[: 300 * KIB] == bytes(300 * KIB)
        written = [length for op, _, length in bench.nodes[1].got if op == WRITE]
        assert written == [size] + [256 * KIB] * 4


def test_what_is_settled_is_flushed_with_the_next_flush() -> None:
    with ArrayBench() as bench:
        split(bench)
        settled(bench)
        bench.run(flush())
        assert bench.nodes[1].stable[512:1024] == OLD


def test_it_is_tried_again_as_long_as_members_fail() -> None:
    with ArrayBench() as bench:
        split(bench)
        for node in bench.nodes:
            node.fail(errno.ENOSPC, WRITE)
        attempts = len(bench.nodes[1].got)
        bench.until(lambda: len(bench.nodes[1].got) > attempts + 2)
        assert (bench.states(), bench.array.settled) == (["in_sync"] * 2, False)
        for node in bench.nodes:
            node.heal()
        settled(bench)


def test_an_extent_that_nobody_can_read_keeps_no_other_from_being_settled() -> None:
    with ArrayBench() as bench:
        bench.nodes[0].fail(errno.EIO, READ)
        for offset in (512, 8192, 16384):
            for node in bench.nodes:
                node.fail(errno.EIO, WRITE, once=True)
            assert bench.run(write(offset, NEW)) == [errno.EIO]
        bench.nodes[1].bytes[8192:8704] = NEW
        bench.nodes[0].heal()
        for offset in (512, 16384):
            bench.nodes[0].fail(errno.EIO, lambda each, at=offset: (each.op, each.offset) == (READ, at))
        bench.until(lambda: bytes(bench.nodes[1].bytes[8192:8704]) == bytes(512))
        assert not bench.array.settled
        bench.nodes[0].heal()
        settled(bench)


def test_a_pace_that_was_slow_is_not_waited_for_once_it_is_not() -> None:
    with ArrayBench() as bench:
        split(bench)
        bench.array.resyncs.limit(1, 1)
        bench.array.resyncs.pacer.began(bench.reactor.now, SIZE, busy=True)
        bench.pass_time(20 * MS)
        assert not bench.array.settled
        bench.array.resyncs.limit(FLOOR, 0)
        settled(bench)


def test_a_member_that_fails_what_another_one_takes_is_stale_and_resynced() -> None:
    store = Store()
    with ArrayBench(store=store) as bench:
        split(bench)
        bench.nodes[1].fail(errno.EIO, WRITE, once=True)
        bench.until(lambda: len(store.stored) > 1 and bench.states() == ["in_sync"] * 2)
        assert store.stored[0][0] == ["in_sync", "stale"]
        settled(bench)


def test_nothing_is_locked_while_a_member_is_down() -> None:
    with ArrayBench() as bench:
        split(bench)
        bench.nodes[1].prompt = False
        bench.nodes[1].go_down()
        bench.pass_time(10 * MS)
        late = write(512, LATER)
        bench.submit(late)
        assert bench.nodes[1].waiting, "the write was sent, and waits for the link"
        bench.nodes[1].prompt = True
        bench.nodes[1].come_up()
        bench.until(lambda: is_done(late))
        assert late.error == 0
        settled(bench)
        assert bench.nodes[0].bytes[512:1024] == LATER


def test_a_write_that_comes_meanwhile_waits_and_counts(held: ArrayBench) -> None:
    late, beside = write(512, LATER), write(4096, LATER)
    held.submit(late, beside)
    for node in held.nodes:
        node.answer_only(WRITE)
    assert (is_done(late), is_done(beside)) == (False, True)
    for node in held.nodes:
        node.prompt = True
        node.answer()
    held.until(lambda: is_done(late))
    settled(held)
    assert held.nodes[0].bytes[512:1024] == LATER


def test_what_a_client_writes_before_its_turn_is_not_overwritten() -> None:
    with ArrayBench() as bench:
        split(bench)
        for node in bench.nodes:
            node.prompt = False
        before = write(512, LATER)
        bench.submit(before)
        bench.pass_time(5 * MS)
        assert READ not in [request.op for request in bench.nodes[0].waiting], "it waits for the write"
        for node in bench.nodes:
            node.prompt = True
            node.answer()
        settled(bench)
        assert bench.nodes[0].bytes[512:1024] == LATER


def test_a_read_that_fails_is_tried_again(held: ArrayBench) -> None:
    held.nodes[0].fail(errno.EIO, READ, once=True)
    for node in held.nodes:
        node.prompt = True
        node.answer()
    settled(held)


def test_an_array_closes_in_the_middle_of_it(held: ArrayBench) -> None:
    held.close()
    assert not held.array.settled


def test_an_array_closes_while_it_is_written(held: ArrayBench) -> None:
    held.nodes[0].answer()
    held.until(lambda: [request.op for request in held.nodes[1].waiting] == [WRITE])
    late = write(512, LATER)
    held.submit(late)
    held.close()
    assert late.error == errno.ESHUTDOWN


def test_an_array_closes_before_its_turn() -> None:
    with ArrayBench(size=SIZE) as bench:
        split(bench)
        bench.nodes[0].go_down()
        bench.pass_time(5 * MS)
