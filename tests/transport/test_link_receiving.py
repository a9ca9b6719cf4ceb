"""What a link brings in: whole messages, payloads that stay intact, whatever the pieces they come in.

The receiver here takes frames (4 bytes of length, then so many bytes) and keeps views of some of them,
as the protocols do. The scripted socket hands out pieces of any length, as no real one can be made to.
"""

import os
from collections import deque
from collections.abc import Iterator
from socket import socket
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transport.link import LARGE, ROOM_MIN, Link
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.limits import KIB, MIB

SEGMENT = limits.SEGMENT_BYTES


class Scripted:
    """A socket that is always readable and brings the pieces one by one."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = deque(memoryview(piece) for piece in pieces if piece)
        self.fd = os.eventfd(1, os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self.fd

    def recv_into(self, view: memoryview) -> int:
        assert len(view), "a receive without room looks like the end of the stream"
        if not self.pieces:
            raise BlockingIOError
        piece = self.pieces.popleft()
        size = min(len(view), len(piece))
        view[:size] = piece[:size]
        if size < len(piece):
            self.pieces.appendleft(piece[size:])
        return size

    def sendmsg(self, buffers: list[bytes]) -> int:
        return sum(map(len, buffers))

    def close(self) -> None:
        os.close(self.fd)


class Frames:
    """Takes frames; keeps a view of those `keeps` says, compares the others at once.

    per_call: how many frames it takes before it pauses the link and leaves the rest behind.
    """

    def __init__(self, expected: list[bytes], keeps: list[bool], per_call: int = 1 << 30) -> None:
        self.expected, self.keeps, self.per_call = expected, keeps, per_call
        self.count = self.calls = 0
        self.kept: deque[tuple[memoryview, int]] = deque()
        self.link: Link | None = None
        self.ended: list[str] = []

    def received(self, view: memoryview, head: int, tail: int) -> tuple[int, int, bool]:
        self.calls += 1
        room, pinned = self.per_call, False
        while tail - head >= 4:
            end = head + 4 + int.from_bytes(view[head : head + 4], "big")
            if end > tail:
                return head, end - head, pinned
            if not room:
                assert self.link is not None
                self.link.pause()
                return head, end - head, pinned
            room -= 1
            payload, index = view[head + 4 : end], self.count
            if self.keeps[index % len(self.keeps)]:
                self.kept.append((payload, index))
                pinned = True
            else:
                assert payload == self.expected[index]
            self.count += 1
            head = end
        return head, 4, pinned

    def check_kept(self) -> None:
        for payload, index in self.kept:
            assert payload == self.expected[index], f"frame {index} has changed"

    def drop(self) -> None:
        """The oldest kept view dies, unchanged to its end."""
        payload, index = self.kept.popleft()
        assert payload == self.expected[index], f"frame {index} has changed"

    def drained(self) -> None:
        """Nothing is sent here."""

    def lost(self, reason: str) -> None:
        self.ended.append(reason)


class Room:
    """A link on a scripted socket with a receiver of frames."""

    def __init__(self, reactor: Reactor, pieces: list[bytes], frames: Frames) -> None:
        self.reactor, self.frames = reactor, frames
        self.sock = Scripted(pieces)
        self.link = frames.link = Link(reactor, cast(socket, self.sock), frames)

    def run(self, kept_at_most: int = 1 << 30) -> None:
        """Turn until every frame was taken; views die in the order they came, beyond so many."""
        turns = 0
        while self.frames.count < len(self.frames.expected):
            before = self.frames.count, len(self.sock.pieces)
            self.reactor.turn()
            while len(self.frames.kept) > kept_at_most:
                self.frames.drop()
            self.link.resume()
            turns = turns + 1 if before == (self.frames.count, len(self.sock.pieces)) else 0
            assert turns < 5, "nothing comes any more"
        self.frames.check_kept()
        assert self.frames.ended == []
        assert self.frames.count == len(self.frames.expected)

    def close(self) -> None:
        self.frames.kept.clear()
        self.link.close()


def framed(payloads: list[bytes]) -> bytes:
    return b"".join(len(payload).to_bytes(4, "big") + payload for payload in payloads)


def cut(stream: bytes, lengths: list[int]) -> list[bytes]:
    """The stream in pieces of these lengths, again and again; longer ones where it would be too many."""
    pieces, at, index = [], 0, 0
    few = 300 * sum(lengths) // len(lengths)
    lengths = [length * (len(stream) // few + 1) for length in lengths]
    while at < len(stream):
        size = lengths[index % len(lengths)]
        pieces.append(stream[at : at + size])
        at += size
        index += 1
    return pieces


def payload(index: int, length: int) -> bytes:
    """No two frames look alike, nor do two places of one frame."""
    pattern = b"".join((index * 1009 + n).to_bytes(4, "big") for n in range(min(64, length // 4 + 1)))
    return (pattern * (length // len(pattern) + 1))[:length]


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    yield made
    made.close()


LENGTHS = st.one_of(
    st.integers(0, 300),
    st.sampled_from([4 * KIB, LARGE - 5, LARGE - 4, LARGE - 3, LARGE, SEGMENT - 4, SEGMENT, SEGMENT + 1]),
    st.sampled_from(
        [SEGMENT - ROOM_MIN - 4, SEGMENT - ROOM_MIN, MIB - 4, MIB + 64 * KIB - 4, MIB + 64 * KIB]
    ),
    st.integers(0, 600 * KIB),
)
PIECES = st.one_of(
    st.integers(1, 100),
    st.sampled_from([4 * KIB, LARGE - 1, LARGE, LARGE + 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, MIB, 8 * MIB]),
    st.integers(1, MIB),
)


@settings(max_examples=150)
@given(
    plan=st.lists(st.tuples(LENGTHS, st.integers(1, 40)), min_size=1, max_size=12),
    pieces=st.lists(PIECES, min_size=1, max_size=6).filter(lambda lengths: max(lengths) > 50),
    keeps=st.lists(st.booleans(), min_size=1, max_size=5),
    kept_at_most=st.sampled_from([0, 1, 3, 100]),
    per_call=st.sampled_from([1, 3, 50, 1 << 30]),
)
def test_every_frame_comes_whole_and_what_is_kept_stays_as_it_came(
    plan: list[tuple[int, int]], pieces: list[int], keeps: list[bool], kept_at_most: int, per_call: int
) -> None:
    lengths = [length for length, count in plan for _ in range(count if length < 300 else 1)]
    payloads = [payload(index, length) for index, length in enumerate(lengths)]
    reactor = Reactor()
    room = Room(reactor, cut(framed(payloads), pieces), Frames(payloads, keeps, per_call))
    try:
        room.run(kept_at_most)
    finally:
        room.close()
        reactor.close()
    assert reactor.pool.bytes_in_use == 0


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
def test_a_stream_in_single_bytes_is_the_same(reactor: Reactor, piece: int) -> None:
    payloads = [payload(index, length) for index, length in enumerate([0, 1, 500, 3, 1000])]
    room = Room(reactor, cut(framed(payloads), [piece]), Frames(payloads, [True, False]))
    room.run()
    room.close()


def test_what_a_paused_receiver_left_in_a_full_large_segment_comes_later(reactor: Reactor) -> None:
    """After a large message the segment is large too, and may be full of small ones when it is pinned."""
    small = [payload(index, 1) for index in range(2, 300_000)]
    payloads = [payload(0, MIB), payload(1, 1), *small]
    stream = framed(payloads)
    first = MIB + 4
    pieces = [stream[:first], stream[first : first + 5], stream[first + 5 :]]
    frames = Frames(payloads, [False, False, *[True] * len(small)], per_call=4096)
    room = Room(reactor, pieces, frames)
    room.run(kept_at_most=1)
    room.close()


def test_a_segment_that_nobody_keeps_is_used_again(reactor: Reactor) -> None:
    payloads = [payload(index, 4 * KIB) for index in range(1000)]
    room = Room(reactor, cut(framed(payloads), [10 * KIB]), Frames(payloads, [False]))
    room.run()
    assert reactor.pool.bytes_in_use + reactor.pool.bytes_free == SEGMENT
    room.close()


def test_what_is_kept_for_a_while_costs_its_segments_and_no_more(reactor: Reactor) -> None:
    payloads = [payload(index, 4 * KIB) for index in range(2000)]
    room = Room(reactor, cut(framed(payloads), [10 * KIB]), Frames(payloads, [True]))
    room.run(kept_at_most=100)
    assert reactor.pool.bytes_in_use + reactor.pool.bytes_free <= 4 * SEGMENT
    room.close()
    assert reactor.pool.bytes_in_use == 0


def test_a_run_of_large_messages_is_received_where_it_stays(reactor: Reactor) -> None:
    """Each one into the segment it is kept in: at most the few bytes at its edges are moved."""
    payloads = [payload(index, MIB) for index in range(8)]
    room = Room(reactor, cut(framed(payloads), [200 * KIB]), Frames(payloads, [True]))
    room.run(kept_at_most=2)
    calls = room.frames.calls
    assert calls <= 3 * len(payloads), "the receiver is asked only when a message can be whole"
    room.close()


def test_the_longest_message_there_is_comes_whole(reactor: Reactor) -> None:
    payloads = [payload(0, limits.REQUEST_MAX + 24), payload(1, 10)]
    room = Room(reactor, cut(framed(payloads), [3 * MIB]), Frames(payloads, [True]))
    room.run()
    room.close()


def test_one_turn_takes_in_no_more_than_its_share(reactor: Reactor) -> None:
    payloads = [payload(index, 100 * KIB) for index in range(200)]
    room = Room(reactor, [framed(payloads)], Frames(payloads, [False]))
    reactor.turn()
    assert room.link.bytes_in <= limits.TURN_BYTES_MAX + limits.SEGMENT_CLASSES[0]
    room.run()
    room.close()
