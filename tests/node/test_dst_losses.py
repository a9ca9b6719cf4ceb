"""A server that loses what it acked and did not flush: told upward, or written again."""

import errno
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsttool.engine.device.request import Request
from dsttool.engine.mapping.linear import Linear
from dsttool.engine.node.dst import DstNode
from dsttool.engine.transaction.retained import ENTRY_BYTES, Retained
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.limits import MS, SECOND
from dsttool.engine.vocabulary.operations import FAIL_FAST, FLUSH, FUA, READ, TRIM, WRITE, WRITE_ZEROES
from dsttool.engine.wire.dst_hello import RUNNING
from support.array_bench import ask, content, is_done, over, read, trim, write
from support.dst_hall import DstHall
from support.dst_stage import QUICK, Stage, answers_of
from support.dst_strangers import RawServer, Talker, replies, reply, requests_of
from support.power_loss import CachedDisk

PATIENT = replace(QUICK, ping_interval_ns=60 * SECOND)
FIRST, NEXT = bytes(16), b"another verifier"
SIZE = 1 << 16


@pytest.fixture
def stage() -> Iterator[Stage]:
    with DstHall() as hall, RawServer(hall) as server:
        yield Stage(hall, server)


def served(
    stage: Stage, node: DstNode, talker: Talker, *asked: Request, verifier: bytes = FIRST
) -> list[Any]:
    """Submit, and answer as an honest server; what was asked."""
    node.submit(list(asked))
    seen = requests_of(talker, len(asked))
    talker.say(answers_of(*seen, verifier=verifier))
    stage.hall.wait(*asked)
    return seen


def flushed_under(id_: int, verifier: bytes) -> bytes:
    return answers_of((id_, FLUSH, 0, 0), verifier=verifier)


# -- told upward -----------------------------------------------------------------------------------------


def test_the_verifier_is_the_servers_and_a_flush_brings_it(stage: Stage) -> None:
    node, talker = stage.up(PATIENT)
    assert node.verifier == FIRST
    flush = ask(FLUSH)
    served(stage, node, talker, flush)
    assert flush.data == FIRST


def test_a_flush_that_is_answered_under_another_verifier_is_done_again(stage: Stage) -> None:
    node, talker = stage.up(PATIENT)
    told: list[tuple[bytes, bool, bool]] = []
    acked, flush = write(0, b"x"), ask(FLUSH)
    node.on_verifier = lambda: told.append((node.verifier, is_done(acked), is_done(flush)))
    node.submit([acked, flush])
    requests_of(talker, 2)
    talker.say(replies(reply(1), reply(2, length=16), payload=NEXT))
    assert requests_of(talker) == [(3, FLUSH, 0, 0)]
    assert told == [(NEXT, True, False)], "after the acks of before, before anything under the new one"
    talker.say(flushed_under(3, NEXT))
    stage.hall.wait(flush)
    assert (flush.error, flush.data) == (0, NEXT)
    assert len(told) == 1


def test_an_ack_of_what_was_sent_before_the_loss_counts_no_more(stage: Stage) -> None:
    """It may have been done before the loss, and would be taken for done after it."""
    node, talker = stage.up(PATIENT)
    doubted, flush = write(0, b"x"), ask(FLUSH)
    node.submit([doubted, flush])
    requests_of(talker, 2)
    talker.say(flushed_under(2, NEXT))
    assert requests_of(talker) == [(3, FLUSH, 0, 0)]
    assert talker.is_silent(), "it runs: what overlaps it must wait, even itself"
    talker.say(replies(reply(1)))
    assert requests_of(talker) == [(4, WRITE, 0, 1)]
    assert not is_done(doubted)
    talker.say(replies(reply(4)))
    stage.hall.wait(doubted)
    talker.say(flushed_under(3, NEXT))
    stage.hall.wait(flush)


