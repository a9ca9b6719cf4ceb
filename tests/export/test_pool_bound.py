"""When all clients together hold more memory than there may be, each still has one request at a time."""

from collections.abc import Iterator

import pytest
from nbd_hall import Client, Hall, HeldDevice, LateDevice, packed

from dsttool.engine.device.request import Request
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.runtime.segments import SegmentPool
from dsttool.engine.transaction.retained import Retained
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.limits import KIB, MIB
from dsttool.engine.vocabulary.operations import DISCONNECT, READ, WRITE
from dsttool.engine.wire import dst_records
from dsttool.engine.wire.dst_records import CROSSOVER
from support.dst_hall import DstHall, Export
from support.dst_strangers import RawClient, head, record, requests
from support.faulty_device import FaultyDevice

CLIENTS = 3
COUNT = 40
SIZE = MIB


@pytest.fixture(autouse=True)
def _no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The segments that clients receive into are beyond the bound already."""
    monkeypatch.setattr(limits, "POOL_BYTES_MAX", 1)


def settle(reactor: Reactor) -> None:
    for _ in range(20):
        reactor.post(lambda: None)
        reactor.turn()


# -- NBD -----------------------------------------------------------------------------------------------


@pytest.fixture
def hall() -> Iterator[Hall]:
    with Hall() as made:
        yield made


def nbd_answers(client: Client, count: int, length: int = 0) -> list[int]:
    found = []
    for _ in range(count):
        error, cookie = client.reply()
        assert error == 0
        client.hear(length)
        found.append(cookie)
    return found


def test_each_nbd_client_has_one_request_at_a_time(hall: Hall) -> None:
    hall.offer.device = held = HeldDevice()
    clients = [hall.client() for _ in range(CLIENTS)]
    for client in clients:
        client.say(b"".join(packed(READ, 0, 8, cookie=i) for i in range(COUNT)))
    for turn in range(COUNT):
        hall.until(lambda: len(held.held) == CLIENTS)
        settle(hall.reactor)
        assert [request.cookie for request in held.held] == [turn] * CLIENTS
        held.release()
    for client in clients:
        assert nbd_answers(client, COUNT, 8) == list(range(COUNT))


@pytest.mark.parametrize("kind", ["at once", "later"])
@pytest.mark.parametrize("length", [8, 8 * KIB])
def test_nbd_clients_that_pipeline_are_all_answered(hall: Hall, kind: str, length: int) -> None:
    late = LateDevice(hall.reactor)
    if kind == "later":
        hall.offer.device = late
    clients = [hall.client() for _ in range(CLIENTS)]
    write = packed(WRITE, 0, length, cookie=99) + bytes(length)
    for client in clients:
        client.say((packed(READ, 0, length, cookie=1) + write) * 10 + packed(DISCONNECT, 0, 0))
    for client in clients:
        for _ in range(10):
            assert nbd_answers(client, 1, length) == [1]
            assert nbd_answers(client, 1) == [99]
        assert client.is_closed()
    assert late.most <= CLIENTS


def test_an_nbd_client_gets_everything_again_once_there_is_room(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    hall.offer.device = held = HeldDevice()
    client = hall.client()
    client.say(b"".join(packed(READ, 0, 8, cookie=i) for i in range(COUNT)))
    hall.until(lambda: len(held.held) == 1)
    monkeypatch.setattr(limits, "POOL_BYTES_MAX", 512 * MIB)
    held.release()
    assert hall.until(lambda: len(held.held) == COUNT - 1)
    held.release()
    assert nbd_answers(client, COUNT, 8) == list(range(COUNT))


def test_an_nbd_client_that_never_reads_has_one_answer_waiting(hall: Hall) -> None:
    client, other = hall.client(), hall.client()
    client.say(packed(READ, 0, 4 * MIB) * 10)
    settle(hall.reactor)
    assert client.connection.link.unsent <= 4 * MIB + 16
    assert other.is_served()


# -- DST -----------------------------------------------------------------------------------------------


class House:
    """An export of a device, and clients of sessions of their own."""

    def __init__(self, hall: DstHall) -> None:
        self.hall = hall
        self.device = FaultyDevice(hall.reactor, SIZE)
        self.export: Export = hall.export(self.device, shared=True)
        self.clients = [RawClient(hall, self.export, bytes([number + 1]) * 16) for number in range(CLIENTS)]
        for client in self.clients:
            client.welcome()


@pytest.fixture
def house() -> Iterator[House]:
    with DstHall() as hall:
        made = House(hall)
        yield made
        for client in made.clients:
            client.close()


def test_each_dst_client_has_one_batch_at_a_time(house: House) -> None:
    device = house.device
    device.prompt = False
    for client in house.clients:
        client.say(b"".join(requests(head(READ, 0, 8, id_=id_)) for id_ in range(COUNT)))
    for _ in range(COUNT):
        house.hall.until(lambda: len(device.waiting) == CLIENTS)
        settle(house.hall.reactor)
        assert len(device.waiting) == CLIENTS
        device.answer()
    for client in house.clients:
        assert [id_ for id_, _, _ in client.answers(COUNT)] == list(range(COUNT))


@pytest.mark.parametrize("length", [8, CROSSOVER])
def test_dst_clients_that_pipeline_are_all_answered(house: House, length: int) -> None:
    announced = record(dst_records.PAYLOAD, bytes(length)) if length >= CROSSOVER else b""
    within = b"" if announced else bytes(length)
    for client in house.clients:
        for number in range(COUNT):
            write = requests(head(WRITE, 0, length, id_=2 * number), payload=within) + announced
            client.say(write + requests(head(READ, 0, length, id_=2 * number + 1)))
    for client in house.clients:
        found = client.answers(2 * COUNT)
        assert sorted((id_, status, len(data)) for id_, status, data in found) == [
            (id_, 0, length if id_ % 2 else 0) for id_ in range(2 * COUNT)
        ]


def test_other_records_may_still_come_between_an_announcement_and_its_payload(house: House) -> None:
    client, data = house.clients[0], bytes(CROSSOVER)
    client.say(requests(head(WRITE, 4096, len(data))) + requests(head(READ, 0, 5, id_=2)))
    client.say(record(dst_records.PING, b"12345678") + record(dst_records.PAYLOAD, data))
    assert client.record() == (dst_records.PONG, b"12345678")
    assert sorted(client.answers(2)) == [(1, 0, b""), (2, 0, bytes(5))]


# -- what nodes keep -------------------------------------------------------------------------------------


def test_what_nodes_keep_for_a_loss_is_not_held_against_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "POOL_BYTES_MAX", MIB)
    pool = SegmentPool()
    kept = Retained()
    pool.keepers.append(kept)
    segments = [pool.take(MIB) for _ in range(2)]
    assert pool.crowded
    kept.acked([Request(WRITE, 0, 0, MIB, segment[:MIB], None, lambda _: None) for segment in segments])
    assert not pool.crowded
    kept.clear()
    assert pool.crowded
