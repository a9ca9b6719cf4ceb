"""A file's verifier: what a failed sync loses is not forgotten, whatever becomes of its answer."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsttool.engine.device.device import Device
from dsttool.engine.device.request import Request
from dsttool.engine.host.failed_flushes import FailedFlushes
from dsttool.engine.node.file import FileDevice
from dsttool.engine.node.identity import verifier_of
from dsttool.engine.node.memory import MemoryDevice
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.operations import FLUSH, FUA
from support.array_bench import ask, is_done, write

WAIT = 20 * SECOND


class Ledger:
    """Records in memory what a device must not forget; may fail, and may be held."""

    def __init__(self) -> None:
        self.counts: dict[bytes, int] = {}
        self.error: OSError | None = None
        self.gate = threading.Event()
        self.gate.set()

    def count(self, identity: bytes) -> int:
        return self.counts.get(identity, 0)

    def record(self, identity: bytes, count: int) -> None:
        assert self.gate.wait(20)
        if self.error is not None:
            raise self.error
        self.counts[identity] = count


class Desk:
    """A reactor, and a file whose syncs fail as told."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.reactor = Reactor(io_threads=4)
        self.ledger = Ledger()
        self.sync_error = 0
        self.devices: list[Device] = []
        monkeypatch.setattr(os, "fdatasync", self.fdatasync)

    def fdatasync(self, _fd: int) -> None:
        error, self.sync_error = self.sync_error, 0
        if error:
            raise OSError(error, os.strerror(error))

    def open(self) -> FileDevice:
        device = FileDevice.open(self.reactor, str(self.path), failed=self.ledger)
        self.devices.append(device)
        return device

    def until(self, *requests: Request) -> None:
        assert self.reactor.run_until(lambda: is_done(*requests), WAIT)

    def run(self, device: Device, request: Request) -> Request:
        device.submit([request])
        self.until(request)
        return request

    def close(self, device: Device) -> None:
        closed: list[bool] = []
        device.close(lambda: closed.append(True))
        assert self.reactor.run_until(lambda: bool(closed), WAIT)
        self.devices.remove(device)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(1 << 20))
    made = Desk(path, monkeypatch)
    yield made
    for device in list(made.devices):
        made.close(device)
    made.reactor.close()


def test_a_flush_brings_the_verifier_which_stays_over_restarts(desk: Desk) -> None:
    device = desk.open()
    before = device.verifier
    assert desk.run(device, ask(FLUSH)).data == before
    desk.close(device)
    assert desk.open().verifier == before


def test_a_failed_flush_changes_the_verifier_once_and_for_the_next_server_too(desk: Desk) -> None:
    device = desk.open()
    before = device.verifier
    changes: list[bytes] = []
    device.on_verifier = lambda: changes.append(device.verifier)
    desk.sync_error = errno.EIO
    assert desk.run(device, ask(FLUSH)).error == errno.EIO
    after = device.verifier
    assert changes == [after]
    assert after != before
    assert desk.run(device, ask(FLUSH)).data == after
    desk.close(device)
    assert desk.open().verifier == after


def test_that_a_flush_failed_is_on_record_before_anybody_is_told(desk: Desk) -> None:
    device = desk.open()
    before = device.verifier
    desk.ledger.gate.clear()
    desk.sync_error = errno.EIO
    failed, next_ = ask(FLUSH), ask(FLUSH)
    device.submit([failed])
    device.submit([next_])
    assert not desk.reactor.run_until(lambda: is_done(failed) or is_done(next_), SECOND // 10)
    assert device.verifier == before
    desk.ledger.gate.set()
    desk.until(failed, next_)
    assert (failed.error, next_.error) == (errno.EIO, 0)
    assert next_.data == device.verifier != before
    assert list(desk.ledger.counts.values()) == [1]


def test_a_write_through_that_fails_takes_the_kernels_one_word_about_it_and_counts_as_a_failed_flush(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = desk.open()
    before = device.verifier

    def failing(*_: object) -> int:
        raise OSError(errno.EIO, "")

    monkeypatch.setattr(os, "pwritev", failing)
    assert desk.run(device, write(0, b"through", FUA)).error == errno.EIO
    assert device.verifier != before


def test_a_failure_that_cannot_be_recorded_changes_the_verifier_all_the_same(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    device = desk.open()
    before = device.verifier
    desk.ledger.error = OSError(errno.ENOSPC, "no space")
    desk.sync_error = errno.EIO
    assert desk.run(device, ask(FLUSH)).error == errno.EIO
    assert device.verifier != before
    assert "could not be recorded" in caplog.text


def test_flushes_fail_until_it_is_on_record_that_one_did(desk: Desk) -> None:
    device = desk.open()
    desk.ledger.error = OSError(errno.ENOSPC, "no space")
    desk.sync_error = errno.EIO
    desk.run(device, ask(FLUSH))
    lost = device.verifier
    for _ in range(2):
        assert desk.run(device, ask(FLUSH)).error == errno.EIO
        assert desk.run(device, write(0, b"x")).error == 0
    assert desk.ledger.counts == {}
    desk.ledger.error = None
    together = [ask(FLUSH), ask(FLUSH)]
    device.submit(together)
    desk.until(*together)
    assert [(flush.error, flush.data) for flush in together] == [(0, lost)] * 2
    assert list(desk.ledger.counts.values()) == [1]
    desk.close(device)
    assert desk.open().verifier == lost


def test_a_flush_that_comes_while_it_is_recorded_waits_for_that(desk: Desk) -> None:
    device = desk.open()
    desk.ledger.error = OSError(errno.ENOSPC, "no space")
    desk.sync_error = errno.EIO
    desk.run(device, ask(FLUSH))
    desk.ledger.gate.clear()
    flushes = [ask(FLUSH), ask(FLUSH)]
    for flush in flushes:
        device.submit([flush])
        assert not desk.reactor.run_until(lambda: is_done(*flushes), SECOND // 50)
    desk.ledger.gate.set()
    desk.until(*flushes)
    assert [flush.error for flush in flushes] == [errno.EIO] * 2


def test_a_verifier_is_of_one_device_one_boot_and_one_count() -> None:
    assert verifier_of(b"a" * 16, 0) == verifier_of(b"a" * 16, 0)
    assert len({verifier_of(b"a" * 16, 0), verifier_of(b"b" * 16, 0), verifier_of(b"a" * 16, 1)}) == 3


def test_memory_has_another_verifier_in_each_process_and_flushes_bring_it(desk: Desk) -> None:
    first, second = (MemoryDevice(desk.reactor, 4096) for _ in range(2))
    assert desk.run(first, ask(FLUSH)).data == first.verifier != second.verifier


def test_the_count_is_kept_in_the_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSTTOOL_STATE_DIR", str(tmp_path / "state"))
    ledger = FailedFlushes()
    assert ledger.count(b"\1" * 16) == 0
    assert not (tmp_path / "state").exists(), "nothing is written before something has failed"
    ledger.record(b"\1" * 16, 3)
    assert FailedFlushes().count(b"\1" * 16) == 3
    assert FailedFlushes().count(b"\2" * 16) == 0


@pytest.mark.parametrize("content", [b"", b"[]", b'{"failed_flushes": "1"}', b'{"failed_flushes": -1}'])
def test_a_record_that_cannot_be_read_is_not_taken_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setenv("DSTTOOL_STATE_DIR", str(tmp_path))
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / f"{'01' * 16}.json").write_bytes(content)
    with pytest.raises(DsttoolError, match=r"failed|flushes"):
        FailedFlushes().count(b"\1" * 16)
