"""Whom a mirror reads from, and what it does when that one does not answer, or answers with an error."""

import errno

import pytest

from dsttool.engine.vocabulary.limits import MS, SECOND
from dsttool.engine.vocabulary.operations import READ, WRITE
from support.array_bench import ArrayBench, content, is_done, read, write

DATA = b"d" * 512


def reads_of(bench: ArrayBench, slot: int) -> int:
    return [op for op, _, _ in bench.nodes[slot].got].count(READ)


def test_reads_of_one_batch_are_spread_over_members_equally_near() -> None:
    with ArrayBench() as bench:
        bench.run(*[read(i * 512, 512) for i in range(10)])
        assert (reads_of(bench, 0), reads_of(bench, 1)) == (5, 5)


def test_single_reads_are_spread_too() -> None:
    with ArrayBench() as bench:
        for _ in range(10):
            bench.run(read(0, 512))
        assert (reads_of(bench, 0), reads_of(bench, 1)) == (5, 5)


def test_a_far_member_is_not_read_while_a_near_one_is_up() -> None:
    with ArrayBench() as bench:
        bench.nodes[0].rtt_ns, bench.nodes[1].rtt_ns = 20 * MS, 1 * MS
        bench.run(*[read(0, 512) for _ in range(4)])
        assert (reads_of(bench, 0), reads_of(bench, 1)) == (0, 4)


def test_the_policy_first_reads_the_first_member_that_is_up() -> None:
    with ArrayBench(read_policy="first") as bench:
        bench.run(*[read(0, 512) for _ in range(4)])
        bench.nodes[0].go_down()
        bench.run(*[read(0, 512) for _ in range(4)])
        assert (reads_of(bench, 0), reads_of(bench, 1)) == (4, 4)


def test_the_policy_round_robin_reads_far_members_too() -> None:
    with ArrayBench(read_policy="round_robin") as bench:
        bench.nodes[0].rtt_ns, bench.nodes[1].rtt_ns = 20 * MS, 1 * MS
        bench.run(*[read(0, 512) for _ in range(4)])
        assert (reads_of(bench, 0), reads_of(bench, 1)) == (2, 2)


def test_a_member_that_is_down_is_not_asked() -> None:
    with ArrayBench() as bench:
        bench.nodes[0].go_down()
        assert bench.run(*[read(0, 512) for _ in range(4)]) == [0] * 4
        assert reads_of(bench, 0) == 0


@pytest.mark.parametrize("budget", [0, 10 * SECOND])
def test_a_read_in_flight_when_its_member_goes_down_is_answered_by_the_other_at_once(budget: int) -> None:
    with ArrayBench(prompt=False, budget=budget) as bench:
        for node in bench.nodes:
            node.bytes[:512] = DATA
        request = read(0, 512)
        bench.submit(request)
        bench.nodes[0].go_down()
        assert not is_done(request)
        bench.nodes[1].answer()
        assert content(request) == DATA
        assert bench.states() == ["in_sync", "in_sync"]


def test_a_read_error_is_served_by_the_other_side_counted_and_not_marked() -> None:
    with ArrayBench(read_policy="first") as bench:
        bench.run(write(0, DATA))
        bench.nodes[0].fail(errno.EIO, READ)
        request = read(0, 512)
        assert bench.run(request) == [0]
        assert content(request) == DATA
        assert [member.errors for member in bench.array.members] == [1, 0]
        assert bench.states() == ["in_sync", "in_sync"]


def test_read_errors_of_a_member_are_told_but_not_each(caplog: pytest.LogCaptureFixture) -> None:
    with ArrayBench(read_policy="first") as bench:
        bench.nodes[0].fail(errno.EIO, READ)
        bench.run(*[read(0, 512) for _ in range(5)])
    told = [each for each in caplog.records if getattr(each, "event_kind", "") == "member.failing"]
    assert [each.getMessage().partition(": ")[2] for each in told] == [
        "member n0 fails: Input/output error (errors so far: 1)"
    ]


def test_a_read_that_no_member_can_answer_fails_with_the_members_error_after_asking_each_once() -> None:
    with ArrayBench(count=3) as bench:
        for node in bench.nodes:
            node.fail(errno.EMEDIUMTYPE, READ)
        assert bench.run(read(0, 512)) == [errno.EMEDIUMTYPE]
        assert [reads_of(bench, slot) for slot in range(3)] == [1, 1, 1]


def test_a_read_with_everybody_down_waits_and_is_served_by_whoever_comes_up_first() -> None:
    with ArrayBench(budget=10 * SECOND) as bench:
        for node in bench.nodes:
            node.bytes[:512] = DATA
            node.go_down()
        requests = [read(0, 512), read(0, 256)]
        bench.submit(*requests)
        bench.settle()
        assert not any(is_done(request) for request in requests)
        bench.nodes[1].come_up()
        bench.settle()
        assert [content(request) for request in requests] == [DATA, DATA[:256]]


