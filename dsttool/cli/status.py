"""`status` and `uri`: what runs, what it means, what to do."""

from collections.abc import Sequence

import click

from dsttool.cli import render
from dsttool.cli.asking import gather
from dsttool.cli.settings import Settings, shared
from dsttool.cli.status_text import entries, only, show_status, worst
from dsttool.engine.config.names import check_name
from dsttool.engine.vocabulary.errors import Conflict, UsageError
from dsttool.engine.vocabulary.status import ArrayStatus, ExportStatus, Status


@click.command(
    epilog="""\b
Examples:
  dsttool status
  dsttool status pool --watch 2
  dsttool status --exit-code -q || echo "look at it"
"""
)
@click.argument("name", required=False)
@click.option(
    "--watch",
    "seconds",
    metavar="SECONDS",
    help="Show it again every so many seconds, until Ctrl-C: on a terminal in place, else below each other.",
)
@click.option(
    "--exit-code",
    is_flag=True,
    help="Exit with 10 if something is degraded, with 11 if something failed, is frozen or does not answer.",
)
@shared(waits=True, asks=True)
def status(settings: Settings, name: str | None, seconds: str | None, exit_code: bool) -> None:
    """Show the state of everything that runs on this machine, or of NAME.

    For each array: its state, what that means, what to do about it, and what it is made of. An array that is
    degraded serves, with fewer copies than it should have. One that has failed or is frozen does not get
    requests done: they fail, or are held until somebody decides. Both make --exit-code 11.
    """
    if name is not None:
        check_name(name)
    if seconds is not None:
        from dsttool.cli.status_watch import watch

        if exit_code:
            raise UsageError(
                "--watch does not end by itself, and --exit-code is its end.", "Give one of them."
            )
        watch(settings, name, seconds)
        return
    found = gather(settings, name)
    if name is not None:
        found = only(settings, found, name)
    show(settings, found, named=name is not None)
    if exit_code:
        click.get_current_context().exit(worst(found))


def show(settings: Settings, found: Status, *, named: bool) -> None:
    """Print a status in the format that is wanted. named: it is of one name."""
    if settings.json:
        lines = [{"type": kind[:-1], **entry} for kind, entry in entries(found)]
        render.emit_json(settings, found, lines)
    elif settings.format == "plain":
        for kind, entry in entries(found):
            size = entry.get("size_bytes")
            click.echo(f"{kind[:-1]}\t{entry['name']}\t{entry['state']}\t{'' if size is None else size}")
    else:
        show_status(settings, found, named=named)


@click.command()
@click.argument("name")
@shared(waits=True, asks=True)
def uri(settings: Settings, name: str) -> None:
    """Print the address at which NBD clients on this machine reach NAME."""
    check_name(name)
    found = only(settings, gather(settings, name), name)
    served: Sequence[ArrayStatus | ExportStatus] = [*found["arrays"], *found["exports"]]
    addresses = [address for each in served for address in each["addresses"]]
    nbd = next((a for a in addresses if a.startswith("nbd+unix")), None)
    if nbd is None:
        raise Conflict(f"{name} serves nobody over NBD.", f"See `dsttool status {name}`.")
    if settings.json:
        render.emit_json(
            settings, {"schema": "dsttool.uri/1", "name": name, "uri": nbd, "addresses": addresses}
        )
    else:
        click.echo(nbd)
