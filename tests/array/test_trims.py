"""Trims of mirrors: all members read alike afterwards, whatever a member makes of a trim."""

import errno
import itertools

import pytest

from dsttool.engine.array import piece as pieces
from dsttool.engine.array.piece import PART_BYTES, PROBE_BYTES
from dsttool.engine.mapping.linear import Linear
from dsttool.engine.mapping.mirror import Mirror
from dsttool.engine.mapping.stripe import Stripe
from dsttool.engine.vocabulary.errors import Fenced
from dsttool.engine.vocabulary.operations import FAST_ZERO, FUA, NO_HOLE, TRIM, WRITE, WRITE_ZEROES
from support.array_bench import ArrayBench, Store, ask, content, flush, is_done, over, read, trim, write
from support.faulty_device import FaultyDevice

KIB = 1024
MIB = KIB * KIB
SIZE = 2 * MIB
DATA = b"x" * SIZE
# Longer than the part that is tried first.
LONG = MIB


def fast_zeroes(offset: int, length: int, flags: int = 0) -> object:
    return ask(WRITE_ZEROES, offset, length, flags=FAST_ZERO | flags)


def full(bench: ArrayBench) -> ArrayBench:
    """Both members hold DATA, durably; and what they got so far is forgotten."""
    for node in bench.nodes:
        node.bytes[:] = node.stable[:] = DATA
        node.got.clear()
        node.flags.clear()
    return bench


def alike(bench: ArrayBench) -> bool:
    return len({bytes(node.bytes) for node in bench.nodes}) == 1


def work_off(bench: ArrayBench, *requests: object) -> None:
    """Let all nodes answer all they get until these are done."""
    for _ in range(1000):
        for node in bench.nodes:
            node.answer()
        bench.settle()
        if is_done(*requests):
            return
    raise AssertionError("never done")


# -- what members are asked ------------------------------------------------------------------------------


def test_members_are_alike_after_a_trim_that_means_nothing_to_one_of_them() -> None:
    with full(ArrayBench(size=SIZE)) as bench:
        bench.nodes[1].trims = False
        assert bench.run(trim(4096, 8192), trim(SIZE - LONG, LONG)) == [0, 0]
        assert alike(bench)
        reading = [read(4096, 512) for _ in range(4)]
        bench.run(*reading)
        assert {content(request) for request in reading} == {bytes(512)}


@pytest.mark.parametrize("flags", [0, FUA])
def test_members_are_asked_to_write_zeroes_fast_and_may_leave_holes(flags: int) -> None:
    with full(ArrayBench(size=SIZE)) as bench:
        assert bench.run(trim(512, 1024, flags)) == [0]
        for node in bench.nodes:
            assert node.got == [(WRITE_ZEROES, 512, 1024)]
            assert node.flags == [FAST_ZERO | flags]
            assert (node.stable == node.bytes) == bool(flags)


def test_a_long_trim_begins_with_a_short_part_alone() -> None:
    with full(ArrayBench(size=SIZE, prompt=False)) as bench:
        request = trim(512, LONG)
        bench.submit(request)
        first = 2 * PROBE_BYTES - 512
        assert [node.got for node in bench.nodes] == [[(WRITE_ZEROES, 512, first)]] * 2
        bench.nodes[0].answer()
        bench.settle()
        assert [len(node.got) for node in bench.nodes] == [1, 1]
        work_off(bench, request)
        assert bench.nodes[1].got[1:] == [(WRITE_ZEROES, 512 + first, LONG - first)]
        assert alike(bench)
        assert bench.nodes[0].bytes == b"x" * 512 + bytes(LONG) + DATA[: SIZE - LONG - 512]


def test_once_all_members_have_done_a_long_one_the_next_goes_in_whole() -> None:
    with full(ArrayBench(size=SIZE)) as bench:
        bench.run(trim(0, LONG))
        bench.nodes[1].prompt = False
        request = trim(LONG, LONG)
        bench.submit(request)
        assert sum(length for _, _, length in bench.nodes[1].got[-2:]) == LONG
        work_off(bench, request)


