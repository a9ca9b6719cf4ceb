"""NbdNode against real servers: nbdkit, with filters that bend it, and qemu-nbd."""

import errno
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dsttool.engine.device.request import Request
from dsttool.engine.node.nbd import NbdNode
from dsttool.engine.node.nbd_handshake import list_exports
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError, NotFound, TimedOut, Unreachable
from dsttool.engine.vocabulary.limits import KIB, MIB, MS, SECOND
from dsttool.engine.vocabulary.operations import (
    BLOCK_STATUS,
    CACHE,
    FAIL_FAST,
    FAST_ZERO,
    FLUSH,
    FUA,
    READ,
    TRIM,
    WRITE,
    WRITE_ZEROES,
)
from support.site import accepts, wait_until

WAIT = 30 * SECOND
SIZE = 64 * MIB


class Servers:
    """Starts servers on Unix sockets in a folder with a short path, and ends them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dst"))
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, command: list[str]) -> Endpoint:
        path = self.folder / name
        self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_until(lambda: accepts(path), f"{command[0]} accepts on {path}")
        return Endpoint("unix", path=str(path))

    def nbdkit(self, *words: str) -> Endpoint:
        name = f"s{len(self.processes)}"
        return self.start(name, ["nbdkit", "-f", "-U", str(self.folder / name), *words])

    def qemu(self, *words: str) -> Endpoint:
        name = f"s{len(self.processes)}"
        options = ["-t", "-f", "raw", "--shared=4", "-k", str(self.folder / name)]
        return self.start(name, ["qemu-nbd", *options, *words])

    def file(self, content: bytes) -> Path:
        path = self.folder / "disk"
        path.write_bytes(content)
        return path

    def freeze(self) -> None:
        """Stop the latest server; the kernel goes on accepting connections and bytes for it."""
        pid = self.processes[-1].pid
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED)

    def kill(self) -> None:
        for process in self.processes:
            process.kill()

    def close(self) -> None:
        self.kill()
        for process in self.processes:
            process.wait()
        shutil.rmtree(self.folder)


class Host:
    """A reactor with nodes on it, and a way to wait for requests."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.nodes: list[NbdNode] = []

    def node(self, endpoint: Endpoint, export: str = "", **options: object) -> NbdNode:
        node = self.attempt(endpoint, export, **options)
        assert node.failure is None, node.failure
        return node

    def attempt(self, endpoint: Endpoint, export: str = "", **options: object) -> NbdNode:
        node = NbdNode(self.reactor, "n0", endpoint, export, **options)  # type: ignore[arg-type]
        answers: list[DsttoolError | None] = []
        node.connect(answers.append)
        assert self.reactor.run_until(lambda: bool(answers), WAIT)
        assert answers == [node.failure]
        self.nodes.append(node)
        return node

    def run(self, node: NbdNode, *requests: Request) -> list[int]:
        """Submit as one batch and wait; returns the errors."""
        node.submit(list(requests))
        self.wait(*requests)
        return [request.error for request in requests]

    def wait(self, *requests: Request) -> None:
        assert self.reactor.run_until(lambda: all(r.cookie.finished == 1 for r in requests), WAIT)

    def until(self, condition: Callable[[], bool]) -> None:
        assert self.reactor.run_until(condition, WAIT)

    def close(self) -> None:
        left = list(self.nodes)
        for node in self.nodes:
            node.close(lambda node=node: left.remove(node))  # type: ignore[misc]
        self.until(lambda: not left)
        self.reactor.close()


class Ticket:
    """The cookie of a test's request: how often it was finished."""

    def __init__(self) -> None:
        self.finished = 0


def finished(requests: list[Request]) -> None:
    for request in requests:
        request.cookie.finished += 1


def ask(op: int, offset: int = 0, length: int = 0, data: bytes | None = None, flags: int = 0) -> Request:
    view = None if data is None else memoryview(data)
    return Request(op, flags, offset, length, view, Ticket(), finished)


def write(offset: int, data: bytes, flags: int = 0) -> Request:
    return ask(WRITE, offset, len(data), data, flags)


def read(offset: int, length: int, flags: int = 0) -> Request:
    return ask(READ, offset, length, flags=flags)


