"""Two channels that talk to each other over a wire that can change, cut and hold what they say."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transport.channel import Channel
from dsttool.engine.transport.parting import Parting
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import DsttoolError, ProtocolError
from dsttool.engine.vocabulary.limits import KIB, MIB, MS, SECOND
from dsttool.engine.wire import dst_seal
from dsttool.engine.wire import dst_security as security
from dsttool.engine.wire.dst_handshake import ClientHandshake, Handshake, ServerHandshake
from dsttool.engine.wire.dst_records import HELLO, PAYLOAD, PING, REPLIES, WELCOME, OutRecord, Record
from dsttool.engine.wire.dst_seal import BadRecord, Seal
from dsttool.engine.wire.dst_security import PLAIN, Security

PATIENCE = 20 * SECOND
KEY = bytes(range(32))
SEALED = security.shared("aes256gcm", KEY)
MODES = {
    "none": PLAIN,
    "crc32c": security.checksummed(("crc32c",)),
    "blake3": security.checksummed(("blake3",)),
    "aes256gcm": SEALED,
    "chacha20poly1305": security.shared("chacha20poly1305", KEY),
}
PROTECTED = [name for name in MODES if name != "none"]
HEADER, TAG = 8, 16


class Notes:
    """Takes records as it is told, and notes what happens."""

    def __init__(self) -> None:
        self.channel: Channel | None = None
        self.got: list[tuple[int, bytes]] = []
        self.kept: list[tuple[memoryview, bytes]] = []
        self.opens = self.drains = 0
        self.ends: list[DsttoolError | str] = []
        self.patience = 1 << 60
        self.keeps = False

    def opened(self) -> None:
        self.opens += 1

    def take(self, view: memoryview, records: list[Record]) -> tuple[int, bool]:
        for index, (kind, _, start, end) in enumerate(records):
            if self.patience <= 0:
                assert self.channel is not None
                self.channel.pause()
                return index, self.keeps
            self.patience -= 1
            body = view[start:end]
            self.got.append((kind, bytes(body)))
            if self.keeps:
                self.kept.append((body, bytes(body)))
        return len(records), self.keeps

    def broken(self, error: DsttoolError) -> None:
        self.ends.append(error)
        assert self.channel is not None
        self.channel.close()

    def drained(self) -> None:
        self.drains += 1

    def lost(self, reason: str) -> None:
        self.ends.append(reason)


class Wire:
    """A client's and a server's channel; `pump` carries what they say, through `change`."""

    def __init__(self, client: Security = PLAIN, server: Security | None = None, threads: int = 0) -> None:
        self.reactor = Reactor(io_threads=1, crypto_threads=threads)
        self.client, self._from_client = self._end(ClientHandshake(client, bytes(16)))
        self.server, self._from_server = self._end(ServerHandshake(server or client))
        self.change: Callable[[bool, bytes], bytes] = lambda _to_server, data: data
        self._on_way = {True: bytearray(), False: bytearray()}
        for notes in (self.client, self.server):
            assert notes.channel is not None
            notes.channel.start()

    def _end(self, handshake: Handshake) -> tuple[Notes, socket.socket]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        notes = Notes()
        notes.channel = Channel(self.reactor, ours, notes, handshake)
        return notes, theirs

    def carry(self) -> None:
        """What has been said so far goes over."""
        ends = (self._from_server, self._from_client)
        for to_server in (True, False):
            rest = self._on_way[to_server]
            if -1 in (end.fileno() for end in ends):
                return
            try:
                if not rest:
                    rest += self.change(to_server, ends[to_server].recv(256 * KIB))
                while rest:
                    del rest[: ends[not to_server].send(rest)]
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                rest.clear()

    def until(self, condition: Callable[[], bool]) -> None:
        def met() -> bool:
            self.carry()
            self.reactor.post(lambda: None)
            return condition()

        assert self.reactor.run_until(met, PATIENCE), "it did not happen"

    def turns(self, count: int = 20) -> None:
        for _ in range(count):
            self.carry()
            self.reactor.post(lambda: None)
            self.reactor.turn()

    def open(self) -> "Wire":
        self.until(lambda: self.client.opens == self.server.opens == 1)
        return self

    def close(self) -> None:
        for notes in (self.client, self.server):
            assert notes.channel is not None
            notes.channel.close()
            notes.kept.clear()
        self._from_client.close()
        self._from_server.close()
        self.reactor.close()
        assert self.reactor.pool.bytes_in_use == 0, "memory was not given back"


def say(notes: Notes, *records: OutRecord) -> None:
    assert notes.channel is not None
    notes.channel.send(list(records))


def record(kind: int, *parts: bytes) -> OutRecord:
    return (kind, 0, sum(map(len, parts)), list(parts))


def payload(size: int) -> bytes:
    return os.urandom(size)


@pytest.fixture
def make() -> Iterator[Callable[..., Wire]]:
    made: list[Wire] = []

    def wire(client: Security = PLAIN, server: Security | None = None, threads: int = 0) -> Wire:
        made.append(Wire(client, server, threads))
        return made[-1]

    yield wire
    for each in made:
        each.close()


@pytest.fixture(params=[0, 2])
def sealed(
    request: pytest.FixtureRequest, make: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch
) -> Wire:
    """Sealed, without and with threads that open and seal everything but the smallest."""
    monkeypatch.setattr(limits, "CRYPTO_CROSSOVER", 2 * KIB)
    return make(SEALED, threads=request.param).open()


# -- records -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("name", MODES)
def test_records_of_all_sizes_arrive_in_their_order_both_ways(
    make: Callable[..., Wire], name: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CRYPTO_CROSSOVER", 64 * KIB)
    wire = make(MODES[name], threads=threads).open()
    sizes = [0, 8, 100_000, 5, MIB, 3, 70_000, 64 * KIB, 64 * KIB - 1, 1]
    for teller, hearer in ((wire.client, wire.server), (wire.server, wire.client)):
        hearer.keeps = True
        bodies = [payload(size) for size in sizes]
        say(teller, *(record(PAYLOAD, body) for body in bodies[:4]))
        say(teller, *(record(PAYLOAD, body[:7], body[7:9], body[9:]) for body in bodies[4:]))
        wire.until(lambda hearer=hearer: len(hearer.got) == len(sizes))
        assert [body for _, body in hearer.got] == bodies
        assert all(view == body for view, body in hearer.kept)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(list(MODES)),
    st.sampled_from([0, 2]),
    st.lists(
        st.lists(st.sampled_from([0, 1, 200, 3000, 40_000, 300_000]), min_size=1, max_size=6),
        min_size=1,
        max_size=6,
    ),
    st.data(),
)
def test_any_mix_of_sizes_pauses_and_turns_keeps_every_record_in_order(
    name: str, threads: int, plan: list[list[int]], data: st.DataObject
) -> None:
    wire = Wire(MODES[name], threads=threads).open()
    before, limits.CRYPTO_CROSSOVER = limits.CRYPTO_CROSSOVER, 2 * KIB  # type: ignore[misc]
    try:
        expected = []
        channel = wire.server.channel
        assert channel is not None
        wire.server.keeps = data.draw(st.booleans())
        for sizes in plan:
            bodies = [payload(size) for size in sizes]
            expected += bodies
            say(wire.client, *(record(PAYLOAD, body) for body in bodies))
            wire.server.patience = data.draw(st.integers(0, 4))
            wire.turns(data.draw(st.integers(0, 10)))
            channel.resume()
        wire.server.patience = 1 << 60
        channel.resume()
        wire.until(lambda: len(wire.server.got) == len(expected))
        assert [body for _, body in wire.server.got] == expected
        assert all(view == body for view, body in wire.server.kept)
        assert wire.server.ends == []
    finally:
        limits.CRYPTO_CROSSOVER = before  # type: ignore[misc]
        wire.close()


def test_in_security_none_the_first_record_goes_with_the_preface(make: Callable[..., Wire]) -> None:
    wire = make()
    said: list[int] = []
    wire.change = lambda to_server, data: said.append(len(data)) or data  # type: ignore[func-returns-value]
    say(wire.client, record(HELLO, bytes(60)))
    wire.until(lambda: wire.server.got == [(HELLO, bytes(60))])
    assert said[0] == 32 + HEADER + 60


@pytest.mark.parametrize("name", PROTECTED)
def test_nothing_is_sent_before_the_handshake_is_done(make: Callable[..., Wire], name: str) -> None:
    wire = make(MODES[name])
    say(wire.client, record(HELLO, b"too early"))
    wire.open()
    wire.turns()
    assert wire.server.got == []


def test_what_is_sealed_shows_nothing_of_its_body_and_all_of_its_header(sealed: Wire) -> None:
    seen = bytearray()

    def change(to_server: bool, data: bytes) -> bytes:
        seen.extend(data)
        return data

    sealed.change = change
    say(sealed.client, record(PAYLOAD, b"secret" * 1000), record(PING, b"12345678"))
    sealed.until(lambda: len(sealed.server.got) == 2)
    assert b"secret" not in seen
    assert len(seen) == 2 * (HEADER + TAG) + 6008
    assert seen[:8] == bytes([0, 0, 6000 >> 8, 6000 & 255, PAYLOAD, 0, 0, 0])


# -- damage ------------------------------------------------------------------------------------------------


def said_by_client(wire: Wire, *records: OutRecord) -> bytes:
    """What the client's records look like on the wire; the server does not get it."""
    seen = bytearray()

    def swallow(to_server: bool, data: bytes) -> bytes:
        if to_server:
            seen.extend(data)
            return b""
        return data

    before, wire.change = wire.change, swallow
    total = sum(HEADER + length for _, _, length, _ in records)
    say(wire.client, *records)
    wire.until(lambda: len(seen) >= total)
    wire.turns()
    wire.change = before
    return bytes(seen)


