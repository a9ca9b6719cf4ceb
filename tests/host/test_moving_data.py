"""cp, bench and info between all kinds of addresses."""

import os
import random
from pathlib import Path

import pytest

from dsttool.engine.device.request import Request, Sink
from dsttool.engine.host import copying
from dsttool.engine.host.benching import Bench, Workload, figures
from dsttool.engine.host.verified_load import BLOCK, VerifiedLoad
from dsttool.engine.node.memory import MemoryDevice
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, UsageError
from dsttool.engine.vocabulary.operations import READ, WRITE
from support.faulty_device import FaultyDevice
from support.site import Site

MIB = 1 << 20


def sparse(path: Path, size: int, seed: int = 1) -> bytes:
    """A file with data at odd places and holes between, and an odd size."""
    content = bytearray(size)
    dice = random.Random(seed)
    for _ in range(6):
        at = dice.randrange(size)
        piece = dice.randbytes(min(300_000, size - at))
        content[at : at + len(piece)] = piece
    with path.open("wb") as file:
        file.truncate(size)
        for at in range(0, size, 4096):
            part = content[at : at + 4096]
            if any(part):
                file.seek(at)
                file.write(part)
    return bytes(content)


def test_a_copy_is_equal_whatever_is_at_its_ends(site: Site) -> None:
    content = sparse(site.path("source.img"), 9 * MIB + 777)
    site.dsttool("export", "b.img", "--size", str(9 * MIB + 777), "--name", "b", "-d")
    uri = site.dsttool("uri", "b").stdout.strip()
    site.dsttool("cp", "source.img", "b")
    site.dsttool("cp", "b", "./over-dst.img")
    site.dsttool("cp", uri, "./over-nbd.img")
    site.dsttool("cp", "over-nbd.img", uri)
    site.dsttool("daemon", "stop", "b")
    for name in ("b.img", "over-dst.img", "over-nbd.img"):
        assert site.path(name).read_bytes() == content


def test_a_copy_leaves_holes_where_zeroes_are(site: Site) -> None:
    site.file("source.img", 64 * MIB, b"some data")
    said = site.json("cp", "source.img", "./target.img")
    assert (said["bytes"], said["zero_bytes"]) == (64 * MIB, 64 * MIB - copying.STEP)
    assert site.path("target.img").stat().st_blocks * 512 <= 2 * copying.STEP
    assert site.path("target.img").stat().st_size == 64 * MIB


def test_a_copy_overwrites_old_data_with_zeroes(site: Site) -> None:
    site.file("source.img", 4 * MIB)
    site.path("target.img").write_bytes(os.urandom(4 * MIB))
    site.dsttool("cp", "source.img", "target.img")
    assert not any(site.path("target.img").read_bytes())


def test_a_target_that_is_too_small_or_read_only_is_refused_and_left_alone(site: Site) -> None:
    site.file("source.img", 2 * MIB)
    small = site.file("small.img", MIB, b"keep me")
    assert "it does not fit" in site.dsttool("cp", "source.img", "small.img", code=8).stderr
    assert small.read_bytes()[:7] == b"keep me"
    site.dsttool("export", "mem:4M", "--read-only", "--name", "r", "-d")
    assert "read-only" in site.dsttool("cp", "source.img", "r", code=None).stderr
    site.dsttool("daemon", "stop", "r")


def test_a_target_that_is_a_bare_word_is_no_file(site: Site) -> None:
    site.file("source.img", MIB)
    assert "./target" in site.dsttool("cp", "source.img", "target", code=3).stderr
    assert not site.path("target").exists()


@pytest.fixture
def reactor() -> "Reactor":
    made = Reactor()
    yield made  # type: ignore[misc]
    made.close()


class Failing(MemoryDevice):
    """Fails writes from some offset on."""

    def submit(self, batch: list[Request]) -> None:
        good = [request for request in batch if request.op != WRITE or request.offset < 2 * MIB]
        bad = [request for request in batch if request not in good]
        for request in bad:
            request.error = 5
            request.sink([request])
        if good:
            super().submit(good)


def filled(reactor: Reactor, size: int) -> MemoryDevice:
    device = MemoryDevice(reactor, size)
    data = memoryview(os.urandom(size))
    device.submit([Request(WRITE, 0, 0, size, data, None, lambda _: None)])
    return device


def test_a_failed_write_ends_a_copy_with_the_reason_and_the_place(reactor: Reactor) -> None:
    job = copying.Copy(reactor, filled(reactor, 8 * MIB), Failing(reactor, 8 * MIB, "bad"), fresh=False)
    with pytest.raises(DsttoolError, match=r"Cannot write bad at byte .*Input/output error"):
        job.run()


