"""What a mirror acks, whom it marks, and when."""

import errno

import pytest

from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.operations import CACHE, FLUSH, FUA, READ, TRIM, WRITE, WRITE_ZEROES
from support.array_bench import ArrayBench, Store, ask, content, flush, is_done, read, trim, write

DATA = b"d" * 512
OLD = b"o" * 512


def test_a_write_is_acked_when_all_members_answered() -> None:
    with ArrayBench(prompt=False) as bench:
        request = write(0, DATA)
        bench.submit(request)
        bench.nodes[0].answer()
        assert not is_done(request)
        bench.nodes[1].answer()
        assert is_done(request)
        assert [bytes(node.bytes[:512]) for node in bench.nodes] == [DATA, DATA]


def test_flags_reach_every_member() -> None:
    with ArrayBench() as bench:
        bench.run(write(0, DATA, FUA))
        assert [node.flags for node in bench.nodes] == [[FUA], [FUA]]


def test_overlapping_writes_leave_members_alike_in_whatever_order_these_answer() -> None:
    with ArrayBench(prompt=False) as bench:
        first, second = write(0, OLD), write(256, DATA)
        bench.submit(first, second)
        bench.nodes[1].answer()
        assert [len(node.waiting) for node in bench.nodes] == [1, 0]
        bench.nodes[0].answer()
        assert is_done(first)
        bench.nodes[0].answer()
        bench.nodes[1].answer()
        assert is_done(second)
        assert bench.nodes[0].bytes == bench.nodes[1].bytes


@pytest.mark.parametrize("op", [WRITE, TRIM, WRITE_ZEROES, FLUSH])
def test_a_failure_on_one_member_is_acked_only_once_that_member_is_durably_stale(op: int) -> None:
    store = Store(blocked=True)
    with ArrayBench(store=store) as bench:
        bench.nodes[1].fail(errno.EIO, WRITE_ZEROES if op == TRIM else op)
        request = flush() if op == FLUSH else ask(op, 0, 512, memoryview(DATA) if op == WRITE else None)
        bench.submit(request)
        store.await_attempt()
        bench.settle()
        assert bench.states() == ["in_sync", "stale"]
        assert not is_done(request)
        store.let()
        bench.until(lambda: is_done(request))
        assert request.error == 0
        assert store.stored == [(["in_sync", "stale"], 1)]
        assert (bench.array.state, bench.array.generation) == ("degraded", 1)


def test_a_stale_member_gets_nothing_any_more() -> None:
    with ArrayBench() as bench:
        bench.nodes[0].fail(errno.EIO, WRITE, once=True)
        bench.run(write(0, DATA))
        before = len(bench.nodes[0].got)
        assert (
            bench.run(*[read(0, 512) for _ in range(4)], write(0, OLD), trim(4096, 512), flush()) == [0] * 7
        )
        assert len(bench.nodes[0].got) == before


def test_what_a_stale_member_missed_is_dirty_by_chunks() -> None:
    with ArrayBench() as bench:
        bench.nodes[1].fail(errno.EIO, WRITE)
        bench.run(write(0, DATA))
        bench.run(write(4000, DATA), trim(32768, 4096))
        assert [member["dirty_bytes"] for member in bench.array.status()["members"]] == [0, 3 * 4096]


def test_changes_and_flushes_that_complete_while_a_record_is_pending_are_held_and_reads_are_not() -> None:
    store = Store(blocked=True)
    with ArrayBench(store=store) as bench:
        bench.nodes[1].fail(errno.EIO, WRITE, once=True)
        failed = write(0, DATA)
        bench.submit(failed)
        later = [write(4096, DATA), trim(8192, 512), flush()]
        bench.submit(*later)
        reading = read(0, 512)
        assert bench.run(reading) == [0]
        assert content(reading) == DATA
        bench.settle()
        assert not any(is_done(request) for request in (failed, *later))
        store.let()
        bench.until(lambda: is_done(failed, *later))
        assert [request.error for request in (failed, *later)] == [0] * 4


def test_a_write_that_waits_for_one_that_is_held_starts_only_after_it() -> None:
    store = Store(blocked=True)
    with ArrayBench(store=store) as bench:
        bench.nodes[1].fail(errno.EIO, WRITE, once=True)
        held, behind = write(0, DATA), write(0, OLD)
        bench.submit(held, behind)
        bench.settle()
        assert [op for op, _, _ in bench.nodes[0].got] == [WRITE]
        store.let()
        bench.until(lambda: is_done(held, behind))
        assert bytes(bench.nodes[0].bytes[:512]) == OLD


