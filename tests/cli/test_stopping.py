"""How long `daemon stop` and `array down` may take: the time that was given is the whole."""

from typing import Any

import pytest

from dsttool.cli import ending
from dsttool.cli.settings import Settings
from dsttool.engine.vocabulary.errors import TimedOut


class Clock:
    """Goes on only when something takes its time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(ending, "time", self)

    def monotonic(self) -> float:
        return self.now


class SlowDaemon:
    """Takes two seconds for everything, unless it is given less."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.path = None

    def connect(self, _name: str, timeout: float) -> "SlowDaemon":
        self._take(timeout)
        return self

    def __enter__(self) -> "SlowDaemon":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self, timeout: float, _command: str) -> Any:
        self._take(timeout)
        return {"kind": "export", "pid": 42}

    def _take(self, seconds: float) -> None:
        self._clock.now += min(2.0, seconds)
        if seconds < 2.0:
            raise TimedOut("It did not answer.")


def test_all_that_ending_a_daemon_takes_is_within_the_time_that_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    daemon: Any = SlowDaemon(clock)

    def wait_gone(_place: object, _name: str, timeout: float) -> bool:
        clock.now += timeout
        return False

    monkeypatch.setattr(ending, "_wait_gone", wait_gone)
    with pytest.raises(TimedOut, match=r"a \(process 42\) has not ended within 10 s"):
        ending.end(daemon, "a", ending.Term(10.0))
    assert clock.now == pytest.approx(110.0)


def test_the_time_that_was_given_is_that_of_all_daemons_together(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    daemon: Any = SlowDaemon(clock)
    monkeypatch.setattr(ending, "_wait_gone", lambda *_: True)
    term = ending.Term(10.0, spent=1.0)
    assert ending.end(daemon, "a", term) == 42
    with pytest.raises(TimedOut):
        ending.end(daemon, "b", term)
    assert clock.now == pytest.approx(109.0)
    with pytest.raises(TimedOut, match=r"c did not answer within 10 s\."):
        ending.end(daemon, "c", term)  # It is asked all the same, and may answer at once.
    assert clock.now == pytest.approx(109.0, abs=0.1)


def test_a_daemon_that_does_not_say_who_loses_something_leaves_time_for_the_end_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)

    def losers(settings: Settings, _names: object) -> list[str]:
        assert settings.timeout is not None
        clock.now += settings.timeout
        return []

    monkeypatch.setattr(ending, "losers", losers)
    term = ending.agreed(Settings(timeout=4.0), ["a"])
    assert term is not None
    assert (term.seconds, term.left) == (4.0, 2.0)
    clock.now = 100.0
    term = ending.agreed(Settings(timeout=100.0), ["a"])
    assert term is not None
    assert (term.seconds, term.left) == (100.0, 95.0)


def test_what_somebody_thinks_about_it_is_no_part_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    monkeypatch.setattr(ending, "losers", lambda *_: ["a is used."])

    def think(*_: object) -> None:
        clock.now += 1000

    monkeypatch.setattr(ending, "go_ahead", think)
    term = ending.agreed(Settings(timeout=4.0), ["a"])
    assert term is not None
    assert term.left == 4.0
    assert ending.agreed(Settings(), ["a"]) is None
