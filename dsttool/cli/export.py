"""`export`."""

import functools

import click

from dsttool.cli import render
from dsttool.cli.dry_run import would
from dsttool.cli.offering import Offering, offering
from dsttool.cli.running import Running, running
from dsttool.cli.serving import exit_with, report_ready, run_foreground
from dsttool.cli.settings import Settings, shared


@click.command(
    epilog="""\b
Examples:
  dsttool export disk.img --name disk --size 10G -d
  dsttool export /dev/sdb --listen 'dst://10.0.0.1?security=none'
  dsttool export disk -d"""
)
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

    DEVICE is a path, an address such as mem:1G, or the NAME of an export that is configured in
    exports/NAME.toml. It is offered over NBD, for other programs and the kernel, and over DST, for arrays
    of dsttool. It runs in the foreground, with a line that lives on a terminal and a plain log elsewhere;
    with -d the command returns once it listens, and the log is shown by `logs NAME`. SIGTERM, or `daemon
    stop NAME`, ends it cleanly.

    Clients on this machine reach it through NAME.nbd and NAME.dst in the runtime folder, always. Without
    --listen it also listens on TCP port 6207, for clients whose keys `key authorize` has let in, and stays
    local while there are none. --listen names other places, and may be given several times: nbd://HOST,
    nbd+unix:///?socket=PATH, dst://HOST, dst+unix:///?socket=PATH, dst+vsock://CID, dst+mptcp://HOST. NBD
    and DST in the clear beyond this machine need ?security=none spelled out in the address.

    One client writes at a time, unless --shared is given; any number may read. A block device that is
    mounted or otherwise in use is refused, and its user named. --size makes a file that does not exist,
    sparse; a size that contradicts an existing file is refused. Names are made from files' names, unless
    --name gives them, one for each DEVICE in order; all are served by one daemon, which has the first name.

    --invite prints one line, a secret, to be given to `array create --invite-file` on another machine: its
    key comes in once by it.
    """
    from dsttool.engine.config import units
    from dsttool.engine.config.listen import exposure_remarks, parse_listen
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
