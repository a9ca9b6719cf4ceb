"""One session writes at a time: who is admitted, who waits, and who is fenced."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from dsttool.engine.node.dst import DstNode
from dsttool.engine.transaction.grant import Holder
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, Fenced
from dsttool.engine.vocabulary.limits import MS
from dsttool.engine.vocabulary.operations import READ, WRITE
from dsttool.engine.wire import dst_hello, dst_preface, dst_records
from dsttool.engine.wire.dst_hello import READ_ONLY, Hello, Welcome
from support.dst_hall import POLICY, DstHall, Export
from support.dst_strangers import RawClient, head, requests
from support.faulty_device import FaultyDevice

SIZE = 1 << 20
OLD, NEW = b"old!", b"new!"
ARRAY_A, ARRAY_B = bytes([0xA]) * 16, bytes([0xB]) * 16


class House:
    """A hall with one export of a device in memory, and clients that are arrays, killed and restarted."""

    def __init__(self, hall: DstHall) -> None:
        self.hall = hall
        self.device = FaultyDevice(hall.reactor, SIZE)
        self.export: Export = hall.export(self.device)
        self.clients: list[RawClient] = []

    def stranger(self, session: int, **hello: Any) -> tuple[RawClient, Hello]:
        client = RawClient(self.hall, self.export, bytes([session]) * 16)
        self.clients.append(client)
        return client, client.hello(**({"array": ARRAY_A} | hello))

    def client(self, session: int, **hello: Any) -> RawClient:
        """A session of array a, unless another one is named, that is admitted."""
        client, greeting = self.stranger(session, **hello)
        self.welcome: Welcome = client.welcome(greeting)
        return client

    def refused(self, session: int, **hello: Any) -> int:
        """The code with which it is."""
        client, greeting = self.stranger(session, **hello)
        code, self.words = client.refused(greeting)
        return code

    def waiting(self, session: int, **hello: Any) -> RawClient:
        """A session that has asked, and has no answer yet."""
        client, greeting = self.stranger(session, **hello)
        client.greet(greeting)
        client.hear(dst_preface.SERVER.size)
        self.hall.pass_time(MS)
        assert client.is_silent()
        return client

    def stalled(self, session: int, **hello: Any) -> RawClient:
        """A session with one write that the device has begun and does not finish."""
        client = self.client(session, **hello)
        self.device.prompt = False
        client.say(requests(head(WRITE, 0, 4), payload=OLD))
        self.hall.until(lambda: len(self.device.waiting) == 1)
        return client

    def kill(self, client: RawClient) -> None:
        """kill -9: the connection ends without a word."""
        before = len(self.export.offer.sessions)
        client.close()
        self.hall.until(lambda: len(self.export.offer.sessions) < before)

    def answer(self) -> None:
        self.device.prompt = True
        self.device.answer()

    def restart(self) -> None:
        """The server's process is another one now."""
        self.export.go_away()
        self.export.start()


@pytest.fixture
def house() -> Iterator[House]:
    with DstHall() as hall:
        made = House(hall)
        yield made
        made.answer()
        for client in made.clients:
            client.close()


@pytest.fixture
def _short_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GRANT_NS", 30 * MS)


def admitted(client: RawClient) -> Welcome:
    kind, body = client.record()
    assert kind == dst_records.WELCOME
    return Welcome.parse(body)


# -- the same owner --------------------------------------------------------------------------------------


def test_a_killed_array_is_admitted_again_at_once_under_a_higher_term(house: House) -> None:
    house.kill(house.client(1))
    assert house.welcome.term == 1
    house.client(2)
    assert (house.welcome.term, house.welcome.found) == (2, False)


def test_a_session_that_is_displaced_is_told_so_and_never_comes_back(house: House) -> None:
    first = house.client(1)
    house.client(2)
    assert first.notice() == dst_hello.FENCED
    for term in (0, 1):
        assert house.refused(1, epoch=5, term=term) == dst_hello.FENCED
    assert house.refused(3, term=1) == dst_hello.FENCED


