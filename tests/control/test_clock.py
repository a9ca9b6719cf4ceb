"""What a clock that is set, and a machine that sleeps, do to times that are told."""

import time

import pytest

from dsttool.engine.control import clock
from dsttool.engine.vocabulary.limits import SECOND

HOUR = 3600 * SECOND


class Machine:
    """A machine whose clocks only a test moves: as the module `time`, as far as it is asked."""

    CLOCK_BOOTTIME = time.CLOCK_BOOTTIME

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.unix_ns, self.boot_ns = 1_760_000_000 * SECOND, 5 * HOUR
        monkeypatch.setattr(clock, "time", self)

    def time_ns(self) -> int:
        return self.unix_ns

    def clock_gettime_ns(self, which: int) -> int:
        assert which == self.CLOCK_BOOTTIME
        return self.boot_ns

    def pass_(self, ns: int) -> None:
        self.unix_ns += ns
        self.boot_ns += ns


@pytest.mark.parametrize("set_by", [-3 * HOUR, 0, 3 * HOUR])
def test_a_clock_that_is_set_tears_no_series_of_samples(monkeypatch: pytest.MonkeyPatch, set_by: int) -> None:
    machine = Machine(monkeypatch)
    sampled = clock.even_unix()
    first = sampled()
    assert first == machine.unix_ns
    machine.unix_ns += set_by
    machine.pass_(SECOND)
    assert sampled() == first + SECOND


def test_time_in_which_the_machine_slept_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    heard, sampled = clock.now_ns(), clock.even_unix()
    began = sampled()
    machine.pass_(8 * HOUR)
    assert clock.now_ns() - heard == 8 * HOUR
    assert sampled() - began == 8 * HOUR
