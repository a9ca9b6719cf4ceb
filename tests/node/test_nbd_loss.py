"""NbdNode over real servers that die, come back, hang or change: what becomes of its requests."""

import errno
import os
import random
import signal
from pathlib import Path

import pytest

from dsttool.engine.device.request import Request
from dsttool.engine.node.nbd import NbdNode
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import Conflict
from dsttool.engine.vocabulary.limits import KIB, MIB, MS, SECOND
from dsttool.engine.vocabulary.operations import FAIL_FAST, FLUSH, FUA, WRITE_ZEROES
from support.nbd_servers import Host, Servers, Ticket, ask, content, read, slow, write
from support.site import accepts, wait_until

QUICK = Policy(resend_timeout_ns=20 * SECOND, backoff_min_ns=5 * MS, backoff_max_ns=50 * MS)


class Restarted:
    """A server that dies and comes back in the same place."""

    def __init__(self, servers: Servers, *words: str) -> None:
        self.servers = servers
        self.words = words
        self.path = servers.folder / "again"
        self.endpoint = self.start()

    def start(self, *words: str) -> Endpoint:
        self.path.unlink(missing_ok=True)
        return self.servers.start("again", ["nbdkit", "-f", "-U", str(self.path), *(words or self.words)])

    def kill(self) -> None:
        process = self.servers.processes[-1]
        process.kill()
        process.wait()


def down(host: Host, node: NbdNode) -> None:
    host.until(lambda: not node.up)


def test_what_a_killed_server_did_not_answer_is_done_by_the_next(servers: Servers, host: Host) -> None:
    disk = servers.file(bytes(8 * MIB))
    server = Restarted(servers, "--filter=delay", "file", str(disk), "wdelay=2ms", "rdelay=1ms")
    node = host.node(server.endpoint, policy=QUICK)
    rng = random.Random(1)
    model = bytearray(8 * MIB)
    for _ in range(6):
        batch: list[Request] = []
        for _ in range(300):
            offset = rng.randrange(len(model) - 64 * KIB)
            data = rng.randbytes(rng.randrange(1, 64 * KIB))
            batch.append(write(offset, data))
            model[offset : offset + len(data)] = data
        batch.append(ask(FLUSH))
        node.submit(batch)
        host.until(lambda: any(r.cookie.finished for r in batch))  # noqa: B023
        server.kill()
        host.reactor.run_until(lambda: False, 20 * MS)
        server.start()
        host.wait(*batch)
        assert {r.error for r in batch} == {0}
    whole = read(0, len(model))
    host.run(node, whole)
    assert content(whole) == model
    assert node.status()["link"]["connects"] == 7
    assert node.status()["resends"] > 0
    assert node.errors == 0


def test_an_idle_node_connects_again_by_itself(servers: Servers, host: Host) -> None:
    server = Restarted(servers, "memory", "1M")
    node = host.node(server.endpoint, policy=QUICK)
    ups: list[int] = []
    node.on_up = lambda: ups.append(node.status()["link"]["connects"])
    server.kill()
    down(host, node)
    assert node.failure is None
    assert node.status()["link"]["state"] != "up"
    server.start()
    host.until(lambda: bool(ups))
    assert ups == [2]
    assert node.up
    assert host.run(node, write(0, b"x")) == [0]


def test_without_a_server_fast_reads_fail_at_once_and_all_else_waits(servers: Servers, host: Host) -> None:
    server = Restarted(servers, "memory", "1M")
    node = host.node(server.endpoint, policy=QUICK)
    server.kill()
    down(host, node)
    fast, patient, change = read(0, 1, FAIL_FAST), read(0, 1), write(0, b"x")
    node.submit([fast, patient, change])
    assert fast.cookie.finished == 0, "answered within submit, which may be in the middle of a batch"
    host.wait(fast)
    assert fast.error == errno.ENOLINK
    assert node.in_flight == 2
    server.start()
    host.wait(patient, change)
    assert (patient.error, change.error) == (0, 0)


def test_fast_reads_in_flight_fail_when_the_server_dies(servers: Servers, host: Host) -> None:
    node = host.node(slow(servers), policy=QUICK)
    fast, patient = read(0, 10, FAIL_FAST), read(0, 10)
    node.submit([fast, patient])
    host.reactor.turn()
    servers.kill()
    host.wait(fast)
    assert fast.error == errno.ENOLINK
    assert patient.cookie.finished == 0