def test_a_stalled_write_never_lands_after_a_newer_one_of_the_array_that_was_killed_and_came_back(
    house: House,
) -> None:
    """The old session's write runs, and the better part of another has come."""
    first = house.stalled(1)
    first.say(requests(head(WRITE, 0, 4, id_=2), payload=OLD)[:-1])
    house.kill(first)
    second = house.waiting(2)
    house.answer()
    assert admitted(second).term == 2
    second.say(requests(head(WRITE, 0, 4), payload=NEW))
    assert second.answers() == [(1, 0, b"")]
    assert bytes(house.device.bytes[:4]) == NEW
    assert len(house.device.got) == 2


def test_what_a_displaced_session_still_sends_is_not_read(house: House) -> None:
    first = house.stalled(1)
    second = house.waiting(2)
    first.say(requests(head(WRITE, 100, 4, id_=2), payload=OLD))
    assert first.notice() == dst_hello.FENCED
    house.answer()
    admitted(second)
    house.hall.pass_time(MS)
    assert len(house.device.got) == 1


def test_a_second_link_of_a_new_session_waits_with_the_first_and_is_of_one_session(house: House) -> None:
    house.kill(house.stalled(1))
    links = [house.waiting(2, link=index) for index in range(2)]
    house.answer()
    assert [(w.term, w.found) for w in map(admitted, links)] == [(2, False), (2, True)]


def test_a_hello_of_a_process_that_is_dead_displaces_nobody(house: House) -> None:
    """It was stuck in the network while the array was killed and came back."""
    alive = house.client(2)
    ghost, greeting = house.stranger(1)
    ghost.socket.sendall(dst_preface.client_preface(dst_preface.NONE, ghost.session))
    body = greeting.pack()
    ghost.socket.sendall(dst_records.header(dst_records.HELLO, len(body)) + body)
    ghost.close()
    house.hall.pass_time(5 * MS)
    assert len(house.export.server.connections) == 1
    alive.say(requests(head(WRITE, 0, 4), payload=NEW))
    assert alive.answers() == [(1, 0, b"")]
    assert house.refused(3, array=ARRAY_B) == dst_hello.BUSY


# -- another owner -----------------------------------------------------------------------------------------


def test_another_owner_is_refused_while_the_writer_is_connected(house: House) -> None:
    house.client(1)
    assert house.refused(2, array=ARRAY_B) == dst_hello.BUSY
    owner = f"uid {os.getuid()} array 0a0a0a0a slot 0"
    assert house.words == f"'disk' is written by {owner}, which is connected."


def test_the_same_array_in_another_slot_is_another_owner(house: House) -> None:
    """Both slots of a mirror on one export by mistake must not displace each other for ever."""
    house.client(1)
    assert house.refused(2, slot=1) == dst_hello.BUSY


def test_another_owner_is_refused_when_the_writer_was_killed(house: House) -> None:
    house.kill(house.client(1))
    assert house.refused(2, array=ARRAY_B) == dst_hello.BUSY
    assert house.words.endswith("which has 60 s left to come back.")


@pytest.mark.usefixtures("_short_grants")
def test_another_owner_is_admitted_when_the_writer_was_silent_for_the_grant_time(house: House) -> None:
    house.kill(house.client(1))
    house.hall.pass_time(limits.GRANT_NS + MS)
    house.client(2, array=ARRAY_B)
    assert house.welcome.term == 2
    assert house.refused(1, epoch=2, term=1) == dst_hello.FENCED


@pytest.mark.usefixtures("_short_grants")
def test_a_writer_that_is_connected_keeps_its_grant_however_long_it_writes_nothing(house: House) -> None:
    house.client(1)
    house.hall.pass_time(3 * limits.GRANT_NS)
    assert house.refused(2, array=ARRAY_B) == dst_hello.BUSY


def test_another_owner_is_admitted_at_once_after_a_goodbye(house: House) -> None:
    house.client(1).goodbye()
    house.client(2, array=ARRAY_B)
    assert house.welcome.term == 2
    assert house.refused(1, epoch=2) == dst_hello.FENCED


