"""Records, whole, byte by byte and broken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import ProtocolError
from dsttool.engine.wire import dst_records as records

LONGEST = {
    records.HELLO: records.GREETING_BYTES_MAX,
    records.WELCOME: records.WELCOME_BYTES_MAX,
    records.REFUSAL: records.GREETING_BYTES_MAX,
    records.NOTICE: records.GREETING_BYTES_MAX,
    records.REQUESTS: records.BATCH_BYTES_MAX,
    records.REPLIES: records.BATCH_BYTES_MAX,
    records.PAYLOAD: limits.REQUEST_MAX,
    records.PING: records.PING_BYTES,
    records.PONG: records.PING_BYTES,
}
BODIES = st.lists(
    st.tuples(st.sampled_from(sorted(LONGEST)), st.binary(max_size=8), st.integers(0, 1024)), max_size=8
)


def bodies(data: bytes, found: list[records.Record]) -> list[tuple[int, bytes, int]]:
    return [(kind, data[start:end], count) for kind, count, start, end in found]


@given(BODIES)
def test_records_come_as_they_were_sent(sent: list[tuple[int, bytes, int]]) -> None:
    data = b"".join(records.header(kind, len(body), count) + body for kind, body, count in sent)
    found, head, need = records.split(memoryview(data), 0, len(data))
    assert bodies(data, found) == sent
    assert (head, need) == (len(data), 8)


@given(BODIES)
def test_records_fed_byte_by_byte_are_the_same(sent: list[tuple[int, bytes, int]]) -> None:
    data = b"".join(records.header(kind, len(body), count) + body for kind, body, count in sent)
    view = memoryview(data)
    seen: list[tuple[int, bytes, int]] = []
    head = need = 0
    for tail in range(len(data) + 1):
        if tail - head >= need:
            found, head, need = records.split(view, head, tail)
            seen += bodies(data, found)
            assert tail - head < need, "what is needed has come already, but was not taken"
    assert seen == sent


@pytest.mark.parametrize("kind", sorted(LONGEST))
def test_a_record_may_be_as_long_as_its_kind_allows_and_no_longer(kind: int) -> None:
    longest = LONGEST[kind]
    _, _, need = records.split(memoryview(records.header(kind, longest)), 0, 8)
    assert need == 8 + longest
    with pytest.raises(ProtocolError):
        records.split(memoryview(records.header(kind, longest + 1)), 0, 8)


def test_every_record_fits_a_segment() -> None:
    assert max(LONGEST.values()) + records.HEADER.size <= limits.SEGMENT_CLASSES[-1]
    assert records.BATCH_BYTES_MAX + records.HEADER.size <= limits.SEGMENT_BYTES


@pytest.mark.parametrize("kind", [0, 10, 255])
def test_an_unknown_type_is_a_protocol_error(kind: int) -> None:
    with pytest.raises(ProtocolError, match=f"type {kind} "):
        records.split(memoryview(records.header(kind, 0)), 0, 8)


def test_a_count_beyond_all_batches_is_a_protocol_error() -> None:
    count = records.BATCH_COUNT_MAX + 1
    with pytest.raises(ProtocolError):
        records.split(memoryview(records.header(records.REQUESTS, 0, count)), 0, 8)


def test_a_reserved_byte_that_is_set_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        records.split(memoryview(records.HEADER.pack(0, records.PING, 1, 0)), 0, 8)


@given(st.binary(max_size=200))
def test_garbage_is_a_protocol_error_or_records_within_bounds(data: bytes) -> None:
    try:
        found, head, need = records.split(memoryview(data), 0, len(data))
    except ProtocolError:
        return
    assert all(8 <= start <= end <= head for _, _, start, end in found)
    assert len(data) - head < need <= limits.REQUEST_MAX + 8
