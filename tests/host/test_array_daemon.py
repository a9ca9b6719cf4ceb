"""Arrays as processes: up, down, and what a raw mirror refuses because nobody could vouch for it."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from dsttool.engine.control import client
from support.site import START_SECONDS, Site, accepts, wait_until

MIB = 1 << 20


def runtime(site: Site) -> Path:
    return Path(site.env["DSTTOOL_RUNTIME_DIR"])


def files(site: Site, *names: str, size: int = 4 * MIB) -> list[Path]:
    return [site.file(f"{name}.img", size) for name in names]


def kill(site: Site, name: str) -> None:
    pid = next(each["pid"] for each in site.json("daemon", "list")["daemons"] if each["name"] == name)
    os.kill(pid, signal.SIGKILL)
    assert client.wait_gone(pid, START_SECONDS)  # its locks are released only then


def test_a_configured_array_comes_up_by_its_name_and_goes_down(site: Site) -> None:
    left, right = files(site, "left", "right")
    site.dsttool("array", "create", "pool", "--layout", "mirror", "--raw", left, right)
    (listed,) = site.json("array", "list")["arrays"]
    assert (listed["name"], listed["state"], listed["configured"]) == ("pool", "down", True)
    said = site.dsttool("array", "up", "pool").stdout
    assert "pool serves 4 MiB" in said
    assert accepts(runtime(site) / "pool.nbd")
    (array,) = site.json("status", "pool")["arrays"]
    assert (array["layout"], array["state"], array["size_bytes"]) == ("mirror", "online", 4 * MIB)
    assert [member["name"] for member in array["members"]] == ["n0", "n1"]
    assert [member["state"] for member in array["members"]] == ["in_sync", "in_sync"]
    site.dsttool("array", "down", "pool")
    assert not site.processes()
    assert [path.name for path in runtime(site).iterdir()] == ["pool.log"]
    assert site.dsttool("array", "down", "pool", code=3).stderr.startswith("error: The array pool is not up.")


def test_an_array_whose_daemon_is_silent_is_not_taken_for_one_that_is_down(site: Site) -> None:
    site.dsttool("array", "create", "pool", "--layout", "mirror", "--raw", "mem:1M", "mem:1M")
    runtime(site).mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(runtime(site) / "pool.sock"))
        silent.listen()
        (listed,) = site.json("array", "list", "--timeout", "50ms")["arrays"]
        assert (listed["state"], listed["layout"]) == ("unreachable", "mirror")
        assert "unreachable" in site.dsttool("array", "show", "pool", "--timeout", "50ms").stdout


def test_an_array_from_the_command_line_is_not_saved(site: Site) -> None:
    left, right = files(site, "left", "right")
    site.dsttool("array", "up", "pool", "--layout", "linear", "--raw", left, right)
    (listed,) = site.json("array", "list")["arrays"]
    assert (listed["state"], listed["configured"], listed["size_bytes"]) == ("online", False, 8 * MIB)
    assert site.json("array", "show", "pool")["nodes"][1]["address"] == str(right)
    site.dsttool("array", "down", "pool")
    assert site.json("array", "list")["arrays"] == []
    assert site.dsttool("array", "show", "pool", code=3).returncode == 3


def test_the_chunk_of_a_stripe_decides_where_bytes_are(site: Site) -> None:
    left, right = files(site, "left", "right")
    site.dsttool("array", "up", "pool", "--layout", "stripe", "--chunk", "128K", "--raw", left, right)
    site.run(
        "qemu-io", "-f", "raw", "-c", "write -P 1 0 128K", "-c", "write -P 2 128K 128K", _uri(site, "pool")
    )
    site.dsttool("array", "down", "pool")
    assert left.read_bytes()[: 128 << 10] == b"\x01" * (128 << 10)
    assert right.read_bytes()[: 128 << 10] == b"\x02" * (128 << 10)


def _uri(site: Site, name: str) -> str:
    return site.dsttool("uri", name).stdout.strip()


def test_all_configured_arrays_come_up_leaves_first(site: Site) -> None:
    left, right, top = files(site, "left", "right", "top")
    site.dsttool("array", "create", "apex", "--layout", "stripe", "--raw", "base", top)
    site.dsttool("array", "create", "base", "--layout", "mirror", "--raw", left, right)
    site.dsttool("array", "up")
    assert {array["name"]: array["state"] for array in site.json("status")["arrays"]} == {
        "apex": "online",
        "base": "online",
    }
    assert "is up already" in site.dsttool("array", "up").stderr
    site.dsttool("array", "down", "apex", "base")
    assert not site.processes()


def test_what_came_up_before_another_array_failed_is_told(site: Site) -> None:
    (left,) = files(site, "left")
    site.dsttool("array", "create", "one", "--layout", "linear", "--raw", left)
    site.dsttool("array", "create", "two", "--layout", "linear", "--raw", site.path("none.img"))
    done = site.dsttool("array", "up", code=3)
    assert "two cannot come up" in done.stderr
    assert "one serves 4 MiB" in done.stdout
    site.dsttool("array", "down", "one")


def test_arrays_made_of_each_other_are_refused(site: Site) -> None:
    site.dsttool("array", "create", "one", "--layout", "linear", "--raw", "two")
    site.dsttool("array", "create", "two", "--layout", "linear", "--raw", "one")
    assert "one -> two -> one" in site.dsttool("array", "up", code=2).stderr


def test_exports_are_nodes_by_their_names_and_a_lost_one_makes_up_exit_6(site: Site) -> None:
    for image in files(site, "left", "right"):
        site.dsttool("export", image, "-d")
    pool = ("array", "up", "pool", "--layout", "mirror", "--raw", "left", "right")
    site.dsttool(*pool)
    (array,) = site.json("status", "pool")["arrays"]
    assert [member["link"]["state"] for member in array["members"]] == ["up", "up"]
    site.dsttool("array", "down", "pool")
    site.dsttool("daemon", "stop", "right")
    refused = site.dsttool(*pool, code=6).stderr
    assert "Member n1 is missing" in refused
    assert "--degraded" in refused
    site.dsttool(*pool, "--degraded")
    (array,) = site.json("status", "pool")["arrays"]
    assert [member["state"] for member in array["members"]] == ["in_sync", "missing"]
    assert array["state"] == "degraded"
    said = site.dsttool("status", "--exit-code", code=10).stdout
    assert said.startswith("pool  degraded")
    assert "n1 is not there: bring back what is at " in said
    site.dsttool("array", "down", "pool")
    site.dsttool("daemon", "stop", "left")


def test_a_layout_that_needs_all_members_does_not_come_up_without_one(site: Site) -> None:
    (left,) = files(site, "left")
    up = ("array", "up", "pool", "--layout", "linear", "--raw", left, site.path("none.img"), "--degraded")
    assert "Member n1 is missing" in site.dsttool(*up, code=3).stderr


def test_a_member_that_missed_writes_is_refused_next_time(site: Site) -> None:
    left, right = files(site, "left", "right")
    hidden = site.path("hidden")
    up = ("array", "up", "pool", "--layout", "mirror", "--raw", left, right)
    right.rename(hidden)
    site.dsttool(*up, "--degraded")
    site.run("qemu-io", "-f", "raw", "-c", "write -P 9 0 64K", _uri(site, "pool"))
    site.dsttool("array", "down", "pool")
    hidden.rename(right)
    refused = site.dsttool(*up, code=6).stderr
    assert "n1 of pool missed writes" in refused
    assert "--resync-from n0" in refused
    assert "n1 of pool missed writes that n0 holds" in site.dsttool(*up, "--resync-from", "n1", code=6).stderr
    site.dsttool("cp", left, right)
    site.dsttool(*up, "--assume-clean")
    assert site.json("status", "pool")["arrays"][0]["state"] == "online"
    site.dsttool("array", "down", "pool")
    site.dsttool(*up)
    site.dsttool("array", "down", "pool")


def is_online(site: Site) -> bool:
    return site.json("status", "pool")["arrays"][0]["state"] == "online"


@pytest.mark.parametrize("option", [("--degraded",), ("--resync-from", "n0")], ids=" ".join)
def test_a_member_that_missed_writes_is_resynced_whole(site: Site, option: tuple[str, ...]) -> None:
    left, right = files(site, "left", "right")
    hidden = site.path("hidden")
    up = ("array", "up", "pool", "--layout", "mirror", "--raw", left, right)
    right.rename(hidden)
    site.dsttool(*up, "--degraded")
    site.run("qemu-io", "-f", "raw", "-c", "write -P 9 0 64K", _uri(site, "pool"))
    site.dsttool("array", "down", "pool")
    hidden.rename(right)
    site.dsttool(*up, *option)
    wait_until(lambda: is_online(site), "the resync of n1")
    (array,) = site.json("status", "pool")["arrays"]
    assert [member["resynced_bytes"] for member in array["members"]] == [0, 4 * MIB]
    site.dsttool("array", "down", "pool")
    assert left.read_bytes() == right.read_bytes()
    site.dsttool(*up)
    site.dsttool("array", "down", "pool")


def test_a_member_that_was_missing_is_resynced_when_it_is_there(site: Site) -> None:
    left, right = files(site, "left", "right")
    hidden = site.path("hidden")
    right.rename(hidden)
    site.dsttool("array", "up", "pool", "--layout", "mirror", "--raw", left, right, "--degraded")
    site.run("qemu-io", "-f", "raw", "-c", "write -P 9 0 64K", _uri(site, "pool"))
    hidden.rename(right)
    wait_until(lambda: is_online(site), "the resync of n1")
    site.dsttool("array", "down", "pool")
    assert left.read_bytes() == right.read_bytes()
    assert right.read_bytes()[: 64 << 10] == b"\x09" * (64 << 10)


def test_another_file_in_the_place_of_a_missing_member_is_not_overwritten(site: Site) -> None:
    left, right = files(site, "left", "right")
    up = ("array", "up", "pool", "--layout", "mirror", "--raw", left, right)
    site.dsttool(*up)
    site.dsttool("array", "down", "pool")
    right.rename(site.path("hidden"))
    site.dsttool(*up, "--degraded")
    foreign = b"foreign!" * (4 * MIB // 8)
    right.write_bytes(foreign)
    said = "right.img is other storage than when pool last ran"
    wait_until(lambda: said in site.dsttool("logs", "pool").stdout, "a look at it")
    site.dsttool("array", "down", "pool")
    assert "n1 of pool is other storage" in site.dsttool(*up, "--degraded", code=6).stderr
    assert right.read_bytes() == foreign


def test_the_source_of_a_resync_wins_over_what_the_others_hold(site: Site) -> None:
    left = site.file("left.img", 4 * MIB, b"one")
    right = site.file("right.img", 4 * MIB, b"two")
    up = ("array", "up", "pool", "--layout", "mirror", "--raw", left, right)
    assert "--resync-from n0 or n1" in site.dsttool(*up, code=6).stderr
    assert "has no member n7" in site.dsttool(*up, "--resync-from", "n7", code=3).stderr
    both = site.dsttool(*up, "--resync-from", "n1", "--assume-clean", code=2).stderr
    assert "contradict each other" in both
    site.dsttool(*up, "--resync-from", right)
    wait_until(lambda: is_online(site), "the resync of n0")
    kill(site, "pool")
    assert left.read_bytes() == right.read_bytes()
    assert right.read_bytes().startswith(b"two")
    refused = site.dsttool(*up, code=6).stderr
    assert "was not stopped cleanly" in refused
    site.dsttool(*up, "--resync-from", "n0")
    site.dsttool("array", "down", "pool")


def test_a_member_that_missed_writes_is_known_in_another_slot(site: Site) -> None:
    left, right = files(site, "left", "right")
    hidden = site.path("hidden")
    right.rename(hidden)
    up = ("array", "up", "pool", "--layout", "mirror", "--raw")
    site.dsttool(*up, left, right, "--degraded")
    site.run("qemu-io", "-f", "raw", "-c", "write -P 9 0 64K", _uri(site, "pool"))
    site.dsttool("array", "down", "pool")
    hidden.rename(right)
    assert "n0 of pool missed writes" in site.dsttool(*up, right, left, code=6).stderr
    site.dsttool(*up, right, left, "--degraded")
    wait_until(lambda: is_online(site), "the resync of n0")
    (array,) = site.json("status", "pool")["arrays"]
    assert [bool(member["resynced_bytes"]) for member in array["members"]] == [True, False]
    site.dsttool("array", "down", "pool")


def test_a_stale_member_does_not_stand_in_for_a_missing_one_that_has_everything(site: Site) -> None:
    left, right = files(site, "left", "right")
    hidden = site.path("hidden")
    up = ("array", "up", "pool", "--layout", "mirror", "--raw", left, right)
    right.rename(hidden)
    site.dsttool(*up, "--degraded")
    site.dsttool("array", "down", "pool")
    hidden.rename(right)
    left.rename(hidden)
    refused = site.dsttool(*up, "--degraded", "--assume-clean", code=6).stderr
    assert "missed writes that only the missing ones hold" in refused


def test_another_file_in_the_place_of_a_member_is_not_taken_for_it(site: Site) -> None:
    left, right = files(site, "left", "right")
    up = ("array", "up", "pool", "--layout", "mirror", "--raw", left, right)
    site.dsttool(*up)
    site.dsttool("array", "down", "pool")
    stale = site.path("stale")
    stale.write_bytes(right.read_bytes())
    stale.rename(right)
    refused = site.dsttool(*up, code=6).stderr
    assert "n1 of pool is other storage than when it last ran" in refused
    assert "other storage" in site.dsttool(*up, "--dry-run", code=6).stderr
    site.dsttool(*up, "--resync-from", "n0")
    wait_until(lambda: is_online(site), "the resync of n1")
    site.dsttool("array", "down", "pool")
    site.dsttool(*up)
    site.dsttool("array", "down", "pool")


def test_a_relative_state_folder_is_the_same_for_the_daemon_that_changes_its_own(site: Site) -> None:
    left, right = files(site, "left", "right")
    site.env["DSTTOOL_STATE_DIR"] = "state"  # in the site's folder, where commands run
    up = ("array", "up", "pool", "--layout", "mirror", "--raw", left, right)
    site.dsttool(*up)
    site.dsttool("array", "down", "pool")
    site.dsttool(*up)
    site.dsttool("array", "down", "pool")


def test_a_mirror_whose_sides_differ_is_refused_without_assume_clean(site: Site) -> None:
    left = site.file("left.img", 4 * MIB, b"one")
    right = site.file("right.img", 4 * MIB, b"two")
    up = ("array", "up", "pool", "--layout", "mirror", "--raw", left, right)
    refused = site.dsttool(*up, code=6).stderr
    assert "n0 and n1 of pool differ, for example at byte 0" in refused
    assert "--assume-clean" in refused
    assert not site.processes()
    site.dsttool(*up, "--assume-clean")
    site.dsttool("array", "down", "pool")


def test_a_mirror_that_was_killed_is_refused_without_assume_clean(site: Site) -> None:
    left, right = files(site, "left", "right")
    up = ("array", "up", "pool", "--layout", "mirror", "--raw", left, right)
    site.dsttool(*up)
    kill(site, "pool")
    assert "was not stopped cleanly" in site.dsttool(*up, code=6).stderr
    site.dsttool(*up, "--assume-clean")
    site.dsttool("array", "down", "pool")
    site.dsttool(*up)
    site.dsttool("array", "down", "pool")


def test_a_stripe_that_was_killed_comes_up_again(site: Site) -> None:
    left, right = files(site, "left", "right")
    up = ("array", "up", "pool", "--layout", "stripe", "--raw", left, right)
    site.dsttool(*up)
    kill(site, "pool")
    site.dsttool(*up)
    site.dsttool("array", "down", "pool")


def test_a_stripe_that_was_killed_and_whose_disk_lost_power_fails_the_first_flush_of_each_client(
    site: Site,
) -> None:
    left, right = files(site, "left", "right")
    up = ("array", "up", "pool", "--layout", "stripe", "--raw", left, right)
    site.dsttool(*up)
    kill(site, "pool")
    (state,) = site.path("state").rglob("pool.json")
    remembered = json.loads(state.read_text())
    remembered["verifiers"][1] = "0" * 32  # as if that disk had acked under another boot of its machine
    state.write_text(json.dumps(remembered))
    site.dsttool(*up)
    flush = ("qemu-io", "-f", "raw", "-t", "none", "-c", "flush", "-c", "flush", _uri(site, "pool"))
    for _ in range(2):
        assert site.run(*flush, code=None).returncode != 0
    assert "n1 has lost acked writes" in site.dsttool("logs", "pool").stdout
    site.dsttool("array", "down", "pool")
    site.dsttool(*up)
    site.run(*flush)
    site.dsttool("array", "down", "pool")


def test_a_read_only_array_serves_and_writes_nothing_down(site: Site) -> None:
    left, right = files(site, "left", "right")
    site.dsttool("array", "up", "pool", "--layout", "mirror", "--raw", left, right, "--read-only")
    info = json.loads(site.run("nbdinfo", "--json", _uri(site, "pool")).stdout)
    assert info["exports"][0]["is_read_only"] is True
    kill(site, "pool")
    site.dsttool("array", "up", "pool", "--layout", "mirror", "--raw", left, right)
    site.dsttool("array", "down", "pool")


def test_a_foreground_array_ends_with_0_on_sigterm(site: Site) -> None:
    left, right = files(site, "left", "right")
    daemon = site.array("pool", "mirror", left, right)
    daemon.stop()
    assert not site.processes()
    assert not list(runtime(site).iterdir())


def test_an_array_is_a_node_of_another_by_dst(site: Site) -> None:
    left, right = files(site, "left", "right")
    site.array("base", "mirror", left, right)
    site.array("apex", "linear", site.dst("base") + "&name=below")
    site.run("qemu-io", "-f", "raw", "-c", "write -P 3 1M 1M", "-c", "flush", site.nbd("apex"))
    assert left.read_bytes()[MIB : 2 * MIB] == right.read_bytes()[MIB : 2 * MIB] == b"\x03" * MIB
    (member,) = site.json("status", "apex")["arrays"][0]["members"]
    assert (member["name"], member["state"]) == ("below", "in_sync")


CASES = [
    (("create", "pool", "--layout", "mirror", "x/a", "x/b"), 2, "superblocks come with a later release"),
    (("up", "pool", "--layout", "mirror", "x/a", "x/b"), 2, "superblocks come with a later release"),
    (("up", "x/a", "x/b"), 2, "x/a is a node"),
    (("up", "pool", "--raw"), 2, "there is no --layout"),
    (("up", "pool", "--layout", "mirror", "--raw"), 2, "the first word is the array's name"),
    (("up", "pool", "--layout", "mirrow", "--raw", "x/a", "x/b"), 2, "There is no layout 'mirrow'"),
    (("up", "pool", "--layout", "mirror", "--raw", "x/a", "x/a"), 2, "is given twice"),
    (("up", "pool", "--layout", "mirror", "--raw", "x/a"), 2, "needs at least 2 members"),
    (("up", "pool", "--layout", "mirror", "--raw", "--chunk", "4K", "x/a", "x/b"), 2, "no parameter 'chunk'"),
    (("up", "pool", "--layout", "linear", "--raw", "pool"), 2, "cannot be a node of itself"),
    (("up", "pool", "--layout", "linear", "--raw", "file:a?name=m", "file:b?name=m"), 2, "are named m"),
    (("up", "pool", "--layout", "linear", "--raw", "--read-policy", "first", "x/a"), 2, "Only mirrors"),
    (("up", "pool", "--layout", "linear", "--raw", "dst://host/a"), 2, "does not say with which keys"),
    (("up", "pool", "--layout", "linear", "--raw", "mem:4M", "--security", "aes"), 2, "'aes' is none of"),
    (("up", "pool"), 3, "pool"),
    (("up",), 3, "No array is configured"),
    (("down", "pool"), 3, "Nothing called pool is running"),
    (("show", "pool"), 3, "pool"),
    (
        ("up", "pool", "--layout", "linear", "--raw", "mem:4M", "--listen", "nbd://0.0.0.0"),
        6,
        "other machines",
    ),
]


@pytest.mark.parametrize(("arguments", "code", "what"), CASES, ids=[" ".join(case[0]) for case in CASES])
def test_an_array_that_cannot_be_is_refused_with_the_reason(
    site: Site, arguments: tuple[str, ...], code: int, what: str
) -> None:
    done = site.dsttool("array", *arguments, code=code)
    first, advice = done.stderr.rstrip("\n").split("\n")
    assert what in first
    assert advice
    assert not site.processes()


def test_a_configured_name_is_kept_for_its_array(site: Site) -> None:
    left, right = files(site, "left", "right")
    create = ("array", "create", "pool", "--layout", "mirror", "--raw", left, right)
    site.dsttool(*create)
    assert "configured already" in site.dsttool(*create, code=8).stderr
    up = site.dsttool("array", "up", "pool", "--layout", "linear", "--raw", left, code=8)
    assert "configured already" in up.stderr


def test_an_export_is_not_taken_down_as_an_array(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    assert "a is an export" in site.dsttool("array", "down", "a", code=8).stderr
    site.dsttool("daemon", "stop", "a")


def test_a_name_and_its_socket_are_the_same_node(site: Site) -> None:
    for image in files(site, "left", "right"):
        site.dsttool("export", image, "-d")
    socket = f"dst+unix:///right?socket={runtime(site)}/right.dst"
    up = ("array", "up", "pool", "--layout", "mirror", "--raw")
    assert "is given twice" in site.dsttool(*up, "right", socket, code=2).stderr
    site.dsttool(*up, "left", "right")
    kill(site, "pool")
    assert "was not stopped cleanly" in site.dsttool(*up, "left", socket, code=6).stderr
    site.dsttool("daemon", "stop", "left")
    site.dsttool("daemon", "stop", "right")


def test_one_listener_is_not_for_several_arrays(site: Site) -> None:
    for name in ("one", "two"):
        site.dsttool("array", "create", name, "--layout", "linear", "--raw", "mem:1M")
    for option in (("--foreground",), ("--listen", "nbd://127.0.0.1:0")):
        assert f"{option[0]} is for one array" in site.dsttool("array", "up", *option, code=2).stderr