def test_after_a_goodbye_too_what_was_begun_must_end_first(house: House) -> None:
    house.stalled(1).goodbye()
    second = house.waiting(2, array=ARRAY_B)
    house.answer()
    assert admitted(second).term == 2


def test_a_goodbye_ends_all_links_of_the_session(house: House) -> None:
    other = house.client(1, link=1)
    house.client(1, link=0).goodbye()
    assert other.is_closed()


def test_a_takeover_admits_another_owner_and_fences_the_one_before(house: House) -> None:
    first = house.client(1)
    house.client(2, array=ARRAY_B, takeover=True)
    assert house.welcome.term == 2
    assert first.notice() == dst_hello.FENCED
    assert house.refused(1, epoch=2, term=1) == dst_hello.FENCED
    assert house.refused(3) == dst_hello.BUSY


def test_a_takeover_waits_for_what_runs(house: House) -> None:
    house.stalled(1)
    second = house.waiting(2, array=ARRAY_B, takeover=True)
    house.answer()
    assert admitted(second).term == 2
    assert bytes(house.device.bytes[:4]) == OLD


def test_who_only_reads_asks_nobody_and_disturbs_nobody(house: House) -> None:
    writer = house.client(1)
    reader = house.client(2, array=ARRAY_B, access=READ_ONLY)
    assert (house.welcome.access, house.welcome.term) == (READ_ONLY, 0)
    for client, op in ((reader, READ), (writer, WRITE)):
        client.say(requests(head(op, 0, 4), payload=NEW if op == WRITE else b""))
        assert client.answers()[0][:2] == (1, 0)


# -- while somebody waits ----------------------------------------------------------------------------------


def test_a_third_session_comes_after_the_second_that_waits(house: House) -> None:
    house.kill(house.stalled(1))
    second, third = house.waiting(2), house.waiting(3)
    house.answer()
    assert admitted(second).term == 2
    assert second.notice() == dst_hello.FENCED
    assert admitted(third).term == 3


def test_who_gave_up_waiting_is_not_admitted_and_keeps_nobody_waiting(house: House) -> None:
    house.kill(house.stalled(1))
    for session in (2, 3):
        house.waiting(session).close()
    house.hall.until(lambda: len(house.export.server.connections) == 1)
    fourth = house.waiting(4)
    house.answer()
    # The second's turn had begun when it left: a term is spent on it.
    assert admitted(fourth).term == 3
    assert house.export.stored == Holder(house.export.stored.owner, bytes([4]) * 16, 3)  # type: ignore[union-attr]


def test_a_client_that_gives_up_and_asks_again_still_waits(house: House) -> None:
    """One whose connect timeout is shorter than the device's stall must not get in by trying again."""
    house.kill(house.stalled(1))
    for epoch in (1, 2):
        house.waiting(2, epoch=epoch).close()
    again = house.waiting(2, epoch=3)
    house.answer()
    assert admitted(again).term == 2


def test_nothing_that_waits_for_its_welcome_is_carried_out(house: House) -> None:
    house.kill(house.stalled(1))
    second = house.waiting(2)
    second.say(requests(head(WRITE, 0, 4), payload=NEW))
    assert second.refusal()[0] == dst_hello.REFUSED_PROTOCOL
    house.answer()
    assert len(house.device.got) == 1


def test_a_server_that_ends_while_somebody_waits_just_ends(house: House) -> None:
    house.kill(house.stalled(1))
    second = house.waiting(2)
    house.export.go_away()
    assert second.is_closed()
    house.answer()
    house.hall.pass_time(MS)
    house.export.start()
    house.client(2, epoch=2)


def test_a_server_that_drains_lets_those_go_who_wait(house: House) -> None:
    house.kill(house.stalled(1))
    second = house.waiting(2)
    house.export.server.drain()
    assert second.is_closed()


def test_those_who_have_left_do_not_pile_up_behind_one_who_waits(house: House) -> None:
    house.kill(house.stalled(1))
    house.waiting(2)
    for session in range(3, 20):
        before = len(house.export.server.connections)
        house.waiting(session).close()
        house.hall.until(lambda before=before: len(house.export.server.connections) == before)
    assert len(house.export.offer.writers._queue) <= 1


