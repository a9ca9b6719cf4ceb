"""Sessions that outlive their links: every change is carried out once, whatever happens to connections."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsttool.engine.node.file import FileDevice
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.limits import ID_WINDOW, MS
from dsttool.engine.vocabulary.operations import FLUSH, FUA, READ, TRIM, WRITE, WRITE_ZEROES
from dsttool.engine.wire import dst_hello, dst_records
from dsttool.engine.wire.dst_hello import READ_ONLY, RUNNING
from dsttool.engine.wire.dst_records import CROSSOVER
from support.dst_hall import DstHall
from support.dst_strangers import SESSION, RawClient, head, record, requests
from support.faulty_device import FaultyDevice

SIZE = 1 << 20
CHANGES = [WRITE, TRIM, WRITE_ZEROES]
OLD, NEW = b"old!", b"new!"


class House:
    """A hall with one export of a device in memory, and connections of one client's session."""

    def __init__(self, hall: DstHall) -> None:
        self.hall = hall
        self.device = FaultyDevice(hall.reactor, SIZE)
        self.export = hall.export(self.device)
        self.clients: list[RawClient] = []

    def stranger(self, session: bytes = SESSION) -> RawClient:
        client = RawClient(self.hall, self.export, session)
        self.clients.append(client)
        return client

    def client(self, epoch: int = 1, **hello: object) -> RawClient:
        """A link of the session."""
        client = self.stranger()
        self.welcome = client.welcome(client.hello(epoch, **hello))
        return client

    def running(self, count: int) -> None:
        self.hall.until(lambda: len(self.device.waiting) == count)

    def answer(self) -> None:
        """The device ends what it has, and answers at once from now on."""
        self.device.prompt = True
        self.device.answer()

    @property
    def executed(self) -> list[int]:
        """The operations that the device got."""
        return [op for op, _, _ in self.device.got]


@pytest.fixture
def house() -> Iterator[House]:
    with DstHall() as hall:
        made = House(hall)
        yield made
        made.answer()
        for client in made.clients:
            client.close()


def change(op: int, id_: int, data: bytes = NEW, offset: int = 0, floor: int = 0) -> bytes:
    return requests(head(op, offset, len(data), id_=id_), payload=data if op == WRITE else b"", floor=floor)


# -- a change is carried out once ------------------------------------------------------------------------


@pytest.mark.parametrize("op", CHANGES)
@pytest.mark.parametrize("status", [0, errno.ENOSPC])
def test_a_resent_change_is_not_executed_twice(house: House, op: int, status: int) -> None:
    """An answer that was lost with its connection comes from what the session remembers."""
    if status:
        house.device.fail(status, op, once=True)
    house.client().say(change(op, 5))
    house.hall.until(lambda: house.executed == [op])
    again = house.client(2)
    assert (house.welcome.found, house.welcome.known) == (True, ((5, status),))
    again.say(change(op, 5))
    assert again.answers() == [(5, status, b"")]
    assert house.executed == [op]


@pytest.mark.parametrize("op", CHANGES)
def test_a_change_that_runs_is_not_started_again_and_answers_the_link_that_asks_again(
    house: House, op: int
) -> None:
    house.device.prompt = False
    house.client().say(change(op, 5))
    house.running(1)
    again = house.client(2)
    assert house.welcome.known == ((5, RUNNING),)
    again.say(change(op, 5))
    assert again.is_silent()
    house.answer()
    assert again.answers() == [(5, 0, b"")]
    assert house.executed == [op]


def test_of_three_links_that_ask_for_one_change_each_gets_the_answer(house: House) -> None:
    """What asked last may be a link that the client has given up, and of which the last bytes came late."""
    house.device.prompt = False
    links = [house.client(link=index) for index in range(3)]
    for link in links:
        link.say(change(WRITE, 5))
        house.hall.pass_time(MS)
    house.answer()
    assert [link.answers() for link in links] == [[(5, 0, b"")]] * 3
    assert house.executed == [WRITE]
    assert [c.in_flight for c in house.export.server.connections] == [0, 0, 0]


