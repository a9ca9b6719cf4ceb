"""One direction after the handshake."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from noise_ends import key

from dsttool.engine.vocabulary.errors import ProtocolError, UsageError
from dsttool.engine.wire.noise_cipher import NONCE_LAST, Cipher
from dsttool.engine.wire.noise_patterns import CIPHERS

KEY = key("some direction")


def pair(name: str = "AESGCM") -> tuple[Cipher, Cipher]:
    return Cipher(name, KEY), Cipher(name, KEY)


@given(name=st.sampled_from(CIPHERS), messages=st.lists(st.tuples(st.binary(), st.binary())))
def test_what_is_sealed_opens_in_order(name: str, messages: list[tuple[bytes, bytes]]) -> None:
    send, receive = pair(name)
    for ad, plaintext in messages:
        sealed = send.encrypt(ad, memoryview(plaintext))
        assert len(sealed) == len(plaintext) + 16
        assert receive.decrypt(ad, memoryview(sealed)) == plaintext
    assert send.nonce == receive.nonce == len(messages)


@pytest.mark.parametrize("name", CIPHERS)
def test_no_message_opens_with_any_bit_changed(name: str) -> None:
    sealed = pair(name)[0].encrypt(b"ad", b"data")
    for at in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(ProtocolError):
            Cipher(name, KEY).decrypt(b"ad", changed)
    assert Cipher(name, KEY).decrypt(b"ad", sealed) == b"data"


@pytest.mark.parametrize("name", CIPHERS)
def test_no_message_opens_truncated(name: str) -> None:
    sealed = pair(name)[0].encrypt(b"", b"data")
    for length in range(len(sealed)):
        with pytest.raises(ProtocolError):
            Cipher(name, KEY).decrypt(b"", sealed[:length])


def test_associated_data_must_be_the_same_at_both_ends() -> None:
    send, receive = pair()
    sealed = send.encrypt(b"header", b"data")
    with pytest.raises(ProtocolError):
        receive.decrypt(b"hEader", sealed)


def test_a_repeated_message_does_not_open() -> None:
    send, receive = pair()
    sealed = send.encrypt(b"", b"data")
    receive.decrypt(b"", sealed)
    with pytest.raises(ProtocolError):
        receive.decrypt(b"", sealed)


def test_a_message_after_one_that_is_missing_does_not_open() -> None:
    send, receive = pair()
    send.encrypt(b"", b"first")
    with pytest.raises(ProtocolError):
        receive.decrypt(b"", send.encrypt(b"", b"second"))


def test_after_a_message_that_did_not_open_none_does() -> None:
    send, receive = pair()
    sealed = send.encrypt(b"", b"data")
    with pytest.raises(ProtocolError):
        receive.decrypt(b"", bytes(len(sealed)))
    with pytest.raises(UsageError, match="closed"):
        receive.decrypt(b"", sealed)


def test_every_message_takes_a_nonce_of_its_own() -> None:
    send, _ = pair()
    assert len({send.encrypt(b"", b"same") for _ in range(100)}) == 100


def test_a_nonce_is_spent_even_if_sealing_fails() -> None:
    send, receive = pair()
    with pytest.raises(TypeError):
        send.encrypt(b"", "not bytes")  # type: ignore[arg-type]
    assert send.nonce == 1
    with pytest.raises(ProtocolError):
        receive.decrypt(b"", send.encrypt(b"", b"data"))


def test_the_last_nonce_seals_no_message() -> None:
    send, receive = pair()
    send._nonce = receive._nonce = NONCE_LAST - 1
    assert receive.decrypt(b"", send.encrypt(b"", b"the last")) == b"the last"
    with pytest.raises(UsageError, match="nonces"):
        send.encrypt(b"", b"one too many")
    assert send.nonce == NONCE_LAST


def test_a_peer_that_uses_the_last_nonce_breaks_the_protocol() -> None:
    receive = pair()[1]
    receive._nonce = NONCE_LAST
    sealed = AESGCM(KEY).encrypt(bytes(4) + NONCE_LAST.to_bytes(8, "big"), b"data", b"")
    with pytest.raises(ProtocolError):
        receive.decrypt(b"", sealed)
    with pytest.raises(UsageError, match="closed"):
        receive.decrypt(b"", sealed)


@pytest.mark.parametrize("name", CIPHERS)
def test_rekey_goes_on_where_it_was_with_another_key(name: str) -> None:
    send, receive = pair(name)
    receive.decrypt(b"", send.encrypt(b"", b"before"))
    old = Cipher(name, KEY)
    old._nonce = 1
    send.rekey()
    receive.rekey()
    sealed = send.encrypt(b"", b"after")
    assert sealed != old.encrypt(b"", b"after")
    assert receive.decrypt(b"", sealed) == b"after"
    assert send.nonce == receive.nonce == 2


def test_rekey_at_one_end_only_ends_the_conversation() -> None:
    send, receive = pair()
    send.rekey()
    with pytest.raises(ProtocolError):
        receive.decrypt(b"", send.encrypt(b"", b"data"))


def test_a_closed_cipher_does_nothing_more() -> None:
    send, _ = pair()
    send.close()
    for use in (lambda: send.encrypt(b"", b""), lambda: send.decrypt(b"", bytes(16)), send.rekey):
        with pytest.raises(UsageError, match="closed"):
            use()


def test_a_cipher_shows_no_secret() -> None:
    send, _ = pair()
    assert repr(send) == "<Cipher AESGCM, nonce 0>"
    send.close()
    assert repr(send) == "<Cipher AESGCM, closed>"
