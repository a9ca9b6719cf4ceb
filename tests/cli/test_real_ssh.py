"""--host by OpenSSH's own client: what it answers, how it refuses, that it ends."""

import signal
import sys
from collections.abc import Iterator

import pexpect
import pytest

from support.site import Site, wait_until
from support.ssh_machine import SshMachine, make_key, ssh_machine

BOX = ("--host", "ssh://box")
# What ssh would ask, it must not ask whoever runs the tests.
UNASKED = ("--no-input", *BOX)
MIRROR = ("--layout", "mirror", "--raw", "mem:1M", "mem:1M?name=b", "--assume-clean")


@pytest.fixture
def far() -> Iterator[Site]:
    with Site() as made:
        yield made


@pytest.fixture
def machine(site: Site, far: Site) -> Iterator[SshMachine]:
    with ssh_machine(site, far) as made:
        yield made


def test_status_over_ssh_is_that_of_the_machine(site: Site, far: Site, machine: SshMachine) -> None:
    far.dsttool("array", "up", "pool", *MIRROR)
    here, there = site.json(*UNASKED, "status"), far.json("status")
    assert here["arrays"] == there["arrays"]
    assert [array["name"] for array in here["arrays"]] == ["pool"]
    assert [daemon["pid"] for daemon in here["daemons"]] == [daemon["pid"] for daemon in there["daemons"]]
    far.dsttool("array", "down", "pool")


def test_an_act_over_ssh_is_carried_out_there_and_a_refusal_keeps_its_exit_code(
    site: Site, far: Site, machine: SshMachine
) -> None:
    far.dsttool("array", "up", "pool", *MIRROR)
    site.dsttool(*UNASKED, "node", "suspend", "pool", "b", "--yes")
    (array,) = far.json("status", "pool")["arrays"]
    assert [member["state"] for member in array["members"]] == ["in_sync", "suspended"]
    refused = site.dsttool(*UNASKED, "node", "resume", "pool", "n0", code=8)
    assert "is not suspended" in refused.stderr
    far.dsttool("array", "down", "pool")


def test_an_event_that_happens_later_comes_over_ssh(site: Site, far: Site, machine: SshMachine) -> None:
    far.dsttool("export", "mem:1M", "--name", "x", "-d")
    with site.begun(*UNASKED, "events", "--follow") as follower:
        assert follower.stdout is not None
        assert "x is ready" in follower.stdout.readline()
        far.dsttool("export", "mem:1M", "--name", "y", "-d")
        assert "y is ready" in follower.stdout.readline()
    for name in ("x", "y"):
        far.dsttool("daemon", "stop", name)


def test_a_connection_that_is_cut_is_told_and_made_again(site: Site, far: Site, machine: SshMachine) -> None:
    far.dsttool("export", "mem:1M", "--name", "x", "-d")
    with site.begun(*UNASKED, "events", "--follow") as follower:
        assert follower.stdout is not None
        assert follower.stderr is not None
        assert "x is ready" in follower.stdout.readline()
        machine.cut()
        assert "The connection to box ended" in follower.stderr.readline()
        far.dsttool("export", "mem:1M", "--name", "y", "-d")
        assert "y is ready" in follower.stdout.readline()
    for name in ("x", "y"):
        far.dsttool("daemon", "stop", name)


def test_a_machine_without_dsttool_is_told_apart(site: Site, machine: SshMachine) -> None:
    machine.program.unlink()
    assert "There is no dsttool on box." in site.dsttool(*UNASKED, "status", code=4).stderr


@pytest.mark.parametrize(
    "words",
    [("status",), ("events", "--follow"), ("record", "file"), ("wait", "x", "--for", "up")],
    ids=" ".join,
)
def test_a_key_that_is_refused_ends_the_command_at_once(
    site: Site, machine: SshMachine, words: tuple[str, ...]
) -> None:
    machine.replace_key()
    done = site.dsttool(*UNASKED, *words, code=4)
    what, advice = done.stderr.splitlines()
    assert what == ("error: The connection to box ended: somebody@127.0.0.1: Permission denied (publickey).")
    assert advice.startswith("Try it by hand: ssh -F ")
    assert advice.endswith(" box dsttool version")
    assert machine.connections == 1
    assert not site.path("file").exists()


@pytest.mark.parametrize("other", [False, True], ids=["unknown", "another"])
def test_a_host_key_that_is_not_the_known_one_is_refused(
    site: Site, machine: SshMachine, other: bool
) -> None:
    known = machine.know(make_key(site.path("other")) if other else "")
    done = site.dsttool(*UNASKED, "status", code=4)
    assert "error: The connection to box ended: Host key verification failed.\n" in done.stderr
    assert machine.known == known
    assert not machine.theirs()


def test_on_a_terminal_ssh_asks_about_a_host_key_that_it_does_not_know(
    site: Site, machine: SshMachine
) -> None:
    machine.know("")
    words = ["-m", "dsttool", *BOX, "status"]
    typist = pexpect.spawn(sys.executable, words, env=site.env, cwd=str(site.folder), timeout=60)
    try:
        typist.expect("continue connecting")
        typist.sendline("no")
        typist.expect("Host key verification failed")
        typist.expect(pexpect.EOF)
        assert typist.wait() == 4
    finally:
        typist.close()
    assert machine.known == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_ssh_ends_with_the_command_whatever_ends_that(
    site: Site, far: Site, machine: SshMachine, number: signal.Signals
) -> None:
    far.dsttool("export", "mem:1M", "--name", "x", "-d")
    with site.begun(*UNASKED, "events", "--follow") as follower:
        assert follower.stdout is not None
        assert "x is ready" in follower.stdout.readline()
        assert machine.ours()
        follower.send_signal(number)
        follower.wait(60)
        if number == signal.SIGKILL:
            wait_until(lambda: not machine.ours(), "ssh has ended")
    assert not machine.ours()
    wait_until(lambda: not machine.theirs(), "what ran there for it has ended")
    far.dsttool("daemon", "stop", "x")
