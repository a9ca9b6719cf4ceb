"""The server's handshake against byte sequences written down from the NBD specification."""

import struct
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.vocabulary import limits
from dsttool.engine.wire.nbd import ExportInfo
from dsttool.engine.wire.nbd_server import ServerHandshake

DISK = ExportInfo(name="disk", size=1 << 20, description="a disk")
OTHER = ExportInfo(name="other", size=4096)
# HAS_FLAGS, FLUSH, FUA, TRIM, WRITE_ZEROES, MULTI_CONN, CACHE
FLAGS = 0b101_0110_1101

EXPORT_NAME, ABORT, LIST, STARTTLS, INFO, GO, STRUCTURED_REPLY = 1, 2, 3, 5, 6, 7, 8
ACK, SERVER, REP_INFO = 1, 2, 3
UNSUP, INVALID, UNKNOWN, BLOCK_SIZE_REQD, TOO_BIG = (0x80000000 + n for n in (1, 3, 6, 8, 9))

FIXED = b"\0\0\0\1"
FIXED_NO_ZEROES = b"\0\0\0\3"


class Offered:
    def __init__(self, *infos: ExportInfo) -> None:
        self.infos = {info.name: info for info in infos}

    def names(self) -> list[str]:
        return list(self.infos)

    def find(self, name: str) -> ExportInfo | None:
        return self.infos.get(name)

    def asks(self, name: str) -> str:
        return ""


def option(number: int, data: bytes = b"") -> bytes:
    return b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data


def info_data(name: bytes, *wanted: int) -> bytes:
    return struct.pack(">I", len(name)) + name + struct.pack(f">H{len(wanted)}H", len(wanted), *wanted)


def reply(number: int, kind: int, data: bytes = b"") -> bytes:
    return bytes.fromhex("0003e889045565a9") + struct.pack(">III", number, kind, len(data)) + data


def replies(out: bytes) -> list[tuple[int, int, bytes]]:
    found = []
    while out:
        magic, number, kind, length = struct.unpack_from(">QIII", out)
        assert magic == 0x0003E889045565A9
        found.append((number, kind, out[20 : 20 + length]))
        out = out[20 + length :]
    return found


def export_reply(info: ExportInfo = DISK, flags: int = FLAGS) -> bytes:
    return struct.pack(">HQH", 0, info.size, flags)


def started(*infos: ExportInfo, flags: bytes = FIXED_NO_ZEROES) -> ServerHandshake:
    handshake = ServerHandshake(Offered(*(infos or (DISK,))))
    assert handshake.receive(flags) == b""
    return handshake


# -- The beginning


def test_the_greeting_is_fixed_newstyle_with_no_zeroes() -> None:
    assert ServerHandshake(Offered()).greeting == b"NBDMAGICIHAVEOPT\0\3"


@pytest.mark.parametrize("flags", [4, 0x80000000, 0xFFFFFFFF])
def test_unknown_client_flags_close_the_connection(flags: int) -> None:
    handshake = ServerHandshake(Offered(DISK))
    assert handshake.receive(struct.pack(">I", flags)) == b""
    assert "flags" in handshake.closed


@pytest.mark.parametrize("flags", [b"\0\0\0\0", b"\0\0\0\2"])
def test_a_client_that_is_not_fixed_newstyle_may_only_send_export_name(flags: bytes) -> None:
    handshake = started(flags=flags)
    assert handshake.receive(option(LIST)) == b""
    assert "fixed newstyle" in handshake.closed
    handshake = started(flags=flags)
    handshake.receive(option(EXPORT_NAME, b"disk"))
    assert handshake.done


def test_a_wrong_magic_closes_the_connection() -> None:
    handshake = started()
    assert handshake.receive(b"GET / HTTP/1.1\r\n") == b""
    assert "magic" in handshake.closed
    assert handshake.receive(option(GO, info_data(b"disk"))) == b""
    assert not handshake.done


# -- EXPORT_NAME


def test_export_name_is_answered_with_size_flags_and_124_zeroes() -> None:
    handshake = started(flags=FIXED)
    out = handshake.receive(option(EXPORT_NAME, b"disk"))
    assert out == struct.pack(">QH", 1 << 20, FLAGS) + bytes(124)
    assert handshake.done
    assert handshake.chosen == DISK