def test_a_second_member_that_fails_while_the_first_is_being_recorded_is_recorded_as_well() -> None:
    store = Store(blocked=True)
    with ArrayBench(count=3, store=store) as bench:
        bench.nodes[2].fail(errno.EIO, WRITE, once=True)
        first, second = write(0, DATA), write(4096, DATA)
        bench.submit(first)
        store.await_attempt()
        bench.nodes[1].fail(errno.EIO, WRITE, once=True)
        bench.submit(second)
        store.let()
        bench.until(lambda: is_done(first, second))
        assert store.stored == [(["in_sync", "in_sync", "stale"], 1), (["in_sync", "stale", "stale"], 2)]
        assert (first.error, second.error) == (0, 0)


def test_nothing_is_acked_by_the_record_of_an_earlier_mark() -> None:
    store = Store()
    with ArrayBench(count=3, prompt=False, store=store) as bench:
        first, second = write(0, DATA), write(4096, DATA)
        bench.submit(first, second)
        for slot in (2, 1):
            bench.nodes[slot].fail(errno.EIO, WRITE)
        bench.nodes[0].answer()
        bench.nodes[1].answer(*[r for r in bench.nodes[1].waiting if r.offset == 0])
        bench.nodes[2].answer()
        bench.nodes[1].answer()
        bench.until(lambda: is_done(first, second))
        assert store.stored[-1][0] == ["in_sync", "stale", "stale"]


def test_when_the_record_cannot_be_stored_writes_fail_and_it_is_tried_again() -> None:
    store = Store(failures=1)
    with ArrayBench(store=store) as bench:
        bench.nodes[1].fail(errno.EIO, WRITE, once=True)
        assert bench.run(write(0, DATA)) == [errno.EIO]
        assert not bench.array.settled
        held = write(4096, DATA)
        assert bench.run(held) == [0]
        assert store.attempts == 2
        assert store.stored == [(["in_sync", "stale"], 1)]
        assert bench.run(flush()) == [0]


def test_the_last_member_in_sync_is_never_marked_and_its_error_goes_up() -> None:
    store = Store()
    with ArrayBench(store=store) as bench:
        bench.nodes[1].fail(errno.EIO, WRITE)
        bench.run(write(0, DATA))
        bench.nodes[0].fail(errno.ENOSPC, WRITE)
        assert bench.run(write(0, OLD)) == [errno.ENOSPC]
        assert bench.states() == ["in_sync", "stale"]
        assert len(store.stored) == 1
        bench.nodes[0].heal()
        assert bench.run(write(0, OLD)) == [0]


def test_errors_that_go_up_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with ArrayBench() as bench:
        for node in bench.nodes:
            node.fail(errno.ENOSPC, WRITE)
        bench.run(write(0, DATA), write(8192, DATA))
    told = [each for each in caplog.records if getattr(each, "event_kind", "") == "member.failing"]
    assert [each.getMessage().partition(": ")[2] for each in told] == [
        "member n0 fails: No space left on device (errors so far: 1)"
    ]


def test_a_flush_that_fails_on_the_last_member_goes_up() -> None:
    with ArrayBench(states=["in_sync", "stale"]) as bench:
        bench.nodes[0].fail(errno.EIO, FLUSH)
        assert bench.run(flush()) == [errno.EIO]
        assert bench.states() == ["in_sync", "stale"]


def test_a_failure_on_all_members_marks_nobody_and_those_bytes_are_then_read_from_one_and_the_same() -> None:
    store = Store()
    with ArrayBench(store=store) as bench:
        bench.run(write(0, OLD * 3))
        for node in bench.nodes:
            node.fail(errno.EIO, WRITE)
        assert bench.run(write(512, DATA)) == [errno.EIO]
        bench.nodes[1].bytes[512:1024] = DATA  # it had got that far
        assert (bench.states(), store.stored) == (["in_sync", "in_sync"], [])
        assert not bench.array.settled
        requests = [read(512, 512) for _ in range(6)]
        bench.run(*requests)
        assert {content(request) for request in requests} == {OLD}
        before = len(bench.nodes[1].got)
        bench.run(*[read(2048, 512) for _ in range(6)])
        assert len(bench.nodes[1].got) > before, "bytes that are settled are read from everybody"


def test_an_unsettled_read_waits_for_the_one_member_rather_than_ask_the_other() -> None:
    with ArrayBench(budget=10 * SECOND) as bench:
        for node in bench.nodes:
            node.fail(errno.EIO, WRITE)
        bench.run(write(0, DATA))
        bench.nodes[0].go_down()
        request = read(0, 512)
        bench.submit(request)
        bench.settle()
        assert not is_done(request)
        assert READ not in [op for op, _, _ in bench.nodes[1].got]
        bench.nodes[0].come_up()
        bench.until(lambda: is_done(request))
        assert request.error == 0


