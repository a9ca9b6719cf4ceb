"""Files and memory as devices: what is written is read, what fails says so, and nobody else is let in."""

import ctypes
import dataclasses
import errno
import fcntl
import mmap
import os
import random
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsttool.engine.device.device import Device
from dsttool.engine.device.request import Request
from dsttool.engine.node import backing
from dsttool.engine.node.file import SHARED_MAX, FileDevice
from dsttool.engine.node.memory import MemoryDevice
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, NotFound, UsageError
from dsttool.engine.vocabulary.limits import KIB, MIB, SECOND
from dsttool.engine.vocabulary.operations import (
    CACHE,
    FAST_ZERO,
    FLUSH,
    FUA,
    LOOKED_AT,
    NO_HOLE,
    READ,
    TRIM,
    WRITE,
    WRITE_ZEROES,
)
from support.array_bench import ask, content, is_done, read, trim, write

SIZE = 4 * MIB
PAGE = mmap.PAGESIZE


class Desk:
    """A reactor and devices on it; closes them all."""

    def __init__(self) -> None:
        self.reactor = Reactor(io_threads=4)
        self.devices: list[Device] = []

    def file(self, path: Path, **options: Any) -> FileDevice:
        device = FileDevice.open(self.reactor, str(path), **options)
        self.devices.append(device)
        return device

    def memory(self, size: int = SIZE) -> MemoryDevice:
        device = MemoryDevice(self.reactor, size)
        self.devices.append(device)
        return device

    def until(self, condition: Callable[[], bool]) -> None:
        assert self.reactor.run_until(condition, 20 * SECOND)

    def wait(self, requests: list[Request]) -> None:
        self.until(lambda: is_done(*requests))

    def run(self, device: Device, *requests: Request) -> list[int]:
        """Submit as one batch and wait; the errors."""
        device.submit(list(requests))
        self.until(lambda: is_done(*requests))
        return [request.error for request in requests]

    def content(self, device: Device, offset: int, length: int) -> bytes:
        request = read(offset, length)
        self.run(device, request)
        return content(request)

    def close_device(self, device: Device) -> None:
        closed: list[bool] = []
        device.close(lambda: closed.append(True))
        self.until(lambda: bool(closed))
        self.devices.remove(device)

    def close(self) -> None:
        for device in list(self.devices):
            self.close_device(device)
        self.reactor.close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "disk.img"
    with made.open("wb") as file:
        file.truncate(SIZE)
    return made


def zeroes(offset: int, length: int, flags: int = 0) -> Request:
    return ask(WRITE_ZEROES, offset, length, None, flags)


def allocated(path: Path) -> int:
    """Bytes of storage the file takes."""
    return path.stat().st_blocks * 512