def test_the_zeroes_are_left_out_when_the_client_waived_them() -> None:
    out = started().receive(option(EXPORT_NAME, b"disk"))
    assert out == struct.pack(">QH", 1 << 20, FLAGS)


@pytest.mark.parametrize("name", [b"nosuch", b"\xff\xfe", b"disk\0", b"d" * 4097])
def test_export_name_with_an_unknown_name_closes(name: bytes) -> None:
    handshake = started()
    assert handshake.receive(option(EXPORT_NAME, name)) == b""
    assert "not here" in handshake.closed
    assert not handshake.done


def test_what_is_logged_of_a_name_has_no_control_characters() -> None:
    handshake = started()
    handshake.receive(option(EXPORT_NAME, b"\x1b[2J\r\n"))
    assert handshake.closed.isprintable()


def test_export_name_of_an_export_with_large_blocks_closes() -> None:
    handshake = started(replace(DISK, block_min=4096))
    assert handshake.receive(option(EXPORT_NAME, b"disk")) == b""
    assert "4096" in handshake.closed


# -- GO and INFO


def test_go_is_answered_with_the_export_and_enters_transmission() -> None:
    handshake = started()
    out = handshake.receive(option(GO, info_data(b"disk")))
    assert out == reply(GO, REP_INFO, export_reply()) + reply(GO, ACK)
    assert handshake.done
    assert handshake.chosen == DISK


def test_go_sends_no_zeroes_even_if_they_were_not_waived() -> None:
    out = started(flags=FIXED).receive(option(GO, info_data(b"disk")))
    assert out == reply(GO, REP_INFO, export_reply()) + reply(GO, ACK)


def test_info_is_answered_like_go_and_the_handshake_goes_on() -> None:
    handshake = started()
    out = handshake.receive(option(INFO, info_data(b"disk")))
    assert out == reply(INFO, REP_INFO, export_reply()) + reply(INFO, ACK)
    assert not handshake.done
    handshake.receive(option(GO, info_data(b"disk")))
    assert handshake.done


def test_name_description_and_block_sizes_are_told_when_asked_for() -> None:
    out = started().receive(option(GO, info_data(b"", 1, 2, 3, 77)))
    assert sorted(replies(out)) == sorted(
        [
            (GO, REP_INFO, export_reply()),
            (GO, REP_INFO, struct.pack(">HIII", 3, 1, 4096, 32 << 20)),
            (GO, REP_INFO, b"\0\1disk"),
            (GO, REP_INFO, b"\0\2a disk"),
            (GO, ACK, b""),
        ]
    )
    assert replies(out)[-1] == (GO, ACK, b"")


@pytest.mark.parametrize("number", [INFO, GO])
def test_an_unknown_name_is_answered_with_unknown_and_a_message(number: int) -> None:
    handshake = started()
    ((_, kind, message),) = replies(handshake.receive(option(number, info_data(b"nosuch"))))
    assert kind == UNKNOWN
    assert b"nosuch" in message
    assert not handshake.closed
    handshake.receive(option(GO, info_data(b"disk")))
    assert handshake.done


def test_the_empty_name_is_the_only_export() -> None:
    handshake = started()
    handshake.receive(option(GO, info_data(b"")))
    assert handshake.chosen == DISK


def test_the_empty_name_is_unknown_where_there_are_several_exports() -> None:
    ((_, kind, message),) = replies(started(DISK, OTHER).receive(option(GO, info_data(b""))))
    assert kind == UNKNOWN
    assert b"several" in message


def test_the_empty_name_is_unknown_where_there_is_no_export() -> None:
    handshake = ServerHandshake(Offered())
    handshake.receive(FIXED)
    ((_, kind, message),) = replies(handshake.receive(option(GO, info_data(b""))))
    assert kind == UNKNOWN
    assert b"several" not in message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\0",
        b"\0\0\0\5disk\0\0",
        b"\xff\xff\xff\xffdisk\0\0",
        b"\0\0\0\4disk\0\1",
        b"\0\0\0\4disk\0\0\0",
        b"\0\0\0\4di\0k\0\0",
        b"\0\0\0\4di\xffk\0\0",
        info_data(b"d" * 4097),
    ],
    ids=[
        "empty",
        "short",
        "name longer",
        "name huge",
        "request missing",
        "too much",
        "NUL",
        "not UTF-8",
        "long",
    ],
)
def test_a_malformed_go_is_invalid_and_the_handshake_goes_on(data: bytes) -> None:
    handshake = started()
    ((_, kind, _),) = replies(handshake.receive(option(GO, data)))
    assert kind == INVALID
    handshake.receive(option(GO, info_data(b"disk")))
    assert handshake.done


