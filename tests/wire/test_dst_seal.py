"""Sealed and checksummed records: what opens, what does not, and which nonce and key each record has."""

from itertools import pairwise

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given, settings
from hypothesis import strategies as st

from dsttool.engine.wire import dst_records
from dsttool.engine.wire.dst_records import HEADER, PAYLOAD, PING, Buffers, OutRecord
from dsttool.engine.wire.dst_seal import Checksum, Seal, open_record, seal
from dsttool.engine.wire.noise_cipher import Aead, Cipher

KEY = bytes(range(32))
NAMES = ["AESGCM", "ChaChaPoly"]


def direction(name: str = "AESGCM", **bounds: int) -> tuple[Seal, Seal]:
    """The sender's and the receiver's view of one direction."""
    return Seal(Cipher(name, KEY), **bounds), Seal(Cipher(name, KEY), **bounds)


def sealed(by: Seal, body: Buffers, kind: int = PAYLOAD) -> bytearray:
    length = sum(map(len, body))
    out = bytearray(HEADER.size + length + 16)
    seal(by.claim(length), dst_records.header(kind, length), body, length, memoryview(out))
    return out


def opened(by: Seal, record: bytearray) -> bytes | None:
    end = len(record) - 16
    view = memoryview(record)
    return bytes(view[8:end]) if open_record(by.claim(end - 8), view, 8, end) else None


BODIES = st.lists(st.binary(max_size=300), max_size=4)


@pytest.mark.parametrize("name", NAMES)
@given(st.lists(BODIES, min_size=1, max_size=8))
def test_records_open_in_their_order_whatever_they_are_made_of(name: str, bodies: list[Buffers]) -> None:
    sender, receiver = direction(name)
    for body in bodies:
        record = sealed(sender, body)
        assert opened(receiver, record) == b"".join(body)


@pytest.mark.parametrize("name", NAMES)
def test_a_record_is_what_noise_says_with_its_header_as_associated_data(name: str) -> None:
    sender, _ = direction(name)
    head = dst_records.header(PAYLOAD, 5)
    record = sealed(sender, [b"he", b"llo"])
    assert record == head + Cipher(name, KEY).encrypt(head, b"hello")


@settings(max_examples=60)
@given(st.integers(0, 8 * (8 + 40 + 16) - 1))
def test_any_changed_bit_of_a_record_keeps_it_closed(bit: int) -> None:
    sender, receiver = direction()
    record = sealed(sender, [bytes(40)])
    record[bit // 8] ^= 1 << bit % 8
    assert opened(receiver, record) is None


def test_a_repeated_a_swapped_and_a_missing_record_do_not_open() -> None:
    sender, receiver = direction()
    first, second, third = (sealed(sender, [bytes([n])]) for n in range(3))
    assert opened(receiver, bytearray(first)) == b"\0"
    assert opened(receiver, first) is None
    sender, receiver = direction()
    assert opened(receiver, second) is None
    sender, receiver = direction()
    assert opened(receiver, sealed(sender, [b"x"])) == b"x"
    assert opened(receiver, third) is None


def test_the_other_directions_record_does_not_open() -> None:
    mine = Seal(Cipher("AESGCM", KEY))
    theirs = Seal(Cipher("AESGCM", bytes(32)))
    assert opened(theirs, sealed(mine, [b"x"])) is None


# -- nonces and rekey ------------------------------------------------------------------------------------


class Spy:
    """An AEAD that notes its nonces and can fail."""

    def __init__(self) -> None:
        self.nonces: list[bytes] = []
        self.fails = False

    def encrypt_into(self, nonce: bytes, _data: object, _head: object, _out: object) -> int:
        self.nonces.append(nonce)
        if self.fails:
            raise MemoryError
        return 0


def test_a_nonce_is_never_used_again_after_a_seal_that_failed() -> None:
    cipher = Cipher("AESGCM", KEY)
    spy = Spy()
    cipher._aead = spy  # type: ignore[assignment]
    sender = Seal(cipher)
    sealed(sender, [b"a"])
    spy.fails = True
    with pytest.raises(MemoryError):
        sealed(sender, [b"b"])
    spy.fails = False
    sealed(sender, [b"b"])
    assert len(set(spy.nonces)) == 3


def test_a_record_that_was_sealed_and_never_sent_has_spent_its_nonce() -> None:
    sender, receiver = direction()
    sealed(sender, [b"lost"])
    assert opened(receiver, sealed(sender, [b"next"])) is None


def keys_of(claims: list[tuple[Aead, bytes]]) -> list[int]:
    """For each claim the number of its key."""
    numbers = [0]
    for (before, _), (after, _) in pairwise(claims):
        numbers.append(numbers[-1] + (after is not before))
    return numbers


def test_the_record_that_would_exceed_the_number_is_the_first_under_the_next_key() -> None:
    sender, _ = direction(rekey_records=3)
    assert keys_of([sender.claim(1) for _ in range(8)]) == [0, 0, 0, 1, 1, 1, 2, 2]
    assert sender.rekeys == 2


def test_the_record_that_would_exceed_the_bytes_is_the_first_under_the_next_key() -> None:
    sender, _ = direction(rekey_bytes=100)
    sizes = [50, 50, 1, 99, 1, 100, 0, 1]
    assert keys_of([sender.claim(size) for size in sizes]) == [0, 0, 1, 1, 2, 3, 3, 4]


@pytest.mark.parametrize("name", NAMES)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=60))
def test_both_ends_rekey_at_the_same_record(name: str, sizes: list[int]) -> None:
    sender, receiver = direction(name, rekey_records=5, rekey_bytes=150)
    for size in sizes:
        assert opened(receiver, sealed(sender, [bytes(size)])) == bytes(size)
    assert sender.rekeys == receiver.rekeys


