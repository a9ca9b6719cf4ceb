"""A link inside TLS: what is sent and received, held back, broken and ended. On real socket pairs."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transport.link import Bytes
from dsttool.engine.transport.tls import PIECE, RECORD, TlsLink
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import DsttoolError, Forbidden, ProtocolError, UsageError
from dsttool.engine.vocabulary.limits import KIB, MIB, SECOND
from support.certificates import PAST, Authority

PATIENCE = 10 * SECOND
HOST = "disk.example"


class Server:
    """The other end: the library's server, on the same thread; it moves when a test says so."""

    def __init__(self, sock: socket.socket, authority: Authority, version: ssl.TLSVersion) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.folder / "server-cert.pem", authority.folder / "server-key.pem")
        context.maximum_version = version
        self.sock = sock
        self.came, self.goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.came, self.goes, server_side=True)
        self.shaken = self.ended = False
        self.data = bytearray()
        self.trouble = ""

    def move(self, most: int = MIB) -> None:
        """Take what has come, at most so many bytes, and send what there is to send."""
        try:
            data = self.sock.recv(most)
            if data:
                self.came.write(data)
            else:
                self.came.write_eof()
        except OSError:
            pass
        try:
            if not self.shaken:
                self.tls.do_handshake()
                self.shaken = True
            while not self.ended:
                data = self.tls.read(MIB)
                self.data += data
                self.ended = not data
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.ended, self.trouble = True, str(error)
        self.push()

    def say(self, data: bytes) -> None:
        self.tls.write(data)

    def push(self) -> None:
        """Send what the kernel takes; the rest stays."""
        waiting = self.goes.read()
        try:
            sent = self.sock.send(waiting) if waiting else 0
        except OSError:
            sent = 0
        if sent < len(waiting):
            self.goes.write(waiting[sent:])


