"""A node whose server answers late, wrongly, or not at all: no request is lost, none ends twice."""

import errno
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsttool.engine.device.request import Request
from dsttool.engine.node.dst import DstNode
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.vocabulary.limits import MS
from dsttool.engine.vocabulary.operations import FAIL_FAST, FLUSH, READ, TRIM, WRITE, WRITE_ZEROES
from dsttool.engine.wire import dst_records
from support.array_bench import ask, content, is_done, read, trim, write
from support.dst_hall import DstHall
from support.dst_stage import BRIEF, LARGE, Stage, answers_of
from support.dst_strangers import RawServer, record, replies, reply, requests_of


@pytest.fixture
def stage() -> Iterator[Stage]:
    with DstHall() as hall, RawServer(hall) as server:
        yield Stage(hall, server)


def test_replies_in_any_order_go_to_the_requests_they_answer(stage: Stage) -> None:
    node, talker = stage.up()
    asked = [read(0, 10), read(0, LARGE), write(0, b"x" * 10), read(0, 20), read(0, LARGE), ask(FLUSH)]
    node.submit(asked)
    seen = requests_of(talker, 6)
    talker.say(answers_of(*reversed(seen)))
    stage.hall.wait(*asked)
    assert [content(asked[index]) for index in (0, 1, 3, 4)] == [
        b"\1" * 10,
        b"\2" * LARGE,
        b"\4" * 20,
        b"\5" * LARGE,
    ]


def test_an_error_is_the_remote_one(stage: Stage) -> None:
    node, talker = stage.up()
    asked = [write(0, b"x"), read(0, LARGE)]
    node.submit(asked)
    requests_of(talker, 2)
    talker.say(replies(reply(1, errno.ENOSPC), reply(2, errno.EIO)))
    stage.hall.wait(*asked)
    assert [request.error for request in asked] == [errno.ENOSPC, errno.EIO]
    assert node.status()["errors"] == 2


WRONG = {
    "a read that is too short": replies(reply(2, length=99), payload=bytes(99)),
    "a read that is too long": replies(reply(2, length=101), payload=bytes(101)),
    "a read without payload": replies(reply(2)),
    "fewer bytes than it says": replies(reply(2, length=100), payload=bytes(99)),
    "a small read as a large one": replies(reply(2, length=LARGE))
    + record(dst_records.PAYLOAD, bytes(LARGE)),
    "a large read as a small one": replies(reply(3, length=100), payload=bytes(100)),
    "a payload of another length": replies(reply(3, length=LARGE))
    + record(dst_records.PAYLOAD, bytes(LARGE - 1)),
    "a flush without its verifier": replies(reply(6)),
    "a payload nobody announced": record(dst_records.PAYLOAD, bytes(LARGE)),
    "data for a write": replies(reply(4, length=LARGE)) + record(dst_records.PAYLOAD, bytes(LARGE)),
    "no heads": record(dst_records.REPLIES, b""),
    "fewer bytes than heads": record(dst_records.REPLIES, reply(1), 2),
    "requests": record(dst_records.REQUESTS, bytes(24), 1),
    "another welcome": record(dst_records.WELCOME, bytes(76)),
    "noise": b"\xff" * 64,
}


@pytest.mark.parametrize("what", sorted(WRONG))
def test_an_answer_that_cannot_be_drops_the_link_and_never_a_request(stage: Stage, what: str) -> None:
    node, talker = stage.up()
    asked = [
        *(write(0, b"x" * 512), read(0, 100), read(0, LARGE), write(4096, b"y" * LARGE), read(8, 8)),
        ask(FLUSH),
    ]
    node.submit(asked)
    before = requests_of(talker, 6)
    talker.say(WRONG[what])
    assert talker.is_closed()
    talker = stage.again()
    assert requests_of(talker, 6) == before, "all of them, in their order, with their ids"
    assert not is_done(*asked)
    talker.say(answers_of(*before))
    stage.hall.wait(*asked)
    assert {request.error for request in asked} == {0}
    assert content(asked[1]) == b"\2" * 100