def test_nonces_count_on_over_a_rekey() -> None:
    sender, _ = direction(rekey_records=2)
    nonces = [nonce for _, nonce in (sender.claim(1) for _ in range(5))]
    assert nonces == [n.to_bytes(12, "big") for n in range(5)]


def test_an_end_that_does_not_rekey_cannot_follow() -> None:
    sender, _ = direction(rekey_records=1)
    _, receiver = direction()
    assert opened(receiver, sealed(sender, [b"x"])) == b"x"
    assert opened(receiver, sealed(sender, [b"y"])) is None


def test_the_bounds_are_those_of_the_protocol() -> None:
    sender, _ = direction()
    assert (sender._records_max, sender._bytes_max) == (1 << 24, 1 << 36)


# -- in place --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@given(st.binary(max_size=5000))
def test_sealing_and_opening_in_place_is_the_same_as_elsewhere(name: str, body: bytes) -> None:
    """The library does not promise it; without it every record would need a second buffer."""
    aead, nonce = Cipher(name, KEY).claim()
    buffer = bytearray(body + bytes(16))
    view = memoryview(buffer)
    aead.encrypt_into(nonce, view[: len(body)], b"head", view)
    assert buffer == aead.encrypt(nonce, body, b"head")
    broken = bytearray(buffer)
    aead.decrypt_into(nonce, view, b"head", view[: len(body)])
    assert buffer[: len(body)] == body
    broken[-1] ^= 1
    with pytest.raises(InvalidTag):
        aead.decrypt_into(nonce, broken, b"head", memoryview(broken)[: len(body)])


# -- checksums -------------------------------------------------------------------------------------------


def framed(checksum: Checksum, records: list[OutRecord]) -> bytearray:
    buffers, size = checksum.frame(records)
    data = bytearray(b"".join(buffers))
    assert len(data) == size
    return data


@pytest.mark.parametrize("name", ["crc32c", "blake3"])
@given(BODIES)
def test_a_checksum_covers_all_buffers_and_arrives(name: str, body: Buffers) -> None:
    checksum = Checksum(name)
    length = sum(map(len, body))
    data = framed(checksum, [(PAYLOAD, 0, length, body)])
    records = [(PAYLOAD, 0, 8, 8 + length)]
    assert not checksum.cut_bad(memoryview(data), records)
    assert records


def test_a_crc32c_is_as_documented() -> None:
    head = dst_records.header(PING, 9 - 1)
    data = framed(Checksum("crc32c"), [(PING, 0, 8, [b"12345678"])])
    assert data[:16] == head + b"12345678"
    # RFC 3720 appendix B.4 has the algorithm's vectors; this is the bitwise one, written down anew.
    value = 0xFFFFFFFF
    for byte in data[:16]:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0x82F63B78 * (value & 1)
    assert data[16:] == (value ^ 0xFFFFFFFF).to_bytes(4, "big")


@pytest.mark.parametrize("name", ["crc32c", "blake3"])
@settings(max_examples=50)
@given(st.data())
def test_any_changed_bit_is_found(name: str, data: st.DataObject) -> None:
    checksum = Checksum(name)
    record = framed(checksum, [(PAYLOAD, 0, 20, [bytes(20)])])
    bit = data.draw(st.integers(0, 8 * len(record) - 1))
    record[bit // 8] ^= 1 << bit % 8
    records = [(PAYLOAD, 0, 8, 28)]
    assert checksum.cut_bad(memoryview(record), records)
    assert not records
