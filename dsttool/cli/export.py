"""`export`."""

import functools

import click

from dsttool.cli.serving import check_security, exit_with, exposure_remarks, report_ready, run_foreground
from dsttool.cli.settings import Settings, shared
from dsttool.engine.vocabulary.errors import UsageError


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
@click.option(
    "--security",
    metavar="NAME",
    help="Protection of DST listeners that do not spell their own: none, checksum, aes256gcm,"
    " chacha20poly1305.",
)
@click.option("--key", metavar="FILE", help="Their key, shared or private, instead of this machine's.")
@click.option(
    "--access",
    "rules",
    multiple=True,
    metavar="RULE",
    help="Who may connect over a network, e.g. 'allow 10.0.0.0/8'; the first that matches wins.",
)
@click.option("--invite", is_flag=True, help="Print a line by which another machine's key comes in.")
@click.option("--invite-expires", metavar="TIME", default="1d", show_default=True, help="How long it holds.")
@click.option("-d", "--detach", is_flag=True, help="Return once it listens; see `dsttool logs NAME`.")
@shared()
def export(
    settings: Settings,
    devices: tuple[str, ...],
    names: tuple[str, ...],
    size: str | None,
    listens: tuple[str, ...],
    read_only: bool,
    security: str | None,
    key: str | None,
    rules: tuple[str, ...],
    invite: bool,
    invite_expires: str,
    detach: bool,
) -> None:
    """Offer files, block devices or anything with an address to clients.

    DEVICE is a path, an address such as mem:1G, or the NAME of a configured export. Clients on this
    machine reach it through sockets in the runtime folder; --listen adds other places.
    """
    from dsttool.engine.config import units
    from dsttool.engine.config.address_rules import parse_rules
    from dsttool.engine.config.listen import parse_listen
    from dsttool.engine.host import daemon, run_export

    check_security(security)
    if invite and settings.json:
        raise UsageError("An invitation is a secret, and none is put into JSON.", "Leave out --json.")
    chosen = run_export.plan(
        devices,
        names=names,
        size=None if size is None else units.parse_size(size),
        read_only=read_only,
        listens=[parse_listen(text) for text in listens],
        security=security or "",
        key=key or "",
        access=parse_rules(rules) if rules else None,
        invite_ns=units.parse_duration(invite_expires) if invite else None,
    )
    remarks = exposure_remarks(chosen.listens)
    if detach:
        report = daemon.detach(chosen.names, functools.partial(run_export.run, chosen), settings.verbose)
        report_ready(settings, [report], remarks)
    else:
        run = functools.partial(run_export.run, chosen)
        exit_with(run_foreground(settings, chosen.names, run, remarks))
