"""The console without a terminal: a script from standard input, or from -c."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from support.far_machine import FarMachine
from support.site import Done, Site


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """The array pool over the exports e1 and e2."""
    with Site() as site:
        site.export("mem:4M", "e1")
        site.export("mem:4M", "e2")
        site.array("pool", "mirror", site.dst("e1"), site.dst("e2"))
        yield site


def script(site: Site, text: str, *options: str) -> Done:
    return subprocess.run(
        [sys.executable, "-m", "dsttool", "console", *options],
        input=text, capture_output=True, text=True, env=site.env, cwd=site.folder, timeout=60, check=False,
    )  # fmt: skip


def test_a_script_runs_line_by_line_and_says_nothing_of_its_own(place: Site) -> None:
    done = script(place, "# names\nuri pool\n\nuri \\\n  e1  # the first\n")

    assert done.stdout.splitlines() == [place.dsttool("uri", n).stdout.strip() for n in ("pool", "e1")]
    assert (done.stderr, done.returncode) == ("", 0)


def test_it_ends_at_the_first_failure_with_its_exit_code_and_names_the_line(place: Site) -> None:
    done = script(place, "version\n\nnode list nothing\nversion\n")

    assert done.stdout.count("dsttool") == 1
    assert done.stderr.splitlines() == [
        "error: Nothing called nothing is running.",
        "`dsttool status` lists what runs.",
        "error: line 3: `node list nothing` ended with exit code 3.",
        "The script ends there; nothing after it was run.",
    ]
    assert done.returncode == 3


def test_commands_of_the_option_run_in_order_up_to_the_first_failure(place: Site) -> None:
    done = place.dsttool("console", "-c", "version", "-c", "array nothing", "-c", "version", code=2)

    assert done.stdout.count("dsttool") == 1
    assert "error: command 2: `array nothing` ended with exit code 2." in done.stderr


def test_a_command_of_several_lines_is_run_line_by_line(place: Site) -> None:
    done = place.dsttool("console", "-c", "uri pool\nuri \\\n  e1\nnode list nothing\nversion", code=3)

    assert done.stdout.splitlines() == [place.dsttool("uri", n).stdout.strip() for n in ("pool", "e1")]
    assert "error: command 1, line 4: `node list nothing` ended with exit code 3." in done.stderr


@pytest.mark.parametrize("line", ["daemon stop e1; version", "uri pool | cat", "uri pool > x", "cp a b &"])
def test_the_operators_of_a_shell_are_refused_and_not_taken_for_words(place: Site, line: str) -> None:
    done = script(place, line + "\n")

    assert done.returncode == 2
    assert "The console is no shell: " in done.stderr
    assert [each["name"] for each in place.json("status")["exports"]] == ["e1", "e2"]


def test_with_commands_standard_input_is_not_read(place: Site) -> None:
    assert script(place, "array nothing\n", "-c", "version").returncode == 0


def test_a_name_in_use_may_be_left_out(place: Site) -> None:
    done = script(
        place,
        "use pool\nuri\nnode list -o plain\npolicy set resends=3 -q\nwait --for clean\ntx list\nuri e1\n",
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == place.dsttool("uri", "pool").stdout.strip()
    assert done.stdout.splitlines()[-1] == place.dsttool("uri", "e1").stdout.strip()


def test_commands_that_end_something_want_its_name(place: Site) -> None:
    done = script(place, "use pool\narray down\n")

    assert done.returncode == 2
    assert "Missing argument" in done.stderr
    assert place.json("status", "pool")["arrays"][0]["state"] == "online"


def test_only_what_there_is_can_be_used(place: Site) -> None:
    done = script(place, "use poll\n")

    assert done.returncode == 3
    assert "There is no array or export poll.\nDid you mean pool?" in done.stderr


def test_options_of_the_console_hold_for_all_commands(place: Site) -> None:
    done = script(place, "version\nversion -o plain\n", "--json")

    first, _, last = done.stdout.rpartition("}\n")
    assert json.loads(first + "}")["schema"] == "dsttool.version/1"
    assert last[0].isdigit()


def test_errors_are_json_where_answers_are(place: Site) -> None:
    done = script(place, "node list nothing\n", "-o", "jsonl")

    codes = [json.loads(line)["error"]["exit_code"] for line in done.stderr.splitlines()]
    assert codes == [3, 3]


def test_commands_for_this_machine_only_are_refused_for_another(place: Site) -> None:
    done = script(place, "export mem:1M --name x -d\n", "--host", "ssh://nowhere.invalid")

    assert done.returncode == 2
    assert "works on this machine only" in done.stderr


def test_daemons_are_started_and_stopped(site: Site) -> None:
    done = script(site, "export mem:4M --name a -d\nwait a --for up\ndaemon stop a\nstatus\n")

    assert (done.returncode, done.stdout.splitlines()[-2:]) == (
        0,
        ["a has ended.", "Nothing is running. `dsttool demo` shows what could."],
    )


def test_commands_get_nothing_of_the_script_as_their_input(site: Site) -> None:
    done = script(site, "array create x --layout mirror --raw --invite-file -\nversion\n")

    assert done.returncode == 2
    assert "version" not in done.stdout


def test_a_file_of_lines_is_run_as_if_typed(place: Site) -> None:
    place.path("names.txt").write_text("use pool\nuri\n")
    place.path("fails.txt").write_text("\nnode list nothing\n")

    assert script(place, "source names.txt\nuri\n").stdout.count("nbd+unix") == 2
    done = script(place, "source fails.txt\n")
    assert done.returncode == 3
    assert "fails.txt, line 2: `node list nothing` ended" in done.stderr
    assert "line 1: `source fails.txt` ended" in done.stderr


def test_a_file_that_is_not_there_or_runs_itself_is_a_mistake(site: Site) -> None:
    site.path("loop.txt").write_text("source loop.txt\n")

    assert script(site, "source nothing.txt\n").returncode == 3
    assert "loop.txt is sourced by itself." in script(site, "source loop.txt\n").stderr


@pytest.mark.parametrize("word", ["exit", "quit"])
def test_exit_and_quit_end_a_script(site: Site, word: str) -> None:
    done = script(site, f"{word}\narray nothing\n")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("line", ["watch status", "tui"])
def test_what_needs_a_terminal_is_refused(site: Site, line: str) -> None:
    done = script(site, line + "\n")

    assert done.returncode == 2
    assert "terminal" in done.stderr


def test_a_line_that_is_not_finished_is_a_mistake(site: Site) -> None:
    done = script(site, "version\nuse 'x\n")

    assert done.returncode == 2
    assert "error: The line ends within single quotes." in done.stderr


def test_help_lists_and_explains_the_consoles_own_commands(site: Site) -> None:
    assert {"use", "watch", "source", "help", "exit"} <= set(script(site, "help\n").stdout.split())
    assert "Choose the array or export NAME" in script(site, "help use\n").stdout
    assert "Usage: dsttool node list" in script(site, "help node list\n").stdout


def test_no_escape_byte_goes_into_a_pipe(place: Site) -> None:
    del place.env["NO_COLOR"]
    try:
        done = script(place, "use pool\nstatus\ninfo pool\nnode list nothing\n")
    finally:
        place.env["NO_COLOR"] = "1"

    assert "online" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_prompt_toolkit_is_not_imported_for_a_script(site: Site) -> None:
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('prompt_toolkit' in sys.modules, file=sys.stderr))\n"
        "sys.argv = ['dsttool', 'console', '-c', 'version']\n"
        "from dsttool.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr.strip() == "False"


def test_a_script_may_be_about_another_machine(site: Site) -> None:
    with Site() as far:
        FarMachine(site, far)
        far.dsttool("array", "up", "pool", "--layout", "mirror", "--raw", "mem:1M", "mem:1M?name=b")
        done = script(site, "use pool\nnode list -o plain\n", "--host", "ssh://box")
        far.dsttool("array", "down", "pool")

    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split("\t")[1] for line in done.stdout.splitlines()] == ["n0", "b"]
