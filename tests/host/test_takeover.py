"""Two arrays and one export: the second is refused unless it takes over; then the first writes no more."""

import os
import signal

from support.site import START_SECONDS, Site, wait_until

MIB = 1 << 20


def wait_frozen(site: Site) -> None:
    wait_until(
        lambda: site.json("status", "one")["arrays"][0]["state"] == "frozen", "it knows", START_SECONDS
    )


def rival(site: Site, *options: str, code: int) -> str:
    """An array of the same name from elsewhere, which its state folder stands for, over the same export."""
    mine = site.env["DSTTOOL_STATE_DIR"]
    site.env["DSTTOOL_STATE_DIR"] = str(site.path("elsewhere"))
    try:
        done = site.dsttool(
            *("array", "up", "two", "--layout", "linear", "--raw", site.dst("a")), *options, code=code
        )
    finally:
        site.env["DSTTOOL_STATE_DIR"] = mine
    return done.stderr


def test_another_owner_is_refused_until_it_takes_over_and_then_the_first_is_frozen(site: Site) -> None:
    image = site.file("a.img", MIB)
    site.export(image, "a")
    site.array("one", "linear", site.dst("a"))
    site.run("qemu-io", "-f", "raw", "-c", "write -P 1 0 64K", site.nbd("one"))
    assert "--takeover" in rival(site, code=8)
    assert image.read_bytes()[0] == 1
    rival(site, "--takeover", "--confirm", "two", code=0)
    wait_frozen(site)
    said = site.dsttool("status", "one", "--exit-code", code=11).stdout.splitlines()
    assert said[0].startswith("one  frozen")
    assert said[1].startswith("Another writer has taken n0 over.")
    (member,) = site.json("status", "one")["arrays"][0]["members"]
    assert member["state"] == "faulty"
    assert member["reason"]
    uri = site.dsttool("uri", "two").stdout.strip()
    site.run("qemu-io", "-f", "raw", "-c", "write -P 2 0 64K", "-c", "flush", uri)
    assert image.read_bytes()[0] == 2
    site.dsttool("array", "down", "two")


def test_an_array_that_was_killed_is_the_same_owner_and_comes_up_at_once(site: Site) -> None:
    site.export(site.file("a.img", MIB), "a")
    up = ("array", "up", "one", "--layout", "linear", "--raw", site.dst("a"))
    site.dsttool(*up)
    pid = next(each["pid"] for each in site.json("daemon", "list")["daemons"] if each["name"] == "one")
    os.kill(pid, signal.SIGKILL)
    site.dsttool(*up)
    site.dsttool("array", "down", "one")
