"""NbdNode over a server that a test moves step by step: what is sent when, and what must wait for what."""

import errno
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from dsttool.engine.node.nbd import NbdNode
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.vocabulary.limits import MS, SECOND
from dsttool.engine.vocabulary.operations import FAIL_FAST, FLUSH, FUA, TRIM, WRITE
from support.nbd_servers import Host, ask, content, read, write
from support.raw_nbd_server import EVERYTHING, HAS_FLAGS, SEND_FLUSH, Asked, RawServer

# The link is given up after 400 ms of silence; budgets last for ever, as tests go.
RESTLESS = Policy(resend_timeout_ns=400 * MS, resends=10_000, backoff_min_ns=MS, backoff_max_ns=2 * MS)
PATIENT = Policy(resend_timeout_ns=100 * SECOND, backoff_min_ns=MS, backoff_max_ns=2 * MS)

Serve = Callable[..., RawServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    made: list[RawServer] = []

    def start(**options: object) -> RawServer:
        made.append(RawServer(**options))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for server in made:
        server.close()


def see(host: Host, condition: Callable[[], bool]) -> None:
    """Wait for what the server's threads tell, which does not wake the reactor."""
    for _ in range(5000):
        if host.reactor.run_until(condition, 5 * MS):
            return
    pytest.fail("it did not happen")


def come(host: Host, server: RawServer, link: int, count: int) -> list[Asked]:
    """Wait until so many requests have come on a connection."""
    see(host, lambda: len(server.asked(link)) >= count)
    return server.asked(link)


def quiet(host: Host, server: RawServer, link: int, count: int) -> None:
    """No more than so many requests come on a connection."""
    for _ in range(12):
        assert not host.reactor.run_until(lambda: len(server.asked(link)) > count, 5 * MS)


def silent_link(host: Host, server: RawServer, node: NbdNode) -> None:
    """Have the node give its connection up and make the next."""
    links = len(server.links)
    see(host, lambda: len(server.links) > links and node.up)


# -- Sent again


def test_unanswered_requests_are_sent_again_in_the_order_of_their_ids(serve: Serve, host: Host) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=PATIENT)
    batch = [write(4096 * i, bytes([i]) * 512) for i in range(5)] + [read(0, 8), ask(FLUSH)]
    node.submit(batch)
    first = come(host, server, 0, 7)
    server.answer(first[1])
    host.wait(batch[1])
    server.cut(0)
    again = come(host, server, 1, 6)
    assert [(a.cookie, a.op, a.offset, a.data) for a in again] == [
        (a.cookie, a.op, a.offset, a.data) for a in first if a is not first[1]
    ]
    for asked in again:
        server.answer(asked)
    host.wait(*batch)
    assert {r.error for r in batch} == {0}
    assert node.status()["resends"] == 6


def test_a_write_that_overlaps_is_sent_after_the_one_sent_again_was_answered(
    serve: Serve, host: Host
) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=PATIENT)
    node.submit([write(0, b"old"), write(0, b"new")])
    come(host, server, 0, 1)
    server.cut(0)
    (old,) = come(host, server, 1, 1)
    quiet(host, server, 1, 1)
    server.answer(old)
    new = come(host, server, 1, 2)[1]
    assert (old.data, new.data) == (b"old", b"new")
    server.answer(new)


def test_pieces_answered_before_the_loss_are_sent_again_and_the_flush_for_fua_comes_last(
    serve: Serve, host: Host
) -> None:
    server = serve(flags=HAS_FLAGS | SEND_FLUSH)
    node = host.node(server.endpoint, policy=PATIENT)
    request = write(0, b"x" * 512, FUA)
    node.submit([request])
    server.answer(come(host, server, 0, 1)[0])
    assert come(host, server, 0, 2)[1].op == FLUSH
    server.cut(0)
    (again,) = come(host, server, 1, 1)
    assert (again.op, again.data) == (WRITE, b"x" * 512)
    quiet(host, server, 1, 1)
    server.answer(again)
    flush = come(host, server, 1, 2)[1]
    assert flush.op == FLUSH
    assert request.cookie.finished == 0
    server.answer(flush)
    host.wait(request)
    assert request.error == 0


