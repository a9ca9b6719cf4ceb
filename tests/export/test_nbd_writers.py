"""NBD connections as one writer beside DST sessions, and what NBD has to say about writes that are lost."""

import errno
import struct
import threading
from collections.abc import Iterator

import pytest
from nbd_hall import PATIENCE, Client, packed

from dsttool.engine.export.nbd_server import NbdServer
from dsttool.engine.transaction.grant import Holder
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.limits import MS
from dsttool.engine.vocabulary.operations import DISCONNECT, FLUSH, READ, TRIM, WRITE, WRITE_ZEROES
from dsttool.engine.wire import dst_hello
from support.dst_hall import DstHall, Export
from support.dst_strangers import RawClient, head, requests
from support.faulty_device import FaultyDevice

SIZE = 1 << 20
GO, EXPORT_NAME, INFO = 7, 1, 6
READ_ONLY, CAN_MULTI_CONN = 1 << 1, 1 << 8


class House:
    """A hall whose export is offered over DST and NBD."""

    def __init__(self, hall: DstHall) -> None:
        self.hall = hall
        self.device = FaultyDevice(hall.reactor, SIZE)
        self.nbd: list[Client] = []
        self.dst: list[RawClient] = []
        self.offer_it(hall.export(self.device))

    def offer_it(self, export: Export) -> None:
        self.export = export
        self.server = NbdServer(self.hall.reactor, [export.offer])

    @property
    def reactor(self) -> object:
        return self.hall.reactor

    def until(self, condition: object, timeout: int = PATIENCE) -> bool:
        return self.hall.reactor.run_until(condition, timeout)  # type: ignore[arg-type]

    def stranger(self) -> Client:
        client = Client(self)  # type: ignore[arg-type]
        self.nbd.append(client)
        return client

    def writer(self) -> Client:
        """An NBD client that has been given the right to write."""
        client = self.stranger()
        assert not flags_of(client) & READ_ONLY
        return client

    def reader(self) -> Client:
        client = self.stranger()
        assert flags_of(client) & READ_ONLY
        return client

    def dst_client(self, session: int = 1, **hello: object) -> RawClient:
        client = self.dst_stranger(session)
        client.welcome(client.hello(**hello))
        return client

    def dst_stranger(self, session: int = 1) -> RawClient:
        client = RawClient(self.hall, self.export, bytes([session]) * 16)
        self.dst.append(client)
        return client

    def dst_is_busy(self) -> str:
        client = self.dst_stranger(9)
        code, words = client.refused(client.hello())
        assert code == dst_hello.BUSY
        return words

    def answer(self) -> None:
        self.device.prompt = True
        self.device.answer()


@pytest.fixture
def house() -> Iterator[House]:
    with DstHall() as hall:
        made = House(hall)
        yield made
        made.answer()
        made.server.close()
        for nbd in made.nbd:
            nbd.socket.close()
        for dst in made.dst:
            dst.close()


def ask(client: Client, option: int = GO) -> None:
    """Choose the default export."""
    client.say(b"\0\0\0\3" + b"IHAVEOPT" + struct.pack(">IIIH", option, 6, 0, 0))


def flags_of(client: Client, option: int = GO) -> int:
    """Choose, or look at, the default export; its transmission flags."""
    ask(client, option)
    answer = client.hear(18 + (20 + 12) + 20)
    (flags,) = struct.unpack_from(">H", answer, 18 + 20 + 10)
    return int(flags)


def request(client: Client, op: int, data: bytes = b"", offset: int = 0, length: int | None = None) -> int:
    client.say(packed(op, offset, len(data) if length is None else length) + data)
    return client.reply()[0]


def is_silent(house: House, client: Client) -> bool:
    house.hall.pass_time(2 * MS)
    try:
        return not client.socket.recv(100)
    except BlockingIOError:
        return True


# -- one writer ------------------------------------------------------------------------------------------


def test_nbd_connections_write_together_and_a_dst_session_waits(house: House) -> None:
    clients = [house.writer(), house.writer()]
    for offset, client in enumerate(clients):
        assert request(client, WRITE, b"data", offset * 4) == 0
    assert house.dst_is_busy() == "'disk' is written by nbd, which is connected."
    holder = house.export.stored
    assert holder is not None
    assert (holder.owner, holder.term) == ("nbd", 1)


def test_an_nbd_client_beside_a_writing_session_only_reads(house: House) -> None:
    house.dst_client()
    client = house.reader()
    for op in (WRITE, TRIM, WRITE_ZEROES):
        assert request(client, op, b"evil" if op == WRITE else b"", length=4) == errno.EPERM
    assert request(client, READ, length=4) == 0
    assert house.device.got == [(READ, 0, 4)]


def test_information_says_whether_a_client_would_write_and_takes_nothing(house: House) -> None:
    assert not flags_of(house.stranger(), INFO) & READ_ONLY
    assert house.export.stored is None
    house.dst_client()
    assert flags_of(house.stranger(), INFO) & READ_ONLY


