"""What members lose with their power: unflushed writes are given back by others, or the loss is told."""

import errno

import pytest

from dsttool.engine.extents.dirty_map import chunk_shift
from dsttool.engine.mapping.linear import Linear
from dsttool.engine.mapping.mirror import Mirror
from dsttool.engine.mapping.stripe import Stripe
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.operations import FLUSH, FUA, READ, TRIM, WRITE
from support.array_bench import SIZE, ArrayBench, Store, ask, content, flush, is_done, over, read, write
from support.faulty_device import FaultyDevice

DATA, NEW = b"d" * 512, b"n" * 512
CHUNK = 1 << chunk_shift(SIZE)


def whole(bench: ArrayBench) -> None:
    bench.until(lambda: bench.array.state == "online")
    assert len({bytes(node.bytes) for node in bench.nodes}) == 1


def dirty(bench: ArrayBench) -> list[int | None]:
    return [member["dirty_bytes"] for member in bench.array.status()["members"]]


def told(bench: ArrayBench) -> list[bytes]:
    """The array's verifiers, as they are told upward."""
    verifiers: list[bytes] = []
    bench.array.on_verifier = lambda: verifiers.append(bench.array.verifier)
    return verifiers


# -- a mirror ----------------------------------------------------------------------------------------


def test_power_loss_of_one_machine_loses_nothing_acked_on_a_mirror() -> None:
    store = Store()
    with ArrayBench(store=store) as bench:
        verifiers = told(bench)
        bench.run(write(0, DATA))
        bench.run(flush())
        bench.run(write(8192, DATA), write(32768, DATA, FUA))
        bench.nodes[0].lose_power()
        assert dirty(bench) == [CHUNK, 0]
        requests = [read(8192, 512) for _ in range(4)]
        bench.run(*requests)
        assert {content(request) for request in requests} == {DATA}
        whole(bench)
        assert bytes(bench.nodes[0].bytes[8192:8704]) == DATA
        assert bench.array.status()["members"][0]["resynced_bytes"] == CHUNK
        bench.until(lambda: len(store.stored) == 2)
        assert [states for states, _ in store.stored] == [["stale", "in_sync"], ["in_sync", "in_sync"]]
        assert verifiers == []


def test_nothing_is_acked_after_a_power_loss_before_that_is_recorded() -> None:
    store = Store(blocked=True)
    with ArrayBench(store=store) as bench:
        bench.run(write(0, DATA))
        bench.nodes[0].lose_power()
        change = write(8192, DATA)
        bench.submit(change)
        bench.settle()
        assert not is_done(change)
        store.let()
        bench.until(lambda: is_done(change))
        whole(bench)


def test_a_power_loss_after_a_flush_takes_nothing_and_nobody_is_resynced() -> None:
    store = Store()
    with ArrayBench(store=store) as bench:
        bench.run(write(0, DATA))
        bench.run(flush())
        before = bench.nodes[0].verifier
        bench.nodes[0].lose_power()
        assert bench.states() == ["in_sync", "in_sync"]
        bench.until(lambda: bool(store.records))
        assert store.records[-1].verifiers == [bench.nodes[0].verifier, bench.nodes[1].verifier]
        assert before not in store.records[-1].verifiers


def test_a_write_acked_after_a_flush_was_sent_is_not_taken_for_covered_by_it() -> None:
    with ArrayBench(prompt=False) as bench:
        bench.submit(write(0, DATA))
        for node in bench.nodes:
            node.answer()
        request = flush()
        bench.submit(request)
        bench.submit(write(8192, DATA))
        for node in bench.nodes:
            node.answer_only(WRITE)
            node.answer_only(FLUSH)
        assert is_done(request)
        for node in bench.nodes:
            node.prompt = True
        bench.nodes[0].lose_power()
        assert dirty(bench) == [CHUNK, 0]
        whole(bench)