def content(request: Request) -> bytes:
    assert request.error == 0
    return b"".join(request.data) if isinstance(request.data, list) else bytes(request.data)


@pytest.fixture
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    made.close()


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    yield made
    made.close()


# -- Data


@pytest.mark.parametrize("server", ["memory", "file", "qemu"])
def test_random_requests_leave_what_a_plain_buffer_holds(servers: Servers, host: Host, server: str) -> None:
    size = 8 * MIB
    if server == "memory":
        endpoint = servers.nbdkit("memory", str(size))
    elif server == "file":
        endpoint = servers.nbdkit("file", str(servers.file(bytes(size))))
    else:
        endpoint = servers.qemu(str(servers.file(bytes(size))))
    node = host.node(endpoint)
    rng = random.Random(4711)
    model = bytearray(size)
    for _ in range(40):
        batch, expected = [], []
        for _ in range(rng.randrange(1, 40)):
            offset = rng.randrange(size)
            length = rng.randrange(1, min(size - offset, rng.choice([512, 64 * KIB, 1 * MIB])) + 1)
            kind = rng.randrange(5)
            if kind <= 1:
                data = rng.randbytes(length)
                batch.append(write(offset, data, rng.choice([0, FUA])))
                model[offset : offset + length] = data
            elif kind == 2:
                batch.append(ask(WRITE_ZEROES, offset, length))
                model[offset : offset + length] = bytes(length)
            else:
                batch.append(ask(FLUSH))
        assert host.run(node, *batch) == [0] * len(batch)
        for _ in range(10):
            offset = rng.randrange(size)
            expected.append(read(offset, rng.randrange(1, min(size - offset, 2 * MIB) + 1)))
        assert host.run(node, *expected) == [0] * len(expected)
        for request in expected:
            assert content(request) == model[request.offset : request.offset + request.length]


def test_trim_reaches_the_server(servers: Servers, host: Host) -> None:
    disk = servers.file(b"x" * MIB)
    node = host.node(servers.qemu("--discard=unmap", str(disk)))
    before = disk.stat().st_blocks
    assert host.run(node, ask(TRIM, 0, MIB)) == [0]
    assert disk.stat().st_blocks < before


def test_a_batch_beyond_the_window_is_finished_whole(servers: Servers, host: Host) -> None:
    node = host.node(servers.nbdkit("memory", str(SIZE)))
    batch = [write(4096 * i, bytes([i % 251]) * 4096) for i in range(2000)]
    node.submit(batch)
    assert node.in_flight == 2000
    host.wait(*batch)
    assert node.in_flight == 0
    reads = [read(4096 * i, 4096) for i in range(2000)]
    host.run(node, *reads)
    assert all(content(request) == bytes([i % 251]) * 4096 for i, request in enumerate(reads))


def test_large_requests_beyond_the_window_are_finished_whole(servers: Servers, host: Host) -> None:
    node = host.node(servers.nbdkit("memory", str(512 * MIB)))
    block = random.Random(1).randbytes(32 * MIB)
    assert host.run(node, *(write(32 * MIB * i, block) for i in range(8))) == [0] * 8
    for i in range(8):
        one = read(32 * MIB * i, 32 * MIB)
        host.run(node, one)
        assert content(one) == block


def test_overlapping_writes_take_effect_in_the_order_of_submission(servers: Servers, host: Host) -> None:
    node = host.node(servers.nbdkit("-t", "16", "--filter=delay", "memory", str(MIB), "wdelay=2ms"))
    batch = [write(100 * (i % 3), bytes([i]) * (50 + 100 * i)) for i in range(1, 60)]
    model = bytearray(MIB)
    for request in batch:
        model[request.offset : request.offset + request.length] = bytes(request.data)
    host.run(node, *batch)
    one = read(0, MIB)
    host.run(node, one)
    assert content(one) == model


def test_counters_and_status_tell_what_was_done(servers: Servers, host: Host) -> None:
    node = host.node(
        servers.nbdkit("--filter=error", "memory", str(MIB), "error=ENOSPC", "error-pwrite-rate=0")
    )
    host.run(node, write(0, b"abc"), write(10, b"de"))
    host.run(node, read(0, 7))
    assert (node.writes, node.written_bytes, node.reads, node.read_bytes, node.errors) == (2, 5, 1, 7, 0)
    status = node.status()
    assert status["in_flight"] == 0
    assert status["link"]["state"] == "up"
    assert status["link"]["connects"] == 1
    assert status["link"]["rtt_ns"] > 0
    assert status["link"]["since_ns"] >= 0