def test_a_read_that_waited_is_given_on_again_when_its_member_goes_down_once_more() -> None:
    with ArrayBench(prompt=False, budget=10 * SECOND) as bench:
        for node in bench.nodes:
            node.go_down()
        request = read(0, 512)
        bench.submit(request)
        bench.settle()
        bench.nodes[0].come_up()
        assert len(bench.nodes[0].waiting) == 1
        bench.nodes[0].go_down()
        bench.nodes[1].come_up()
        bench.nodes[1].answer()
        assert (is_done(request), request.error) == (True, 0)


def test_a_waiting_read_fails_when_its_time_is_over_and_marks_nobody() -> None:
    with ArrayBench(budget=50 * MS) as bench:
        for node in bench.nodes:
            node.go_down()
        begin = bench.reactor.now
        assert bench.run(read(0, 512)) == [errno.EIO]
        assert 50 * MS <= bench.reactor.now - begin < 5 * SECOND
        assert bench.states() == ["in_sync", "in_sync"]


def test_each_waiting_read_fails_when_its_own_time_is_over() -> None:
    with ArrayBench(budget=1000 * MS, prompt=False) as bench:
        early, late = read(0, 512), read(512, 512)
        bench.nodes[1].go_down()
        bench.submit(early)
        bench.nodes[0].go_down()
        bench.settle()
        bench.pass_time(500 * MS)
        bench.submit(late)
        bench.until(lambda: is_done(early))
        assert not is_done(late)
        bench.until(lambda: is_done(late))


def test_a_read_that_waits_is_not_given_to_a_member_that_missed_a_write() -> None:
    with ArrayBench(budget=10 * SECOND) as bench:
        for node in bench.nodes:
            node.go_down()
        request, change = read(0, 512), write(0, DATA)
        bench.submit(request, change)
        bench.settle()
        bench.nodes[1].end_budget()
        bench.nodes[0].come_up()
        bench.until(lambda: is_done(request, change))
        assert bench.states() == ["in_sync", "stale"]
        bench.nodes[0].go_down()
        bench.nodes[1].come_up()
        again = read(0, 512)
        bench.submit(again)
        bench.settle()
        assert not is_done(again)
        assert reads_of(bench, 1) == 0
        bench.nodes[0].come_up()
        bench.until(lambda: is_done(again))
        assert content(again) == DATA


def test_a_read_that_every_member_is_slow_with_waits_for_one_instead_of_asking_round_and_round() -> None:
    """A disk that takes longer than the resend timeout still answers; asking anew would drop its answer."""
    with ArrayBench(prompt=False, budget=10 * SECOND) as bench:
        request = read(0, 512)
        bench.submit(request)
        bench.nodes[0].lose_patience()
        bench.nodes[1].lose_patience()
        assert len(bench.nodes[0].waiting) + len(bench.nodes[1].waiting) == 1
        for node in bench.nodes:
            node.lose_patience()
        assert not is_done(request)
        for node in bench.nodes:
            node.answer()
        assert request.error == 0
        assert reads_of(bench, 0) + reads_of(bench, 1) == 3


def test_a_slow_read_of_the_last_member_in_sync_is_waited_for() -> None:
    with ArrayBench(prompt=False, budget=10 * SECOND, states=["in_sync", "stale"]) as bench:
        request = read(0, 512)
        bench.submit(request)
        for _ in range(5):
            bench.nodes[0].lose_patience()
        assert reads_of(bench, 0) == 2
        bench.nodes[0].answer()
        assert request.error == 0


def test_what_a_member_answers_after_it_was_marked_is_not_believed() -> None:
    """A read that came before the write may bring what the write replaced, after the write was acked."""
    with ArrayBench(prompt=False, read_policy="first") as bench:
        bench.nodes[0].abandon = lambda: None  # type: ignore[method-assign]  # a file: nothing to call back
        old = read(0, 512)
        bench.submit(old)
        change = write(0, DATA)
        bench.submit(change)
        bench.nodes[0].fail(errno.EIO, WRITE)
        bench.nodes[0].answer_only(WRITE)
        bench.nodes[1].answer_only(WRITE)
        bench.until(lambda: is_done(change))
        assert (change.error, bench.states()) == (0, ["stale", "in_sync"])
        bench.nodes[0].answer()
        bench.nodes[1].answer()
        assert content(old) == DATA
        assert bench.array.members[0].errors == 1


def test_reads_of_a_member_that_is_marked_are_asked_of_another_at_once() -> None:
    with ArrayBench(prompt=False, budget=10 * SECOND, read_policy="first") as bench:
        request, change = read(4096, 512), write(0, DATA)
        bench.submit(request, change)
        bench.nodes[0].fail(errno.EIO, WRITE)
        bench.nodes[0].answer_only(WRITE)
        bench.nodes[1].answer_only(WRITE)
        assert bench.nodes[0].abandoned == 1
        bench.nodes[1].answer()
        bench.until(lambda: is_done(request, change))
        assert (request.error, change.error) == (0, 0)


def test_a_view_that_could_not_be_sent_makes_all_members_hand_out_copies() -> None:
    """Which member it came from is not known any more when the kernel fails to read it."""
    with ArrayBench() as bench:
        told: list[int] = []
        for slot, node in enumerate(bench.nodes):
            node.distrust = lambda slot=slot: told.append(slot)  # type: ignore[method-assign]
        bench.array.distrust()
        assert told == [0, 1]
