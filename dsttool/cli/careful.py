"""Acts that take something from somebody: what follows is said first, and who could object is asked.

    --yes                     nobody is asked, nothing is said
    somebody at a terminal    is told, and asked: only `yes` goes ahead
    --no-input                declined
    nobody there (a script)   told on stderr, and done: a script that names the act means it

Severe acts, which overwrite or forget something, want more: see severe.
"""

import sys
from collections.abc import Sequence

import click

from dsttool.cli import render
from dsttool.cli.settings import Settings
from dsttool.engine.vocabulary.errors import Unsafe


def go_ahead(settings: Settings, consequences: Sequence[str]) -> None:
    """Return if the act may be done; without a consequence at once. Raises Unsafe if somebody declines."""
    if settings.yes or not consequences:
        return
    if settings.may_ask:
        ask(settings, consequences)
    elif settings.no_input:
        raise Unsafe(f"{' '.join(consequences)} Nobody is to be asked.", "Add --yes to go ahead.")
    else:
        for line in consequences:
            render.note(settings, line)


def ask(settings: Settings, consequences: Sequence[str]) -> None:
    """Ask whoever is there; only `yes` is one. Raises Unsafe."""
    assert settings.may_ask, "nobody is there"
    for line in consequences:
        click.echo(line, err=True)
    click.echo("Type yes to go ahead: ", err=True, nl=False)
    if sys.stdin.readline().strip() != "yes":  # the end of input is no yes either
        raise Unsafe("Declined; nothing was done.", "To go ahead, type yes, or add --yes.")