def forget(path: Path) -> None:
    """Drop the file's pages from the cache, so that the next reads are cold."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


# -- against a model -----------------------------------------------------------------------------------


OFFSETS = st.one_of(
    st.integers(0, SIZE - 1), st.sampled_from([0, 1, PAGE - 1, PAGE, SHARED_MAX, SIZE - 1, SIZE - PAGE])
)
LENGTHS = st.one_of(
    st.integers(1, 10_000), st.sampled_from([1, PAGE, SHARED_MAX - 1, SHARED_MAX, 300 * KIB, 2 * MIB])
)
Action = tuple[int, int, int, int]
ACTIONS = st.tuples(
    st.sampled_from([READ, READ, WRITE, WRITE, WRITE, TRIM, WRITE_ZEROES, FLUSH, CACHE]),
    OFFSETS,
    LENGTHS,
    st.sampled_from([0, 0, FUA, NO_HOLE]),
)


def modelled(plan: list[Action], model: bytearray) -> list[Request]:
    """Requests of the plan, done in the model already."""
    requests = []
    for index, (op, offset, length, flags) in enumerate(plan):
        length = min(length, SIZE - offset)
        if op == FLUSH:
            requests.append(ask(FLUSH))
            continue
        data = None
        if op == WRITE:
            data = memoryview(bytes([index % 250 + 1]) * length)
            model[offset : offset + length] = data
        elif op in (TRIM, WRITE_ZEROES):
            model[offset : offset + length] = bytes(length)
        allowed = {WRITE: FUA, TRIM: FUA, WRITE_ZEROES: FUA | NO_HOLE}.get(op, 0)
        requests.append(ask(op, offset, length, data, flags & allowed))
    return requests


@pytest.mark.parametrize("kind", ["file", "mapped", "memory"])
@settings(max_examples=40)
@given(batches=st.lists(st.lists(ACTIONS, max_size=12), min_size=1, max_size=6), wait=st.booleans())
def test_a_device_holds_what_the_model_holds(
    kind: str,
    batches: list[list[Action]],
    wait: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Overlapping changes take effect in the order of their submission, waited for or not."""
    desk = Desk()
    model = bytearray(SIZE)
    try:
        device: Device
        if kind == "memory":
            device = desk.memory()
        else:
            path = tmp_path_factory.mktemp("model") / "disk.img"
            device = desk.file(path, size=SIZE, mapped=kind == "mapped")
        pending: list[Request] = []
        for batch in batches:
            requests = modelled(batch, model)
            device.submit(requests)
            pending += requests
            if wait:
                desk.wait(pending)
                check(desk, device, model, [(offset, length) for _, offset, length, _ in batch])
        desk.wait(pending)
        assert {request.error for request in pending} <= {0}
        check(desk, device, model, [(0, SIZE)])
        if kind != "memory":
            assert path.read_bytes() == model
    finally:
        desk.close()


def check(desk: Desk, device: Device, model: bytearray, extents: list[tuple[int, int]]) -> None:
    for offset, length in extents:
        length = min(length, SIZE - offset)
        got = desk.content(device, offset, length)
        assert got == model[offset : offset + length], f"{offset}+{length}"


@pytest.mark.parametrize("mapped", [False, True])
def test_cold_reads_of_every_length_bring_the_same_as_hot_ones(desk: Desk, path: Path, mapped: bool) -> None:
    data = random.Random(1).randbytes(SIZE)
    path.write_bytes(data)
    device = desk.file(path, mapped=mapped)
    for attempt in range(2):
        if not attempt:
            forget(path)
        requests = [
            read(offset, length)
            for length in (1, 512, PAGE, SHARED_MAX - 1, SHARED_MAX, MIB)
            for offset in (0, 77, SIZE - length)
        ]
        assert set(desk.run(device, *requests)) == {0}
        for request in requests:
            assert content(request) == data[request.offset : request.offset + request.length]


def test_a_read_that_will_be_looked_at_is_no_slice_of_a_mapping(desk: Desk, disk_folder: Path) -> None:
    """Touching a mapping in user code is SIGBUS where the kernel gets EFAULT."""
    path = disk_folder / "disk.img"
    path.write_bytes(bytes(SIZE))
    device = desk.file(path, mapped=True)
    desk.content(device, 0, MIB)
    plain, looked_at = read(0, MIB), read(0, MIB, LOOKED_AT)
    assert desk.run(device, plain, looked_at) == [0, 0]
    assert plain.data.obj is device._view.obj
    assert looked_at.data.obj is not device._view.obj


def test_a_device_that_was_distrusted_gives_copies(desk: Desk, path: Path) -> None:
    path.write_bytes(b"x" * SIZE)
    device = desk.file(path, mapped=True)
    desk.content(device, 0, MIB)
    device.distrust()
    after = read(0, MIB)
    desk.run(device, after)
    assert not isinstance(after.data.obj, mmap.mmap)
    assert content(after) == b"x" * MIB


def test_a_batch_comes_back_in_one_list(desk: Desk, path: Path) -> None:
    device = desk.file(path)
    path.write_bytes(bytes(SIZE))
    lists: list[int] = []

    def sink(done: list[Request]) -> None:
        lists.append(len(done))

    device.submit([Request(READ, 0, at * PAGE, PAGE, None, None, sink) for at in range(32)])
    assert lists == [32], "hot reads are answered at once, together"