def test_a_short_trim_proves_nothing_and_waits_for_nothing() -> None:
    with full(ArrayBench(size=SIZE, prompt=False)) as bench:
        requests = [trim(at, 4096) for at in range(0, 64 * KIB, 4096)]
        bench.submit(*requests)
        assert [len(node.waiting) for node in bench.nodes] == [16, 16]
        work_off(bench, *requests)
        request = trim(0, LONG)
        bench.submit(request)
        assert [len(node.waiting) for node in bench.nodes] == [1, 1]
        work_off(bench, request)


def test_gigabytes_are_cut_where_every_member_would_and_tile_the_trim() -> None:
    with ArrayBench(size=4096) as bench:
        for offset, length in ((0, 4 << 30), (512, 3 * PART_BYTES), (PART_BYTES - 512, 4096), (0, 0)):
            request = trim(offset, length)
            parts = pieces.parts_of(Mirror([8 << 30, 8 << 30]), request)
            assert sum(part.length for part in parts) == length
            assert all(one.offset + one.length == two.offset for one, two in itertools.pairwise(parts))
            assert [part.start for part in parts] == [part.offset - offset for part in parts]
            assert all(0 < part.length <= PART_BYTES for part in parts)
            assert all(not part.offset % PART_BYTES for part in parts[2:])
            assert all(part.length <= 2 * PROBE_BYTES for part in parts[:1])
        assert bench.run(trim(100, 0)) == [0]


def test_a_write_behind_a_trim_takes_effect_after_all_parts_of_it() -> None:
    with full(ArrayBench(size=SIZE, prompt=False)) as bench:
        request, behind = trim(0, LONG), write(LONG - 512, b"n" * 512)
        bench.submit(request, behind)
        work_off(bench, request, behind)
        assert alike(bench)
        assert bench.nodes[0].bytes[LONG - 512 : LONG] == b"n" * 512


# -- a member refuses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [0, FUA])
def test_a_member_that_refuses_gets_plain_zeroes_where_others_have_done_it(flags: int) -> None:
    with full(ArrayBench(size=SIZE)) as bench:
        bench.nodes[1].refuse_fast_zeroes()
        assert bench.run(trim(0, 4096, flags)) == [0]
        assert bench.nodes[1].got == [(WRITE_ZEROES, 0, 4096)] * 2
        assert bench.nodes[1].flags == [FAST_ZERO | flags, flags]
        assert alike(bench)
        assert bench.nodes[1].bytes[:4096] == bytes(4096)
        assert (bench.nodes[1].stable[:4096] == bytes(4096)) == bool(flags)
        assert bench.states() == ["in_sync"] * 2
        assert bench.array.settled


def test_after_a_refusal_only_the_part_that_was_tried_is_done() -> None:
    with full(ArrayBench(size=SIZE)) as bench:
        bench.nodes[1].refuse_fast_zeroes()
        assert bench.run(trim(0, LONG), trim(LONG, LONG)) == [0, 0]
        assert alike(bench)
        done = 2 * PROBE_BYTES
        assert bench.nodes[0].bytes == bytes(done) + DATA[done:]


def test_after_a_refusal_trims_are_answered_at_once_and_nothing_is_done() -> None:
    with full(ArrayBench(size=SIZE)) as bench:
        bench.nodes[1].refuse_fast_zeroes()
        bench.run(trim(0, 4096))
        before = [list(node.got) for node in bench.nodes]
        request = trim(8192, 4096, FUA)
        assert bench.run(request) == [0]
        assert [node.got for node in bench.nodes] == before
        reading = read(8192, 4096)
        bench.run(reading)
        assert content(reading) == DATA[:4096]


