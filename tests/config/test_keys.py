import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.config import keys
from dsttool.engine.config.keys import PrivateKey, SharedKey
from dsttool.engine.vocabulary.errors import UsageError

KEY = st.binary(min_size=32, max_size=32)
PUBLIC = bytes(range(32))


@given(KEY)
def test_a_key_file_is_read_as_it_was_written(secret: bytes) -> None:
    for key in (PrivateKey(secret), SharedKey(secret)):
        assert keys.parse_key(keys.format_key(key).encode(), "k") == key


def test_a_key_file_is_one_line_that_says_what_it_is() -> None:
    assert keys.format_key(SharedKey(bytes(32))) == "dsttool-key-v1 shared " + "A" * 43 + "=\n"
    assert keys.format_key(PrivateKey(bytes(32))).startswith("dsttool-key-v1 private ")


def test_new_keys_differ() -> None:
    assert keys.generate_shared() != keys.generate_shared()
    assert keys.generate_private().public != keys.generate_private().public


def test_the_public_half_is_that_of_the_curve() -> None:
    """A pair of the published Noise vectors."""
    private = bytes.fromhex("4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893")
    public = bytes.fromhex("31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62")
    assert PrivateKey(private).public == public


@pytest.mark.parametrize("key", [PrivateKey(b"s" * 32), SharedKey(b"s" * 32)])
def test_a_key_does_not_show_its_secret(key: keys.Key) -> None:
    shown = repr(key) + str(key) + f"{key}"
    for form in (b"ssss".decode(), base64.b64encode(key.secret).decode(), key.secret.hex()):
        assert form not in shown


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not a key file"),
        (b"\n", "not a key file"),
        (b"\xff\xfe\0\0", "not a key file"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", "not a key file"),
        (b"dsttool-key-v1 shared " + b"A" * 300, "not a key file"),
        (b"dsttool-key-v2 shared " + b"A" * 43 + b"=\n", "another version"),
        (b"dsttool-key-v1\n", "damaged"),
        (b"dsttool-key-v1 shared\n", "damaged"),
        (b"dsttool-key-v1 public " + b"A" * 43 + b"=\n", "damaged"),
        (b"dsttool-key-v1 shared " + b"A" * 43 + b"\n", "damaged"),
        (b"dsttool-key-v1 shared " + b"A" * 42 + b"==\n", "damaged"),
        (b"dsttool-key-v1 shared " + b"A" * 43 + b"= more\n", "damaged"),
        (b"dsttool-key-v1 shared " + b"!" * 44 + b"\n", "damaged"),
    ],
)
def test_what_is_no_key_is_refused_without_showing_it(content: bytes, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        keys.parse_key(content, "/k")
    assert "AAAA" not in str(caught.value)
    assert "/k" in caught.value.what


@given(KEY)
def test_a_public_key_is_read_as_it_was_written(public: bytes) -> None:
    text = keys.format_public(public)
    assert keys.parse_public(text) == public
    assert keys.parse_public(f" {text.upper()}\n") == public
    assert keys.is_public(text)


@given(KEY, st.integers(5, 62), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_mistyped_public_key_is_found(public: bytes, place: int, letter: str) -> None:
    text = keys.format_public(public)
    assert len(text) == 63
    if text[place] == letter:
        return
    with pytest.raises(UsageError, match="mistyped or cut off"):
        keys.parse_public(text[:place] + letter + text[place + 1 :])


def test_every_cut_of_a_public_key_is_found() -> None:
    text = keys.format_public(PUBLIC)
    for length in range(len(text)):
        with pytest.raises(UsageError):
            keys.parse_public(text[:length])


@pytest.mark.parametrize(
    "text", ["", "dst1", "ssh-ed25519 AAAA", "dst2-abc", "dst1-ä", "dst1-0189", "dst1-" + "a" * 9999]
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        keys.parse_public(text)


def test_fingerprints_are_short_distinct_and_say_nothing_of_a_secret() -> None:
    print_ = keys.fingerprint(PUBLIC)
    assert [len(group) for group in print_.split("-")] == [5, 5, 5, 5]
    assert print_ != keys.fingerprint(bytes(32))
    assert keys.shared_fingerprint(SharedKey(PUBLIC)) != print_
