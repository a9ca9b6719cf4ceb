"""Stopped and gone on with, the screen has the terminal when it is in the foreground, and only then."""

import os
import signal
from collections.abc import Iterator

import pytest

from dsttool.tui import job_control
from dsttool.tui.job_control import JobControl


class Driver:
    """Writes down what happens; stops: how often the process would have been stopped."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.foreground = True

    def suspend_application_mode(self) -> None:
        self.told.append("give back")

    def resume_application_mode(self) -> None:
        self.told.append("take")


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    driver = Driver()
    kept = {each: signal.getsignal(each) for each in (signal.SIGTSTP, signal.SIGCONT)}
    stops = {(os.getpid(), signal.SIGSTOP): "stop"}
    monkeypatch.setattr(os, "kill", lambda *words: driver.told.append(stops[words]))
    monkeypatch.setattr(job_control, "_in_foreground", lambda: driver.foreground)
    JobControl(driver, lambda: driver.told.append("draw"))
    yield driver
    for each, handler in kept.items():
        signal.signal(each, handler)


def test_a_screen_that_is_stopped_gives_the_terminal_back_first(driver: Driver) -> None:
    signal.raise_signal(signal.SIGTSTP)
    assert driver.told == ["give back", "stop"]
    signal.raise_signal(signal.SIGCONT)
    assert driver.told == ["give back", "stop", "take", "draw"]


def test_one_that_could_not_give_it_back_does_so_before_it_takes_it_again(driver: Driver) -> None:
    signal.raise_signal(signal.SIGCONT)  # after SIGSTOP, which nobody can handle
    assert driver.told == ["give back", "take", "draw"]


def test_in_the_background_it_stops_again(driver: Driver) -> None:
    signal.raise_signal(signal.SIGTSTP)
    driver.foreground = False
    signal.raise_signal(signal.SIGCONT)
    assert driver.told == ["give back", "stop", "stop"]
    driver.foreground = True
    signal.raise_signal(signal.SIGCONT)
    assert driver.told[3:] == ["take", "draw"]


def test_a_process_of_its_parents_group_has_nobody_to_bring_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getsid", lambda pid: 7)
    monkeypatch.setattr(os, "getpgid", lambda pid: os.getpgrp())
    assert not job_control.can_stop()
    monkeypatch.setattr(os, "getpgid", lambda pid: os.getpgrp() + 1)
    assert job_control.can_stop()
