"""`dsttool wait` with real daemons: it returns when the state holds, and says why when it does not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.site import START_SECONDS, Site, wait_until

MIB = 1 << 20


def waiting(site: Site, name: str, condition: str, *options: str) -> "subprocess.Popen[str]":
    """A `wait` that does not return yet."""
    return subprocess.Popen(
        [sys.executable, "-m", "dsttool", "wait", name, "--for", condition, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=site.env,
        text=True,
    )


def where_asleep(pid: int) -> str:
    """The function of the kernel that it sleeps in; empty where the kernel does not tell."""
    try:
        return Path(f"/proc/{pid}/wchan").read_text().strip("0\n")
    except OSError:
        return ""


def is_at_rest(pid: int) -> bool:
    """Whether it talks to somebody, and sleeps through a moment."""

    def slept() -> str:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        told = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
        return told["voluntary_ctxt_switches"] if told["State"].startswith("S") else ""

    before = slept()
    time.sleep(0.5)
    if before == "" or before != slept():
        return False
    return any("socket" in os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir())


def wait_asleep(process: "subprocess.Popen[str]") -> None:
    """Until it waits for its answer: asleep in the kernel, reading a Unix socket."""

    def is_asleep() -> bool:
        assert process.poll() is None, f"{process.args} does not wait"
        where = where_asleep(process.pid)
        return "unix_stream" in where if where else is_at_rest(process.pid)

    wait_until(is_asleep, f"{process.args} waits")


def end(process: "subprocess.Popen[str]") -> tuple[int, str]:
    out, err = process.communicate(timeout=START_SECONDS)
    return process.returncode, out + err


def test_what_holds_is_not_waited_for(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    assert site.dsttool("wait", "a", "--for", "up").stdout == "a is up.\n"
    assert site.json("wait", "a", "--for", "up") == {
        "schema": "dsttool.waited/1",
        "name": "a",
        "for": "up",
        "state": "waiting",
    }
    assert site.dsttool("wait", "a", "--for", "up", "-q").stdout == ""
    site.dsttool("daemon", "stop", "a")


def test_a_daemon_is_waited_for_before_it_runs(site: Site) -> None:
    process = waiting(site, "b", "up", "--timeout", "20s")
    assert process.stderr is not None
    assert process.stderr.readline() == "b is not running yet.\n"
    site.dsttool("export", "mem:1M", "mem:2M", "--name", "a", "--name", "b", "-d")
    assert end(process) == (0, "b is up.\n")
    site.dsttool("daemon", "stop", "a")


def test_a_dead_daemon_is_waited_for_until_it_runs_again(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    pid = site.json("daemon", "list")["daemons"][0]["pid"]
    os.kill(pid, signal.SIGKILL)
    process = waiting(site, "a", "up", "--timeout", "20s")
    assert process.stderr is not None
    assert process.stderr.readline() == "a is not running yet.\n"
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    assert end(process) == (0, "a is up.\n")
    site.dsttool("daemon", "stop", "a")


def test_time_that_is_over_is_exit_7_and_says_what_was_in_the_way(site: Site) -> None:
    left = site.file("left.img", MIB)
    site.dsttool("array", "up", "pool", "--layout", "mirror", "--raw", "mem:1M", left)
    said = site.dsttool("wait", "pool", "--for", "degraded", "--timeout", "50ms", code=7).stderr
    assert "pool did not become degraded in time: it is online." in said
    assert "dsttool status pool" in said
    done = site.dsttool("wait", "pool", "--for", "degraded", "--timeout", "50ms", "--json", code=7)
    assert json.loads(done.stderr)["error"]["exit_code"] == 7
    said = site.dsttool("wait", "zzz", "--for", "up", "--timeout", "50ms", code=7).stderr
    assert "zzz did not come up within 50ms." in said
    site.dsttool("array", "down", "pool")


def test_a_mirror_of_files_is_clean_and_connected(site: Site) -> None:
    left, right = site.file("left.img", MIB), site.file("right.img", MIB)
    site.dsttool("array", "up", "pool", "--layout", "mirror", "--raw", left, right)
    for condition in ("up", "clean", "connected"):
        assert site.json("wait", "pool", "--for", condition)["state"] == "online"
    site.dsttool("array", "down", "pool")


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_the_daemon_ends_the_wait_with_exit_4(site: Site, signal_number: int) -> None:
    left = site.file("left.img", MIB)
    site.dsttool("array", "up", "pool", "--layout", "linear", "--raw", left)
    process = waiting(site, "pool", "degraded")
    wait_asleep(process)
    pid = site.json("daemon", "list")["daemons"][0]["pid"]
    os.kill(pid, signal_number)
    code, said = end(process)
    assert code == 4
    expected = (
        "was taken down while it was waited for" if signal_number == signal.SIGTERM else "cannot be reached"
    )
    assert expected in said


def test_a_wait_that_was_interrupted_leaves_nothing_behind(site: Site) -> None:
    left = site.file("left.img", MIB)
    site.dsttool("array", "up", "pool", "--layout", "linear", "--raw", left)
    for _ in range(20):  # more than may wait at the same time
        process = waiting(site, "pool", "degraded")
        wait_asleep(process)
        process.send_signal(signal.SIGINT)
        assert end(process)[0] == 130
    site.dsttool("array", "down", "pool")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("a", "--for", "clean"), 8, "a is an export."),
        (("zzz", "--for", "clean"), 3, "Nothing called zzz is running."),
        (("idle", "--for", "clean"), 3, "The array idle is configured, but not up."),
        (("a", "--for", "tidy"), 2, "'tidy' is not one of"),
        (("a",), 2, "Missing option '--for'"),
        (("a/b", "--for", "up"), 2, "'a/b' cannot be a name"),
    ],
)
def test_what_cannot_be_waited_for_is_refused(
    site: Site, arguments: tuple[str, ...], code: int, said: str
) -> None:
    site.dsttool("array", "create", "idle", "--layout", "linear", "--raw", "mem:1M")
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    what, advice = site.dsttool("wait", *arguments, code=code).stderr.rstrip("\n").split("\n")
    assert said in what
    assert advice
    site.dsttool("daemon", "stop", "a")
