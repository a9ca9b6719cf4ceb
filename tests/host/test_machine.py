"""What the machine is said to be doing."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import pytest

from dsttool.engine.host.machine import Machine
from dsttool.engine.vocabulary.limits import SECOND


class _Cpu(NamedTuple):
    user: float
    idle: float
    iowait: float
    guest: float


class _Kernel(ModuleType):
    """psutil's questions with answers of ours; counts how often it was asked."""

    def __init__(self) -> None:
        super().__init__("psutil")
        self.asked = 0
        self.cpu = _Cpu(10.0, 90.0, 0.0, 5.0)
        self.received = 1000
        self.disks: Any = SimpleNamespace(read_bytes=0, write_bytes=0)

    def cpu_times(self) -> _Cpu:
        self.asked += 1
        return self.cpu

    def virtual_memory(self) -> SimpleNamespace:
        return SimpleNamespace(total=1000, available=400)

    def net_io_counters(self, pernic: bool) -> dict[str, SimpleNamespace]:
        assert pernic
        card = SimpleNamespace(bytes_recv=self.received, bytes_sent=0)
        return {"lo": SimpleNamespace(bytes_recv=10**12, bytes_sent=0), "eth0": card}

    def disk_io_counters(self) -> Any:
        if isinstance(self.disks, Exception):
            raise self.disks
        return self.disks


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> _Kernel:
    made = _Kernel()
    monkeypatch.setitem(sys.modules, "psutil", made)
    return made


def test_rates_are_of_the_time_since_the_sample_before(kernel: _Kernel) -> None:
    machine = Machine()
    first = machine.sample(0)
    assert (first["cpu_fraction"], first["received_bytes"]) == (None, None)
    assert (first["memory_bytes"], first["memory_used_bytes"]) == (1000, 600)
    kernel.cpu = _Cpu(13.0, 91.0, 0.0, 5.0)
    kernel.received += 5000
    second = machine.sample(2 * SECOND)
    assert second["cpu_fraction"] == 0.75
    assert second["received_bytes"] == 2500


def test_within_a_second_the_kernel_is_asked_once(kernel: _Kernel) -> None:
    machine = Machine()
    assert machine.sample(0) == machine.sample(SECOND - 1)
    assert kernel.asked == 1
    machine.sample(SECOND)
    assert kernel.asked == 2


def test_what_the_system_does_not_tell_is_unknown(kernel: _Kernel) -> None:
    machine = Machine()
    kernel.disks = FileNotFoundError("/proc/diskstats")
    machine.sample(0)
    assert machine.sample(SECOND)["disk_read_bytes"] is None


def test_a_counter_that_began_anew_gives_no_rate(kernel: _Kernel) -> None:
    machine = Machine()
    machine.sample(0)
    kernel.received = 10
    assert machine.sample(SECOND)["received_bytes"] is None


def test_the_real_machine_answers() -> None:
    machine = Machine()
    machine.sample(0)
    status = machine.sample(SECOND)
    assert status["cpus"] >= 1
    assert status["memory_bytes"] is not None
    assert status["memory_used_bytes"] is not None
    assert 0 < status["memory_used_bytes"] <= status["memory_bytes"]
