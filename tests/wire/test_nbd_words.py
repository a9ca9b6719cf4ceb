import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.vocabulary import limits
from dsttool.engine.wire import nbd

# "Error values" of the NBD protocol, spelled out.
ERRORS = {
    "EPERM": 1,
    "EIO": 5,
    "ENOMEM": 12,
    "EINVAL": 22,
    "ENOSPC": 28,
    "EOVERFLOW": 75,
    "ENOTSUP": 95,
    "ESHUTDOWN": 108,
}


@pytest.mark.parametrize("word", ERRORS)
def test_an_error_nbd_knows_goes_through_both_ways(word: str) -> None:
    assert nbd.error_to_wire(getattr(errno, word)) == ERRORS[word]
    assert nbd.error_from_wire(ERRORS[word]) == getattr(errno, word)


@pytest.mark.parametrize(
    ("local", "wire"),
    [
        (errno.EDQUOT, 28),
        (errno.EFBIG, 28),
        (errno.EROFS, 1),
        (errno.EACCES, 1),
        (errno.ENOLINK, 5),
        (errno.ETIMEDOUT, 5),
    ],
)
def test_an_error_nbd_does_not_know_becomes_the_nearest(local: int, wire: int) -> None:
    assert nbd.error_to_wire(local) == wire


def test_success_stays_success() -> None:
    assert nbd.error_to_wire(0) == nbd.error_from_wire(0) == 0


@given(st.integers(1, 2**32 - 1))
def test_a_strange_error_of_a_peer_is_never_taken_for_success(error: int) -> None:
    assert nbd.error_from_wire(error) in ERRORS.values()


def test_transmission_flags_are_those_of_the_specification() -> None:
    everything = nbd.ExportInfo(name="a", size=1, fast_zero=True, rotational=True)
    assert nbd.transmission_flags(everything) == 0b1101_0111_1101
    nothing = nbd.ExportInfo(
        name="a",
        size=1,
        flush=False,
        fua=False,
        trim=False,
        write_zeroes=False,
        multi_conn=False,
        cache=False,
    )
    assert nbd.transmission_flags(nothing) == 0b1


def test_a_read_only_export_offers_nothing_that_changes_data() -> None:
    flags = nbd.transmission_flags(nbd.ExportInfo(name="a", size=1, read_only=True, fast_zero=True))
    assert flags & nbd.FLAG_READ_ONLY
    assert not flags & (nbd.FLAG_SEND_TRIM | nbd.FLAG_SEND_WRITE_ZEROES | nbd.FLAG_SEND_FAST_ZERO)


def test_fast_zero_is_offered_only_together_with_write_zeroes() -> None:
    info = nbd.ExportInfo(name="a", size=1, write_zeroes=False, fast_zero=True)
    assert not nbd.transmission_flags(info) & nbd.FLAG_SEND_FAST_ZERO


def test_flags_without_has_flags_promise_nothing() -> None:
    assert not any(nbd.switches(0xFFFE).values())


@given(
    st.integers(0, 16).map(lambda n: 1 << n),
    st.integers(1, 1 << 40),
    st.integers(1 << 16, 1 << 33),
)
def test_advertised_block_sizes_are_always_legal(block_min: int, preferred: int, payload_max: int) -> None:
    info = nbd.ExportInfo(
        name="a", size=1, block_min=block_min, block_preferred=preferred, payload_max=payload_max
    )
    low, middle, high = nbd.advertised_block_sizes(info)
    assert low == block_min
    assert middle.bit_count() == 1
    assert max(low, 512) <= middle <= high
    assert high == 0xFFFFFFFF or (high % low == 0 and high <= payload_max)


def test_printable_text_has_no_control_characters_and_an_end() -> None:
    assert nbd.printable("a\x1b[2Jb\n") == "a?[2Jb?"
    assert len(nbd.printable("x" * limits.MIB)) < 300
