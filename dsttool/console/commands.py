"""The commands that only the console has."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from dsttool.cli import asking
from dsttool.cli.settings import Settings, shared, takes_escapes
from dsttool.cli.tree import build
from dsttool.console.lines import logical
from dsttool.console.session import Session
from dsttool.engine.config import paths
from dsttool.engine.config.names import check_name
from dsttool.engine.vocabulary.errors import NotFound, UsageError, from_oserror
from dsttool.engine.vocabulary.suggest import suggest

_WATCH_SECONDS: Final = 2.0
# A file that sources itself ends here.
_DEPTH_MAX: Final = 10


class Leave(BaseException):
    """The console is to end."""


def build_session(settings: Settings, *, scripted: bool) -> Session:
    """A session with all commands: those of the tree, and the console's."""
    tree = build()
    session = Session(tree, settings, scripted=scripted)
    for make in (_use, _watch, _source, _help, _exit):
        tree.add_command(make(session))
    tree.add_command(_exit(session), "quit")
    return session


def _use(session: Session) -> click.Command:
    @click.command()
    @click.argument("name", required=False)
    @shared(answers=False, asks=True)
    def use(settings: Settings, name: str | None) -> None:
        """Choose the array or export NAME, whose name may be left out from now on; without NAME, none.

        It stands for the first argument of commands that take the name of an array or export there: after
        `use pool`, `node suspend n1` is `node suspend pool n1`. Commands that end or delete something want
        the name all the same.
        """
        if name is not None:
            check_name(name)
            _check_known(settings, name)
        session.used = name or ""

    return use


def _check_known(settings: Settings, name: str) -> None:
    found = asking.gather(settings)
    known = [each["name"] for each in (*found["arrays"], *found["exports"], *found["daemons"])]
    if asking.is_here(settings):
        known += paths.array_names() + paths.export_names()
    if name not in known:
        near = suggest(name, known)
        raise NotFound(
            f"There is no array or export {name}.", f"Did you mean {near}?" if near else "See `status`."
        )


def _watch(session: Session) -> click.Command:
    @click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
    @click.argument("words", nargs=-1, required=True, metavar="[SECONDS] COMMAND...")
    @click.pass_context
    def watch(context: click.Context, words: tuple[str, ...]) -> None:
        """Repeat a command, every 2 seconds or every SECONDS, until a key is pressed.

        Its exit code is that of the last time. It needs a terminal.
        """
        seconds = _WATCH_SECONDS
        if words[0].replace(".", "", 1).isdecimal():
            seconds, words = float(words[0]), words[1:]
        if not words or not seconds:
            raise UsageError("There is nothing to repeat.", "Write for example: watch 1 status")
        if session.scripted or not sys.stdin.isatty():
            raise UsageError(
                "`watch` goes on until a key is pressed, and there is no terminal.", "Leave it out."
            )
        context.exit(_repeat(session, seconds, words))

    return watch


def _repeat(session: Session, seconds: float, words: Sequence[str]) -> int:
    clears = takes_escapes(sys.stdout)
    while True:
        if clears:
            click.echo("\x1b[H\x1b[2J", nl=False, color=True)
        click.echo(
            f"{time.strftime('%H:%M:%S')}  {' '.join(words)}  (every {seconds:g} s; any key ends it)\n"
        )
        code = session.run_words(words)
        try:
            if code == 130 or _key_pressed(seconds):
                return code
        except KeyboardInterrupt:
            return code


def _key_pressed(seconds: float) -> bool:
    """Wait for a key so long; whether one came, which is taken."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal, termios.TCSANOW)
        pressed = bool(select.select([terminal], [], [], seconds)[0])
        if pressed:
            os.read(terminal, 1024)
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
    return pressed


def _source(session: Session) -> click.Command:
    depth = 0

    @click.command()
    @click.argument("file", metavar="FILE")
    @shared(answers=False, anywhere=True)
    @click.pass_context
    def source(context: click.Context, settings: Settings, file: str) -> None:
        """Run the lines of FILE, up to the first that fails."""
        nonlocal depth
        if depth == _DEPTH_MAX:
            raise UsageError(f"{file} is sourced by itself.", "See which of the files names the other.")
        depth += 1
        try:
            with Path(file).expanduser().open(errors="replace") as lines:
                session.run_script(logical(lines), f"{file}, line")
        except OSError as error:
            raise from_oserror(error, f"read {file}") from error
        finally:
            depth -= 1

    return source


def _help(session: Session) -> click.Command:
    @click.command("help")
    @click.argument("words", nargs=-1, metavar="[COMMAND]...")
    @click.pass_context
    def show_help(context: click.Context, words: tuple[str, ...]) -> None:
        """Explain a COMMAND, or list all commands."""
        context.exit(session.run_words([*words, "--help"]))

    return show_help


def _exit(session: Session) -> click.Command:
    @click.command("exit")
    def leave() -> None:
        """Leave the console. So does Ctrl-D."""
        raise Leave

    return leave
