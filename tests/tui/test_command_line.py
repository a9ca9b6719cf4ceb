"""The line after `:`, and what the command says."""

import asyncio
import sys
from pathlib import Path

import frames
import pytest
import screens
from textual.pilot import Pilot
from textual.widgets import Input

from dsttool.cli.reading import READS, commands
from dsttool.cli.tree import build
from dsttool.tui import command
from dsttool.tui.app import Tui
from dsttool.tui.command import Command, CommandLine, Output, Refused, Words, chosen

ALL = [Command(words, reads) for words, reads in commands(build())]


def test_every_command_that_only_looks_is_one() -> None:
    assert {each.words for each in ALL if each.reads} == READS


def test_no_command_that_says_what_it_would_change_only_looks() -> None:
    """--dry-run is for commands that change something."""
    root = build()
    for words in READS:
        group, last = root, words[-1]
        context = root.make_context("dsttool", [], resilient_parsing=True)
        for word in words[:-1]:
            group = group.get_command(context, word)  # type: ignore[assignment]
        options = {form for option in group.get_command(context, last).params for form in option.opts}  # type: ignore[union-attr]
        assert "--dry-run" not in options, words


def test_words_are_split_as_a_shell_does_and_dsttool_may_be_said() -> None:
    assert chosen("dsttool status 'a b'", ALL, read_only=False) == ["status", "a b"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Type a command"),
        ("status 'a", "no command line"),
        ("node suspend pool n1", "`node suspend` may change something"),
        ("--yes node suspend pool n1", "the command comes first"),
        ("statsu", "Did you mean status?"),
    ],
)
def test_what_is_not_run_is_refused_with_a_sentence(text: str, says: str) -> None:
    with pytest.raises(Refused) as caught:
        chosen(text, ALL, read_only=True)
    assert says in str(caught.value)


def test_read_only_runs_what_only_looks() -> None:
    assert chosen("node list pool", ALL, read_only=True) == ["node", "list", "pool"]


def test_the_beginning_of_a_command_is_completed() -> None:
    words = Words(ALL)
    assert asyncio.run(words.get_suggestion("node s")) == "node suspend"
    assert asyncio.run(words.get_suggestion("nothing")) is None
    assert asyncio.run(words.get_suggestion("")) is None


async def until(pilot: Pilot[int], app: Tui, text: str) -> None:
    for _ in range(3000):
        await pilot.pause()
        if text in "\n".join(screens.text(app)):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{text!r} never came: {screens.text(app)}")


def test_a_command_runs_and_says_what_it_says_elsewhere() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("colon", *"versi", "right", "enter")
        await until(pilot, app, "exit code 0")
        shown = "\n".join(screens.text(app))
        assert "$ dsttool version" in shown
        assert "dsttool 0" in shown or "dsttool 1" in shown
        await pilot.press("escape")
        assert app.screen is app.main

    screens.run(Tui(frames.mirror_in_trouble(), commands=ALL), script)


def test_a_command_that_fails_says_why_and_its_code() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("colon")
        app.screen.query_one(Input).value = "node list nowhere"
        await pilot.press("enter")
        await until(pilot, app, "exit code 3")
        assert "Nothing called nowhere is running." in "\n".join(screens.text(app))

    screens.run(Tui(frames.mirror_in_trouble(), commands=ALL), script)


def test_leaving_its_screen_ends_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho begun\nexec sleep 1000\n")
    fake.chmod(0o755)
    processes: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def started(*words: str, **more: object) -> asyncio.subprocess.Process:
        process = await start(*words, **more)  # type: ignore[arg-type]
        processes.append(process)
        return process

    monkeypatch.setattr(command.asyncio, "create_subprocess_exec", started)  # type: ignore[attr-defined]
    monkeypatch.setattr(sys, "executable", str(fake))

    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("colon")
        app.screen.query_one(Input).value = "status --watch 1"
        await pilot.press("enter")
        await until(pilot, app, "begun")
        assert isinstance(app.screen, Output)
        await pilot.press("escape")
        for _ in range(3000):
            if processes[0].returncode is not None:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it still runs")

    screens.run(Tui(frames.mirror_in_trouble(), commands=ALL), script)


def test_read_only_says_why_a_command_is_not_run() -> None:
    async def script(pilot: Pilot[int], app: Tui) -> None:
        await pilot.press("colon")
        app.screen.query_one(Input).value = "array down pool"
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, CommandLine)
        assert "may change something" in "\n".join(screens.text(app))
        await pilot.press("escape")
        assert app.screen is app.main

    screens.run(Tui(frames.mirror_in_trouble(), commands=ALL, read_only=True), script)
