"""Members that are suspended, resumed and resynced by commands, and those who wait for that."""

import subprocess
import sys
import time

import pytest

from support.pool import MIB, Pool
from support.site import START_SECONDS, Site, wait_until


@pytest.fixture
def pool(site: Site) -> Pool:
    return Pool(site)


def test_a_suspended_member_gets_nothing_and_is_resynced_when_resumed(pool: Pool) -> None:
    site = pool.site
    said = site.dsttool("node", "suspend", "pool", "n1").stdout
    assert said == "n1 of pool is suspended until `dsttool node resume pool n1`.\n"
    assert pool.states() == ["in_sync", "suspended"]
    site.run("qemu-io", "-f", "raw", "-c", "write -P 9 1M 64K", "-c", "flush", site.nbd("pool"))
    assert site.path("right.img").read_bytes()[MIB : MIB + 4] == b"\0" * 4
    (listed,) = [each for each in site.json("node", "list", "pool")["members"] if each["name"] == "n1"]
    assert listed["state"] == "suspended"
    assert 0 < listed["dirty_bytes"] < 2 * MIB
    assert (
        "n1 is suspended and gets no requests: dsttool node resume pool n1" in site.dsttool("status").stdout
    )
    answer = site.json("node", "resume", "pool", "n1")
    assert (answer["schema"], answer["array"]) == ("dsttool.nodes/1", "pool")
    assert answer["members"][0]["name"] == "n1"
    site.dsttool("wait", "pool", "--for", "clean", "--timeout", "20s")
    assert pool.states() == ["in_sync", "in_sync"]
    resynced = pool.array()["members"][1]["resynced_bytes"]
    assert 64 << 10 <= resynced < 2 * MIB
    assert site.path("right.img").read_bytes() == site.path("left.img").read_bytes()


def test_a_member_suspended_for_a_time_returns_by_itself(pool: Pool) -> None:
    site = pool.site
    assert "is suspended for 300ms." in site.dsttool("node", "suspend", "pool", "n1", "--for", "300ms").stdout
    site.dsttool("wait", "pool", "--for", "clean", "--timeout", "20s")
    assert pool.states() == ["in_sync", "in_sync"]


def test_the_answer_to_a_suspension_is_the_member(pool: Pool) -> None:
    answer = pool.site.json("node", "suspend", "pool", "n0")
    assert [(member["name"], member["state"]) for member in answer["members"]] == [("n0", "suspended")]


def test_a_suspension_does_not_wait_for_a_member_that_does_not_answer(pool: Pool) -> None:
    pool.site.dsttool("policy", "set", "pool", "resend_timeout=10m")
    with pool.stopped(), pool.writing() as client:
        wait_until(lambda: pool.array()["in_flight"] > 0, "the write is under way")
        pool.site.dsttool("node", "suspend", "pool", "n1")
        assert client.wait(START_SECONDS) == 0  # its budget is many times that


def test_the_last_member_that_holds_everything_is_not_suspended(pool: Pool) -> None:
    site = pool.site
    site.dsttool("node", "suspend", "pool", "n0")
    what, advice = site.dsttool("node", "suspend", "pool", "n1", code=6).stderr.rstrip("\n").split("\n")
    assert "n1 of pool cannot be spared" in what
    assert "dsttool wait pool --for clean" in advice
    assert pool.states() == ["suspended", "in_sync"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("suspend", "pool", "n7"), 3, "pool has no member called n7."),
        (("suspend", "pool", "n1", "--for", "0"), 2, "It must be longer than nothing."),
        (("suspend", "pool", "n1", "--for", "soon"), 2, "'soon' is not a duration."),
        (("suspend", "pool"), 2, "Missing argument 'NODE'"),
        (("resume", "pool", "n1"), 8, "n1 of pool is not suspended."),
        (("resume", "zzz", "n1"), 3, "Nothing called zzz is running."),
        (("list", "zzz"), 3, "Nothing called zzz is running."),
    ],
)
def test_a_member_that_cannot_be_ordered_about_is_an_error(
    pool: Pool, words: tuple[str, ...], code: int, said: str
) -> None:
    lines = pool.site.dsttool("node", *words, code=code).stderr.rstrip("\n").split("\n")
    assert said in lines[0]
    assert len(lines) == 2
    assert pool.states() == ["in_sync", "in_sync"]


def test_a_member_of_a_single_copy_layout_is_not_suspended(site: Site) -> None:
    site.array("pool", "linear", "mem:1M", "mem:2M")
    assert "holds the only copy" in site.dsttool("node", "suspend", "pool", "n0", code=6).stderr
    site.export("mem:1M", "a")
    assert "a is an export" in site.dsttool("node", "list", "a", code=8).stderr