def test_at_a_reconnect_what_is_done_is_told_before_the_verifier_and_all_else_is_done_again(
    stage: Stage,
) -> None:
    node, talker = stage.up(PATIENT)
    done, running, never, flush, beside = (
        *(write(at * 512, b"x") for at in range(3)),
        ask(FLUSH),
        read(0, 1),
    )
    told: list[tuple[bool, bool]] = []
    node.on_verifier = lambda: told.append((is_done(done), is_done(running)))
    node.submit([done, running, never, flush, beside])
    requests_of(talker, 5)
    talker.close()
    talker = stage.again(verifier=NEXT, found=True, known=((1, 0), (2, RUNNING)))
    again = requests_of(talker, 4)
    assert again == [(2, WRITE, 512, 1), (6, WRITE, 1024, 1), (7, FLUSH, 0, 0), (8, READ, 0, 1)]
    assert told == [(True, False)]
    talker.say(replies(reply(2)))
    assert requests_of(talker) == [(9, WRITE, 512, 1)], "it ran, before the loss or after it"
    talker.say(answers_of(*again[1:], verifier=NEXT) + replies(reply(9)))
    stage.hall.wait(running, never, flush, beside)
    assert flush.data == NEXT


def test_what_waits_behind_a_locked_extent_is_not_lost_with_the_verifier(stage: Stage) -> None:
    node, talker = stage.up(replace(PATIENT, resend_timeout_ns=50 * MS, resends=1))
    stalled = write(0, b"old!")
    node.submit([stalled])
    requests_of(talker)
    stage.hall.wait(stalled)
    node.set_policy(PATIENT)
    held = write(0, b"new!")
    node.submit([held])
    talker.close()
    talker = stage.again(verifier=NEXT, found=True, known=((1, RUNNING),))
    assert requests_of(talker) == [(1, WRITE, 0, 4)]
    assert talker.is_silent()
    talker.say(replies(reply(1)))
    ((id_, op, _, _),) = requests_of(talker)
    talker.say(replies(reply(id_)))
    stage.hall.wait(held)
    assert op == WRITE


def given_up(stage: Stage) -> tuple[DstNode, Talker]:
    """A node whose write of four bytes at 0 was given up, and may still be carried out."""
    node, talker = stage.up(replace(PATIENT, resend_timeout_ns=50 * MS, resends=1))
    stalled = write(0, b"old!")
    node.submit([stalled])
    requests_of(talker)
    stage.hall.wait(stalled)
    assert stalled.error == errno.EIO
    node.set_policy(PATIENT)
    return node, talker


def test_a_read_waits_for_a_write_that_was_given_up_or_it_would_see_two_contents_in_turn(
    stage: Stage,
) -> None:
    node, talker = given_up(stage)
    across, beside = read(2, 4), read(4, 4)
    node.submit([across, beside])
    seen = requests_of(talker)
    assert seen == [(3, READ, 4, 4)]
    talker.say(answers_of(*seen))
    stage.hall.wait(beside)
    assert node.transaction_states() == {"exhausted": 1, "held": 1}
    talker.say(replies(reply(1)))
    seen = requests_of(talker)
    assert seen == [(2, READ, 2, 4)]
    talker.say(answers_of(*seen))
    stage.hall.wait(across)
    assert across.error == 0


def test_a_read_that_waits_for_a_write_that_was_given_up_ends_with_its_own_budget(stage: Stage) -> None:
    node, talker = given_up(stage)
    waiting = read(0, 4)
    node.submit([waiting])
    node.set_policy(replace(PATIENT, resend_timeout_ns=50 * MS, resends=1))
    stage.hall.wait(waiting)
    assert waiting.error == errno.EIO
    talker.say(replies(reply(1)))
    node.set_policy(PATIENT)
    served(stage, node, talker, read(0, 4))


def test_a_read_that_another_member_can_answer_does_not_wait_for_a_write_that_was_given_up(
    stage: Stage,
) -> None:
    node, talker = given_up(stage)
    node.set_policy(replace(PATIENT, resend_timeout_ns=10 * MS, resends=1000))
    impatient = read(0, 4, FAIL_FAST)
    node.submit([impatient])
    stage.hall.wait(impatient)
    assert impatient.error == errno.ENOLINK
    talker.say(replies(reply(1)))
    served(stage, node, talker, read(0, 4))


