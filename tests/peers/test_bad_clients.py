"""Clients that break the rules: they get a clear answer or a closed connection, nobody else notices."""

import errno
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.raw_nbd import EINVAL, EOVERFLOW, IHAVEOPT, OPT_GO, READ, WRITE, RawClient, packed
from support.site import Daemon, Site, wait_until

SIZE = 64 << 20
MIB = 1 << 20


@pytest.fixture
def server(site: Site) -> Daemon:
    return site.export(site.file("disk.img", SIZE, b"known" * 1000), "disk")


@pytest.fixture
def others(site: Site, server: Daemon) -> Iterator[RawClient]:
    """A well-behaved client that is there all the time; in the end it must still be served."""
    with RawClient(site.path("disk.nbd")) as client:
        client.go()
        yield client
        client.request(READ, 0, 5, cookie=1)
        assert client.reply() == (0, 1)
        assert client.take(5) == b"known"


@pytest.fixture
def bad(site: Site, others: RawClient) -> Iterator[RawClient]:
    with RawClient(site.path("disk.nbd")) as client:
        yield client


def memory(server: Daemon) -> int:
    """Bytes of the server's own memory, without file mappings."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


def test_garbage_instead_of_a_handshake_closes_that_connection(bad: RawClient) -> None:
    bad.socket.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)

    assert bad.is_closed()


def test_an_option_without_its_magic_closes_that_connection(bad: RawClient) -> None:
    bad.greet()
    bad.socket.sendall(struct.pack(">QII", 0x1234, OPT_GO, 0))

    assert bad.is_closed()


def test_an_option_that_announces_gigabytes_costs_no_memory(
    server: Daemon, others: RawClient, bad: RawClient
) -> None:
    before = memory(server)
    bad.greet()
    bad.socket.sendall(struct.pack(">QII", IHAVEOPT, OPT_GO, 0xFFFFFFFF))

    bad.flood(bytes(MIB), at_most=200 * MIB)

    assert memory(server) - before < 8 * MIB


def test_half_a_handshake_is_given_up_after_a_while(site: Site, server: Daemon, others: RawClient) -> None:
    with ExitStack() as held:
        halves = [held.enter_context(RawClient(site.path("disk.nbd"))) for _ in range(50)]
        for half in halves:
            half.socket.sendall(b"\0")
        others.request(READ, 0, 5, cookie=2)
        assert others.reply() == (0, 2)
        assert others.take(5) == b"known"

        assert all(half.is_closed() for half in halves)


def test_a_request_without_its_magic_closes_that_connection(bad: RawClient) -> None:
    bad.go()
    bad.socket.sendall(bytes(28))

    assert bad.is_closed()


def test_an_unknown_command_is_an_error_and_the_connection_lives_on(bad: RawClient) -> None:
    bad.go()
    bad.request(99, 0, 0, cookie=11)
    assert bad.reply() == (EINVAL, 11)

    bad.request(READ, 0, 5, cookie=12)
    assert bad.reply() == (0, 12)
    assert bad.take(5) == b"known"


def test_a_read_beyond_the_largest_is_an_error_and_costs_no_memory(server: Daemon, bad: RawClient) -> None:
    bad.go()
    before = memory(server)

    for length in (33 * MIB, 0xFFFFFFFF):
        bad.request(READ, 0, length, cookie=length)
        error, cookie = bad.reply()
        assert error in (EINVAL, EOVERFLOW)
        assert cookie == length
    assert memory(server) - before < 8 * MIB


def test_a_write_that_announces_gigabytes_is_refused(server: Daemon, bad: RawClient) -> None:
    bad.go()
    before = memory(server)
    bad.request(WRITE, 0, 0xFFFFFFFF)

    assert bad.is_closed()
    assert memory(server) - before < 8 * MIB


def test_a_write_out_of_range_is_an_error_and_its_payload_is_skipped(bad: RawClient) -> None:
    bad.go()
    bad.request(WRITE, SIZE - 10, 4096, b"\x25\x60\x95\x13" * 1024, cookie=5)
    error, cookie = bad.reply()
    assert (error in (errno.ENOSPC, EINVAL), cookie) == (True, 5)

    bad.request(READ, 0, 5, cookie=6)
    assert bad.reply() == (0, 6)


def test_a_client_that_leaves_in_the_middle_of_a_write_changes_nothing(site: Site, bad: RawClient) -> None:
    bad.go()
    bad.request(WRITE, 0, 4096, b"x" * 100)
    bad.socket.close()

    # The fixture of the others reads the old bytes afterwards.
    site.run("nbdinfo", "--size", site.nbd("disk"))


def test_a_client_that_never_reads_is_held_back_with_bounded_memory(
    server: Daemon, others: RawClient, bad: RawClient
) -> None:
    bad.go()
    before = memory(server)

    assert bad.flood(packed(READ, 0, MIB) * 100) == "blocked"
    for cookie in range(100):
        others.request(READ, 0, 5, cookie=cookie)
        assert others.reply() == (0, cookie)
        others.take(5)
    # CLIENT_BYTES_MAX is 64 MiB: that much may wait for this client, and little more.
    assert memory(server) - before < 96 * MIB


def test_writes_of_a_client_that_never_reads_are_held_back_too(
    server: Daemon, others: RawClient, bad: RawClient
) -> None:
    bad.go()
    before = memory(server)

    assert bad.flood((packed(WRITE, 8192, 512) + b"w" * 512) * 100) == "blocked"
    others.request(READ, 8192, 5, cookie=3)
    assert others.reply() == (0, 3)
    assert others.take(5) == b"wwwww"
    assert memory(server) - before < 96 * MIB


@pytest.mark.parametrize(
    "said",
    [b"GET / HTTP/1.1\r\n\r\n" * 20, bytes(range(256)) * 16, bytes(4096)],
    ids=["http", "bytes", "zeroes"],
)
def test_garbage_on_the_dst_port_closes_that_connection(site: Site, others: RawClient, said: bytes) -> None:
    with RawClient(site.path("disk.dst")) as stranger:
        stranger.socket.sendall(said)

        assert stranger.is_closed()


def test_many_connections_that_come_and_go_leave_nothing_in_the_server(
    site: Site, server: Daemon, others: RawClient
) -> None:
    folder = Path(f"/proc/{server.process.pid}/fd")
    before = len(list(folder.iterdir()))
    for number in range(300):
        with RawClient(site.path("disk.nbd")) as visitor:
            if number % 3:
                visitor.go()
            if number % 3 == 2:
                visitor.request(READ, 0, MIB)

    wait_until(lambda: len(list(folder.iterdir())) <= before, "the server closes what its clients left")