def test_an_nbd_client_writes_beside_a_session_that_only_reads(house: House) -> None:
    house.dst_client(access=dst_hello.READ_ONLY)
    house.writer()


def test_after_the_goodbye_of_the_last_nbd_client_a_session_is_admitted_at_once(house: House) -> None:
    first, second = house.writer(), house.writer()
    first.say(packed(DISCONNECT, 0, 0))
    assert first.is_closed()
    house.dst_is_busy()
    second.say(packed(DISCONNECT, 0, 0))
    assert second.is_closed()
    house.dst_client()


def test_when_the_last_nbd_client_is_lost_the_grant_is_kept_for_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = house.writer()
    assert request(client, READ, length=4) == 0
    client.socket.close()
    house.hall.until(lambda: not house.server.connections)
    assert "left to come back" in house.dst_is_busy()
    house.writer().socket.close()
    house.hall.until(lambda: not house.server.connections)
    assert "left to come back" in house.dst_is_busy(), "it is kept for the first one"
    monkeypatch.setattr(limits, "GRANT_NS", 20 * MS)
    house.hall.pass_time(21 * MS)
    house.dst_client()
    house.reader()


def test_an_nbd_client_that_is_lost_before_it_asked_for_anything_keeps_nobody_out(house: House) -> None:
    house.writer().socket.close()
    house.hall.until(lambda: not house.server.connections)
    house.dst_client()


def test_a_session_waits_for_what_an_nbd_client_left_running(house: House) -> None:
    client = house.writer()
    house.device.prompt = False
    client.say(packed(WRITE, 0, 4) + b"data")
    house.hall.until(lambda: len(house.device.waiting) == 1)
    client.socket.close()
    house.hall.until(lambda: not house.server.connections)
    session = house.dst_stranger()
    session.greet(session.hello(takeover=True))
    session.hear(8)
    house.hall.pass_time(MS)
    assert session.is_silent()
    house.answer()
    assert session.record()[0] == 2


def test_a_takeover_lets_nbd_clients_have_their_answers_and_closes_them(house: House) -> None:
    client = house.writer()
    house.device.prompt = False
    client.say(packed(WRITE, 0, 4) + b"data")
    house.hall.until(lambda: len(house.device.waiting) == 1)
    session = house.dst_stranger()
    session.greet(session.hello(takeover=True))
    session.hear(8)
    house.hall.pass_time(MS)
    client.say(packed(WRITE, 0, 4) + b"late")
    house.answer()
    assert client.reply()[0] == 0
    assert client.is_closed()
    session.record()
    assert bytes(house.device.bytes[:4]) == b"data"
    session.say(requests(head(WRITE, 0, 4), payload=b"mine"))
    assert session.answers() == [(1, 0, b"")]
    house.reader()


def test_who_only_reads_over_nbd_goes_on_through_a_takeover(house: House) -> None:
    house.dst_client(1)
    client = house.reader()
    house.dst_client(2, takeover=True)
    assert request(client, READ, length=4) == 0


def test_nbd_clients_write_again_once_the_session_has_left(house: House) -> None:
    session = house.dst_client(takeover=True)
    house.reader()
    session.goodbye()
    house.writer()


def test_nbd_clients_that_were_taken_over_come_back_as_a_new_writer(house: House) -> None:
    """NBD never sends again, so there is nothing to fence."""
    client = house.writer()
    session = house.dst_client(takeover=True)
    assert client.is_closed()
    session.goodbye()
    house.writer()
    assert house.export.stored is not None
    assert house.export.stored.term == 3


def test_on_a_shared_export_everybody_writes(house: House) -> None:
    house.offer_it(house.hall.export(house.device, shared=True))
    house.dst_client()
    house.writer().socket.close()
    house.hall.until(lambda: not house.server.connections)
    house.writer()
    house.dst_client(2)
    assert house.export.stored is None


def test_a_flush_on_any_connection_covers_all_and_clients_are_told_so(house: House) -> None:
    assert flags_of(house.stranger()) & CAN_MULTI_CONN


# -- the handshake stands still meanwhile ------------------------------------------------------------------


def test_the_handshake_waits_until_the_writer_is_stored(house: House) -> None:
    stored = threading.Event()

    def slowly(holder: Holder) -> None:
        assert stored.wait(20)

    house.export.offer.writers._store = slowly
    client = house.stranger()
    client.hear(18)
    ask(client)
    client.say(packed(WRITE, 0, 4, cookie=1) + b"data")
    assert is_silent(house, client)
    assert house.device.got == []
    stored.set()
    client.hear((20 + 12) + 20)
    assert client.reply() == (0, 1)
    assert bytes(house.device.bytes[:4]) == b"data"