def test_a_copy_of_many_blocks_between_devices_that_answer_at_once_does_not_nest(reactor: Reactor) -> None:
    source = MemoryDevice(reactor, 1 << 32)
    job = copying.Copy(reactor, source, MemoryDevice(reactor, 1 << 32), fresh=True)
    job.run()
    assert (job.done_bytes, job.zero_bytes) == (1 << 32, 1 << 32)


class InPieces(MemoryDevice):
    """Answers reads in pieces of 1000 bytes, as an array of oddly sized nodes does."""

    def submit(self, batch: list[Request]) -> None:
        for request in batch:
            sink = request.sink

            def cut(requests: list[Request], sink: Sink = sink) -> None:
                for each in requests:
                    view = memoryview(b"".join(each.data) if isinstance(each.data, list) else each.data)
                    each.data = [view[at : at + 1000] for at in range(0, len(view), 1000)]
                sink(requests)

            if request.op == READ:
                request.sink = cut
        super().submit(batch)


@pytest.mark.parametrize("fresh", [True, False])
def test_a_copy_only_makes_requests_of_whole_blocks_of_its_target(reactor: Reactor, fresh: bool) -> None:
    source = InPieces(reactor, MIB + 5 * 512)
    content = random.Random(1).randbytes(100_000)
    write = Request(WRITE, 0, 300_001, len(content), memoryview(content), None, lambda _: None)
    source.submit([write])
    target = FaultyDevice(reactor, 2 * MIB, block_min=512, payload_max=100_000)  # insists on alignment
    copying.Copy(reactor, source, target, fresh=fresh).run()
    assert target.bytes[300_001:400_001] == content
    assert (any(target.bytes[:300_001]), any(target.bytes[400_001:])) == (False, False)
    assert max(length for _, _, length in target.got) <= 100_000


@pytest.mark.parametrize("strict", ["source", "target"])
def test_a_source_that_ends_within_a_block_is_refused_before_anything_is_copied(
    reactor: Reactor, strict: str
) -> None:
    source = FaultyDevice(reactor, 1000, "from", block_min=512 if strict == "source" else 1)
    target = FaultyDevice(reactor, MIB, "to", block_min=512 if strict == "target" else 1)
    name = "from" if strict == "source" else "to"
    with pytest.raises(Conflict, match=f"{name} takes whole blocks of 512 bytes .*has 1000") as refused:
        copying.Copy(reactor, source, target, fresh=False)
    assert "truncate -s 1024 FILE" in refused.value.advice
    assert (source.got, target.got) == ([], [])


def test_devices_whose_requests_have_no_size_in_common_are_not_copied(reactor: Reactor) -> None:
    source = FaultyDevice(reactor, MIB, payload_max=4096)
    for target in (
        FaultyDevice(reactor, MIB, block_min=8192),
        FaultyDevice(reactor, MIB, block_min=2 * copying.STEP),
    ):
        with pytest.raises(Conflict, match="in common"):
            copying.Copy(reactor, source, target, fresh=False)


@pytest.mark.parametrize("size", [1, 100, copying.STEP, copying.STEP + 1, 5 * copying.STEP - 3])
def test_runs_cover_a_view_and_tell_zeroes_from_data(size: int) -> None:
    for pattern in range(8):
        data = bytearray(size)
        for step in range(3):
            if pattern >> step & 1:
                at = min(step * copying.STEP + 40, size - 1)
                data[at] = 1
        found = copying.runs(memoryview(bytes(data)))
        rebuilt = b"".join(bytes(run.length) if run.data is None else bytes(run.data) for run in found)
        assert rebuilt == bytes(data)
        assert [run.start for run in found] == [sum(r.length for r in found[:i]) for i in range(len(found))]


def test_bench_measures_without_a_word_and_in_json(site: Site) -> None:
    answer = site.json("bench", "mem:16M", "--time", "200ms", "--bs", "8K", "--depth", "4")
    assert answer["schema"] == "dsttool.bench/1"
    assert answer["requests"] > 0
    assert answer["bytes"] == answer["requests"] * 8192
    assert answer["latency_ns"]["p50"] <= answer["latency_ns"]["p99"] <= answer["latency_ns"]["max"]
    table = site.dsttool("bench", "mem:16M", "--time", "100ms").stdout.splitlines()
    assert table[0].split()[0] == "RW"
    assert table[1].split()[0] == "randread"


def test_a_bench_that_destroys_data_wants_to_be_told_so(site: Site) -> None:
    image = site.file("a.img", MIB, b"keep me")
    for options in ((), ("--no-input",)):
        refused = site.dsttool("bench", image, "--rw", "write", "--time", "100ms", *options, code=6)
        assert "This overwrites what is at" in refused.stderr
    assert image.read_bytes()[:7] == b"keep me"
    site.dsttool("bench", image, "--rw", "write", "--bs", "64K", "--time", "100ms", "-y")
    assert image.read_bytes()[:7] != b"keep me"


