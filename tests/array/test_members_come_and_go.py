"""Members that miss writes, are suspended, or come back: dirty extents, resyncs, and who waits for whom."""

import errno
import logging
import random

import pytest

from dsttool.engine.array.pacer import Pacer
from dsttool.engine.array.resyncs import AGAIN_MIN_NS
from dsttool.engine.mapping.linear import Linear
from dsttool.engine.mapping.mirror import Mirror
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, Unsafe, UsageError
from dsttool.engine.vocabulary.limits import KIB, MIB, MS, SECOND
from dsttool.engine.vocabulary.operations import CACHE, FLUSH, READ, TRIM, WRITE
from support.array_bench import SIZE, ArrayBench, Store, ask, content, flush, is_done, over, read, trim, write
from support.faulty_device import FaultyDevice

DATA = b"d" * 512
Answers = list[DsttoolError | None]


def suspend(bench: ArrayBench, slot: int, for_ns: int | None = None) -> Answers:
    answers: Answers = []
    bench.array.suspend(slot, for_ns, answers.append)
    return answers


def resume(bench: ArrayBench, slot: int) -> Answers:
    answers: Answers = []
    bench.array.resume(slot, answers.append)
    return answers


def suspended(bench: ArrayBench, slot: int, for_ns: int | None = None) -> None:
    answers = suspend(bench, slot, for_ns)
    bench.until(lambda: bool(answers))
    assert answers == [None]


def whole(bench: ArrayBench) -> None:
    """Wait until everybody is in sync again, and compare."""
    bench.until(lambda: bench.array.state == "online")
    assert len({bytes(node.bytes) for node in bench.nodes}) == 1


def member(bench: ArrayBench, slot: int):
    return bench.array.status()["members"][slot]


# -- suspend and resume ------------------------------------------------------------------------------


def test_a_member_suspended_for_one_percent_of_the_writes_gets_one_percent_back_and_nobody_waits() -> None:
    with ArrayBench(size=16 * MIB) as bench:
        bench.run(write(0, random.Random(1).randbytes(8 * MIB)))
        suspended(bench, 1)
        sent = len(bench.nodes[1].got)
        part = 16 * MIB // 100
        for offset in range(0, part, 4 * KIB):
            change, check = write(5 * MIB + offset, b"n" * 4 * KIB), read(0, 512)
            bench.submit(change, check)
            assert is_done(change, check), "somebody waited"
        assert len(bench.nodes[1].got) == sent, "a suspended member gets nothing"
        assert part <= member(bench, 1)["dirty_bytes"] <= part * 1.1
        assert resume(bench, 1) == []
        whole(bench)
        assert part <= member(bench, 1)["resynced_bytes"] <= part * 1.1
        assert member(bench, 1)["dirty_bytes"] == 0


def test_the_other_member_serves_while_one_is_resynced() -> None:
    with ArrayBench(size=4 * MIB, states=["in_sync", "stale"]) as bench:
        bench.until(lambda: bench.states()[1] == "resyncing")
        while bench.states()[1] == "resyncing":
            change, check = write(MIB, DATA), read(MIB, 512)
            assert bench.run(change) == [0]
            assert bench.run(check) == [0]
            assert content(check) == DATA
            bench.reactor.turn()
        whole(bench)
        assert member(bench, 1)["resynced_bytes"] >= 4 * MIB


def test_suspending_waits_for_what_is_under_way_and_for_the_record() -> None:
    store = Store(blocked=True)
    with ArrayBench(prompt=False, store=store) as bench:
        change = write(0, DATA)
        bench.submit(change)
        answers = suspend(bench, 1)
        bench.nodes[0].answer()
        bench.settle()
        assert answers == []
        store.let()
        bench.until(lambda: bool(store.stored))
        bench.settle()
        assert answers == []
        bench.nodes[1].answer()
        bench.nodes[1].answer_only(FLUSH)
        bench.until(lambda: bool(answers))
        assert (answers, change.error) == ([None], 0)
        assert store.stored == [(["in_sync", "suspended"], 1)]
        assert member(bench, 1)["dirty_bytes"] == 0