def test_a_flush_that_only_one_member_did_covers_only_that_one() -> None:
    with ArrayBench(prompt=False) as bench:
        bench.submit(write(0, DATA))
        for node in bench.nodes:
            node.answer()
        request = flush()
        bench.submit(request)
        bench.nodes[1].answer()
        bench.nodes[1].lose_power()
        assert bench.states() == ["in_sync", "in_sync"]
        bench.nodes[0].lose_power()
        assert bench.states() == ["stale", "in_sync"]
        for node in bench.nodes:
            node.prompt = True
            node.answer()
        whole(bench)
        assert bytes(bench.nodes[0].bytes[:512]) == DATA


def test_what_was_under_way_when_the_power_went_is_dirty_too() -> None:
    """One member has taken the write and loses it, while the other has not answered yet."""
    with ArrayBench(prompt=False) as bench:
        change = write(0, DATA)
        bench.submit(change)
        bench.nodes[0].answer()
        bench.nodes[0].lose_power()
        assert dirty(bench) == [CHUNK, 0]
        bench.nodes[1].answer()
        for node in bench.nodes:
            node.prompt = True
        bench.until(lambda: is_done(change))
        whole(bench)
        assert bytes(bench.nodes[0].bytes[:512]) == DATA


def test_when_both_machines_lose_power_the_loss_is_told_and_reads_agree() -> None:
    store = Store()
    with ArrayBench(store=store, read_policy="round_robin") as bench:
        verifiers = told(bench)
        bench.run(write(0, NEW))
        bench.run(flush())
        bench.run(write(8192, DATA))
        before = bench.array.verifier
        bench.nodes[0].lose_power()
        bench.nodes[1].lose_power()
        assert len(verifiers) == 1
        assert bench.array.verifier == verifiers[0] != before
        whole(bench)
        requests = [read(8192, 512) for _ in range(4)]
        bench.run(*requests)
        assert {content(request) for request in requests} == {bytes(512)}
        bench.until(lambda: any(record.lost for record in store.records))
        request = flush()
        bench.run(request)
        assert request.data == bench.array.verifier


def test_a_write_under_way_when_the_last_member_loses_power_is_done_again_before_it_is_acked() -> None:
    with ArrayBench(prompt=False, states=["in_sync", "stale"]) as bench:
        bench.array.resyncs.pause()
        bench.until(lambda: bench.states()[1] == "resyncing")
        verifiers = told(bench)
        change = write(0, DATA)
        bench.submit(change)
        bench.nodes[0].answer()
        bench.nodes[0].lose_power()
        bench.nodes[1].answer()
        bench.until(lambda: bool(bench.nodes[0].waiting))
        assert not is_done(change)
        for node in bench.nodes:
            node.prompt = True
            node.answer()
        bench.until(lambda: is_done(change))
        assert bytes(bench.nodes[0].bytes[:512]) == DATA
        assert verifiers == [], "nothing that was acked is lost"
        bench.array.resyncs.start()
        whole(bench)


def test_a_suspended_member_that_loses_power_has_flushed_before() -> None:
    with ArrayBench() as bench:
        bench.run(write(0, DATA))
        answers: list[object] = []
        bench.array.suspend(1, None, answers.append)
        bench.until(lambda: bool(answers))
        bench.nodes[1].lose_power()
        bench.run(write(8192, DATA))
        assert dirty(bench) == [0, CHUNK]
        bench.array.resume(1, answers.append)
        whole(bench)


def test_a_flush_of_a_suspension_that_fails_after_the_member_was_resumed_counts_all_the_same() -> None:
    with ArrayBench() as bench:
        node = bench.nodes[1]
        bench.run(write(0, DATA))
        node.prompt = False
        bench.array.suspend(1, None, lambda _: None)
        bench.until(lambda: bool(node.waiting))
        (flushing,) = node.waiting
        bench.array.resume(1, lambda _: None)
        bench.until(lambda: bench.states()[1] == "resyncing")
        node.fail(errno.EIO, FLUSH, once=True)
        node.answer(flushing)
        assert dirty(bench) == [0, CHUNK]  # the system may have dropped it, and says so once
        node.prompt = True
        node.answer()
        whole(bench)