def to_server(wire: Wire, data: bytes) -> None:
    """Bytes as if the client had said them."""
    wire._from_server.setblocking(True)
    wire._from_server.settimeout(5)
    wire._from_server.sendall(data)
    wire._from_server.setblocking(False)


def is_bad(wire: Wire) -> None:
    wire.until(lambda: bool(wire.server.ends))
    assert len(wire.server.ends) == 1
    assert isinstance(wire.server.ends[0], BadRecord)


@pytest.mark.parametrize("name", PROTECTED)
@pytest.mark.parametrize("at", ["header", "body", "end"])
@pytest.mark.parametrize("size", [100, 5000])
def test_a_flipped_bit_ends_the_link_and_nothing_of_the_record_is_taken(
    make: Callable[..., Wire], name: str, at: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CRYPTO_CROSSOVER", 2 * KIB)
    wire = make(MODES[name], threads=1).open()
    good = said_by_client(wire, record(PAYLOAD, b"good"))
    data = bytearray(said_by_client(wire, record(PAYLOAD, bytes(size))))
    data[{"header": 6, "body": 50, "end": -1}[at]] ^= 1
    later = said_by_client(wire, record(PAYLOAD, b"later"))
    to_server(wire, good + data + later)
    is_bad(wire)
    assert wire.server.got == [(PAYLOAD, b"good")]


def test_a_repeated_record_ends_the_link(sealed: Wire) -> None:
    data = said_by_client(sealed, record(PAYLOAD, b"once"))
    to_server(sealed, data + data)
    is_bad(sealed)
    assert sealed.server.got == [(PAYLOAD, b"once")]


def test_swapped_records_end_the_link(sealed: Wire) -> None:
    first, second = (said_by_client(sealed, record(PAYLOAD, body)) for body in (b"first", b"second"))
    to_server(sealed, second + first)
    is_bad(sealed)
    assert sealed.server.got == []


def test_a_record_left_out_ends_the_link(sealed: Wire) -> None:
    said_by_client(sealed, record(PAYLOAD, b"missing"))
    to_server(sealed, said_by_client(sealed, record(PAYLOAD, b"next")))
    is_bad(sealed)
    assert sealed.server.got == []


def test_a_record_from_the_other_direction_ends_the_link(sealed: Wire) -> None:
    seen = bytearray()

    def reflect(to_server: bool, data: bytes) -> bytes:
        if not to_server:
            seen.extend(data)
        return b""

    sealed.change = reflect
    say(sealed.server, record(PAYLOAD, b"mine"))
    sealed.until(lambda: len(seen) == HEADER + 4 + TAG)
    to_server(sealed, bytes(seen))
    is_bad(sealed)


def test_a_record_cut_short_is_waited_for_and_its_end_is_no_record(sealed: Wire) -> None:
    data = said_by_client(sealed, record(PAYLOAD, bytes(3000)))
    to_server(sealed, data[:-1])
    sealed.turns()
    assert (sealed.server.got, sealed.server.ends) == ([], [])
    sealed._from_server.close()
    sealed.until(lambda: bool(sealed.server.ends))
    assert (sealed.server.got, sealed.server.ends) == ([], [""])


def test_what_came_whole_before_the_end_is_taken_before_the_end_is_told(sealed: Wire) -> None:
    bodies = [payload(size) for size in (10, 5000, 30_000, 20, 9000)]
    data = said_by_client(sealed, *(record(PAYLOAD, body) for body in bodies))
    seen: list[int] = []
    sealed.server.lost = lambda _reason: seen.append(len(sealed.server.got))  # type: ignore[method-assign]
    to_server(sealed, data)
    sealed._from_server.close()
    sealed.until(lambda: bool(seen))
    assert seen == [5]
    assert [body for _, body in sealed.server.got] == bodies


def test_who_does_not_take_what_came_is_told_of_the_end_all_the_same(sealed: Wire) -> None:
    assert sealed.server.channel is not None
    data = said_by_client(sealed, *(record(PAYLOAD, payload(5000)) for _ in range(3)))
    sealed.server.patience = 1
    to_server(sealed, data)
    sealed._from_server.close()
    sealed.until(lambda: bool(sealed.server.ends))
    sealed.turns()
    assert sealed.server.ends == [""]
    assert len(sealed.server.got) == 1


def test_a_record_cut_short_and_continued_by_another_ends_the_link(sealed: Wire) -> None:
    data = said_by_client(sealed, record(PAYLOAD, bytes(3000)), record(PAYLOAD, bytes(3000)))
    to_server(sealed, data[:1000] + data[2000:])
    sealed.until(lambda: bool(sealed.server.ends))
    assert isinstance(sealed.server.ends[0], ProtocolError)
    assert sealed.server.got == []


def test_a_forged_length_makes_nobody_wait_beyond_the_maximum_of_its_type(sealed: Wire) -> None:
    header = (limits.REQUEST_MAX + 1).to_bytes(4, "big") + bytes([PAYLOAD, 0, 0, 0])
    to_server(sealed, header)
    sealed.until(lambda: bool(sealed.server.ends))
    assert isinstance(sealed.server.ends[0], ProtocolError)


def test_a_first_record_beyond_its_bound_is_not_waited_for_and_later_ones_are(sealed: Wire) -> None:
    assert sealed.server.channel is not None
    sealed.server.channel._first_max = 5000
    say(sealed.client, record(PAYLOAD, payload(5000)), record(PAYLOAD, payload(6000)))
    sealed.until(lambda: len(sealed.server.got) == 2)
    sealed.server.channel._first_max = 5000
    to_server(sealed, (5001).to_bytes(4, "big") + bytes([PAYLOAD, 0, 0, 0]))
    sealed.until(lambda: bool(sealed.server.ends))
    assert isinstance(sealed.server.ends[0], ProtocolError)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(PROTECTED), st.binary(min_size=1, max_size=200))