def test_a_suspended_member_that_is_down_makes_nobody_wait() -> None:
    with ArrayBench(budget=10 * SECOND) as bench:
        bench.nodes[1].go_down()
        change = write(0, DATA)
        bench.submit(change)
        assert not is_done(change)
        suspended(bench, 1)
        assert (is_done(change), change.error) == (True, 0)
        assert member(bench, 1)["dirty_bytes"] == 4 * KIB
        bench.nodes[1].come_up()
        resume(bench, 1)
        whole(bench)


def test_a_member_that_does_not_answer_is_not_waited_for_when_it_is_suspended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dsttool.engine.array.suspensions.DRAIN_NS", 20 * MS)
    with ArrayBench(prompt=False) as bench:
        change = write(0, DATA)
        bench.submit(change)
        bench.nodes[0].answer()
        answers = suspend(bench, 1)
        bench.until(lambda: is_done(change))
        assert change.error == 0
        bench.nodes[1].prompt = True
        bench.nodes[1].answer()
        bench.until(lambda: bool(answers))
        assert answers == [None]


def test_a_suspension_does_not_wait_for_ever_for_the_flush_of_a_member_that_falls_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dsttool.engine.array.suspensions.DRAIN_NS", 20 * MS)
    with ArrayBench() as bench:
        bench.run(write(0, DATA))
        bench.nodes[1].prompt = False
        answers = suspend(bench, 1)
        bench.until(lambda: bool(answers))
        assert answers == [None]
        assert bench.nodes[1].got[-1][0] == FLUSH
        assert bench.nodes[1].abandoned == 1
        bench.nodes[1].prompt = True
        assert resume(bench, 1) is not None
        whole(bench)


def test_a_member_suspended_for_a_time_comes_back_by_itself() -> None:
    store = Store()
    with ArrayBench(store=store) as bench:
        suspended(bench, 0, 500 * MS)
        assert store.stored[0][0] == ["stale", "in_sync"], "a restart does not leave it suspended for ever"
        bench.run(write(0, DATA))
        whole(bench)
        bench.until(lambda: store.stored[-1][0] == ["in_sync", "in_sync"])


def test_what_cannot_be_spared_is_not_suspended() -> None:
    with ArrayBench(count=3) as bench:
        bench.nodes[0].go_down()
        suspended(bench, 1)
        (refusal,) = suspend(bench, 2)
        assert isinstance(refusal, Unsafe)
        assert "cannot be spared" in refusal.what
        assert bench.states() == ["in_sync", "suspended", "in_sync"]
        (again,) = suspend(bench, 1)
        assert isinstance(again, Conflict)
        (early,) = resume(bench, 2)
        assert isinstance(early, Conflict)


def test_a_member_with_the_only_copy_is_not_suspended() -> None:
    with ArrayBench(Linear) as bench:
        (refusal,) = suspend(bench, 0)
        assert isinstance(refusal, Unsafe)
        assert "only copy" in refusal.what


def test_a_member_resumed_while_it_is_being_suspended_is_resynced() -> None:
    with ArrayBench(prompt=False) as bench:
        bench.submit(write(0, DATA))
        bench.nodes[0].answer()
        answers = suspend(bench, 1)
        bench.settle()
        resume(bench, 1)
        assert isinstance(answers[0], Conflict)
        for node in bench.nodes:
            node.prompt = True
            node.answer()
        whole(bench)


def test_a_member_suspended_while_it_is_resynced_gets_nothing_more() -> None:
    with ArrayBench(size=4 * MIB, states=["in_sync", "stale"]) as bench:
        bench.array.resyncs.limit(MIB, MIB)
        bench.until(lambda: member(bench, 1)["resynced_bytes"] > 0)
        suspended(bench, 1)
        sent = len(bench.nodes[1].got)
        bench.run(write(0, DATA))
        bench.pass_time(20 * MS)
        assert len(bench.nodes[1].got) == sent
        bench.array.resyncs.limit(MIB, 0)
        resume(bench, 1)
        whole(bench)


# -- resyncs -----------------------------------------------------------------------------------------


