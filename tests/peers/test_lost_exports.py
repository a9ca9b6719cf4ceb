"""Exports killed with -9 under load that fio verifies: nobody above may see an error."""

import signal
import time

import pytest

from support import fio, subjects
from support.fio import Load, allocated
from support.site import Daemon, Site, wait_until

LOAD = 24 << 20
RATE = "12m"  # about two seconds of writing: the kill comes in the first

# Dead soon: 200 ms x 4 sends. Patient: longer than any test.
HASTY = {"resend_timeout": "200ms", "resends": 3}
# 3 s in all: a machine with much else to do may send the oldest unanswered write long before the leaf stops.
MEASURED = {"resend_timeout": "750ms", "resends": 3}
MEASURED_BUDGET_SECONDS = 3.0
PATIENT = {"resend_timeout": "30s", "resends": 9, "backoff_min": "50ms", "backoff_max": "200ms"}


def members(site: Site, array: str) -> list[str]:
    (found,) = site.json("status", array)["arrays"]
    return [member["state"] for member in found["members"]]


def state(site: Site, array: str) -> str:
    (found,) = site.json("status", array)["arrays"]
    return str(found["state"])


def export(site: Site, name: str) -> Daemon:
    path = site.path(f"{name}.img")
    return site.export(path if path.exists() else site.file(path.name, subjects.LEAF), name)


def kill_mid_write(site: Site, array: str, leaf: Daemon) -> float:
    """kill -9 while requests of the array have reached the leaf and are not answered.

    Returns when it stopped answering (time.monotonic).
    """

    def waits() -> bool:
        (found,) = site.json("status", array)["arrays"]
        # On a slow machine a hasty budget has ended before anybody could look.
        return any(member["in_flight"] or member["state"] == "stale" for member in found["members"])

    stopped = time.monotonic()
    leaf.process.send_signal(signal.SIGSTOP)
    wait_until(waits, "requests wait for the leaf")
    leaf.kill()
    return stopped


def start_load(site: Site, name: str, leaf: str) -> Load:
    """Verified load on an array; returns once it has really written to this leaf."""
    load = Load(site, site.nbd(name), LOAD, RATE)
    wait_until(lambda: allocated(site.path(f"{leaf}.img")) > 2 << 20, "the load writes to the leaf")
    assert load.running
    return load


def test_a_mirror_keeps_serving_when_an_export_is_killed_mid_write(site: Site) -> None:
    leaf_a, _leaf_b = export(site, "a"), export(site, "b")
    site.array("pool", "mirror", site.dst("a", **HASTY), site.dst("b", **PATIENT), "--assume-clean")
    load = start_load(site, "pool", "a")

    kill_mid_write(site, "pool", leaf_a)
    load.finish()

    assert members(site, "pool") == ["stale", "in_sync"]
    assert state(site, "pool") == "degraded"
    site.run("qemu-img", "compare", "-f", "raw", "-F", "raw", site.path("b.img"), site.nbd("pool"))
    fio.verify(site, site.nbd("pool"), 8 << 20)


def test_a_member_is_not_marked_before_its_budget_has_ended(site: Site) -> None:
    leaf_a, _leaf_b = export(site, "a"), export(site, "b")
    site.array("pool", "mirror", site.dst("a", **MEASURED), site.dst("b", **PATIENT), "--assume-clean")
    load = start_load(site, "pool", "a")

    silent = kill_mid_write(site, "pool", leaf_a)
    while members(site, "pool") == ["in_sync", "in_sync"]:
        assert time.monotonic() - silent < 40
    marked = time.monotonic()
    load.finish()

    # The oldest unanswered write may have been sent a little before that.
    assert marked - silent > MEASURED_BUDGET_SECONDS * 0.75


def test_a_mirror_reads_from_the_other_side_while_the_lost_one_still_has_its_budget(site: Site) -> None:
    leaf_a, _leaf_b = export(site, "a"), export(site, "b")
    site.array("pool", "mirror", site.dst("a", **PATIENT), site.dst("b", **PATIENT), "--assume-clean")
    site.run("qemu-io", "-f", "raw", "-c", "write -P 0x5a 0 1M", site.nbd("pool"))

    leaf_a.kill()
    begun = time.monotonic()
    site.run("qemu-io", "-f", "raw", "-r", *("-c", "read -P 0x5a 0 1M") * 8, site.nbd("pool"))

    assert time.monotonic() - begun < 10
    assert members(site, "pool") == ["in_sync", "in_sync"]
    export(site, "a")  # or the array's last flush would wait for it


@pytest.mark.parametrize("layout", ["linear", "stripe", "mirror"])
def test_an_export_killed_and_restarted_under_load_is_not_noticed_above(site: Site, layout: str) -> None:
    leaf_a, _leaf_b = export(site, "a"), export(site, "b")
    nodes = [site.dst("a", **PATIENT), site.dst("b", **PATIENT)]
    site.array("pool", layout, *nodes, *subjects.layout_options(layout))

    for _ in range(2):
        load = start_load(site, "pool", "a")
        kill_mid_write(site, "pool", leaf_a)
        leaf_a = export(site, "a")
        load.finish()

    assert members(site, "pool") == ["in_sync", "in_sync"]
    (found,) = site.json("status", "pool")["arrays"]
    assert found["errors"] == 0
    assert found["members"][0]["resends"] >= 2
    assert found["members"][0]["link"]["connects"] >= 3


def test_a_leaf_of_a_tree_is_killed_and_the_top_serves_on(site: Site) -> None:
    subjects.start_tree(site, **HASTY)
    leaf_a = site.daemons[0]
    load = start_load(site, "tree", "a")

    kill_mid_write(site, "left", leaf_a)
    load.finish()

    assert members(site, "left") == ["stale", "in_sync"]
    assert members(site, "tree") == ["in_sync", "in_sync"]


def test_the_last_member_of_a_mirror_gives_its_error_upward(site: Site) -> None:
    leaf_a, leaf_b = export(site, "a"), export(site, "b")
    site.array("pool", "mirror", site.dst("a", **HASTY), site.dst("b", **HASTY), "--assume-clean")

    leaf_a.kill()
    leaf_b.kill()
    done = site.run("qemu-io", "-f", "raw", "-c", "write -P 1 0 4096", site.nbd("pool"), code=None)

    assert "Input/output error" in done.stdout + done.stderr
    assert sorted(members(site, "pool")).count("stale") < 2
