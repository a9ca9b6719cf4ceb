"""How a console begins: as a script, or on a terminal."""

import os
from collections.abc import Iterable, Iterator, Sequence

from dsttool.cli.settings import Settings
from dsttool.cli.signals import terminable
from dsttool.console.commands import Leave, build_session
from dsttool.console.lines import logical


def run_commands(settings: Settings, commands: Sequence[str]) -> int:
    """Run what -c says, each of one line or several; 0, or Stopped is raised."""
    return _run(settings, _numbered(commands), "command")


def run_script(settings: Settings, lines: Iterable[str]) -> int:
    """Run a script's lines as they come; 0, or Stopped is raised."""
    return _run(settings, logical(lines), "line")


def run_terminal(settings: Settings) -> int:
    """Let somebody type commands; 0."""
    session = build_session(settings, scripted=False)
    if os.environ.get("TERM", "dumb") in ("", "dumb"):
        from dsttool.console import plain_prompt

        with terminable():
            plain_prompt.run(session)
    else:
        from dsttool.console import live_prompt

        live_prompt.run(session, settings)
    return 0


def _numbered(commands: Sequence[str]) -> Iterator[tuple[int | str, str]]:
    for number, command in enumerate(commands, 1):
        several = "\n" in command.strip()
        for line, text in logical(command.splitlines(keepends=True)):
            yield f"{number}, line {line}" if several else number, text


def _run(settings: Settings, lines: Iterable[tuple[int | str, str]], place: str) -> int:
    session = build_session(settings, scripted=True)
    try:
        with terminable():
            session.run_script(lines, place)
    except Leave:
        pass
    return 0