def test_a_member_that_failed_a_write_is_resynced_and_read_again() -> None:
    store = Store()
    with ArrayBench(store=store) as bench:
        bench.nodes[1].fail(errno.EIO, WRITE, once=True)
        bench.run(write(0, DATA))
        assert bench.states() == ["in_sync", "stale"]
        bench.run(write(8192, DATA), trim(16384, 100))
        assert member(bench, 1)["dirty_bytes"] == 3 * 4 * KIB
        bench.array.resyncs.start()
        whole(bench)
        before = len(bench.nodes[1].got)
        bench.run(*[read(0, 512) for _ in range(4)])
        assert len(bench.nodes[1].got) > before
        bench.until(lambda: store.stored[-1][0] == ["in_sync", "in_sync"])


def test_a_member_that_goes_on_failing_is_tried_again_later_and_later() -> None:
    with ArrayBench() as bench:
        bench.nodes[1].fail(errno.ENOSPC, WRITE)
        bench.run(write(0, DATA))
        bench.array.resyncs.start()
        bench.until(lambda: len(bench.nodes[1].got) > 1)
        bench.settle()
        tried = len(bench.nodes[1].got)
        bench.pass_time(AGAIN_MIN_NS)
        assert len(bench.nodes[1].got) == tried
        bench.nodes[1].heal()
        whole(bench)


def test_what_keeps_a_member_from_being_resynced_is_told_once_and_known_until_it_is_mended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "dsttool")
    with ArrayBench() as bench:
        bench.nodes[1].fail(errno.ENOSPC, WRITE)
        bench.run(write(0, DATA))
        for _ in range(3):
            bench.array.resyncs.start()
            bench.until(lambda: bench.states()[1] == "resyncing")
            bench.until(lambda: bench.states()[1] == "stale")
        kinds = [getattr(record, "event_kind", "") for record in caplog.records]
        assert kinds.count("resync.failed") == 1
        assert bench.array.members[1].trouble == errno.ENOSPC
        bench.nodes[1].heal()
        bench.array.resyncs.start()
        whole(bench)
        assert bench.array.members[1].trouble == 0


def test_a_member_is_written_to_and_never_read_while_it_is_resynced() -> None:
    with ArrayBench(states=["in_sync", "stale"]) as bench:
        bench.array.resyncs.pause()
        bench.until(lambda: bench.states()[1] == "resyncing")
        requests = [read(i * 512, 512) for i in range(8)]
        bench.run(write(0, DATA), *requests, ask(CACHE, 0, 512), flush())
        assert bench.nodes[1].got == [(WRITE, 0, 512)]
        (job,) = bench.array.status()["jobs"]
        assert (job["state"], job["done_bytes"], job["total_bytes"]) == ("paused", 0, SIZE)
        bench.array.resyncs.start()
        whole(bench)
        assert bench.array.status()["jobs"] == []


def test_a_write_that_fails_on_a_member_being_resynced_is_dirty_again_and_no_error() -> None:
    with ArrayBench(states=["in_sync", "stale"]) as bench:
        bench.array.resyncs.pause()
        bench.until(lambda: bench.states()[1] == "resyncing")
        bench.nodes[1].fail(errno.EIO, WRITE, once=True)
        assert bench.run(write(0, DATA)) == [0]
        assert bench.states() == ["in_sync", "stale"]
        bench.array.resyncs.start()
        whole(bench)


def test_a_member_whose_link_goes_down_in_its_resync_makes_nobody_wait_for_long() -> None:
    with ArrayBench(budget=10 * SECOND, states=["in_sync", "stale"]) as bench:
        bench.array.resyncs.pause()
        bench.until(lambda: bench.states()[1] == "resyncing")
        bench.nodes[1].prompt = False
        first, second = write(0, DATA), write(4096, DATA)
        bench.submit(first)
        bench.nodes[1].go_down()
        bench.submit(second)
        bench.until(lambda: is_done(first, second))
        assert [first.error, second.error] == [0, 0]
        bench.array.resyncs.start()
        bench.nodes[1].prompt = True
        bench.nodes[1].come_up()
        whole(bench)


def test_a_write_waits_for_the_copy_of_its_own_chunk_only() -> None:
    with ArrayBench(size=4 * MIB, prompt=False, states=["in_sync", "stale"]) as bench:
        bench.until(lambda: bool(bench.nodes[0].waiting))
        copied = {offset for op, offset, _ in bench.nodes[0].got if op == READ}
        assert 0 in copied
        blocked, free = write(512, DATA), write(3 * MIB + 512, DATA)
        bench.submit(blocked, free)
        for node in bench.nodes:
            node.answer_only(WRITE)
        assert (is_done(blocked), is_done(free)) == (False, True)
        bench.nodes[0].answer()
        bench.nodes[1].answer()
        for node in bench.nodes:
            node.prompt = True
            node.answer()
        whole(bench)
        assert bytes(bench.nodes[1].bytes[512:1024]) == DATA