def test_a_member_that_was_stale_and_lost_power_gets_back_what_it_had_not_flushed() -> None:
    with ArrayBench() as bench:
        bench.run(write(0, DATA))
        bench.nodes[1].fail(errno.EIO, WRITE, once=True)
        bench.run(write(8192, DATA))
        assert dirty(bench) == [0, CHUNK]
        bench.nodes[1].lose_power()
        assert dirty(bench) == [0, 2 * CHUNK]
        bench.array.resyncs.start()
        whole(bench)


def test_a_member_that_loses_power_in_its_resync_is_copied_to_again() -> None:
    with ArrayBench(states=["in_sync", "stale"]) as bench:
        bench.nodes[0].bytes[:] = b"x" * SIZE
        bench.nodes[1].prompt = False
        bench.until(lambda: len(bench.nodes[1].waiting) == 1)
        bench.nodes[1].answer()
        bench.until(lambda: bench.nodes[1].got[-1][0] == FLUSH)
        assert dirty(bench) == [0, 0]
        bench.nodes[1].lose_power()  # before it has flushed what it was given
        assert dirty(bench) == [0, SIZE]
        bench.nodes[1].prompt = True
        bench.nodes[1].answer()
        whole(bench)
        assert bytes(bench.nodes[1].bytes) == b"x" * SIZE


def last_flush(bench: ArrayBench) -> None:
    """Member 1 has got all that it missed, and is flushed for the last time."""
    node = bench.nodes[1]
    while FLUSH not in [request.op for request in node.waiting]:
        bench.until(lambda: bool(node.waiting))
        node.answer_only(WRITE)
        bench.settle()


def test_a_flush_that_begins_in_the_last_one_of_a_resync_covers_that_member_too() -> None:
    """Or the write before it would be lost with the other member, and the power of this one."""
    with ArrayBench(states=["in_sync", "stale"]) as bench:
        node = bench.nodes[1]
        node.prompt = False
        last_flush(bench)
        (last,) = node.waiting
        late = write(8192, DATA)
        bench.submit(late)
        node.answer_only(WRITE)
        assert is_done(late)
        covering = flush()
        bench.submit(covering)
        node.answer(last)
        bench.until(lambda: bench.states()[1] == "in_sync")
        assert not is_done(covering)
        node.answer()
        bench.until(lambda: is_done(covering))
        assert covering.error == 0
        assert bytes(node.stable[8192:8704]) == DATA


def test_a_flush_that_fails_on_a_member_in_the_last_one_of_its_resync_is_no_error_upward() -> None:
    with ArrayBench(states=["in_sync", "stale"]) as bench:
        node = bench.nodes[1]
        node.prompt = False
        last_flush(bench)
        (last,) = node.waiting
        covering = flush()
        bench.submit(covering)
        node.fail(errno.EIO, FLUSH, once=True)
        node.answer(*[request for request in node.waiting if request is not last])
        bench.until(lambda: is_done(covering))
        assert covering.error == 0
        assert bench.states()[1] == "stale"
        assert dirty(bench)[1] == SIZE  # the system may have dropped what it could not write
        node.prompt = True
        node.answer()
        whole(bench)


def test_a_resync_whose_flush_fails_copies_again_what_that_should_have_covered() -> None:
    with ArrayBench(states=["in_sync", "stale"]) as bench:
        bench.nodes[1].fail(errno.EIO, FLUSH, once=True)
        bench.until(lambda: FLUSH in [op for op, _, _ in bench.nodes[1].got])
        bench.until(lambda: bench.states()[1] == "stale")
        assert dirty(bench)[1] == SIZE
        whole(bench)


