"""The server's side of DST/2, with clients that can say anything."""

import errno
import os
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsttool.engine.device.device import Capabilities
from dsttool.engine.export.dst_connection import DstConnection
from dsttool.engine.export.dst_server import DstServer
from dsttool.engine.export.offer import Offer
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import ProtocolError
from dsttool.engine.vocabulary.limits import MIB, MS
from dsttool.engine.vocabulary.operations import (
    BLOCK_STATUS,
    CACHE,
    DISCONNECT,
    FLUSH,
    FUA,
    READ,
    TRIM,
    WRITE,
    WRITE_ZEROES,
)
from dsttool.engine.wire import dst_hello, dst_preface, dst_records
from dsttool.engine.wire.dst_hello import Hello
from dsttool.engine.wire.dst_records import CROSSOVER
from support.dst_hall import DstHall
from support.dst_strangers import SESSION, RawClient, batch, head, record, requests
from support.faulty_device import FaultyDevice

SIZE = 1 << 20
OTHER = bytes(16)
CHANGES = [WRITE, TRIM, WRITE_ZEROES]


class House:
    """A hall with one export of a device in memory, and clients of it."""

    def __init__(self, hall: DstHall) -> None:
        self.hall = hall
        self.device = FaultyDevice(hall.reactor, SIZE)
        self.device.bytes[:5] = b"known"
        self.export = hall.export(self.device)
        self.clients: list[RawClient] = []

    def stranger(self, session: bytes = SESSION) -> RawClient:
        client = RawClient(self.hall, self.export, session)
        self.clients.append(client)
        return client

    def client(self, session: bytes = SESSION, hello: Hello | None = None) -> RawClient:
        client = self.stranger(session)
        client.welcome(hello)
        return client

    @property
    def offer(self) -> Offer:
        return self.export.offer

    @property
    def server(self) -> DstServer:
        return self.export.server

    @property
    def connections(self) -> int:
        return len(self.server.connections)

    @property
    def connection(self) -> DstConnection:
        """That of the usual session."""
        (found,) = [c for c in self.server.connections if c.hello and c.hello.session == SESSION]
        return found


@pytest.fixture
def house() -> Iterator[House]:
    with DstHall() as hall:
        made = House(hall)
        yield made
        for client in made.clients:
            client.close()


@pytest.fixture
def others(house: House) -> Iterator[RawClient]:
    """A well-behaved client that is there all the time; in the end it must still be served."""
    client = house.client(OTHER, Hello(OTHER, 1, "disk", access=dst_hello.READ_ONLY))
    yield client
    client.say(requests(head(READ, 0, 5, id_=77)))
    assert client.answers() == [(77, 0, b"known")]


@pytest.fixture
def bad(house: House, others: RawClient) -> RawClient:
    return house.client()


# -- hello and welcome ---------------------------------------------------------------------------------


def test_the_welcome_tells_what_the_export_is(house: House) -> None:
    house.device.capabilities = Capabilities(
        size=SIZE, block_min=512, block_preferred=8192, payload_max=1 << 19, trim=False, rotational=True
    )
    welcome = house.stranger().welcome()
    assert (welcome.size, welcome.block_min, welcome.block_preferred) == (SIZE, 512, 8192)
    assert welcome.payload_max == 1 << 19
    assert welcome.capabilities == {"flush", "fua", "write_zeroes", "rotational"}
    assert welcome.export_id == house.device.identity
    assert welcome.access == dst_hello.READ_WRITE


@pytest.mark.parametrize("name", ["disk", ""])
def test_an_only_export_is_found_by_its_name_and_without_one(house: House, name: str) -> None:
    assert house.stranger().welcome(Hello(SESSION, 1, name)).size == SIZE


def test_an_export_that_is_not_there_is_refused_by_its_name(house: House, others: RawClient) -> None:
    client = house.stranger()
    client.greet(Hello(SESSION, 1, "disc"))
    client.hear(8)
    assert client.refusal() == (dst_hello.REFUSED_EXPORT, "There is no export named 'disc'.")


