"""DST clients that break the rules: the server's memory stays bounded, and nobody else notices."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.operations import READ, WRITE
from dsttool.engine.wire.dst_hello import READ_ONLY
from dsttool.engine.wire.dst_records import CROSSOVER, PAYLOAD, PING
from support.raw_dst import RawDst, batch, head, record
from support.site import Daemon, Site

SIZE = 256 << 20
MIB = 1 << 20


@pytest.fixture
def server(site: Site) -> Daemon:
    """Memory, where every read that waits for its client costs what it weighs."""
    return site.export(site.file("disk.img", SIZE, b"known"), "disk")


@pytest.fixture
def others(site: Site, server: Daemon) -> Iterator[RawDst]:
    """A well-behaved client that is there all the time; in the end it must still be served."""
    with RawDst(site.path("disk.dst")) as client:
        client.connect("disk", access=READ_ONLY)
        yield client
        client.socket.sendall(batch(head(READ, 0, 5, id_=9), 1))
        assert client.replies() == [(9, 0)]


@pytest.fixture
def bad(site: Site, others: RawDst) -> Iterator[RawDst]:
    with RawDst(site.path("disk.dst")) as client:
        client.connect("disk")
        yield client


def memory(server: Daemon) -> int:
    """Bytes of the server's own memory, without file mappings."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


def flood(client: RawDst, message: bytes, at_most: int = 1 << 30) -> str:
    """Send the same again and again without reading: until 'blocked' for 2 s, or 'closed'."""
    client.socket.settimeout(2)
    for _ in range(at_most // len(message)):
        try:
            client.socket.sendall(message)
        except TimeoutError:
            return "blocked"
        except (BrokenPipeError, ConnectionResetError):
            return "closed"
    return "neither"


def test_a_record_of_reads_beyond_the_window_costs_no_memory(server: Daemon, bad: RawDst) -> None:
    before = memory(server)
    one = batch(head(READ, 1, 32 * MIB - 1) * 1000, 1000)

    assert flood(bad, one) in ("blocked", "closed")
    assert memory(server) - before < limits.CLIENT_BYTES_MAX + limits.REQUEST_MAX + 32 * MIB


@pytest.mark.parametrize("length", [512, 4096])
def test_a_client_that_never_reads_its_replies_is_held_back(server: Daemon, bad: RawDst, length: int) -> None:
    before = memory(server)

    assert flood(bad, batch(head(READ, 0, length), 1) * 1000) == "blocked"
    assert memory(server) - before < limits.CLIENT_BYTES_MAX + 32 * MIB


def test_a_client_that_only_pings_and_never_reads_is_held_back(server: Daemon, bad: RawDst) -> None:
    before = memory(server)

    assert flood(bad, record(PING, bytes(8)) * 10_000) == "blocked"
    assert memory(server) - before < limits.CLIENT_BYTES_MAX + 32 * MIB


def test_a_payload_that_nobody_announced_closes_that_connection(bad: RawDst) -> None:
    bad.socket.sendall(record(PAYLOAD, bytes(CROSSOVER)))

    assert bad.is_closed()


def test_announcements_without_payloads_are_bounded(server: Daemon, bad: RawDst) -> None:
    before = memory(server)
    announced = batch(head(WRITE, 0, CROSSOVER) * 1000, 1000)

    assert flood(bad, announced) in ("blocked", "closed")
    assert memory(server) - before < 16 * MIB


def test_a_whole_window_of_announced_writes_is_taken(bad: RawDst) -> None:
    """Every request the window grants may be one whose payload comes after all the announcements."""
    count = limits.CLIENT_REQUESTS_MAX
    heads = b"".join(head(WRITE, id_ * CROSSOVER, CROSSOVER, id_=id_) for id_ in range(count))
    bad.socket.sendall(batch(heads, count))
    for _ in range(count):
        bad.socket.sendall(record(PAYLOAD, bytes(CROSSOVER)))

    answered: list[tuple[int, int]] = []
    while len(answered) < count:
        answered += bad.replies()
    assert sorted(answered) == [(id_, 0) for id_ in range(count)]
