"""Hello, welcome, refusals."""

import dataclasses
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import (
    Conflict,
    DsttoolError,
    Forbidden,
    NotFound,
    ProtocolError,
    Unreachable,
)
from dsttool.engine.wire import dst_hello
from dsttool.engine.wire.dst_hello import Hello, Welcome
from dsttool.engine.wire.dst_records import WELCOME_BYTES_MAX

U16, U32, U64 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
ID = st.binary(min_size=16, max_size=16)
TEXT = st.text(max_size=30).filter(str.isprintable)
HELLOS = st.builds(
    Hello,
    session=ID,
    epoch=U64,
    export=TEXT,
    floor=U64,
    term=U64,
    array=ID,
    slot=U16,
    link=U16,
    access=st.sampled_from([dst_hello.READ_WRITE, dst_hello.READ_ONLY]),
    owner=TEXT,
    takeover=st.booleans(),
)
NAMES = ["flush", "fua", "trim", "write_zeroes", "fast_zero", "rotational"]
WELCOMES = st.builds(
    Welcome,
    export_id=ID,
    size=st.integers(1, 2**63 - 1),
    block_min=st.sampled_from([1, 512, 4096]),
    block_preferred=U32,
    payload_max=st.integers(4096, limits.REQUEST_MAX),
    capabilities=st.frozensets(st.sampled_from(NAMES)),
    window=st.integers(1, 2**32 - 1),
    window_bytes=st.integers(1, 2**64 - 1),
    verifier=ID,
    access=st.sampled_from([0, 1]),
    found=st.booleans(),
    term=U64,
    known=st.lists(st.tuples(U64, U16), max_size=5).map(tuple),
)
GOOD = Welcome(bytes(16), 1 << 20, 1, 4096, 1 << 20, frozenset(["flush"]), 64, 1 << 20)


@given(HELLOS)
def test_a_hello_comes_as_it_was_said(hello: Hello) -> None:
    assert Hello.parse(hello.pack()) == hello


@given(WELCOMES)
def test_a_welcome_comes_as_it_was_said(welcome: Welcome) -> None:
    assert Welcome.parse(welcome.pack()) == welcome


def test_a_hello_is_as_documented() -> None:
    hello = Hello(bytes(range(16)), 2, "disk", 3, 4, bytes(16), 5, 6, dst_hello.READ_ONLY, "me")
    assert hello.pack() == (
        bytes(range(16)) + struct.pack(">QQQ", 2, 3, 4) + bytes(16) + b"\0\5\0\6\1\0\0\4\0\2" + b"diskme"
    )


def test_a_welcome_of_a_whole_window_of_finished_ids_fits_its_record() -> None:
    full = dataclasses.replace(GOOD, known=tuple((id_, 0) for id_ in range(limits.ID_WINDOW)))
    assert len(full.pack()) <= WELCOME_BYTES_MAX


@given(HELLOS, st.data())
def test_a_hello_that_is_cut_or_longer_is_a_protocol_error(hello: Hello, data: st.DataObject) -> None:
    body = hello.pack()
    cut = data.draw(st.integers(0, len(body) - 1))
    for wrong in (body[:cut], body + b"x"):
        with pytest.raises(ProtocolError):
            Hello.parse(wrong)


@given(WELCOMES, st.data())
def test_a_welcome_that_is_cut_or_longer_is_a_protocol_error(welcome: Welcome, data: st.DataObject) -> None:
    body = welcome.pack()
    cut = data.draw(st.integers(0, len(body) - 1))
    for wrong in (body[:cut], body + b"x"):
        with pytest.raises(ProtocolError):
            Welcome.parse(wrong)


@given(st.one_of(st.binary(max_size=100), st.binary(min_size=66, max_size=66)))
def test_garbage_for_a_hello_is_a_protocol_error_or_a_hello(body: bytes) -> None:
    try:
        Hello.parse(body)
    except ProtocolError:
        pass


@given(st.one_of(st.binary(max_size=100), st.binary(min_size=76, max_size=76)))
def test_garbage_for_a_welcome_is_a_protocol_error_or_a_welcome(body: bytes) -> None:
    try:
        Welcome.parse(body)
    except ProtocolError:
        pass


@pytest.mark.parametrize("export", [b"\xff\xfe", b"a\nb", b"\x1b[31m", "é".encode()[:1]])
def test_a_name_that_is_no_clean_text_is_a_protocol_error(export: bytes) -> None:
    body = Hello(bytes(16), 1, "").pack()[:-4] + struct.pack(">HH", len(export), 0) + export
    with pytest.raises(ProtocolError, match="strings"):
        Hello.parse(body)


def test_a_name_longer_than_names_may_be_is_a_protocol_error() -> None:
    Hello.parse(Hello(bytes(16), 1, "x" * 4096, owner="y" * 4096).pack())
    for hello in (Hello(bytes(16), 1, "x" * 4097), Hello(bytes(16), 1, "x", owner="y" * 4097)):
        with pytest.raises(ProtocolError):
            Hello.parse(hello.pack())


def test_an_access_that_is_not_defined_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="access"):
        Hello.parse(Hello(bytes(16), 1, "disk", access=2).pack())


@pytest.mark.parametrize(
    "change",
    [
        {"size": 0},
        {"size": 1 << 63},
        {"block_min": 0},
        {"block_min": 3},
        {"window": 0},
        {"window_bytes": 0},
        {"payload_max": 4095},
        {"payload_max": limits.REQUEST_MAX + 1},
        {"block_min": 1 << 21, "payload_max": 1 << 20},
        {"access": 2},
    ],
)
def test_a_welcome_that_cannot_be_is_a_protocol_error(change: dict[str, int]) -> None:
    body = dataclasses.replace(GOOD, **change).pack()  # type: ignore[arg-type]
    with pytest.raises(ProtocolError):
        Welcome.parse(body)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (dst_hello.REFUSED_EXPORT, NotFound),
        (dst_hello.REFUSED_ACCESS, Forbidden),
        (dst_hello.REFUSED_PROTOCOL, ProtocolError),
        (dst_hello.GOING_AWAY, Unreachable),
        (dst_hello.REPLACED, Conflict),
        (999, ProtocolError),
    ],
)
def test_a_reason_is_shown_as_the_error_it_is(code: int, kind: type[DsttoolError]) -> None:
    told, error = dst_hello.parse_reason(dst_hello.pack_reason(code, "Für heute Schluss."))
    assert told == code
    assert type(error) is kind
    assert error.what == "Für heute Schluss."


def test_control_bytes_of_a_reason_are_stripped() -> None:
    _, error = dst_hello.parse_reason(dst_hello.pack_reason(1, "no\x1b[2J\r\n way\0"))
    assert error.what == "no[2J way"


def test_an_endless_reason_is_cut_even_within_a_letter() -> None:
    _, error = dst_hello.parse_reason(dst_hello.pack_reason(1, "x" + "é" * 5000))
    assert len(error.what) <= limits.NAME_BYTES_MAX
    assert error.what.startswith("xé")


@given(st.binary(max_size=50))
def test_garbage_for_a_reason_is_an_error_to_show(body: bytes) -> None:
    try:
        _, error = dst_hello.parse_reason(body)
    except ProtocolError:
        assert len(body) < 2
    else:
        assert error.what.isprintable()
        assert error.what