def test_read_only_is_granted_to_who_asks_for_it_and_kept(house: House) -> None:
    client = house.stranger()
    welcome = client.welcome(Hello(SESSION, 1, "disk", access=dst_hello.READ_ONLY))
    assert welcome.access == dst_hello.READ_ONLY
    for id_, op in enumerate(CHANGES):
        client.say(requests(head(op, 0, 4, id_=id_), payload=b"evil" if op == WRITE else b""))
        assert client.answers() == [(id_, errno.EROFS, b"")]
    client.say(requests(head(READ, 0, 5)))
    assert client.answers() == [(1, 0, b"known")]
    assert house.device.got == [(READ, 0, 5)]


def test_a_read_only_export_refuses_who_wants_to_write(house: House) -> None:
    house.offer.read_only = True
    client = house.stranger()
    client.greet()
    client.hear(8)
    code, words = client.refusal()
    assert code == dst_hello.REFUSED_ACCESS
    assert "read-only" in words


def test_a_session_shows_in_the_status_while_it_lasts(house: House) -> None:
    client = house.client(hello=Hello(SESSION, 1, "disk", array=bytes([7]) * 16, slot=3))
    (session,) = house.offer.status()["sessions"]
    assert session["owner"] == f"uid {os.getuid()} array 07070707 slot 3"
    assert (session["protocol"], session["access"]) == ("dst", "read-write")
    client.close()
    house.hall.until(lambda: house.offer.status()["sessions"] == [] and house.connections == 0)


@pytest.mark.parametrize("piece", [1, 7, 41])
def test_a_handshake_and_a_request_in_pieces_are_understood(house: House, piece: int) -> None:
    client = house.stranger()
    stream = dst_preface.client_preface(0, SESSION)
    stream += record(dst_records.HELLO, Hello(SESSION, 1, "disk").pack())
    for at in range(0, len(stream), piece):
        client.say(stream[at : at + piece])
        client.is_silent()
    client.hear(8)
    assert client.record()[0] == dst_records.WELCOME
    data = requests(head(WRITE, 10, 3), head(READ, 0, 5, id_=2), payload=b"abc")
    for at in range(0, len(data), piece):
        client.say(data[at : at + piece])
        client.is_silent()
    assert client.answers(2) == [(1, 0, b""), (2, 0, b"known")]


# -- bad handshakes ------------------------------------------------------------------------------------


def test_a_strangers_bytes_are_answered_and_closed(house: House, others: RawClient) -> None:
    client = house.stranger()
    client.say(b"GET / HTTP/1.1\r\nHost: somewhere\r\n\r\n")
    assert client.is_closed()
    house.hall.until(lambda: house.connections == 1)


def test_another_version_gets_the_preface_and_the_end(house: House, others: RawClient) -> None:
    client = house.stranger()
    client.say(dst_preface.CLIENT.pack(b"DST2", 3, 4, 0, 0, SESSION, bytes(8)))
    assert client.hear(8) == dst_preface.server_preface(0, dst_preface.REFUSED_VERSION)
    assert client.is_closed()


def test_another_security_gets_the_preface_and_the_end_before_its_hello_is_looked_at(
    house: House, others: RawClient
) -> None:
    client = house.stranger()
    client.say(dst_preface.client_preface(9, SESSION) + b"\xff" * 100)
    assert client.hear(8) == dst_preface.server_preface(0, dst_preface.REFUSED_SECURITY)
    assert client.is_closed()


