"""--host: the daemons of another machine, through a program that stands for ssh."""

import json
import os
import signal
from collections.abc import Iterator

import pytest

from support.far_machine import FarMachine
from support.site import Site, wait_until

MIRROR = ("--layout", "mirror", "--raw", "mem:1M", "mem:1M?name=b", "--assume-clean")


@pytest.fixture
def far() -> Iterator[Site]:
    with Site() as made:
        yield made


@pytest.fixture
def machine(site: Site, far: Site) -> FarMachine:
    return FarMachine(site, far)


def test_commands_ask_the_daemons_of_the_other_machine(site: Site, far: Site, machine: FarMachine) -> None:
    far.dsttool("array", "up", "pool", *MIRROR)
    assert [each["name"] for each in site.json("--host", "ssh://box", "status")["arrays"]] == ["pool"]
    assert site.json("status")["arrays"] == []
    site.dsttool("node", "suspend", "pool", "b", "--host", "ssh://box")
    (array,) = far.json("status", "pool")["arrays"]
    assert [member["state"] for member in array["members"]] == ["in_sync", "suspended"]
    site.dsttool("--host", "ssh://box", "array", "down", "pool")
    assert far.json("status")["daemons"] == []
    assert not far.processes()


def test_the_machine_may_be_named_by_the_environment_and_is_overridden_by_the_option(
    site: Site, far: Site, machine: FarMachine
) -> None:
    far.dsttool("export", "mem:1M", "--name", "x", "-d")
    site.env["DSTTOOL_HOST"] = "ssh://box"
    assert len(site.json("status")["exports"]) == 1
    assert site.json("status", "--host", "local")["exports"] == []
    far.dsttool("daemon", "stop", "x")


def test_ssh_gets_the_address_in_parts_and_a_fixed_command(site: Site, machine: FarMachine) -> None:
    site.dsttool("status", "--host", "ssh://me@box:2222")
    (asked,) = machine.asked
    assert asked.endswith("-p 2222 -l me -- box dsttool ctl --stdio")


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("ssh://-oProxyCommand=touch", "cannot be a host"),
        ("ssh://-l@box", "cannot be a user"),
        ("ssh://box;reboot", "cannot be a host"),
        ("ssh://$(reboot)", "cannot be a host"),
        ("ssh://box/path", "is not the address of a machine"),
        ("ssh://box:0", "is not a port"),
        ("ssh://box:99999", "is not a port"),
        ("ssh://", "cannot be a host"),
        ("box", "is not the address of a machine"),
        ("http://box", "is not the address of a machine"),
        ("ssh://a\nb", "cannot be a host"),
    ],
)
def test_an_address_that_ssh_could_take_for_something_else_is_refused(
    site: Site, machine: FarMachine, address: str, what: str
) -> None:
    done = site.dsttool("status", "--host", address, code=2)
    assert what in done.stderr
    assert machine.asked == []


def test_a_machine_that_cannot_be_reached_is_an_error_with_the_reason_of_ssh(
    site: Site, machine: FarMachine
) -> None:
    done = site.dsttool("status", "--host", "ssh://nowhere", code=4)
    assert "The connection to nowhere ended: ssh: connect to host nowhere port 22: No route" in done.stderr
    assert "ssh nowhere dsttool version" in done.stderr


def test_an_ssh_that_hangs_is_ended_after_the_commands_time(site: Site, machine: FarMachine) -> None:
    done = site.dsttool("status", "--host", "ssh://hung", "--timeout", "100ms", code=7)
    assert "ssh to hung did not connect within 0.1 s." in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_ssh_behind_that_hangs(
    site: Site, machine: FarMachine, number: signal.Signals
) -> None:
    with site.begun("status", "--host", "ssh://hung") as asking:
        wait_until(lambda: "sleep 1000" in site.processes().values(), "ssh runs")
        asking.send_signal(number)
        assert asking.wait(60) == 128 + number
    assert site.processes() == {}


def test_ssh_may_not_ask_either_where_nothing_is_to_ask(site: Site, machine: FarMachine) -> None:
    for words, answer in (((), "no"), (("--no-input",), "yes")):
        site.dsttool(*words, "--host", "ssh://box", "status")
        assert f"-oBatchMode={answer}" in machine.asked[-1]


def test_a_machine_without_dsttool_is_told_apart(site: Site, machine: FarMachine) -> None:
    assert "There is no dsttool on bare." in site.dsttool("status", "--host", "ssh://bare", code=4).stderr


def test_an_ssh_that_is_not_there_is_an_error(site: Site) -> None:
    site.env["DSTTOOL_SSH"] = "/no/such/ssh"
    assert "Cannot run /no/such/ssh" in site.dsttool("status", "--host", "ssh://box", code=3).stderr


