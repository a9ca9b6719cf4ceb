"""Parsing of structured replies, with bytes as the NBD specification has them."""

import itertools
import struct
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.vocabulary.errors import ProtocolError
from dsttool.engine.vocabulary.operations import FLUSH, READ, WRITE
from dsttool.engine.wire.nbd_replies import ReplyParser

DONE = 1
NONE, DATA, HOLE, STATUS, ERROR, ERROR_OFFSET = 0, 1, 2, 5, 0x8001, 0x8002


@dataclass
class Asked:
    op: int
    offset: int
    length: int
    attempts: int = 1

    @property
    def request(self) -> "Asked":
        return self


def chunk(kind: int, payload: bytes = b"", *, flags: int = 0, cookie: int = 1) -> bytes:
    return struct.pack(">IHHQI", 0x668E33EF, flags, kind, cookie, len(payload)) + payload


def data(offset: int, content: bytes, *, flags: int = 0, cookie: int = 1) -> bytes:
    return chunk(DATA, struct.pack(">Q", offset) + content, flags=flags, cookie=cookie)


def hole(offset: int, length: int, *, flags: int = 0, cookie: int = 1) -> bytes:
    return chunk(HOLE, struct.pack(">QI", offset, length), flags=flags, cookie=cookie)


def failure(number: int, said: bytes = b"", *, flags: int = DONE) -> bytes:
    return chunk(ERROR, struct.pack(">IH", number, len(said)) + said, flags=flags)


def end(cookie: int = 1) -> bytes:
    return chunk(NONE, flags=DONE, cookie=cookie)


def simple(cookie: int, error: int = 0) -> bytes:
    return struct.pack(">IIQ", 0x67446698, error, cookie)


class Client:
    """A parser, what it has answered so far, and the buffers it asked for."""

    def __init__(self, **asked: Asked) -> None:
        self.buffers: list[int] = []
        self.in_flight = {int(name[1:]): one for name, one in asked.items()}
        self.parser = ReplyParser(self.in_flight, structured=True, allocate=self._allocate)
        self.answers: list[tuple[Asked, int, bytes | None]] = []

    def _allocate(self, size: int) -> memoryview:
        self.buffers.append(size)
        return memoryview(bytearray(b"?" * (size + 100)))

    def take(self, stream: bytes) -> int:
        """Parse; returns how much more is wanted."""
        answers, at, need = self.parser.parse(memoryview(stream), 0, len(stream))
        if self.parser.error is not None:
            raise self.parser.error
        self.answers += [(a, error, None if view is None else bytes(view)) for a, error, view in answers]
        return need - (len(stream) - at)


def test_a_read_in_one_chunk_is_handed_on_where_it_lies() -> None:
    client = Client(_1=Asked(READ, 100, 4))
    stream = memoryview(data(100, b"abcd", flags=DONE))
    answers, at, _ = client.parser.parse(stream, 0, len(stream))
    assert at == len(stream)
    payload = answers[0][2]
    assert payload is not None
    assert bytes(payload) == b"abcd"
    assert payload.obj is stream.obj
    assert client.buffers == []
    assert client.in_flight == {}