def test_a_goodbye_counts_even_if_who_was_to_take_the_place_is_gone_by_then(house: House) -> None:
    first = house.client(1)
    second, greeting = house.stranger(2)
    ask = house.export.offer.writers._prepare

    def leave(*args: Any) -> None:
        """Who asks leaves, and so does the writer, before the sockets are looked at once more."""
        ask(*args)
        second.close()
        (session,) = house.export.offer.dst._sessions.values()
        house.export.offer.dst.goodbye(session)

    house.export.offer.writers._prepare = leave  # type: ignore[method-assign]
    second.greet(greeting)
    assert first.is_closed()
    house.hall.pass_time(MS)
    house.export.offer.writers._prepare = ask  # type: ignore[method-assign]
    house.client(3, array=ARRAY_B)  # which is another owner: nobody has the grant any more


def test_a_writer_is_not_taken_for_a_reader_that_came_under_its_id_meanwhile(house: House) -> None:
    house.kill(house.stalled(1))
    writer = house.waiting(2)
    reader, greeting = house.stranger(2, access=READ_ONLY, link=1)
    reader.welcome(greeting)
    house.answer()
    admitted(writer)
    house.kill(writer)
    house.kill(reader)
    assert not house.export.offer.writers._grant._present


def test_who_waits_too_long_is_closed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.kill(house.stalled(1))
    monkeypatch.setattr(limits, "HANDSHAKE_TIMEOUT_NS", 20 * MS)
    client, greeting = house.stranger(2)
    client.greet(greeting)
    assert client.is_closed()
    house.answer()
    assert house.device.got == [(WRITE, 0, 4)]


# -- storing ---------------------------------------------------------------------------------------------


def test_a_writer_is_stored_before_it_is_admitted(house: House) -> None:
    house.client(1)
    owner = f"uid {os.getuid()} array {ARRAY_A.hex()} slot 0"
    assert house.export.stored == Holder(owner, bytes([1]) * 16, 1)


def test_a_writer_that_cannot_be_stored_is_refused_and_the_next_one_gets_another_term(house: House) -> None:
    first = house.client(1)
    house.export.store_fails = DsttoolError("No space left on device.")
    assert house.refused(2) == dst_hello.GOING_AWAY
    assert house.words == "The server cannot store who writes to 'disk': No space left on device."
    assert first.notice() == dst_hello.FENCED
    house.export.store_fails = None
    house.client(3)
    assert house.welcome.term == 3


def test_a_goodbye_is_stored(house: House) -> None:
    house.client(1).goodbye()
    house.hall.until(lambda: bool(house.export.stored and house.export.stored.released))
    house.restart()
    house.client(2, array=ARRAY_B)


def test_a_goodbye_that_cannot_be_stored_is_one_all_the_same(house: House) -> None:
    client = house.client(1)
    house.export.store_fails = DsttoolError("No space left on device.")
    client.goodbye()
    house.hall.pass_time(MS)
    house.export.store_fails = None
    house.client(2, array=ARRAY_B)


# -- a restart of the server -------------------------------------------------------------------------------


def test_after_a_restart_of_the_server_the_session_goes_on_under_its_term(house: House) -> None:
    """What it remembered of changes is gone: the client sends again what has no answer."""
    client = house.client(1)
    client.say(requests(head(WRITE, 0, 4), payload=NEW))
    assert client.answers() == [(1, 0, b"")]
    house.restart()
    again = house.client(1, epoch=2, term=1)
    assert (house.welcome.term, house.welcome.found, house.welcome.known) == (1, False, ())
    again.say(requests(head(WRITE, 0, 4), payload=NEW))
    assert again.answers() == [(1, 0, b"")]


def test_after_a_restart_of_the_server_an_older_term_is_fenced(house: House) -> None:
    house.kill(house.client(1))
    house.client(2)
    house.restart()
    assert house.refused(1, epoch=2, term=1) == dst_hello.FENCED