# -- Witnesses: connections that were given up and may still answer


def test_nothing_overlapping_is_sent_before_the_lost_connection_has_answered(
    serve: Serve, host: Host
) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=RESTLESS)
    old, new, elsewhere = write(0, b"old"), write(2, b"new"), write(4096, b"elsewhere")
    node.submit([old])
    (stalled,) = come(host, server, 0, 1)
    silent_link(host, server, node)
    see(host, lambda: server.closed == {0})  # half closed: the server sees that nothing more comes
    (again,) = come(host, server, 1, 1)
    assert again.data == b"old"
    node.submit([new, elsewhere])
    server.answer(again)
    host.wait(old)
    assert come(host, server, 1, 2)[1].data == b"elsewhere"
    server.answer(server.asked(1)[1])
    host.wait(elsewhere)
    server.answer(stalled)
    assert come(host, server, 1, 3)[2].data == b"new"
    server.answer(server.asked(1)[2])
    host.wait(new)
    assert (old.error, new.error) == (0, 0)


def test_a_witness_that_the_server_closes_has_nothing_more_to_tell(serve: Serve, host: Host) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=RESTLESS)
    node.submit([write(0, b"old")])
    come(host, server, 0, 1)
    silent_link(host, server, node)
    node.submit([write(0, b"new")])
    server.answer(come(host, server, 1, 1)[0])
    server.cut(0)
    server.answer(come(host, server, 1, 2)[1])
    host.until(lambda: node.in_flight == 0)


def test_a_witness_is_dismissed_when_the_link_was_up_for_a_resend_timeout(serve: Serve, host: Host) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=RESTLESS)
    node.submit([write(0, b"old")])
    come(host, server, 0, 1)
    silent_link(host, server, node)
    up_at = host.reactor.now
    node.submit([write(0, b"new")])
    server.answer(come(host, server, 1, 1)[0])
    server.answer(come(host, server, 1, 2)[1])
    host.until(lambda: node.in_flight == 0)
    assert host.reactor.now - up_at >= 380 * MS


def test_answers_of_a_witness_are_no_answers_to_what_was_sent_again(serve: Serve, host: Host) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=RESTLESS)
    one, change = read(0, 4), write(0, b"x")
    node.submit([one, change])
    stalled = come(host, server, 0, 2)
    silent_link(host, server, node)
    again = come(host, server, 1, 2)
    server.answer(stalled[0], data=b"old!")
    server.answer(stalled[1], errno.ENOSPC)
    host.reactor.run_until(lambda: False, 20 * MS)
    assert one.cookie.finished == change.cookie.finished == 0
    server.answer(again[0], data=b"new!")
    server.answer(again[1])
    host.wait(one, change)
    assert content(one) == b"new!"
    assert change.error == 0


def test_a_server_that_hangs_again_and_again_has_few_connections(serve: Serve, host: Host) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=replace(RESTLESS, resend_timeout_ns=20 * MS))
    node.submit([write(0, b"x")])
    see(host, lambda: len(server.links) >= 8)
    assert len(node._link.witnesses) <= 4
    server.answer(come(host, server, len(server.links) - 1, 1)[0])


# -- Slow is not dead


def test_a_server_that_answers_anything_is_not_cut_for_what_it_does_not_answer(
    serve: Serve, host: Host
) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=RESTLESS)
    stuck = write(0, b"slow")
    node.submit([stuck])
    asked = come(host, server, 0, 1)[0]
    for number in range(1, 16):
        one = read(4096, 1)
        node.submit([one])
        server.answer(come(host, server, 0, number + 1)[number])
        host.wait(one)
        host.reactor.run_until(lambda: False, 40 * MS)
    assert node.status()["link"]["connects"] == 1
    server.answer(asked)
    host.wait(stuck)