def test_a_change_that_was_asked_for_twice_ends_while_the_server_drains(house: House) -> None:
    house.device.prompt = False
    client = house.client()
    client.say(change(WRITE, 5) + change(WRITE, 5))
    house.running(1)
    house.hall.pass_time(MS)
    house.export.server.drain()
    house.answer()
    assert client.answers() == [(5, 0, b"")]
    assert client.is_closed()


def test_links_that_are_gone_wait_for_no_answer(house: House) -> None:
    house.device.prompt = False
    house.client(link=1).say(change(WRITE, 5))
    house.running(1)
    for epoch in range(1, 20):
        house.client(epoch).say(change(WRITE, 5))
        house.hall.pass_time(MS)
    (session,) = house.export.offer.dst._sessions.values()
    assert len(session.waiters[5]) == 1


def test_a_change_that_ends_between_two_links_is_known_to_the_second(house: House) -> None:
    house.device.prompt = False
    first = house.client()
    first.say(change(WRITE, 5))
    house.running(1)
    first.close()
    house.hall.until(lambda: not house.export.offer.sessions)
    house.answer()
    house.client(2)
    assert house.welcome.known == ((5, 0),)
    assert bytes(house.device.bytes[:4]) == NEW


def test_the_same_change_twice_in_one_batch_is_carried_out_and_answered_once(house: House) -> None:
    client = house.client()
    client.say(requests(head(WRITE, 0, 4), head(WRITE, 0, 4), payload=NEW + OLD))
    assert client.answers() == [(1, 0, b"")]
    assert client.is_silent()
    assert house.executed == [WRITE]
    assert bytes(house.device.bytes[:4]) == NEW


def test_reads_and_flushes_run_again(house: House) -> None:
    for epoch in (1, 2):
        client = house.client(epoch)
        client.say(requests(head(READ, 0, 4, id_=5), head(FLUSH, 0, 0, id_=6)))
        assert [(id_, status) for id_, status, _ in sorted(client.answers(2))] == [(5, 0), (6, 0)]
        assert house.welcome.known == ()
    assert house.executed == [READ, FLUSH, READ, FLUSH]


def test_what_a_dead_link_read_is_dropped(house: House) -> None:
    house.device.prompt = False
    house.client().say(requests(head(READ, 0, 4, id_=5), head(FLUSH, 0, 0, id_=6)))
    house.running(2)
    again = house.client(2)
    house.answer()
    assert again.is_silent()
    assert again.hall.reactor.pool.bytes_in_use < 2 * limits.MIB


def test_a_large_payload_that_did_not_come_was_never_begun(house: House) -> None:
    first = house.client()
    data = bytes(CROSSOVER)
    first.say(change(WRITE, 4) + requests(head(WRITE, 0, CROSSOVER, id_=5)))
    first.say(record(dst_records.PAYLOAD, data)[:-1])
    assert first.answers() == [(4, 0, b"")]
    second = house.client(2)
    assert house.welcome.known == ((4, 0),)
    second.say(requests(head(WRITE, 0, CROSSOVER, id_=5)) + record(dst_records.PAYLOAD, data))
    assert second.answers() == [(5, 0, b"")]
    assert house.executed == [WRITE, WRITE]


def test_a_large_payload_that_comes_again_is_not_executed_twice(house: House) -> None:
    stream = requests(head(WRITE, 0, CROSSOVER, id_=5)) + record(dst_records.PAYLOAD, bytes(CROSSOVER))
    for epoch in (1, 2):
        client = house.client(epoch)
        client.say(stream)
        assert client.answers() == [(5, 0, b"")]
    assert house.executed == [WRITE]


def test_a_batch_that_makes_no_sense_leaves_nothing_begun(house: House) -> None:
    client = house.client()
    client.say(requests(head(WRITE, 0, 4, id_=5), head(TRIM, 0, 4, id_=6), payload=NEW + b"too much"))
    assert client.refusal()[0] == dst_hello.REFUSED_PROTOCOL
    second = house.client(2)
    assert house.welcome.known == ()
    second.say(change(WRITE, 5))
    assert second.answers() == [(5, 0, b"")]
    assert house.executed == [WRITE]