@pytest.mark.parametrize("stream", [b"", b"DST2", dst_preface.client_preface(0, SESSION)])
def test_half_a_handshake_is_closed_when_its_time_is_over(
    house: House, others: RawClient, stream: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_TIMEOUT_NS", 10 * MS)
    client = house.stranger()
    client.say(stream)
    assert client.is_closed()
    house.hall.until(lambda: house.connections == 1)


def test_a_client_past_its_handshake_has_no_deadline(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HANDSHAKE_TIMEOUT_NS", 300 * MS)
    client = house.client()
    house.hall.pass_time(400 * MS)
    client.say(requests(head(READ, 0, 5)))
    assert client.answers() == [(1, 0, b"known")]


def refused_for_protocol(client: RawClient) -> str:
    code, words = client.refusal()
    assert code == dst_hello.REFUSED_PROTOCOL
    return words


def test_a_hello_for_another_session_than_the_prefaces_is_refused(house: House, others: RawClient) -> None:
    client = house.stranger()
    client.greet(Hello(OTHER, 1, "disk"))
    client.hear(8)
    assert "session" in refused_for_protocol(client)


def test_a_second_hello_is_refused(bad: RawClient) -> None:
    bad.say(record(dst_records.HELLO, Hello(SESSION, 2, "disk").pack()))
    assert "must not" in refused_for_protocol(bad)


@pytest.mark.parametrize("kind", [dst_records.REQUESTS, dst_records.PAYLOAD, dst_records.PING])
def test_nothing_may_come_before_the_hello(house: House, others: RawClient, kind: int) -> None:
    client = house.stranger()
    client.say(dst_preface.client_preface(0, SESSION))
    client.hear(8)
    client.say(record(kind, head(WRITE, 0, 0)[:8], 1 if kind == dst_records.REQUESTS else 0))
    assert "must not" in refused_for_protocol(client)
    assert house.device.got == []


def test_a_client_too_many_is_told_so_and_closed(
    house: House, others: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CLIENTS_MAX", 1)
    client = house.stranger()
    with pytest.raises(ProtocolError, match="as many connections as it allows"):
        dst_preface.check_server(client.hear(dst_preface.SERVER.size), dst_preface.NONE)
    assert client.is_closed()


# -- requests ------------------------------------------------------------------------------------------


def test_a_batch_is_answered_with_a_status_each(bad: RawClient, house: House) -> None:
    house.device.fail(errno.ENOSPC, TRIM)
    bad.say(
        requests(
            head(WRITE, 100, 4, id_=10),
            head(READ, 0, 5, id_=11),
            head(TRIM, 0, 10, id_=12),
            head(FLUSH, 0, 0, id_=13),
            head(WRITE_ZEROES, 200, 8, id_=14, flags=FUA),
            payload=b"data",
        )
    )
    answers = sorted(bad.answers(5))
    assert answers == [
        (10, 0, b""),
        (11, 0, b"known"),
        (12, errno.ENOSPC, b""),
        (13, 0, house.device.verifier),
        (14, 0, b""),
    ]
    assert bytes(house.device.bytes[100:104]) == b"data"
    assert house.device.flags[-1] == FUA


def test_large_payloads_travel_in_records_of_their_own_both_ways(bad: RawClient) -> None:
    data = bytes(range(256)) * (CROSSOVER // 128)
    bad.say(requests(head(WRITE, 0, len(data))) + record(dst_records.PAYLOAD, data))
    assert bad.answers() == [(1, 0, b"")]
    bad.say(requests(head(READ, 0, len(data), id_=2)))
    assert bad.answers() == [(2, 0, data)]
    bad.say(requests(head(WRITE, 0, 5, id_=3), payload=b"known"))
    assert bad.answers() == [(3, 0, b"")]


def test_other_records_may_come_between_an_announcement_and_its_payload(bad: RawClient) -> None:
    data = bytes(CROSSOVER)
    bad.say(requests(head(WRITE, 4096, len(data))) + requests(head(READ, 0, 5, id_=2)))
    bad.say(record(dst_records.PING, b"12345678") + record(dst_records.PAYLOAD, data))
    assert bad.record() == (dst_records.PONG, b"12345678")
    assert sorted(bad.answers(2)) == [(1, 0, b""), (2, 0, b"known")]


INVALID = [
    (READ, SIZE, 1, errno.EINVAL),
    (READ, SIZE - 1, 2, errno.EINVAL),
    (READ, 2**64 - 1, 512, errno.EINVAL),
    (WRITE, SIZE, 1, errno.ENOSPC),
    (TRIM, SIZE - 1, 2, errno.ENOSPC),
    (TRIM, 0, 2**32 - 1, errno.ENOSPC),
    (WRITE_ZEROES, 2**64 - 1, 1, errno.ENOSPC),
    (FLUSH, 0, 1, errno.EINVAL),
    (FLUSH, 1, 0, errno.EINVAL),
    (BLOCK_STATUS, 0, 512, errno.EINVAL),
    (DISCONNECT, 0, 0, errno.EINVAL),
    (200, 0, 0, errno.EINVAL),
]


@pytest.mark.parametrize(("op", "offset", "length", "status"), INVALID)
def test_a_request_that_cannot_be_is_answered_and_never_reaches_the_device(
    bad: RawClient, house: House, op: int, offset: int, length: int, status: int
) -> None:
    payload = bytes(length) if op == WRITE else b""
    bad.say(requests(head(op, offset, length), payload=payload) + requests(head(READ, 0, 5, id_=2)))
    assert bad.answers(2) == [(1, status, b""), (2, 0, b"known")]
    assert house.device.got == [(READ, 0, 5)]


@pytest.mark.parametrize("op", [READ, *CHANGES, CACHE])
@pytest.mark.parametrize(("offset", "length"), [(1, 512), (0, 511), (256, 512)])
def test_a_request_that_is_not_aligned_is_invalid(house: House, op: int, offset: int, length: int) -> None:
    house.device.capabilities = Capabilities(size=SIZE, block_min=512)
    client = house.client()
    client.say(requests(head(op, offset, length), payload=bytes(length) if op == WRITE else b""))
    assert client.answers() == [(1, errno.EINVAL, b"")]
    assert house.device.got == []


def test_a_read_or_write_beyond_the_maximum_request_is_invalid(house: House) -> None:
    house.device.capabilities = Capabilities(size=SIZE, payload_max=4096)
    client = house.client()
    client.say(requests(head(READ, 0, 4097), head(WRITE, 0, 4097, id_=2), payload=bytes(4097)))
    assert client.answers(2) == [(1, errno.EINVAL, b""), (2, errno.EINVAL, b"")]
    client.say(requests(head(WRITE, 0, CROSSOVER, id_=3)) + record(dst_records.PAYLOAD, bytes(CROSSOVER)))
    assert client.answers() == [(3, errno.EINVAL, b"")]
    assert house.device.got == []


@pytest.mark.parametrize("op", [READ, WRITE, TRIM, WRITE_ZEROES, CACHE])
def test_a_request_of_no_bytes_is_done(bad: RawClient, house: House, op: int) -> None:
    bad.say(requests(head(op, 0, 0)))
    assert bad.answers() == [(1, 0, b"")]
    assert house.device.got == []


@pytest.mark.parametrize("flags", [1 << 5, 1 << 7])
@pytest.mark.parametrize("op", [READ, FLUSH])
def test_an_unknown_flag_is_invalid(bad: RawClient, op: int, flags: int) -> None:
    bad.say(requests(head(op, 0, 5 if op == READ else 0, flags=flags)))
    assert bad.answers() == [(1, errno.EINVAL, b"")]


# -- broken streams ------------------------------------------------------------------------------------


BROKEN = {
    "an unknown record": struct.pack(">IBBH", 0, 77, 0, 0),
    "a record too long": struct.pack(">IBBH", 1 << 20, dst_records.REQUESTS, 0, 1),
    "a reserved byte": struct.pack(">IBBH", 8, dst_records.PING, 1, 0) + bytes(8),
    "too many heads": struct.pack(">IBBH", 24, dst_records.REQUESTS, 0, 1025),
    "no heads": batch(b"", 0),
    "fewer bytes than heads": batch(head(READ, 0, 5), 2),
    "a payload too few": requests(head(WRITE, 0, 10), payload=b"123456789"),
    "a payload too many": requests(head(READ, 0, 10), payload=b"1"),
    "a payload nobody announced": record(dst_records.PAYLOAD, bytes(CROSSOVER)),
    "a payload of another length": requests(head(WRITE, 0, CROSSOVER))
    + record(dst_records.PAYLOAD, bytes(CROSSOVER + 1)),
    "a payload beyond all bounds": requests(head(WRITE, 0, limits.REQUEST_MAX + 1)),
    "reads beyond the window": requests(*[head(READ, 0, limits.REQUEST_MAX)] * 4),
    "a servers record": record(dst_records.REPLIES, bytes(16), 1),
    "a welcome": record(dst_records.WELCOME, bytes(76)),
    "noise": b"\xff" * 1000,
}


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_what_breaks_the_protocol_is_told_why_and_closed(bad: RawClient, house: House, what: str) -> None:
    bad.say(BROKEN[what])
    assert refused_for_protocol(bad).endswith(".")
    assert house.device.got == []
    house.hall.until(lambda: house.connections == 1)


def test_what_came_before_the_break_is_carried_out(bad: RawClient, house: House) -> None:
    bad.say(requests(head(WRITE, 100, 4), payload=b"good") + BROKEN["a welcome"])
    assert bad.is_closed()
    assert bytes(house.device.bytes[100:104]) == b"good"


def test_a_client_that_leaves_within_a_payload_changes_nothing(bad: RawClient, house: House) -> None:
    bad.say(requests(head(WRITE, 0, CROSSOVER)) + record(dst_records.PAYLOAD, bytes(CROSSOVER))[:-1])
    bad.close()
    house.hall.until(lambda: house.connections == 1)
    assert house.device.got == []


def test_a_client_that_leaves_with_requests_in_flight_is_forgotten_once_they_ended(
    bad: RawClient, house: House
) -> None:
    house.device.prompt = False
    bad.say(requests(head(WRITE, 100, 4), payload=b"good"))
    house.hall.until(lambda: len(house.device.waiting) == 1)
    bad.close()
    house.hall.until(lambda: len(house.offer.sessions) == 1)
    assert house.connections == 2
    house.device.answer()
    assert house.connections == 1
    house.device.prompt = True
    assert bytes(house.device.bytes[100:104]) == b"good"


@settings(max_examples=40)
@given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=4), st.booleans())
def test_whatever_a_client_says_the_others_are_served(pieces: list[bytes], greeted: bool) -> None:
    with DstHall() as hall:
        house = House(hall)
        good = house.client(OTHER, Hello(OTHER, 1, "disk", access=dst_hello.READ_ONLY))
        bad = house.client() if greeted else house.stranger()
        for piece in pieces:
            bad.say(piece)
        good.say(requests(head(READ, 0, 5)))
        assert good.answers() == [(1, 0, b"known")]
        bad.close()
        good.close()


# -- back-pressure -------------------------------------------------------------------------------------


def test_pings_are_answered_while_requests_run(bad: RawClient, house: House) -> None:
    house.device.prompt = False
    bad.say(requests(head(READ, 0, 5)) + record(dst_records.PING, b"pingping"))
    assert bad.record() == (dst_records.PONG, b"pingping")
    house.device.answer()
    assert bad.answers() == [(1, 0, b"known")]
    house.device.prompt = True


def test_pings_are_answered_to_a_client_that_uses_all_of_its_window(house: House) -> None:
    """A device that stalls for longer than pings are missed must not look like a dead server."""
    house.device.prompt = False
    client = house.stranger()
    window = client.welcome().window
    for id_ in range(window):
        client.say(requests(head(READ, 0, 1, id_=id_)))
    house.hall.until(lambda: len(house.device.waiting) == window)
    client.say(record(dst_records.PING, b"pingping"))
    assert client.record() == (dst_records.PONG, b"pingping")
    house.device.prompt = True
    house.device.answer()
    assert len(client.answers(window)) == window


def test_pings_are_answered_to_a_client_that_uses_all_bytes_of_its_window(house: House) -> None:
    """One more request is always admitted, however large: see InFlightTable."""
    house.device = FaultyDevice(house.hall.reactor, limits.REQUEST_MAX, prompt=False)
    house.export = house.hall.export(house.device)
    client = house.stranger()
    most = client.welcome().window_bytes
    for id_ in range(most // MIB - 1):
        client.say(requests(head(READ, 0, MIB, id_=id_)))
    client.say(requests(head(READ, 0, MIB - 1, id_=1000)) + requests(head(READ, 0, limits.REQUEST_MAX)))
    house.hall.until(lambda: len(house.device.waiting) == most // MIB + 1)
    client.say(record(dst_records.PING, b"pingping"))
    assert client.record() == (dst_records.PONG, b"pingping")
    house.device._fail(house.device.waiting, errno.EIO)


def test_a_client_that_never_reads_is_held_back_and_costs_little(bad: RawClient, house: House) -> None:
    sent = bad.says_until_held_back(requests(*[head(READ, 0, 4096)] * 100), 64 * MIB)
    assert sent < 4 * MIB
    assert house.connection.link.unsent <= limits.CLIENT_BYTES_MAX + MIB
    assert house.hall.reactor.pool.bytes_in_use < 8 * MIB


def test_a_client_that_owes_a_payload_and_never_takes_the_answers_to_its_pings_is_closed(
    bad: RawClient, house: House
) -> None:
    """What was announced must be read, so this client cannot be held back like others."""
    bad.say(requests(head(WRITE, 0, CROSSOVER)))
    pings = record(dst_records.PING, b"pingping") * 1000
    sent = bad.says_until_held_back(pings, 64 * MIB)
    assert sent < 16 * MIB
    house.hall.until(lambda: house.connections == 1)


def test_requests_on_a_device_that_stands_still_are_held_back_by_their_number(
    bad: RawClient, house: House
) -> None:
    house.device.prompt = False
    sent = bad.says_until_held_back(requests(head(READ, 0, 1)), 4 * MIB)
    assert sent < 4 * MIB
    assert len(house.device.waiting) <= limits.CLIENT_REQUESTS_MAX
    house.device.prompt = True
    house.device.answer()


def test_the_bytes_of_writes_that_cannot_finish_are_held_back(bad: RawClient, house: House) -> None:
    house.device.prompt = False
    house.device._check = lambda request: None  # type: ignore[method-assign]
    payload = record(dst_records.PAYLOAD, bytes(MIB // 2))
    stream = b"".join(requests(head(WRITE, 8, MIB // 2, id_=id_)) + payload for id_ in range(200))
    sent = bad.says_until_held_back(stream, len(stream))
    assert sent < limits.CLIENT_BYTES_MAX + 8 * MIB
    assert house.hall.reactor.pool.bytes_in_use < 2 * limits.CLIENT_BYTES_MAX
    house.device.prompt = True
    house.device.answer()


def test_a_client_that_was_held_back_gets_every_answer_once_it_reads(bad: RawClient) -> None:
    count = 3 * limits.CLIENT_REQUESTS_MAX
    batch = [head(READ, 0, 1, id_=id_) for id_ in range(count)]
    sent = 0
    answered: list[tuple[int, int, bytes]] = []
    for at in range(0, count, 500):
        bad.say(requests(*batch[at : at + 500]))
        sent += len(batch[at : at + 500])
    while len(answered) < sent:
        answered += bad.answers()
    assert sorted(id_ for id_, _, _ in answered) == list(range(count))


# -- leaving -------------------------------------------------------------------------------------------


def test_draining_answers_what_was_begun_and_takes_nothing_more(bad: RawClient, house: House) -> None:
    house.device.prompt = False
    bad.say(requests(head(READ, 0, 5)))
    house.hall.until(lambda: len(house.device.waiting) == 1)
    house.connection.leave()
    bad.say(requests(head(WRITE, 0, 4, id_=2), payload=b"late"))
    house.hall.pass_time(5 * MS)
    house.device.prompt = True
    house.device.answer()
    assert bad.answers() == [(1, 0, b"known")]
    assert bad.is_closed()
    assert house.device.got == [(READ, 0, 5)]


def test_a_large_answer_leaves_whole_before_a_drained_connection_closes(bad: RawClient, house: House) -> None:
    house.device.prompt = False
    bad.say(requests(head(READ, 0, SIZE)))
    house.hall.until(lambda: len(house.device.waiting) == 1)
    house.connection.leave()
    house.device.prompt = True
    house.device.answer()
    ((_, status, data),) = bad.answers()
    assert status == 0
    assert len(data) == SIZE
    assert bad.is_closed()