def test_garbage_instead_of_records_never_arrives(name: str, garbage: bytes) -> None:
    wire = Wire(MODES[name]).open()
    try:
        to_server(wire, garbage)
        wire.turns(5)
        assert wire.server.got == []
    finally:
        wire.close()


# -- rekey and nonces --------------------------------------------------------------------------------------


def test_both_ends_rekey_and_go_on(make: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Seal] = []

    class Often(Seal):
        __slots__ = ()

        def __init__(self, cipher: dst_seal.Cipher) -> None:
            super().__init__(cipher, rekey_records=3, rekey_bytes=10_000)
            made.append(self)

    monkeypatch.setattr("dsttool.engine.transport.channel.Seal", Often)
    monkeypatch.setattr(limits, "CRYPTO_CROSSOVER", 2 * KIB)
    wire = make(SEALED, threads=2).open()
    bodies = [payload(size) for size in (10, 9000, 2000, 5, 5, 5, 5000, 9999, 10_000, 1, 2)]
    for body in bodies:
        say(wire.client, record(PAYLOAD, body))
    say(wire.server, record(PING, b"12345678"))
    wire.until(lambda: len(wire.server.got) == len(bodies) and len(wire.client.got) == 1)
    assert [body for _, body in wire.server.got] == bodies
    rekeys = sorted(each.rekeys for each in made)
    assert rekeys == [0, 0, 5, 5]


