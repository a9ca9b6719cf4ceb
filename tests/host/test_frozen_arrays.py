"""on_exhausted=freeze: what has no answer waits until the member is back, or until somebody lets it fail."""

import signal
import subprocess
import sys
import time

from support.pool import MIB, Pool
from support.site import START_SECONDS, Site, wait_until

QUICK = {"resend_timeout": "100ms", "resends": "1", "on_exhausted": "freeze"}


def frozen_pool(site: Site) -> Pool:
    """One member with another beside it, and with a budget that ends at once."""
    pool = Pool(site)
    site.dsttool("policy", "set", "pool/n1", *(f"{key}={value}" for key, value in QUICK.items()))
    return pool


def test_a_frozen_array_says_so_holds_its_writes_and_goes_on_when_the_member_is_back(site: Site) -> None:
    pool = frozen_pool(site)
    with pool.stopped(), pool.writing() as client:
        wait_until(lambda: pool.array()["state"] == "frozen", "the array is frozen")
        said = site.dsttool("status", "pool", "--exit-code", code=11).stdout
        assert said.startswith("pool  frozen: it holds all requests until somebody decides.")
        (entry,) = site.json("tx", "list", "pool")["transactions"]
        assert (entry["state"], entry["budget_left_ns"]) == ("frozen", None)
        assert site.json("tx", "list", "pool")["states"] == {"frozen": 1}
        assert "on_exhausted=freeze" in site.dsttool("tx", "show", "pool", entry["id"]).stdout
        assert client.poll() is None
        assert pool.states() == ["in_sync", "in_sync"]
        up = subprocess.Popen([sys.executable, "-m", "dsttool", "wait", "pool", "--for", "up"], env=site.env)
    assert up.wait(START_SECONDS) == 0
    assert pool.array()["state"] == "online"


def test_a_frozen_array_is_let_go_on_without_the_member_by_its_policy(site: Site) -> None:
    pool = frozen_pool(site)
    with pool.stopped(), pool.writing() as client:
        wait_until(lambda: pool.array()["state"] == "frozen", "the array is frozen")
        up = subprocess.Popen([sys.executable, "-m", "dsttool", "wait", "pool", "--for", "up"], env=site.env)
        site.dsttool("policy", "set", "pool/n1", "on_exhausted=fail")
        assert client.wait(START_SECONDS) == 0
        assert up.wait(START_SECONDS) == 0
        assert pool.array()["state"] == "degraded"
    site.dsttool("wait", "pool", "--for", "clean", "--timeout", "20s")


def test_freezing_and_several_links_are_asked_for_in_an_address(site: Site) -> None:
    site.export("mem:4M", "a")
    site.array("pool", "linear", site.dst("a", on_exhausted="freeze", links=3))
    (node,) = site.json("policy", "show", "pool")["nodes"]
    assert node["policy"]["on_exhausted"] == {"value": "freeze", "source": "address"}
    assert node["policy"]["links"] == {"value": 3, "source": "address"}
    site.run("qemu-io", "-f", "raw", "-c", "write -P 5 0 1M", "-c", "read -P 5 0 1M", site.nbd("pool"))
    assert site.json("status", "pool")["arrays"][0]["size_bytes"] == 4 * MIB


def test_a_wait_ends_when_a_stalled_member_answers_late_on_the_same_link(site: Site) -> None:
    pool = Pool(site)
    site.dsttool("policy", "set", "pool/n1", "ping_interval=1h", *(f"{key}={QUICK[key]}" for key in QUICK))
    connects = [member["link"]["connects"] for member in pool.array()["members"]]
    with pool.stopped(), pool.writing() as client:
        wait_until(lambda: pool.array()["state"] == "frozen", "the array is frozen")
        up = subprocess.Popen([sys.executable, "-m", "dsttool", "wait", "pool", "--for", "up"], env=site.env)
        time.sleep(0.5)
        assert up.poll() is None
        pool.exports[1].process.send_signal(signal.SIGCONT)
        assert client.wait(START_SECONDS) == 0
    assert up.wait(START_SECONDS) == 0
    assert [member["link"]["connects"] for member in pool.array()["members"]] == connects