def test_a_resync_whose_flush_fails_copies_again_what_clients_have_written_meanwhile() -> None:
    with ArrayBench() as bench:
        node = bench.nodes[1]
        node.fail(errno.EIO, WRITE, once=True)
        bench.run(write(0, DATA))
        node.prompt = False
        last_flush(bench)
        late = write(8192, DATA)
        bench.submit(late)
        node.answer_only(WRITE)
        assert is_done(late)
        node.fail(errno.EIO, FLUSH, once=True)
        node.answer()
        bench.until(lambda: bench.states()[1] == "stale")
        assert dirty(bench)[1] == 2 * CHUNK  # the system may have dropped that, too
        node.prompt = True
        whole(bench)


def test_a_member_whose_link_is_down_in_the_last_flush_of_its_resync_makes_no_flush_wait() -> None:
    with ArrayBench(budget=10 * SECOND, states=["in_sync", "stale"]) as bench:
        node = bench.nodes[1]
        node.prompt = False
        last_flush(bench)
        node.go_down()
        assert bench.run(flush()) == [0]
        assert bench.states()[1] == "stale"
        node.prompt = True
        node.come_up()
        whole(bench)


def test_a_source_that_loses_power_in_a_resync_is_what_counts() -> None:
    with ArrayBench(prompt=False, states=["in_sync", "stale"]) as bench:
        bench.array.resyncs.pause()
        bench.until(lambda: bench.states()[1] == "resyncing")
        bench.submit(write(0, DATA))
        for node in bench.nodes:
            node.answer()
        bench.array.resyncs.start()
        bench.until(lambda: bool(bench.nodes[0].waiting))
        bench.nodes[0].answer()  # the copy has been read, and is lost now
        bench.nodes[0].lose_power()
        for node in bench.nodes:
            node.prompt = True
            node.answer()
        whole(bench)
        assert bytes(bench.nodes[0].bytes[:512]) == bytes(512)


def test_a_failed_flush_makes_what_it_should_have_covered_dirty() -> None:
    with ArrayBench() as bench:
        bench.run(write(0, DATA))
        bench.nodes[1].fail(errno.EIO, FLUSH, once=True)
        assert bench.run(flush()) == [0]
        assert (bench.states(), dirty(bench)) == (["in_sync", "stale"], [0, CHUNK])
        bench.array.resyncs.start()
        whole(bench)


def test_a_flush_answered_under_another_verifier_is_sent_again() -> None:
    with ArrayBench(prompt=False) as bench:
        request = flush()
        bench.submit(request)
        bench.nodes[1].verifier = b"v" * 16  # nobody was told: the answer tells
        for node in bench.nodes:
            node.answer()
        assert not is_done(request)
        bench.nodes[1].answer()
        assert (is_done(request), request.error) == (True, 0)


def test_a_flush_that_is_always_answered_under_another_verifier_fails() -> None:
    with ArrayBench(Linear) as bench:
        perform = bench.nodes[1]._perform

        def lie(request) -> None:
            perform(request)
            request.data = bench.reactor.random_bytes(16)

        bench.nodes[1]._perform = lie  # type: ignore[method-assign]
        assert bench.run(flush()) == [errno.EIO]


def test_flushes_without_number_cover_what_they_should_while_a_member_is_resynced() -> None:
    with ArrayBench(states=["in_sync", "stale"]) as bench:
        bench.array.resyncs.pause()
        bench.until(lambda: bench.states()[1] == "resyncing")
        verifiers = told(bench)
        for turn in range(1000):
            bench.run(write(turn % 16 * 512, bytes([turn % 256]) * 512))
            bench.run(flush())
        bench.nodes[0].lose_power()
        assert verifiers == [], "all of it was flushed"
        bench.nodes[1].lose_power()
        bench.array.resyncs.start()
        whole(bench)
        check = read(0, 8192)
        bench.run(check)
        assert content(check) == b"".join(bytes([turn % 256]) * 512 for turn in range(992, 1000)) + b"".join(
            bytes([turn % 256]) * 512 for turn in range(984, 992)
        )


