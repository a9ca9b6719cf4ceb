"""`export`."""

import functools

import click

from dsttool.cli import render
from dsttool.cli.dry_run import would
from dsttool.cli.offering import Offering, offering
from dsttool.cli.running import Running, running
from dsttool.cli.serving import exit_with, exposure_remarks, report_ready, run_foreground
from dsttool.cli.settings import Settings, shared


@click.command()
@click.argument("devices", nargs=-1, required=True, metavar="DEVICE...")
@click.option("--name", "names", multiple=True, help="Name of the export; one for each DEVICE, in order.")
@click.option("--size", help="Create the file with this size, sparse, if it does not exist.")
@click.option(
    "--listen",
    "listens",
    multiple=True,
    metavar="ADDRESS",
    help="Accept clients there too, e.g. nbd://127.0.0.1.",
)
@click.option("--read-only", is_flag=True, help="Let nobody write.")
@click.option("--shared", "several", is_flag=True, help="Let several write at a time, not one.")
@click.option("-d", "--detach", is_flag=True, help="Return once it listens; see `dsttool logs NAME`.")
@shared(changes=True)
@offering(invites=True)
@running
def export(
    settings: Settings,
    devices: tuple[str, ...],
    names: tuple[str, ...],
    size: str | None,
    listens: tuple[str, ...],
    read_only: bool,
    several: bool,
    detach: bool,
    offering: Offering,
    running: Running,
) -> None:
    """Offer files, block devices or anything with an address to clients.

    DEVICE is a path, an address such as mem:1G, or the NAME of a configured export. Clients on this
    machine reach it through sockets in the runtime folder; --listen adds other places.
    """
    from dsttool.engine.config import units
    from dsttool.engine.config.listen import parse_listen
    from dsttool.engine.host import daemon, run_export

    chosen = run_export.plan(
        devices,
        names=names,
        size=None if size is None else units.parse_size(size),
        read_only=read_only,
        shared=several,
        listens=[parse_listen(text) for text in listens],
        security=offering.security,
        key=offering.key,
        access=offering.access,
        invite_ns=offering.invite_ns,
    )
    remarks = [*exposure_remarks(chosen.listens), *running.remarks]
    if settings.dry_run:
        from dsttool.engine.host import rehearsal

        for remark in remarks:
            render.note(settings, remark)
        would(settings, rehearsal.export(chosen))
        return
    run = functools.partial(run_export.run, chosen, metrics=running.metrics)
    if detach:
        report = daemon.detach(chosen.names, run, settings.verbose, running.log_format)
        report_ready(settings, [report], remarks)
    else:
        exit_with(run_foreground(settings, chosen.names, run, remarks, running.log_format))
