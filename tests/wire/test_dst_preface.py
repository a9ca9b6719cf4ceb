"""The first bytes of both sides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.vocabulary.errors import ProtocolError
from dsttool.engine.wire import dst_preface as preface

SESSION = bytes(range(16))


@given(st.integers(0, 255), st.binary(min_size=16, max_size=16), st.integers(0, 255))
def test_a_preface_comes_as_it_was_sent(security: int, session: bytes, checksums: int) -> None:
    data = preface.client_preface(security, session, checksums)
    assert len(data) == 32
    assert preface.parse_client(data) == preface.ClientPreface(2, 2, security, session, checksums)


@given(st.integers(0, 255), st.integers(0, 255))
def test_the_checksum_that_a_server_chose_arrives(security: int, checksum: int) -> None:
    assert preface.check_server(preface.server_preface(security, 0, checksum), security) == checksum


def test_a_preface_is_as_documented() -> None:
    assert preface.client_preface(0, SESSION) == b"DST2\x02\x02\0\0" + SESSION + bytes(8)
    assert preface.server_preface(0, 0) == b"DST2\x02\0\0\0"


def test_a_strangers_bytes_are_no_preface() -> None:
    with pytest.raises(ProtocolError, match="does not speak DST"):
        preface.parse_client(b"GET / HTTP/1.1\r\n".ljust(32))


@given(st.binary(min_size=32, max_size=32))
def test_garbage_for_a_preface_is_a_protocol_error_or_read(data: bytes) -> None:
    try:
        preface.parse_client(data)
    except ProtocolError:
        assert data[:4] != b"DST2"


@pytest.mark.parametrize(("low", "high"), [(2, 2), (1, 2), (2, 9), (0, 255)])
def test_a_client_whose_versions_hold_ours_is_welcome(low: int, high: int) -> None:
    wanted = preface.ClientPreface(low, high, preface.NONE, SESSION)
    assert preface.refusal_of(wanted, preface.NONE) == 0


@pytest.mark.parametrize(("low", "high"), [(1, 1), (3, 9), (9, 1), (0, 0)])
def test_a_client_of_other_versions_is_refused_and_told(low: int, high: int) -> None:
    wanted = preface.ClientPreface(low, high, preface.NONE, SESSION)
    refusal = preface.refusal_of(wanted, preface.NONE)
    assert refusal == preface.REFUSED_VERSION
    with pytest.raises(ProtocolError, match="version 2"):
        preface.check_server(preface.server_preface(preface.NONE, refusal), preface.NONE)


@pytest.mark.parametrize(("wanted", "offered"), [(1, 0), (0, 1)])
def test_another_security_is_refused_in_both_directions(wanted: int, offered: int) -> None:
    refusal = preface.refusal_of(preface.ClientPreface(2, 2, wanted, SESSION), offered)
    assert refusal == preface.REFUSED_SECURITY
    with pytest.raises(ProtocolError, match="another security"):
        preface.check_server(preface.server_preface(offered, refusal), wanted)


def test_a_client_takes_no_other_security_than_its_own_even_from_a_server_that_welcomes_it() -> None:
    with pytest.raises(ProtocolError, match="another security"):
        preface.check_server(preface.server_preface(0, 0), 1)


def test_a_server_that_chose_another_version_is_refused() -> None:
    with pytest.raises(ProtocolError, match="version 2"):
        preface.check_server(b"DST2\x03\0\0\0", preface.NONE)


def test_a_refusal_with_an_unknown_code_is_shown_with_its_code() -> None:
    with pytest.raises(ProtocolError, match="code 77"):
        preface.check_server(preface.server_preface(0, 77), preface.NONE)


@given(st.binary(min_size=8, max_size=8))
def test_garbage_from_a_server_is_a_protocol_error_or_a_welcome(data: bytes) -> None:
    try:
        preface.check_server(data, preface.NONE)
    except ProtocolError:
        return
    assert data[:7] == b"DST2\x02\0\0"