def test_a_copy_waits_for_writes_that_were_there_before() -> None:
    with ArrayBench(prompt=False, states=["in_sync", "suspended"]) as bench:
        bench.submit(write(0, DATA))
        resume(bench, 1)
        bench.until(lambda: bench.states()[1] == "resyncing")
        bench.settle()
        assert READ not in [op for op, _, _ in bench.nodes[0].got]
        for node in bench.nodes:
            node.prompt = True
            node.answer()
        whole(bench)


def test_a_source_that_cannot_be_read_is_replaced_by_another() -> None:
    with ArrayBench(count=3, states=["in_sync", "stale", "in_sync"]) as bench:
        bench.nodes[0].bytes[:] = bench.nodes[2].bytes[:] = b"x" * SIZE
        bench.nodes[0].fail(errno.EIO, READ)
        whole(bench)


def test_a_resync_without_a_readable_source_is_tried_again() -> None:
    with ArrayBench(states=["in_sync", "stale"]) as bench:
        bench.nodes[0].fail(errno.EIO, READ)
        bench.until(lambda: READ in [op for op, _, _ in bench.nodes[0].got])
        bench.until(lambda: bench.states() == ["in_sync", "stale"])
        bench.nodes[0].heal()
        bench.array.resyncs.start()
        whole(bench)


def test_extents_that_failed_everywhere_are_made_alike_by_a_resync() -> None:
    with ArrayBench(count=3) as bench:
        suspended(bench, 2)
        for node in bench.nodes[:2]:
            node.fail(errno.EIO, WRITE, once=True)
        bench.run(write(8192, DATA))
        bench.nodes[2].bytes[8192:8704] = b"?" * 512
        resume(bench, 2)
        bench.until(lambda: bench.states()[2] == "in_sync")
        assert bytes(bench.nodes[2].bytes[8192:8704]) == bytes(512)


def test_a_ceiling_is_kept_and_can_be_lifted_while_it_runs() -> None:
    with ArrayBench(size=8 * MIB, states=["in_sync", "stale"]) as bench:
        bench.array.resyncs.limit(2 * MIB, 4 * MIB)
        began = bench.reactor.now
        bench.pass_time(250 * MS)
        done = member(bench, 1)["resynced_bytes"]
        assert 0 < done <= MIB + 4 * MIB * (bench.reactor.now - began) // SECOND
        (job,) = bench.array.status()["jobs"]
        assert (job["kind"], job["state"]) == ("resync", "running")
        assert (job["done_bytes"], job["total_bytes"]) == (done, 8 * MIB)
        assert job["rate_bytes"] is not None
        assert job["eta_ns"] is not None
        bench.array.resyncs.limit(2 * MIB, 0)
        whole(bench)


def test_a_busy_array_is_resynced_at_the_floor_and_an_idle_one_as_fast_as_it_can() -> None:
    pacer = Pacer()
    pacer.floor = MIB
    pacer.began(SECOND, MIB, busy=True)
    assert 0.9 * SECOND < pacer.wait(SECOND) <= SECOND
    pacer.forget()
    pacer.began(2 * SECOND, MIB, busy=False)
    assert pacer.wait(2 * SECOND) == 0
    pacer.ceiling = MIB // 2
    pacer.began(3 * SECOND, MIB, busy=True)
    assert pacer.wait(3 * SECOND) > 1.9 * SECOND


def test_an_old_answer_is_not_taken_for_a_new_one_after_a_resync() -> None:
    """A read from before the member missed a write comes late: until then the member is not resynced."""
    with ArrayBench(prompt=False, read_policy="first") as bench:
        bench.nodes[0].abandon = lambda: None  # type: ignore[method-assign]  # a file: nothing to call back
        old = read(0, 512)
        bench.submit(old)
        change = write(0, DATA)
        bench.submit(change)
        bench.nodes[0].fail(errno.EIO, WRITE, once=True)
        bench.nodes[0].answer_only(WRITE)
        bench.nodes[1].answer_only(WRITE)
        bench.until(lambda: is_done(change))
        bench.array.resyncs.start()
        bench.settle()
        assert bench.states() == ["stale", "in_sync"]
        for node in reversed(bench.nodes):
            node.prompt = True
            node.answer()
        assert content(old) == DATA
        bench.array.resyncs.start()
        whole(bench)