def test_after_a_restart_of_the_server_another_owner_waits_for_the_grant_time(house: House) -> None:
    house.client(1)
    house.restart()
    assert house.refused(2, array=ARRAY_B) == dst_hello.BUSY


def test_after_a_restart_of_the_server_a_new_session_of_the_owner_is_admitted_at_once(house: House) -> None:
    house.client(1)
    house.restart()
    house.client(2)
    assert house.welcome.term == 2


# -- shared exports ----------------------------------------------------------------------------------------


@pytest.fixture
def shared(house: House) -> House:
    house.export = house.hall.export(house.device, shared=True)
    return house


def test_a_shared_export_has_several_writers_and_no_terms(shared: House) -> None:
    clients = [shared.client(1), shared.client(2, array=ARRAY_B)]
    for index, client in enumerate(clients):
        client.say(requests(head(WRITE, index * 4, 4), payload=NEW))
        assert client.answers() == [(1, 0, b"")]
    assert shared.welcome.term == 0
    assert shared.export.stored is None


def test_of_one_owner_a_shared_export_has_the_latest_session_only(shared: House) -> None:
    first = shared.client(1)
    shared.client(2)
    assert first.notice() == dst_hello.FENCED
    assert shared.refused(1, epoch=2) == dst_hello.FENCED


def test_a_session_of_a_shared_export_that_lost_its_links_is_remembered(shared: House) -> None:
    client = shared.client(1)
    client.say(requests(head(WRITE, 0, 4), payload=NEW))
    client.answers()
    shared.kill(client)
    shared.client(1, epoch=2)
    assert (shared.welcome.found, shared.welcome.known) == (True, ((1, 0),))


def test_too_many_sessions_without_links_are_forgotten_and_refused_then(
    shared: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DEAD_SESSIONS_MAX", 2)
    for session in (1, 2, 3):
        shared.kill(shared.client(session, array=bytes([session]) * 16))
    assert shared.refused(1, array=bytes([1]) * 16, epoch=2) == dst_hello.FENCED
    shared.client(2, array=bytes([2]) * 16, epoch=2)


def test_a_goodbye_to_a_shared_export_ends_the_session(shared: House) -> None:
    shared.client(1).goodbye()
    assert shared.refused(1, epoch=2) == dst_hello.FENCED


# -- both ends real ------------------------------------------------------------------------------------------


def connect(house: House, name: str, array: bytes, **options: Any) -> tuple[DstNode, DsttoolError | None]:
    node = DstNode(
        house.hall.reactor, name, house.export.endpoint, "disk", policy=POLICY, array=array, **options
    )
    answers: list[DsttoolError | None] = []
    node.connect(answers.append)
    house.hall.until(lambda: bool(answers))
    house.hall.nodes.append(node)
    return node, answers[0]


def test_a_node_of_the_same_array_is_admitted_and_the_one_before_is_fenced_for_good(house: House) -> None:
    before, _ = connect(house, "n0", ARRAY_A)
    _, error = connect(house, "n1", ARRAY_A)
    assert error is None
    house.hall.until(lambda: before.failure is not None)
    assert isinstance(before.failure, Fenced)


def test_a_node_of_another_array_is_refused_and_may_take_over(house: House) -> None:
    before, _ = connect(house, "n0", ARRAY_A)
    _, error = connect(house, "n1", ARRAY_B)
    assert isinstance(error, Conflict)
    _, error = connect(house, "n2", ARRAY_B, takeover=True)
    assert error is None
    house.hall.until(lambda: before.failure is not None)
    assert isinstance(before.failure, Fenced)


def test_a_node_that_is_closed_says_goodbye(house: House) -> None:
    before, _ = connect(house, "n0", ARRAY_A)
    ended: list[bool] = []
    before.close(lambda: ended.append(True))
    house.hall.nodes.remove(before)
    house.hall.until(lambda: bool(ended))
    house.hall.until(lambda: bool(house.export.stored and house.export.stored.released))
    _, error = connect(house, "n1", ARRAY_B)
    assert error is None
