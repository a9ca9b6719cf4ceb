"""Prefaces and Noise messages: both ends fed to each other, whole, in pieces, and with bytes changed."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noise_ends import public as public_of

from dsttool.engine.vocabulary.errors import DsttoolError, Forbidden, ProtocolError, UsageError
from dsttool.engine.wire import dst_preface
from dsttool.engine.wire import dst_security as security
from dsttool.engine.wire.dst_handshake import MESSAGE_MAX, ClientHandshake, Handshake, ServerHandshake
from dsttool.engine.wire.dst_security import PLAIN, Security

SESSION = bytes(range(16))
ALICE, BOB, EVE = (bytes([n]) * 32 for n in (1, 2, 3))
CIPHERS = ("aes256gcm", "chacha20poly1305")


def identities(name: str = "aes256gcm", *, admitted: bytes = ALICE) -> tuple[Security, Security]:
    """A client (Alice) and a server (Bob) that admits one key."""
    admits = public_of(admitted).__eq__
    return (
        security.of_client(name, ALICE, public_of(BOB)),
        security.of_server(name, BOB, admits),
    )


def one_key(name: str = "aes256gcm", *, other: bytes = ALICE) -> tuple[Security, Security]:
    return security.shared(name, ALICE), security.shared(name, other)


ALL = {
    "none": lambda: (PLAIN, PLAIN),
    "crc32c": lambda: (security.checksummed(), security.checksummed(("crc32c",))),
    "blake3": lambda: (security.checksummed(("blake3",)), security.checksummed()),
    **{f"shared {name}": lambda name=name: one_key(name) for name in CIPHERS},
    **{f"identities {name}": lambda name=name: identities(name) for name in CIPHERS},
}


class Talk:
    """Both ends of one handshake; `said` is what each sent, in order."""

    def __init__(self, client: Security, server: Security) -> None:
        self.client = ClientHandshake(client, SESSION)
        self.server = ServerHandshake(server)
        self.said: list[tuple[str, bytes]] = []
        self.change: Callable[[str, bytes], bytes] = lambda _who, data: data
        self.errors: list[DsttoolError] = []

    def run(self) -> "Talk":
        """Until both are done, or one gives up. Its error is the last of `errors`."""
        on_way = {"server": bytearray(), "client": bytearray()}
        self._say("client", self.client.begin(), on_way)
        while not self.errors and self._step("server", self.server, on_way) | self._step(
            "client", self.client, on_way
        ):
            pass
        return self

    def _step(self, who: str, end: Handshake, on_way: dict[str, bytearray]) -> bool:
        if end.done or end.error or len(on_way[who]) < end.need:
            return False
        message = bytes(on_way[who][: end.need])
        del on_way[who][: end.need]
        try:
            self._say(who, end.take(message), on_way)
        except DsttoolError as error:
            self.errors.append(error)
        return True

    def _say(self, who: str, data: bytes, on_way: dict[str, bytearray]) -> None:
        if data:
            data = self.change(who, data)
            self.said.append((who, data))
            on_way["server" if who == "client" else "client"] += data


@pytest.mark.parametrize("name", ALL)
def test_both_ends_agree(name: str) -> None:
    talk = Talk(*ALL[name]()).run()
    assert talk.client.done
    assert talk.server.done
    assert talk.server.session == SESSION
    assert talk.client.checksum == talk.server.checksum == (name if name in security.CHECKSUMS else "")
    if talk.client.ciphers is None:
        assert talk.server.ciphers is None
        return
    assert talk.server.ciphers is not None
    send, receive = talk.client.ciphers
    theirs_send, theirs_receive = talk.server.ciphers
    assert theirs_receive.decrypt(b"h", send.encrypt(b"h", b"to the server")) == b"to the server"
    sealed = theirs_send.encrypt(b"h", b"the same")
    assert sealed != send.encrypt(b"h", b"the same")
    assert receive.decrypt(b"h", sealed) == b"the same"


def test_only_in_security_none_does_the_client_speak_before_the_server_answered() -> None:
    assert {name: ClientHandshake(ALL[name]()[0], SESSION).open for name in ALL} == {
        name: name == "none" for name in ALL
    }


def test_nobody_may_send_records_before_the_handshake_is_done() -> None:
    talk = Talk(*identities())
    client, server = talk.client, talk.server
    first = client.take(server.take(client.begin()))
    assert not client.open
    assert not server.open
    server.take(first[:2])
    second = server.take(first[2:])
    assert server.open
    assert not client.open
    client.take(second[:2])
    client.take(second[2:])
    assert client.open


def test_a_sealed_handshake_has_the_documented_sizes() -> None:
    assert [(who, len(data)) for who, data in Talk(*identities()).run().said] == [
        ("client", 32),
        ("server", 8),
        ("client", 2 + 96),
        ("server", 2 + 48),
    ]
    assert [(who, len(data)) for who, data in Talk(*one_key()).run().said] == [
        ("client", 32),
        ("server", 8),
        ("client", 2 + 48),
        ("server", 2 + 48),
    ]


def test_the_server_learns_the_clients_key_and_the_client_knows_the_servers() -> None:
    talk = Talk(*identities()).run()
    assert talk.server.peer_key == public_of(ALICE)
    assert talk.client.peer_key == public_of(BOB)


# -- what does not fit -----------------------------------------------------------------------------------


def refused(talk: Talk) -> tuple[DsttoolError, DsttoolError]:
    """What the server's log and the client's user are told."""
    talk.run()
    assert not talk.server.done
    assert not talk.client.done
    assert talk.server.error is not None
    (told,) = talk.errors
    return talk.server.error, told


@pytest.mark.parametrize("name", CIPHERS)
def test_a_wrong_shared_key_is_refused_and_explained_on_both_sides(name: str) -> None:
    logged, told = refused(Talk(*one_key(name, other=EVE)))
    assert "keys are not those expected" in str(logged)
    assert isinstance(told, Forbidden)
    assert "refused the handshake" in str(told)


def test_a_client_that_expects_another_servers_key_is_refused() -> None:
    _, server = identities()
    refused(Talk(security.of_client("aes256gcm", ALICE, public_of(EVE)), server))


def test_an_unknown_client_key_is_refused_and_told_no_more_than_a_wrong_one() -> None:
    logged, told = refused(Talk(*identities(admitted=EVE)))
    assert "not authorised" in str(logged)
    _, other = refused(Talk(security.of_client("aes256gcm", ALICE, public_of(EVE)), identities()[1]))
    assert str(told) == str(other)
    assert "authorise" in str(told)


@pytest.mark.parametrize("client", range(6))
@pytest.mark.parametrize("server", range(6))
def test_there_is_no_fallback_from_any_mode_to_any_other(client: int, server: int) -> None:
    names = [name for name in ALL if name != "blake3"]
    talk = Talk(ALL[names[client]]()[0], ALL[names[server]]()[1])
    if client == server:
        assert talk.run().server.done
        return
    talk.run()
    assert "another security" in str(talk.server.error)
    assert "another security" in str(talk.errors[0])
    assert not talk.server.done


def test_ends_with_no_checksum_in_common_are_told() -> None:
    talk = Talk(security.checksummed(("crc32c",)), security.checksummed(("blake3",))).run()
    assert "another security" in str(talk.errors[0])


def test_a_server_that_chooses_a_checksum_that_was_not_offered_is_refused() -> None:
    client = ClientHandshake(security.checksummed(("crc32c",)), SESSION)
    with pytest.raises(ProtocolError, match="not offered"):
        client.take(dst_preface.server_preface(security.CHECKSUM, 0, security.CHECKSUMS["blake3"]))


# -- invitations -----------------------------------------------------------------------------------------


def invited(known: dict[bytes, bytes], shown: bytes, key: bytes) -> Talk:
    client = security.of_client("aes256gcm", ALICE, public_of(BOB), invitation=shown, invitation_key=key)
    return Talk(client, security.of_server("aes256gcm", BOB, lambda _key: False, known.get))


def test_an_invitation_lets_an_unknown_key_in_and_the_server_knows_which_it_was() -> None:
    talk = invited({b"id": EVE}, b"id", EVE).run()
    assert talk.server.done
    assert talk.client.done
    assert (talk.server.invitation, talk.server.peer_key) == (b"id", public_of(ALICE))


def test_an_invitation_that_is_not_there_is_refused() -> None:
    logged, _ = refused(invited({}, b"id", EVE))
    assert "invitation" in str(logged)


def test_an_invitations_id_without_its_key_lets_nobody_in() -> None:
    talk = invited({b"id": EVE}, b"id", BOB).run()
    assert not talk.client.done
    assert isinstance(talk.errors[0], ProtocolError)


def test_the_longest_invitation_fits_and_a_longer_one_is_refused() -> None:
    longest = bytes(security.INVITATION_BYTES_MAX)
    talk = invited({longest: EVE}, longest, EVE).run()
    assert talk.server.done
    assert max(len(data) for _, data in talk.said) <= 2 + MESSAGE_MAX
    with pytest.raises(UsageError, match="invitation"):
        invited({}, longest + b"x", EVE)


# -- replayed, changed, cut ------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [identities, one_key])
def test_a_replayed_first_message_gives_nothing_that_opens(
    pair: Callable[[], tuple[Security, Security]],
) -> None:
    client, server = pair()
    recorded = Talk(client, server).run()
    first = [data for who, data in recorded.said if who == "client"]
    again = ServerHandshake(server)
    again.take(first[0])
    again.take(first[1][:2])
    second = again.take(first[1][2:])
    assert second != recorded.said[-1][1]
    assert recorded.client.ciphers is not None
    assert again.ciphers is not None
    with pytest.raises(ProtocolError, match="does not open"):
        again.ciphers[1].decrypt(b"", recorded.client.ciphers[0].encrypt(b"", b"hello"))


@settings(max_examples=150)
@given(st.sampled_from(["shared aes256gcm", "identities aes256gcm"]), st.integers(0, 3), st.data())
def test_any_changed_bit_of_any_message_ends_the_handshake(
    name: str, which: int, data: st.DataObject
) -> None:
    talk = Talk(*ALL[name]())
    step = -1

    def change(_who: str, message: bytes) -> bytes:
        nonlocal step
        step += 1
        if step != which:
            return message
        bit = data.draw(st.integers(0, 8 * len(message) - 1))
        return (int.from_bytes(message, "big") ^ 1 << bit).to_bytes(len(message), "big")

    talk.change = change
    talk.run()
    # A longer length leaves both waiting, which the handshake's time bounds.
    assert not (talk.client.done and talk.server.done)


@given(st.binary(max_size=400))
def test_garbage_is_an_error_or_waits_for_more_but_is_never_a_handshake(garbage: bytes) -> None:
    for end in (ClientHandshake(identities()[0], SESSION), ServerHandshake(identities()[1])):
        end.begin()
        rest = garbage
        try:
            while not end.error and len(rest) >= end.need:
                message, rest = rest[: end.need], rest[end.need :]
                end.take(message)
        except DsttoolError:
            pass
        assert not end.done


def test_a_length_beyond_every_handshake_message_is_refused_before_it_is_waited_for() -> None:
    server = ServerHandshake(identities()[1])
    server.take(ClientHandshake(identities()[0], SESSION).begin())
    with pytest.raises(ProtocolError, match="longer than any"):
        server.take((MESSAGE_MAX + 1).to_bytes(2, "big"))


def test_no_secret_shows_in_a_security() -> None:
    for one in (*identities(), *one_key(), *(invited({}, b"id", EVE).client.security,)):
        text = repr(one) + str(one)
        for secret in (ALICE, BOB, EVE):
            assert repr(secret)[2:-1] not in text


@pytest.mark.parametrize("name", ["none", "checksum", "rot13"])
def test_keys_for_a_security_that_has_none_are_refused(name: str) -> None:
    for make in (lambda: security.shared(name, ALICE), lambda: security.of_client(name, ALICE, BOB)):
        with pytest.raises(UsageError, match="uses no keys"):
            make()


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(UsageError, match="32 bytes"):
        security.shared("aes256gcm", bytes(31))
