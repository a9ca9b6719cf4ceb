"""Parsing of requests, with bytes as the NBD specification has them."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.vocabulary.operations import (
    CACHE,
    DISCONNECT,
    FLUSH,
    FUA,
    READ,
    TRIM,
    WRITE,
    WRITE_ZEROES,
)
from dsttool.engine.wire.nbd import ExportInfo
from dsttool.engine.wire.nbd_requests import RequestParser

INFO = ExportInfo(name="disk", size=1 << 20)
Made = tuple[int, int, int, int, bytes | None, int]


def make(
    op: int, flags: int, offset: int, length: int, data: Any, cookie: int, _sink: object, _now: int
) -> Made:
    return op, flags, offset, length, None if data is None else bytes(data), cookie


def packed(op: int, offset: int, length: int, cookie: int = 7, flags: int = 0) -> bytes:
    return struct.pack(">IHHQQI", 0x25609513, flags, op, cookie, offset, length)


def parser(info: ExportInfo = INFO) -> RequestParser[Made]:
    return RequestParser(info, make, None)


def test_everything_in_the_buffer_is_parsed_at_once() -> None:
    one = parser()
    data = packed(READ, 0, 512, 1) + packed(WRITE, 8, 3, 2, FUA) + b"abc" + packed(FLUSH, 0, 0, 3)
    assert one.parse(memoryview(data), 0, len(data), 100, 1 << 20) == len(data)
    assert one.requests == [
        (READ, 0, 0, 512, None, 1),
        (WRITE, FUA, 8, 3, b"abc", 2),
        (FLUSH, 0, 0, 0, None, 3),
    ]
    assert one.pinned
    assert not one.full


def test_a_write_whose_payload_has_not_come_says_how_long_it_is() -> None:
    one = parser()
    data = packed(WRITE, 0, 1000) + bytes(999)
    assert one.parse(memoryview(data), 0, len(data), 100, 1 << 20) == 0
    assert one.need == 1028
    assert one.requests == []


@pytest.mark.parametrize(("room", "room_bytes"), [(2, 1 << 20), (100, 1024)])
def test_a_parser_that_ran_out_of_room_says_that_requests_are_left(room: int, room_bytes: int) -> None:
    one = parser()
    data = packed(READ, 0, 512) * 3
    assert one.parse(memoryview(data), 0, len(data), room, room_bytes) == 56
    assert one.full


def test_a_parser_that_used_its_room_exactly_leaves_nothing() -> None:
    one = parser()
    data = packed(READ, 0, 512) * 2
    assert one.parse(memoryview(data), 0, len(data), 2, 1024) == 56
    assert not one.full


def test_nothing_is_parsed_after_a_goodbye() -> None:
    one = parser()
    data = packed(DISCONNECT, 0, 0) + packed(READ, 0, 1)
    one.parse(memoryview(data), 0, len(data), 100, 1 << 20)
    assert one.disconnect
    assert one.requests == []


@pytest.mark.parametrize("op", [TRIM, FLUSH])
def test_an_operation_the_export_does_not_offer_is_refused(op: int) -> None:
    one = parser(ExportInfo(name="disk", size=1 << 20, trim=False, flush=False))
    data = packed(op, 0, 0 if op == FLUSH else 512)
    one.parse(memoryview(data), 0, len(data), 100, 1 << 20)
    assert one.refused == [(7, 22)]


@pytest.mark.parametrize("op", [READ, FLUSH, CACHE])
def test_fua_is_accepted_and_dropped_where_nothing_is_written(op: int) -> None:
    """NBD protocol, "Command flags": the server MUST accept all commands with this bit set."""
    one = parser()
    length = 0 if op == FLUSH else 512
    data = packed(op, 0, length, flags=FUA)
    one.parse(memoryview(data), 0, len(data), 100, 1 << 20)
    assert one.refused == []
    assert one.requests == [(op, 0, 0, length, None, 7)]


@pytest.mark.parametrize("op", [READ, WRITE, FLUSH, TRIM, CACHE, WRITE_ZEROES])
def test_fua_is_refused_where_it_is_not_offered(op: int) -> None:
    one = parser(ExportInfo(name="disk", size=1 << 20, fua=False))
    length = 0 if op == FLUSH else 512
    data = packed(op, 0, length, flags=FUA) + (bytes(512) if op == WRITE else b"")
    one.parse(memoryview(data), 0, len(data), 100, 1 << 20)
    assert (one.requests, one.refused) == ([], [(7, 22)])


def test_reads_with_fua_use_up_the_room_for_bytes() -> None:
    one = parser()
    data = packed(READ, 0, 1024, flags=FUA) * 3
    assert one.parse(memoryview(data), 0, len(data), 100, 2048) == 56
    assert one.full


REQUESTS = st.one_of(
    st.builds(
        packed, st.integers(0, 9), st.integers(0, 1 << 21), st.integers(0, 64), flags=st.integers(0, 31)
    ),
    st.integers(0, 64).map(lambda length: packed(WRITE, 8, length) + bytes(length)),
)


@given(st.lists(REQUESTS, max_size=10).map(b"".join), st.data())
def test_requests_in_pieces_are_the_requests_in_one(stream: bytes, data: st.DataObject) -> None:
    whole = parser()
    whole.parse(memoryview(stream), 0, len(stream), 1000, 1 << 30)
    pieces = parser()
    requests: list[Made] = []
    refused: list[tuple[int, int]] = []
    head = tail = 0
    while tail < len(stream) and not pieces.fault and not pieces.disconnect:
        tail = data.draw(st.integers(tail + 1, len(stream)))
        head = pieces.parse(memoryview(stream), head, tail, 1000, 1 << 30)
        requests += pieces.requests
        refused += pieces.refused
    assert (requests, refused) == (whole.requests, whole.refused)
    assert (pieces.fault, pieces.disconnect) == (whole.fault, whole.disconnect)


@given(st.binary(max_size=300), st.integers(0, 5), st.integers(0, 100))
def test_garbage_is_a_fault_or_refused_and_never_raises(data: bytes, room: int, room_bytes: int) -> None:
    one = parser()
    head = one.parse(memoryview(data), 0, len(data), room, room_bytes)
    assert 0 <= head <= len(data)
    assert len(one.requests) + len(one.refused) <= room
