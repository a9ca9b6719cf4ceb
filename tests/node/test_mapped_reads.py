"""When a read is a slice of the mapping and when a copy, and whose memory the copies are in."""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dsttool.engine.device.request import Request
from dsttool.engine.node import mapped
from dsttool.engine.node.backing import open_backing
from dsttool.engine.node.file import SHARED_MAX, FileDevice
from dsttool.engine.node.mapped import LARGE, READS_MIN, REGION, TRUST_NS, MappedFile
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.limits import KIB, SECOND
from support.array_bench import content, is_done, read

SIZE = 4 * REGION
SMALL = 4 * KIB
DATA = bytes(i // 512 % 251 for i in range(SIZE))


@pytest.fixture
def path(disk_folder: Path) -> Path:
    made = disk_folder / "disk.img"
    made.write_bytes(DATA)  # just written: in memory
    return made


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor(io_threads=1)
    yield made
    made.close()


class Bench:
    """A device over the file; every read is checked against what the file holds."""

    def __init__(self, reactor: Reactor, path: Path, **options: Any) -> None:
        self.reactor = reactor
        self.device = FileDevice.open(reactor, str(path), **options)

    def read(self, *offsets: int, length: int = SMALL) -> list[Request]:
        """As one batch."""
        asked = [read(offset, length) for offset in offsets]
        self.device.submit(list(asked))
        assert self.reactor.run_until(lambda: is_done(*asked), 20 * SECOND)
        assert all(content(each) == DATA[each.offset : each.offset + length] for each in asked)
        return asked

    def close(self) -> None:
        closed: list[bool] = []
        self.device.close(lambda: closed.append(True))
        assert self.reactor.run_until(lambda: bool(closed), 20 * SECOND)


@pytest.fixture
def bench(reactor: Reactor, path: Path) -> Iterator[Bench]:
    made = Bench(reactor, path, mapped=True)
    yield made
    made.close()


def is_slice(request: Request) -> bool:
    return isinstance(request.data.obj, mmap.mmap)


# -- asking --------------------------------------------------------------------------------------------


class Questions:
    """Stands in for mincore(2): counts what is asked, and says what the test tells."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.all_resident = True
        monkeypatch.setattr(mapped, "_MINCORE", self)

    def __call__(self, _address: int, length: int, vector: Any) -> int:
        self.count += 1
        pages = -(-length // mmap.PAGESIZE)
        vector[:pages] = [1] * pages
        if not self.all_resident:
            vector[pages - 1] = 0
        return 0


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> Questions:
    return Questions(monkeypatch)


@pytest.fixture
def mapping(path: Path) -> Iterator[MappedFile]:
    descriptor = os.open(path, os.O_RDONLY)
    made = MappedFile.of(descriptor, SIZE)
    assert made is not None
    yield made
    made.close()
    os.close(descriptor)


def test_a_region_is_asked_about_after_many_small_reads_of_it(
    mapping: MappedFile, questions: Questions
) -> None:
    for _ in range(READS_MIN - 1):
        assert not mapping.resident(0, SMALL, 1)
        assert not mapping.resident(REGION, LARGE - 1, 1)
    assert questions.count == 0
    assert mapping.resident(0, SMALL, 1)
    assert questions.count == 1
    assert mapping.resident(REGION - SMALL, SMALL, 1)
    assert (questions.count, list(mapping.trusted)) == (1, [0])


def test_one_large_read_asks_about_each_region_it_touches(mapping: MappedFile, questions: Questions) -> None:
    assert mapping.resident(REGION - LARGE, 2 * LARGE, 1)
    assert (questions.count, list(mapping.trusted)) == (2, [0, 1])


@pytest.mark.parametrize("all_resident", [True, False])
def test_an_answer_of_either_kind_is_believed_for_a_while(
    mapping: MappedFile, questions: Questions, all_resident: bool
) -> None:
    questions.all_resident = all_resident
    for now in (1, TRUST_NS // 2, TRUST_NS):
        assert mapping.resident(0, LARGE, now) is all_resident
    assert questions.count == 1
    questions.all_resident = not all_resident
    assert mapping.resident(0, LARGE, TRUST_NS + 1) is not all_resident
    assert questions.count == 2


def test_what_is_remembered_of_regions_is_bounded(
    mapping: MappedFile, questions: Questions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "REGIONS_MAX", 2)
    for region in range(4):
        mapping.resident(region * REGION, SMALL, 1)
        mapping.resident(region * REGION, LARGE, 1)
        assert len(mapping._reads) <= 3
    for region in range(4):  # small reads alone are remembered as well
        mapping.resident(region * REGION, SMALL, 2 * TRUST_NS)
        assert len(mapping._reads) <= 3


def test_a_single_small_read_is_copied_until_its_region_is_known(bench: Bench) -> None:
    for _ in range(2 * READS_MIN):
        assert not is_slice(bench.read(0)[0])
    assert is_slice(bench.read(0, length=LARGE)[0])
    assert is_slice(bench.read(SMALL)[0])
    assert not is_slice(bench.read(2 * REGION)[0])


def test_small_reads_of_a_batch_are_slices_once_their_region_is_read_often(bench: Bench) -> None:
    offsets = [at * SMALL for at in range(READS_MIN)]
    found = [is_slice(each) for each in bench.read(*offsets)]
    assert found == [False] * (READS_MIN - 1) + [True]
    assert all(is_slice(each) for each in bench.read(*offsets))


# -- who is mapped at all ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "writable", "tells"), [(True, False, True), (False, True, True), (False, False, False)]
)
def test_only_the_owner_and_who_may_write_are_told_what_is_resident(
    reactor: Reactor, path: Path, monkeypatch: pytest.MonkeyPatch, own: bool, writable: bool, tells: bool
) -> None:
    """See mincore(2). Root is everybody, so the system's answers are given here."""
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + (not own))
    monkeypatch.setattr(os, "access", lambda _path, _mode: writable)
    backing = open_backing(str(path), read_only=True, size=None)
    assert backing.tells_residency is tells
    os.close(backing.fd)
    bench = Bench(reactor, path, mapped=True, read_only=True)
    assert is_slice(bench.read(0, length=LARGE)[0]) is tells
    bench.close()