PARTS = [data(100, b"ab"), hole(102, 3), data(105, b"fgh"), hole(108, 1)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_data_and_holes_in_any_order_make_one_read(order: tuple[int, ...]) -> None:
    read = Asked(READ, 100, 9)
    client = Client(_1=read)
    client.take(b"".join(PARTS[i] for i in order) + end())
    assert client.answers == [(read, 0, b"ab\0\0\0fgh\0")]
    assert client.buffers == [9]


def test_the_last_chunk_may_carry_data() -> None:
    read = Asked(READ, 0, 4)
    client = Client(_1=read)
    client.take(hole(2, 2) + data(0, b"ab", flags=DONE))
    assert client.answers == [(read, 0, b"ab\0\0")]


def test_a_read_of_nothing_but_a_hole_is_zeroes() -> None:
    read = Asked(READ, 1 << 40, 1 << 20)
    client = Client(_1=read)
    client.take(hole(1 << 40, 1 << 20, flags=DONE))
    assert client.answers == [(read, 0, bytes(1 << 20))]


def test_chunks_of_several_reads_may_be_interleaved() -> None:
    one, two, three = Asked(READ, 0, 4), Asked(READ, 50, 2), Asked(WRITE, 0, 4096)
    client = Client(_1=one, _2=two, _3=three)
    client.take(data(0, b"ab") + data(51, b"y", cookie=2) + simple(3) + data(2, b"cd", flags=DONE))
    client.take(data(50, b"x", flags=DONE, cookie=2))
    assert client.answers == [(three, 0, None), (one, 0, b"abcd"), (two, 0, b"xy")]


def test_what_is_no_read_may_be_answered_by_either_kind() -> None:
    one, two = Asked(WRITE, 0, 10), Asked(FLUSH, 0, 0)
    client = Client(_1=one, _2=two)
    client.take(end(2) + simple(1))
    assert client.answers == [(two, 0, None), (one, 0, None)]


@pytest.mark.parametrize("said", [b"", b"no room\x1b", b"x" * 4096])
def test_an_error_fails_the_request(said: bytes) -> None:
    for asked in (Asked(READ, 0, 4), Asked(WRITE, 0, 4)):
        client = Client(_1=asked)
        client.take(failure(28, said))
        assert client.answers == [(asked, 28, None)]


def test_a_simple_error_fails_a_read() -> None:
    read = Asked(READ, 0, 4)
    client = Client(_1=read)
    client.take(simple(1, 5))
    assert client.answers == [(read, 5, None)]


def test_an_error_with_an_offset_fails_the_read_and_the_first_error_counts() -> None:
    read = Asked(READ, 100, 4)
    client = Client(_1=read)
    client.take(
        data(100, b"a")
        + chunk(ERROR_OFFSET, struct.pack(">IHQ", 12, 0, 101))
        + failure(28, flags=0)
        + data(102, b"c")
        + end()
    )
    assert client.answers == [(read, 12, None)]


def test_an_error_of_a_kind_we_do_not_know_is_an_error() -> None:
    write = Asked(WRITE, 0, 4)
    client = Client(_1=write)
    client.take(chunk(0x8077, struct.pack(">IH", 28, 3) + b"why" + b"and more", flags=DONE))
    assert client.answers == [(write, 28, None)]


def test_an_error_nbd_does_not_define_is_eio() -> None:
    client = Client(_1=Asked(READ, 0, 4))
    client.take(failure(9999))
    assert client.answers[0][1] == 5


READ_OF_4 = Asked(READ, 100, 4)

BROKEN = {
    "a simple reply to a read": simple(1) + b"abcd",
    "data before the read": data(99, b"abcd", flags=DONE),
    "data behind the read": data(101, b"abcd", flags=DONE),
    "short data before the read": data(99, b"ab"),
    "short data behind the read": data(103, b"ab"),
    "data far away": data((1 << 64) - 1, b"ab"),
    "more data than asked for": data(100, b"abcde"),
    "no data": data(100, b""),
    "data without an offset": chunk(DATA, b"\0\0\0"),
    "a hole of nothing": hole(100, 0),
    "a hole behind the read": hole(103, 2),
    "a hole before the read": hole(99, 2),
    "a hole without end": hole(100, 0xFFFFFFFF),
    "a hole of the wrong size": chunk(HOLE, bytes(13)),
    "bytes twice": data(100, b"ab") + data(101, b"bc"),
    "bytes twice, backwards": data(101, b"bc") + data(100, b"ab"),
    "bytes within bytes": hole(100, 4) + data(101, b"x"),
    "bytes around bytes": data(101, b"x") + hole(100, 4),
    "the whole read again": data(100, b"a") + data(100, b"abcd", flags=DONE),
    "an end before all is there": data(100, b"abc") + end(),
    "an end of nothing": end(),
    "a gap": data(100, b"a") + data(102, b"cd", flags=DONE),
    "an empty chunk that is not the last": chunk(NONE),
    "an empty chunk with something in it": chunk(NONE, b"x", flags=DONE),
    "block status": chunk(STATUS, bytes(12), flags=DONE),
    "a type nobody knows": chunk(77, b"", flags=DONE),
    "an error that is none": failure(0),
    "an error without a length": chunk(ERROR, b"\0\0\0\5", flags=DONE),
    "an error cut short": chunk(ERROR, struct.pack(">IH", 5, 10) + b"short", flags=DONE),
    "an error too long": chunk(ERROR, struct.pack(">IH", 5, 1) + b"long", flags=DONE),
    "an error with a long message": failure(5, b"x" * 5000),
    "an error elsewhere": chunk(ERROR_OFFSET, struct.pack(">IHQ", 5, 0, 99), flags=DONE),
    "an error behind": chunk(ERROR_OFFSET, struct.pack(">IHQ", 5, 0, 105), flags=DONE),
    "an error with half an offset": chunk(ERROR_OFFSET, struct.pack(">IHI", 5, 0, 100), flags=DONE),
    "an unknown error cut short": chunk(0x8077, struct.pack(">IH", 5, 10), flags=DONE),
    "a reply of two kinds": data(100, b"a") + simple(1, 5),
    "an answer to nobody": end(9),
    "another magic": bytes(20),
    "nothing but errors": failure(5, flags=0) * 100,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_server_that_breaks_the_protocol_is_told_by(name: str) -> None:
    client = Client(_1=READ_OF_4)
    with pytest.raises(ProtocolError):
        client.take(BROKEN[name])
    assert client.answers == []


@pytest.mark.parametrize("name", BROKEN)
def test_the_same_byte_by_byte_is_told_as_soon_as_the_header_shows_it(name: str) -> None:
    client = Client(_1=READ_OF_4)
    stream = memoryview(BROKEN[name])
    start = 0
    for stop in range(len(stream) + 1):
        _, start, need = client.parser.parse(stream, start, stop)
        if client.parser.error is not None:
            return
        assert need <= 20 + 4096 + 14
    pytest.fail("nothing was wrong with it")


@pytest.mark.parametrize("payload", [data(0, b"x"), hole(0, 1)])
def test_data_for_what_is_no_read_breaks_the_protocol(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match="came when it must not"):
        Client(_1=Asked(WRITE, 0, 100)).take(payload)


def test_a_length_nobody_asked_for_is_not_waited_for() -> None:
    header = struct.pack(">IHHQI", 0x668E33EF, DONE, DATA, 1, 0xFFFFFFFF)
    with pytest.raises(ProtocolError, match="bytes"):
        Client(_1=Asked(READ, 0, 4096)).take(header)


def test_reads_in_tiny_chunks_are_bounded() -> None:
    read = Asked(READ, 0, 1 << 20)
    stream = b"".join(data(i, b"x") for i in range(0, 8000, 2))
    with pytest.raises(ProtocolError, match="too many chunks"):
        Client(_1=read).take(stream)


def test_a_late_read_in_several_chunks_is_told_apart() -> None:
    late = Asked(READ, 0, 4)
    client = Client()
    client.parser.late[1] = late
    client.take(data(0, b"ab") + hole(2, 2) + end())
    assert client.answers == []
    assert client.parser.ended == [late]


@given(st.data())
def test_a_read_cut_into_chunks_and_pieces_is_the_read(draw: st.DataObject) -> None:
    length = draw.draw(st.integers(1, 60))
    content = bytes(draw.draw(st.lists(st.sampled_from(b"\0\0ab"), min_size=length, max_size=length)))
    edges = sorted({0, length, *draw.draw(st.lists(st.integers(0, length), max_size=8))})
    chunks = []
    for first, last in itertools.pairwise(edges):
        empty = not any(content[first:last])
        chunks.append(hole(7 + first, last - first) if empty else data(7 + first, content[first:last]))
    stream = b"".join(draw.draw(st.permutations(chunks))) + end()
    client = Client(_1=Asked(READ, 7, length))
    start = stop = 0
    found: list[bytes] = []
    while stop < len(stream):
        stop = draw.draw(st.integers(stop + 1, len(stream)))
        answers, start, need = client.parser.parse(memoryview(stream), start, stop)
        assert client.parser.error is None
        assert stop - start < need
        found += [bytes(view) for _, _, view in answers if view is not None]
    assert found == [content]


KINDS = st.sampled_from([NONE, DATA, HOLE, STATUS, ERROR, ERROR_OFFSET, 0x8077, 9])
CHUNKS = st.builds(
    lambda kind, payload, flags, cookie: chunk(kind, payload, flags=flags, cookie=cookie),
    KINDS,
    st.binary(max_size=30),
    st.integers(0, 3),
    st.integers(1, 3),
)


@given(st.lists(st.one_of(CHUNKS, st.binary(max_size=40)), max_size=20))
def test_no_bytes_make_the_parser_raise_or_answer_twice(pieces: list[bytes]) -> None:
    stream = memoryview(b"".join(pieces))
    in_flight = {1: Asked(READ, 0, 10), 2: Asked(WRITE, 0, 10), 3: Asked(READ, 0, 0)}
    parser = ReplyParser(in_flight, structured=True, allocate=lambda size: memoryview(bytearray(size)))
    answers, at, need = parser.parse(stream, 0, len(stream))
    assert len(answers) + len(in_flight) == 3
    assert at <= len(stream)
    assert need <= 20 + 4096 + 14
