"""What a link sends, how it holds back and is held back, and how it ends. On real socket pairs."""

import errno
import mmap
import os
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transport.link import Bytes, Link
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.limits import KIB, MIB, MS, SECOND

PATIENCE = 10 * SECOND


class Notes:
    """A receiver that takes everything and notes what happens."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.drains = 0
        self.ended: list[str] = []
        self.on_data: Callable[[], None] = lambda: None

    def received(self, view: memoryview, head: int, tail: int) -> tuple[int, int, bool]:
        self.data += view[head:tail]
        self.on_data()
        return tail, 0, False

    def drained(self) -> None:
        self.drains += 1

    def lost(self, reason: str) -> None:
        self.ended.append(reason)


class Bench:
    """A link and the other end of its socket pair."""

    def __init__(self, left: socket.socket, right: socket.socket) -> None:
        self.reactor = Reactor()
        for sock in (left, right):
            sock.setblocking(False)
        self.peer = right
        self.notes = Notes()
        self.link = Link(self.reactor, left, self.notes)

    def send(self, *buffers: Bytes) -> None:
        self.link.send(list(buffers), sum(map(len, buffers)))

    def until(self, condition: Callable[[], bool]) -> None:
        assert self.reactor.run_until(condition, PATIENCE)

    def turns(self, count: int = 3) -> None:
        """A few turns, whether or not anything happens."""
        for _ in range(count):
            self.reactor.post(lambda: None)
            self.reactor.turn()

    def read_all(self, size: int, piece: int = MIB) -> bytes:
        """Let the peer read until it has `size` bytes."""
        data = bytearray()
        while len(data) < size:
            self.turns(1)
            try:
                data += self.peer.recv(piece)
            except BlockingIOError:
                pass
        return bytes(data)

    def close(self) -> None:
        self.link.close()
        self.peer.close()
        self.reactor.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(*socket.socketpair())
    yield made
    made.close()


@pytest.fixture
def tcp() -> Iterator[Bench]:
    """Over TCP, where a peer can reset the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        left = socket.create_connection(server.getsockname())
        right, _ = server.accept()
    made = Bench(left, right)
    yield made
    made.close()


def unsent_fills(bench: Bench) -> int:
    """Send until the kernel takes no more; returns how much was sent in all."""
    total = 0
    while not bench.link.unsent:
        bench.send(bytes(64 * KIB))
        total += 64 * KIB
        bench.turns(1)
    return total


# -- out -----------------------------------------------------------------------------------------------


def test_what_is_sent_leaves_when_the_turn_ends_and_in_one_piece(bench: Bench) -> None:
    calls: list[int] = []
    sendmsg = bench.link._sendmsg

    def counted(buffers: list[Bytes]) -> int:
        calls.append(len(buffers))
        return sendmsg(buffers)

    bench.link._sendmsg = counted  # type: ignore[assignment]
    bench.send(b"one ", b"two ")
    bench.send(b"three")
    with pytest.raises(BlockingIOError):
        bench.peer.recv(100)
    bench.turns(1)
    assert bench.peer.recv(100) == b"one two three"
    assert calls == [3]
    assert (bench.link.unsent, bench.link.bytes_out) == (0, 13)


def test_a_message_beyond_the_sockets_buffer_arrives_whole(bench: Bench) -> None:
    data = os.urandom(5 * MIB)
    bench.send(b"head", memoryview(data), b"tail")
    assert bench.read_all(5 * MIB + 8) == b"head" + data + b"tail"
    assert bench.link.unsent == 0


def test_more_buffers_than_one_call_takes_arrive_in_order(bench: Bench) -> None:
    buffers = [number.to_bytes(4, "big") for number in range(5000)]
    bench.send(*buffers)
    assert bench.read_all(20_000) == b"".join(buffers)


def test_empty_buffers_between_others_do_no_harm(bench: Bench) -> None:
    bench.send(b"", b"a", b"", b"", b"b", b"")
    assert bench.read_all(2) == b"ab"
    bench.send(b"")
    bench.turns()
    assert bench.link.unsent == 0