# -- members that were missing -----------------------------------------------------------------------


def test_a_missing_member_that_comes_is_resynced_whole() -> None:
    with ArrayBench(size=MIB) as bench:
        late = bench.nodes[1]
        array = bench.array
        array.members[1].node = None
        array._trust.leave(array.members[1], "stale")
        array.members[1].state = "missing"  # as if it had come up without it
        bench.run(write(0, DATA))
        array.members[1].dirty = array._trust._map(array.members[1], dirty=True)
        array.adopt(1, late)
        whole(bench)
        assert member(bench, 1)["resynced_bytes"] == MIB


def test_a_missing_member_that_does_not_fit_is_refused() -> None:
    with ArrayBench(size=MIB) as bench:
        bench.array.members[1].node = None
        for node in (
            FaultyDevice(bench.reactor, MIB - 1),
            FaultyDevice(bench.reactor, MIB, read_only=True),
            FaultyDevice(bench.reactor, MIB, block_min=4096),
            FaultyDevice(bench.reactor, MIB, payload_max=4096),
            FaultyDevice(bench.reactor, MIB, write_zeroes=False),
        ):
            with pytest.raises(UsageError, match="does not fit"):
                bench.array.adopt(1, node)
        bench.array.members[1].node = bench.nodes[1]


# -- the end -----------------------------------------------------------------------------------------


def test_an_array_closes_in_the_middle_of_a_resync() -> None:
    with ArrayBench(size=4 * MIB, prompt=False, states=["in_sync", "stale"]) as bench:
        bench.until(lambda: bool(bench.nodes[0].waiting))
        blocked = write(0, DATA)
        bench.submit(blocked)
        bench.close()
        assert (is_done(blocked), blocked.error) == (True, errno.ESHUTDOWN)


def test_an_array_closes_in_the_middle_of_a_suspension() -> None:
    with ArrayBench(prompt=False) as bench:
        bench.submit(ask(TRIM, 0, 512))
        answers = suspend(bench, 1, 10 * SECOND)
        bench.close()
        assert isinstance(answers[0], Conflict)


def test_nothing_is_copied_in_an_array_that_is_only_read() -> None:
    with ArrayBench() as bench:
        nodes = [FaultyDevice(bench.reactor, SIZE, f"r{slot}", read_only=True) for slot in range(2)]
        array = over(bench.reactor, Mirror([SIZE] * 2), nodes, states=["in_sync", "stale"])
        nodes[1].go_down()
        nodes[1].come_up()
        array.resyncs.start()
        bench.settle()
        assert array.members[1].state == "stale"
        assert not any(node.got for node in nodes)


def test_no_member_of_an_array_that_is_only_read_is_discarded() -> None:
    with ArrayBench() as bench:
        nodes = [FaultyDevice(bench.reactor, SIZE, f"r{slot}", read_only=True) for slot in range(2)]
        array = over(bench.reactor, Mirror([SIZE] * 2), nodes)
        answers: list[object] = []
        array.discard(1, answers.append)
        assert isinstance(answers[0], Conflict), "nothing could be copied to it again"
        assert array.members[1].state == "in_sync"


def test_a_member_of_an_array_that_is_only_read_misses_nothing_while_it_is_suspended() -> None:
    with ArrayBench() as bench:
        nodes = [FaultyDevice(bench.reactor, SIZE, f"r{slot}", read_only=True) for slot in range(2)]
        array = over(bench.reactor, Mirror([SIZE] * 2), nodes)
        answers: list[object] = []
        array.suspend(1, None, answers.append)
        bench.until(lambda: answers == [None])
        nodes[1].go_down()
        array.resume(1, answers.append)
        bench.until(lambda: answers == [None, None])
        assert array.members[1].state == "stale"
        nodes[1].come_up()
        bench.settle()
        assert array.members[1].state == "in_sync"
        assert WRITE not in [op for op, _, _ in nodes[1].got]