# -- the order of changes --------------------------------------------------------------------------------


def test_a_stalled_write_never_lands_after_a_newer_one_of_its_session(house: House) -> None:
    """The older one gave up waiting and was sent again; its first copy comes late, after the newer one."""
    stale = house.client(link=0)
    other = house.client(link=1)
    other.say(change(WRITE, 5, OLD))
    assert other.answers() == [(5, 0, b"")]
    other.say(change(WRITE, 6, NEW, floor=6))
    assert other.answers() == [(6, 0, b"")]
    stale.say(change(WRITE, 5, OLD))
    assert stale.answers() == [(5, errno.ECANCELED, b"")]
    assert bytes(house.device.bytes[:4]) == NEW
    assert house.executed == [WRITE, WRITE]


def test_a_write_that_was_given_up_never_begins(house: House) -> None:
    """Its budget ended before it arrived: the hello's floor says so."""
    house.client(floor=6).say(change(WRITE, 5, OLD))
    house.hall.pass_time(MS)
    assert house.executed == []


def test_a_write_that_was_given_up_but_runs_is_told_until_it_ends(house: House) -> None:
    house.device.prompt = False
    house.client().say(change(WRITE, 5, OLD))
    house.running(1)
    second = house.client(2, floor=6)
    assert house.welcome.known == ((5, RUNNING),)
    second.say(change(WRITE, 5, OLD, floor=6))
    house.hall.pass_time(MS)
    house.answer()
    assert second.answers() == [(5, 0, b"")]
    house.client(3, floor=6)
    assert house.welcome.known == ()


