"""DstNode against a real server in this process: budgets, reconnects, and what keeps its extent."""

import errno

import pytest

from dsttool.engine.device.request import Request
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.vocabulary.limits import MS, SECOND
from dsttool.engine.vocabulary.operations import FAIL_FAST, FAST_ZERO, FLUSH, READ, WRITE, WRITE_ZEROES
from support.array_bench import ask, content, is_done, read, write
from support.dst_hall import DstHall
from support.faulty_device import FaultyDevice

SIZE = 1 << 20
# A budget of 100 ms, and a link that is not given up meanwhile.
SHORT = Policy(resend_timeout_ns=50 * MS, resends=1, backoff_min_ns=2 * MS, backoff_max_ns=20 * MS)
OLD, NEW = b"o" * 4096, b"n" * 4096


def slow_device(hall: DstHall) -> FaultyDevice:
    return FaultyDevice(hall.reactor, SIZE, prompt=False)


def test_what_is_written_is_read_and_errors_are_the_remote_ones() -> None:
    with DstHall() as hall:
        device = FaultyDevice(hall.reactor, SIZE)
        node = hall.node(hall.export(device))
        requests = [write(100, NEW), read(100, 4096), ask(FLUSH)]
        node.submit(requests[:1])
        hall.wait(requests[0])
        node.submit(requests[1:])
        hall.wait(*requests)
        assert content(requests[1]) == NEW
        device.fail(errno.ENOSPC, WRITE)
        failed = write(0, OLD)
        node.submit([failed])
        hall.wait(failed)
        assert failed.error == errno.ENOSPC


def test_fast_zeroes_that_a_device_does_not_promise_are_refused_before_it_gets_them() -> None:
    """A device need not know the flag: it might write them, however long that takes."""
    with DstHall() as hall:
        device = FaultyDevice(hall.reactor, SIZE)
        node = hall.node(hall.export(device))
        request = ask(WRITE_ZEROES, 0, 4096, flags=FAST_ZERO)
        node.submit([request])
        hall.wait(request)
        assert (request.error, device.got) == (errno.ENOTSUP, [])


@pytest.mark.parametrize("ordered_above", [False, True])
def test_a_write_that_ended_unanswered_keeps_its_extent_until_it_is_answered(ordered_above: bool) -> None:
    """A stalled write must not revert a newer one that was acked."""
    with DstHall() as hall:
        device = slow_device(hall)
        node = hall.node(hall.export(device), SHORT, ordered_above=ordered_above)
        stalled, newer, beside = write(0, OLD), write(2048, NEW), write(8192, NEW)
        node.submit([stalled])
        hall.wait(stalled)
        assert stalled.error == errno.EIO
        node.submit([newer, beside])
        hall.until(lambda: len(device.waiting) == 2)
        assert [request.offset for request in device.waiting] == [0, 8192]
        device.answer()
        hall.until(lambda: len(device.waiting) == 1)
        device.answer()
        hall.wait(newer, beside)
        assert (newer.error, beside.error) == (0, 0)
        assert bytes(device.bytes[2048:6144]) == NEW


@pytest.mark.parametrize("ordered_above", [False, True])
def test_after_a_reconnect_nothing_of_the_old_link_runs_beside_what_the_new_one_brings(
    ordered_above: bool,
) -> None:
    with DstHall() as hall:
        device = slow_device(hall)
        export = hall.export(device)
        node = hall.node(export, SHORT, ordered_above=ordered_above)
        stalled = write(0, OLD)
        node.submit([stalled])
        hall.wait(stalled)
        newer = write(0, NEW)
        node.submit([newer])
        export.cut()
        hall.pass_time(30 * MS)
        assert len(device.waiting) == 1, "the welcome waits for what the old link had begun"
        device.answer()
        hall.until(lambda: node.up and len(device.waiting) == 1)
        device.answer()
        hall.wait(newer)
        assert newer.error == 0
        assert bytes(device.bytes[:4096]) == NEW
        assert (node._extents.gate is None) == ordered_above, "below an array it orders nothing without need"


def test_a_write_held_behind_an_unanswered_one_fails_when_its_own_budget_ends() -> None:
    with DstHall() as hall:
        device = slow_device(hall)
        node = hall.node(hall.export(device), SHORT, ordered_above=True)
        stalled, newer, last = write(0, OLD), write(0, NEW), write(0, OLD)
        for request in (stalled, newer):
            node.submit([request])
            hall.wait(request)
            assert request.error == errno.EIO
        node.submit([last])
        device.answer()
        hall.until(lambda: len(device.waiting) == 1)
        device.answer()
        hall.wait(last)
        assert last.error == 0
        assert [op for op, _, _ in device.got] == [WRITE, WRITE]


def test_with_its_extents_free_again_a_node_below_an_array_orders_nothing_itself() -> None:
    with DstHall() as hall:
        device = slow_device(hall)
        node = hall.node(hall.export(device), SHORT, ordered_above=True)
        stalled = write(0, OLD)
        node.submit([stalled])
        hall.wait(stalled)
        assert node._extents.gate is not None
        running = write(4096, NEW)
        node.submit([running])
        hall.until(lambda: len(device.waiting) == 2)
        device.answer(device.waiting[0])
        hall.until(lambda: node._extents.gate is None)
        device.answer()
        hall.wait(running)
        assert running.error == 0


