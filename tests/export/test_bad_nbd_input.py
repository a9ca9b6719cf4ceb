"""Clients that break the rules, or are just unlucky: they get a clear answer or are closed, and the
others, of whom one is connected in every test, are served as before."""

import errno
import random
import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbd_hall import KNOWN, SIZE, Client, Hall, HeldDevice, LateDevice, packed

from dsttool.engine.export import nbd_connection
from dsttool.engine.node.memory import MemoryDevice
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.limits import KIB, MIB, MS
from dsttool.engine.vocabulary.operations import (
    BLOCK_STATUS,
    CACHE,
    DF,
    DISCONNECT,
    FAST_ZERO,
    FLUSH,
    FUA,
    READ,
    TRIM,
    WRITE,
    WRITE_ZEROES,
)

# How long the server may say nothing until "it holds back" is believed.
A_WHILE = 100 * MS


@pytest.fixture
def hall() -> Iterator[Hall]:
    with Hall() as made:
        yield made


@pytest.fixture
def other(hall: Hall) -> Iterator[Client]:
    """A well-behaved client; in the end it must still be served."""
    client = hall.client()
    yield client
    assert client.is_served()


@pytest.fixture
def bad(hall: Hall, other: Client) -> Client:
    return hall.client()


@pytest.fixture
def stranger(hall: Hall, other: Client) -> Client:
    return hall.stranger()


# -- Requests that cannot be carried out: an error each, and the connection goes on


@pytest.mark.parametrize("op", [READ, CACHE])
@pytest.mark.parametrize(("offset", "length"), [(SIZE - 1, 2), (SIZE, 1), (2**64 - 1, 1), (2**63, 4096)])
def test_a_read_out_of_range_is_invalid(bad: Client, op: int, offset: int, length: int) -> None:
    bad.say(packed(op, offset, length))
    assert bad.reply() == (errno.EINVAL, 7)
    assert bad.is_served()


@pytest.mark.parametrize("op", [WRITE, TRIM, WRITE_ZEROES])
@pytest.mark.parametrize(("offset", "length"), [(SIZE - 1, 2), (SIZE, 1), (2**64 - 1, 1), (2**63, 4096)])
def test_a_change_out_of_range_has_no_space(bad: Client, op: int, offset: int, length: int) -> None:
    bad.say(packed(op, offset, length) + (b"x" * length if op == WRITE else b""))
    assert bad.reply() == (errno.ENOSPC, 7)
    assert bad.is_served()


@pytest.mark.parametrize("length", [limits.REQUEST_MAX + 1, 2**32 - 1])
def test_a_read_too_long_is_invalid_and_takes_no_memory(hall: Hall, bad: Client, length: int) -> None:
    before = hall.reactor.pool.bytes_in_use
    bad.say(packed(READ, 0, length))
    assert bad.reply() == (errno.EINVAL, 7)
    assert hall.reactor.pool.bytes_in_use == before
    assert bad.is_served()


@pytest.mark.parametrize("length", [limits.REQUEST_MAX + 1, 2**32 - 1])
def test_a_write_too_long_closes_the_connection_before_its_payload_comes(
    hall: Hall, bad: Client, length: int
) -> None:
    before = hall.reactor.pool.bytes_in_use
    bad.say(packed(WRITE, 0, length))
    assert bad.is_closed()
    assert hall.reactor.pool.bytes_in_use <= before


@pytest.mark.parametrize("op", [8, 99, 0xFFFF, BLOCK_STATUS])
def test_an_unknown_command_is_invalid(bad: Client, op: int) -> None:
    bad.say(packed(op, 0, 512))
    assert bad.reply() == (errno.EINVAL, 7)
    assert bad.is_served()


@pytest.mark.parametrize(
    ("op", "flags"),
    [(READ, DF), (READ, 1 << 15), (WRITE, FAST_ZERO), (TRIM, 1 << 9), (WRITE_ZEROES, DF), (FLUSH, 1 << 14)],
)
def test_an_unknown_flag_is_invalid_and_changes_nothing(bad: Client, op: int, flags: int) -> None:
    length = 0 if op == FLUSH else 4
    bad.say(packed(op, 0, length, flags=flags) + (b"xxxx" if op == WRITE else b""))
    assert bad.reply() == (errno.EINVAL, 7)
    assert bad.is_served()


@pytest.mark.parametrize(("offset", "length"), [(1, 0), (0, 1)])
def test_a_flush_of_an_extent_is_invalid(bad: Client, offset: int, length: int) -> None:
    bad.say(packed(FLUSH, offset, length))
    assert bad.reply() == (errno.EINVAL, 7)
    assert bad.is_served()