def test_every_record_of_a_link_has_a_nonce_of_its_own_also_after_one_that_could_not_be_sealed(
    sealed: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    nonces: list[bytes] = []
    real = dst_seal.seal
    fails = False

    def watched(claim: tuple[dst_seal.Aead, bytes], *args: object) -> None:
        nonces.append(claim[1])
        if fails:
            raise MemoryError
        real(claim, *args)  # type: ignore[arg-type]

    monkeypatch.setattr("dsttool.engine.transport.sealing.seal", watched)
    for size in (5, 5000, 6, 7000):
        say(sealed.client, record(PAYLOAD, payload(size)))
    sealed.until(lambda: len(sealed.server.got) == 4)
    fails = True
    threads = sealed.reactor.crypto_threads
    if threads:
        say(sealed.client, record(PAYLOAD, payload(5000)))
        sealed.until(lambda: bool(sealed.client.ends))
        fails = False
        say(sealed.client, record(PAYLOAD, b"never"))
        sealed.turns()
        assert len(sealed.server.got) == 4
    else:
        with pytest.raises(MemoryError):
            say(sealed.client, record(PAYLOAD, payload(5000)))
        fails = False
        # A record is missing now; the other end must not take what follows.
        say(sealed.client, record(PAYLOAD, b"never"))
        is_bad(sealed)
    assert len(set(nonces)) == len(nonces)


# -- back-pressure and memory ------------------------------------------------------------------------------


def test_what_is_left_comes_again_beginning_with_the_same_record(sealed: Wire) -> None:
    sealed.server.patience = 2
    bodies = [payload(size) for size in (10, 20, 5000, 30, 6000)]
    say(sealed.client, *(record(PAYLOAD, body) for body in bodies))
    sealed.until(lambda: len(sealed.server.got) == 2)
    sealed.turns()
    assert len(sealed.server.got) == 2
    sealed.server.patience = 1
    assert sealed.server.channel is not None
    sealed.server.channel.resume()
    sealed.until(lambda: len(sealed.server.got) == 3)
    sealed.turns()
    sealed.server.patience = 100
    sealed.server.channel.resume()
    sealed.until(lambda: len(sealed.server.got) == 5)
    assert [body for _, body in sealed.server.got] == bodies


def test_a_paused_end_opens_only_so_much_ahead(sealed: Wire) -> None:
    channel = sealed.server.channel
    assert channel is not None
    channel.pause()
    body = payload(MIB)
    for _ in range(40):
        say(sealed.client, record(PAYLOAD, body))
    held = -1
    while held != sealed.reactor.pool.bytes_in_use:  # until nothing more is opened, also by slow threads
        held = sealed.reactor.pool.bytes_in_use
        sealed.until(lambda: not sealed.reactor.load()["pools"]["crypto"]["pending"])
        sealed.turns(400)
    assert sealed.server.got == []
    assert channel.link.bytes_in <= limits.OPENING_BYTES_MAX + 2 * limits.TURN_BYTES_MAX
    channel.resume()
    sealed.until(lambda: len(sealed.server.got) == 40)


def test_records_that_threads_open_are_bounded(
    make: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though nobody pauses: a slow thread holds the peer back."""
    monkeypatch.setattr(limits, "CRYPTO_CROSSOVER", 2 * KIB)
    wire = make(SEALED, threads=1).open()
    held: list[tuple[Callable[[], object], Callable[..., None]]] = []
    real = wire.reactor.run_blocking
    body = payload(MIB)
    wire.client.channel.send([record(PAYLOAD, body)] * 30)  # type: ignore[union-attr]
    wire.turns(50)
    wire.reactor.run_blocking = lambda call, done, lane="device": held.append((call, done))  # type: ignore[method-assign]
    assert wire.server.channel is not None
    link = wire.server.channel.link
    wire.until(lambda: link.paused)
    wire.turns(500)
    assert link.paused
    assert len(held) * MIB <= limits.OPENING_BYTES_MAX + limits.TURN_BYTES_MAX
    wire.reactor.run_blocking = real  # type: ignore[method-assign]
    for call, done in held:
        done(call(), None)
    wire.until(lambda: len(wire.server.got) == 30)
    assert all(got == (PAYLOAD, body) for got in wire.server.got)


def test_what_is_being_sealed_counts_as_unsent(
    make: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = make(SEALED, threads=1).open()
    held: list[tuple[Callable[[], object], Callable[..., None]]] = []
    monkeypatch.setattr(wire.reactor, "run_blocking", lambda call, done, lane: held.append((call, done)))
    say(wire.client, record(PAYLOAD, bytes(MIB)), record(PING, b"12345678"), record(PAYLOAD, bytes(MIB)))
    assert wire.client.channel is not None
    link = wire.client.channel.link
    wire.turns()
    monkeypatch.undo()
    assert link.unsent == 2 * MIB + 8 + 3 * (HEADER + TAG)
    for call, done in reversed(held):
        done(call(), None)
    wire.until(lambda: link.unsent == 0)
    wire.until(lambda: len(wire.server.got) == 3)


def test_nobody_is_told_that_all_has_left_while_threads_still_seal(
    make: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = make(SEALED, threads=1).open()
    held: list[tuple[Callable[[], object], Callable[..., None]]] = []
    channel = wire.client.channel
    assert channel is not None
    channel.pause()
    with monkeypatch.context() as patched:
        patched.setattr(wire.reactor, "run_blocking", lambda call, done, lane: held.append((call, done)))
        say(wire.client, record(PING, b"12345678"), record(PAYLOAD, bytes(MIB)))
        before = wire.client.drains
        channel.flush()
        wire.turns()
        assert wire.client.drains == before
    call, done = held[0]
    done(call(), None)
    wire.until(lambda: wire.client.drains > before)
    assert channel.link.unsent == 0


@pytest.mark.parametrize("end", ["client", "server"])
def test_closing_while_threads_work_gives_all_memory_back(
    make: Callable[..., Wire], end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CRYPTO_CROSSOVER", 2 * KIB)
    wire = make(SEALED, threads=2).open()
    for _ in range(6):
        say(wire.client, record(PAYLOAD, payload(MIB)))
    wire.turns(30)
    notes = wire.client if end == "client" else wire.server
    assert notes.channel is not None
    notes.channel.close()
    wire.turns(30)
    taken = len(notes.got)
    wire.turns(30)
    assert len(notes.got) == taken  # and `make` checks the memory


def test_the_last_words_reach_the_peer_behind_what_threads_still_seal(
    make: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = make(SEALED, threads=1).open()
    held: list[tuple[Callable[[], object], Callable[..., None]]] = []
    channel, over = wire.server.channel, []
    assert channel is not None
    with monkeypatch.context() as patched:
        patched.setattr(wire.reactor, "run_blocking", lambda call, done, lane: held.append((call, done)))
        say(wire.server, record(PAYLOAD, bytes(MIB)), record(WELCOME, b"go"))
        channel.part(lambda: over.append("over"))
        say(wire.server, record(PING, b"too late"))
        wire.turns()
    assert not channel.link.open
    assert not over
    for call, done in held:
        done(call(), None)
    wire.until(lambda: len(wire.client.got) == 2)
    assert wire.client.got == [(PAYLOAD, bytes(MIB)), (WELCOME, b"go")]
    assert wire._from_server.recv(1) == b""
    assert not over
    wire._from_server.close()
    assert wire.reactor.run_until(lambda: over == ["over"], PATIENCE)
    assert wire.server.ends == []


@pytest.mark.parametrize("name", MODES)
def test_last_words_to_one_who_does_not_listen_wait_so_long_and_no_longer(
    make: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(limits, "PARTING_NS", 50 * MS)
    wire = make(MODES[name], threads=2).open()
    channel, over = wire.server.channel, []
    assert channel is not None
    say(wire.server, *[record(PAYLOAD, bytes(MIB))] * 4)
    channel.part(lambda: over.append("over"))
    assert wire.reactor.run_until(lambda: bool(over), PATIENCE)  # and `make` checks the memory


def test_last_words_to_one_who_only_talks_end_after_so_many_words(
    make: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PARTING_NS", 10**6 * SECOND)
    wire = make().open()
    channel, over = wire.server.channel, []
    assert channel is not None
    channel.part(lambda: over.append("over"))
    talker, said = wire._from_server, 0
    talker.setblocking(False)
    while not over:
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            said += talker.send(bytes(64 * KIB))
        wire.reactor.post(lambda: None)
        wire.reactor.turn()
    assert said <= limits.TURN_BYTES_MAX + MIB


def test_words_that_came_in_the_turn_of_the_last_ones_do_not_cut_them_off() -> None:
    reactor = Reactor(io_threads=1, crypto_threads=0)
    pairs = [socket.socketpair() for _ in range(2)]
    partings: list[tuple[Parting, socket.socket]] = []

    def part(ours: socket.socket, peer: socket.socket) -> None:
        """Who is heard first ends the other one, who is to be heard next."""
        for each, _ in pairs:
            reactor.unregister(each.fileno())
        partings.append((Parting(reactor, ours, [b"last words"], 10, lambda: None), peer))

    for (ours, peer), other in zip(pairs, reversed(pairs)):
        ours.setblocking(False)
        reactor.register(ours.fileno(), lambda _events, other=other: part(*other))  # type: ignore[misc]
        peer.sendall(b"words")
    reactor.turn()
    ((parting, peer),) = partings
    assert peer.recv(100) == b"last words"
    assert parting.open
    parting.close()
    for pair in pairs:
        for each in pair:
            each.close()
    reactor.close()


def test_who_is_still_sending_gets_the_last_words_all_the_same() -> None:
    reactor = Reactor(io_threads=1, crypto_threads=0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    ours.setblocking(False)
    with peer:
        peer.sendall(bytes(MIB))  # more than is ever read: closing at once would reset the connection
        over: list[str] = []
        parting = Parting(reactor, ours, [b"last words"], 10, lambda: over.append("over"))
        reactor.turn()
        peer.settimeout(10)
        assert peer.recv(100) == b"last words"
        assert peer.recv(100) == b""
        peer.close()
        assert reactor.run_until(lambda: bool(over), PATIENCE)
        assert not parting.open
    reactor.close()


def test_steady_work_takes_no_new_memory_from_the_system(sealed: Wire) -> None:
    body = payload(MIB)

    def round_trip() -> None:
        before = len(sealed.server.got)
        say(sealed.client, record(REPLIES, b"x" * 4096), record(PAYLOAD, body))
        sealed.until(lambda: len(sealed.server.got) == before + 2)
        sealed.server.got.clear()
        sealed.server.got += [(0, b"")] * (before + 2)

    for _ in range(3):
        round_trip()
    pool = sealed.reactor.pool
    most = pool.bytes_in_use + pool.bytes_free
    for _ in range(5):
        round_trip()
        assert pool.bytes_in_use + pool.bytes_free <= most


def test_the_pool_can_be_resized_while_it_works(
    make: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CRYPTO_CROSSOVER", 2 * KIB)
    wire = make(SEALED, threads=0).open()
    sizes = [0, 2, 1, 0, 2, 0]
    bodies = [payload(200_000) for _ in sizes for _ in range(5)]
    for index, size in enumerate(sizes):
        wire.reactor.resize_crypto(size)
        for body in bodies[5 * index : 5 * index + 5]:
            say(wire.client, record(PAYLOAD, body))
        wire.turns(3)
    wire.until(lambda: len(wire.server.got) == len(bodies))
    assert [body for _, body in wire.server.got] == bodies


# -- handshakes that fail ----------------------------------------------------------------------------------


def test_both_ends_are_told_of_keys_that_do_not_fit(make: Callable[..., Wire]) -> None:
    wire = make(SEALED, security.shared("aes256gcm", bytes(32)))
    wire.until(lambda: bool(wire.client.ends) and bool(wire.server.ends))
    assert "keys are not those expected" in str(wire.server.ends[0])
    assert "refused the handshake" in str(wire.client.ends[0])
    assert wire.client.opens == wire.server.opens == 0


@pytest.mark.parametrize("names", list(pairwise([*MODES, "none"])))
def test_an_end_never_falls_back(make: Callable[..., Wire], names: tuple[str, str]) -> None:
    wire = make(MODES[names[0]], MODES[names[1]])
    say(wire.client, record(WELCOME, b"x"))
    wire.until(lambda: bool(wire.client.ends) and bool(wire.server.ends))
    assert "another security" in str(wire.client.ends[0])
    assert wire.server.got == []
