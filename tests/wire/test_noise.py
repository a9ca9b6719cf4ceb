"""Two ends of the Noise handshake against each other, and against those who meddle."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise_ends import ALL_NAMES, IK, NN, connected, end, ends, key, keys_of, public, shake

from dsttool.engine.vocabulary.errors import ProtocolError, UsageError
from dsttool.engine.wire.noise import MESSAGE_MAX, NoiseHandshake
from dsttool.engine.wire.noise_patterns import PATTERNS, parse_name

XX = "Noise_XX_25519_ChaChaPoly_SHA256"
names = st.sampled_from(ALL_NAMES)

# All encodings of points whose order divides eight (RFC 7748 section 6.1 says what to do with them).
LOW_ORDER = [
    bytes.fromhex(point)
    for point in (
        "00" * 32,
        "01" + "00" * 31,
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
]
LOW_ORDER += [point[:31] + bytes([point[31] | 0x80]) for point in LOW_ORDER]


def flipped(message: bytes, bit: int) -> bytes:
    changed = bytearray(message)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


# Honest ends


@given(name=names, prologue=st.binary(), payloads=st.lists(st.binary(), min_size=3, max_size=3))
def test_both_ends_of_every_pattern_agree(name: str, prologue: bytes, payloads: list[bytes]) -> None:
    initiator, responder = ends(name, prologue=prologue)
    sender, receiver = initiator, responder
    for payload in payloads[: len(parse_name(name).messages)]:
        assert receiver.read_message(memoryview(sender.write_message(bytearray(payload)))) == payload
        sender, receiver = receiver, sender
    assert initiator.done
    assert responder.done
    assert initiator.handshake_hash == responder.handshake_hash
    (send, _), (_, receive) = initiator.split(), responder.split()
    assert receive.decrypt(prologue, send.encrypt(prologue, payloads[0])) == payloads[0]


@pytest.mark.parametrize("name", [IK, NN, XX])
def test_both_directions_carry_messages(name: str) -> None:
    (send, receive), (peer_send, peer_receive) = connected(name)
    assert peer_receive.decrypt(b"", send.encrypt(b"", b"there")) == b"there"
    assert receive.decrypt(b"", peer_send.encrypt(b"", b"back")) == b"back"


def test_a_message_sent_back_to_its_sender_does_not_open() -> None:
    (send, receive), _ = connected(IK)
    with pytest.raises(ProtocolError):
        receive.decrypt(b"", send.encrypt(b"", b"data"))


def test_ephemeral_keys_are_fresh_in_every_handshake() -> None:
    said = [shake(*ends(NN)) for _ in range(10)]
    assert len({message[:32] for messages in said for message in messages}) == 20


def test_no_two_sessions_have_the_same_hash() -> None:
    hashes = set()
    for _ in range(10):
        initiator, responder = ends(IK)
        shake(initiator, responder)
        hashes.add(initiator.handshake_hash)
    assert len(hashes) == 10


def test_a_server_learns_its_clients_public_key_from_the_first_message() -> None:
    initiator, responder = ends(IK)
    assert responder.remote_static is None
    shake(initiator, responder, messages=1)
    assert responder.remote_static == public(key("init_static"))
    assert initiator.remote_static == public(key("resp_static"))


def test_a_shared_key_can_be_chosen_by_what_the_first_message_says() -> None:
    initiator = end(IK, "init", psk=key("invitation 7"))
    responder = end(IK, "resp", psk=bytes(32))
    assert responder.read_message(initiator.write_message(b"7")) == b"7"
    responder.replace_psk(key("invitation 7"))
    assert initiator.read_message(responder.write_message()) == b""


def test_a_shared_key_cannot_be_replaced_once_it_is_mixed_in() -> None:
    initiator, _ = ends(NN)
    initiator.replace_psk(key("another"))
    initiator.write_message()
    with pytest.raises(UsageError, match="any more"):
        initiator.replace_psk(key("psk"))


@pytest.mark.parametrize("name", ["Noise_N_25519_AESGCM_SHA256", "Noise_Xpsk1_25519_ChaChaPoly_SHA256"])
def test_nothing_comes_back_after_a_one_way_pattern(name: str) -> None:
    (send, receive), (peer_send, peer_receive) = connected(name)
    assert peer_receive.decrypt(b"", send.encrypt(b"", b"there")) == b"there"
    with pytest.raises(UsageError, match="closed"):
        peer_send.encrypt(b"", b"back")
    with pytest.raises(UsageError, match="closed"):
        receive.decrypt(b"", bytes(16))


# Meddlers


@pytest.mark.parametrize("name", [IK, NN])
@pytest.mark.parametrize("step", [0, 1])
def test_every_changed_byte_of_a_message_is_refused(name: str, step: int) -> None:
    length = len(shake(*ends(name))[step])
    for at in range(length):
        initiator, responder = ends(name)
        shake(initiator, responder, messages=step)
        sender, receiver = (initiator, responder) if step == 0 else (responder, initiator)
        with pytest.raises(ProtocolError):
            receiver.read_message(flipped(sender.write_message(), 8 * at + at % 8))


@given(name=names, payload=st.binary(max_size=9), data=st.data())
def test_no_pattern_comes_to_an_end_with_a_changed_bit(
    name: str, payload: bytes, data: st.DataObject
) -> None:
    """Without a key yet the change cannot be seen in the message itself, but no later one opens."""
    initiator, responder = ends(name)
    victim = data.draw(st.integers(0, len(parse_name(name).messages) - 1))
    sender, receiver = initiator, responder
    step = 0
    try:
        while not initiator.done:
            message = sender.write_message(payload)
            if step == victim:
                message = flipped(message, data.draw(st.integers(0, 8 * len(message) - 1)))
            receiver.read_message(message)
            sender, receiver = receiver, sender
            step += 1
    except ProtocolError:
        assert not (initiator.done and responder.done)
    else:
        pytest.fail("the handshake went through")


@pytest.mark.parametrize("name", [IK, NN, XX])
def test_every_truncated_message_is_refused(name: str) -> None:
    for step, whole in enumerate(shake(*ends(name))):
        for length in range(len(whole)):
            initiator, responder = ends(name)
            shake(initiator, responder, messages=step)
            sender, receiver = (initiator, responder) if step % 2 == 0 else (responder, initiator)
            with pytest.raises(ProtocolError):
                receiver.read_message(sender.write_message()[:length])


@given(name=names, message=st.binary(max_size=300))
def test_garbage_is_a_protocol_error_and_nothing_else(name: str, message: bytes) -> None:
    initiator, responder = ends(name)
    try:
        responder.read_message(message)  # where there is no key yet, garbage may pass for a public key
    except ProtocolError:
        pass
    initiator.write_message()
    if not initiator.done:
        with pytest.raises(ProtocolError):
            initiator.read_message(message)


def test_a_message_longer_than_noise_allows_is_refused() -> None:
    _, responder = ends(XX)
    with pytest.raises(ProtocolError, match="length"):
        responder.read_message(bytes(range(32)) + bytes(MESSAGE_MAX - 31))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (IK, {"psk": key("another")}),
        (IK, {"prologue": b"another"}),
        (IK, {"remote_static": public(key("another"))}),
        (NN, {"psk": key("another")}),
        (NN, {"prologue": b"another"}),
    ],
    ids=lambda value: value.split("_")[1] if isinstance(value, str) else next(iter(value)),
)
def test_what_the_ends_do_not_share_ends_the_handshake(name: str, change: dict[str, Any]) -> None:
    initiator, responder = end(name, "init", **change), end(name, "resp")
    with pytest.raises(ProtocolError, match="does not open"):
        shake(initiator, responder)
    assert not initiator.done


def test_a_server_without_the_private_key_cannot_read_or_answer() -> None:
    initiator, impostor = end(IK, "init"), end(IK, "resp", static=key("another"))
    with pytest.raises(ProtocolError):
        impostor.read_message(initiator.write_message(b"for the true server"))


def test_a_client_without_the_private_key_is_not_taken_for_its_owner() -> None:
    initiator, responder = end(IK, "init", static=key("another")), end(IK, "resp")
    shake(initiator, responder)
    assert responder.remote_static == public(key("another"))


def test_a_repeated_first_message_opens_again_but_leads_nowhere() -> None:
    """Known and documented: it says again what it said. The answer is no use to who repeats it."""
    initiator, responder = ends(IK)
    first = initiator.write_message(b"again")
    responder.read_message(first)
    initiator.read_message(responder.write_message())
    recorded = initiator.split()[0].encrypt(b"", b"do something")

    victim = end(IK, "resp")
    assert victim.read_message(first) == b"again"
    answer = victim.write_message()
    meddler = end(IK, "init")
    meddler.write_message()
    with pytest.raises(ProtocolError):
        meddler.read_message(answer)
    with pytest.raises(ProtocolError):
        victim.split()[1].decrypt(b"", recorded)


def test_a_message_of_another_session_is_refused() -> None:
    ours, _ = ends(IK)
    ours.write_message()
    others, responder = ends(IK)
    shake(others, responder, messages=1)
    with pytest.raises(ProtocolError):
        ours.read_message(responder.write_message())


@pytest.mark.parametrize("point", LOW_ORDER, ids=bytes.hex)
def test_an_ephemeral_key_of_low_order_is_refused(point: bytes) -> None:
    responder = end(IK, "resp")
    with pytest.raises(ProtocolError, match="low order"):
        responder.read_message(point + bytes(64))


@pytest.mark.parametrize("point", LOW_ORDER, ids=bytes.hex)
def test_an_ephemeral_key_of_low_order_is_refused_when_it_is_first_used(point: bytes) -> None:
    responder = end(XX, "resp")
    responder.read_message(point)
    with pytest.raises(ProtocolError, match="low order"):
        responder.write_message()
    with pytest.raises(UsageError, match="has failed"):
        responder.write_message()


@pytest.mark.parametrize("point", LOW_ORDER, ids=bytes.hex)
def test_a_static_key_of_low_order_is_refused_when_given(point: bytes) -> None:
    with pytest.raises(UsageError, match="low order"):
        end(IK, "init", remote_static=point)


# Turns


def write(handshake: NoiseHandshake) -> None:
    handshake.write_message()


def read(handshake: NoiseHandshake) -> None:
    handshake.read_message(bytes(200))


def split(handshake: NoiseHandshake) -> None:
    handshake.split()


def name_session(handshake: NoiseHandshake) -> None:
    assert handshake.handshake_hash


def ready_to_write() -> NoiseHandshake:
    return end(IK, "init")


def ready_to_read() -> NoiseHandshake:
    return end(IK, "resp")


def after_the_end() -> NoiseHandshake:
    initiator, responder = ends(IK)
    shake(initiator, responder)
    return initiator


def split_already() -> NoiseHandshake:
    handshake = after_the_end()
    handshake.split()
    return handshake


def failed() -> NoiseHandshake:
    handshake = ready_to_read()
    with pytest.raises(ProtocolError):
        read(handshake)
    return handshake


REFUSED = [
    (ready_to_write, read, "this end's turn"),
    (ready_to_write, split, "not done"),
    (ready_to_write, name_session, "not done"),
    (ready_to_read, write, "the peer's turn"),
    (ready_to_read, split, "not done"),
    (ready_to_read, name_session, "not done"),
    (after_the_end, write, "is done"),
    (after_the_end, read, "is done"),
    (split_already, write, "is done"),
    (split_already, read, "is done"),
    (split_already, split, "already"),
    (failed, write, "has failed"),
    (failed, read, "has failed"),
    (failed, split, "not done"),
    (failed, name_session, "not done"),
]


@pytest.mark.parametrize(
    ("state", "call", "words"), REFUSED, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_call_out_of_turn_is_refused(
    state: Callable[[], NoiseHandshake], call: Callable[[NoiseHandshake], None], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        call(state())


def test_a_call_out_of_turn_changes_nothing() -> None:
    initiator, responder = ends(IK)
    for handshake, call in ((initiator, read), (initiator, split), (responder, write)):
        with pytest.raises(UsageError):
            call(handshake)
    shake(initiator, responder)
    assert initiator.handshake_hash == responder.handshake_hash


def test_the_session_keeps_its_name_after_the_split() -> None:
    handshake = after_the_end()
    name = handshake.handshake_hash
    handshake.split()
    assert handshake.handshake_hash == name


def test_a_failed_handshake_knows_no_peer() -> None:
    initiator, responder = ends(XX)
    shake(initiator, responder, messages=1)
    with pytest.raises(ProtocolError):
        initiator.read_message(flipped(responder.write_message(), 8 * 95))
    assert initiator.remote_static is None
    assert not initiator.done


@pytest.mark.parametrize("name", ALL_NAMES)
def test_the_largest_payload_makes_the_largest_message(name: str) -> None:
    initiator, responder = ends(name)
    overhead = len(end(name, "init").write_message())
    with pytest.raises(UsageError, match=f"at most {MESSAGE_MAX - overhead} "):
        initiator.write_message(bytes(MESSAGE_MAX - overhead + 1))
    message = initiator.write_message(bytes(MESSAGE_MAX - overhead))
    assert len(message) == MESSAGE_MAX
    assert len(responder.read_message(message)) == MESSAGE_MAX - overhead


# Keys and names


@pytest.mark.parametrize("role", ["init", "resp"])
@pytest.mark.parametrize("base", PATTERNS)
def test_each_end_needs_exactly_the_keys_of_its_pattern(base: str, role: str) -> None:
    name = f"Noise_{base}psk1_25519_AESGCM_SHA256"
    needed = keys_of(name, role)
    for missing in needed:
        with pytest.raises(UsageError, match=f"needs the key {missing} "):
            end(name, role, **{missing: None})
    for needless in {"static", "remote_static", "psk"} - set(needed):
        with pytest.raises(UsageError, match=f"no use for the key {needless} "):
            end(name, role, **{needless: public(key("another"))})


def test_a_shared_key_without_use_is_refused() -> None:
    with pytest.raises(UsageError, match="no use for the key psk"):
        end(XX, "init", psk=key("psk"))


@pytest.mark.parametrize("which", ["static", "remote_static", "psk", "ephemeral"])
@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_key_of_another_length_is_refused_and_not_shown(which: str, length: int) -> None:
    wrong = (key("secret") * 2)[:length]
    with pytest.raises(UsageError, match=f"{which} must have 32 bytes, not {length}") as caught:
        end(IK, "init", **{which: wrong})
    assert not length or repr(wrong)[2:-1] not in repr(caught.value)


def test_a_handshake_shows_no_secret() -> None:
    assert repr(ready_to_write()) == f"<NoiseHandshake {IK}, initiator, 0 of 2 messages>"
    assert repr(after_the_end()) == f"<NoiseHandshake {IK}, initiator, 2 of 2 messages>"
    assert repr(failed()) == f"<NoiseHandshake {IK}, responder, failed>"


def test_private_keys_are_let_go_of_at_the_end() -> None:
    for handshake in (after_the_end(), failed()):
        assert not handshake._private
        assert not handshake._psk


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "not the name"),
        ("IKpsk2", "not the name"),
        ("Noise_IKpsk2_25519_AESGCM", "not the name"),
        ("Noise_IKpsk2_25519_AESGCM_SHA256\n", "not the name"),
        ("noise_IKpsk2_25519_AESGCM_SHA256", "not the name"),
        ("Noise_IKpsk4_25519_AESGCM_SHA256", "not the name"),
        ("Noise_NNpsk0+psk2_25519_AESGCM_SHA256", "not the name"),
        ("Noise_XXfallback_25519_AESGCM_SHA256", "not the name"),
        ("Noise_NK1_25519_AESGCM_SHA256", "not the name"),
        ("Noise_ZZ_25519_AESGCM_SHA256", "pattern ZZ is not supported"),
        ("Noise_NNpsk3_25519_AESGCM_SHA256", "no message 3"),
        ("Noise_Npsk2_25519_AESGCM_SHA256", "no message 2"),
        ("Noise_IKpsk2_448_AESGCM_SHA256", "function 448 is not supported"),
        ("Noise_IKpsk2_25519_AESCCM_SHA256", "cipher AESCCM is not supported"),
        ("Noise_IKpsk2_25519_AESGCM_BLAKE2s", "hash function BLAKE2s is not supported"),
        ("Noise_IKpsk2_25519_AESGCM_SHA512", "hash function SHA512 is not supported"),
    ],
)
def test_a_name_that_is_not_supported_is_refused(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_name(name)