class Bench:
    """A link and its server. `shaking`: received bytes are the handshake's."""

    def __init__(
        self,
        authority: Authority,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        believed: Authority | None = None,
    ) -> None:
        self.reactor = Reactor()
        left, right = socket.socketpair()
        for sock in (left, right):
            sock.setblocking(False)
        self.server = Server(right, authority, version)
        self.context = ssl.create_default_context(cafile=str((believed or authority).folder / "ca-cert.pem"))
        self.shaking = False
        self.error: DsttoolError | None = None
        self.data = bytearray()
        self.ended: list[str] = []
        self.on_data: Callable[[], None] = lambda: None
        self.left = left
        self.link = TlsLink(self.reactor, left, self)

    # -- Receiver

    def received(self, view: memoryview, head: int, tail: int) -> tuple[int, int, bool]:
        if self.shaking:
            try:
                self.shaking = not self.link.shake(view[head:tail])
            except DsttoolError as error:
                self.error = error
                self.link.flush()
                self.link.close()
        else:
            self.data += view[head:tail]
            self.on_data()
        return tail, 0, False

    def drained(self) -> None:
        pass

    def lost(self, reason: str) -> None:
        self.ended.append(reason)

    # -- what a test does

    def secure(self, name: str = HOST) -> None:
        self.shaking = True
        self.link.secure(self.context, name)
        self.until(lambda: not self.shaking or self.error is not None)
        if self.error is None:  # the handshake's end goes with what is sent first
            self.send(b"?")
            self.until(lambda: self.server.data == b"?")
            self.server.data.clear()

    def send(self, *buffers: Bytes) -> None:
        self.link.send(list(buffers), sum(map(len, buffers)))

    def until(self, condition: Callable[[], bool], most: int = MIB) -> None:
        for _ in range(20000):
            if condition():
                return
            self.turn(most)
        pytest.fail("it did not happen")

    def turn(self, most: int = MIB) -> None:
        self.server.move(most)
        self.reactor.post(lambda: None)
        self.reactor.turn()

    def close(self) -> None:
        self.link.close()
        self.server.sock.close()
        self.reactor.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "pki", HOST)


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def bench(authority: Authority, request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(authority, request.param)
    yield made
    made.close()


def pattern(size: int) -> bytes:
    return bytes(range(251)) * (size // 251) + bytes(range(size % 251))


# -- the handshake


def test_before_tls_begins_everything_is_in_the_clear(bench: Bench) -> None:
    bench.send(b"hello")
    bench.reactor.turn()
    assert bench.server.sock.recv(10) == b"hello"
    bench.server.sock.send(b"greeting")
    bench.reactor.turn()
    assert bench.data == b"greeting"


def test_nothing_of_what_is_sent_in_tls_can_be_seen(bench: Bench) -> None:
    bench.secure()
    bench.send(b"the secret")
    bench.reactor.turn()
    assert b"secret" not in bench.server.sock.recv(MIB, socket.MSG_PEEK)
    bench.until(lambda: bench.server.data == b"the secret")


def test_a_certificate_of_an_authority_unknown_is_refused_and_the_server_told(
    authority: Authority, tmp_path: Path
) -> None:
    with closing(Bench(authority, believed=Authority(tmp_path / "other", HOST))) as bench:
        bench.secure()
        assert isinstance(bench.error, Forbidden)
        assert "not to be trusted: unable to get local issuer certificate" in str(bench.error)
        bench.until(lambda: bench.server.ended)
        assert "unknown ca" in bench.server.trouble.lower().replace("_", " ")


def test_a_certificate_for_another_host_is_refused(bench: Bench) -> None:
    bench.secure("other.example")
    assert isinstance(bench.error, Forbidden)
    assert "Hostname mismatch" in str(bench.error)


def test_a_certificate_that_has_expired_is_refused(tmp_path: Path) -> None:
    with closing(Bench(Authority(tmp_path / "old", HOST, until=PAST))) as bench:
        bench.secure()
        assert "not to be trusted: certificate has expired" in str(bench.error)


def test_a_server_that_does_not_speak_tls_after_all_is_refused(bench: Bench) -> None:
    bench.shaking = True
    bench.link.secure(bench.context, HOST)
    bench.server.sock.send(b"\0\3\xe8\x89 not TLS at all")
    assert bench.reactor.run_until(lambda: bench.error is not None, PATIENCE)
    assert isinstance(bench.error, ProtocolError)
    assert "The TLS handshake failed" in str(bench.error)


@pytest.mark.parametrize("name", [".example", "a" * 64 + ".example"])
def test_a_name_that_no_certificate_can_have_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(UsageError, match="No certificate can be for a host"):
        bench.link.secure(bench.context, name)


# -- data


@settings(max_examples=30)
@given(
    st.lists(
        st.sampled_from([1, 28, 512, RECORD - 1, RECORD, 65536, PIECE - 1, PIECE, PIECE + 1, MIB]),
        max_size=40,
    ),
    st.sampled_from([777, 65536, MIB]),
)
def test_buffers_of_all_sizes_arrive_in_order_at_a_slow_server(
    authority: Authority, sizes: list[int], most: int
) -> None:
    buffers = [pattern(size) for size in sizes]
    with closing(Bench(authority)) as bench:
        bench.secure()
        for buffer in buffers:
            bench.send(buffer)
        bench.until(lambda: len(bench.server.data) == sum(sizes), max(most, sum(sizes) // 200))
        assert bench.server.data == b"".join(buffers)
        assert bench.link.unsent == 0


def test_what_the_kernel_does_not_take_stays_unsent(bench: Bench) -> None:
    bench.secure()
    data = pattern(32 * MIB)
    bench.send(data)
    bench.reactor.turn()
    assert bench.link.stuck
    assert bench.link.unsent > 16 * MIB
    for _ in range(3):  # nor is it sealed again and again
        bench.link.flush()
    bench.until(lambda: len(bench.server.data) == len(data))
    assert bench.server.data == data


@pytest.mark.parametrize("size", [1, RECORD, PIECE, PIECE + 1, 6 * MIB])
def test_what_the_server_sends_arrives(bench: Bench, size: int) -> None:
    bench.secure()
    bench.server.say(pattern(size))
    bench.until(lambda: len(bench.data) == size)
    assert bench.data == pattern(size)


def test_what_was_received_and_not_asked_for_comes_without_the_kernels_help(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.secure()
    monkeypatch.setattr(limits, "TURN_BYTES_MAX", RECORD)
    bench.server.say(pattern(5 * RECORD))
    bench.server.push()
    assert bench.server.goes.pending == 0
    assert bench.reactor.run_until(lambda: len(bench.data) == 5 * RECORD, PATIENCE)
    assert bench.data == pattern(5 * RECORD)


def test_a_paused_link_goes_on_with_what_it_had_received(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.secure()
    monkeypatch.setattr(limits, "TURN_BYTES_MAX", RECORD)
    bench.on_data = bench.link.pause
    bench.server.say(pattern(5 * RECORD))
    bench.server.push()
    assert not bench.reactor.run_until(lambda: len(bench.data) > RECORD, SECOND // 20)
    bench.on_data = lambda: None
    bench.link.resume()
    assert bench.reactor.run_until(lambda: len(bench.data) == 5 * RECORD, PATIENCE)
    assert bench.data == pattern(5 * RECORD)


def test_an_idle_link_keeps_the_reactor_asleep(bench: Bench) -> None:
    bench.secure()
    bench.server.say(pattern(PIECE + 7))
    bench.until(lambda: len(bench.data) == PIECE + 7)
    bench.turn()
    turns: list[int] = []
    receive = bench.link._receive
    bench.link._receive = lambda: (turns.append(1), receive())[1]  # type: ignore[method-assign,func-returns-value]
    bench.reactor.run_until(lambda: False, SECOND // 20)
    assert not turns


def test_a_flipped_bit_ends_the_link(bench: Bench) -> None:
    bench.secure()
    bench.server.say(pattern(100))
    sealed = bytearray(bench.server.goes.read())
    sealed[-1] ^= 1
    bench.server.sock.send(sealed)
    assert bench.reactor.run_until(lambda: bool(bench.ended), PATIENCE)
    assert "TLS: " in bench.ended[0]
    assert "bad record mac" in bench.ended[0]
    assert not bench.data


# -- the end


def test_the_server_is_told_of_the_end(bench: Bench) -> None:
    bench.secure()
    bench.send(b"last")
    bench.reactor.turn()
    bench.link.close()
    bench.until(lambda: bench.server.ended)
    assert bench.server.data == b"last"
    assert bench.server.trouble == ""


def test_a_link_that_sends_no_more_still_receives(bench: Bench) -> None:
    bench.secure()
    bench.send(b"question")
    bench.until(lambda: bench.server.data == b"question")
    bench.link.half_close()
    bench.until(lambda: bench.server.ended)
    assert bench.server.trouble == ""
    bench.server.say(pattern(PIECE))
    bench.until(lambda: len(bench.data) == PIECE)
    assert bench.link.open


@pytest.mark.parametrize("how", ["said", "unsaid"])
def test_the_servers_end_is_the_links(bench: Bench, how: str) -> None:
    bench.secure()
    bench.server.say(b"last")
    if how == "said":
        with pytest.raises(ssl.SSLWantReadError):
            bench.server.tls.unwrap()
    bench.server.push()
    bench.server.sock.shutdown(socket.SHUT_RDWR)
    assert bench.reactor.run_until(lambda: bool(bench.ended), PATIENCE)
    assert bench.data == b"last"
    assert bench.ended == [""]


def test_signs_of_life_count_sealed_bytes(bench: Bench) -> None:
    bench.secure()
    before = bench.link.bytes_taken
    bench.send(bytes(100 * KIB))
    bench.until(lambda: len(bench.server.data) == 100 * KIB)
    assert bench.link.bytes_taken - before > 100 * KIB
