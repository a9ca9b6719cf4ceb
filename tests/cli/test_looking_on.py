"""Commands that look for a while: status --watch, iostat, events --follow, record."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dsttool.cli import events, iostat
from dsttool.cli.following import following
from dsttool.cli.settings import Settings
from dsttool.engine.control import clock, gathering
from dsttool.engine.control.recording import Reader
from support.site import Site, wait_until

MIRROR = ("--layout", "mirror", "--raw", "mem:1M", "mem:1M?name=b", "--assume-clean")
LEAVES = b"\x1b[?7h\x1b[?25h\x1b[?1049l"


class Screen:
    """A command on a terminal of its own, and what it wrote there."""

    def __init__(self, site: Site, *words: str, **env: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dsttool", *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=site.env | {"TERM": "xterm", "NO_COLOR": "", **env},
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = b""

    def read_until(self, part: bytes) -> None:
        """Read until it has shown this; a command that ends before that is a failure."""
        while part not in self.shown:
            try:
                self.shown += os.read(self._ours, 65536)
            except OSError:
                raise AssertionError(f"it ended without {part!r}: {self.shown!r}") from None

    def end(self, number: int) -> int:
        """Send a signal; the exit code, with everything that was shown."""
        self.process.send_signal(number)
        try:
            while part := os.read(self._ours, 65536):
                self.shown += part
        except OSError:  # how a terminal says that its last user has gone
            pass
        return self.process.wait()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@contextmanager
def screen(site: Site, *words: str, **env: str) -> Iterator[Screen]:
    made = Screen(site, *words, **env)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_watched_status_is_drawn_in_place_and_the_terminal_given_back(
    site: Site, number: int, code: int
) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    with screen(site, "status", "--watch", "1") as watched:
        watched.read_until(b"waiting")
        assert watched.shown.startswith(b"\x1b[?1049h")
        watched.read_until(b"\x1b[J\x1b[H")  # a second frame over the first, and nothing cleared
        assert watched.end(number) == code
        assert watched.shown.endswith(LEAVES)
        assert b"Traceback" not in watched.shown
    site.dsttool("daemon", "stop", "a")


def test_a_watched_status_shows_a_change_of_state_before_its_time(site: Site) -> None:
    site.dsttool("array", "up", "pool", *MIRROR)
    with screen(site, "status", "--watch", "1h") as watched:
        watched.read_until(b"online")
        site.dsttool("node", "suspend", "pool", "b")
        watched.read_until(b"degraded")
        watched.end(signal.SIGINT)
    site.dsttool("array", "down", "pool")


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_without_colour_or_on_a_dumb_terminal_a_watched_status_has_no_escape(
    site: Site, env: dict[str, str]
) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    with screen(site, "status", "--watch", "0.25", **env) as watched:
        watched.read_until(b"EXPORT")
        watched.shown = watched.shown.split(b"EXPORT", 1)[1]
        watched.read_until(b"EXPORT")
        watched.end(signal.SIGTERM)
        assert b"\x1b" not in watched.shown
    site.dsttool("daemon", "stop", "a")


def test_in_a_pipe_a_watched_status_is_one_block_after_the_other(site: Site) -> None:
    with site.begun("status", "--watch", "0.25") as watched:
        assert watched.stdout is not None
        lines = [watched.stdout.readline() for _ in range(5)]
    assert [bool(re.match(r"\d\d:\d\d:\d\d\n", line)) for line in lines] == [True, False, False, True, False]
    assert lines[1].startswith("Nothing is running")
    assert lines[2] == "\n"


def test_a_watched_status_as_lines_is_told_again_each_time(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    with site.begun("status", "a", "--watch", "0.25", "-o", "jsonl") as watched:
        assert watched.stdout is not None
        told = [json.loads(watched.stdout.readline()) for _ in range(4)]
    assert [(line["type"], line["name"]) for line in told] == [("export", "a"), ("daemon", "a")] * 2
    site.dsttool("daemon", "stop", "a")


def test_a_watched_name_may_come_and_go(site: Site) -> None:
    with screen(site, "status", "a", "--watch", "0.25") as watched:
        watched.read_until(b"Nothing called a is running.")
        site.dsttool("export", "mem:1M", "--name", "a", "-d")
        watched.read_until(b"waiting")
        watched.shown = b""
        site.dsttool("daemon", "stop", "a")
        watched.read_until(b"Nothing called a is running.")
        assert watched.end(signal.SIGINT) == 130


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("status", "--watch", "0"), "too short a time"),
        (("status", "--watch", "soon"), "'soon' is not a duration"),
        (("status", "--watch", "1", "--exit-code"), "does not end by itself"),
        (("iostat", "0.5"), "too short a time"),
        (("iostat", "1", "0"), "is no number of reports"),
        (("iostat", "pool", "1", "2", "3"), "is a word too many"),
        (("events", "--since", "whenever"), "is no time and no number"),
        (("record", "x", "--for", "0s"), "records nothing"),
    ],
    ids=str,
)
def test_times_that_make_no_sense_are_refused(site: Site, words: tuple[str, ...], what: str) -> None:
    assert what in site.dsttool(*words, code=2).stderr


def test_iostat_says_that_a_daemon_died_and_not_that_nothing_is_there(site: Site) -> None:
    site.export("mem:1M", "a").kill()

    assert "The daemon a cannot be reached" in site.dsttool("iostat", "a", code=4).stderr


def test_iostat_has_a_row_for_each_array_member_and_export(site: Site) -> None:
    site.dsttool("array", "up", "pool", *MIRROR)
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    report = site.json("iostat")
    rows = {row["label"]: row for row in report["rows"]}
    assert {label: row["kind"] for label, row in rows.items()} == {
        "a": "export",
        "pool": "array",
        "pool/n0": "member",
        "pool/b": "member",
    }
    assert rows["a"]["resends"] is None
    assert rows["pool"]["resends"] == 0
    assert [row["label"] for row in site.json("iostat", "pool")["rows"]] == ["pool", "pool/n0", "pool/b"]
    assert [row["label"] for row in site.json("iostat", "pool/b")["rows"]] == ["pool/b"]
    assert "Nothing called nope is running." in site.dsttool("iostat", "nope", code=3).stderr
    for name in ("pool", "a"):
        site.dsttool("daemon", "stop", name)


def test_iostat_tells_what_was_done_since_the_report_before(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "-d", "--security", "none")
    with site.begun("iostat", "a", "1", "-o", "jsonl") as reports:
        assert reports.stdout is not None
        first = json.loads(reports.stdout.readline())["rows"][0]
        assert not first["reads"]
        site.dsttool("bench", "a", "--time", "1s", "-q")
        done = []
        while sum(done) < 100:
            done.append(json.loads(reports.stdout.readline())["rows"][0]["reads"])
    site.dsttool("daemon", "stop", "a")


def test_a_report_of_iostat_is_about_the_time_in_which_the_machine_slept_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boot_ns = iter([10**9, 8 * 3600 * 10**9])
    monkeypatch.setattr(clock, "now_ns", lambda: next(boot_ns))
    with following([]) as followed:
        reports = iostat._Reports(followed, "")
        reports.next()
        assert reports.next()["period_ns"] == 8 * 3600 * 10**9 - 10**9


def test_iostat_makes_as_many_reports_as_asked_for(site: Site) -> None:
    lines = site.dsttool("iostat", "1", "2", "--json").stdout.splitlines()
    assert [json.loads(line)["rows"] for line in lines] == [[], []]


def test_events_are_listed_oldest_first_and_chosen_by_name_level_and_id(site: Site) -> None:
    site.dsttool("array", "up", "pool", *MIRROR)
    site.dsttool("node", "suspend", "pool", "b")
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    found = site.json("events")["events"]
    assert [each["time_ns"] for each in found] == sorted(each["time_ns"] for each in found)
    assert {each["name"] for each in found} >= {"pool", "a"}
    of_pool = site.json("events", "pool")["events"]
    assert of_pool == [each for each in found if each["name"] == "pool"]
    assert all(each["node"] == "b" for each in site.json("events", "pool/b")["events"])
    last = max(each["id"] for each in of_pool)
    assert site.json("events", "pool", "--since", last)["events"] == []
    assert site.json("events", "pool", "--since", "1h")["events"] == of_pool
    assert site.json("events", "--since", "2999-01-01")["events"] == []
    worse = site.json("events", "--level", "warning")["events"]
    assert all(each["level"] in ("warning", "error") for each in worse)
    lines = [json.loads(line) for line in site.dsttool("events", "-o", "jsonl").stdout.splitlines()]
    assert lines == found
    for name in ("pool", "a"):
        site.dsttool("daemon", "stop", name)


def test_a_name_nobody_has_and_no_event_is_about_is_unknown_to_events(site: Site) -> None:
    site.dsttool("array", "up", "pool", *MIRROR)
    for words, what, advice in (
        (("pol",), "Nothing called pol is running", "Did you mean pool?"),
        (("pol", "--json"), "Nothing called pol is running", "Did you mean pool?"),
        (("pool/n1",), "pool has no member called n1", "There are: n0, b."),
    ):
        done = site.dsttool("events", *words, code=3)
        assert done.stdout == ""
        assert what in done.stderr
        assert advice in done.stderr
    # These are there, and nothing has happened to them that was asked for.
    assert site.json("events", "pool", "--since", "2999-01-01")["events"] == []
    assert site.json("events", "pool/n0")["events"] == []
    site.dsttool("array", "down", "pool")
    said = site.dsttool("events", "pool", code=3).stderr
    assert "What happened is in its log: dsttool logs pool" in said
    site.dsttool("array", "create", "pool", *MIRROR[:-1])
    assert "No such event" in site.dsttool("events", "pool").stdout


def test_events_of_a_daemon_that_hangs_are_waited_for_once_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Running:
        def daemons(self) -> list[str]:
            return ["a"]

    place: Any = Running()
    monkeypatch.setattr(gathering, "gather", None)  # asks everybody, and waits for the one that hangs
    events._check_known(Settings(), [place], "a", [])


def test_who_follows_the_events_of_a_name_that_is_not_there_is_told_and_waits_for_it(site: Site) -> None:
    with site.begun("events", "--follow", "a", "-o", "plain") as follower:
        assert follower.stdout is not None
        assert follower.stderr is not None
        assert follower.stderr.readline() == "a is not running yet.\n"
        site.dsttool("export", "mem:1M", "--name", "a", "-d")
        assert "\ta\t" in follower.stdout.readline()
    site.dsttool("daemon", "stop", "a")


def test_events_that_are_followed_survive_daemons_that_come_and_go(site: Site) -> None:
    with site.begun("events", "--follow", "-o", "jsonl") as follower:
        assert follower.stdout is not None
        instances = []
        for _ in range(2):
            site.dsttool("export", "mem:1M", "--name", "a", "-d")
            told = json.loads(follower.stdout.readline())
            while told["kind"] != "daemon.ready":
                told = json.loads(follower.stdout.readline())
            assert told["name"] == "a"
            instances.append(told["instance"])
            site.dsttool("daemon", "stop", "a")
        assert len(set(instances)) == 2
        assert follower.poll() is None


def test_the_events_of_a_daemon_that_starts_later_are_new_whatever_number_was_said(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    with site.begun("events", "--follow", "--since", "0", "-o", "jsonl") as before:
        assert before.stdout is not None
        last = json.loads(before.stdout.readline())
        with site.begun("events", "--follow", "--since", "1000", "-o", "jsonl") as follower:
            wait_until(lambda: watched(site, "a"), "both of them watch")
            site.dsttool("daemon", "stop", "a")
            site.dsttool("export", "mem:1M", "--name", "a", "-d")
            assert follower.stdout is not None
            told = json.loads(follower.stdout.readline())
            while told["instance"] == last["instance"]:
                told = json.loads(follower.stdout.readline())
            assert told["id"] == 1
    site.dsttool("daemon", "stop", "a")


def test_a_recording_ends_at_ctrl_c_and_can_be_read_again(site: Site) -> None:
    file = site.path("r.dstrec")
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    with site.begun("record", file) as recorder:
        wait_until(lambda: file.exists() and b'"snapshot"' in file.read_bytes(), "the recording begins")
        recorder.send_signal(signal.SIGINT)
        out, err = recorder.communicate(timeout=30)
    assert recorder.returncode == 0, err
    assert re.match(r"Recorded \d+ frames, .* in .*r\.dstrec\.\nTry: dsttool tui --replay ", out)
    assert file.stat().st_mode & 0o777 == 0o600
    with Reader(file) as recording:
        updates = list(recording)
    assert {(update.place, update.daemon) for update in updates} == {("local", "a")}
    assert f"Recorded {len(updates)} frames" in out
    site.dsttool("daemon", "stop", "a")


def test_a_file_that_exists_is_not_recorded_over_without_y(site: Site) -> None:
    file = site.file("mine", 4, b"mine")
    done = site.dsttool("record", file, "--for", "100ms", code=8)
    assert "exists already" in done.stderr
    assert file.read_bytes() == b"mine"
    site.dsttool("record", file, "--for", "100ms", "-y")
    assert b"dsttool.recording/1" in file.read_bytes()


def test_a_recording_ends_when_it_is_as_large_as_it_may_be(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    answer = site.json("record", site.path("r"), "--max-size", "2K")
    assert answer["ended"] == "size"
    assert answer["bytes"] == site.path("r").stat().st_size >= 2048
    site.dsttool("daemon", "stop", "a")


def test_ctrl_c_while_waiting_for_clean_says_how_a_resync_is_stopped(site: Site) -> None:
    site.dsttool("array", "up", "pool", *MIRROR)
    site.dsttool("node", "suspend", "pool", "b")
    with site.begun("wait", "pool", "--for", "clean") as waiting:
        wait_until(lambda: watched(site, "pool"), "somebody waits")
        waiting.send_signal(signal.SIGINT)
        out, err = waiting.communicate(timeout=30)
    assert (waiting.returncode, out) == (130, "")
    assert "What is being copied goes on. To stop it: dsttool resync stop pool" in err
    assert "Traceback" not in err
    site.dsttool("array", "down", "pool")


def watched(site: Site, name: str) -> bool:
    """Whether the daemon's control socket has two conversations: whoever waits is connected then."""
    path = f"{site.env['DSTTOOL_RUNTIME_DIR']}/{name}.sock"
    with open("/proc/net/unix") as sockets:
        return sum(line.rstrip().endswith(path) for line in sockets) > 2