@pytest.mark.parametrize("word", ["EPERM", "EIO", "ENOMEM", "EINVAL", "ENOSPC", "ESHUTDOWN"])
def test_an_error_of_the_server_reaches_the_request(servers: Servers, host: Host, word: str) -> None:
    node = host.node(servers.nbdkit("--filter=error", "memory", "1M", f"error={word}", "error-rate=1"))
    everything = [write(0, b"x"), read(0, 1), ask(TRIM, 0, 1), ask(WRITE_ZEROES, 0, 1)]
    assert host.run(node, *everything) == [getattr(errno, word)] * 4
    assert node.errors == 4
    assert node.up


# -- What the server does not take


class Logged:
    """nbdkit behind its log filter: what reached it, in order."""

    def __init__(self, servers: Servers, *words: str) -> None:
        self.path = servers.folder / "log"
        self.endpoint = servers.nbdkit("--filter=log", *words, f"logfile={self.path}")

    def operations(self) -> list[tuple[str, dict[str, str]]]:
        found = []
        for line in self.path.read_text().splitlines():
            words = line.split()
            if words[3] in ("Read", "Write", "Zero", "Trim", "Flush", "Cache"):
                found.append((words[3], dict(w.split("=") for w in words[4:] if "=" in w)))
        return found


def test_requests_longer_than_the_server_takes_are_sent_in_pieces(servers: Servers, host: Host) -> None:
    log = Logged(
        servers,
        "--filter=blocksize-policy",
        *("memory", str(SIZE), "blocksize-maximum=64K", "blocksize-error-policy=error"),
    )
    node = host.node(log.endpoint)
    assert node.capabilities.payload_max == 32 * MIB
    data = random.Random(2).randbytes(3 * MIB + 5)
    whole = read(1, len(data))
    assert host.run(node, write(1, data)) == [0]
    assert host.run(node, whole) == [0]
    assert content(whole) == data
    assert host.run(node, ask(WRITE_ZEROES, 0, 4 * MIB), ask(CACHE, 0, MIB)) == [0, 0]
    assert all(int(operation["count"], 16) <= 64 * KIB for _, operation in log.operations())
    assert len(log.operations()) == 49 + 49 + 64 + 16


def test_a_piece_that_fails_fails_its_request_once(servers: Servers, host: Host) -> None:
    script = "cat >/dev/null; if [ $4 -ge 1048576 ]; then echo ENOSPC >&2; exit 1; fi"
    endpoint = servers.nbdkit(
        *("--filter=blocksize-policy", "eval", "blocksize-maximum=256K", "get_size=echo 4194304"),
        *(f"pwrite={script}", "pread=head -c $3 /dev/zero"),
    )
    node = host.node(endpoint)
    request = write(0, bytes(2 * MIB))
    assert host.run(node, request, write(0, bytes(MIB))) == [errno.ENOSPC, 0]
    assert (node.errors, node.writes) == (1, 1)


def test_fua_without_support_is_a_write_and_then_a_flush(servers: Servers, host: Host) -> None:
    plain = servers.nbdkit(
        *("eval", "get_size=echo 65536", "can_flush=exit 0", "can_fua=echo none", "can_write=exit 0"),
        *("pread=head -c $3 /dev/zero", f"pwrite=cat >/dev/null; echo write >>{servers.folder}/did"),
        *(f"flush=echo flush >>{servers.folder}/did", f"trim=echo trim >>{servers.folder}/did"),
        f"zero=echo zero >>{servers.folder}/did",
    )
    node = host.node(plain)
    assert not node.info.fua
    assert node.capabilities.fua
    for request in (write(0, b"x", FUA), ask(TRIM, 0, 512, flags=FUA), ask(WRITE_ZEROES, 0, 512, flags=FUA)):
        assert host.run(node, request) == [0]
    assert host.run(node, write(0, b"x")) == [0]
    did = (servers.folder / "did").read_text().split()
    assert did == ["write", "flush", "trim", "flush", "zero", "flush", "write"]