@pytest.mark.parametrize("status", [0, errno.EIO])
def test_an_answer_to_what_waits_for_another_write_drops_the_link(stage: Stage, status: int) -> None:
    """The write was never sent: whatever the server says of it, it has not been done."""
    node, talker = stage.up()
    first, behind = write(0, b"old!"), write(0, b"new!")
    node.submit([first, behind])
    assert requests_of(talker) == [(1, WRITE, 0, 4)]
    talker.say(replies(reply(2, status)))
    assert talker.is_closed()
    assert not is_done(first, behind)
    talker = stage.again()
    assert requests_of(talker) == [(1, WRITE, 0, 4)]
    talker.say(replies(reply(1)))
    assert requests_of(talker) == [(2, WRITE, 0, 4)]
    talker.say(replies(reply(2)))
    stage.hall.wait(first, behind)


def test_a_payload_of_what_was_not_sent_yet_drops_the_link(stage: Stage) -> None:
    node, talker = stage.up()
    node._table.hold = True  # so that it is begun, and not sent, while the server speaks
    asked = read(0, LARGE)
    node._table.begin([asked])
    talker.say(replies(reply(1, length=LARGE)) + record(dst_records.PAYLOAD, bytes(LARGE)))
    assert talker.is_closed()
    assert not is_done(asked)
    node._table.hold = False


def test_what_was_answered_before_a_wrong_answer_is_done(stage: Stage) -> None:
    node, talker = stage.up()
    asked = [read(0, 3), read(0, 100), read(0, 5)]
    node.submit(asked)
    before = requests_of(talker, 3)
    talker.say(replies(reply(1, length=3), reply(2, length=7), payload=b"abc" + bytes(7)))
    assert talker.is_closed()
    assert content(asked[0]) == b"abc"
    talker = stage.again()
    assert requests_of(talker, 2) == before[1:]
    talker.say(answers_of(*before[1:]))
    stage.hall.wait(*asked)


def test_a_link_lost_within_an_answer_loses_nothing(stage: Stage) -> None:
    node, talker = stage.up()
    asked = [read(0, LARGE), read(0, 100)]
    node.submit(asked)
    before = requests_of(talker, 2)
    stream = answers_of(*before)
    for cut in (9, 40, 150, 1000, len(stream) - 1):
        talker.say(stream[:cut])
        talker.close()
        talker = stage.again()
        left = [request for request in before if not is_done(asked[request[0] - 1])]
        assert requests_of(talker, len(left)) == left
        stream = answers_of(*left)
        if cut > len(stream):
            break
    talker.say(stream)
    stage.hall.wait(*asked)
    assert content(asked[0]) == b"\1" * LARGE


def test_answers_to_nobody_and_second_answers_are_ignored(stage: Stage) -> None:
    node, talker = stage.up()
    asked = [read(0, 4), read(0, 4)]
    node.submit(asked)
    requests_of(talker, 2)
    talker.say(replies(reply(99, length=4), reply(1, length=4), reply(1, length=4), payload=b"nonegoodevil"))
    talker.say(replies(reply(98, length=LARGE)) + record(dst_records.PAYLOAD, bytes(LARGE)))
    talker.say(replies(reply(1, errno.EIO), reply(2, length=4), payload=b"fine"))
    stage.hall.wait(*asked)
    assert (content(asked[0]), content(asked[1])) == (b"good", b"fine")
    assert node.up


def test_announcements_without_payloads_are_bounded(stage: Stage) -> None:
    node, talker = stage.up()
    batch = replies(*[reply(7, length=LARGE)] * 1000)
    talker.says_until_held_back(batch, 1000 * len(batch))
    assert talker.is_closed()
    assert len(node._links.all[0].replies._announced) < 10_000


def test_a_late_answer_to_a_read_that_failed_fast_is_ignored(stage: Stage) -> None:
    node, talker = stage.up(replace(BRIEF, resends=1000))
    impatient, patient = read(0, LARGE, FAIL_FAST), read(0, LARGE)
    node.submit([impatient, patient])
    before = requests_of(talker, 2)
    stage.hall.wait(impatient)
    assert impatient.error == errno.ENOLINK
    talker.say(answers_of(*before))
    stage.hall.wait(patient)
    assert patient.error == 0
    assert impatient.error == errno.ENOLINK
    assert node.up