def test_overlapping_writes_of_several_connections_take_effect_in_the_order_they_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older one is FUA, in a thread, and slow; the newer one is not."""
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(SIZE))
    with DstHall() as hall:
        device = FileDevice.open(hall.reactor, str(path))
        hall.closes(device)
        export = hall.export(device, shared=True)
        first, second = (RawClient(hall, export, bytes([each]) * 16) for each in (1, 2))
        first.welcome()
        second.welcome()
        gate = hall.reactor._pools["device"]
        begun: list[object] = []
        monkeypatch.setattr(gate, "submit", lambda call, done: begun.append((call, done)))
        first.say(requests(head(WRITE, 0, 4, flags=FUA), payload=OLD))
        hall.until(lambda: len(begun) == 1)
        second.say(requests(head(WRITE, 0, 4), head(WRITE, 100, 4, id_=2), payload=NEW + NEW))
        hall.pass_time(2 * MS)
        assert path.read_bytes()[:4] == bytes(4), "the newer one went first"
        monkeypatch.undo()
        for call, done in begun:  # type: ignore[misc]
            hall.reactor.run_blocking(call, done)
        assert first.answers() == [(1, 0, b"")]
        assert sorted(second.answers(2)) == [(1, 0, b""), (2, 0, b"")]
        assert path.read_bytes()[:4] == NEW
        first.close()
        second.close()


# -- ids -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [*CHANGES, READ, FLUSH])
@pytest.mark.parametrize("id_", [99, 100 + ID_WINDOW, 2**64 - 1])
def test_an_id_outside_the_window_is_canceled_and_never_reaches_the_device(
    house: House, op: int, id_: int
) -> None:
    client = house.client(floor=100)
    length = 0 if op == FLUSH else 4
    payload = NEW if op == WRITE else b""
    client.say(requests(head(op, 0, length, id_=id_), payload=payload, floor=100))
    assert client.answers() == [(id_, errno.ECANCELED, b"")]
    assert house.executed == []
    client.say(change(WRITE, 100 + ID_WINDOW - 1, floor=100))
    assert client.answers() == [(100 + ID_WINDOW - 1, 0, b"")]


def test_a_large_write_outside_the_window_is_canceled(house: House) -> None:
    client = house.client(floor=100)
    client.say(requests(head(WRITE, 0, CROSSOVER)) + record(dst_records.PAYLOAD, bytes(CROSSOVER)))
    assert client.answers() == [(1, errno.ECANCELED, b"")]
    assert house.executed == []


def test_a_floor_that_goes_down_is_ignored(house: House) -> None:
    client = house.client(floor=100)
    client.say(change(WRITE, 50, floor=0))
    assert client.answers() == [(50, errno.ECANCELED, b"")]
    second = house.client(2, floor=0)
    second.say(change(WRITE, 50, floor=0))
    assert second.answers() == [(50, errno.ECANCELED, b"")]


@pytest.mark.parametrize("floor", [1 << 40, 2**64 - 1])
def test_an_absurd_floor_harms_only_who_says_it(house: House, floor: int) -> None:
    client = house.client()
    client.say(change(WRITE, 5, floor=floor))
    assert client.answers() == [(5, errno.ECANCELED, b"")]
    client.close()
    other = house.stranger(bytes(16))
    reads = other.welcome(other.hello(access=READ_ONLY))
    assert reads.access == READ_ONLY


def test_what_is_known_of_a_whole_window_fits_a_welcome(house: House) -> None:
    client = house.client()
    count = 64
    for first in range(0, ID_WINDOW, count):
        ids = range(first, min(first + count, ID_WINDOW))
        client.say(requests(*[head(TRIM, id_, 1, id_=id_) for id_ in ids]))
        assert len(client.answers(len(ids))) == len(ids)
    house.client(2)
    assert house.welcome.known == tuple((id_, 0) for id_ in range(ID_WINDOW))


# -- links of a session ----------------------------------------------------------------------------------


def test_a_hello_replaces_the_link_of_its_index_only(house: House) -> None:
    first, second = house.client(link=0), house.client(link=1)
    third = house.client(2, link=0)
    assert first.notice() == dst_hello.REPLACED
    for client, id_ in ((second, 1), (third, 2)):
        client.say(change(WRITE, id_))
        assert client.answers() == [(id_, 0, b"")]


def test_a_new_link_does_not_wait_for_what_the_old_one_left_running(house: House) -> None:
    house.device.prompt = False
    house.client().say(change(WRITE, 5))
    house.running(1)
    second = house.client(2)
    second.say(change(WRITE, 6, offset=100))
    house.running(2)


@pytest.mark.parametrize("epoch", [2, 1])
def test_a_hello_that_comes_late_does_not_replace_a_newer_link(house: House, epoch: int) -> None:
    present = house.client(2)
    late = house.stranger()
    assert late.refused(late.hello(epoch))[0] == dst_hello.REPLACED
    present.say(change(WRITE, 5))
    assert present.answers() == [(5, 0, b"")]
    present.close()
    house.hall.until(lambda: not house.export.offer.sessions)
    late = house.stranger()
    assert late.refused(late.hello(epoch))[0] == dst_hello.REPLACED


def test_what_the_replaced_link_still_sends_is_not_read(house: House) -> None:
    first = house.client()
    house.client(2)
    first.say(change(WRITE, 5))
    assert first.notice() == dst_hello.REPLACED
    assert house.executed == []


def test_a_link_beyond_the_bound_is_refused(house: House) -> None:
    client = house.stranger()
    code, _ = client.refused(client.hello(link=limits.LINKS_MAX))
    assert code == dst_hello.REFUSED_PROTOCOL


def test_a_client_that_reconnects_to_a_stalled_device_does_not_pile_up_requests(house: House) -> None:
    house.device.prompt = False
    for epoch in range(1, limits.STALLED_LINKS_MAX + 1):
        client = house.client(epoch)
        client.say(requests(head(READ, 0, 4)))
        house.running(epoch)
        client.close()
    house.hall.until(lambda: not house.export.offer.sessions)
    refused = house.stranger()
    assert refused.refused(refused.hello(50))[0] == dst_hello.GOING_AWAY
    house.answer()
    house.client(51).say(requests(head(READ, 0, 4)))


@pytest.mark.parametrize("writes", [True, False])
def test_somebody_elses_session_is_refused(house: House, writes: bool) -> None:
    access = dst_hello.READ_WRITE if writes else READ_ONLY
    house.client(access=access).say(change(WRITE, 5))
    thief = house.stranger()
    hello = thief.hello(2, array=bytes(16), access=access)
    assert thief.refused(hello) == (dst_hello.REFUSED_ACCESS, "The session belongs to somebody else.")


def test_a_session_cannot_change_its_access(house: House) -> None:
    house.client()
    other = house.stranger()
    assert other.refused(other.hello(2, access=READ_ONLY))[0] == dst_hello.REFUSED_PROTOCOL


def test_a_session_that_only_read_is_forgotten_with_its_last_link(house: House) -> None:
    first, second = (house.client(link=index, access=READ_ONLY) for index in (0, 1))
    assert house.welcome.found
    first.close()
    second.close()
    house.hall.until(lambda: not house.export.server.connections)
    house.client(access=READ_ONLY)
    assert not house.welcome.found


def test_a_session_shows_its_links(house: House) -> None:
    house.client(link=0)
    house.client(link=1)
    (status,) = house.export.offer.status()["sessions"]
    assert (status["links"], status["access"]) == (2, "read-write")


# -- who is still there ----------------------------------------------------------------------------------


class Deaf(RawClient):
    """Does not answer pings."""

    def whole_record(self) -> tuple[int, int, bytes]:
        return super(RawClient, self).whole_record()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENT_QUIET_NS", 10 * MS)


def deaf(house: House) -> Deaf:
    client = Deaf(house.hall, house.export)
    house.clients.append(client)
    client.welcome()
    return client


@pytest.mark.usefixtures("_impatient")
def test_a_client_that_says_nothing_is_pinged_and_closed_after_three_pings(house: House) -> None:
    client = deaf(house)
    for _ in range(limits.CLIENT_PINGS_MISSED):
        assert client.record() == (dst_records.PING, bytes(8))
    assert client.is_closed()
    house.hall.until(lambda: not house.export.offer.sessions)


@pytest.mark.usefixtures("_impatient")
def test_a_client_that_answers_pings_stays(house: House) -> None:
    client = deaf(house)
    for _ in range(3 * limits.CLIENT_PINGS_MISSED):
        kind, body = client.record()
        assert kind == dst_records.PING
        client.say(record(dst_records.PONG, body))
    client.say(change(WRITE, 5))
    assert client.record()[0] == dst_records.REPLIES


@pytest.mark.usefixtures("_impatient")
def test_a_client_that_is_held_back_is_not_given_up(house: House) -> None:
    client = deaf(house)
    client.says_until_held_back(requests(*[head(READ, 0, 4096)] * 100), 8 << 20)
    house.hall.pass_time(100 * MS)
    assert len(house.export.offer.sessions) == 1


# -- what was lost in an earlier run -----------------------------------------------------------------------


def flush(client: RawClient, id_: int, floor: int = 0) -> int:
    client.say(requests(head(FLUSH, 0, 0, id_=id_), floor=floor))
    ((_, status, _),) = client.answers()
    return status


def test_the_first_flush_fails_where_acked_writes_of_an_earlier_run_may_be_lost(house: House) -> None:
    house.export.offer.lost = True
    client = house.client()
    assert flush(client, 1) == errno.EIO
    assert flush(client, 2, floor=2) == 0
    assert flush(client, 3, floor=3) == 0


def test_a_failed_flush_is_not_forgotten_when_its_reply_is_lost(house: House) -> None:
    """Nobody knows whether it was heard before the floor says so."""
    house.export.offer.lost = True
    first = house.client()
    first.say(requests(head(FLUSH, 0, 0)))
    house.hall.until(lambda: house.executed == [FLUSH])
    again = house.client(2)
    assert flush(again, 1) == errno.EIO
    assert flush(again, 2, floor=2) == 0


def test_every_flush_brings_the_devices_verifier(house: House) -> None:
    client = house.client()
    assert house.welcome.verifier == house.device.verifier
    house.device.verifier = b"another verifier"
    client.say(requests(head(FLUSH, 0, 0)))
    assert client.answers() == [(1, 0, b"another verifier")]