def test_fua_with_support_is_sent_along(servers: Servers, host: Host) -> None:
    log = Logged(servers, "memory", str(SIZE))
    node = host.node(log.endpoint)
    assert host.run(node, write(0, b"x", FUA | FAIL_FAST)) == [0]
    ((name, operation),) = log.operations()
    assert name == "Write"
    assert operation["fua"] == "1"


BARE = (
    "--filter=nozero",
    "eval",
    "get_size=echo 8388608",
    "can_write=exit 0",
    "can_flush=exit 3",
    "can_fua=echo none",
)


def test_trim_flush_and_cache_without_support_are_done_without_asking(servers: Servers, host: Host) -> None:
    did = servers.folder / "did"
    node = host.node(
        servers.nbdkit(*BARE, "pread=head -c $3 /dev/zero", f"pwrite=cat >{did}", "can_cache=echo none")
    )
    assert (node.info.trim, node.info.flush, node.info.cache) == (False, False, False)
    assert not node.capabilities.fua
    requests = [ask(TRIM, 0, 4096), ask(FLUSH), ask(CACHE, 0, 4096), ask(TRIM, 0, 4096, flags=FUA)]
    assert host.run(node, *requests) == [0] * 4
    assert not did.exists()


def test_many_overlapping_trims_that_need_no_sending_are_all_finished(servers: Servers, host: Host) -> None:
    node = host.node(servers.nbdkit(*BARE, "pread=head -c $3 /dev/zero", "pwrite=cat >/dev/null"))
    assert host.run(node, *(ask(TRIM, 0, 4096) for _ in range(5000))) == [0] * 5000


def test_write_zeroes_without_support_is_written_out(servers: Servers, host: Host) -> None:
    disk = servers.file(b"x" * 8 * MIB)
    node = host.node(
        servers.nbdkit(
            *BARE,
            f"pread=dd if={disk} bs=1M iflag=skip_bytes,count_bytes skip=$4 count=$3 status=none",
            f"pwrite=dd of={disk} bs=1M oflag=seek_bytes seek=$4 conv=notrunc status=none",
        )
    )
    assert not node.info.write_zeroes
    assert node.capabilities.write_zeroes
    assert host.run(node, ask(WRITE_ZEROES, 100, 5 * MIB)) == [0]
    assert disk.read_bytes() == b"x" * 100 + bytes(5 * MIB) + b"x" * (3 * MIB - 100)


def test_fast_zero_without_support_is_refused_at_once(servers: Servers, host: Host) -> None:
    bare = host.node(servers.nbdkit(*BARE, "pread=head -c $3 /dev/zero", "pwrite=cat >/dev/null"))
    assert host.run(bare, ask(WRITE_ZEROES, 0, 4096, flags=FAST_ZERO)) == [errno.ENOTSUP]
    assert not bare.capabilities.fast_zero


def test_block_status_is_not_supported_yet(servers: Servers, host: Host) -> None:
    node = host.node(servers.nbdkit("memory", "1M"))
    assert host.run(node, ask(BLOCK_STATUS, 0, 4096)) == [errno.ENOTSUP]


def test_a_read_only_export_is_known_as_such_and_written_to_never(servers: Servers, host: Host) -> None:
    node = host.node(servers.nbdkit("-r", "memory", "1M"))
    assert node.capabilities.read_only
    assert host.run(node, write(0, b"x"), ask(WRITE_ZEROES, 0, 1)) == [errno.EPERM, errno.ENOTSUP]
    one = read(0, 1)
    host.run(node, one)
    assert content(one) == b"\0"


def test_an_export_opened_read_only_says_so(servers: Servers, host: Host) -> None:
    assert host.node(servers.nbdkit("memory", "1M"), read_only=True).capabilities.read_only


def test_block_sizes_of_the_server_become_capabilities(servers: Servers, host: Host) -> None:
    filtered = (
        "--filter=blocksize-policy",
        "memory",
        "1M",
        "blocksize-minimum=512",
        "blocksize-preferred=64K",
    )
    can = host.node(servers.nbdkit(*filtered)).capabilities
    assert (can.size, can.block_min, can.block_preferred) == (MIB, 512, 64 * KIB)