def test_a_budget_that_ends_is_an_error_in_time_and_a_late_answer_is_ignored(stage: Stage) -> None:
    node, talker = stage.up(BRIEF)
    asked = [read(0, 100), write(0, b"x"), ask(FLUSH)]
    since = stage.hall.reactor.now
    node.submit(asked)
    before = requests_of(talker, 3)
    stage.hall.wait(*asked)
    assert {request.error for request in asked} == {errno.EIO}
    assert stage.hall.reactor.now - since >= BRIEF.budget_ns
    assert list(node._extents.locked) == [2]
    talker.say(answers_of(*before))
    stage.hall.until(lambda: not node._extents.locked)
    assert node.up
    assert {request.error for request in asked} == {errno.EIO}


def test_a_budget_runs_while_the_link_is_down(stage: Stage) -> None:
    node, talker = stage.up(BRIEF)
    in_flight = write(0, b"x")
    node.submit([in_flight])
    requests_of(talker)
    talker.close()
    stage.hall.until(lambda: not node.up)
    held = [write(512, b"y"), read(0, 100), ask(FLUSH), write(512, b"z")]
    node.submit(held)
    stage.server.socket.close()
    stage.hall.wait(in_flight, *held)
    assert {request.error for request in (in_flight, *held)} == {errno.EIO}


def test_overlapping_changes_are_never_in_flight_together(stage: Stage) -> None:
    node, talker = stage.up()
    asked = [write(0, b"a" * 512), write(256, b"b" * 512), ask(WRITE_ZEROES, 500, 100), trim(4096, 512)]
    node.submit(asked)
    assert [op for _, op, _, _ in requests_of(talker, 2)] == [WRITE, TRIM]
    assert talker.is_silent()
    talker.say(replies(reply(1)))
    assert requests_of(talker) == [(2, WRITE, 256, 512)]
    assert talker.is_silent()
    talker.say(replies(reply(2)))
    assert requests_of(talker) == [(3, WRITE_ZEROES, 500, 100)]
    talker.say(replies(reply(3), reply(4)))
    stage.hall.wait(*asked)


def test_overlapping_changes_stay_apart_over_a_reconnect(stage: Stage) -> None:
    node, talker = stage.up()
    asked = [write(0, b"a" * 512), write(0, b"b" * 512)]
    node.submit(asked)
    requests_of(talker)
    talker.close()
    talker = stage.again()
    assert requests_of(talker) == [(1, WRITE, 0, 512)]
    assert talker.is_silent()
    talker.say(replies(reply(1)))
    assert requests_of(talker) == [(2, WRITE, 0, 512)]
    talker.say(replies(reply(2)))
    stage.hall.wait(*asked)


def test_the_servers_window_holds_requests_back(stage: Stage) -> None:
    node, talker = stage.up()
    asked = [read(at, 1) for at in range(100)]
    node.submit(asked)
    assert len(requests_of(talker, 64)) == 64
    assert talker.is_silent()
    talker.say(answers_of(*[(id_, READ, 0, 1) for id_ in range(1, 65)]))
    assert requests_of(talker, 36)[-1] == (100, READ, 99, 1)
    talker.say(answers_of(*[(id_, READ, 0, 1) for id_ in range(65, 101)]))
    stage.hall.wait(*asked)


def test_a_server_that_never_reads_costs_no_more_than_the_window(stage: Stage) -> None:
    node, _ = stage.up(Policy(ping_interval_ns=10_000 * MS))
    asked = [write(at * LARGE % (1 << 20), b"x" * LARGE) for at in range(200)]
    node.submit(asked)
    stage.hall.pass_time(5 * MS)
    channel = node._links.all[0]._channel
    assert channel is not None
    assert channel.link.unsent <= 64 * (LARGE + 64)
    node.abandon()
    assert is_done(*asked)