@pytest.mark.parametrize("op", [READ, WRITE, TRIM, WRITE_ZEROES, CACHE])
def test_a_request_of_no_bytes_is_answered_and_changes_nothing(bad: Client, op: int) -> None:
    bad.say(packed(op, 0, 0))
    assert bad.reply()[1] == 7
    assert bad.is_served()


@pytest.mark.parametrize("flags", [0, FUA])
@pytest.mark.parametrize("op", [WRITE, TRIM, WRITE_ZEROES])
def test_a_change_of_a_read_only_export_is_not_permitted(op: int, flags: int) -> None:
    with Hall(read_only=True) as hall:
        other, bad = hall.client(), hall.client()
        bad.say(packed(op, 0, 4, flags=flags) + (b"xxxx" if op == WRITE else b""))
        assert bad.reply() == (errno.EPERM, 7)
        for client in (bad, other):
            client.say(packed(READ, 0, 4))
            assert client.reply() == (0, 7)
            assert client.hear(4) == bytes(4)


class Sectors(MemoryDevice):
    """Memory that takes only whole sectors, as a disk opened past the page cache does."""

    def __init__(self, hall: Hall) -> None:
        super().__init__(hall.reactor, SIZE)
        self.capabilities = replace(self.capabilities, block_min=512)


@pytest.mark.parametrize("op", [READ, WRITE, TRIM, WRITE_ZEROES])
@pytest.mark.parametrize(("offset", "length"), [(1, 512), (0, 511), (256, 256), (512, 513)])
def test_a_request_that_is_not_aligned_is_invalid(op: int, offset: int, length: int) -> None:
    with Hall() as hall:
        hall.offer.device = Sectors(hall)
        other, bad = hall.client(), hall.client()
        bad.say(packed(op, offset, length) + (b"x" * length if op == WRITE else b""))
        assert bad.reply() == (errno.EINVAL, 7)
        for client in (bad, other):
            client.say(packed(READ, 0, 1024))
            assert client.reply() == (0, 7)
            assert client.hear(1024) == bytes(1024)


# -- Streams that make no sense: the connection is closed


def test_a_request_with_a_wrong_magic_closes_the_connection(bad: Client) -> None:
    bad.say(b"\x25\x60\x95\x14" + packed(READ, 0, 4)[4:])
    assert bad.is_closed()


def test_what_came_before_a_wrong_magic_is_carried_out(hall: Hall, bad: Client) -> None:
    bad.say(packed(WRITE, 4096, 4) + b"done" + bytes(28))
    assert bad.is_closed()
    reader = hall.client()
    reader.say(packed(READ, 4096, 4))
    assert reader.reply() == (0, 7)
    assert reader.hear(4) == b"done"


def test_half_a_request_waits_for_its_other_half(bad: Client) -> None:
    request = packed(READ, 0, 4)
    bad.say(request[:13])
    bad.hall.reactor.turn()
    bad.say(request[13:])
    assert bad.reply() == (0, 7)
    assert bad.hear(4) == KNOWN[:4]


def test_a_write_in_single_bytes_is_carried_out(bad: Client) -> None:
    for byte in packed(WRITE, 4096, 3) + b"abc" + packed(READ, 4096, 3):
        bad.say(bytes([byte]))
        bad.hall.reactor.turn()
    assert bad.reply() == (0, 7)
    assert bad.reply() == (0, 7)
    assert bad.hear(3) == b"abc"


# -- Handshakes that lead nowhere


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes(64),
        b"\0\0\0\3NOTMYOPT" + bytes(8),
        b"\0\0\0\1IHAVEOPT" + struct.pack(">II", 1, 6) + b"nosuch",
    ],
    ids=["http", "zeroes", "magic", "export"],
)
def test_a_handshake_that_makes_no_sense_is_closed(hall: Hall, stranger: Client, said: bytes) -> None:
    stranger.say(said)
    assert stranger.is_closed()
    assert stranger.connection not in hall.server.connections


@pytest.mark.parametrize("said", [b"", b"\0", b"\0\0\0\3IHAVE", b"\0\0\0\3IHAVEOPT\0\0\0\7\0\0\0\6\0"])
def test_half_a_handshake_is_closed_when_its_time_is_over(
    hall: Hall, other: Client, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nbd_connection.limits, "HANDSHAKE_TIMEOUT_NS", 20 * MS)
    slow = hall.stranger()
    slow.say(said)
    assert slow.is_closed()
    assert slow.connection not in hall.server.connections


def test_a_client_past_its_handshake_has_no_deadline(
    hall: Hall, other: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nbd_connection.limits, "HANDSHAKE_TIMEOUT_NS", 300 * MS)
    idle = hall.client()
    assert not idle.is_closed(400 * MS)
    assert idle.is_served()


