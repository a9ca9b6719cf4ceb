"""`info`."""

from typing import Any

import click

from dsttool.cli import render
from dsttool.cli.moving import reactor
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config.units import format_size

_YES_NO = {True: "yes", False: "no", None: render.UNKNOWN}


@click.command(
    epilog="""\b
Examples:
  dsttool info pool
  dsttool info nbd://10.0.0.1/disk
  dsttool info /dev/sdb --json"""
)
@click.argument("address")
@shared()
def info(settings: Settings, address: str) -> None:
    """Show what is at ADDRESS: size, capabilities, and what may be relied on there.

    ADDRESS is any address, a path, or the NAME of what runs here. It is opened read-only, and closed again.
    Of an NBD server without an export's name in the address, the exports that it lists are shown, too.

    A line `holds` is a guarantee; `mind` is something that does not hold there, with what follows from it:
    plain NBD promises less than DST. A server with several exports that is asked for none of them answers
    with their names.
    """
    from dsttool.engine.host.describe import describe
    from dsttool.engine.host.open_node import parse_device

    with reactor() as used:
        found = describe(used, parse_device(address))
    if settings.json:
        render.emit_json(settings, {"schema": "dsttool.info/1", **found})
    elif settings.format == "plain":
        for key, value in found.items():
            if not isinstance(value, list):
                click.echo(f"{key}\t{'' if value is None else value}")
    else:
        _show(settings, found)


def _show(settings: Settings, found: dict[str, Any]) -> None:
    click.echo(render.emphasis(settings, found["address"]), color=True)
    if found["size_bytes"] is not None:
        click.echo(f"size          {format_size(found['size_bytes'])} ({found['size_bytes']} bytes)")
        if found["read_only"] is not None:
            click.echo(f"access        {'read-only' if found['read_only'] else 'read-write'}")
        blocks = (found["block_min"], found["block_preferred"], found["payload_max"])
        click.echo(f"requests      {blocks[0]} to {blocks[2]} bytes, best {blocks[1]}")
        can = ("flush", "fua", "trim", "write_zeroes", "fast_zero", "multi_conn")
        has = [name.replace("_", " ") for name in can if found[name]]
        click.echo(f"capabilities  {', '.join(has) or 'none'}")
        click.echo(f"rotational    {_YES_NO[found['rotational']]}")
    if found["exports"] is not None:
        for export in found["exports"]:
            about = f" ({export['description']})" if export["description"] else ""
            click.echo(f"export        {export['name'] or '(no name)'}{about}")
    for each in found["guarantees"]:
        click.echo(f"{'holds' if each['holds'] else 'mind':<14}{each['says']}")
