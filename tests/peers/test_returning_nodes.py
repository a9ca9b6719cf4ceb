"""Nodes that come back: late, changed, or to an array that has ended meanwhile."""

import signal
import time

from support import fio, subjects
from support.fio import Load, allocated
from support.site import Daemon, Site, wait_until

HASTY = {"resend_timeout": "200ms", "resends": 3}
PATIENT = {"resend_timeout": "30s"}
# The link is given up for dead after 0.6 s of silence; the transactions on it live on.
NERVOUS = {"ping_interval": "200ms", "ping_misses": 2, "resend_timeout": "30s", "backoff_max": "200ms"}
PATTERN = ("qemu-io", "-f", "raw", "-c", "write -P 0x77 0 1M", "-c", "flush")


def members(site: Site, array: str) -> list[str]:
    (found,) = site.json("status", array)["arrays"]
    return [member["state"] for member in found["members"]]


def export(site: Site, name: str) -> Daemon:
    path = site.path(f"{name}.img")
    return site.export(path if path.exists() else site.file(path.name, subjects.LEAF), name)


def degraded_mirror(site: Site) -> list[str]:
    """A mirror whose member b was lost, then missed a write. Returns its nodes; the array has ended."""
    export(site, "a")
    lost = export(site, "b")
    nodes = [site.dst("a", **PATIENT), site.dst("b", **HASTY)]
    array = site.array("pool", "mirror", *nodes, "--assume-clean")
    lost.kill()
    site.run(*PATTERN, site.nbd("pool"))
    assert members(site, "pool") == ["in_sync", "stale"]
    array.kill()
    export(site, "b")
    return nodes


def test_a_stale_member_is_not_trusted_after_the_array_was_killed(site: Site) -> None:
    nodes = degraded_mirror(site)
    up = ("array", "up", "pool", "--layout", "mirror", "--raw", *nodes)

    refused = site.dsttool(*up, code=6)

    assert "--degraded" in refused.stderr
    site.array("pool", "mirror", *nodes, "--degraded")
    site.run("qemu-io", "-f", "raw", "-r", *("-c", "read -P 0x77 0 1M") * 8, site.nbd("pool"))
    site.dsttool("wait", "pool", "--for", "clean", "--timeout", "60s")
    site.run("qemu-img", "compare", "-f", "raw", "-F", "raw", site.path("a.img"), site.path("b.img"))


def test_a_mirror_whose_sides_differ_is_refused_and_names_the_way_out(site: Site) -> None:
    site.export(site.file("a.img", subjects.LEAF, b"one"), "a")
    site.export(site.file("b.img", subjects.LEAF, b"two"), "b")

    refused = site.dsttool(
        *("array", "up", "pool", "--layout", "mirror", "--raw", site.dst("a"), site.dst("b")), code=6
    )

    assert "--assume-clean" in refused.stderr
    assert site.json("status")["arrays"] == []


def test_an_export_of_another_size_is_never_written_to(site: Site) -> None:
    leaf = export(site, "a")
    site.array("pool", "linear", site.dst("a", **PATIENT))
    site.run(*PATTERN, site.nbd("pool"))

    leaf.kill()
    impostor = site.file("other.img", subjects.LEAF // 2)
    site.export(impostor, "a")
    done = site.run("qemu-io", "-f", "raw", "-c", "write -P 1 0 4096", site.nbd("pool"), code=1)

    assert "Input/output error" in done.stdout + done.stderr
    assert allocated(impostor) == 0


def test_an_export_that_falls_silent_and_wakes_up_is_not_noticed_above(site: Site) -> None:
    """What it had received before it fell silent is executed late, beside what is sent again."""
    leaf_a, _leaf_b = export(site, "a"), export(site, "b")
    site.array("pool", "stripe", site.dst("a", **NERVOUS), site.dst("b", **NERVOUS), "--chunk", "64K")
    load = Load(site, site.nbd("pool"), 40 << 20, "16m")
    wait_until(lambda: allocated(site.path("a.img")) > 2 << 20, "the load writes to the leaf")

    leaf_a.process.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: link_state(site) != "up", "the silent link is given up")
        time.sleep(0.5)  # attempts to connect pile up in its backlog
        assert load.running
    finally:
        leaf_a.process.send_signal(signal.SIGCONT)
    load.finish()

    assert members(site, "pool") == ["in_sync", "in_sync"]
    fio.verify(site, site.nbd("pool"), 8 << 20)


def link_state(site: Site) -> str:
    (found,) = site.json("status", "pool")["arrays"]
    return str(found["members"][0]["link"]["state"])