# -- Budgets that end


def test_a_write_whose_budget_ended_keeps_its_extent_until_it_is_answered(serve: Serve, host: Host) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=PATIENT)
    lost, later = write(0, b"lost"), write(2, b"later")
    node.submit([lost, later])
    (stalled,) = come(host, server, 0, 1)
    node.abandon()
    host.wait(lost, later)
    assert (lost.error, later.error) == (errno.EIO, errno.EIO)
    assert [(t["offset"], t["state"]) for t in node.transactions()] == [(0, "exhausted")]
    overlapping, elsewhere = write(3, b"x"), write(512, b"y")
    node.submit([overlapping, elsewhere])
    assert come(host, server, 0, 2)[1].data == b"y"
    quiet(host, server, 0, 2)
    server.answer(stalled)
    assert come(host, server, 0, 3)[2].data == b"x"
    assert next(iter(node.transactions()))["state"] == "in_flight"
    for asked in server.asked(0)[1:]:
        server.answer(asked)
    host.wait(overlapping, elsewhere)


def test_a_write_whose_budget_ended_is_not_sent_again(serve: Serve, host: Host) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=PATIENT)
    lost = write(0, b"lost")
    node.submit([lost])
    come(host, server, 0, 1)
    node.abandon()
    host.wait(lost)
    server.cut(0)
    see(host, lambda: len(server.links) == 2 and node.up)
    later = write(0, b"later")
    node.submit([later])
    assert come(host, server, 1, 1)[0].data == b"later"
    server.answer(server.asked(1)[0])
    host.wait(later)


def test_late_answers_count_against_the_window(serve: Serve, host: Host) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=Policy(resend_timeout_ns=100 * SECOND, window=4))
    node.submit([read(i, 1) for i in range(3)])
    come(host, server, 0, 3)
    node.abandon()
    host.until(lambda: node.in_flight == 0)
    more = [read(100 + i, 1) for i in range(3)]
    node.submit(more)
    assert come(host, server, 0, 4)[3].offset == 100
    quiet(host, server, 0, 4)
    server.answer(server.asked(0)[0])
    assert come(host, server, 0, 5)[4].offset == 101
    for asked in server.asked(0)[1:]:
        server.answer(asked)
    server.answer(come(host, server, 0, 6)[5])
    host.wait(*more)
    assert {r.error for r in more} == {0}


def test_a_fast_read_that_is_answered_late_harms_nobody(serve: Serve, host: Host) -> None:
    server = serve(structured=True)
    node = host.node(server.endpoint, policy=Policy(resend_timeout_ns=200 * MS, resends=100))
    fast = read(0, 4, FAIL_FAST)
    node.submit([fast])
    (late,) = come(host, server, 0, 1)
    host.wait(fast)
    assert fast.error == errno.ENOLINK
    server.send(0, struct.pack(">IHHQIQ", 0x668E33EF, 1, 1, late.cookie, 12, 0) + b"late")
    one = read(0, 4)
    node.submit([one])
    asked = come(host, server, 0, 2)[1]
    server.send(0, struct.pack(">IHHQIQ", 0x668E33EF, 1, 1, asked.cookie, 12, 0) + b"good")
    host.wait(one)
    assert content(one) == b"good"
    assert fast.cookie.finished == 1


# -- Hostile servers

LINK_BREAKERS = {
    "an answer nobody waits for": struct.pack(">IIQ", 0x67446698, 0, 999),
    "another magic": bytes(64),
    "bytes outside of the read": struct.pack(">IHHQIQ", 0x668E33EF, 1, 1, 1, 12, 4096) + b"abcd",
    "a payload without end": struct.pack(">IHHQI", 0x668E33EF, 1, 1, 1, 0xFFFFFFFF),
    "an unfinished read": struct.pack(">IHHQI", 0x668E33EF, 1, 0, 1, 0),
    "block status": struct.pack(">IHHQI", 0x668E33EF, 1, 5, 1, 12) + bytes(12),
    "a held write answered": struct.pack(">IIQ", 0x67446698, 0, 3),
}