# -- Block sizes


@pytest.mark.parametrize("number", [INFO, GO])
def test_an_export_with_large_blocks_wants_the_block_sizes_asked_for(number: int) -> None:
    handshake = started(replace(DISK, block_min=4096))
    sizes, refusal = replies(handshake.receive(option(number, info_data(b"disk"))))
    assert sizes == (number, REP_INFO, struct.pack(">HIII", 3, 4096, 4096, 32 << 20))
    assert refusal[1] == BLOCK_SIZE_REQD
    assert not handshake.done
    handshake.receive(option(GO, info_data(b"disk", 3)))
    assert handshake.done


def test_an_export_with_blocks_of_512_admits_clients_that_do_not_ask() -> None:
    handshake = started(replace(DISK, block_min=512))
    handshake.receive(option(GO, info_data(b"disk")))
    assert handshake.done


# -- LIST, ABORT, the rest


def test_list_names_every_export() -> None:
    handshake = started(DISK, OTHER)
    out = handshake.receive(option(LIST))
    assert out == (
        reply(LIST, SERVER, b"\0\0\0\4diska disk") + reply(LIST, SERVER, b"\0\0\0\5other") + reply(LIST, ACK)
    )
    assert not handshake.closed


def test_list_with_data_is_invalid() -> None:
    ((_, kind, _),) = replies(started().receive(option(LIST, b"x")))
    assert kind == INVALID


@pytest.mark.parametrize("data", [b"", b"ignored"])
def test_abort_is_acknowledged_and_closes(data: bytes) -> None:
    handshake = started()
    assert handshake.receive(option(ABORT, data)) == reply(ABORT, ACK)
    assert handshake.closed


@pytest.mark.parametrize("number", [0, STARTTLS, STRUCTURED_REPLY, 10, 11, 0xFFFFFFFF])
def test_other_options_are_unsupported_and_the_handshake_goes_on(number: int) -> None:
    handshake = started()
    ((answered, kind, _),) = replies(handshake.receive(option(number, b"some data")))
    assert (answered, kind) == (number, UNSUP)
    handshake.receive(option(GO, info_data(b"disk")))
    assert handshake.done


# -- Bounds


def test_an_option_too_long_is_answered_and_skipped_without_being_kept() -> None:
    handshake = started()
    length = 100 * limits.MIB
    ((_, kind, _),) = replies(handshake.receive(b"IHAVEOPT" + struct.pack(">II", GO, length)))
    assert kind == TOO_BIG
    piece = bytes(limits.MIB)
    for _ in range(100):
        assert handshake.receive(piece) == b""
        assert len(handshake._buffer) == 0
    handshake.receive(option(GO, info_data(b"disk")))
    assert handshake.done


def test_an_option_too_long_is_skipped_also_when_it_comes_with_the_next_one() -> None:
    handshake = started()
    long = option(STRUCTURED_REPLY, bytes(limits.OPTION_BYTES_MAX + 1))
    handshake.receive(long + option(GO, info_data(b"disk")) + b"rest")
    assert handshake.done
    assert handshake.leftover == b"rest"


def test_an_export_name_too_long_closes() -> None:
    handshake = started()
    assert handshake.receive(b"IHAVEOPT" + struct.pack(">II", EXPORT_NAME, 1 << 31)) == b""
    assert handshake.closed


def test_options_without_end_close_the_connection() -> None:
    handshake = started()
    for _ in range(limits.HANDSHAKE_OPTIONS_MAX):
        assert handshake.receive(option(LIST))
    assert handshake.receive(option(LIST)) == b""
    assert str(limits.HANDSHAKE_OPTIONS_MAX) in handshake.closed


# -- Pieces and garbage

SESSION = (
    FIXED_NO_ZEROES
    + option(STRUCTURED_REPLY)
    + option(LIST)
    + option(INFO, info_data(b"nosuch"))
    + option(9, bytes(limits.OPTION_BYTES_MAX + 5))
    + option(GO, info_data(b"disk", 3, 1))
    + b"transmission"
)