def test_long_trims_wait_for_the_first_and_do_nothing_if_that_is_refused() -> None:
    with full(ArrayBench(size=SIZE, prompt=False)) as bench:
        bench.nodes[0].refuse_fast_zeroes()
        requests = [trim(at, SIZE // 4) for at in range(0, SIZE, SIZE // 4)]
        bench.submit(*requests)
        assert [len(node.waiting) for node in bench.nodes] == [1, 1]
        work_off(bench, *requests)
        assert [request.error for request in requests] == [0] * 4
        assert alike(bench)
        assert [len(node.got) for node in bench.nodes] == [2, 1]


def test_what_was_refused_is_done_again_one_part_after_the_other() -> None:
    with full(ArrayBench(size=SIZE, prompt=False)) as bench:
        bench.nodes[1].refuse_fast_zeroes()
        requests = [trim(at, 4096) for at in range(0, 32 * KIB, 4096)]
        bench.submit(*requests)
        bench.nodes[0].answer()
        bench.nodes[1].answer()
        bench.settle()
        for left in range(8, 0, -1):
            assert bench.nodes[1].waiting, left
            assert len(bench.nodes[1].waiting) == 1
            bench.nodes[1].answer()
            bench.settle()
        assert is_done(*requests)
        assert alike(bench)


def test_what_a_member_has_refused_fails_with_the_first_when_its_link_is_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with full(ArrayBench(size=SIZE)) as bench:
        bench.run(trim(0, SIZE))  # both can
        monkeypatch.setattr(pieces, "PART_BYTES", PROBE_BYTES)
        bench.nodes[1].refuse_fast_zeroes()
        bench.nodes[1].prompt = False
        request = trim(0, SIZE)
        bench.submit(request)
        bench.nodes[1].answer()
        bench.settle()
        bench.nodes[1].go_down()
        bench.nodes[1].end_budget()
        bench.settle()
        assert not bench.nodes[1].waiting, "each part would wait for a budget of its own"
        bench.until(lambda: is_done(request))
        assert request.error == 0
        assert bench.states() == ["in_sync", "stale"]
        assert bench.array.members[1].missed.dirty_bytes == SIZE


def test_what_waits_for_a_part_that_all_members_fail_at_ends_with_it() -> None:
    with full(ArrayBench(size=SIZE, prompt=False)) as bench:
        quarter = SIZE // 4
        requests = [trim(at, quarter) for at in range(0, SIZE - quarter, quarter)]
        requests.append(fast_zeroes(SIZE - quarter, quarter))
        bench.submit(*requests)
        for node in bench.nodes:
            node.end_budget()
        bench.settle()
        assert is_done(*requests), "each of them would wait for a budget of its own"
        assert [request.error for request in requests] == [errno.EIO, 0, 0, errno.ENOTSUP]
        for node in bench.nodes:
            node.prompt = True
            node.answer()
        bench.until(lambda: bench.array.settled)
        assert alike(bench)
        assert bench.run(trim(0, SIZE)) == [0]
        assert bench.nodes[0].bytes == bytes(SIZE)


def test_a_refusal_is_no_error_of_the_member() -> None:
    with full(ArrayBench(size=SIZE)) as bench:
        bench.nodes[1].refuse_fast_zeroes()
        bench.run(trim(0, 4096))
        assert [member.errors for member in bench.array.members] == [0, 0]
        assert [member.figures.errors for member in bench.array.members] == [0, 0]
        assert [member.in_flight for member in bench.array.members] == [0, 0]


def test_a_member_that_fails_at_plain_zeroes_is_durably_stale_before_the_trim_is_acked() -> None:
    store = Store(blocked=True)
    with full(ArrayBench(size=SIZE, store=store)) as bench:
        bench.nodes[1].refuse_fast_zeroes()
        bench.nodes[1].fail(errno.EIO, WRITE_ZEROES)
        request = trim(0, 4096)
        bench.submit(request)
        bench.settle()
        store.await_attempt()
        bench.settle()
        assert bench.states() == ["in_sync", "stale"]
        assert not is_done(request)
        store.let()
        bench.until(lambda: is_done(request))
        assert request.error == 0
        assert bench.array.members[1].missed.dirty_bytes == 4096


def test_a_trim_that_fails_everywhere_fails_and_is_settled_afterwards() -> None:
    with full(ArrayBench(size=SIZE)) as bench:
        for node in bench.nodes:
            node.fail(errno.EIO, WRITE_ZEROES)
        assert bench.run(trim(0, 4096)) == [errno.EIO]
        assert not bench.array.settled
        for node in bench.nodes:
            node.heal()
        bench.until(lambda: bench.array.settled)
        assert alike(bench)


@pytest.mark.parametrize("length", [4096, LONG])
def test_what_reaches_no_member_is_never_said_to_be_done(length: int) -> None:
    """No array that runs is so; no bytes of a client may trip over it either."""
    with full(ArrayBench(size=SIZE)) as bench:
        for member in bench.array.members:
            bench.array._trust.leave(member, "stale")
        (error,) = bench.run(fast_zeroes(0, length))
        assert error in (errno.EIO, errno.ENOTSUP)
        assert bench.run(trim(0, length)) in ([errno.EIO], [0])
        assert [node.got for node in bench.nodes] == [[], []]


def test_a_trim_that_is_left_undone_settles_nothing() -> None:
    with full(ArrayBench(size=SIZE)) as bench:
        bench.nodes[0].refuse_fast_zeroes()
        bench.run(trim(SIZE - 4096, 4096))
        for node in bench.nodes:
            node.fail(errno.EIO, WRITE)
        bench.nodes[0].bytes[:4096] = b"y" * 4096  # what a failed write has left there
        assert bench.run(write(0, b"y" * 4096), trim(0, 4096)) == [errno.EIO, 0]
        assert not bench.array.settled
        for node in bench.nodes:
            node.heal()
        bench.until(lambda: bench.array.settled)
        assert alike(bench)


# -- members come and go ---------------------------------------------------------------------------------


def test_a_member_that_is_suspended_before_it_is_asked_again_misses_the_trim() -> None:
    with full(ArrayBench(size=SIZE, prompt=False)) as bench:
        bench.nodes[1].refuse_fast_zeroes()
        requests = [trim(0, 4096), trim(8192, 4096)]
        bench.submit(*requests)
        bench.nodes[0].answer()
        bench.nodes[1].answer()
        bench.settle()
        suspended: list[object] = []
        bench.array.suspend(1, None, suspended.append)
        bench.nodes[1].answer()
        work_off(bench, *requests)
        bench.until(lambda: bool(suspended))
        assert suspended == [None]
        assert bench.array.members[1].missed.next_run(8192, 4096) is not None
        bench.array.resume(1, lambda _: None)
        for node in bench.nodes:
            node.prompt = True
            node.answer()
        bench.until(lambda: bench.array.state == "online")
        assert alike(bench)


def test_a_resyncing_member_takes_part_and_may_refuse() -> None:
    with full(ArrayBench(size=SIZE, states=["in_sync", "stale"])) as bench:
        bench.nodes[1].bytes[:] = b"o" * SIZE
        bench.nodes[1].refuse_fast_zeroes()
        bench.until(lambda: bench.states()[1] == "resyncing")
        assert bench.run(trim(0, LONG), trim(SIZE - 4096, 4096)) == [0, 0]
        bench.until(lambda: bench.array.state == "online")
        assert alike(bench)


def test_a_stale_member_lacks_what_was_trimmed_and_nothing_that_was_left_undone() -> None:
    with full(ArrayBench(size=SIZE)) as bench:
        bench.nodes[1].fail(errno.EIO, WRITE)
        bench.run(write(SIZE - 512, b"n" * 512))
        bench.nodes[1].prompt = False  # its resync does not begin
        bench.array.resyncs.halt([bench.array.members[1]], lambda: None)
        bench.run(trim(0, 8192))
        assert bench.array.members[1].missed.dirty_bytes == 4096 + 8192
        bench.nodes[0].refuse_fast_zeroes()
        bench.run(trim(16384, 4096))
        bench.run(trim(SIZE // 2, LONG))
        assert bench.array.members[1].missed.dirty_bytes == 4096 + 8192 + 4096


def leave_out(bench: ArrayBench, slot: int) -> None:
    """As if the array had come up without this member."""
    member = bench.array.members[slot]
    member.node = None
    member.state = "missing"
    member.enter("missing")
    member.dirty = bench.array._trust._map(member, dirty=True)
    bench.array._trust.whole = False


def test_a_newcomer_that_cannot_write_zeroes_fast_ends_trims_and_is_welcome() -> None:
    with full(ArrayBench(size=SIZE, count=2)) as bench:
        leave_out(bench, 1)
        late = FaultyDevice(bench.reactor, SIZE, "late", trim=False)
        bench.array.adopt(1, late)
        bench.nodes[1] = late
        bench.until(lambda: bench.array.state == "online")
        assert bench.run(trim(0, 4096)) == [0]
        assert late.bytes == DATA
        assert alike(bench)


def test_with_another_node_trims_are_tried_again() -> None:
    with full(ArrayBench(size=SIZE, count=3)) as bench:
        bench.nodes[0].fail(errno.ENOTSUP, lambda request: bool(request.flags & FAST_ZERO), once=True)
        leave_out(bench, 2)
        bench.run(trim(0, 4096))
        bench.run(trim(8192, 4096))
        assert bench.nodes[0].bytes[8192:12288] == DATA[:4096]
        late = FaultyDevice(bench.reactor, SIZE, "late", fast_zero=True)
        bench.nodes[2] = late
        bench.array.adopt(2, late)
        assert bench.run(trim(8192, 4096)) == [0]
        assert bench.nodes[0].bytes[8192:12288] == bytes(4096)
        bench.until(lambda: bench.array.state == "online")
        assert alike(bench)


def test_a_trim_that_was_lost_with_the_power_is_done_again_even_if_none_are_begun_any_more() -> None:
    with full(ArrayBench(size=SIZE, count=2, prompt=False)) as bench:
        bench.array.resyncs.pause()
        bench.array.suspend(1, None, lambda _: None)
        bench.settle()
        bench.array.resume(1, lambda _: None)
        bench.nodes[1].prompt = True
        bench.until(lambda: bench.states() == ["in_sync", "resyncing"])
        bench.nodes[1].refuse_fast_zeroes()
        request = trim(0, 4096)
        bench.submit(request)
        bench.settle()  # the second has refused, and has plain zeroes
        bench.nodes[0].lose_power()
        work_off(bench, request)
        assert request.error == 0
        bench.array.resyncs.start()
        bench.nodes[0].prompt = True
        bench.nodes[0].answer()
        bench.until(lambda: bench.array.state == "online")
        assert alike(bench)
        assert bench.nodes[0].bytes[:4096] == bytes(4096)


@pytest.mark.parametrize("op", [TRIM, WRITE_ZEROES])
def test_what_was_refused_in_the_end_and_lost_with_the_power_is_done_again(op: int) -> None:
    with full(ArrayBench(size=SIZE, prompt=False)) as bench:
        bench.array.resyncs.pause()
        bench.array.suspend(1, None, lambda _: None)
        bench.settle()
        bench.array.resume(1, lambda _: None)
        bench.until(lambda: bench.states() == ["in_sync", "resyncing"])
        bench.nodes[1].refuse_fast_zeroes()
        request = ask(op, 0, LONG, flags=FAST_ZERO * (op == WRITE_ZEROES))
        bench.submit(request)
        bench.nodes[0].answer()  # the part that is tried
        bench.nodes[1].answer()  # refuses it, and has plain zeroes
        bench.settle()
        bench.nodes[0].lose_power()
        work_off(bench, request)
        assert request.error == 0
        bench.array.resyncs.start()
        for node in bench.nodes:
            node.prompt = True
            node.answer()
        bench.until(lambda: bench.array.state == "online")
        assert alike(bench)


# -- the end -----------------------------------------------------------------------------------------------


def test_an_array_closes_while_a_trim_is_tried_and_others_wait() -> None:
    with full(ArrayBench(size=SIZE, prompt=False)) as bench:
        requests = [trim(0, LONG), trim(LONG, LONG), write(0, b"n" * 512)]
        bench.submit(*requests)
        bench.close()
        assert is_done(*requests)


def test_what_a_member_has_refused_when_the_array_closes_it_has_missed() -> None:
    store = Store()
    with full(ArrayBench(size=SIZE, prompt=False, store=store)) as bench:
        bench.nodes[1].refuse_fast_zeroes()
        requests = [trim(0, 4096), trim(8192, 4096)]
        bench.submit(*requests)
        bench.nodes[0].answer()
        bench.nodes[1].answer()
        bench.close()
        assert is_done(*requests)
        assert store.stored[-1][0] == ["in_sync", "stale"]


def test_a_fenced_array_answers_no_trim_and_begins_none() -> None:
    with full(ArrayBench(size=SIZE, prompt=False)) as bench:
        requests = [trim(0, LONG), trim(LONG, LONG)]
        bench.submit(*requests)
        bench.nodes[0].answer()
        bench.nodes[1].failure = Fenced("another writer", "")
        bench.nodes[1].end_budget()
        bench.settle()
        assert bench.array.state == "frozen"
        assert not is_done(requests[0])
        assert not is_done(requests[1])
        assert [len(node.got) for node in bench.nodes] == [1, 1]
        bench.close()
        assert [request.error for request in requests] == [errno.ESHUTDOWN] * 2


# -- what is offered, and what is not changed ------------------------------------------------------------


def test_a_mirror_offers_trims_if_all_its_members_write_zeroes_fast_whether_they_trim_or_not() -> None:
    with ArrayBench(size=SIZE) as bench:
        reactor = bench.reactor
        able = FaultyDevice(reactor, SIZE, fast_zero=True, trim=False)
        for node, offered in (
            (FaultyDevice(reactor, SIZE, fast_zero=True), True),
            (FaultyDevice(reactor, SIZE), False),
            (FaultyDevice(reactor, SIZE, fast_zero=True, write_zeroes=False), False),
        ):
            assert over(reactor, Mirror([SIZE] * 2), [able, node]).capabilities.trim == offered
        assert bench.run(flush()) == [0]


@pytest.mark.parametrize("flags", [0, NO_HOLE])
def test_fast_zeroes_of_clients_are_done_on_all_members_or_refused(flags: int) -> None:
    with full(ArrayBench(size=SIZE)) as bench:
        assert bench.run(fast_zeroes(0, LONG, flags)) == [0]
        assert alike(bench)
        assert bench.nodes[0].bytes[:LONG] == bytes(LONG)
        assert set(bench.nodes[0].flags) == {FAST_ZERO | flags}
        bench.nodes[1].refuse_fast_zeroes()
        assert bench.run(fast_zeroes(LONG, 4096), fast_zeroes(LONG, LONG)) == [0, errno.ENOTSUP]
        assert alike(bench)
        assert bench.nodes[0].bytes[SIZE - 512 :] == DATA[:512]


def test_fast_zeroes_that_are_refused_in_the_middle_fail_and_leave_members_alike() -> None:
    with full(ArrayBench(size=SIZE)) as bench:
        bench.nodes[1].refuse_fast_zeroes()
        assert bench.run(fast_zeroes(0, LONG)) == [errno.ENOTSUP]
        assert alike(bench)
        assert bench.states() == ["in_sync"] * 2
        assert bench.array.settled


def test_a_mirror_of_mirrors_trims() -> None:
    with full(ArrayBench(size=SIZE, count=4)) as bench:
        halves = [over(bench.reactor, Mirror([SIZE] * 2), bench.nodes[at : at + 2]) for at in (0, 2)]
        top = over(bench.reactor, Mirror([SIZE] * 2), halves)
        assert top.capabilities.trim
        bench.nodes[3].refuse_fast_zeroes()
        requests = [trim(0, LONG), trim(LONG, 4096)]
        top.submit(requests)
        bench.until(lambda: is_done(*requests))
        assert [request.error for request in requests] == [0, 0]
        assert alike(bench)
        assert bench.nodes[0].bytes[:PROBE_BYTES] == bytes(PROBE_BYTES)


@pytest.mark.parametrize("layout", [Linear, Stripe])
def test_where_there_are_no_copies_members_get_trims_and_what_else_they_are_asked(layout: type) -> None:
    with ArrayBench(layout, size=SIZE) as bench:
        assert bench.run(trim(0, 2 * SIZE)) == [0]
        assert {op for node in bench.nodes for op, _, _ in node.got} == {TRIM}
        bench.nodes[1].refuse_fast_zeroes()
        assert bench.run(fast_zeroes(0, 2 * SIZE)) == [errno.ENOTSUP]
        assert [member.errors for member in bench.array.members] == [0, 0]
