"""Commands that look for a while, and a daemon that hangs: it is connected, and says nothing."""

import json
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dsttool.cli import following
from dsttool.cli.following import Following
from dsttool.engine.control.picture import STALE_NS, Update
from support import status_frames
from support.site import Site, wait_until

LATER_NS = 60 * STALE_NS


class Clock:
    """Goes on only when a test says so."""

    now = 0

    def now_ns(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(following, "clock", made)
    return made


@pytest.fixture
def followed(clock: Clock) -> Iterator[Following]:
    """A picture of one daemon, which was heard at 0."""
    made = Following([])
    made._tell(Update("local", "a", 0, status_frames.hello()))
    speak(made, 0)
    yield made
    made.close()


def speak(followed: Following, at_ns: int) -> None:
    state = status_frames.state(arrays={"a": {"name": "a", "state": "online"}})
    followed._tell(Update("local", "a", at_ns, status_frames.snapshot(state)))


def states(followed: Following) -> list[tuple[str, Any]]:
    followed.listen()
    with followed.lock:
        found = followed.status()
    return [(each["name"], each.get("state")) for each in (*found["arrays"], *found["daemons"])]


def test_a_daemon_that_hangs_is_unreachable_until_it_is_heard_again(
    followed: Following, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "MOMENT", 0.0)
    clock.now = STALE_NS
    assert ("a", "online") in states(followed)
    clock.now = LATER_NS
    assert states(followed) == [("a", "unreachable")]
    with followed.lock:
        assert followed.status()["daemons"][0]["reason"] == "nothing was heard of it for 3m"
    speak(followed, LATER_NS)
    with followed.lock:
        assert [each["state"] for each in followed.status()["arrays"]] == ["online"]


def test_nobody_is_called_silent_because_this_process_or_the_machine_slept(
    followed: Following, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "MOMENT", 60.0)
    clock.now = LATER_NS
    speaking = threading.Thread(target=speak, args=(followed, LATER_NS))
    speaking.start()
    assert ("a", "online") in states(followed)
    speaking.join()


class Here:
    """This machine, where these run when it is asked the first time, the second time, ..."""

    name = "local"

    def __init__(self, *running: list[str]) -> None:
        self._running = iter(running)

    def daemons(self) -> list[str]:
        return next(self._running)


def test_a_daemon_that_hung_before_is_not_left_out_of_what_runs(
    followed: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed, "_places", [Here(["a", "b", "c"], ["a", "b"])])
    followed.settle(0.001)
    assert [each for each in states(followed) if each[1]] == [("a", "online"), ("b", "unreachable")]
    with followed.lock:
        assert followed.status()["daemons"][-1]["reason"] == "no answer within 0.001 s"
    followed._tell(Update("local", "b", 0, status_frames.hello()))
    followed._tell(Update("local", "b", 0, status_frames.snapshot(status_frames.state())))
    assert ("b", "unreachable") not in states(followed)


def test_a_watched_status_says_that_a_daemon_hangs(site: Site) -> None:
    daemon = site.export("mem:1M", "a")
    with site.begun("status", "--watch", "0.25", "-o", "jsonl") as watched:
        assert watched.stdout is not None
        assert json.loads(watched.stdout.readline())["type"] == "export"
        daemon.process.send_signal(signal.SIGSTOP)
        try:
            while json.loads(line := watched.stdout.readline())["state"] != "unreachable":
                pass
            assert "nothing was heard of it for" in json.loads(line)["reason"]
        finally:
            daemon.process.send_signal(signal.SIGCONT)
        while json.loads(watched.stdout.readline())["type"] != "export":
            pass


def test_iostat_of_a_daemon_that_hangs_says_so_and_not_that_nothing_is_there(site: Site) -> None:
    daemon = site.export("mem:1M", "a")
    wait_until(lambda: bool(site.json("status")["exports"]), "it answers")
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        said = site.dsttool("iostat", "a", "--timeout", "1s", code=7).stderr
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    assert "The daemon a did not answer within 1 s." in said


def test_iostat_of_everything_names_who_has_no_row_because_it_hangs(site: Site) -> None:
    daemon = site.export("mem:1M", "a")
    wait_until(lambda: bool(site.json("status")["exports"]), "it answers")
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        done = site.dsttool("iostat", "--timeout", "1s")
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    assert done.stderr == "No news from a: no answer within 1 s.\n"
    assert "Nothing is running" not in done.stdout