def test_a_later_write_that_everybody_took_settles_the_bytes() -> None:
    with ArrayBench() as bench:
        for node in bench.nodes:
            node.fail(errno.EIO, WRITE, once=True)
        bench.run(write(0, DATA))
        bench.run(write(256, OLD[:256]))
        assert not bench.array.settled
        bench.run(write(0, OLD[:256]))
        assert bench.array.settled
        bench.run(*[read(0, 512) for _ in range(4)])
        assert [op for op, _, _ in bench.nodes[1].got].count(READ) == 2


def test_two_writes_that_fail_on_different_members_never_leave_an_acked_one_without_a_copy() -> None:
    with ArrayBench(prompt=False) as bench:
        one, two = write(0, DATA), write(4096, DATA)
        bench.submit(one, two)
        bench.nodes[0].fail(errno.EIO, lambda r: r.op == WRITE and r.offset == 0)
        bench.nodes[1].fail(errno.EIO, lambda r: r.op == WRITE and r.offset == 4096)
        for node in bench.nodes:
            node.answer()
        bench.until(lambda: is_done(one, two))
        assert bench.states().count("in_sync") == 1
        kept = bench.nodes[bench.states().index("in_sync")]
        for request in (one, two):
            held = bytes(kept.bytes[request.offset : request.offset + 512]) == DATA
            assert request.error == 0 if held else request.error == errno.EIO
        assert sorted(request.error for request in (one, two)) == [0, errno.EIO]


def test_a_write_under_way_when_another_member_is_marked_is_acked_with_what_it_reached() -> None:
    with ArrayBench(count=3, prompt=False) as bench:
        early, late = write(0, DATA), write(4096, DATA)
        bench.submit(early, late)
        bench.nodes[2].answer(*[r for r in bench.nodes[2].waiting if r.offset == 0])
        bench.nodes[2].fail(errno.EIO, WRITE)
        bench.nodes[2].answer()
        for node in bench.nodes[:2]:
            node.answer(*[r for r in node.waiting if r.offset == 4096])
        bench.until(lambda: is_done(late))
        assert not is_done(early)
        for node in bench.nodes[:2]:
            node.answer()
        assert (is_done(early), early.error) == (True, 0)
        assert bench.states() == ["in_sync", "in_sync", "stale"]


def test_a_member_that_becomes_stale_no_longer_makes_writes_wait() -> None:
    with ArrayBench(prompt=False, budget=10 * SECOND) as bench:
        bench.nodes[1].go_down()
        first, others = write(0, DATA), [write(4096 * i, DATA) for i in range(1, 4)]
        bench.submit(first, *others)
        bench.nodes[0].answer()
        assert not is_done(first)
        bench.nodes[1]._fail(bench.nodes[1].waiting[:1], errno.EIO)  # the oldest one's budget has ended
        assert bench.nodes[1].abandoned == 1
        bench.until(lambda: is_done(first, *others))
        assert [request.error for request in (first, *others)] == [0] * 4


def test_pieces_on_their_way_to_a_member_that_has_just_been_marked_are_not_sent_to_it() -> None:
    """A sink that submits from within may do so between a member's mark and what was to go to it."""
    with ArrayBench() as bench:
        late = write(8192, DATA)

        def submit_more(_requests: object) -> None:
            bench.submit(late)

        bench.nodes[1].fail(errno.EIO, lambda r: r.offset == 4096)
        first, second = read(0, 512), write(4096, DATA)
        first.sink = submit_more
        bench.array.submit([first, second])
        bench.until(lambda: is_done(late))
        assert late.error == 0
        assert (WRITE, 8192, 512) not in bench.nodes[1].got


def test_a_prefetch_that_fails_on_one_member_marks_nobody() -> None:
    with ArrayBench() as bench:
        bench.nodes[1].fail(errno.EIO, CACHE)
        assert bench.run(ask(CACHE, 0, 4096)) == [0]
        assert bench.states() == ["in_sync", "in_sync"]
        bench.nodes[0].fail(errno.EIO, CACHE)
        assert bench.run(ask(CACHE, 0, 4096)) == [errno.EIO]
        assert bench.array.settled


def test_the_members_counted_errors_are_those_of_pieces_that_failed() -> None:
    with ArrayBench(count=3) as bench:
        bench.nodes[1].fail(errno.EIO, WRITE, once=True)
        bench.run(write(0, DATA))
        assert [member.errors for member in bench.array.members] == [0, 1, 0]
