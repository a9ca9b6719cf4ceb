"""Who may come in over sealed links, and what those who lie achieve. Both ends are real."""

import errno
import logging
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dsttool.engine.config import authorized, invitations, keys
from dsttool.engine.config.address_rules import parse_rules
from dsttool.engine.config.authorized import Permission
from dsttool.engine.config.invitations import Invitation
from dsttool.engine.export.access import Gate
from dsttool.engine.export.nbd_server import NbdServer, _Admitted
from dsttool.engine.export.offer import Offer
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import DsttoolError, Forbidden, ProtocolError
from dsttool.engine.vocabulary.operations import READ, TRIM, WRITE, WRITE_ZEROES
from dsttool.engine.wire import dst_hello, dst_preface, dst_records, dst_security
from dsttool.engine.wire.dst_hello import Welcome
from dsttool.engine.wire.dst_records import CROSSOVER
from support.door import CIPHER, Client, Door, may, of_client, private
from support.dst_hall import DstHall
from support.dst_strangers import RawClient, head
from support.faulty_device import FaultyDevice


@pytest.fixture
def hall() -> Iterator[DstHall]:
    with DstHall() as hall:
        yield hall


@pytest.fixture
def gate(hall: DstHall) -> Gate:
    return Gate(hall.reactor, keys=may(write=["writer"], read=["reader"]))


Doors = Callable[..., Door]


@pytest.fixture
def doors(hall: DstHall) -> Iterator[Doors]:
    """Makes doors that are closed at the end."""
    made: list[Door] = []

    def make(gate: Gate, **options: Any) -> Door:
        made.append(Door(hall, gate, **options))
        return made[-1]

    yield make
    for door in made:
        door.close()


@pytest.fixture
def door(doors: Doors, gate: Gate) -> Door:
    return doors(gate)


def test_an_authorised_key_comes_in_and_writes(door: Door) -> None:
    client = door.client(of_client("writer"))
    assert isinstance(client.greet(), Welcome)
    client.request(head(WRITE, 0, 4), payload=b"data")
    assert client.status() == 0
    assert bytes(door.device.bytes[:4]) == b"data"
    assert door.gate.refusals == {}


def test_an_unknown_key_is_refused_and_counted_and_changes_nothing(door: Door) -> None:
    error = door.client(of_client("stranger")).greet()
    assert isinstance(error, Forbidden)
    assert "authorise" in error.advice
    assert door.gate.refusals == {"key": 1}
    assert not door.offer.sessions
    door.hall.until(lambda: not door.server.connections)


def test_a_client_of_another_server_is_refused(door: Door) -> None:
    error = door.client(of_client("writer", server=private("other").public)).greet()
    assert isinstance(error, Forbidden)
    assert door.gate.refusals == {"protocol": 1}


def test_a_wrong_shared_key_is_refused(doors: Doors, hall: DstHall) -> None:
    door = doors(Gate(hall.reactor), security=dst_security.shared(CIPHER, b"k" * 32))
    assert isinstance(door.client(dst_security.shared(CIPHER, b"x" * 32)).greet(), Forbidden)
    assert door.gate.refusals == {"protocol": 1}
    assert isinstance(door.client(dst_security.shared(CIPHER, b"k" * 32)).greet(), Welcome)


def test_a_plain_client_is_refused_where_links_are_sealed(door: Door) -> None:
    error = door.client(dst_security.PLAIN).greet()
    assert isinstance(error, ProtocolError)
    assert "another security" in error.what


def test_a_key_is_only_for_its_exports(hall: DstHall, door: Door) -> None:
    door.gate.keys = authorized.AuthorizedKeys(
        {private("other").public: authorized.Entry(private("other").public, read_write=frozenset({"b"}))}
    )
    error = door.client(of_client("other")).greet()
    assert isinstance(error, Forbidden)
    assert "may not use export 'disk'" in error.what


def test_a_read_only_key_may_read_and_not_ask_to_write(door: Door) -> None:
    error = door.client(of_client("reader")).greet()
    assert isinstance(error, Forbidden)
    assert "may only read" in error.what
    assert door.gate.refusals == {"access": 1}
    client = door.client(of_client("reader"))
    welcome = client.greet(read_only=True)
    assert isinstance(welcome, Welcome)
    assert welcome.access == dst_hello.READ_ONLY
    client.request(head(READ, 0, 4))
    assert client.status() == 0