# -- single copies and trees -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layout", [Linear, lambda sizes: Stripe(sizes, chunk=4096)], ids=["linear", "stripe"]
)
def test_without_copies_a_member_that_changed_its_verifier_changes_the_arrays(layout) -> None:
    store = Store()
    with ArrayBench(layout, store=store) as bench:
        verifiers = told(bench)
        bench.run(write(0, DATA))
        bench.nodes[1].lose_power()
        assert verifiers == [bench.array.verifier]
        bench.until(lambda: bool(store.records))
        assert store.records[-1].lost
        assert store.records[-1].verifiers[1] == bench.nodes[1].verifier


def test_a_flush_under_way_when_an_array_loses_writes_is_done_again_under_its_new_verifier() -> None:
    with ArrayBench(Linear, prompt=False) as bench:
        request = flush()
        bench.submit(request)
        bench.nodes[0].answer()
        bench.nodes[0].lose_power()
        bench.nodes[1].answer()
        bench.until(lambda: bool(bench.nodes[0].waiting))
        assert not is_done(request)
        for node in bench.nodes:
            node.answer()
        bench.until(lambda: is_done(request))
        assert request.data == bench.array.verifier


def test_a_write_over_two_members_of_which_one_lost_its_part_is_done_again() -> None:
    with ArrayBench(Linear, prompt=False) as bench:
        change = write(SIZE - 512, DATA + NEW)
        bench.submit(change)
        bench.nodes[0].answer()
        bench.nodes[0].lose_power()
        bench.nodes[1].answer()
        bench.until(lambda: bool(bench.nodes[0].waiting))
        for node in bench.nodes:
            node.answer()
        bench.until(lambda: is_done(change))
        assert bytes(bench.nodes[0].bytes[-512:]) == DATA


def test_a_mirror_of_arrays_without_copies_gives_back_what_one_of_those_lost() -> None:
    with ArrayBench(count=4) as bench:
        halves = [over(bench.reactor, Linear([SIZE] * 2), bench.nodes[i : i + 2]) for i in (0, 2)]
        bench.array = over(bench.reactor, Mirror([2 * SIZE] * 2), halves)
        bench.run(write(0, DATA), flush(), write(SIZE + 512, NEW), ask(TRIM, 0, 100))
        bench.nodes[1].lose_power()
        assert bench.states() == ["stale", "in_sync"]
        bench.until(lambda: bench.array.state == "online")
        assert bytes(bench.nodes[1].bytes[512:1024]) == NEW
        for one, other in ((0, 2), (1, 3)):
            assert bench.nodes[one].bytes == bench.nodes[other].bytes


def test_the_verifier_of_a_node_that_repaired_a_loss_by_itself_is_recorded_with_the_next_flush() -> None:
    class Repairing(FaultyDevice):
        lasting = b"1" * 16

        @property
        def lasting_verifier(self) -> bytes:
            return self.lasting

    store = Store()
    with ArrayBench(store=store) as bench:
        node = Repairing(bench.reactor, SIZE)
        array = over(bench.reactor, Linear([SIZE]), [node], store=store)
        bench.array = array
        bench.run(flush())
        assert store.attempts == 0
        node.lasting = b"2" * 16
        bench.run(flush())
        bench.until(lambda: bool(store.records))
        assert store.records[-1].verifiers == [b"2" * 16]


def test_an_array_brings_its_verifier_with_each_flush() -> None:
    with ArrayBench() as bench:
        request = flush()
        bench.run(request)
        assert request.data == bench.array.verifier
        assert len(bench.array.verifier) == 16


def test_a_healthy_array_tags_nothing_that_is_read() -> None:
    with ArrayBench() as bench:
        bench.run(*[ask(READ, i * 512, 512) for i in range(16)])
        bench.nodes[0].lose_power()
        assert bench.states() == ["in_sync", "in_sync"]
