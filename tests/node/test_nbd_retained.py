"""NbdNode without another copy: what was acked and not flushed is written again after a reconnect."""

import errno
import random
from collections.abc import Callable, Iterator

import pytest

from dsttool.engine.device.request import Request
from dsttool.engine.node.nbd import NbdNode
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.limits import KIB, MIB, MS, SECOND
from dsttool.engine.vocabulary.operations import FLUSH, FUA, READ, TRIM, WRITE, WRITE_ZEROES
from support.nbd_servers import Host, Servers, ask, content, read, write
from support.raw_nbd_server import EVERYTHING, SEND_FLUSH, Asked, RawServer

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
    for _ in range(5000):
        if host.reactor.run_until(condition, 5 * MS):
            return
    pytest.fail("it did not happen")


def come(host: Host, server: RawServer, link: int, count: int) -> list[Asked]:
    see(host, lambda: len(server.asked(link)) >= count)
    return server.asked(link)


def quiet(host: Host, server: RawServer, link: int, count: int) -> None:
    for _ in range(12):
        assert not host.reactor.run_until(lambda: len(server.asked(link)) > count, 5 * MS)


def do(host: Host, server: RawServer, node: NbdNode, link: int, *requests: Request) -> None:
    """Have requests that do not overlap carried out."""
    before = len(server.asked(link))
    node.submit(list(requests))
    for asked in come(host, server, link, before + len(requests))[before:]:
        server.answer(asked)
    host.wait(*requests)
    assert {request.error for request in requests} == {0}


def said(asked: list[Asked]) -> list[tuple[int, int, bytes]]:
    return [(a.op, a.offset, a.data) for a in asked]


def test_acked_writes_that_were_not_flushed_are_written_again_before_all_else(
    serve: Serve, host: Host
) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=PATIENT, retain=True)
    verifier = node.verifier
    told: list[str] = []
    node.on_verifier = lambda: told.append("verifier")
    node.on_up = lambda: told.append("up")
    do(host, server, node, 0, write(0, b"flushed"))
    do(host, server, node, 0, ask(FLUSH))
    do(host, server, node, 0, write(0, b"one"), write(512, b"two"), ask(TRIM, 4096, 512))
    do(host, server, node, 0, ask(WRITE_ZEROES, 8192, 512), read(0, 4), write(16384, b"fua", FUA))
    waiting = write(512, b"unanswered")
    node.submit([waiting])
    come(host, server, 0, 9)
    server.cut(0)
    again = come(host, server, 1, 4)
    assert said(again) == [
        (WRITE, 0, b"one"),
        (WRITE, 512, b"two"),
        (TRIM, 4096, b""),
        (WRITE_ZEROES, 8192, b""),
    ]
    assert not node.up
    quiet(host, server, 1, 4)
    for asked in again:
        server.answer(asked)
    last = come(host, server, 1, 5)[4]
    assert last.data == b"unanswered"
    assert told == ["up"]
    server.answer(last)
    host.wait(waiting)
    assert node.verifier == verifier


def test_of_overlapping_writes_only_the_last_is_written_again(serve: Serve, host: Host) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=PATIENT, retain=True)
    for data in (b"first", b"second"):
        do(host, server, node, 0, write(0, data))
    server.cut(0)
    (again,) = come(host, server, 1, 1)
    quiet(host, server, 1, 1)
    assert again.data == b"second"
    server.answer(again)
    host.until(lambda: node.up)


def test_a_flush_covers_what_was_acked_before_it_was_sent_and_nothing_else(serve: Serve, host: Host) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=PATIENT, retain=True)
    do(host, server, node, 0, write(0, b"before"))
    flush, late = ask(FLUSH), write(512, b"late")
    node.submit([flush])
    sent = come(host, server, 0, 2)[1]
    do(host, server, node, 0, late)
    server.answer(sent)
    host.wait(flush)
    assert flush.data == node.verifier
    server.cut(0)
    (again,) = come(host, server, 1, 1)
    assert again.data == b"late"
    server.answer(again)
    host.until(lambda: node.up)


def test_what_was_written_again_stays_retained_until_a_flush(serve: Serve, host: Host) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=PATIENT, retain=True)
    do(host, server, node, 0, write(0, b"x"))
    for link in range(1, 4):
        server.cut(link - 1)
        (again,) = come(host, server, link, 1)
        if link == 2:
            continue  # lost once more in the middle
        server.answer(again)
        host.until(lambda: node.up)
    do(host, server, node, 3, ask(FLUSH))
    server.cut(3)
    see(host, lambda: len(server.links) == 5 and node.up)
    quiet(host, server, 4, 0)