def test_fast_reads_wait_for_one_resend_timeout(servers: Servers, host: Host) -> None:
    policy = Policy(resend_timeout_ns=200 * MS, resends=100)
    node = host.node(slow(servers), policy=policy)
    fast = read(0, 10, FAIL_FAST)
    before = host.reactor.now
    assert host.run(node, fast) == [errno.ENOLINK]
    assert host.reactor.now - before >= 200 * MS


def test_the_budget_runs_while_the_link_is_down(servers: Servers, host: Host) -> None:
    policy = Policy(resend_timeout_ns=100 * MS, resends=2, backoff_min_ns=10 * MS, backoff_max_ns=20 * MS)
    server = Restarted(servers, "memory", "64M")
    node = host.node(server.endpoint, policy=policy)
    assert node.budget_ns == 300 * MS
    server.kill()
    down(host, node)
    batch = [write(0, b"a"), write(0, b"b"), write(0, b"c"), read(0, 10), ask(FLUSH)]
    batch += [write(4096 * i, bytes(4096)) for i in range(1, 500)]
    before = host.reactor.now
    assert host.run(node, *batch) == [errno.EIO] * len(batch)
    assert host.reactor.now - before >= 300 * MS
    assert (node.in_flight, node.errors) == (0, len(batch))
    assert node.failure is None
    server.start()
    host.until(lambda: node.up)
    assert host.run(node, write(0, b"d"), write(0, b"e")) == [0, 0]


def test_a_frozen_policy_holds_requests_until_it_is_changed(servers: Servers, host: Host) -> None:
    policy = Policy(resend_timeout_ns=20 * MS, resends=1, on_exhausted="freeze")
    server = Restarted(servers, "memory", "1M")
    node = host.node(server.endpoint, policy=policy)
    server.kill()
    down(host, node)
    request = write(0, b"x")
    node.submit([request])
    host.reactor.run_until(lambda: False, 200 * MS)
    assert request.cookie.finished == 0
    assert node.frozen
    assert [(t["state"], t["budget_left_ns"]) for t in node.transactions()] == [("frozen", None)]
    assert node.transaction_states() == {"frozen": 1}
    node.set_policy(Policy(resend_timeout_ns=20 * MS, resends=1))
    assert not node.frozen
    host.wait(request)
    assert request.error == errno.EIO


def test_a_killed_server_fails_a_request_in_pieces_once(servers: Servers, host: Host) -> None:
    policy = Policy(resend_timeout_ns=100 * MS, resends=1)
    node = host.node(
        servers.nbdkit(
            *("--filter=blocksize-policy", "--filter=delay", "memory", "64M"),
            *("wdelay=600", "rdelay=600", "blocksize-maximum=64K"),
        ),
        policy=policy,
    )
    batch = [write(0, bytes(32 * MIB)), write(MIB, bytes(MIB)), read(0, 32 * MIB)]
    node.submit(batch)
    host.reactor.turn()
    servers.kill()
    host.wait(*batch)
    assert [r.error for r in batch] == [5, 5, 5]
    assert node.errors == 3
    down(host, node)
    assert list(node.transactions()) == []


def test_requests_in_pieces_are_finished_by_the_next_server(servers: Servers, host: Host) -> None:
    disk = servers.file(bytes(8 * MIB))
    server = Restarted(
        servers,
        *("--filter=blocksize-policy", "--filter=delay", "file", str(disk)),
        *("wdelay=5ms", "rdelay=5ms", "blocksize-maximum=64K"),
    )
    node = host.node(server.endpoint, policy=QUICK)
    data = random.Random(3).randbytes(4 * MIB)
    batch = [write(0, data), ask(WRITE_ZEROES, 4 * MIB, 2 * MIB), read(6 * MIB, 2 * MIB), write(1, b"x")]
    for _ in range(3):
        node.submit(batch)
        host.reactor.run_until(lambda: False, 20 * MS)
        server.kill()
        server.start()
        host.wait(*batch)
        assert [r.error for r in batch] == [0] * 4
        assert content(batch[2]) == bytes(2 * MIB)
        for request in batch:
            request.cookie = Ticket()
    assert disk.read_bytes() == data[:1] + b"x" + data[2:] + bytes(4 * MIB)


# -- Changes


