"""The client's handshake against byte sequences written down from the NBD specification."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import DsttoolError, Forbidden, NotFound, ProtocolError, Unreachable
from dsttool.engine.wire.nbd_client import ClientHandshake, Mode

GREETING = b"NBDMAGICIHAVEOPT\0\3"
ABORT, EXPORT_NAME, LIST, INFO, GO, STRUCTURED_REPLY = 2, 1, 3, 6, 7, 8
ACK, SERVER, REP_INFO = 1, 2, 3
ERROR = 0x80000000
ABORTED = b"IHAVEOPT" + struct.pack(">II", ABORT, 0)
DISCONNECT = struct.pack(">IHHQQI", 0x25609513, 0, 2, 0, 0, 0)


def reply(number: int, kind: int, data: bytes = b"") -> bytes:
    return bytes.fromhex("0003e889045565a9") + struct.pack(">III", number, kind, len(data)) + data


def export(size: int = 1 << 20, flags: int = 0b1101) -> bytes:
    return struct.pack(">HQH", 0, size, flags)


def blocks(low: int, middle: int, high: int) -> bytes:
    return struct.pack(">HIII", 3, low, middle, high)


def asked(number: int, name: bytes) -> bytes:
    data = struct.pack(">I", len(name)) + name + struct.pack(">HHHH", 3, 1, 2, 3)
    return b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data


def greeted(mode: Mode = "go", name: str = "disk") -> ClientHandshake:
    handshake = ClientHandshake(name, mode)
    assert handshake.receive(GREETING)
    if mode == "go":
        assert handshake.receive(reply(STRUCTURED_REPLY, ERROR + 1))
    return handshake


# -- go


OFFERED = b"IHAVEOPT" + struct.pack(">II", STRUCTURED_REPLY, 0)


def test_go_asks_for_structured_replies_first() -> None:
    assert ClientHandshake("disk").receive(GREETING) == b"\0\0\0\3" + OFFERED


@pytest.mark.parametrize("answer", [ACK, ERROR + 1, ERROR + 2, ERROR + 3, ERROR + 77])
def test_go_asks_for_the_export_with_name_description_and_block_sizes(answer: int) -> None:
    handshake = ClientHandshake("disk")
    handshake.receive(GREETING)
    assert handshake.receive(reply(STRUCTURED_REPLY, answer)) == asked(GO, b"disk")
    assert handshake.structured == (answer == ACK)


@pytest.mark.parametrize(("answer", "data"), [(ACK, b"x"), (SERVER, b""), (REP_INFO, b""), (77, b"")])
def test_another_answer_to_the_offer_of_structured_replies_is_an_error(answer: int, data: bytes) -> None:
    handshake = ClientHandshake("disk")
    handshake.receive(GREETING)
    assert handshake.receive(reply(STRUCTURED_REPLY, answer, data)) == b""
    assert isinstance(handshake.error, ProtocolError)


def test_go_learns_everything_the_server_tells() -> None:
    handshake = greeted(name="")
    out = handshake.receive(
        reply(GO, REP_INFO, blocks(512, 65536, 1 << 21))
        + reply(GO, REP_INFO, b"\0\1canonical")
        + reply(GO, REP_INFO, b"\0\2a disk")
        + reply(GO, REP_INFO, b"\0\x63 of the future")
        + reply(GO, REP_INFO, export(1 << 30, 0b0000_0010_0011))
        + reply(GO, ACK)
        + b"rest"
    )
    assert out == b""
    assert handshake.done
    assert handshake.leftover == b"rest"
    info = handshake.info
    assert info is not None
    assert (info.name, info.description, info.size) == ("canonical", "a disk", 1 << 30)
    assert (info.block_min, info.block_preferred, info.payload_max) == (512, 65536, 1 << 21)
    assert info.read_only
    assert info.trim
    assert not info.flush
    assert not info.fua


def test_without_block_sizes_the_defaults_of_the_specification_hold() -> None:
    handshake = greeted()
    handshake.receive(reply(GO, REP_INFO, export()) + reply(GO, ACK))
    assert handshake.info is not None
    assert handshake.info.name == "disk"
    sizes = (handshake.info.block_min, handshake.info.block_preferred, handshake.info.payload_max)
    assert sizes == (1, 4096, 32 << 20)


def test_an_unlimited_payload_is_limited_to_the_largest_request() -> None:
    handshake = greeted()
    handshake.receive(
        reply(GO, REP_INFO, export()) + reply(GO, REP_INFO, blocks(1, 512, 0xFFFFFFFF)) + reply(GO, ACK)
    )
    assert handshake.info is not None
    assert handshake.info.payload_max == limits.REQUEST_MAX


@pytest.mark.parametrize(
    "sizes", [(0, 512, 65536), (3, 512, 65536), (1 << 17, 1 << 17, 1 << 20), (4096, 4096, 512), (1, 512, 0)]
)
def test_block_sizes_nobody_could_use_are_refused(sizes: tuple[int, int, int]) -> None:
    handshake = greeted()
    handshake.receive(reply(GO, REP_INFO, export()) + reply(GO, REP_INFO, blocks(*sizes)) + reply(GO, ACK))
    assert isinstance(handshake.error, ProtocolError)
    assert handshake.info is None


def test_the_zeroes_are_waived_only_if_the_server_offers_it() -> None:
    assert ClientHandshake("disk").receive(b"NBDMAGICIHAVEOPT\0\1").startswith(b"\0\0\0\1")


# -- TLS


STARTTLS = 5
TLS_ASKED = b"IHAVEOPT" + struct.pack(">II", STARTTLS, 0)


@pytest.mark.parametrize("mode", ["go", "info", "list"])
def test_with_tls_nothing_but_tls_is_asked_for_in_the_clear(mode: Mode) -> None:
    assert ClientHandshake("disk", mode, tls=True).receive(GREETING) == b"\0\0\0\3" + TLS_ASKED


@pytest.mark.parametrize("mode", ["go", "info", "list"])
def test_inside_tls_the_handshake_goes_on_as_it_would_have_begun(mode: Mode) -> None:
    handshake = ClientHandshake("disk", mode, tls=True)
    handshake.receive(GREETING)
    assert handshake.receive(reply(STARTTLS, ACK)) == b""
    assert handshake.securing
    assert handshake.secured() == ClientHandshake("disk", mode).receive(GREETING)[4:]
    assert not handshake.securing


@pytest.mark.parametrize("number", [1, 2, 3, 4, 7, 77])
def test_a_server_that_refuses_tls_is_left_without_a_word_more(number: int) -> None:
    handshake = ClientHandshake("disk", tls=True)
    handshake.receive(GREETING)
    assert handshake.receive(reply(STARTTLS, ERROR + number, b"no\x1b")) == ABORTED
    assert isinstance(handshake.error, Forbidden)
    assert 'refuses TLS. It says: "no?"' in str(handshake.error)
    assert not handshake.securing


@pytest.mark.parametrize(("answer", "data"), [(ACK, b"x"), (SERVER, b""), (REP_INFO, b""), (77, b"")])
def test_another_answer_to_starttls_is_an_error(answer: int, data: bytes) -> None:
    handshake = ClientHandshake("disk", tls=True)
    handshake.receive(GREETING)
    assert handshake.receive(reply(STARTTLS, answer, data)) == b""
    assert isinstance(handshake.error, ProtocolError)
    assert not handshake.securing


def test_what_is_slipped_in_before_tls_begins_ends_it() -> None:
    handshake = ClientHandshake("disk", tls=True)
    handshake.receive(GREETING)
    assert handshake.receive(reply(STARTTLS, ACK) + reply(STRUCTURED_REPLY, ACK)) == b""
    assert "went on in the clear" in str(handshake.error)
    assert not handshake.securing


@pytest.mark.parametrize("mode", ["go", "info", "list"])
def test_a_server_too_old_for_tls_is_not_asked_without(mode: Mode) -> None:
    handshake = ClientHandshake("disk", mode, tls=True)
    assert handshake.receive(b"NBDMAGICIHAVEOPT\0\0") == b""
    assert "too old for TLS" in str(handshake.error)


# -- The fallback to EXPORT_NAME


def test_a_server_that_does_not_know_go_is_asked_by_export_name() -> None:
    handshake = greeted()
    out = handshake.receive(reply(GO, ERROR + 1, b"what?"))
    assert out == b"IHAVEOPT" + struct.pack(">II", EXPORT_NAME, 4) + b"disk"
    assert handshake.receive(struct.pack(">QH", 4096, 0b11) + b"rest") == b""
    assert handshake.done
    assert handshake.leftover == b"rest"
    assert handshake.info is not None
    assert handshake.info.size == 4096
    assert handshake.info.read_only


def test_a_newstyle_server_that_is_not_fixed_is_asked_by_export_name() -> None:
    handshake = ClientHandshake("disk")
    out = handshake.receive(b"NBDMAGICIHAVEOPT\0\0")
    assert out == b"\0\0\0\0IHAVEOPT" + struct.pack(">II", EXPORT_NAME, 4) + b"disk"
    handshake.receive(struct.pack(">QH", 4096, 1) + bytes(123))
    assert not handshake.done
    handshake.receive(b"\0rest")
    assert handshake.done
    assert handshake.leftover == b"rest"


def test_info_by_export_name_disconnects_afterwards() -> None:
    handshake = greeted("info")
    handshake.receive(reply(INFO, ERROR + 1))
    assert handshake.receive(struct.pack(">QH", 4096, 1)) == DISCONNECT
    assert handshake.info is not None


def test_a_connection_closed_after_export_name_means_an_unknown_export() -> None:
    handshake = greeted()
    handshake.receive(reply(GO, ERROR + 1))
    handshake.peer_closed()
    assert isinstance(handshake.error, NotFound)
    assert "'disk'" in str(handshake.error)


# -- info and list


def test_info_aborts_politely_when_it_knows() -> None:
    handshake = ClientHandshake("disk", "info")
    assert handshake.receive(GREETING) == b"\0\0\0\3" + asked(INFO, b"disk")
    assert handshake.receive(reply(INFO, REP_INFO, export()) + reply(INFO, ACK)) == ABORTED
    assert handshake.done
    assert handshake.info is not None


def test_list_collects_names_and_descriptions() -> None:
    handshake = ClientHandshake("", "list")
    assert handshake.receive(GREETING) == b"\0\0\0\3IHAVEOPT" + struct.pack(">II", LIST, 0)
    out = handshake.receive(
        reply(LIST, SERVER, b"\0\0\0\1aabout a") + reply(LIST, SERVER, b"\0\0\0\0") + reply(LIST, ACK)
    )
    assert out == ABORTED
    assert handshake.done
    assert handshake.listed == [("a", "about a"), ("", "")]


def test_names_from_a_server_cannot_drive_a_terminal() -> None:
    handshake = greeted("list")
    handshake.receive(reply(LIST, SERVER, b"\0\0\0\4\x1b[2J\x07\xff") + reply(LIST, ACK))
    assert handshake.listed[0][0] == "?[2J"
    assert "\x07" not in handshake.listed[0][1]


def test_a_list_without_end_is_cut() -> None:
    handshake = greeted("list")
    entry = reply(LIST, SERVER, struct.pack(">I", 4096) + b"x" * 4096)
    for _ in range(2 * limits.LIST_BYTES_MAX // len(entry)):
        handshake.receive(entry)
    assert isinstance(handshake.error, ProtocolError)
    assert len(handshake.listed) <= limits.LIST_BYTES_MAX // 4096


def test_a_server_that_is_not_fixed_cannot_list() -> None:
    handshake = ClientHandshake("", "list")
    handshake.receive(b"NBDMAGICIHAVEOPT\0\0")
    assert "too old" in str(handshake.error)


# -- Refusals


@pytest.mark.parametrize("mode", ["go", "info", "list"])
@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (2, Forbidden, "policy"),
        (3, ProtocolError, "invalid"),
        (4, ProtocolError, "platform"),
        (5, Forbidden, "TLS"),
        (6, NotFound, "no export"),
        (7, Unreachable, "shutting down"),
        (8, ProtocolError, "block sizes"),
        (9, ProtocolError, "too big"),
        (10, ProtocolError, "error 10"),
        (0x7FFFFFFF, ProtocolError, "error"),
    ],
)
def test_every_error_reply_becomes_a_sentence(
    mode: Mode, number: int, kind: type[DsttoolError], words: str
) -> None:
    handshake = greeted(mode)
    option = {"go": GO, "info": INFO, "list": LIST}[mode]
    out = handshake.receive(reply(option, ERROR + number, b"because of\x1b reasons"))
    assert out == ABORTED
    assert type(handshake.error) is kind
    assert words in str(handshake.error)
    assert '"because of? reasons"' in str(handshake.error)
    assert not handshake.done


def test_list_unsupported_is_an_error() -> None:
    handshake = greeted("list")
    assert handshake.receive(reply(LIST, ERROR + 1)) == ABORTED
    assert "does not support" in str(handshake.error)


# -- Peers that are no NBD server, or a broken one


@pytest.mark.parametrize("hello", [b"SSH-2.0-OpenSSH_9.2p1\r\n", b"HTTP/1.1 400", b"X", b"NBDMAGIX"])
def test_a_peer_that_is_no_nbd_server_is_told_by_its_first_bytes(hello: bytes) -> None:
    handshake = ClientHandshake("disk")
    handshake.receive(hello)
    assert "not an NBD server" in str(handshake.error)


def test_an_oldstyle_server_is_named_as_such() -> None:
    handshake = ClientHandshake("disk")
    handshake.receive(b"NBDMAGIC" + bytes.fromhex("00420281861253").rjust(8, b"\0") + bytes(136))
    assert "oldstyle" in str(handshake.error)


def test_another_second_magic_is_not_nbd() -> None:
    handshake = ClientHandshake("disk")
    handshake.receive(b"NBDMAGICIHAVEOPS\0\3")
    assert isinstance(handshake.error, ProtocolError)


@pytest.mark.parametrize(
    "answer",
    [
        b"\0\3\xe8\x89\x04\x55\x65\xa8" + bytes(12),
        reply(INFO, ACK),
        reply(GO, ACK),
        reply(GO, SERVER, b"\0\0\0\0"),
        reply(GO, 77),
        reply(GO, REP_INFO),
        reply(GO, REP_INFO, export() + b"x"),
        reply(GO, REP_INFO, blocks(1, 512, 1024)[:-1]),
        reply(GO, REP_INFO, export(1 << 63)) + reply(GO, ACK),
        reply(GO, REP_INFO, bytes(limits.OPTION_BYTES_MAX + 1)),
    ],
    ids=["magic", "option", "no size", "kind", "type", "empty", "long", "short", "size", "too long"],
)
def test_a_server_that_breaks_the_protocol_is_an_error(answer: bytes) -> None:
    handshake = greeted()
    assert handshake.receive(answer) == b""
    assert isinstance(handshake.error, ProtocolError)
    assert not handshake.done
    assert handshake.receive(reply(GO, REP_INFO, export()) + reply(GO, ACK)) == b""
    assert not handshake.done


@pytest.mark.parametrize("data", [b"", b"\0\0\0", b"\0\0\0\5name", b"\xff\xff\xff\xff"])
def test_a_malformed_list_is_an_error(data: bytes) -> None:
    handshake = greeted("list")
    handshake.receive(reply(LIST, SERVER, data))
    assert isinstance(handshake.error, ProtocolError)


def test_a_connection_closed_before_the_greeting_is_an_error() -> None:
    handshake = ClientHandshake("disk")
    handshake.peer_closed()
    assert "without an NBD greeting" in str(handshake.error)


def test_a_connection_closed_in_the_middle_is_an_error() -> None:
    handshake = greeted()
    handshake.peer_closed()
    assert isinstance(handshake.error, Unreachable)


def test_a_connection_closed_after_an_error_keeps_that_error() -> None:
    handshake = greeted()
    handshake.receive(reply(GO, ERROR + 6))
    handshake.peer_closed()
    assert isinstance(handshake.error, NotFound)


# -- Pieces and garbage

SESSION = (
    GREETING
    + reply(STRUCTURED_REPLY, ACK)
    + reply(GO, REP_INFO, b"\0\2about")
    + reply(GO, REP_INFO, export())
    + reply(GO, REP_INFO, blocks(1, 4096, 1 << 20))
    + reply(GO, ACK)
    + b"transmission"
)


def play(pieces: list[bytes]) -> tuple[object, bytes, bytes]:
    handshake = ClientHandshake("disk")
    out = leftover = b""
    for piece in pieces:
        if handshake.done:
            leftover += piece
        else:
            out += handshake.receive(piece)
    return handshake.info, out, handshake.leftover + leftover


def test_a_session_byte_by_byte_ends_like_a_session_in_one_piece() -> None:
    whole = play([SESSION])
    assert whole[2] == b"transmission"
    assert play([SESSION[i : i + 1] for i in range(len(SESSION))]) == whole


@given(st.lists(st.integers(0, len(SESSION)), max_size=12))
def test_a_session_in_any_pieces_ends_like_a_session_in_one_piece(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(SESSION)]
    assert play([SESSION[a:b] for a, b in pairwise(edges)]) == play([SESSION])


KINDS = st.one_of(st.sampled_from([ACK, SERVER, REP_INFO, ERROR + 1]), st.integers(0, 2**32 - 1))
REPLIES = st.builds(reply, st.sampled_from([1, 3, 6, 7, 8]), KINDS, st.binary(max_size=40))
INFOS = st.builds(lambda data: reply(GO, REP_INFO, data), st.builds(export, st.integers(0, 2**64 - 1)))


@given(
    st.sampled_from(["go", "info", "list"]),
    st.sampled_from([b"", b"NBDMAGIC", GREETING, b"NBDMAGICIHAVEOPT\0\0"]),
    st.lists(st.one_of(st.binary(max_size=200), REPLIES, INFOS), max_size=30),
)
def test_no_bytes_make_the_client_raise_or_keep_much(mode: Mode, hello: bytes, pieces: list[bytes]) -> None:
    handshake = ClientHandshake("disk", mode)
    for piece in [hello, *pieces]:
        if handshake.done:
            assert mode == "list" or handshake.info is not None
            break
        handshake.receive(piece)
        assert len(handshake._buffer) < limits.OPTION_BYTES_MAX + 20
        assert not (handshake.done and handshake.error)