def play(pieces: list[bytes]) -> tuple[bytes, bytes]:
    handshake = ServerHandshake(Offered(DISK, OTHER))
    out = leftover = b""
    for piece in pieces:
        if handshake.done:
            leftover += piece
            continue
        out += handshake.receive(piece)
    assert handshake.done
    return out, handshake.leftover + leftover


def test_a_session_byte_by_byte_is_answered_like_a_session_in_one_piece() -> None:
    whole = play([SESSION])
    assert whole[1] == b"transmission"
    assert play([SESSION[i : i + 1] for i in range(len(SESSION))]) == whole


@given(st.lists(st.integers(0, len(SESSION)), max_size=12))
def test_a_session_in_any_pieces_is_answered_like_a_session_in_one_piece(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(SESSION)]
    assert play([SESSION[a:b] for a, b in pairwise(edges)]) == play([SESSION])


OPTIONS = st.builds(option, st.integers(0, 12), st.binary(max_size=40))
LYING_OPTIONS = st.builds(
    lambda number, length, data: b"IHAVEOPT" + struct.pack(">II", number, length) + data,
    st.integers(0, 12),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=40),
)
PIECES = st.lists(st.one_of(st.binary(max_size=64), OPTIONS, LYING_OPTIONS), max_size=30)


@given(st.sampled_from([b"", FIXED, FIXED_NO_ZEROES]), PIECES)
def test_no_bytes_make_the_server_raise_or_keep_much(flags: bytes, pieces: list[bytes]) -> None:
    handshake = ServerHandshake(Offered(DISK, OTHER))
    for piece in [flags, *pieces]:
        if handshake.done:
            assert handshake.chosen in (DISK, OTHER)
            break
        handshake.receive(piece)
        assert len(handshake._buffer) < limits.OPTION_BYTES_MAX + 16
        assert not (handshake.done and handshake.closed)


# -- asking whether a client may write ---------------------------------------------------------------------


class Guarded(Offered):
    """Whoever chooses an export here must be asked about."""

    def asks(self, name: str) -> str:
        return name if name in self.infos else ""


def guarded(info: ExportInfo = DISK) -> ServerHandshake:
    handshake = ServerHandshake(Guarded(info))
    handshake.receive(FIXED_NO_ZEROES)
    return handshake


@pytest.mark.parametrize("chooses", [option(GO, info_data(b"disk")), option(EXPORT_NAME, b"disk")])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_choice_is_answered_once_it_is_known_whether_the_client_may_write(
    chooses: bytes, read_only: bool
) -> None:
    handshake = guarded()
    assert handshake.receive(chooses + b"behind") == b""
    assert (handshake.asks, handshake.leftover, handshake.done) == ("disk", b"behind", False)
    out = handshake.answer(read_only=read_only)
    assert (handshake.done, handshake.chosen) == (True, replace(DISK, read_only=read_only))
    # READ_ONLY, and neither TRIM nor WRITE_ZEROES
    flags = FLAGS & ~0b110_0000 | 2 if read_only else FLAGS
    assert struct.pack(">QH", DISK.size, flags) in out


def test_information_and_lists_ask_nothing() -> None:
    handshake = guarded()
    assert replies(handshake.receive(option(INFO, info_data(b"disk")) + option(LIST)))
    assert handshake.asks == ""


def test_a_choice_of_what_is_not_there_or_makes_no_sense_asks_nothing() -> None:
    handshake = guarded()
    out = handshake.receive(option(GO, info_data(b"disc")) + option(GO, b"nonsense"))
    assert [kind for _, kind, _ in replies(out)] == [UNKNOWN, INVALID]
    assert (handshake.asks, handshake.done) == ("", False)


def test_the_default_export_is_asked_about_by_its_name() -> None:
    handshake = guarded()
    handshake.receive(option(GO, info_data(b"")))
    assert handshake.asks == "disk"


def test_the_handshake_goes_on_after_a_choice_that_is_refused_for_another_reason() -> None:
    handshake = guarded(replace(DISK, block_min=4096))
    handshake.receive(option(GO, info_data(b"disk")) + option(LIST))
    assert replies(handshake.answer(read_only=False))[-1][1] == BLOCK_SIZE_REQD
    assert not handshake.done
    assert replies(handshake.receive(handshake.leftover))[-1][1] == ACK