def test_what_cannot_be_written_again_ends_the_node(serve: Serve, host: Host) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=PATIENT, retain=True)
    do(host, server, node, 0, write(0, b"x"))
    server.cut(0)
    waiting = read(0, 1)
    node.submit([waiting])
    server.answer(come(host, server, 1, 1)[0], errno.ENOSPC)
    host.wait(waiting)
    assert waiting.error == errno.EIO
    assert "lost acked writes" in str(node.failure)
    assert not node.up


def test_after_a_failed_flush_everything_is_written_again(serve: Serve, host: Host) -> None:
    server = serve()
    node = host.node(server.endpoint, policy=PATIENT, retain=True)
    verifier = node.verifier
    do(host, server, node, 0, write(0, b"x"))
    flush = ask(FLUSH)
    node.submit([flush])
    server.answer(come(host, server, 0, 2)[1], errno.EIO)
    host.wait(flush)
    assert flush.error == errno.EIO
    (again,) = come(host, server, 1, 1)
    assert again.data == b"x"
    server.answer(again)
    host.until(lambda: node.up)
    assert node.verifier == verifier


def test_the_pieces_of_a_large_write_are_written_again(serve: Serve, host: Host) -> None:
    """A server without WRITE_ZEROES: what is retained is what it was sent."""
    server = serve(flags=1 | SEND_FLUSH, size=8 * MIB)
    node = host.node(server.endpoint, policy=PATIENT, retain=True)
    request = ask(WRITE_ZEROES, 0, 3 * MIB)
    node.submit([request])
    for asked in come(host, server, 0, 3):
        server.answer(asked)
    host.wait(request)
    server.cut(0)
    again = come(host, server, 1, 3)
    assert [(a.op, a.offset, a.length) for a in again] == [(WRITE, i * MIB, MIB) for i in range(3)]
    for asked in again:
        server.answer(asked)
    host.until(lambda: node.up)


def test_writing_again_waits_for_a_witness_of_an_earlier_try(serve: Serve, host: Host) -> None:
    server = serve()
    policy = Policy(resend_timeout_ns=SECOND, resends=1000, backoff_min_ns=MS, backoff_max_ns=2 * MS)
    node = host.node(server.endpoint, policy=policy, retain=True)
    do(host, server, node, 0, write(0, b"x"))
    server.cut(0)
    (stalled,) = come(host, server, 1, 1)
    see(host, lambda: len(server.links) == 3)
    quiet(host, server, 2, 0)
    server.answer(stalled)
    (again,) = come(host, server, 2, 1)
    server.answer(again)
    host.until(lambda: node.up)


def test_a_server_without_flush_changes_the_verifier_even_so(serve: Serve, host: Host) -> None:
    server = serve(flags=EVERYTHING & ~SEND_FLUSH)
    node = host.node(server.endpoint, policy=PATIENT, retain=True)
    verifier = node.verifier
    do(host, server, node, 0, write(0, b"x"))
    server.cut(0)
    see(host, lambda: len(server.links) == 2 and node.up)
    quiet(host, server, 1, 0)
    assert node.verifier != verifier


def test_past_half_of_the_bound_the_node_flushes_by_itself(serve: Serve, host: Host) -> None:
    server = serve(size=64 * MIB)
    node = host.node(server.endpoint, policy=PATIENT, retain=True)
    assert node._repair is not None
    node._repair.retained._half = MIB
    do(host, server, node, 0, write(0, b"x" * (MIB + 1)))
    flush = come(host, server, 0, 2)[1]
    assert flush.op == FLUSH
    assert node.in_flight == 0
    server.answer(flush)
    host.until(lambda: node._repair is not None and node._repair.retained.bytes == 0)


# -- Real servers


def test_a_server_that_loses_its_memory_again_and_again_loses_nothing(servers: Servers, host: Host) -> None:
    """nbdkit with a RAM disk: whatever was not flushed is gone with it, and a flush saves nothing either,
    so nothing is flushed here."""
    path = servers.folder / "ram"

    def start() -> None:
        path.unlink(missing_ok=True)
        servers.start("ram", ["nbdkit", "-f", "-U", str(path), "memory", "4M"])

    start()
    node = host.node(Endpoint("unix", path=str(path)), policy=PATIENT, retain=True)
    rng = random.Random(5)
    model = bytearray(4 * MIB)
    for _ in range(5):
        batch = []
        for _ in range(100):
            offset = rng.randrange(len(model) - 32 * KIB)
            data = rng.randbytes(rng.randrange(1, 32 * KIB))
            batch.append(write(offset, data))
            model[offset : offset + len(data)] = data
        node.submit(batch)
        host.until(lambda: sum(r.cookie.finished for r in batch) > 50)  # noqa: B023
        servers.processes[-1].kill()
        servers.processes[-1].wait()
        start()
        host.wait(*batch)
        assert {r.error for r in batch} == {0}
    whole = read(0, len(model))
    assert host.run(node, whole) == [0]
    assert whole.op == READ
    assert content(whole) == model