@pytest.mark.parametrize(
    ("workload", "error"),
    [
        (Workload("read", 0, 1, 1), UsageError),
        (Workload("read", 2 * MIB, 1, 1), UsageError),
        (Workload("read", 4096, 0, 1), UsageError),
        (Workload("read", 4096, 10**6, 1), UsageError),
    ],
)
def test_a_workload_that_the_device_cannot_take_is_refused(
    reactor: Reactor, workload: Workload, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Bench(reactor, MemoryDevice(reactor, MIB), workload)


def test_a_write_bench_on_a_read_only_device_is_refused(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "r", "--read-only", "-d")
    uri = site.dsttool("uri", "r").stdout.strip()
    assert "read-only" in site.dsttool("bench", uri, "--rw", "write", "-y", code=8).stderr
    site.dsttool("daemon", "stop", "r")


def test_figures_are_what_the_latencies_say() -> None:
    from array import array

    found = figures(array("Q", range(1, 101)), 512, 2_000_000_000)
    assert (found.requests, found.bytes, found.mean_ns) == (100, 51200, 50)
    assert (found.p50_ns, found.p99_ns, found.max_ns) == (51, 100, 100)
    assert (found.iops, found.bytes_per_second) == (50, 25600)
    assert figures(array("Q"), 512, 1).requests == 0


def test_info_tells_size_and_guarantees_of_every_kind(site: Site) -> None:
    image = site.file("a.img", MIB)
    site.dsttool("export", image, "--name", "a", "-d")
    over_nbd = site.json("info", site.dsttool("uri", "a").stdout.strip())
    assert (over_nbd["kind"], over_nbd["size_bytes"], over_nbd["read_only"]) == ("nbd", MIB, False)
    assert [export["name"] for export in over_nbd["exports"]] == ["a"]
    over_dst = site.json("info", "a")
    assert (over_dst["kind"], over_dst["size_bytes"], over_dst["exports"]) == ("dst", MIB, None)
    for found in (over_nbd, over_dst):
        told = {each["name"]: each["holds"] for each in found["guarantees"]}
        over_sessions = found is over_dst
        assert told["reconnect"] is found["reconnect"] is True
        for name in ("exactly_once", "ordered_after_reconnect", "power_loss_detected"):
            assert told[name] is found[name] is over_sessions
    assert over_nbd["structured_replies"] in (True, False)
    assert over_dst["structured_replies"] is None
    assert "size          1 MiB (1048576 bytes)" in site.dsttool("info", "a").stdout
    site.dsttool("daemon", "stop", "a")
    assert site.json("info", image)["size_bytes"] == MIB
    assert site.json("info", "mem:3M")["size_bytes"] == 3 * MIB


def test_info_of_what_is_not_there_says_so(site: Site) -> None:
    assert "Cannot reach" in site.dsttool("info", f"dst+unix:///?socket={site.path('no')}", code=4).stderr
    assert site.dsttool("info", f"nbd+unix:///?socket={site.path('no')}", code=None).returncode in (3, 4)
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    wrong = f"nbd+unix:///b?socket={site.env['DSTTOOL_RUNTIME_DIR']}/a.nbd"
    assert site.dsttool("info", wrong, code=3).stderr.startswith("error: ")
    site.dsttool("daemon", "stop", "a")


def test_info_lists_the_exports_of_a_server_that_has_several(site: Site) -> None:
    site.dsttool("export", "mem:1M", "mem:2M", "--name", "a", "--name", "b", "-d")
    found = site.json("info", f"nbd+unix:///?socket={site.env['DSTTOOL_RUNTIME_DIR']}/a.nbd")
    assert [export["name"] for export in found["exports"]] == ["a", "b"]
    assert found["size_bytes"] is None
    site.dsttool("daemon", "stop", "a")


def test_a_verified_load_finds_a_read_that_brings_old_data(reactor: Reactor) -> None:
    class Stuck(MemoryDevice):
        def submit(self, batch: list[Request]) -> None:
            for request in batch:
                if request.op == WRITE and request.offset == 0:
                    request.sink([request])
                else:
                    super().submit([request])

    for device, wrong in ((MemoryDevice(reactor, 8 * BLOCK), False), (Stuck(reactor, 8 * BLOCK), True)):
        load = VerifiedLoad(reactor, device, 8)
        load.start()
        assert reactor.run_until(lambda: load.tally.requests > 500, 60_000_000_000)  # noqa: B023
        assert load.stop(60_000_000_000)
        assert load.check_all(60_000_000_000)
        assert load.tally.errors == 0
        assert bool(load.tally.mismatches) is wrong


def test_a_read_only_target_is_a_conflict_before_anything_is_copied(reactor: Reactor) -> None:
    with pytest.raises(Conflict, match="does not fit"):
        copying.Copy(reactor, MemoryDevice(reactor, 2 * MIB), MemoryDevice(reactor, MIB), fresh=False)
