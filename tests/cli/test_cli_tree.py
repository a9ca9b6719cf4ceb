"""The tree: cheap to import, the same options before and after a subcommand, honest colours."""

import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from dsttool.cli import render
from dsttool.cli.failure import run
from dsttool.cli.settings import Settings
from dsttool.cli.tree import build
from support.site import Site


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                yield from commands(below, (*path, name))
    else:
        yield " ".join(path), command


COMMANDS = dict(commands(build()))


def test_every_command_of_this_release_is_there() -> None:
    assert set(COMMANDS) == {
        "export",
        "array create",
        "array up",
        "array down",
        "array list",
        "array show",
        "array discard",
        "array delete",
        "node list",
        "node suspend",
        "node resume",
        "resync status",
        "resync start",
        "resync pause",
        "resync stop",
        "resync limit",
        "policy show",
        "policy set",
        "status",
        "iostat",
        "events",
        "tx list",
        "tx show",
        "wait",
        "uri",
        "info",
        "cp",
        "bench",
        "tui",
        "console",
        "demo",
        "key generate",
        "key show",
        "key authorize",
        "key revoke",
        "key list",
        "daemon list",
        "daemon reload",
        "daemon stop",
        "daemon tune",
        "logs",
        "record",
        "schema",
        "ctl",
        "doctor",
        "config show",
        "config check",
        "config path",
        "completion",
        "man",
        "version",
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_and_its_options(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(site: Site, name: str) -> None:
    assert f"Usage: dsttool {name}" in site.dsttool(*name.split(), "--help").stdout


HEAVY = (
    *("textual", "prompt_toolkit", "numpy", "rich", "psutil", "prometheus_client"),
    *("tomlkit", "cryptography", "asyncio"),
)
# Cheaper ones, which a bare question to the daemons has no use for either.
UNUSED_BY_STATUS = ("msgspec", "subprocess", "ctypes", "logging")
ENGINE = tuple(
    f"dsttool.engine.{room}"
    for room in ("host", "array", "export", "node", "transport", "runtime", "wire", "transaction", "mapping")
)


@pytest.mark.parametrize(
    "arguments",
    [["status", "--json"], ["daemon", "list"], ["version"], ["array", "list"], ["key", "list"], ["--help"]],
)
def test_commands_that_only_ask_import_nothing_heavy_and_no_engine(arguments: list[str]) -> None:
    heavy = (*HEAVY, *ENGINE, *(UNUSED_BY_STATUS if arguments[0] == "status" else ()))
    code = (
        "import sys, atexit\n"
        f"heavy = {heavy!r}\n"
        "atexit.register(lambda: print(sorted(set(heavy) & set(sys.modules)), file=sys.stderr))\n"
        f"sys.argv = ['dsttool', *{arguments!r}]\n"
        "from dsttool.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("words", [[], ["array"], ["key"], ["resync"]], ids=" ".join)
def test_a_list_of_commands_cuts_no_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--help"]) == 0
    lines = capsys.readouterr().out.split("Commands:\n")[1].splitlines()
    assert not [line for line in lines if line.endswith("...")]


def test_options_work_before_and_after_the_subcommand(site: Site) -> None:
    before = site.dsttool("--json", "version").stdout
    after = site.dsttool("version", "--json").stdout
    assert json.loads(before) == json.loads(after)
    assert site.dsttool("-o", "json", "version", "-o", "plain").stdout.count("\n") == 1


@pytest.mark.parametrize("group", [("array",), ("daemon",)])
def test_options_work_between_a_group_and_its_command(site: Site, group: tuple[str, ...]) -> None:
    between = site.dsttool(*group, "--json", "list").stdout
    assert json.loads(between) == json.loads(site.dsttool(*group, "list", "--json").stdout)
    assert site.dsttool("-o", "json", *group, "-o", "plain", "list").stdout == ""
    assert site.dsttool(*group, "--quiet", code=2).stderr.startswith("error: Missing command.")


def test_a_variable_of_the_environment_is_weaker_than_an_option(site: Site) -> None:
    site.env["DSTTOOL_OUTPUT"] = "jsonl"
    assert site.dsttool("version").stdout.startswith('{"schema"')
    assert site.dsttool("version", "-o", "plain").stdout[0].isdigit()


def test_status_with_nothing_running_is_empty_and_no_error(site: Site) -> None:
    answer = site.json("status")
    assert answer == {"schema": "dsttool.status/1", "arrays": [], "exports": [], "daemons": []}
    assert site.dsttool("status", "--exit-code").returncode == 0


def test_quiet_leaves_out_what_nobody_asked_for(site: Site) -> None:
    assert "Nothing is running" in site.dsttool("status").stdout
    assert site.dsttool("status", "-q").stdout == ""


class Stream:
    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize(
    ("color", "environment", "terminal", "coloured"),
    [
        ("auto", {}, True, True),
        ("auto", {}, False, False),
        ("auto", {"NO_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"FORCE_COLOR": "1"}, False, True),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ("auto", {"TERM": "dumb"}, True, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colours_follow_the_option_then_the_environment_then_the_terminal(
    monkeypatch: pytest.MonkeyPatch, color: str, environment: dict[str, str], terminal: bool, coloured: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Settings(color=color).coloured(Stream(terminal)) is coloured


def test_a_table_is_aligned_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 300
    render.table(Settings(), ("NAME", "SIZE"), [("a", "1 KiB"), (long, "20 GiB")], right=("SIZE",))
    assert capsys.readouterr().out.splitlines() == [
        "NAME" + " " * 298 + "  SIZE",
        "a" + " " * 301 + " 1 KiB",
        long + "  20 GiB",
    ]


def test_a_plain_table_is_lines_of_tab_separated_cells(capsys: pytest.CaptureFixture[str]) -> None:
    render.table(Settings(format="plain"), ("NAME", "SIZE"), [("a", "1"), ("b", "2")])
    assert capsys.readouterr().out == "a\t1\nb\t2\n"


def test_a_state_is_a_word_first_and_a_colour_only_where_it_is_taken() -> None:
    assert render.state(Settings(), "in_sync") == "in sync"
    assert render.state(Settings(format="plain"), "in_sync") == "in_sync"
    coloured = render.state(Settings(color="always"), "in_sync")
    assert "\x1b[" in coloured
    assert "in sync" in click.unstyle(coloured)
