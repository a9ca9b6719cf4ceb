"""NbdNode against real servers: nbdkit, with filters that bend it, and qemu-nbd."""

import errno
import random

import pytest

from dsttool.engine.node.nbd import NbdNode
from dsttool.engine.node.nbd_handshake import list_exports
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
    TRIM,
    WRITE_ZEROES,
)
from support.nbd_servers import Host, Servers, ask, content, read, slow, write

WAIT = 30 * SECOND
SIZE = 64 * MIB


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


def test_the_status_tells_what_became_of_requests_and_of_the_link(servers: Servers, host: Host) -> None:
    node = host.node(
        servers.nbdkit("--filter=error", "memory", str(MIB), "error-pwrite=ENOSPC", "error-pwrite-rate=100%")
    )
    host.run(node, read(0, 7))
    host.run(node, write(0, b"abc"))
    status = node.status()
    assert (status["in_flight"], status["errors"], status["losses"]) == (0, 1, 0)
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
    assert node.errors == 1


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
