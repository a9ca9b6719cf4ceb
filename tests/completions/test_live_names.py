"""The helper that names what runs, for shells: it is fast, it never hangs, it never complains."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.test_cli_tree import commands
from dsttool.cli import names
from dsttool.cli.tree import build
from dsttool.engine.config import paths
from support.shells import PATIENT
from support.site import Done, Site, wait_until


def listed(site: Site, *words: str) -> list[str]:
    """The names of a list whose daemons have time to answer."""
    return plain(site.run(sys.executable, "-c", PATIENT, "__names", *words))


def listed_in_time(site: Site, *words: str) -> list[str]:
    """The names of a list as shells get it: some may be missing on a machine with much else to do."""
    return plain(site.dsttool("__names", *words))


def plain(done: Done) -> list[str]:
    assert done.stderr == ""
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


def test_what_runs_is_named_with_its_state(place: Site) -> None:
    done = place.run(sys.executable, "-c", PATIENT, "__names", "arrays")

    assert done.stdout == "pool\tmirror, online\n"
    assert listed(place, "served") == ["pool", "e1", "e2"]
    assert listed(place, "nodes", "pool") == ["left", "right"]
    assert listed(place, "array-nodes") == ["pool", "pool/left", "pool/right"]
    assert listed(place, "daemons") == ["e1", "e2", "pool"]


def test_what_is_configured_and_down_is_named_where_it_can_be_started(place: Site) -> None:
    assert listed(place, "startable-arrays") == ["cold"]
    assert listed(place, "all-arrays") == ["pool", "cold"]


def test_with_nothing_running_configured_names_are_all_there_is(site: Site) -> None:
    site.dsttool("array", "create", "cold", "--layout", "mirror", "--raw", "/tmp/a", "/tmp/b")

    assert listed(site, "arrays") == ["cold"]
    assert listed(site, "served") == ["cold"]
    assert listed(site, "nodes", "cold") == []


def test_keys_are_named(site: Site) -> None:
    site.dsttool("key", "generate")
    (key,) = site.json("key", "show")["keys"]
    site.dsttool("key", "authorize", key["public"], "--name", "laptop")

    assert listed(site, "keys") == ["laptop"]


def test_transactions_are_named_by_their_numbers(site: Site) -> None:
    site.export("mem:4M", "e1")
    node = site.export("mem:4M", "e2")
    site.array("pool", "mirror", site.dst("e1"), site.dst("e2"))
    data = site.file("data", 1 << 20, b"data")
    node.process.send_signal(signal.SIGSTOP)
    command = [sys.executable, "-m", "dsttool", "cp", str(data), site.nbd("pool")]
    with subprocess.Popen(
        command, env=site.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as copying:
        wait_until(lambda: bool(listed_in_time(site, "transactions", "pool")), "a transaction is named")
        copying.kill()
    node.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("words", [[], ["nothing"], ["nodes"], ["arrays", "too", "many"], ["\udcff"]])
def test_a_list_that_is_none_is_empty_and_no_error(site: Site, words: list[str]) -> None:
    assert listed(site, *words) == []


def test_a_daemon_that_does_not_answer_is_named_and_not_waited_for(place: Site) -> None:
    stopped = place.daemons[0]
    stopped.process.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: listed_in_time(place, "exports") == ["e2"], "e2 is listed without e1")
        wait_until(lambda: listed_in_time(place, "daemons") == ["e1", "e2", "pool"], "all are named")
    finally:
        stopped.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\n",
        b"[1]\n",
        b'{"result":{"arrays":[{"name":"a\\u001b[2J","layout":"x","state":"y"}]}}\n',
        b'{"result":{"arrays":[{}]}}\n',
        b"x" * 10_000,
    ],
)
def test_a_daemon_that_answers_nonsense_changes_nothing(tmp_path: Path, site: Site, answer: bytes) -> None:
    runtime = Path(site.env["DSTTOOL_RUNTIME_DIR"])
    runtime.mkdir(mode=0o700)
    code = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print(flush=True)\n"
        "c, _ = s.accept(); c.sendall(bytes.fromhex(sys.argv[2])); c.recv(1 << 16)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(runtime / "odd.sock"), answer.hex()], stdout=subprocess.PIPE
    ) as daemon:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        assert listed(site, "arrays") == []
        daemon.kill()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"DSTTOOL_RUNTIME_DIR": "/a", "DSTTOOL_CONFIG_DIR": "/b"},
        {"XDG_RUNTIME_DIR": "/run/user/1", "XDG_CONFIG_HOME": "/c", "HOME": "/home/x"},
        {"XDG_RUNTIME_DIR": "relative", "XDG_CONFIG_HOME": "relative", "HOME": "/home/x", "TMPDIR": "/t"},
    ],
)
@pytest.mark.parametrize("user", [0, 1000])
def test_it_looks_where_the_commands_look(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], user: int
) -> None:
    for name in ("DSTTOOL_RUNTIME_DIR", "DSTTOOL_CONFIG_DIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "geteuid", lambda: user)

    assert names.runtime_dir() == str(paths.runtime_dir())
    assert names.config_dir() == str(paths.config_dir())


def test_the_page_of_every_command_is_named_and_those_on_topics(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))  # no other release is installed there
    # Those that the tree hides have none.
    visible = [path for path, command in commands(build()) if not command.hidden]
    topics = {"tutorial", "trouble", "config", "internals", "protocol"}

    assert {word for word, _ in names.Known().names("pages")} == {
        path.split(" ")[0] for path in visible
    } | topics
    for group in {path.split(" ")[0] for path in visible if " " in path}:
        words = [word for word, _ in names.Known().names("pages", group)]
        assert words == sorted(path.split(" ")[1] for path in visible if path.startswith(f"{group} "))
    assert names.Known().names("pages", "nothing") == []
    assert ("up", "bring arrays up; return when they serve") in [
        (word, about.lower()) for word, about in names.Known().names("pages", "array")
    ]


def test_its_alarm_is_off_once_it_has_answered() -> None:
    """Else it may go off while Python ends, where nothing handles it: that is no exit code 0."""
    code = (
        "import signal; from dsttool.cli import names\n"
        "print(names.main(['arrays']), *signal.getitimer(signal.ITIMER_REAL))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "0 0.0 0.0\n"


def test_it_imports_next_to_nothing() -> None:
    code = (
        "import sys; sys.argv = ['dsttool', '__names', 'arrays']\n"
        "from dsttool.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = ('click', 'dsttool', 'pathlib', 'msgspec')\n"
        "print([name for name in sys.modules if name.startswith(heavy)])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert (
        done.stdout.splitlines()[-1] == "['dsttool', 'dsttool.__main__', 'dsttool.cli', 'dsttool.cli.names']"
    )
