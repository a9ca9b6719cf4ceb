"""On a real terminal: it is given back as it was, however the screen ends; and where there is none."""

import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pexpect
import pytest

from support.site import Site, wait_until

# Modes a screen sets, each of which has to be the other way round at the end: alternate screen, cursor,
# mouse, pasting, focus.
_SET = (b"?1049", b"?1000", b"?1003", b"?1006", b"?2004", b"?1004")
_BROKEN = (
    "import sys\n"
    "from dsttool.__main__ import main\n"
    "from dsttool.tui.tree import Tree\n"
    "def broken(self, row): raise RuntimeError('a defect')\n"
    "Tree.cells = broken\n"
    "sys.argv = ['dsttool', 'tui']\n"
    "main()\n"
)


@contextmanager
def screen(site: Site, *words: str) -> Iterator[tuple["pexpect.spawn[bytes]", bytearray]]:
    """A process on a terminal of 80x24, and everything it writes there."""
    written = bytearray()
    process = pexpect.spawn(
        sys.executable,
        list(words),
        env=site.env | {"TERM": "xterm-256color", "PYTHONUNBUFFERED": "1"},
        dimensions=(24, 80),
        timeout=60,
    )
    process.logfile_read = _Into(written)
    try:
        yield process, written
    finally:
        process.close(force=True)


class _Into:
    def __init__(self, written: bytearray) -> None:
        self._written = written

    def write(self, part: bytes) -> None:
        self._written += part

    def flush(self) -> None:
        pass


def ended(process: "pexpect.spawn[bytes]") -> int | None:
    """The exit code, once everything was read."""
    process.expect(pexpect.EOF)
    process.wait()
    return process.exitstatus


def restored(written: bytearray) -> bool:
    """Whether every mode was set, and is back."""
    assert b"\x1b[?1049h" in written
    modes = all(
        written.rfind(b"\x1b[" + mode + b"l") > written.rfind(b"\x1b[" + mode + b"h") for mode in _SET
    )
    return modes and written.rfind(b"\x1b[?25h") > written.rfind(b"\x1b[?25l")


def test_q_gives_the_terminal_back(site: Site) -> None:
    with screen(site, "-m", "dsttool", "tui") as (process, written):
        before = termios.tcgetattr(process.child_fd)
        process.expect(b"STORAGE")
        process.send(b"q")
        assert ended(process) == 0
        assert restored(written)
        assert termios.tcgetattr(process.child_fd) == before


def test_sigterm_gives_the_terminal_back(site: Site) -> None:
    with screen(site, "-m", "dsttool", "tui") as (process, written):
        process.expect(b"STORAGE")
        process.kill(signal.SIGTERM)
        assert ended(process) == 143
        assert restored(written)


def test_sigterm_ends_it_even_if_its_terminal_takes_nothing(site: Site) -> None:
    with screen(site, "-m", "dsttool", "tui") as (process, _):
        process.expect(b"STORAGE")
        for size in range(60):  # each draws the whole screen, which nobody reads
            process.setwinsize(24 + size % 7, 100 + size)
            time.sleep(0.02)

        process.kill(signal.SIGTERM)

        wait_until(lambda: not process.isalive(), "the screen ends")
        assert process.exitstatus == 143


def test_it_ends_with_its_terminal_even_if_hangups_are_ignored(site: Site) -> None:
    """As under nohup: what nobody can see or leave any more must not go on for ever."""
    ignoring = "trap '' HUP; exec \"$0\" -m dsttool tui"
    process = pexpect.spawn(
        "bash", ["-c", ignoring, sys.executable], env=site.env | {"TERM": "xterm"}, timeout=60
    )
    process.expect(b"STORAGE")
    os.close(process.child_fd)
    process.child_fd, process.closed = -1, True
    wait_until(lambda: not process.isalive(), "the screen's end")
    assert process.signalstatus == signal.SIGHUP


def test_a_defect_gives_the_terminal_back_and_is_said_in_two_sentences(site: Site) -> None:
    site.export(site.file("a.img", 1 << 20), "a")
    with screen(site, "-c", _BROKEN) as (process, written):
        assert ended(process) == 1
        assert restored(written)
        said = written[written.rfind(b"\x1b[?1049l") :]
        assert b"a defect" in said
        assert b"-vv" in said
        assert b"Traceback" not in said


def test_without_colours_no_colour_reaches_the_terminal(site: Site) -> None:
    del site.env["NO_COLOR"]
    with screen(site, "-m", "dsttool", "tui", "--color=never", "--ascii") as (process, written):
        process.expect(b"STORAGE")
        process.send(b"q")
        assert ended(process) == 0
        shown = bytes(written)
    assert shown.isascii()
    codes = {code for part in shown.split(b"\x1b[")[1:] if b"m" in part[:20] for code in _codes(part)}
    assert not codes - {b"", b"0", b"1", b"2", b"3", b"4", b"7", b"39", b"49"}


@pytest.mark.parametrize("words", [(), ("--read-only",), ("--replay", "nothing")])
def test_without_a_terminal_it_says_what_works_there(site: Site, words: tuple[str, ...]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "dsttool", "tui", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=site.env,
    )
    assert run.returncode == 2
    assert "status --watch" in run.stderr
    assert run.stdout == ""


def test_a_terminal_that_cannot_be_drawn_on_is_none(site: Site) -> None:
    process = pexpect.spawn(
        sys.executable, ["-m", "dsttool", "tui"], env=site.env | {"TERM": "dumb"}, timeout=60
    )
    process.expect(pexpect.EOF)
    assert b"\x1b" not in process.before
    process.close()
    assert process.exitstatus == 2


def test_a_recording_that_is_none_is_refused_in_two_sentences(site: Site) -> None:
    (site.folder / "r").write_text("{}\n")
    with screen(site, "-m", "dsttool", "tui", "--replay", str(site.folder / "r")) as (process, written):
        assert ended(process) == 2
        assert b"is not a recording" in written
        assert b"?1049h" not in written


def _codes(part: bytes) -> list[bytes]:
    numbers, mark, _ = part.partition(b"m")
    return numbers.split(b";") if mark and numbers.replace(b";", b"").isdigit() else []