@pytest.mark.parametrize("name", LINK_BREAKERS)
def test_a_server_that_breaks_the_protocol_is_left_and_asked_again(
    serve: Serve, host: Host, name: str
) -> None:
    server = serve(structured=True)
    node = host.node(server.endpoint, policy=PATIENT)
    one, change, waiting = read(0, 4), write(512, b"x"), write(512, b"y")
    node.submit([one, change, waiting])
    come(host, server, 0, 2)
    server.send(0, LINK_BREAKERS[name])
    asked = come(host, server, 1, 2)
    assert (one.cookie.finished, change.cookie.finished) == (0, 0)
    server.send(1, struct.pack(">IHHQIQ", 0x668E33EF, 1, 1, asked[0].cookie, 12, 0) + b"good")
    server.answer(asked[1])
    host.wait(one, change)
    assert content(one) == b"good"
    server.answer(come(host, server, 1, 3)[2])
    host.wait(waiting)


def test_what_was_answered_with_the_last_good_bytes_counts(serve: Serve, host: Host) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=PATIENT)
    one, two = write(0, b"x"), write(512, b"y")
    node.submit([one, two])
    asked = come(host, server, 0, 2)
    server.send(0, struct.pack(">IIQ", 0x67446698, 0, asked[0].cookie) + bytes(100))
    host.wait(one)
    assert one.error == 0
    (again,) = come(host, server, 1, 1)
    assert again.data == b"y"
    server.answer(again)
    host.wait(two)


def test_a_server_that_only_shakes_hands_is_asked_ever_more_rarely(serve: Serve, host: Host) -> None:
    server = serve()
    policy = Policy(resend_timeout_ns=100 * SECOND, backoff_min_ns=10 * MS, backoff_max_ns=10 * SECOND)
    node = host.node(server.endpoint, policy=policy)
    node.submit([write(0, b"x")])
    for number in range(5):
        come(host, server, number, 1)
        server.cut(number)
    before = host.reactor.now
    come(host, server, 5, 1)
    assert host.reactor.now - before >= 10 * MS * 2**4 // 2
    server.answer(server.asked(5)[0])
    host.until(lambda: node.in_flight == 0)


def test_a_server_that_refuses_everybody_is_tried_again(serve: Serve, host: Host) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=PATIENT)
    server.refusing = True
    see(host, lambda: bool(server.links))  # the handshake has ended at its side, too
    server.cut(0)
    host.until(lambda: not node.up)
    request = ask(TRIM, 0, 512)
    node.submit([request])
    host.reactor.run_until(lambda: False, 50 * MS)
    server.refusing = False
    server.answer(come(host, server, 1, 1)[0])
    host.wait(request)
    assert request.error == 0


@pytest.mark.parametrize("structured", [False, True])
def test_a_read_is_the_same_in_either_kind_of_reply(serve: Serve, host: Host, structured: bool) -> None:
    server = serve(structured=structured, flags=EVERYTHING)
    node = host.node(server.endpoint, policy=PATIENT)
    assert node.structured == structured
    one = read(512, 8)
    node.submit([one])
    (asked,) = come(host, server, 0, 1)
    if structured:
        hole = struct.pack(">IHHQIQI", 0x668E33EF, 0, 2, asked.cookie, 12, 516, 4)
        tail = struct.pack(">IHHQIQ", 0x668E33EF, 1, 1, asked.cookie, 12, 512) + b"data"
        for at in range(0, len(hole + tail), 7):
            server.send(0, (hole + tail)[at : at + 7])
    else:
        server.answer(asked, data=b"data\0\0\0\0")
    host.wait(one)
    assert content(one) == b"data\0\0\0\0"