def changed(
    servers: Servers, host: Host, before: list[str], after: list[str], *, read_only: bool = False
) -> NbdNode:
    server = Restarted(servers, *before)
    node = host.node(server.endpoint, policy=QUICK, read_only=read_only)
    failures: list[object] = []
    node.on_failure = lambda: failures.append(node.failure)
    server.kill()
    down(host, node)
    request = read(0, 1) if read_only else write(0, b"x")
    node.submit([request])
    server.start(*after)
    host.until(lambda: node.up or node.failure is not None)
    host.wait(request)
    assert request.error == (errno.EIO if node.failure else 0)
    assert failures == ([node.failure] if node.failure else [])
    return node


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (["memory", "2M"], "bytes long now"),
        (["memory", "512K"], "bytes long now"),
        (["-r", "memory", "1M"], "read-only now"),
        (["--filter=blocksize-policy", "memory", "1M", "blocksize-minimum=512"], "block sizes"),
        (["--filter=nozero", "memory", "1M", "zeromode=none"], "capabilities"),
    ],
    ids=["larger", "smaller", "read-only", "block sizes", "capabilities"],
)
def test_an_export_that_changed_is_never_written_to(
    servers: Servers, host: Host, after: list[str], words: str
) -> None:
    node = changed(servers, host, ["memory", "1M"], after)
    assert isinstance(node.failure, Conflict)
    assert words in str(node.failure)
    assert node.status()["link"]["state"] == "down"
    assert host.run(node, read(0, 1), read(0, 1, FAIL_FAST)) == [errno.EIO, errno.EIO]


def test_a_node_that_only_reads_does_not_mind_a_read_only_server(servers: Servers, host: Host) -> None:
    before, after = ["memory", "1M"], ["-r", "memory", "1M"]
    assert changed(servers, host, before, after, read_only=True).failure is None


def test_an_export_that_is_gone_may_come_back(servers: Servers, host: Host) -> None:
    disk = servers.file(bytes(MIB))
    path = servers.folder / "q"

    def start(name: str) -> Endpoint:
        path.unlink(missing_ok=True)
        return servers.start("q", ["qemu-nbd", "-t", "-f", "raw", "-k", str(path), "-x", name, str(disk)])

    node = host.node(start("here"), "here", policy=QUICK)
    servers.kill()
    for process in servers.processes:
        process.wait()
    down(host, node)
    start("elsewhere")
    request = write(0, b"x")
    node.submit([request])
    assert not host.reactor.run_until(lambda: node.up, 200 * MS)
    servers.kill()
    servers.processes[-1].wait()
    start("here")
    host.wait(request)
    assert request.error == 0


# -- Verifiers


def test_every_reconnect_changes_the_verifier_before_anything_is_answered(
    servers: Servers, host: Host
) -> None:
    server = Restarted(servers, "memory", "1M")
    node = host.node(server.endpoint, policy=QUICK)
    first = node.verifier
    assert len(first) == 16
    flush = ask(FLUSH)
    assert host.run(node, flush) == [0]
    assert flush.data == first
    told: list[str] = []
    waiting = ask(FLUSH)
    node.on_verifier = lambda: told.append(f"verifier {node.verifier != first} {waiting.cookie.finished}")
    node.on_up = lambda: told.append("up")
    server.kill()
    down(host, node)
    node.submit([waiting])
    assert node.verifier == first
    server.start()
    host.wait(waiting)
    assert told == ["verifier True 0", "up"]
    assert waiting.data == node.verifier != first


def test_a_failed_flush_changes_the_verifier_after_what_was_acked_before(
    servers: Servers, host: Host
) -> None:
    node = host.node(
        servers.nbdkit(
            *("eval", "get_size=echo 65536", "can_write=exit 0", "can_flush=exit 0", "can_fua=echo native"),
            *("pread=head -c $3 /dev/zero", "pwrite=cat >/dev/null; case $5 in *fua*) exit 1;; esac"),
            "flush=echo EIO >&2; exit 1",
        )
    )
    verifiers = [node.verifier]
    assert host.run(node, write(0, b"x")) == [0]
    assert node.verifier == verifiers[0]
    assert host.run(node, ask(FLUSH)) == [errno.EIO]
    verifiers.append(node.verifier)
    assert host.run(node, write(0, b"x", FUA)) == [errno.EIO]
    verifiers.append(node.verifier)
    assert len(set(verifiers)) == 3


# -- Servers that hang


