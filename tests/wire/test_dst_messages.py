"""Batches of requests and replies: bounds, order, and what comes back out."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.vocabulary.errors import ProtocolError
from dsttool.engine.vocabulary.operations import FAIL_FAST, FLUSH, FUA, READ, TRIM, WRITE
from dsttool.engine.wire import dst_messages as messages
from dsttool.engine.wire import dst_records as records
from dsttool.engine.wire.dst_messages import REPLY, REQUEST

CROSSOVER = records.CROSSOVER
FLOOR = 77


class Asked:
    """As much of a request as is written."""

    def __init__(
        self, op: int, offset: int, length: int, data: Any = None, *, flags: int = 0, cookie: int = 0
    ) -> None:
        self.op, self.flags, self.offset, self.length = op, flags, offset, length
        self.data, self.cookie, self.error = data, cookie, 0


class Sent:
    """As much of a transaction as is written."""

    def __init__(self, id_: int, request: Asked) -> None:
        self.id, self.request = id_, request


def joined(written: list[records.OutRecord]) -> bytes:
    for _, _, length, body in written:
        assert sum(len(buffer) for buffer in body) == length
    buffers, size = records.frame(written)
    data = b"".join(buffers)
    assert len(data) == size
    return data


def unpacked(data: bytes, kind: int) -> list[tuple[tuple[int, ...], bytes]]:
    """What a reader of the format finds: heads with their payloads. Checks every bound on the way."""
    struct = REQUEST if kind == records.REQUESTS else REPLY
    view = memoryview(data)
    found, head, _ = records.split(view, 0, len(data))
    assert head == len(data), "a record is not whole"
    taken: list[tuple[tuple[int, ...], bytes]] = []
    announced: list[int] = []
    for what, count, start, end in found:
        if what == records.PAYLOAD:
            index = announced.pop(0)
            taken[index] = (taken[index][0], data[start:end])
            continue
        assert what == kind
        if kind == records.REQUESTS:
            assert messages.take_floor(view, start, end) == FLOOR
            start += messages.FLOOR.size
        heads, position = messages.heads_of(struct, view, count, start, end)
        for fields in heads:
            length = fields[2] if fields[3:4] == (WRITE,) else 0
            if kind == records.REPLIES:
                length = fields[3]
            if length >= CROSSOVER:
                announced.append(len(taken))
                taken.append((fields, b""))
            else:
                taken.append((fields, data[position : position + length]))
                position += length
        assert position == end
    assert not announced, "a payload did not come"
    return taken


LENGTHS = st.one_of(st.integers(1, 5000), st.sampled_from([CROSSOVER - 1, CROSSOVER, CROSSOVER + 1, 200_000]))


def filled(length: int, seed: int) -> bytes:
    return bytes([seed % 251 + 1]) * (length - 1) + b"\0"


@given(st.lists(st.tuples(st.sampled_from([READ, WRITE, FLUSH, TRIM]), LENGTHS), max_size=60))
def test_requests_come_as_they_were_asked(plan: list[tuple[int, int]]) -> None:
    sent = [
        Sent(id_, Asked(op, id_ * 7, length, memoryview(filled(length, id_)) if op == WRITE else None))
        for id_, (op, length) in enumerate(plan, 1)
    ]
    taken = unpacked(joined(messages.pack_requests(sent, FLOOR)), records.REQUESTS)
    assert taken == [
        (
            (s.id, s.request.offset, s.request.length, s.request.op, 0, 0),
            bytes(s.request.data or b""),
        )
        for s in sent
    ]


@given(st.lists(st.tuples(st.sampled_from([READ, WRITE]), LENGTHS, st.booleans()), max_size=60))
def test_replies_come_as_they_were_given(plan: list[tuple[int, int, bool]]) -> None:
    finished = []
    for id_, (op, length, failed) in enumerate(plan, 1):
        request = Asked(op, 0, length, memoryview(filled(length, id_)), cookie=id_)
        request.error = 5 if failed else 0
        finished.append(request)
    taken = unpacked(joined(messages.pack_replies(finished)), records.REPLIES)
    assert taken == [
        ((f.cookie, f.error, 0, f.length), bytes(f.data))
        if f.op == READ and not f.error
        else ((f.cookie, f.error, 0, 0), b"")
        for f in finished
    ]


@given(st.integers(1, 200_000), st.lists(st.integers(0, 1 << 30), max_size=5))
def test_a_payload_in_many_views_is_the_same_as_in_one(length: int, cuts: list[int]) -> None:
    data = bytes(range(256)) * (length // 256 + 1)
    view = memoryview(data)[:length]
    edges = sorted({0, length, *(cut % length for cut in cuts)})
    views = [view[start:end] for start, end in itertools.pairwise(edges)]
    whole = messages.pack_replies([Asked(READ, 0, length, view)])
    parts = messages.pack_replies([Asked(READ, 0, length, views)])
    assert joined(parts) == joined(whole)


def test_payloads_are_not_copied() -> None:
    small, large = memoryview(bytearray(100)), memoryview(bytearray(CROSSOVER))
    written = messages.pack_requests(
        [Sent(1, Asked(WRITE, 0, 100, small)), Sent(2, Asked(WRITE, 0, CROSSOVER, large))], FLOOR
    )
    buffers = [buffer for _, _, _, body in written for buffer in body]
    assert any(buffer is small for buffer in buffers)
    assert any(buffer is large for buffer in buffers)


def test_a_batch_is_cut_where_a_body_would_be_too_long() -> None:
    payload = memoryview(bytes(CROSSOVER - 1))
    data = joined(
        messages.pack_requests([Sent(n, Asked(WRITE, 0, CROSSOVER - 1, payload)) for n in range(20)], FLOOR)
    )
    found, _, _ = records.split(memoryview(data), 0, len(data))
    assert len(found) > 1
    assert len(unpacked(data, records.REQUESTS)) == 20


def test_a_batch_is_cut_where_it_would_have_too_many_heads() -> None:
    count = records.BATCH_COUNT_MAX
    data = joined(messages.pack_requests([Sent(n, Asked(READ, 0, 1)) for n in range(count + 1)], FLOOR))
    found, _, _ = records.split(memoryview(data), 0, len(data))
    assert [record[1] for record in found] == [count, 1]


def test_an_announced_payload_comes_before_the_next_batch() -> None:
    large = Sent(1, Asked(WRITE, 0, CROSSOVER, memoryview(bytes(CROSSOVER))))
    rest = [Sent(n, Asked(READ, 0, 1)) for n in range(2, records.BATCH_COUNT_MAX + 2)]
    data = joined(messages.pack_requests([large, *rest], FLOOR))
    found, _, _ = records.split(memoryview(data), 0, len(data))
    assert [record[0] for record in found] == [records.REQUESTS, records.PAYLOAD, records.REQUESTS]


def test_flags_of_our_own_never_leave() -> None:
    data = joined(messages.pack_requests([Sent(1, Asked(READ, 0, 1, flags=FAIL_FAST | FUA))], FLOOR))
    (fields, _), *_ = unpacked(data, records.REQUESTS)
    assert fields[4] == FUA


def test_nothing_to_send_is_nothing() -> None:
    assert messages.pack_requests([], FLOOR) == []
    assert messages.pack_replies([]) == []


@pytest.mark.parametrize(("count", "size"), [(0, 0), (0, 24), (1, 23), (2, 47), (1024, 24)])
def test_a_batch_shorter_than_its_heads_or_without_any_is_a_protocol_error(count: int, size: int) -> None:
    with pytest.raises(ProtocolError, match="shorter"):
        messages.heads_of(REQUEST, memoryview(bytes(100)), count, 8, 8 + size)


def test_a_finished_flush_brings_its_verifier_and_a_failed_one_does_not() -> None:
    done, failed = Asked(FLUSH, 0, 0, b"v" * 16, cookie=1), Asked(FLUSH, 0, 0, cookie=2)
    failed.error = 5
    taken = unpacked(joined(messages.pack_replies([done, failed])), records.REPLIES)
    assert taken == [((1, 0, 0, 16), b"v" * 16), ((2, 5, 0, 0), b"")]


def test_a_batch_too_short_for_its_floor_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="floor"):
        messages.take_floor(memoryview(bytes(20)), 8, 15)
