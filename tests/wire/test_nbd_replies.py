"""Packing of requests and parsing of replies, with bytes as the NBD specification has them."""

import struct
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.vocabulary.errors import ProtocolError
from dsttool.engine.vocabulary.operations import FLUSH, FUA, READ, WRITE
from dsttool.engine.wire.nbd_client import pack_request
from dsttool.engine.wire.nbd_replies import ReplyParser


@dataclass
class Asked:
    op: int
    length: int
    offset: int = 0
    attempts: int = 1

    @property
    def request(self) -> "Asked":
        return self


def reply(cookie: int, error: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">IIQ", 0x67446698, error, cookie) + payload


def simple(in_flight: dict[int, Asked]) -> ReplyParser[Asked]:
    return ReplyParser(in_flight, structured=False, allocate=lambda size: memoryview(bytearray(size)))


def parse(data: bytes, in_flight: dict[int, Asked]) -> tuple[list[tuple[Asked, int, bytes | None]], int, int]:
    parser = simple(in_flight)
    answered, at, need = parser.parse(memoryview(data), 0, len(data))
    if parser.error is not None:
        raise parser.error
    return (
        [(asked, error, None if view is None else bytes(view)) for asked, error, view in answered],
        at,
        need,
    )


def test_a_request_is_packed_as_specified() -> None:
    packed = pack_request(WRITE, FUA, 0x1122334455667788, 0x0102030405060708, 0x0A0B0C0D)
    assert packed == bytes.fromhex("25609513 0001 0001 1122334455667788 0102030405060708 0a0b0c0d")


def test_many_replies_are_parsed_at_once_in_any_order() -> None:
    one, two, three = Asked(READ, 4), Asked(WRITE, 4096), Asked(FLUSH, 0)
    in_flight = {1: one, 2: two, 3: three}
    data = reply(2) + reply(1, 0, b"data") + reply(3)
    assert parse(data, in_flight) == ([(two, 0, None), (one, 0, b"data"), (three, 0, None)], len(data), 16)
    assert in_flight == {}


def test_a_failed_read_has_no_payload() -> None:
    read = Asked(READ, 4096)
    assert parse(reply(1, 28), {1: read}) == ([(read, 28, None)], 16, 16)


def test_an_error_nbd_does_not_define_is_eio() -> None:
    assert parse(reply(1, 9999), {1: Asked(WRITE, 1)})[0][0][1] == 5


def test_an_incomplete_reply_stays_and_says_how_long_it_is() -> None:
    done, rest = Asked(READ, 2), Asked(READ, 100)
    in_flight = {1: done, 2: rest}
    data = reply(1, 0, b"ab") + reply(2, 0, b"x" * 99)
    assert parse(data, in_flight) == ([(done, 0, b"ab")], 18, 116)
    assert in_flight == {2: rest}


def test_an_incomplete_header_stays() -> None:
    assert parse(reply(1)[:15], {1: Asked(WRITE, 1)}) == ([], 0, 16)


def test_parsing_starts_and_ends_where_it_is_told() -> None:
    data = memoryview(b"junk" + reply(1, 0, b"ab") + reply(2))
    in_flight = {1: Asked(READ, 2), 2: Asked(WRITE, 1)}
    answered, at, _ = simple(in_flight).parse(data, 4, 22)
    assert len(answered) == 1
    assert at == 22
    payload = answered[0][2]
    assert payload is not None
    assert payload.obj is data.obj


def test_a_wrong_magic_breaks_the_protocol() -> None:
    with pytest.raises(ProtocolError, match="magic"):
        parse(bytes(16), {0: Asked(WRITE, 1)})


def test_an_answer_nobody_waits_for_breaks_the_protocol() -> None:
    with pytest.raises(ProtocolError, match="was not asked"):
        parse(reply(7), {1: Asked(WRITE, 1)})


def test_a_second_answer_breaks_the_protocol() -> None:
    with pytest.raises(ProtocolError, match="was not asked"):
        parse(reply(1) + reply(1), {1: Asked(WRITE, 1)})


@given(
    st.lists(st.tuples(st.sampled_from([READ, WRITE]), st.integers(0, 50), st.booleans()), max_size=8),
    st.data(),
)
def test_replies_in_pieces_are_the_replies_in_one(
    asked: list[tuple[int, int, bool]], data: st.DataObject
) -> None:
    in_flight = {cookie: Asked(op, length) for cookie, (op, length, _) in enumerate(asked)}
    stream = b"".join(
        reply(cookie, 0, bytes(length) if op == READ else b"") if fine else reply(cookie, 5)
        for cookie, (op, length, fine) in enumerate(asked)
    )
    found = []
    parser = simple(in_flight)
    start = end = 0
    while end < len(stream):
        end = data.draw(st.integers(end + 1, len(stream)))
        answered, start, need = parser.parse(memoryview(stream), start, end)
        assert end - start < need
        found += [(error == 0, None if view is None else len(view)) for _, error, view in answered]
    assert start == len(stream)
    assert found == [(fine, length if fine and op == READ else None) for op, length, fine in asked]
    assert in_flight == {}


@given(st.binary(max_size=200))
def test_garbage_is_a_protocol_error_or_nothing(data: bytes) -> None:
    in_flight = {1: Asked(READ, 1 << 20)}
    answered, at, need = simple(in_flight).parse(memoryview(data), 0, len(data))
    assert len(answered) <= 1
    assert at <= len(data)
    assert need <= 16 + (1 << 20)


def test_what_was_answered_before_the_server_broke_the_protocol_counts() -> None:
    one = Asked(WRITE, 1)
    parser = simple({1: one})
    answered, _, _ = parser.parse(memoryview(reply(1) + reply(9)), 0, 32)
    assert answered == [(one, 0, None)]
    assert "was not asked" in str(parser.error)


def test_an_answer_to_what_was_not_sent_yet_breaks_the_protocol() -> None:
    with pytest.raises(ProtocolError, match="was not asked"):
        parse(reply(1), {1: Asked(WRITE, 1, attempts=0)})


def test_an_answer_that_comes_late_is_told_apart() -> None:
    late, awaited = Asked(READ, 4), Asked(WRITE, 1)
    parser = simple({2: awaited})
    parser.late[1] = late
    answered, at, _ = parser.parse(memoryview(reply(1, 0, b"late") + reply(2)), 0, 36)
    assert answered == [(awaited, 0, None)]
    assert at == 36
    assert parser.ended == [late]
    assert parser.late == {}


def test_structured_replies_that_were_not_agreed_on_break_the_protocol() -> None:
    with pytest.raises(ProtocolError, match="magic"):
        parse(bytes.fromhex("668e33ef 0001 0000 0000000000000001 00000000"), {1: Asked(WRITE, 1)})