SIZES = st.sampled_from([0, 2, 100, 5000, 70_000, 300_000])


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from([0, 1, 100, 5000, 70_000, 300_000]), max_size=8), st.integers(1, 5)
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([1000, 65536, MIB]),
)
def test_sends_and_partial_sends_in_any_mix_keep_every_byte_in_order(
    plan: list[tuple[list[int], int]], piece: int
) -> None:
    bench = Bench(*socket.socketpair())
    expected = bytearray()
    got = bytearray()
    try:
        for sizes, reads in plan:
            buffers = [
                bytes([len(expected) % 251, index % 251]) * (size // 2) for index, size in enumerate(sizes)
            ]
            expected += b"".join(buffers)
            bench.send(*buffers)
            for _ in range(reads):
                bench.turns(1)
                try:
                    got += bench.peer.recv(piece)
                except BlockingIOError:
                    pass
        got += bench.read_all(len(expected) - len(got))
        assert got == expected
        assert (bench.link.unsent, bench.link.stuck) == (0, 0)
    finally:
        bench.close()


def test_what_the_kernel_does_not_take_is_counted_and_drained_is_told_once_it_left(bench: Bench) -> None:
    total = unsent_fills(bench)
    assert bench.link.stuck > 0
    assert bench.notes.drains == 0
    bench.read_all(total)
    bench.until(lambda: bench.notes.drains == 1)
    assert (bench.link.unsent, bench.link.stuck) == (0, 0)


def test_a_link_that_is_held_back_does_not_spin(bench: Bench) -> None:
    unsent_fills(bench)
    turns = 0

    def condition() -> bool:
        nonlocal turns
        turns += 1
        return False

    bench.reactor.run_until(condition, 20 * MS)
    assert turns < 5


def test_a_link_that_is_held_back_still_receives(bench: Bench) -> None:
    unsent_fills(bench)
    bench.peer.send(b"hello")
    bench.until(lambda: bench.notes.data == b"hello")


def test_sending_on_a_closed_link_does_nothing(bench: Bench) -> None:
    bench.link.close()
    bench.send(b"late")
    bench.turns()
    assert bench.peer.recv(100) == b""


# -- pausing -------------------------------------------------------------------------------------------


def test_a_paused_link_reads_nothing_until_it_is_resumed(bench: Bench) -> None:
    bench.link.pause()
    assert bench.link.paused
    bench.peer.send(b"later")
    bench.turns()
    assert bench.notes.data == b""
    bench.link.resume()
    bench.until(lambda: bench.notes.data == b"later")
    assert not bench.link.paused


def test_a_paused_link_holds_the_peer_back(bench: Bench) -> None:
    bench.link.pause()
    sent = 0
    try:
        while sent < 64 * MIB:
            sent += bench.peer.send(bytes(64 * KIB))
            bench.turns(1)
    except BlockingIOError:
        pass
    assert sent < 64 * MIB
    assert bench.link.bytes_in == 0
    bench.link.resume()
    bench.until(lambda: len(bench.notes.data) == sent)


def test_a_paused_link_is_told_that_its_output_has_left(bench: Bench) -> None:
    """That is where a protocol notices that it may read on."""
    bench.link.pause()
    bench.send(b"answer")
    bench.turns(1)
    assert bench.notes.drains == 1


def test_a_link_that_pauses_while_it_receives_takes_no_more_in_that_turn(bench: Bench) -> None:
    bench.notes.on_data = bench.link.pause
    bench.peer.send(bytes(1000))
    bench.until(lambda: len(bench.notes.data) == 1000)
    bench.peer.send(bytes(1000))
    bench.turns()
    assert len(bench.notes.data) == 1000


def test_pausing_again_before_the_rest_was_parsed_leaves_it_where_it_is(bench: Bench) -> None:
    taken: list[int] = []

    def half(view: memoryview, head: int, tail: int) -> tuple[int, int, bool]:
        taken.append(head)
        bench.link.pause()
        return head + 2, 2, False

    bench.notes.received = half  # type: ignore[method-assign]
    bench.peer.send(b"abcd")
    bench.until(lambda: len(taken) == 1)
    bench.link.resume()
    bench.link.pause()
    bench.turns()
    assert len(taken) == 1
    bench.link.resume()
    bench.turns()
    assert len(taken) == 2


# -- the end -------------------------------------------------------------------------------------------


def test_a_peer_that_closes_is_a_loss_without_a_reason_after_all_it_said(bench: Bench) -> None:
    bench.peer.send(b"goodbye")
    bench.peer.close()
    bench.until(lambda: bool(bench.notes.ended))
    assert bench.notes.data == b"goodbye"
    assert bench.notes.ended == [""]
    assert not bench.link.open


def test_a_peer_that_resets_is_a_loss_without_a_reason(tcp: Bench) -> None:
    tcp.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    tcp.peer.close()
    tcp.until(lambda: bool(tcp.notes.ended))
    assert tcp.notes.ended == [""]


def test_a_paused_link_notices_that_its_peer_is_gone(bench: Bench) -> None:
    bench.link.pause()
    bench.peer.close()
    bench.until(lambda: bool(bench.notes.ended))
    assert bench.notes.ended == [""]


def test_a_paused_link_tells_why_its_connection_was_reset(tcp: Bench) -> None:
    tcp.link.pause()
    tcp.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    tcp.peer.close()
    tcp.until(lambda: bool(tcp.notes.ended))
    assert tcp.notes.ended == [os.strerror(errno.ECONNRESET)]


def test_a_peer_that_goes_while_output_waits_is_told_once(bench: Bench) -> None:
    unsent_fills(bench)
    bench.peer.close()
    bench.until(lambda: bool(bench.notes.ended))
    bench.turns()
    assert bench.notes.ended == [""]


def test_a_half_closed_link_sends_no_more_and_still_receives(bench: Bench) -> None:
    block = bytes(32 * MIB)
    bench.send(b"before")
    bench.turns(1)
    assert bench.peer.recv(100) == b"before"
    bench.send(block)
    bench.turns(1)
    waiting = bench.link.unsent
    assert waiting > 0
    bench.link.half_close()
    assert (bench.link.unsent, bench.link.stuck) == (0, 0)
    bench.peer.setblocking(True)
    got = 0
    while more := len(bench.peer.recv(MIB)):
        got += more
    assert got == len(block) - waiting
    bench.peer.sendall(b"answer")
    bench.until(lambda: bench.notes.data == b"answer")
    assert bench.notes.ended == []
    bench.peer.close()
    bench.until(lambda: bench.notes.ended == [""])


def test_a_link_whose_peer_is_gone_can_be_half_closed(tcp: Bench) -> None:
    tcp.peer.close()
    tcp.link.half_close()
    tcp.until(lambda: tcp.notes.ended == [""])


def test_bytes_count_as_taken_once_the_peers_kernel_has_them(tcp: Bench) -> None:
    tcp.send(b"x" * 1000)
    tcp.until(lambda: tcp.link.bytes_taken == 1000)


def test_a_link_that_was_closed_here_tells_nobody(bench: Bench) -> None:
    bench.link.close()
    bench.link.close()
    bench.turns()
    assert bench.notes.ended == []
    assert bench.peer.recv(1) == b""


def test_a_receiver_may_close_the_link_in_the_middle(bench: Bench) -> None:
    bench.notes.on_data = bench.link.close
    bench.peer.send(bytes(100))
    bench.until(lambda: not bench.link.open)
    bench.turns()
    assert bench.notes.ended == []
    assert bench.reactor.pool.bytes_in_use == 0


def test_a_link_that_ended_keeps_no_memory(bench: Bench) -> None:
    unsent_fills(bench)
    bench.peer.close()
    bench.until(lambda: bool(bench.notes.ended))
    assert bench.reactor.pool.bytes_in_use == 0


def test_a_mapping_whose_file_was_cut_ends_the_link_and_says_whose_fault_it_was(bench: Bench) -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(MIB)
        mapping = mmap.mmap(file.fileno(), MIB, prot=mmap.PROT_READ)
        file.truncate(0)
        bench.send(memoryview(mapping))
        bench.until(lambda: bool(bench.notes.ended))
    assert bench.link.faulted
    assert bench.notes.ended == [os.strerror(errno.EFAULT)]


def test_received_at_moves_with_every_byte_of_the_peer(bench: Bench) -> None:
    before = bench.link.received_at
    bench.reactor.run_until(lambda: False, 2 * MS)
    bench.peer.send(b"x")
    bench.until(lambda: bool(bench.notes.data))
    assert bench.link.received_at > before
    assert bench.link.bytes_in == 1


def test_one_turn_is_shared_with_the_others(bench: Bench) -> None:
    """A flood on one link does not keep another waiting for more than a turn's share."""
    left, right = socket.socketpair()
    left.setblocking(False)
    quiet = Notes()
    other = Link(bench.reactor, left, quiet)
    bench.peer.setblocking(False)
    for _ in range(3):
        try:
            while True:
                bench.peer.send(bytes(MIB))
        except BlockingIOError:
            pass
        right.send(b"x")
        before = bench.link.bytes_in
        bench.reactor.turn()
        assert bench.link.bytes_in - before <= limits.TURN_BYTES_MAX + limits.SEGMENT_BYTES
    assert quiet.data == b"xxx"
    other.close()
    right.close()
