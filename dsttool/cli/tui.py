"""`tui`: the live screen."""

import importlib
import inspect
import os
import sys
import textwrap
from pathlib import Path
from typing import Final

import click

from dsttool.cli.asking import places
from dsttool.cli.file_name import FileName
from dsttool.cli.glyphs import shows
from dsttool.cli.reading import commands
from dsttool.cli.settings import Settings, shared
from dsttool.cli.tree import build
from dsttool.engine.vocabulary.errors import UsageError

# Of those that are drawn the ones that encodings lack first.
_GLYPHS: Final = "⣿▕●"


@click.command(
    epilog="""\b
Examples:
  dsttool tui
  dsttool tui --host local --host ssh://root@store2 --read-only
  dsttool tui --replay night.jsonl"""
)
@click.option(
    "--replay",
    metavar="FILE",
    type=FileName(path_type=Path),
    help="Play a recording of `dsttool record` instead of watching what runs: Space stops it and lets it go "
    "on, . and , go a moment on and back.",
)
@click.option("--read-only", is_flag=True, help="Offer no actions at all.")
@click.option("--ascii", "ascii_", is_flag=True, help="Draw with nothing but ASCII characters.")
@shared(answers=False, asks=True)
def tui(settings: Settings, replay: Path | None, read_only: bool, ascii_: bool) -> None:
    """Watch everything that runs on this machine, live.

    The screen shows the storage tree (arrays, their nodes and links, exports), graphs of throughput and
    latency, transactions with what is left of their budgets, jobs and events, and the machine itself. It is
    a client of the daemons' control sockets: starting or ending it changes nothing that runs. Repeat --host
    to watch several machines at once; `local` is this one.

    No single key changes anything: the actions of `a` open a dialog that says what would happen, shows the
    same as a command line, and has Cancel chosen. `?` shows the keys of the focused pane, `q` leaves.

    The terminal has to have 60 columns and 15 lines at least. NO_COLOR and --color=never leave out every
    colour; states are words and signs, too. In a locale without UTF-8 (LANG=C, LC_ALL=POSIX) the screen is
    drawn as with --ascii; set LC_ALL=C.UTF-8 where the terminal shows more than that. Where there is no
    terminal, see `dsttool status --watch`.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()) or _dumb():
        raise UsageError(
            "The screen needs a terminal that can be drawn on.",
            "`dsttool status --watch 2` says the same line by line.",
        )
    if replay and settings.hosts:
        raise UsageError("A recording is of no host.", "Leave out --host, or --replay.")
    if settings.color == "never":
        os.environ["NO_COLOR"] = "1"
    screen = importlib.import_module("dsttool.tui.run")
    ascii_ = ascii_ or not shows(_GLYPHS)
    # ssh must not ask for anything here: nobody would see it, or could answer.
    with places(settings, prompts=False) as chosen:
        code: int = (
            screen.replay(replay, ascii=ascii_)
            if replay
            else screen.run(chosen, commands=commands(build()), read_only=read_only, ascii=ascii_)
        )
    click.get_current_context().exit(code)


# By name, as the screen itself: nothing of it may be imported for help, and this is only its table.
_KEYS: Final[str] = importlib.import_module("dsttool.tui.keys").listed()
tui.help = f"{inspect.cleandoc(tui.help or '')}\n\n\b\nKeys (in brackets: of one pane):\n" + textwrap.indent(
    _KEYS, "  "
)


def _dumb() -> bool:
    return os.environ.get("TERM", "dumb") in ("dumb", "")