def test_the_members_of_an_array_are_listed(pool: Pool) -> None:
    answer = pool.site.json("node", "list", "pool")
    assert (answer["schema"], answer["array"], answer["state"]) == ("dsttool.nodes/1", "pool", "online")
    assert [member["link"]["security"] for member in answer["members"]] == ["none", "none"]
    rows = pool.site.dsttool("node", "list", "pool", "-o", "plain").stdout.splitlines()
    assert [row.split("\t")[:3] for row in rows] == [["0", "n0", "in_sync"], ["1", "n1", "in_sync"]]


def waiter(site: Site, condition: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "dsttool", "wait", "pool", "--for", condition, "--timeout", "20s"]
    return subprocess.Popen(command, env=site.env, stdout=subprocess.DEVNULL)


def test_waits_end_when_members_leave_and_return(pool: Pool) -> None:
    degraded = waiter(pool.site, "degraded")
    pool.site.dsttool("node", "suspend", "pool", "n1")
    assert degraded.wait(START_SECONDS) == 0
    clean, connected = waiter(pool.site, "clean"), waiter(pool.site, "connected")
    time.sleep(0.3)
    assert clean.poll() is None
    assert connected.poll() is None
    pool.site.dsttool("node", "resume", "pool", "n1")
    assert clean.wait(START_SECONDS) == 0
    assert connected.wait(START_SECONDS) == 0


def test_a_wait_for_connections_ends_when_a_lost_export_is_back(pool: Pool) -> None:
    site = pool.site
    pool.exports[1].kill()
    wait_until(lambda: pool.array()["members"][1]["link"]["state"] != "up", "the link is down")
    connected = waiter(site, "connected")
    time.sleep(0.3)
    assert connected.poll() is None
    site.export(site.path("right.img"), "right")
    assert connected.wait(START_SECONDS) == 0


def test_a_resync_can_be_slowed_paused_and_let_go_on(site: Site) -> None:
    pool = Pool(site, size=64 * MIB)
    assert site.dsttool("resync", "status", "pool").stdout.splitlines() == [
        "While the array is busy 32 MiB/s, else as fast as it goes.",
        "No resync of pool runs or waits.",
    ]
    limits = site.json("resync", "limit", "pool", "--floor", "64K", "--ceiling", "1M")
    assert (limits["schema"], limits["floor_bytes"], limits["ceiling_bytes"]) == (
        "dsttool.jobs/1",
        64 << 10,
        MIB,
    )
    refused = site.dsttool("resync", "limit", "pool", "--floor", "2M", code=2).stderr
    assert "The floor of 2 MiB/s is above the ceiling of 1 MiB/s.\nSet both" in refused
    site.dsttool("node", "suspend", "pool", "n1")
    site.run("qemu-io", "-f", "raw", "-c", "write -P 9 0 32M", site.nbd("pool"))
    site.dsttool("node", "resume", "pool", "n1")
    wait_until(lambda: pool.states()[1] == "resyncing", "the resync runs")
    (job,) = site.json("resync", "status", "pool")["jobs"]
    assert set(job) >= {"kind", "state", "done_bytes", "total_bytes", "rate_bytes", "eta_ns"}
    assert (job["kind"], job["state"]) == ("resync", "running")
    assert pool.array()["jobs"][0]["kind"] == "resync"
    answer = site.json("resync", "pause", "pool")
    assert (answer["paused"], answer["jobs"][0]["state"]) == (True, "paused")
    said = site.dsttool("resync", "status", "pool").stdout
    assert said.startswith("Paused. While the array is busy 64 KiB/s, else 1 MiB/s at most.\n")
    assert "resync  n1    paused" in said
    site.dsttool("wait", "pool", "--for", "clean", "--timeout", "300ms", code=7)
    site.dsttool("resync", "limit", "pool", "--ceiling", "0")
    answer = site.json("resync", "start", "pool")
    assert (answer["paused"], answer["ceiling_bytes"]) == (False, None)
    site.dsttool("wait", "pool", "--for", "clean", "--timeout", "30s")
    assert site.path("right.img").read_bytes() == site.path("left.img").read_bytes()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("limit", "pool"), 2, "There is nothing to set."),
        (("limit", "pool", "--floor", "x"), 2, "'x' is not a size."),
        (("limit", "pool", "--floor", "0"), 2, "A floor of nothing"),
        (("limit", "pool", "--floor", "2M", "--ceiling", "1M"), 2, "above the ceiling"),
        (("status", "zzz"), 3, "Nothing called zzz is running."),
        (("pause", "a"), 8, "a is an export, and has no members."),
    ],
)
def test_a_resync_that_cannot_be_ordered_about_is_an_error(
    site: Site, words: tuple[str, ...], code: int, said: str
) -> None:
    site.array("pool", "mirror", "mem:1M", "mem:1M?name=x")
    site.export("mem:1M", "a")
    lines = site.dsttool("resync", *words, code=code).stderr.rstrip("\n").split("\n")
    assert said in lines[0]
    assert len(lines) == 2