@pytest.mark.parametrize("op", [WRITE, TRIM, WRITE_ZEROES])
def test_a_read_only_key_that_lies_writes_nothing(door: Door, op: int) -> None:
    client = door.client(of_client("reader"))
    client.greet(read_only=True)
    client.request(head(op, 0, 4), payload=b"data" if op == WRITE else b"")
    assert client.status() in (errno.EPERM, errno.EROFS)
    assert all(request.op == READ for request in door.device.got)
    assert bytes(door.device.bytes[:4]) == bytes(4)


def test_a_read_only_key_that_lies_writes_no_large_payload_either(door: Door) -> None:
    client = door.client(of_client("reader"))
    client.greet(read_only=True)
    client.request(head(WRITE, 0, CROSSOVER))
    client.say(dst_records.PAYLOAD, b"x" * CROSSOVER)
    assert client.status() in (errno.EPERM, errno.EROFS)
    assert door.device.got == []


def test_a_revoked_key_loses_its_links_and_does_not_come_back(hall: DstHall, door: Door) -> None:
    client = door.client(of_client("writer"))
    client.greet()
    other = door.client(of_client("reader"))
    other.greet(read_only=True)
    door.gate.keys = may(read=["reader"])
    assert door.server.cut_revoked() == 1
    hall.until(lambda: client.ended)
    kind, body = client.records.pop()
    assert kind == dst_records.NOTICE
    assert "revoked" in dst_hello.parse_reason(body)[1].what
    assert isinstance(door.client(of_client("writer")).greet(), Forbidden)
    other.request(head(READ, 0, 4))
    assert other.status() == 0


def test_a_key_that_may_only_read_from_now_on_loses_the_link_by_which_it_wrote(
    hall: DstHall, door: Door
) -> None:
    client = door.client(of_client("writer"))
    client.greet()
    door.gate.keys = may(read=["writer"])
    assert door.server.cut_revoked() == 1
    hall.until(lambda: client.ended)
    assert isinstance(door.client(of_client("writer")).greet(), Forbidden)
    assert isinstance(door.client(of_client("writer")).greet(read_only=True), Welcome)


def test_revoking_cuts_nobody_who_has_not_said_hello(hall: DstHall, door: Door) -> None:
    client = door.client(of_client("writer"))
    hall.until(lambda: client.is_open)
    door.gate.keys = may()
    assert door.server.cut_revoked() == 0
    assert isinstance(client.greet(), Forbidden)


# -- invitations -----------------------------------------------------------------------------------------


