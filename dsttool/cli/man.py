"""`man`: the manual pages, wherever this dsttool was installed."""

import shutil
import subprocess
import sys

import click

from dsttool.cli import pages
from dsttool.cli.settings import Settings, shared
from dsttool.engine.vocabulary.errors import DsttoolError, NotFound
from dsttool.engine.vocabulary.suggest import suggest


@click.command(
    epilog="""Examples:

    \b
    dsttool man
    dsttool man array up
    dsttool man tutorial
    """
)
@click.argument("words", nargs=-1, metavar="[PAGE]...")
@shared(answers=False)
def man(settings: Settings, words: tuple[str, ...]) -> None:
    """Show a manual page: of dsttool itself, of a command, or on a topic.

    A PAGE is a command's words, as in `array up`, or a topic: tutorial, trouble, config, internals, protocol.
    With --quiet only the path of the page's file is printed. In a pipe the page comes as plain text.
    """
    path = _find(words)
    if settings.quiet:
        click.echo(path)
        return
    if shutil.which("man") is None:
        raise DsttoolError(
            "There is no program `man` here.", f"Install it (Debian: apt install man-db), or read {path}."
        )
    sys.stdout.flush()
    code = subprocess.run(["man", "-l", path], check=False).returncode
    if code:
        raise DsttoolError(f"`man -l {path}` ended with code {code}.", "Its words above may say why.")


def _find(words: tuple[str, ...]) -> str:
    """The file of a page. Raises NotFound with a nearer one."""
    wanted = "-".join(("dsttool", *words))
    if words and words[0].startswith("dsttool"):
        wanted = "-".join(words)
    found = pages.files()
    if wanted in found:
        return found[wanted]
    near = suggest(wanted, found)
    raise NotFound(
        f"There is no manual page called {' '.join(words) or wanted}.",
        f"Did you mean `dsttool man {near.removeprefix('dsttool-').replace('-', ' ')}`?"
        if near
        else "`dsttool man` shows the list of commands.",
    )
