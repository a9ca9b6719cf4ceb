"""Severe acts: they say what they do to whom, and want the name typed, or `--confirm=NAME`.

`--yes` is not enough, and without a terminal nobody is asked: a script has to spell the name.
"""

import sys
from collections.abc import Sequence

import click

from dsttool.cli.settings import Settings
from dsttool.engine.vocabulary.errors import Unsafe


def confirm(settings: Settings, name: str, consequences: Sequence[str], confirmed: str | None) -> None:
    """Return if somebody who knows the consequences wants them for `name`. Raises Unsafe otherwise.

    confirmed: what `--confirm` says, None without it.
    """
    if confirmed == name:
        return
    if confirmed is not None:
        raise Unsafe(f"--confirm={confirmed} is not the name {name}.", "Nothing was done.")
    for line in consequences:
        click.echo(line, err=True)
    if not settings.may_ask:
        raise Unsafe(
            f"This has to be confirmed for {name}, and nobody is there to be asked.",
            f"Add --confirm={name} to go ahead.",
        )
    click.echo(f"Type {name} to go ahead: ", err=True, nl=False)
    typed = sys.stdin.readline()
    if not typed:
        click.echo(err=True)  # the end of input, which is no name either, leaves the line unfinished
    if typed.strip() != name:
        raise Unsafe("Declined; nothing was done.", f"To go ahead, type {name}, or add --confirm={name}.")
