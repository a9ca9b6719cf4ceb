"""Progress, questions and logs as people see them."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from dsttool.cli import progress, render
from dsttool.cli.settings import Settings
from support.site import Site
from support.terminal import in_terminal


def test_a_question_answered_with_anything_but_yes_is_declined(site: Site) -> None:
    image = site.file("a.img", 1 << 20, b"keep me")
    words = ("bench", str(image), "--rw", "write", "--time", "50ms")
    code, shown = in_terminal(site, *words, typed="y\n")
    assert code == 6
    assert "Type yes to go ahead" in shown
    assert "Declined; nothing was done." in shown
    assert image.read_bytes()[:7] == b"keep me"
    assert in_terminal(site, *words, typed="yes\n")[0] == 0
    assert image.read_bytes()[:7] != b"keep me"


def test_a_device_is_free_for_others_while_a_question_about_it_waits(site: Site) -> None:
    image = site.file("a.img", 1 << 20, b"keep me")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dsttool", "bench", str(image), "--rw", "write"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=site.env,
    )
    os.close(theirs)
    shown = b""
    while b"Type yes to go ahead: " not in shown:
        shown += os.read(ours, 65536)
    site.dsttool("export", image, "--name", "a", "-d")
    os.write(ours, b"no\n")
    assert process.wait() == 6
    os.close(ours)
    site.dsttool("daemon", "stop", "a")


def test_the_end_of_input_is_no_yes(site: Site) -> None:
    image = site.file("a.img", 1 << 20)
    code, shown = in_terminal(site, "bench", str(image), "--rw", "write", typed="\x04")
    assert code == 6
    assert "Declined" in shown


def test_with_no_input_a_terminal_is_not_asked_either(site: Site) -> None:
    image = site.file("a.img", 1 << 20)
    code, shown = in_terminal(site, "bench", str(image), "--rw", "write", "--no-input")
    assert code == 6
    assert "Type yes" not in shown


def test_states_have_glyphs_and_colours_on_a_terminal_only(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "-d", "--listen", f"nbd+unix:///?socket={site.path('s')}")
    del site.env["NO_COLOR"]
    shown = in_terminal(site, "status")[1]
    assert "● serving" in shown
    assert "\x1b[" in shown
    assert "\x1b[" not in in_terminal(site, "status", "--color", "never")[1]
    assert "\x1b[" not in site.dsttool("status").stdout
    assert "●" in site.dsttool("status", "--color", "always").stdout
    site.dsttool("daemon", "stop", "a")


def test_progress_without_a_terminal_is_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    shown = progress.Progress(Settings(), "copying", 4 << 20)
    assert shown.interval == 30
    shown.show(1 << 20)
    shown.end()
    said = capsys.readouterr().err
    assert said.startswith("copying  25%  1 MiB of 4 MiB")
    assert said.endswith("left\n")
    assert said.count("\n") == 1


def test_progress_is_silent_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    for settings in (Settings(quiet=True), Settings(format="json")):
        progress.Progress(settings, "copying", 4).show(1)
    assert capsys.readouterr().err == ""


def test_a_bar_is_as_long_as_it_is_full() -> None:
    for fraction, filled in ((-1.0, 0), (0.0, 0), (0.5, 5), (1.0, 10), (2.0, 10)):
        shown = render.bar(fraction, 10)
        assert len(shown) == 10
        assert sum(character in "█#" for character in shown) == filled


def test_logs_can_be_followed(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    follower = subprocess.Popen(
        [sys.executable, "-m", "dsttool", "logs", "a", "--follow"],
        stdout=subprocess.PIPE,
        env=site.env,
        text=True,
    )
    assert follower.stdout is not None
    assert "a is ready" in follower.stdout.readline()
    site.dsttool("daemon", "stop", "a")
    assert "a is stopping" in follower.stdout.readline()
    follower.terminate()
    follower.stdout.close()
    follower.wait()


def test_following_a_log_goes_on_after_it_was_put_aside(site: Site) -> None:
    log = Path(site.env["DSTTOOL_RUNTIME_DIR"]) / "a.log"
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    follower = subprocess.Popen(
        [sys.executable, "-m", "dsttool", "logs", "a", "--follow"],
        stdout=subprocess.PIPE,
        env=site.env,
        text=True,
    )
    assert follower.stdout is not None
    assert "a is ready" in follower.stdout.readline()
    log.replace(log.with_suffix(".log.1"))
    log.write_text("from the new log\n")
    assert follower.stdout.readline() == "from the new log\n"
    follower.terminate()
    follower.stdout.close()
    follower.wait()
    site.dsttool("daemon", "stop", "a")


def test_a_runtime_folder_too_deep_for_sockets_is_a_clear_error(site: Site) -> None:
    site.env["DSTTOOL_RUNTIME_DIR"] = str(Path(site.env["DSTTOOL_RUNTIME_DIR"]) / ("x" * 100))
    done = site.dsttool("export", "mem:1M", "--name", "a", "-d", code=2)
    assert "a Unix socket's may have 107" in done.stderr
    assert "DSTTOOL_RUNTIME_DIR" in done.stderr


def test_status_as_lines_tells_an_export_from_the_daemon_that_serves_it(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    lines = [json.loads(line) for line in site.dsttool("status", "-o", "jsonl").stdout.splitlines()]
    assert [(line["type"], line["name"]) for line in lines] == [("export", "a"), ("daemon", "a")]
    assert lines[1]["kind"] == "export"
    site.dsttool("daemon", "stop", "a")


def test_a_measurement_shows_a_bar_on_a_terminal_and_leaves_an_empty_line(site: Site) -> None:
    site.export("mem:1M", "a", "--security", "none")
    code, shown = in_terminal(site, "bench", "a", "--time", "500ms")
    assert code == 0
    before, _, after = shown.partition("RW")
    assert "measuring " in before
    assert "s of 0.5 s" in before
    assert before.endswith(" \r")
    assert "measuring" not in after