# -- durability ----------------------------------------------------------------------------------------


class Syncs:
    """Counts fdatasync, and holds it until told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self.error = 0
        monkeypatch.setattr(os, "fdatasync", self.fdatasync)

    def fdatasync(self, _fd: int) -> None:
        self.count += 1
        self.entered.release()
        assert self.gate.wait(20)
        if self.error:
            raise OSError(self.error, os.strerror(self.error))


def test_a_flush_reaches_the_file(desk: Desk, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = Syncs(monkeypatch)
    device = desk.file(path)
    assert desk.run(device, ask(FLUSH)) == [0]
    assert syncs.count == 1


def test_flushes_that_come_while_one_runs_share_the_next(
    desk: Desk, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = Syncs(monkeypatch)
    device = desk.file(path)
    syncs.gate.clear()
    first, others = ask(FLUSH), [ask(FLUSH) for _ in range(10)]
    device.submit([first])
    assert syncs.entered.acquire(timeout=20)
    for flush in others:
        device.submit([flush])
    syncs.gate.set()
    desk.until(lambda: is_done(first, *others))
    assert syncs.count == 2, "those that came later need one of their own: it must cover what they cover"


def test_a_flush_that_fails_fails_for_all_who_share_it(
    desk: Desk, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = Syncs(monkeypatch)
    device = desk.file(path)
    syncs.error = errno.EIO
    assert desk.run(device, ask(FLUSH), ask(FLUSH)) == [errno.EIO, errno.EIO]
    syncs.error = 0
    assert desk.run(device, ask(FLUSH)) == [0]


def test_a_write_with_fua_is_written_through(desk: Desk, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags: list[int] = []
    pwritev = os.pwritev

    def noted(fd: int, data: Any, at: int, how: int) -> int:
        flags.append(how)
        return pwritev(fd, data, at, how)

    monkeypatch.setattr(os, "pwritev", noted)
    device = desk.file(path)
    assert desk.run(device, write(0, b"through", FUA)) == [0]
    assert flags == [os.RWF_DSYNC]
    assert path.read_bytes()[:7] == b"through"


@pytest.mark.parametrize("op", [TRIM, WRITE_ZEROES])
def test_zeroes_and_trims_with_fua_are_synced_before_they_are_answered(
    desk: Desk, path: Path, op: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = Syncs(monkeypatch)
    device = desk.file(path)
    assert desk.run(device, ask(op, 0, PAGE)) == [0]
    assert syncs.count == 0
    assert desk.run(device, ask(op, 0, PAGE, None, FUA)) == [0]
    assert syncs.count == 1
    syncs.error = errno.EIO
    assert desk.run(device, ask(op, 0, PAGE, None, FUA)) == [errno.EIO]


def test_what_overlaps_a_write_in_the_pool_waits_for_it_and_others_do_not(
    desk: Desk, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    pwritev = os.pwritev

    def held(fd: int, data: Any, at: int, flags: int) -> int:
        if at == 0 and flags:
            assert gate.wait(20)
        return pwritev(fd, data, at, flags)

    monkeypatch.setattr(os, "pwritev", held)
    device = desk.file(path)
    slow, over, beside = write(0, b"slow" * 100, FUA), write(4, b"over"), write(PAGE, b"beside")
    device.submit([slow, over, beside])
    desk.until(lambda: is_done(beside))
    assert not is_done(over)
    gate.set()
    desk.until(lambda: is_done(slow, over))
    assert desk.content(device, 0, 12) == b"slowoverslow"


# -- trim and zeroes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [TRIM, WRITE_ZEROES])
def test_trimming_and_zeroing_punch_holes(desk: Desk, path: Path, op: int) -> None:
    path.write_bytes(b"x" * SIZE)
    device = desk.file(path)
    before = allocated(path)
    assert desk.run(device, ask(op, MIB, 2 * MIB)) == [0]
    assert before - allocated(path) >= 2 * MIB - 2 * PAGE
    assert path.read_bytes() == b"x" * MIB + bytes(2 * MIB) + b"x" * MIB
    assert path.stat().st_size == SIZE


def test_zeroes_without_a_hole_keep_the_space(desk: Desk, path: Path) -> None:
    path.write_bytes(b"x" * SIZE)
    device = desk.file(path)
    assert desk.run(device, zeroes(MIB, 2 * MIB, NO_HOLE)) == [0]
    assert allocated(path) >= SIZE
    assert path.read_bytes() == b"x" * MIB + bytes(2 * MIB) + b"x" * MIB


def test_zeroes_without_a_hole_allocate_what_was_none(desk: Desk, path: Path) -> None:
    device = desk.file(path)
    assert desk.run(device, zeroes(0, MIB, NO_HOLE)) == [0]
    assert allocated(path) >= MIB


@pytest.mark.parametrize(("offset", "length"), [(1, 1), (100, 3 * PAGE), (PAGE - 1, PAGE + 2), (0, SIZE)])
def test_zeroes_need_no_alignment(desk: Desk, path: Path, offset: int, length: int) -> None:
    path.write_bytes(b"x" * SIZE)
    device = desk.file(path)
    assert desk.run(device, zeroes(offset, length)) == [0]
    assert path.read_bytes() == b"x" * offset + bytes(length) + b"x" * (SIZE - offset - length)


def test_where_nothing_can_be_punched_zeroes_are_written_and_trims_do_nothing(
    desk: Desk, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backing, "_FALLOCATE", lambda *_: _fails_with(errno.EOPNOTSUPP))
    path.write_bytes(b"x" * SIZE)
    device = desk.file(path)
    assert desk.run(device, trim(0, MIB), zeroes(MIB + 1, MIB)) == [0, 0]
    assert path.read_bytes() == b"x" * (MIB + 1) + bytes(MIB) + b"x" * (2 * MIB - 1)


def test_fast_zeroes_are_punched_or_refused(desk: Desk, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"x" * SIZE)
    device = desk.file(path)
    assert device.capabilities.fast_zero
    assert desk.run(device, zeroes(100, MIB, FAST_ZERO)) == [0]
    monkeypatch.setattr(backing, "_FALLOCATE", lambda *_: _fails_with(errno.EOPNOTSUPP))
    assert desk.run(device, zeroes(2 * MIB, MIB, FAST_ZERO)) == [errno.ENOTSUP]
    assert path.read_bytes() == b"x" * 100 + bytes(MIB) + b"x" * (SIZE - MIB - 100)


def test_what_lies_within_two_sectors_is_zeroed_fast_in_any_case(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backing, "_FALLOCATE", lambda *_: _fails_with(errno.EOPNOTSUPP))
    path.write_bytes(b"x" * SIZE)
    opened = backing.open_backing(str(path), read_only=False, size=None)
    disk = dataclasses.replace(opened, sector=512)
    assert disk.write_zeroes(100, 900, FAST_ZERO) == 0
    disk.close()
    assert path.read_bytes() == b"x" * 100 + bytes(900) + b"x" * (SIZE - 1000)


def _fails_with(code: int) -> int:
    ctypes.set_errno(code)
    return -1


# -- failures ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("length", [PAGE, MIB])
def test_a_file_that_was_cut_is_an_error_and_no_crash(
    desk: Desk, path: Path, mapped: bool, length: int
) -> None:
    path.write_bytes(b"x" * SIZE)
    device = desk.file(path, mapped=mapped)
    os.truncate(path, 0)
    assert desk.run(device, read(0, length), read(SIZE - length, length)) == [errno.EIO] * 2


def test_a_write_beyond_the_space_there_is_fails_and_the_next_one_does_not(
    desk: Desk, tmp_path: Path
) -> None:
    """A limit on the size of files stands for a full disk: the same call fails in the same place."""
    path = tmp_path / "disk.img"
    device = desk.file(path, size=SIZE)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    try:
        over, across, within = write(2 * MIB, b"x"), write(MIB - 10, b"y" * 20), write(0, b"fine")
        assert desk.run(device, over, across, within) == [errno.EFBIG, errno.EFBIG, 0]
        assert desk.run(device, write(2 * MIB, b"x", FUA)) == [errno.EFBIG]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert desk.content(device, 0, 4) == b"fine"
    assert desk.run(device, write(2 * MIB, b"x")) == [0]


def test_a_short_write_is_continued(desk: Desk, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite

    def half(fd: int, data: memoryview, at: int) -> int:
        return pwrite(fd, data[: len(data) // 2 or 1], at)

    monkeypatch.setattr(os, "pwrite", half)
    device = desk.file(path)
    assert desk.run(device, write(10, b"all of it")) == [0]
    assert desk.content(device, 10, 9) == b"all of it"


def test_a_read_error_of_the_medium_is_told(desk: Desk, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = desk.file(path)

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "bad sector")

    monkeypatch.setattr(os, "preadv", fail)
    assert desk.run(device, read(0, 512), read(0, MIB)) == [errno.EIO, errno.EIO]


# -- opening -------------------------------------------------------------------------------------------


def test_a_size_creates_a_sparse_file_that_is_private(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "new.img"
    device = desk.file(path, size=10 * MIB)
    assert device.capabilities.size == 10 * MIB
    assert path.stat().st_size == 10 * MIB
    assert allocated(path) < MIB
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_size_of_what_is_there_may_be_repeated_but_not_contradicted(desk: Desk, path: Path) -> None:
    assert desk.file(path, size=SIZE).capabilities.size == SIZE
    desk.close_device(desk.devices[0])
    with pytest.raises(UsageError, match=f"{SIZE} bytes, not the {SIZE * 2}"):
        desk.file(path, size=SIZE * 2)
    assert path.stat().st_size == SIZE


def test_a_file_that_is_not_there_is_not_made_without_a_size(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No such file"):
        desk.file(tmp_path / "none.img")
    assert not (tmp_path / "none.img").exists()


def test_what_could_not_be_created_whole_is_not_left_behind(desk: Desk, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    try:
        with pytest.raises(DsttoolError, match="Cannot create"):
            desk.file(tmp_path / "huge.img", size=2 * MIB)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(UsageError, match="empty"):
        desk.file(tmp_path / "empty.img", size=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [None, 4096])
def test_an_empty_file_is_refused_and_the_way_out_told(desk: Desk, tmp_path: Path, size: int | None) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(UsageError, match=r"is empty.*truncate -s"):
        desk.file(tmp_path / "empty", size=size)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_folder_is_refused(desk: Desk, tmp_path: Path, read_only: bool) -> None:
    with pytest.raises(UsageError, match="neither a file nor a block device"):
        desk.file(tmp_path, read_only=read_only)


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.timeout(20)
def test_a_pipe_is_refused_and_not_waited_for(desk: Desk, tmp_path: Path, read_only: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="neither a file nor a block device"):
        desk.file(tmp_path / "pipe", read_only=read_only)


HOLDER = """
import fcntl, sys
file = open(sys.argv[1], 'r+b')
fcntl.flock(file, fcntl.LOCK_EX)
print('held', flush=True)
sys.stdin.read()
"""


def test_a_locked_file_is_refused_and_its_holder_named(desk: Desk, path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Conflict, match=f"process {holder.pid}, python"):
            desk.file(path)
        holder.communicate()
    desk.file(path)


def test_one_file_has_one_writer_or_many_readers(desk: Desk, path: Path) -> None:
    writer = desk.file(path)
    for read_only in (False, True):
        with pytest.raises(Conflict, match="locked"):
            desk.file(path, read_only=read_only)
    desk.close_device(writer)
    desk.file(path, read_only=True)
    desk.file(path, read_only=True)
    with pytest.raises(Conflict, match="locked"):
        desk.file(path)


def test_a_refused_file_leaves_no_descriptor_and_no_lock(desk: Desk, path: Path) -> None:
    with pytest.raises(UsageError):
        desk.file(path, size=1)
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_read_only_is_said_and_the_file_needs_no_more_than_reading(desk: Desk, path: Path) -> None:
    path.write_bytes(b"known" + bytes(SIZE - 5))
    path.chmod(0o400)
    device = desk.file(path, read_only=True)
    assert device.capabilities.read_only
    assert desk.content(device, 0, 5) == b"known"
    assert desk.run(device, ask(FLUSH)) == [0]
    assert desk.run(device, write(0, b"x")) != [0]
    assert path.read_bytes()[:5] == b"known"


def test_a_file_keeps_its_identity_and_one_that_took_its_place_has_another(desk: Desk, path: Path) -> None:
    first = desk.file(path)
    desk.close_device(first)
    again = desk.file(path)
    desk.close_device(again)
    other = path.with_name("other")
    other.write_bytes(bytes(SIZE))
    other.rename(path)
    assert first.identity == again.identity
    assert desk.file(path).identity != first.identity
    assert len(first.identity) == 16


# -- closing -------------------------------------------------------------------------------------------


def test_closing_waits_for_what_runs(desk: Desk, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = Syncs(monkeypatch)
    device = desk.file(path)
    syncs.gate.clear()
    requests = [ask(FLUSH), write(0, b"through", FUA)]
    device.submit(requests)
    assert syncs.entered.acquire(timeout=20)
    closed: list[bool] = []
    device.close(lambda: closed.append(is_done(*requests)))
    desk.reactor.post(lambda: None)
    desk.reactor.turn()
    assert closed == []
    syncs.gate.set()
    desk.until(lambda: bool(closed))
    assert closed == [True]
    desk.devices.remove(device)


def test_a_closed_file_is_unlocked(desk: Desk, path: Path) -> None:
    desk.close_device(desk.file(path))
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_slice_of_a_mapping_outlives_the_device(desk: Desk, path: Path) -> None:
    path.write_bytes(b"x" * SIZE)
    device = desk.file(path, mapped=True)
    desk.content(device, 0, MIB)
    request = read(0, MIB)
    desk.run(device, request)
    desk.close_device(device)
    assert content(request) == b"x" * MIB


# -- memory --------------------------------------------------------------------------------------------


def test_memory_is_zeroes_before_it_is_written_and_costs_nothing(desk: Desk) -> None:
    device = desk.memory(1 << 40)
    assert device.capabilities.size == 1 << 40
    assert desk.content(device, (1 << 40) - 5, 5) == bytes(5)


@pytest.mark.parametrize(("offset", "length"), [(1, 1), (100, 3 * PAGE), (PAGE - 1, PAGE + 2), (0, SIZE)])
@pytest.mark.parametrize("op", [TRIM, WRITE_ZEROES])
def test_memory_is_zeroed_to_the_byte(desk: Desk, op: int, offset: int, length: int) -> None:
    device = desk.memory()
    assert desk.run(device, write(0, b"x" * SIZE), ask(op, offset, length)) == [0, 0]
    assert desk.content(device, 0, SIZE) == b"x" * offset + bytes(length) + b"x" * (SIZE - offset - length)


def test_two_memories_have_two_identities(desk: Desk) -> None:
    assert desk.memory().identity != desk.memory().identity


def test_syncs_that_run_together_do_not_share_an_open_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the kernel might tell the wrong one of a failed write-back, and the other would succeed."""
    together = threading.Barrier(2, timeout=20)
    used: list[int] = []

    def fdatasync(fd: int) -> None:
        used.append(fd)
        together.wait()

    disk = backing.open_backing(str(tmp_path / "disk"), read_only=False, size=4096)
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    with ThreadPoolExecutor(2) as pool:
        assert [done.result() for done in [pool.submit(disk.flush) for _ in range(2)]] == [0, 0]

    assert len(set(used)) == 2
    assert disk.fd not in used
    disk.close()
