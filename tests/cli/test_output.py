"""What goes to terminals, pipes and programs: escapes only where they are taken, and honest exit codes."""

import json
import re
from collections.abc import Iterator

import pytest

from cli.test_cli_tree import COMMANDS
from support.site import Site
from support.terminal import in_terminal

# Every command that only reads, with words that make it succeed on the site below.
READING = {
    "array list": (),
    "array show": ("pool",),
    "config check": (),
    "config path": (),
    "config show": (),
    "daemon list": (),
    "doctor": (),
    "events": (),
    "info": ("mem:1M",),
    "iostat": (),
    "key list": (),
    "key show": (),
    "logs": ("pool",),
    "man": ("--path",),
    "node list": ("pool",),
    "policy show": ("far",),
    "resync status": ("pool",),
    "schema": (),
    "status": (),
    "tx list": (),
    "tx show": None,  # There has to be a transaction: tests/host/test_tx_command.py
    "uri": ("pool",),
    "version": (),
    "wait": ("pool", "--for", "up"),
    "bench": ("mem:1M", "--time", "50ms"),
    "completion": ("bash",),
}
# They change something, or are a conversation: they have tests of their own.
OTHERS = {
    *("export", "array create", "array up", "array down", "array delete", "array discard"),
    *("node suspend", "node resume", "resync start", "resync pause", "resync stop", "resync limit"),
    *("policy set", "cp", "demo", "key generate", "key authorize", "key revoke"),
    *("daemon stop", "daemon tune", "daemon reload", "ctl", "tui", "console", "record"),
}

# What they print is sentences, or settings as they are set, or has only one look.
SPOKEN = {"doctor", "events", "config show", "policy show", "completion", "man", "logs"}


def test_the_walk_below_leaves_out_no_command_that_reads() -> None:
    assert set(COMMANDS) - OTHERS <= set(READING)


@pytest.fixture
def running(site: Site) -> Iterator[Site]:
    """An array that is degraded, and one over an export: states of every colour."""
    site.dsttool("array", "up", "pool", "--layout", "mirror", "--raw", "mem:1M", "mem:1M?name=b")
    site.dsttool("node", "suspend", "pool", "b")
    site.export("mem:1M", "a", "--security", "none")
    site.array("far", "linear", site.dst("a"))
    yield site
    site.dsttool("array", "down", "pool")


def reading() -> list[list[str]]:
    return [
        [*name.split(), *words] for name, words in READING.items() if words is not None and name in COMMANDS
    ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("env", [None, {"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["pipe", "NO_COLOR", "dumb"])
def test_no_command_that_reads_sends_an_escape_where_none_is_taken(
    running: Site, env: dict[str, str] | None
) -> None:
    running.env.pop("NO_COLOR", None)
    for words in reading():
        if env is None:
            piped = running.dsttool(*words, code=None)
            shown = piped.stdout + piped.stderr
        else:
            shown = in_terminal(running, *words, env=env)[1]
        assert shown, words
        assert "\x1b" not in shown, words


def test_colours_go_to_a_terminal_that_takes_them_and_where_they_are_forced(running: Site) -> None:
    running.env.pop("NO_COLOR", None)
    for words in (("status",), ("node", "list", "pool"), ("iostat",), ("array", "list"), ("daemon", "list")):
        assert "\x1b[38;2;" in in_terminal(running, *words)[1]
        running.env["FORCE_COLOR"] = "1"
        assert "\x1b[38;2;" in running.dsttool(*words).stdout
        assert "\x1b" not in running.dsttool(*words, "-o", "plain").stdout
        json.loads(running.dsttool(*words, "--json").stdout)
        del running.env["FORCE_COLOR"]


def test_plain_answers_have_no_units_for_people(running: Site) -> None:
    # "64 MiB", "0.5 s", "3 KiB/s"; and as a whole cell "5m", "2s", "12%".
    human = re.compile(r"\b\d[\d.]* ([KMGT]i)?B\b|\b\d[\d.]* (ms|us|s)\b")
    short = re.compile(r"[\d.]+(ns|us|ms|s|m|h|d|%|[KMGT])")
    for words in reading():
        if " ".join(words[:2]) in SPOKEN or words[0] in SPOKEN:
            continue
        shown = running.dsttool(*words, "-o", "plain").stdout
        assert not human.search(shown), shown
        assert not [cell for cell in re.split("[\t\n]", shown) if short.fullmatch(cell)], shown
    size = ["size", str(1 << 20)]
    assert size in [
        line.split("\t")
        for line in running.dsttool("array", "show", "pool", "-o", "plain").stdout.splitlines()
    ]
    assert ["pool", "mirror", "degraded", str(1 << 20)] in [
        line.split("\t")[:4] for line in running.dsttool("array", "list", "-o", "plain").stdout.splitlines()
    ]


def test_an_error_is_coloured_as_its_own_stream_takes_it(site: Site) -> None:
    site.env.pop("NO_COLOR", None)
    assert "\x1b" not in site.dsttool("status", "nope", code=3).stderr
    assert "\x1b[" in in_terminal(site, "status", "nope")[1]


def test_status_exit_codes_tell_degraded_from_failed(running: Site) -> None:
    assert running.dsttool("status", "far", "--exit-code").returncode == 0
    assert running.dsttool("status", "pool", "--exit-code", "-q", code=10).returncode == 10
    running.daemons[1].kill()  # it does not answer any more: nothing gets done there
    running.dsttool("status", "--exit-code", code=11)


def test_status_answers_state_meaning_advice_and_what_runs_in_that_order(running: Site) -> None:
    lines = running.dsttool("status", "pool").stdout.splitlines()
    assert lines[0].startswith("pool  degraded: it serves from the members that are in sync")
    assert lines[1] == "b is suspended and gets no requests: dsttool node resume pool b"
    assert lines[2].startswith("mirror, 1 MiB")
    assert lines[3].startswith("SLOT")


EXIT_CODES = [
    (0, ("version",)),
    (1, ("record", "/", "--for", "1s", "-y")),
    (2, ("status", "--nonsense")),
    (3, ("status", "nope")),
    (4, ("info", "nbd+unix:///?socket=/no/such")),
    (6, ("bench", "mem:1M", "--rw", "write")),
    (7, ("wait", "nope", "--for", "up", "--timeout", "1ms")),
    (8, ("cp", "mem:2M", "mem:1M")),
]


@pytest.mark.parametrize(("code", "words"), EXIT_CODES, ids=str)
def test_every_exit_code_of_the_table_has_a_command_that_ends_with_it(
    site: Site, code: int, words: tuple[str, ...]
) -> None:
    site.dsttool(*words, code=code)