def test_after_distrust_nothing_is_a_slice_even_of_a_region_that_was_known(bench: Bench) -> None:
    before = bench.read(0, length=LARGE)[0]
    assert is_slice(before)
    bench.device.distrust()
    later = [*bench.read(0), *bench.read(0, SMALL), *bench.read(0, length=LARGE)]
    assert not any(is_slice(each) for each in later)
    assert content(before) == DATA[:LARGE], "who holds a slice keeps it"
    bench.device.distrust()  # of what is distrusted already


# -- copies --------------------------------------------------------------------------------------------


def test_many_small_reads_share_segments_across_batches_and_keep_what_they_read(
    reactor: Reactor, path: Path
) -> None:
    bench = Bench(reactor, path)
    before = reactor.pool.bytes_in_use
    count = 4 * limits.SEGMENT_BYTES // SMALL
    outstanding = [bench.read(at * SMALL % SIZE)[0] for at in range(count)]
    assert reactor.pool.bytes_in_use - before == 4 * limits.SEGMENT_BYTES
    for at, request in enumerate(outstanding):
        start = at * SMALL % SIZE
        assert content(request) == DATA[start : start + SMALL]
    bench.close()


def test_a_small_read_that_does_not_fit_begins_a_new_segment(reactor: Reactor, path: Path) -> None:
    bench = Bench(reactor, path)
    length = SHARED_MAX - 1
    fit = limits.SEGMENT_BYTES // length
    found = [bench.read(at * length, length=length)[0] for at in range(fit + 1)]
    assert len({id(each.data.obj) for each in found[:fit]}) == 1
    assert found[fit].data.obj is not found[0].data.obj
    for at, request in enumerate(found):
        assert content(request) == DATA[at * length : (at + 1) * length]
    bench.close()
