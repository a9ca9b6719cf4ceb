"""`--dry-run`: what a command would do, in the words of the real thing, once everything was checked."""

from collections.abc import Sequence

import click

from dsttool.cli import render
from dsttool.cli.settings import Settings
from dsttool.engine.vocabulary.answers import DryRun


def would(settings: Settings, acts: Sequence[str]) -> None:
    """Say what would be done: each act begins with a verb ("suspend n1 of pool: ..."), and has no full stop.

    It is the answer to the command, so that --quiet does not silence it. No act: nothing would change.
    """
    if settings.json:
        answer: DryRun = {"schema": "dsttool.dry_run/1", "would": list(acts)}
        render.emit_json(settings, answer)
        return
    for act in acts or ("change nothing",):
        click.echo(f"would {act}")