def test_the_link_is_cut_under_load_and_nobody_sees_an_error() -> None:
    with DstHall() as hall:
        device = FaultyDevice(hall.reactor, SIZE)
        export = hall.export(device)
        node = hall.node(export)
        requests: list[Request] = []
        for turn in range(40):
            batch = [write(i * 4096, bytes([turn]) * 4096) for i in range(16)] + [read(0, 70000)]
            requests += batch
            node.submit(batch)
            hall.pass_time(1 * MS)
            if turn % 5 == 0:
                export.cut()
        hall.wait(*requests)
        assert {request.error for request in requests} == {0}
        assert bytes(device.bytes[: 16 * 4096]) == bytes([39]) * 16 * 4096
        assert node.status()["link"]["connects"] > 1


def test_a_read_that_may_fail_fast_does_when_the_link_is_lost_and_while_it_is_down() -> None:
    with DstHall() as hall:
        device = slow_device(hall)
        export = hall.export(device)
        node = hall.node(export)
        under_way, patient = read(0, 4096, FAIL_FAST), read(0, 4096)
        node.submit([under_way, patient])
        hall.until(lambda: len(device.waiting) == 2)
        export.go_away()
        hall.wait(under_way)
        later = read(0, 4096, FAIL_FAST)
        node.submit([later])
        hall.wait(later)
        assert (under_way.error, later.error) == (errno.ENOLINK, errno.ENOLINK)
        assert not is_done(patient)
        device.answer()
        device.prompt = True
        export.start()
        hall.wait(patient)
        assert patient.error == 0


def test_requests_that_fail_and_come_back_at_once_do_not_multiply_timers() -> None:
    with DstHall() as hall:
        device = slow_device(hall)
        patience = Policy(resend_timeout_ns=5 * MS, resends=1000)
        node = hall.node(hall.export(device), patience)
        failed: list[int] = []

        def again(requests: list[Request]) -> None:
            failed.extend(request.error for request in requests)
            if len(failed) < 30:
                node.submit([Request(READ, FAIL_FAST, 0, 512, None, None, again)])

        node.submit([Request(READ, FAIL_FAST, 0, 512, None, None, again)])
        patient = read(0, 512)
        node.submit([patient])
        hall.until(lambda: len(failed) == 30)
        assert set(failed) == {errno.ENOLINK}
        checks = [timer for timer in hall.reactor._timers if timer.call == node._budgets._check]
        assert len(checks) <= 1
        device.answer()
        hall.wait(patient)


def test_an_abandoned_node_fails_everything_at_once_and_takes_late_answers_calmly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with DstHall() as hall:
        device = slow_device(hall)
        node = hall.node(hall.export(device), ordered_above=True)
        requests = [write(0, NEW), read(4096, 4096), read(8192, 200_000), ask(FLUSH)]
        node.submit(requests)
        hall.until(lambda: len(device.waiting) == 4)
        node.abandon()
        assert is_done(*requests)
        assert {request.error for request in requests} == {errno.EIO}
        assert "budget" not in caplog.text  # for none has ended
        device.answer()
        check = read(0, 4096)
        device.prompt = True
        node.submit([check])
        hall.wait(check)
        assert content(check) == NEW


def test_what_is_abandoned_before_it_was_sent_is_not_sent() -> None:
    with DstHall() as hall:
        device = FaultyDevice(hall.reactor, SIZE)
        node = hall.node(hall.export(device))
        given_up, check = write(0, NEW), read(0, 4096)
        node.submit([given_up])
        node.abandon()
        node.submit([check])
        hall.wait(given_up, check)
        assert given_up.error == errno.EIO
        assert device.got == [(READ, 0, 4096)]


def test_closing_a_node_ends_what_is_held_too() -> None:
    with DstHall() as hall:
        device = slow_device(hall)
        node = hall.node(hall.export(device))
        requests = [write(0, NEW), write(0, OLD), read(0, 4096)]
        node.submit(requests)
        hall.until(lambda: len(device.waiting) == 2)
        closed: list[bool] = []
        node.close(lambda: closed.append(is_done(*requests)))
        hall.until(lambda: bool(closed))
        assert closed == [True]
        assert {request.error for request in requests} == {errno.ESHUTDOWN}
        hall.nodes.clear()


def test_another_device_at_the_same_place_is_never_written_to() -> None:
    with DstHall() as hall:
        export = hall.export(FaultyDevice(hall.reactor, SIZE, "one"))
        node = hall.node(export)
        other = FaultyDevice(hall.reactor, SIZE, "two")
        export.go_away()
        export.device = other
        held = write(0, NEW)
        hall.until(lambda: not node.up)
        node.submit([held])
        export.start()
        hall.wait(held)
        later = write(0, NEW)
        node.submit([later])
        hall.wait(later)
        assert (held.error, later.error) == (errno.EIO, errno.EIO)
        assert node.failure is not None
        assert other.got == []


def test_a_frozen_server_is_given_up_by_its_missing_pongs() -> None:
    pings = Policy(
        resend_timeout_ns=10 * SECOND, ping_interval_ns=20 * MS, ping_misses=2, backoff_min_ns=2 * MS
    )
    with DstHall() as hall:
        device = FaultyDevice(hall.reactor, SIZE)
        export = hall.export(device)
        node = hall.node(export, pings)
        assert export._server is not None
        for connection in export._server.connections:
            connection.link.pause()
        hall.until(lambda: not node.up)
        hall.until(lambda: node.up)
        assert node.status()["link"]["connects"] == 2
