"""What an operator is told of a day on which much happens, by real daemons."""

from typing import Any

from support.site import Site, wait_until

MIB = 1 << 20


def told(site: Site, name: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = site.json("events", name)["events"]
    return events


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [each["kind"] for each in events]


def test_a_member_that_goes_and_comes_back(site: Site) -> None:
    leaf = site.export(site.file("d0", 4 * MIB), "d0")
    site.array(
        *("pool", "mirror", site.dst("d0", resend_timeout="100ms", resends=1), site.file("d1", 4 * MIB)),
        "--assume-clean",
    )
    leaf.kill()
    site.run("qemu-io", "-f", "raw", "-c", "write 0 64k", site.nbd("pool"))
    wait_until(lambda: "array.degraded" in kinds(told(site, "pool")), "the array is degraded")
    site.dsttool("policy", "set", "pool", "resend_timeout=10s")  # it may be slow now, but not lost again
    site.export(site.path("d0"), "d0")
    site.dsttool("wait", "pool", "--for", "clean", "--timeout", "60s")
    wait_until(lambda: "array.online" in kinds(told(site, "pool")), "the array is online again")
    events = told(site, "pool")
    order = ["link.lost", "member.stale", "array.degraded", "resync.begun", "resync.done", "array.online"]
    assert [kind for kind in dict.fromkeys(kinds(events)) if kind in order] == order
    by_kind = {each["kind"]: each for each in events}
    assert (by_kind["member.stale"]["name"], by_kind["member.stale"]["node"]) == ("pool", "n0")
    assert by_kind["array.degraded"]["level"] == "warning"
    assert by_kind["array.degraded"]["text"] == "pool is degraded: n0 is stale."
    assert "connected again after" in [e for e in events if e["kind"] == "link.up"][-1]["text"].lower()
    assert by_kind["resync.done"]["text"].endswith("65536 bytes were copied.")
    log = site.daemons[1].output
    assert "pool is degraded: n0 is stale" in log, "every event is a line of the log, too"


def test_clients_come_and_go_and_are_refused(site: Site) -> None:
    site.export("mem:1M", "a")
    site.run("qemu-io", "-f", "raw", "-c", "read 0 4k", site.nbd("a"))
    site.dsttool("info", site.dst("a").replace("///a", "///nowhere"), code=None)
    wait_until(lambda: "client.refused" in kinds(told(site, "a")), "somebody was refused")
    found = kinds(told(site, "a"))
    assert found[0] == "daemon.ready"
    assert found.index("client.in") < found.index("client.out")


def test_a_suspension_and_a_policy(site: Site) -> None:
    site.export(site.file("d0", MIB), "d0")
    site.array("pool", "mirror", site.dst("d0"), site.file("d1", MIB), "--assume-clean")
    site.dsttool("node", "suspend", "pool", "n0", "--for", "1h")
    site.dsttool("node", "resume", "pool", "n0")
    site.dsttool("policy", "set", "pool", "resends=9")
    events = told(site, "pool")
    texts = {each["kind"]: each["text"] for each in events}
    assert texts["member.suspended"] == "Member n0 is suspended for 3600 s."
    assert texts["member.resumed"] == "Member n0 is resumed."
    assert texts["policy.changed"] == "Policy set: resends 4 -> 9."


def test_a_member_that_is_missing_from_the_start(site: Site) -> None:
    site.array("pool", "mirror", site.dst("nowhere"), site.file("d1", MIB), "--degraded")
    events = told(site, "pool")
    assert kinds(events)[0] == "member.missing"
    assert (events[0]["name"], events[0]["node"]) == ("pool", "n0")
    wait_until(lambda: "array.degraded" in kinds(told(site, "pool")), "it is degraded from the start")