def test_what_is_abandoned_in_the_turn_that_would_send_it_is_not_sent_even_if_it_was_held(
    stage: Stage,
) -> None:
    node, talker = stage.up()
    given_up = [write(0, b"old!"), write(0, b"new!"), write(2, b"last")]
    node.submit(given_up)
    node.abandon()
    check = read(0, 4)
    node.submit([check])
    ((id_, op, _, _),) = requests_of(talker)
    assert op == READ
    talker.say(answers_of((id_, op, 0, 4)))
    stage.hall.wait(check, *given_up)
    assert talker.is_silent()
    assert not node._extents.gate.busy  # type: ignore[union-attr]


def test_what_waits_behind_a_write_without_an_answer_costs_nothing_once_it_gave_up(stage: Stage) -> None:
    """However long a link is down: an application that tries again must not fill the memory."""
    node, talker = stage.up(BRIEF)
    stalled = write(0, b"old!")
    node.submit([stalled])
    requests_of(talker)
    stage.hall.wait(stalled)
    for _ in range(3):
        again = [write(0, b"new!"), write(1, b"new!")]
        node.submit(again)
        stage.hall.wait(*again)
        assert {request.error for request in again} == {errno.EIO}
    assert node._extents.held == {}
    assert node._extents.gate is not None
    assert node._extents.gate._waiting == {}
    talker.say(replies(reply(1)))
    stage.hall.until(lambda: not node._extents.locked)
    assert not node._extents.gate.busy


def test_what_expires_in_the_turn_that_sends_it_is_not_sent(stage: Stage) -> None:
    """It would run beside what comes after it to the same bytes."""
    node, talker = stage.up(BRIEF)
    talker.close()
    stage.hall.until(lambda: not node.up)
    first, second = write(0, b"old!"), write(0, b"new!")
    node.submit([first, second])
    node._to_send += node._table.in_flight.values()
    expired = node._table.expire(stage.hall.reactor.now)
    node.exhausted(expired)
    assert node._to_send == []
    assert is_done(first, second)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["read", "large read", "write", "flush", "answer", "wrong", "cut", "late"]),
            st.integers(0, 7),
        ),
        min_size=3,
        max_size=30,
    )
)
def test_every_request_ends_once_whatever_the_server_does(plan: list[tuple[str, int]]) -> None:
    ends: list[Request] = []
    asked: list[Request] = []

    def submit(node: DstNode, op: int, offset: int, length: int) -> None:
        data = memoryview(bytes([len(asked) % 256]) * length) if op == WRITE else None
        request = Request(op, 0, offset, length, data, None, ends.extend)
        asked.append(request)
        node.submit([request])

    with DstHall() as hall, RawServer(hall) as server:
        stage = Stage(hall, server)
        node, talker = stage.up()
        outstanding: list[tuple[int, int, int, int]] = []

        def hear() -> None:
            hall.reactor.post(lambda: None)
            hall.reactor.turn()
            while not talker.is_silent() and not talker.ended:
                outstanding.extend(requests_of(talker))

        for action, number in plan:
            match action:
                case "read":
                    submit(node, READ, number * 512, 512)
                case "large read":
                    submit(node, READ, 0, LARGE)
                case "write":
                    submit(node, WRITE, number * 256, 512)
                case "flush":
                    submit(node, FLUSH, 0, 0)
                case "late":
                    talker.say(replies(reply(1000 + number)))
                case "answer" if outstanding:
                    talker.say(answers_of(outstanding.pop(number % len(outstanding))))
                case "wrong" | "cut":
                    talker.say(replies(reply(1, length=3)) if action == "wrong" else b"")
                    talker.close()
                    talker = stage.again()
                    outstanding.clear()
            hear()
        while len(ends) < len(asked):
            hear()
            if outstanding:
                talker.say(answers_of(*outstanding))
                outstanding.clear()
        assert len(ends) == len(asked)
        assert set(ends) == set(asked)
        assert {request.error for request in asked} <= {0}