def test_a_read_that_waits_for_a_write_that_was_given_up_outlives_a_loss(stage: Stage) -> None:
    node, talker = given_up(stage)
    waiting = read(0, 4)
    node.submit([waiting])
    talker.close()
    talker = stage.again(verifier=NEXT, found=True, known=((1, RUNNING),))
    assert requests_of(talker) == [(1, WRITE, 0, 4)]
    assert talker.is_silent()
    talker.say(replies(reply(1)))
    seen = requests_of(talker)
    assert seen[0][1:] == (READ, 0, 4)
    talker.say(answers_of(*seen))
    stage.hall.wait(waiting)


# -- written again -----------------------------------------------------------------------------------------


def retaining(stage: Stage, **options: Any) -> tuple[DstNode, Talker]:
    return stage.up(PATIENT, retain=True, **options)


def test_what_was_acked_and_is_not_durable_is_written_again_before_anything_else(stage: Stage) -> None:
    node, talker = retaining(stage)
    verifier = node.verifier
    told: list[bool] = []
    node.on_verifier = lambda: told.append(True)
    served(stage, node, talker, write(0, b"durable"))
    served(stage, node, talker, ask(FLUSH))
    served(stage, node, talker, write(0, b"one"), write(512, b"two"))
    served(stage, node, talker, trim(4096, 4096), write(1, b"over", FUA))
    waiting = [read(0, 3), write(9000, b"new"), ask(FLUSH)]
    node.submit(waiting)
    requests_of(talker, 3)
    talker.close()
    talker = stage.again(verifier=NEXT)
    again = requests_of(talker, 3)
    assert [each[1:] for each in again] == [(WRITE, 0, 1), (WRITE, 512, 3), (TRIM, 4096, 4096)]
    assert talker.is_silent(), "everything else waits for all of it"
    talker.say(answers_of(*again))
    rest = requests_of(talker, 3)
    assert [each[1] for each in rest] == [READ, WRITE, FLUSH]
    talker.say(answers_of(*rest, verifier=NEXT))
    stage.hall.wait(*waiting)
    assert (node.verifier, waiting[2].data, told) == (verifier, verifier, [])
    assert node.status()["in_flight"] == 0