def test_a_server_that_hangs_for_longer_than_a_resend_timeout_loses_nothing(
    servers: Servers, host: Host
) -> None:
    policy = Policy(
        resend_timeout_ns=200 * MS, resends=100, connect_timeout_ns=200 * MS, backoff_max_ns=SECOND
    )
    disk = servers.file(bytes(MIB))
    node = host.node(servers.qemu(str(disk)), policy=policy)
    assert host.run(node, write(0, b"a")) == [0]
    servers.freeze()
    batch = [write(4096 * i, b"b" * 4096) for i in range(64)] + [write(0, b"c" * MIB), ask(FLUSH)]
    node.submit(batch)
    down(host, node)
    os.kill(servers.processes[-1].pid, signal.SIGCONT)
    host.wait(*batch)
    assert {r.error for r in batch} == {0}
    assert disk.read_bytes() == b"c" * MIB
    assert node.status()["link"]["connects"] == 2


def test_a_server_that_pauses_for_less_is_not_cut(servers: Servers, host: Host) -> None:
    control = servers.folder / "pause"
    node = host.node(
        servers.nbdkit("--filter=pause", "memory", "1M", f"pause-control={control}"),
        policy=Policy(resend_timeout_ns=2 * SECOND),
    )
    command(control, "p")
    request = write(0, b"x")
    node.submit([request])
    host.reactor.run_until(lambda: False, 500 * MS)
    assert request.cookie.finished == 0
    assert node.up
    command(control, "r")
    host.wait(request)
    assert request.error == 0
    assert node.status()["link"]["connects"] == 1


def command(control: Path, word: str) -> None:
    """Tell nbdkit's pause filter, and wait until it has taken effect."""
    import socket

    wait_until(lambda: accepts(control), "the pause filter listens")
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(control))
        peer.sendall(word.encode())
        assert peer.recv(1).decode() == word.upper()


def test_an_idle_node_is_not_lost_when_the_budget_ends(servers: Servers, host: Host) -> None:
    node = host.node(servers.nbdkit("memory", "1M"), policy=Policy(resend_timeout_ns=50 * MS, resends=1))
    assert host.run(node, write(0, b"a")) == [0]
    assert not host.reactor.run_until(lambda: not node.up, 400 * MS)
    assert node.status()["link"]["connects"] == 1
    assert host.run(node, read(0, 1)) == [0]


def test_an_abandoned_node_fails_what_is_in_flight_and_stays_connected(
    servers: Servers, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    node = host.node(slow(servers))
    request = write(0, b"a")
    node.submit([request])
    node.abandon()
    assert request.cookie.finished == 0
    host.wait(request)
    assert request.error == errno.EIO
    assert node.up
    assert [t["state"] for t in node.transactions()] == ["exhausted"]
    assert node.transaction_states() == {"exhausted": 1}
    assert "budget" not in caplog.text  # for none has ended


# -- What is shown


def test_transactions_are_shown_oldest_first_with_their_budget(servers: Servers, host: Host) -> None:
    policy = Policy(resend_timeout_ns=10 * SECOND, resends=1)
    node = host.node(slow(servers), policy=policy)
    node.submit([write(4096, bytes(512), FUA), write(4096, bytes(512)), read(0, 10)])
    host.reactor.turn()
    first, second, third = node.transactions()
    assert (first["op"], first["flags"], first["offset"], first["length"]) == ("WRITE", ["FUA"], 4096, 512)
    assert (first["node"], first["state"], first["attempts"]) == ("n0", "in_flight", 1)
    assert 0 < (first["next_resend_ns"] or 0) <= 10 * SECOND
    assert 15 * SECOND < (first["budget_left_ns"] or 0) <= 20 * SECOND
    assert 0 <= first["age_ns"] < 5 * SECOND
    assert (second["id"], second["state"], second["attempts"]) == (0, "held", 0)
    assert (first["budget_ns"], first["client"]) == (20 * SECOND, None)
    assert (third["op"], third["state"]) == ("READ", "in_flight")
    assert len({first["id"], third["id"]}) == 2
    servers.kill()
    down(host, node)
    assert [t["state"] for t in node.transactions()] == ["resend", "held", "resend"]
    assert node.transaction_states() == {"resend": 2, "held": 1}
    first, second, third = node.transactions()
    assert second["next_resend_ns"] is None
    for sent in (first, third):
        assert 0 < (sent["next_resend_ns"] or 0) <= policy.backoff_max_ns


def test_a_policy_set_later_counts_for_what_is_under_way(servers: Servers, host: Host) -> None:
    node = host.node(slow(servers))
    request = write(0, b"a")
    node.submit([request])
    host.reactor.turn()
    node.set_policy(Policy(resend_timeout_ns=50 * MS, resends=0))
    host.wait(request)
    assert request.error == errno.EIO
    assert node.budget_ns == 50 * MS