@pytest.mark.parametrize(
    "words",
    [
        ("export", "mem:1M"),
        ("array", "up"),
        ("array", "create", "a", "--layout", "mirror", "--raw", "mem:1M"),
        ("cp", "mem:1M", "mem:1M"),
        ("bench", "mem:1M"),
        ("info", "mem:1M"),
        ("demo",),
        ("key", "list"),
        ("key", "generate"),
        ("logs", "x"),
    ],
    ids=" ".join,
)
def test_what_needs_this_machine_refuses_another(
    site: Site, machine: FarMachine, words: tuple[str, ...]
) -> None:
    done = site.dsttool("--host", "ssh://box", *words, code=2)
    assert f"`dsttool {' '.join(words[: 2 if words[0] in ('array', 'key') else 1])}`" in done.stderr
    assert "works on this machine only" in done.stderr
    assert machine.asked == []


def test_a_command_about_one_machine_refuses_two(site: Site, machine: FarMachine) -> None:
    done = site.dsttool("--host", "ssh://a", "--host", "ssh://b", "status", code=2)
    assert "This is about one machine" in done.stderr


def test_what_is_not_there_and_what_is_refused_comes_back_as_it_is(
    site: Site, far: Site, machine: FarMachine
) -> None:
    far.dsttool("array", "up", "pool", *MIRROR)
    assert (
        "Nothing called nope is running"
        in site.dsttool("tx", "list", "nope", "--host", "ssh://b", code=3).stderr
    )
    refused = site.dsttool("node", "resume", "pool", "b", "--host", "ssh://b", code=8)
    assert "is not suspended" in refused.stderr
    far.dsttool("array", "down", "pool")


def test_wait_up_hears_of_a_daemon_that_appears_on_the_other_machine(
    site: Site, far: Site, machine: FarMachine
) -> None:
    with site.begun("wait", "x", "--for", "up", "--host", "ssh://box", "--timeout", "60") as waiting:
        assert waiting.stderr is not None
        assert "x is not running yet" in waiting.stderr.readline()
        far.dsttool("export", "mem:1M", "--name", "x", "-d")
        out, _ = waiting.communicate(timeout=60)
    assert (waiting.returncode, out) == (0, "x is up.\n")
    far.dsttool("daemon", "stop", "x")


def test_several_machines_are_watched_at_once(site: Site, far: Site, machine: FarMachine) -> None:
    site.dsttool("export", "mem:1M", "--name", "near", "-d")
    far.dsttool("export", "mem:1M", "--name", "far", "-d")
    hosts = ("--host", "local", "--host", "ssh://box")
    report = json.loads(site.dsttool("iostat", "--json", *hosts).stdout)
    assert [(row["place"], row["label"]) for row in report["rows"]] == [("box", "far"), ("local", "near")]
    site.dsttool("daemon", "stop", "near")
    far.dsttool("daemon", "stop", "far")


def test_a_connection_that_is_lost_is_made_again_for_whoever_follows(
    site: Site, far: Site, machine: FarMachine
) -> None:
    far.dsttool("export", "mem:1M", "--name", "x", "-d")
    with site.begun("events", "--follow", "--host", "ssh://box") as follower:
        assert follower.stdout is not None
        assert follower.stderr is not None
        assert "x is ready" in follower.stdout.readline()
        (relay,) = [pid for pid, line in far.processes().items() if line.endswith("ctl --stdio")]
        os.kill(relay, signal.SIGKILL)
        assert "The connection to box ended" in follower.stderr.readline()
        far.dsttool("export", "mem:1M", "--name", "y", "-d")
        while "y is ready" not in (line := follower.stdout.readline()):
            assert "x is ready" not in line, "told twice"
    for name in ("x", "y"):
        far.dsttool("daemon", "stop", name)


def test_while_a_bar_is_shown_ssh_asks_nobody(site: Site, far: Site, machine: FarMachine) -> None:
    far.dsttool("array", "up", "pool", *MIRROR)
    far.dsttool("node", "suspend", "pool", "b")
    with site.begun("wait", "pool", "--for", "clean", "--host", "ssh://box") as waiting:
        wait_until(lambda: len(machine.asked) == 2, "it asks for what the bar shows")
        far.dsttool("node", "resume", "pool", "b")
        assert waiting.wait(60) == 0
    first, second = machine.asked
    assert "-oBatchMode=no" in first
    assert "-oBatchMode=yes" in second
    far.dsttool("array", "down", "pool")


def test_that_a_machine_is_still_out_of_reach_is_told_once(site: Site, machine: FarMachine) -> None:
    with site.begun("events", "--follow", "--host", "ssh://nowhere", "--host", "local") as follower:
        wait_until(lambda: len(machine.asked) >= 3, "it is tried again")
        follower.terminate()
        _, told = follower.communicate(timeout=60)
    assert told.count("No news from the machine nowhere") == 1


def test_status_is_the_same_over_the_network_as_there(site: Site, far: Site, machine: FarMachine) -> None:
    far.dsttool("array", "up", "pool", *MIRROR)
    here, there = site.json("status", "--host", "ssh://box"), far.json("status")
    assert here["arrays"] == there["arrays"]
    assert here["daemons"][0]["socket"] == "pool.sock on box"
    far.dsttool("array", "down", "pool")