def test_one_slow_write_holds_up_a_long_repair_and_does_not_end_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids may not run further ahead of the lowest unanswered one than the server remembers."""
    node, talker = retaining(stage)
    for at in range(12):
        served(stage, node, talker, write(at * 512, b"x"))
    monkeypatch.setattr(limits, "ID_WINDOW", 8)
    node._table.window = 4
    talker.close()
    talker = stage.again(verifier=NEXT, window=4)
    slow, *quick = requests_of(talker, 4)
    talker.say(answers_of(*quick))
    quick = requests_of(talker, 3)
    talker.say(answers_of(*quick))
    (last,) = requests_of(talker)
    talker.say(answers_of(last))
    stage.hall.until(lambda: len(node._table) == 1)
    assert talker.is_silent()
    talker.say(answers_of(slow))
    talker.say(answers_of(*requests_of(talker, 4)))
    served(stage, node, talker, ask(FLUSH), verifier=NEXT)


def test_what_was_written_again_is_kept_for_the_next_loss(stage: Stage) -> None:
    node, talker = retaining(stage)
    served(stage, node, talker, write(0, b"one"))
    for verifier in (NEXT, b"a third verifier"):
        talker.close()
        talker = stage.again(verifier=verifier)
        again = requests_of(talker)
        assert again[0][1:] == (WRITE, 0, 3)
        talker.say(answers_of(*again))
    served(stage, node, talker, ask(FLUSH), verifier=b"a third verifier")
    talker.close()
    talker = stage.again(verifier=FIRST)
    stage.hall.until(lambda: node.up)
    assert talker.is_silent()


def test_a_loss_while_it_is_written_again_begins_it_anew(stage: Stage) -> None:
    node, talker = retaining(stage)
    served(stage, node, talker, write(0, b"one"), write(512, b"two"))
    talker.close()
    talker = stage.again(verifier=NEXT)
    first = requests_of(talker, 2)
    talker.say(answers_of(first[0]))
    stage.hall.pass_time(MS)
    talker.close()
    talker = stage.again(verifier=b"a third verifier", found=True, known=((first[1][0], RUNNING),))
    assert requests_of(talker) == first[1:], "it may still land: nothing overlapping before its end"
    assert talker.is_silent()
    talker.say(answers_of(first[1]))
    again = requests_of(talker, 2)
    assert [each[1:] for each in again] == [each[1:] for each in first]
    talker.say(answers_of(*again))
    served(stage, node, talker, read(0, 1))


def test_a_link_lost_while_it_is_written_again_goes_on_where_it_was(stage: Stage) -> None:
    node, talker = retaining(stage)
    served(stage, node, talker, write(0, b"one"), write(512, b"two"))
    talker.close()
    talker = stage.again(verifier=NEXT)
    first = requests_of(talker, 2)
    talker.close()
    talker = stage.again(verifier=NEXT, found=True, known=((first[0][0], 0),))
    assert requests_of(talker) == first[1:]
    talker.say(answers_of(first[1]))
    served(stage, node, talker, read(0, 1))


def test_a_loss_that_a_flush_tells_is_repaired_before_it_is_done_again(stage: Stage) -> None:
    node, talker = retaining(stage)
    served(stage, node, talker, write(0, b"one"))
    flush, under_way = ask(FLUSH), write(0, b"two")
    node.submit([flush, under_way])
    requests_of(talker, 2)
    talker.say(flushed_under(2, NEXT))
    stage.hall.pass_time(MS)
    assert talker.is_silent(), "what runs may be done before or after what is written again"
    talker.say(replies(reply(3)))
    again = requests_of(talker)
    assert again[0][1:] == (WRITE, 0, 3)
    talker.say(answers_of(*again))
    rest = requests_of(talker, 2)
    assert [each[1] for each in rest] == [WRITE, FLUSH]
    talker.say(answers_of(*rest, verifier=NEXT))
    stage.hall.wait(flush, under_way)
    assert flush.data == node.verifier


def test_what_cannot_be_written_again_ends_the_node_loudly(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    node, talker = retaining(stage)
    served(stage, node, talker, write(512, b"one"))
    waiting = read(0, 1)
    node.submit([waiting])
    requests_of(talker)
    told: list[bool] = []
    node.on_failure = lambda: told.append(is_done(waiting))
    talker.close()
    talker = stage.again(verifier=NEXT)
    ((id_, *_),) = requests_of(talker)
    talker.say(replies(reply(id_, errno.EIO)))
    stage.hall.wait(waiting)
    assert (waiting.error, told) == (errno.EIO, [False])
    assert "lost acked writes" in str(node.failure)
    assert "lost acked writes" in caplog.text


def test_an_acked_write_sent_after_a_flush_is_not_taken_for_covered_by_it(stage: Stage) -> None:
    node, talker = retaining(stage)
    served(stage, node, talker, write(0, b"before"))
    flush, after = ask(FLUSH), write(512, b"after")
    node.submit([flush])
    asked = requests_of(talker)
    served(stage, node, talker, after)
    talker.say(answers_of(*asked))
    stage.hall.wait(flush)
    talker.close()
    talker = stage.again(verifier=NEXT)
    again = requests_of(talker)
    assert [each[1:] for each in again] == [(WRITE, 512, 5)]
    talker.say(answers_of(*again))


def test_past_half_of_the_bound_it_flushes_by_itself_and_past_all_of_it_writes_wait(stage: Stage) -> None:
    node, talker = retaining(stage)
    assert node._repair is not None
    node._repair.retained = Retained(4 * (1024 + ENTRY_BYTES))
    for at in range(2):
        served(stage, node, talker, write(at * 1024, bytes(1024)))
    assert talker.is_silent()
    served(stage, node, talker, write(2048, bytes(1024)))
    ((flush, op, _, _),) = requests_of(talker)
    assert op == FLUSH
    served(stage, node, talker, write(3072, bytes(1024)))
    waiting = write(4096, bytes(1024))
    node.submit([waiting])
    stage.hall.pass_time(MS)
    assert talker.is_silent()
    talker.say(flushed_under(flush, FIRST))
    seen = requests_of(talker)
    talker.say(answers_of(*seen))
    stage.hall.wait(waiting)
    assert talker.is_silent(), "less than half is left"


def test_a_flush_of_its_own_that_fails_is_tried_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsttool.engine.node.repair._RETRY_NS", 5 * MS)
    node, talker = retaining(stage)
    assert node._repair is not None
    node._repair.retained = Retained(1024)
    served(stage, node, talker, write(0, bytes(1024)))
    ((first, *_),) = requests_of(talker)
    waiting = write(0, b"x")
    node.submit([waiting])
    talker.say(replies(reply(first, errno.EIO)))
    ((second, op, _, _),) = requests_of(talker)
    assert op == FLUSH
    talker.say(flushed_under(second, FIRST))
    seen = requests_of(talker)
    talker.say(answers_of(*seen))
    stage.hall.wait(waiting)


def test_where_no_flush_is_needed_nothing_is_retained(stage: Stage) -> None:
    node = stage.node(PATIENT, retain=True)
    talker = stage.again(capabilities=frozenset(["trim"]))
    stage.hall.until(lambda: node.up)
    assert node._repair is None
    served(stage, node, talker, write(0, b"x"))


# -- both ends real ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("retain", [True, False])
def test_a_failed_flush_is_not_forgotten_when_its_reply_is_lost(retain: bool) -> None:
    with DstHall() as hall:
        disk = CachedDisk(hall.reactor, SIZE)
        export = hall.export(disk)
        node = hall.node(export, retain=retain)
        acked, flush = write(0, b"acked"), ask(FLUSH)
        node.submit([acked])
        hall.wait(acked)
        changes: list[bool] = []
        node.on_verifier = lambda: changes.append(is_done(flush))
        disk.prompt = False
        disk.fail_next_flush()
        node.submit([flush])
        hall.until(lambda: bool(disk.waiting))
        verifier = node.verifier
        export.cut()
        disk.answer()  # nobody hears that it failed
        disk.prompt = True
        hall.wait(flush)
        assert flush.error == 0, "the second one succeeds"
        assert flush.data == node.verifier
        if retain:
            assert (node.verifier, changes) == (verifier, [])
            assert bytes(disk.stable[:5]) == b"acked"
        else:
            assert node.verifier != verifier
            assert changes == [False], "whoever wrote knows before a flush seems to cover it"


def test_power_loss_of_the_remote_machine_loses_nothing_acked_on_linear() -> None:
    with DstHall() as hall:
        disks = [CachedDisk(hall.reactor, SIZE) for _ in range(2)]
        exports = [hall.export(disk) for disk in disks]
        nodes = [hall.node(export, ordered_above=True, retain=True) for export in exports]
        array = over(hall.reactor, Linear([SIZE, SIZE]), nodes)
        hall.closes(array)
        expected = bytearray(2 * SIZE)
        for turn in range(60):
            requests = []
            for _ in range(8):
                offset = hall.random.randrange(0, 2 * SIZE - 4096)
                data = bytes([hall.random.randrange(1, 256)]) * hall.random.randrange(1, 4096)
                expected[offset : offset + len(data)] = data
                requests.append(write(offset, data))
            if turn % 7 == 0:
                requests.append(ask(FLUSH))
            array.submit(requests)
            if turn % 5 == 0:
                victim = hall.random.randrange(2)
                exports[victim].go_away()
                hall.pass_time(MS)
                disks[victim].lose_power(lambda _: hall.random.random() < 0.5)
                exports[victim].start()
            if turn % 3:
                hall.wait(*requests)
                assert {request.error for request in requests} == {0}
        check = read(0, 2 * SIZE)
        flush = ask(FLUSH)
        array.submit([flush])
        hall.wait(flush)
        array.submit([check])
        hall.wait(check)
        assert content(check) == expected
        assert bytes(disks[0].stable + disks[1].stable) == expected
        assert sum(disk.losses for disk in disks) == 12


Step = tuple[str, int, int]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["write", "write", "fua", "zero", "flush", "cut", "power", "bad flush", "wait"]),
            st.integers(0, 15),
            st.integers(1, 4),
        ),
        min_size=4,
        max_size=40,
    ),
    st.randoms(use_true_random=False),
)
def test_a_retaining_node_reads_what_it_acked_whatever_the_disk_loses(plan: list[Step], random: Any) -> None:
    with DstHall() as hall:
        disk = CachedDisk(hall.reactor, 32 * 512)
        export = hall.export(disk)
        node = hall.node(export, retain=True)
        expected = bytearray(32 * 512)
        requests: list[Request] = []
        flushes: list[Request] = []
        for number, (action, block, length) in enumerate(plan):
            start, size = block * 512, length * 512
            match action:
                case "write" | "fua":
                    data = bytes([number + 1]) * size
                    expected[start : start + size] = data
                    requests.append(write(start, data, FUA if action == "fua" else 0))
                case "zero":
                    expected[start : start + size] = bytes(size)
                    requests.append(ask(WRITE_ZEROES, start, size))
                case "flush":
                    requests.append(ask(FLUSH))
                case "cut":
                    export.cut()
                    continue
                case "power":
                    export.go_away()
                    disk.lose_power(lambda _: random.random() < 0.5)
                    export.start()
                    continue
                case "bad flush":
                    disk.heal()
                    disk.fail_next_flush()
                    flushes.append(ask(FLUSH))
                    node.submit(flushes[-1:])
                    continue
                case "wait":
                    hall.wait(*requests, *flushes)
                    continue
            node.submit(requests[-1:])
        hall.wait(*requests, *flushes)
        disk.heal()
        check, flush = read(0, 32 * 512), ask(FLUSH)
        node.submit([flush])
        hall.wait(flush)
        node.submit([check])
        hall.wait(check)
        assert content(check) == expected
        assert bytes(disk.stable) == expected
        assert {r.error for r in requests if r.op != FLUSH} <= {0}
        assert node.failure is None


def test_what_a_loss_within_a_repair_leaves_behind_is_not_written_after_the_next_one(stage: Stage) -> None:
    node, talker = retaining(stage)
    served(stage, node, talker, write(0, b"one"))
    talker.close()
    talker = stage.again(verifier=NEXT)
    requests_of(talker)  # written again, and not answered
    talker.close()
    talker = stage.again(verifier=b"a third verifier")
    again = requests_of(talker)
    assert again[0][1:] == (WRITE, 0, 3)
    talker.say(answers_of(*again))
    assert talker.is_silent(), "the first repair's write is written once more, late"


def test_what_is_kept_for_the_next_process_is_the_servers_verifier_once_all_is_repaired(stage: Stage) -> None:
    node, talker = retaining(stage)
    assert node.lasting_verifier == FIRST
    served(stage, node, talker, write(0, b"one"))
    talker.close()
    talker = stage.again(verifier=NEXT)
    again = requests_of(talker)
    assert node.lasting_verifier == FIRST
    talker.say(answers_of(*again))
    stage.hall.until(lambda: node.lasting_verifier == NEXT)


def test_the_memory_for_what_is_retained_is_given_back_when_nothing_has_been_for_a_while(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsttool.engine.node.repair._IDLE_NS", 5 * MS)
    node, talker = retaining(stage)
    trims: list[int] = []
    pool = stage.hall.reactor.pool
    monkeypatch.setattr(pool, "trim", lambda: trims.append(1))
    served(stage, node, talker, write(0, b"x"), ask(FLUSH))
    served(stage, node, talker, ask(FLUSH))
    stage.hall.until(lambda: bool(trims))
    stage.hall.pass_time(20 * MS)
    assert len(trims) == 1, "nothing polls"
    served(stage, node, talker, ask(FLUSH))
    served(stage, node, talker, write(0, b"x"))
    stage.hall.pass_time(20 * MS)
    assert len(trims) == 1, "something is retained again"
    assert node.failure is None


def test_nothing_is_written_again_while_what_was_given_up_still_runs(stage: Stage) -> None:
    node, talker = stage.up(replace(PATIENT, resend_timeout_ns=50 * MS, resends=1), retain=True)
    served(stage, node, talker, write(0, b"kept"))
    stalled = write(2, b"late")
    node.submit([stalled])
    requests_of(talker)
    stage.hall.wait(stalled)
    talker.close()
    talker = stage.again(verifier=NEXT, found=True, known=((2, RUNNING),))
    assert requests_of(talker) == [(2, WRITE, 2, 4)]
    assert talker.is_silent()
    talker.say(replies(reply(2)))
    assert [each[1:] for each in requests_of(talker)] == [(WRITE, 0, 4)]