def test_a_handshake_that_never_ends_keeps_nothing_and_is_closed(
    hall: Hall, other: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nbd_connection.limits, "HANDSHAKE_TIMEOUT_NS", 200 * MS)
    before = hall.reactor.pool.bytes_in_use
    endless = hall.stranger()
    endless.say(b"\0\0\0\3IHAVEOPT" + struct.pack(">II", 7, 2**32 - 1))
    endless.say(bytes(16 * MIB))
    assert hall.reactor.pool.bytes_in_use - before <= limits.SEGMENT_BYTES
    assert endless.is_closed()


def test_a_client_too_many_is_refused(hall: Hall, other: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENTS_MAX", len(hall.server.connections) + 1)
    hall.client()
    refused = hall.stranger()
    assert refused.connection is None
    assert refused.is_closed()


# -- Clients that leave


def test_a_client_that_leaves_in_the_middle_of_a_payload_changes_nothing(hall: Hall, bad: Client) -> None:
    bad.say(packed(WRITE, 0, 4096) + b"x" * 100)
    bad.socket.close()
    assert hall.until(lambda: bad.connection not in hall.server.connections)
    # `other` reads the old bytes at the end.


def test_a_client_that_leaves_with_requests_in_flight_is_forgotten(hall: Hall, bad: Client) -> None:
    held = HeldDevice()
    hall.offer.device = held
    bad.say(packed(READ, 0, 4096) * 10 + (packed(WRITE, 0, 4096) + bytes(4096)) * 10)
    assert hall.until(lambda: len(held.held) == 20)
    bad.socket.close()
    assert hall.until(lambda: bad.connection not in hall.server.connections)
    held.release()
    assert bad.connection not in hall.offer.sessions
    hall.offer.device = hall.device


def test_what_a_lost_client_had_received_into_goes_back_to_the_pool(hall: Hall, bad: Client) -> None:
    held = HeldDevice()
    hall.offer.device = held
    before = hall.reactor.pool.bytes_in_use
    bad.say((packed(WRITE, 0, MIB) + bytes(MIB)) * 4)
    assert hall.until(lambda: len(held.held) == 4)
    assert hall.reactor.pool.bytes_in_use - before >= 3 * MIB
    bad.socket.close()
    assert hall.until(lambda: bad.connection not in hall.server.connections)
    held.release()
    assert hall.reactor.pool.bytes_in_use < before
    hall.offer.device = hall.device


def test_a_goodbye_waits_for_the_answers(hall: Hall, bad: Client) -> None:
    held = HeldDevice()
    hall.offer.device = held
    bad.say(
        packed(READ, 0, 16, cookie=1) + packed(WRITE, 0, 4, cookie=2) + b"abcd" + packed(DISCONNECT, 0, 0)
    )
    assert hall.until(lambda: len(held.held) == 2)
    assert bad.connection in hall.server.connections
    held.release()
    assert bad.reply() == (0, 1)
    assert bad.hear(16) == bytes(16)
    assert bad.reply() == (0, 2)
    assert bad.is_closed()
    hall.offer.device = hall.device


def test_what_comes_after_a_goodbye_is_not_carried_out(bad: Client) -> None:
    bad.say(packed(DISCONNECT, 0, 0) + packed(WRITE, 0, 4) + b"xxxx")
    assert bad.is_closed()


# -- Clients that ask much, and take nothing


def unsent(client: Client) -> int:
    assert client.connection is not None
    return client.connection.link.unsent


def test_a_client_that_never_reads_is_held_back(hall: Hall, bad: Client) -> None:
    request = packed(READ, 0, MIB)
    taken = bad.say(request * 100_000, A_WHILE)
    assert taken < len(request) * 100_000
    assert unsent(bad) <= limits.CLIENT_BYTES_MAX + MIB
    assert hall.clients[1].is_served()


def test_a_client_that_never_reads_the_answers_of_its_writes_is_held_back(hall: Hall, bad: Client) -> None:
    before = hall.reactor.pool.bytes_in_use
    request = packed(WRITE, 4096, 512) + bytes(512)
    taken = bad.say(request * 20_000, A_WHILE)
    assert taken < len(request) * 20_000
    assert unsent(bad) <= limits.CLIENT_BYTES_MAX
    assert hall.reactor.pool.bytes_in_use - before <= limits.CLIENT_BYTES_MAX


def test_a_client_that_never_reads_its_refusals_is_held_back(bad: Client) -> None:
    request = packed(99, 0, 0)
    taken = bad.say(request * 200_000, 5 * A_WHILE)
    assert taken < len(request) * 200_000
    assert unsent(bad) <= limits.CLIENT_BYTES_MAX


def test_a_client_that_was_held_back_gets_every_answer_once_it_reads(bad: Client) -> None:
    count = 400
    requests = b"".join(packed(READ, 0, MIB, cookie=i) for i in range(count))
    rest = requests[bad.say(requests, A_WHILE) :]
    answered = set()
    for _ in range(count):
        error, cookie = bad.reply()
        assert error == 0
        assert bad.hear(MIB)[: len(KNOWN)] == KNOWN
        answered.add(cookie)
        if rest:
            rest = rest[bad.say(rest, MS) :]
    assert answered == set(range(count))


@pytest.mark.parametrize("kind", ["at once", "later"])
def test_many_pipelined_requests_are_all_answered(hall: Hall, bad: Client, kind: str) -> None:
    late = LateDevice(hall.reactor)
    if kind == "later":
        hall.offer.device = late
    count = 5 * limits.CLIENT_REQUESTS_MAX
    bad.say(b"".join(packed(READ, 8 * i, 8, cookie=i) for i in range(count)))
    answered = set()
    for _ in range(count):
        error, cookie = bad.reply()
        assert error == 0
        bad.hear(8)
        answered.add(cookie)
    assert answered == set(range(count))
    assert late.most <= limits.CLIENT_REQUESTS_MAX
    hall.offer.device = hall.device


def test_many_pipelined_refusals_are_all_sent(bad: Client) -> None:
    count = 5 * limits.CLIENT_REQUESTS_MAX
    bad.say(b"".join(packed(99, 0, 0, cookie=i) for i in range(count)))
    assert [bad.reply() for _ in range(count)] == [(errno.EINVAL, i) for i in range(count)]


def test_a_goodbye_after_many_pipelined_requests_is_heard(bad: Client) -> None:
    count = 3 * limits.CLIENT_REQUESTS_MAX
    bad.say(packed(READ, 0, 8) * count + packed(DISCONNECT, 0, 0))
    for _ in range(count):
        assert bad.reply() == (0, 7)
        bad.hear(8)
    assert bad.is_closed()


def test_the_bytes_of_unfinished_writes_are_bounded(hall: Hall, bad: Client) -> None:
    hall.offer.device = held = HeldDevice()
    before = hall.reactor.pool.bytes_in_use
    writes = (packed(WRITE, 0, MIB) + bytes(MIB)) * 200
    taken = bad.say(writes, A_WHILE)
    assert taken < len(writes)
    assert len(held.held) <= limits.CLIENT_BYTES_MAX // MIB + 1
    assert hall.reactor.pool.bytes_in_use - before <= limits.CLIENT_BYTES_MAX * 5 // 4
    hall.offer.device = late = LateDevice(hall.reactor)
    held.release()
    bad.say(writes[taken:])
    for _ in range(200):
        assert bad.reply() == (0, 7)
    assert late.most <= limits.CLIENT_BYTES_MAX // MIB + 1
    hall.offer.device = hall.device


def test_one_client_that_is_held_back_does_not_slow_the_others(hall: Hall, other: Client) -> None:
    greedy = [hall.client() for _ in range(4)]
    for client in greedy:
        client.say(packed(READ, 0, MIB) * 5000, A_WHILE)
    assert all(other.is_served() for _ in range(100))


# -- Garbage

HEADERS = st.builds(
    packed,
    st.integers(0, 9),
    st.one_of(st.integers(0, SIZE + 10), st.integers(0, 2**64 - 1)),
    st.one_of(st.integers(0, 64), st.integers(0, 2**32 - 1)),
    st.integers(0, 2**64 - 1),
    st.one_of(st.just(0), st.integers(0, 2**16 - 1)),
)


@settings(max_examples=60)
@given(st.lists(st.one_of(HEADERS, st.binary(max_size=100)), max_size=20))
def test_whatever_a_client_says_in_transmission_the_others_are_served(pieces: list[bytes]) -> None:
    with Hall() as hall:
        other, bad = hall.client(), hall.client()
        for piece in pieces:
            bad.say(piece, MS)
        bad.socket.close()
        assert hall.until(lambda: bad.connection not in hall.server.connections)
        other.say(packed(READ, 0, 4))
        assert other.reply() == (0, 7)
        other.hear(4)


def test_a_megabyte_of_noise_is_closed_or_answered(hall: Hall, bad: Client) -> None:
    noise = random.Random(5).randbytes(MIB)
    bad.say(packed(READ, 0, 4) + noise, A_WHILE)
    assert bad.is_closed()
    stranger = hall.stranger()
    stranger.say(noise[: 64 * KIB], A_WHILE)
    assert stranger.is_closed()
