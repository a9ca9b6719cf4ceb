"""`version`."""

import platform

import click

import dsttool
from dsttool.cli import render
from dsttool.cli.settings import Settings, shared


@click.command()
@shared()
def version(settings: Settings) -> None:
    """Show the version of dsttool and of what it runs on."""
    answer = {
        "schema": "dsttool.version/1",
        "version": dsttool.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }
    if settings.json:
        render.emit_json(settings, answer)
    elif settings.format == "plain":
        click.echo(dsttool.__version__)
    else:
        click.echo(f"dsttool {answer['version']} (Python {answer['python']}, {answer['system']})")