@pytest.mark.parametrize("whole", [True, False])
def test_a_client_that_leaves_while_it_waits_holds_nothing(house: House, whole: bool) -> None:
    stored = threading.Event()
    house.export.offer.writers._store = lambda holder: stored.wait(20)
    client = house.stranger()
    client.hear(18)
    ask(client)
    if whole:
        client.say(packed(DISCONNECT, 0, 0))
    house.hall.pass_time(MS)
    client.socket.close()
    house.server.close()
    stored.set()
    house.hall.pass_time(5 * MS)
    assert not house.server.connections
    house.dst_client()


def test_who_leaves_while_it_waits_ends_the_session_of_no_other_nbd_client(house: House) -> None:
    held = threading.Event()
    house.export.store_fails = DsttoolError("No space left on device.")
    house.reader()
    house.export.store_fails = None
    stays = house.writer()
    house.export.offer.writers._grant.not_stored(house.export.stored)  # so that the next one is stored again
    house.export.offer.writers._store = lambda holder: held.wait(20)
    leaves = house.stranger()
    leaves.hear(18)
    ask(leaves)
    house.hall.pass_time(MS)
    leaves.socket.close()
    house.hall.until(lambda: len(house.server.connections) == 2)
    held.set()
    house.hall.pass_time(5 * MS)
    assert "which is connected" in house.dst_is_busy()
    assert request(stays, WRITE, b"data") == 0
    stays.say(packed(DISCONNECT, 0, 0))
    assert stays.is_closed()
    house.dst_client()


def test_an_nbd_client_that_cannot_be_stored_only_reads(house: House) -> None:
    house.export.store_fails = DsttoolError("No space left on device.")
    house.reader()
    house.export.store_fails = None
    house.writer()


def test_after_a_restart_of_the_server_nbd_clients_write_again_and_sessions_wait(house: House) -> None:
    assert request(house.writer(), READ, length=4) == 0
    house.server.close()
    house.export.go_away()
    house.export.start()
    house.offer_it(house.export)
    house.dst_is_busy()
    house.writer()


# -- writes that are lost ----------------------------------------------------------------------------------


def flush(client: Client) -> int:
    return request(client, FLUSH)


def test_a_flush_fails_once_when_acked_writes_may_be_lost(house: House) -> None:
    client = house.writer()
    assert request(client, WRITE, b"data") == 0
    house.device.lose_power()
    assert flush(client) == errno.EIO
    assert request(client, WRITE, b"data") == 0
    assert flush(client) == 0


def test_every_client_is_told_of_the_loss(house: House) -> None:
    clients = [house.writer(), house.writer()]
    house.device.lose_power()
    assert [flush(client) for client in clients] == [errno.EIO, errno.EIO]
    assert [flush(client) for client in clients] == [0, 0]


def test_a_client_that_connects_after_the_loss_is_told_too_as_long_as_others_were_not(house: House) -> None:
    """It may be the connection by which a client of several flushes."""
    before = house.writer()
    house.device.lose_power()
    after = house.writer()
    assert flush(after) == errno.EIO
    assert flush(before) == errno.EIO
    assert flush(house.writer()) == 0


def test_who_connects_after_the_loss_to_nobody_has_nothing_to_be_told(house: House) -> None:
    house.device.lose_power()
    assert flush(house.writer()) == 0


def test_the_first_flush_of_every_client_fails_where_an_earlier_run_lost_writes(house: House) -> None:
    house.export.offer.lost = True
    for _ in range(2):
        client = house.writer()
        assert [flush(client), flush(client)] == [errno.EIO, 0]


def test_a_flush_that_failed_anyway_does_not_count_as_told(house: House) -> None:
    client = house.writer()
    house.device.lose_power()
    house.device.fail(errno.ENOSPC, FLUSH, once=True)
    assert flush(client) == errno.ENOSPC
    assert [flush(client), flush(client)] == [errno.EIO, 0]


def test_a_flush_that_failed_with_eio_has_told_it(house: House) -> None:
    """Else every further connection of a client that keeps this one open would be told again, for ever."""
    client = house.writer()
    house.device.lose_power()
    house.device.fail(errno.EIO, FLUSH, once=True)
    assert [flush(client), flush(client), flush(house.writer())] == [errno.EIO, 0, 0]


def test_a_client_that_does_not_wait_until_it_is_let_in_disturbs_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer to what it asked before leaves while nobody knows yet whether it may write."""
    gate = threading.Event()
    store = house.export._store
    monkeypatch.setattr(house.export.offer.writers, "_store", lambda holder: (gate.wait(20), store(holder)))
    client = house.stranger()
    client.say(b"\0\0\0\3" + b"".join(b"IHAVEOPT" + struct.pack(">IIIH", o, 6, 0, 0) for o in (INFO, GO)))
    client.say(packed(READ, 0, 4))
    house.hall.pass_time(5 * MS)
    client.say(packed(READ, 0, 4))
    house.hall.pass_time(5 * MS)
    gate.set()
    client.hear(18 + 2 * ((20 + 12) + 20))
    for _ in range(2):
        assert client.reply()[0] == 0
        assert client.hear(4) == bytes(4)