@pytest.fixture
def invitation(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invitation:
    monkeypatch.setenv("DSTTOOL_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("DSTTOOL_STATE_DIR", str(tmp_path / "state"))
    invitation = invitations.create(["disk"], read_only=False)
    door.gate.invitations = {invitation.id: invitation}
    return invitation


def invited(name: str, invitation: Invitation) -> dst_security.Security:
    return of_client(name, invitation=invitation.id, invitation_key=invitation.key)


def test_an_invited_client_is_authorised_when_it_is_welcomed(door: Door, invitation: Invitation) -> None:
    assert isinstance(door.client(invited("guest", invitation)).greet(), Welcome)
    assert authorized.load().permission(private("guest").public, "disk") is Permission.READ_WRITE
    assert isinstance(door.client(of_client("guest")).greet(), Welcome), "it needs the invitation no more"


def test_an_invitation_lets_the_same_key_come_again_and_no_other(door: Door, invitation: Invitation) -> None:
    door.client(invited("guest", invitation)).greet()
    assert isinstance(door.client(invited("guest", invitation)).greet(), Welcome)
    error = door.client(invited("thief", invitation)).greet()
    assert isinstance(error, Forbidden)
    assert "used by another key" in error.what
    assert list(authorized.load().entries) == [private("guest").public]


def test_an_invitation_is_not_used_up_by_a_handshake_alone(
    hall: DstHall, door: Door, invitation: Invitation
) -> None:
    client = door.client(invited("guest", invitation))
    hall.until(lambda: client.is_open)
    client.channel.close()
    hall.until(lambda: not door.server.connections)
    assert authorized.load().entries == {}
    assert isinstance(door.client(invited("other", invitation)).greet(), Welcome)


def test_who_knows_only_the_id_of_an_invitation_does_not_come_in(door: Door, invitation: Invitation) -> None:
    error = door.client(of_client("thief", invitation=invitation.id, invitation_key=b"x" * 32)).greet()
    assert isinstance(error, DsttoolError)
    assert authorized.load().entries == {}


def test_an_unknown_invitation_is_refused_even_with_a_known_key(door: Door, invitation: Invitation) -> None:
    error = door.client(of_client("writer", invitation=b"?" * 16, invitation_key=b"x" * 32)).greet()
    assert isinstance(error, Forbidden)
    assert authorized.load().entries == {}


def test_an_invitation_that_was_withdrawn_or_has_expired_is_explained(
    door: Door, invitation: Invitation
) -> None:
    invitations.remove(invitation.name)
    error = door.client(invited("guest", invitation)).greet()
    assert isinstance(error, Forbidden)
    assert "has expired, or was withdrawn" in error.what
    assert door.gate.refusals == {"key": 1}


# -- recorded conversations --------------------------------------------------------------------------------


class Recorder:
    """Between a client and the server, over a pair of sockets; remembers what the client said."""

    def __init__(self, hall: DstHall, door: Door) -> None:
        self.said = b""
        self._hall = hall
        self._client_side, self.client_end = socket.socketpair()
        self._server_side = door.stranger()
        for sock in (self._client_side, self.client_end):
            sock.setblocking(False)

    def carry(self, *, last: int = 1 << 30) -> None:
        """What both have said by now; of the client at most `last` bytes in all."""
        for source, target, is_client in (
            (self._client_side, self._server_side, True),
            (self._server_side, self._client_side, False),
        ):
            try:
                data = source.recv(1 << 16)
            except (BlockingIOError, ConnectionResetError):
                continue
            if is_client:
                data = data[: max(0, last - len(self.said))]
                self.said += data
            if data:
                target.send(data)

    def close(self) -> None:
        self._client_side.close()
        self._server_side.close()


def conversation(hall: DstHall, door: Door, security: dst_security.Security) -> bytes:
    """All that a client said which came in, wrote something and left."""
    recorder = Recorder(hall, door)
    client = Client(hall, recorder.client_end, security)

    def carried() -> bool:
        recorder.carry()
        hall.reactor.post(lambda: None)
        return bool(client.records)

    hall.until(lambda: carried() or client.is_open)
    client.say(dst_records.HELLO, dst_hello.Hello(client.session, 1, "disk").pack())
    hall.until(carried)
    client.records.clear()
    client.request(head(WRITE, 0, 4), payload=b"once")
    hall.until(carried)
    client.channel.close()
    recorder.close()
    return recorder.said


def test_a_replayed_conversation_changes_nothing(hall: DstHall, door: Door) -> None:
    said = conversation(hall, door, of_client("writer"))
    assert bytes(door.device.bytes[:4]) == b"once"
    hall.until(lambda: not door.server.connections)
    door.device.bytes[:4] = b"new!"
    before = len(door.device.got)
    thief = door.stranger()
    thief.send(said)
    hall.until(lambda: bool(door.gate.refusals))
    assert door.gate.refusals == {"record": 1}
    assert bytes(door.device.bytes[:4]) == b"new!"
    assert len(door.device.got) == before
    assert not door.offer.sessions


def test_a_replayed_invitation_authorises_nobody(hall: DstHall, door: Door, invitation: Invitation) -> None:
    said = conversation(hall, door, invited("guest", invitation))
    authorized.revoke(keys.format_public(private("guest").public))
    door.gate.keys = authorized.load()
    assert door.gate.invitations, "the server still takes it for open"
    hall.until(lambda: not door.server.connections)
    before = len(door.device.got)
    thief = door.stranger()
    thief.send(said)
    hall.until(lambda: bool(door.gate.refusals))
    assert authorized.load().entries == {}
    assert len(door.device.got) == before


# -- floods, and addresses ---------------------------------------------------------------------------------


def test_a_thousand_half_open_connections_harm_nobody(
    doors: Doors, hall: DstHall, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """They come from the same address as everybody else, say nothing or half a handshake, and stay."""
    door = doors(gate, tcp=True)
    inside = door.client(of_client("writer"))
    assert isinstance(inside.greet(), Welcome)
    descriptors = len(os.listdir("/proc/self/fd"))
    preface = dst_preface.client_preface(dst_security.PLAIN.code, b"x" * 16)
    flood = []
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            flood.append(door.stranger())
            if number % 3:
                flood[-1].send(preface[: 31 if number % 3 == 1 else 4])
            hall.reactor.post(lambda: None)
            hall.reactor.turn()
        hall.until(lambda: gate.refusals.get("half_open", 0) >= 1000 - limits.SOURCE_HALF_OPEN_MAX)
        late = door.client(of_client("reader"))
        assert isinstance(late.greet(read_only=True), Welcome), "newcomers still come in"
    inside.request(head(WRITE, 0, 4), payload=b"data")
    assert inside.status() == 0, "those inside did not notice"
    late.request(head(READ, 0, 4))
    assert late.status() == 0
    assert len(door.server.connections) <= limits.SOURCE_HALF_OPEN_MAX + 2
    ours = len(os.listdir("/proc/self/fd")) - descriptors - len(flood)
    assert ours <= limits.SOURCE_HALF_OPEN_MAX + 4
    said = [message for message in caplog.messages if "handshake" in message]
    assert 1 <= len(said) <= 2 * limits.LOG_LINES_PER_PERIOD
    assert "others want to come in" in said[0]


def test_no_memory_is_set_aside_for_what_a_stranger_announces(hall: DstHall) -> None:
    """Its first record is its hello; without a bound each of many strangers could have 32 MiB waited for."""
    client = RawClient(hall, hall.export(FaultyDevice(hall.reactor, 1 << 20)))
    client.say(dst_preface.client_preface(dst_preface.NONE, client.session))
    client.say(dst_records.header(dst_records.PAYLOAD, limits.REQUEST_MAX))
    client.hear(dst_preface.SERVER.size)
    assert client.refusal() == (
        dst_hello.REFUSED_PROTOCOL,
        "The first record has 33554432 bytes, which no greeting has.",
    )
    client.close()


def test_a_flood_of_nbd_clients_that_say_nothing_harms_nobody_either(hall: DstHall, doors: Doors) -> None:
    gate = Gate(hall.reactor)
    door = doors(gate)
    server = NbdServer(hall.reactor, [door.offer], gate=gate)
    ends = []
    for number in range(1000):
        ours, theirs = socket.socketpair()
        ends.append(ours)
        theirs.setblocking(False)
        server.accept(theirs, f"10.0.0.1:{number}")
    assert len(server.connections) == limits.SOURCE_HALF_OPEN_MAX
    assert gate.refusals == {"half_open": 1000 - limits.SOURCE_HALF_OPEN_MAX}
    for end in ends:
        end.close()
    server.close()


def test_connections_that_break_off_at_once_do_not_flood_the_log(
    hall: DstHall, doors: Doors, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    door = doors(gate, tcp=True)
    reset = struct.pack("ii", 1, 0)
    with caplog.at_level(logging.INFO):
        for _ in range(100):
            stranger = door.stranger()
            stranger.send(b"x")
            hall.reactor.post(lambda: None)
            hall.reactor.turn()
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            stranger.close()
        hall.until(lambda: not door.server.connections)
    assert len(caplog.messages) <= limits.LOG_LINES_PER_PERIOD


def test_an_address_that_is_not_admitted_is_told_so_before_anything_else(doors: Doors, hall: DstHall) -> None:
    gate = Gate(hall.reactor, rules={"disk": parse_rules(["deny 127.0.0.0/8"])}, keys=may(write=["writer"]))
    door = doors(gate, tcp=True)
    error = door.client(of_client("writer")).greet()
    assert "does not admit this machine's address" in error.what  # type: ignore[union-attr]
    assert gate.refusals == {"address": 1}


def test_an_address_is_refused_by_the_nbd_server_too(doors: Doors, hall: DstHall) -> None:
    gate = Gate(hall.reactor, rules={"disk": parse_rules(["allow 10.0.0.0/8"])})
    door = doors(gate)
    server = NbdServer(hall.reactor, [door.offer], gate=gate)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    server.accept(theirs, "127.0.0.1:99")
    assert ours.recv(100) == b""
    assert gate.refusals == {"address": 1}
    ours.close()
    server.close()


def test_an_nbd_client_sees_only_the_exports_that_admit_its_address(doors: Doors, hall: DstHall) -> None:
    gate = Gate(hall.reactor, rules={"disk": parse_rules(["deny 127.0.0.0/8"])})
    door = doors(gate)
    server = NbdServer(hall.reactor, [door.offer, Offer("open", door.device)], gate=gate)
    visible = _Admitted(server, gate, "127.0.0.1:99")
    assert list(visible.names()) == ["open"]
    assert visible.find("disk") is None
    assert visible.find("open") is not None
    assert gate.refusals == {"address": 1}
    server.close()