def test_an_export_keeps_its_identity_and_others_have_another(servers: Servers, host: Host) -> None:
    here, there = servers.nbdkit("memory", "1M"), servers.nbdkit("memory", "1M")
    assert host.node(here).identity == host.node(here).identity
    assert host.node(here).identity != host.node(there).identity
    assert len(host.node(here).identity) == 16


# -- Handshakes with real servers


def test_an_unknown_export_is_not_found(servers: Servers, host: Host) -> None:
    node = host.attempt(servers.qemu("-x", "here", str(servers.file(bytes(MIB)))), "nosuch")
    assert isinstance(node.failure, NotFound)
    assert node.status()["link"]["state"] == "down"
    assert host.run(node, read(0, 1)) == [errno.EIO]


def test_a_named_export_is_found(servers: Servers, host: Host) -> None:
    endpoint = servers.qemu("-x", "here", "-D", "a disk", str(servers.file(bytes(MIB))))
    node = host.node(endpoint, "here")
    assert (node.info.name, node.info.description) == ("here", "a disk")
    assert node.capabilities.size == MIB


@pytest.mark.parametrize("mask", ["--mask-handshake=0", "--mask-handshake=1"])
def test_a_server_of_an_older_protocol_is_spoken_to(servers: Servers, host: Host, mask: str) -> None:
    node = host.node(servers.nbdkit(mask, "memory", "1M"))
    one = read(0, 512)
    assert host.run(node, write(0, b"y" * 512)) == [0]
    host.run(node, one)
    assert content(one) == b"y" * 512


def test_an_oldstyle_server_is_refused_with_a_sentence(servers: Servers, host: Host) -> None:
    assert "oldstyle" in str(host.attempt(servers.nbdkit("-o", "memory", "1M")).failure)


def test_a_missing_server_is_unreachable(servers: Servers, host: Host) -> None:
    node = host.attempt(Endpoint("unix", path=str(servers.folder / "nobody")))
    assert isinstance(node.failure, Unreachable)


def test_a_silent_server_times_out(servers: Servers, host: Host) -> None:
    endpoint = servers.start("silent", ["nbdkit", "-f", "-U", str(servers.folder / "silent"), "memory", "1M"])
    servers.freeze()
    node = host.attempt(endpoint, policy=Policy(connect_timeout_ns=100 * MS))
    assert isinstance(node.failure, TimedOut)


def test_exports_are_listed_with_descriptions(servers: Servers, host: Host) -> None:
    endpoint = servers.qemu("-x", "here", "-D", "a disk", str(servers.file(bytes(MIB))))
    answers: list[tuple[list[tuple[str, str]], DsttoolError | None]] = []
    list_exports(host.reactor, endpoint, lambda listed, error: answers.append((listed, error)))
    host.until(lambda: bool(answers))
    assert answers == [([("here", "a disk")], None)]


def test_listing_at_a_missing_server_is_an_error(servers: Servers, host: Host) -> None:
    errors: list[DsttoolError | None] = []
    missing = Endpoint("unix", path=str(servers.folder / "nobody"))
    list_exports(host.reactor, missing, lambda _, error: errors.append(error))
    host.until(lambda: bool(errors))
    assert isinstance(errors[0], Unreachable)


# -- Loss


def slow(servers: Servers) -> Endpoint:
    return servers.nbdkit("--filter=delay", "memory", "64M", "rdelay=600", "wdelay=600")


def test_a_killed_server_fails_everything_in_flight_once(servers: Servers, host: Host) -> None:
    node = host.node(slow(servers))
    batch = [write(0, b"a"), write(0, b"b"), write(0, b"c"), read(0, 10), read(0, 10, FAIL_FAST)]
    batch += [write(4096 * i, bytes(4096)) for i in range(1, 500)]
    node.submit(batch)
    host.reactor.turn()
    servers.kill()
    host.wait(*batch)
    assert [r.error for r in batch] == [5, 5, 5, 5, errno.ENOLINK] + [5] * 499
    assert node.in_flight == 0
    assert isinstance(node.failure, Unreachable)
    assert node.status()["link"]["state"] == "down"
    assert host.run(node, read(0, 1), read(0, 1, FAIL_FAST), write(0, b"a")) == [5, errno.ENOLINK, 5]


