"""Streams that are closed or full: no traceback, an honest exit code, and no device in their place."""

import subprocess
import sys

import pytest

from dsttool.cli.streams import printable
from support.site import Done, Site


def redirected(site: Site, redirection: str, *words: object) -> Done:
    """A dsttool command to its end, with a shell's redirections of its streams."""
    script = f'exec "$@" {redirection}'
    return site.run("sh", "-c", script, "sh", sys.executable, "-m", "dsttool", *words, code=None)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_does_its_work_whichever_streams_are_closed(site: Site, closed: str) -> None:
    source, target = site.file("source", 4096, b"content"), site.path("target")
    done = redirected(site, closed, "cp", source, target)
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == source.read_bytes()
    assert done.stderr == ""


def test_a_daemon_starts_and_serves_without_any_stream(site: Site) -> None:
    done = redirected(site, "<&- >&- 2>&-", "export", "mem:1M", "--name", "a", "-d")
    assert done.returncode == 0
    assert site.json("status", "a")["exports"][0]["name"] == "a"
    site.dsttool("daemon", "stop", "a")


def test_nothing_that_is_opened_takes_the_number_of_a_stream() -> None:
    code = (
        "import os; os.closerange(0, 3)\n"
        "from dsttool.cli.streams import fill_closed\n"
        "fill_closed()\n"
        "os._exit(os.open(os.devnull, os.O_RDONLY))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 3


def test_an_answer_that_finds_no_room_is_an_error(site: Site) -> None:
    site.env.pop("PYTHONUNBUFFERED", None)
    done = redirected(site, ">/dev/full", "version")
    assert done.returncode == 1
    assert done.stderr.startswith("error: Cannot go on: No space left on device.\n")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("lost", ["2>/dev/full", "2>&-"])
@pytest.mark.parametrize("words", [("nosuch",), ("nosuch", "--json")])
def test_the_exit_code_of_a_failure_tells_where_its_words_find_no_room(
    site: Site, lost: str, words: tuple[str, ...]
) -> None:
    assert redirected(site, lost, *words).returncode == 2


def test_an_error_steers_no_terminal(site: Site) -> None:
    done = site.dsttool("status", "\x1b[31mred\x07", code=None)
    assert "\\x1b[31mred\\x07" in done.stderr
    assert "\x1b" not in done.stderr
    assert printable("größer ✖ \udcff\n\t") == "größer ✖ \\xff\n\\t"