def test_a_killed_server_fails_a_request_in_pieces_once(servers: Servers, host: Host) -> None:
    node = host.node(
        servers.nbdkit(
            *("--filter=blocksize-policy", "--filter=delay", "memory", "64M"),
            *("wdelay=600", "rdelay=600", "blocksize-maximum=64K"),
        )
    )
    batch = [write(0, bytes(32 * MIB)), write(MIB, bytes(MIB)), read(0, 32 * MIB)]
    node.submit(batch)
    host.reactor.turn()
    servers.kill()
    host.wait(*batch)
    assert [r.error for r in batch] == [5, 5, 5]
    assert node.errors == 3


def test_a_server_that_hangs_is_lost_when_the_budget_ends(servers: Servers, host: Host) -> None:
    policy = Policy(resend_timeout_ns=200 * MS, resends=1)
    node = host.node(servers.nbdkit("memory", "1M"), policy=policy)
    assert host.run(node, write(0, b"a")) == [0]
    servers.freeze()
    assert host.run(node, read(0, 1)) == [errno.EIO]
    assert "no answer" in str(node.failure)


def test_an_abandoned_node_fails_what_is_in_flight(servers: Servers, host: Host) -> None:
    node = host.node(slow(servers))
    request = write(0, b"a")
    node.submit([request])
    node.abandon()
    host.wait(request)
    assert request.error == errno.EIO
    assert not node.up


def test_an_idle_node_is_not_lost_when_the_budget_ends(servers: Servers, host: Host) -> None:
    node = host.node(servers.nbdkit("memory", "1M"), policy=Policy(resend_timeout_ns=100 * MS, resends=1))
    assert host.run(node, write(0, b"a")) == [0]
    assert not host.reactor.run_until(lambda: not node.up, 500 * MS)
    assert host.run(node, read(0, 1)) == [0]


def test_a_server_that_breaks_the_protocol_is_left(servers: Servers, host: Host) -> None:
    """A server that answers a request nobody made: the greeting and the rest come from a script."""
    path = servers.folder / "liar"

    def lie(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(b"NBDMAGICIHAVEOPT\0\2")
            while b"disk" not in (got := peer.recv(4096)):
                assert got
            peer.sendall(struct.pack(">QH", MIB, 1))
            peer.recv(4096)
            peer.sendall(struct.pack(">IIQ", 0x67446698, 0, 999_999))
            while peer.recv(4096):
                pass

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=lie, args=(listener,))
        thread.start()
        node = host.node(Endpoint("unix", path=str(path)), "disk")
        assert host.run(node, read(0, 1)) == [errno.EIO]
        assert "was not asked" in str(node.failure)
        thread.join()


# -- Closing


def test_close_waits_for_what_is_in_flight(servers: Servers, host: Host) -> None:
    node = host.node(servers.nbdkit("--filter=delay", "memory", "1M", "wdelay=50ms"))
    requests = [write(0, b"a"), write(0, b"b"), write(0, b"c")]
    done: list[bool] = []
    node.submit(requests)
    node.close(lambda: done.append(all(r.cookie.finished for r in requests)))
    host.until(lambda: bool(done))
    assert done == [True]
    assert [r.error for r in requests] == [0, 0, 0]
    assert not node.up


def test_close_leaves_a_server_that_does_not_answer(servers: Servers, host: Host) -> None:
    node = host.node(slow(servers), policy=Policy(connect_timeout_ns=SECOND))
    request = write(0, b"a")
    done: list[int] = []
    node.submit([request])
    node.close(lambda: done.append(request.error))
    host.until(lambda: bool(done))
    assert done == [errno.EIO]


def test_close_while_connecting_calls_nobody(servers: Servers, host: Host) -> None:
    endpoint = servers.nbdkit("memory", "1M")
    node = NbdNode(host.reactor, "n0", endpoint, "")
    calls: list[object] = []
    node.connect(calls.append)
    host.reactor.turn()
    done: list[bool] = []
    node.close(lambda: done.append(True))
    host.until(lambda: bool(done))
    assert not host.reactor.run_until(lambda: bool(calls), 50 * MS)


def test_requests_after_close_fail(servers: Servers, host: Host) -> None:
    node = host.node(servers.nbdkit("memory", "1M"))
    node.close(lambda: None)
    assert host.run(node, read(0, 1)) == [errno.EIO]
