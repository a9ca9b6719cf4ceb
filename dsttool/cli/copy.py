"""`cp`."""

import time
from pathlib import Path

import click

from dsttool.cli import render
from dsttool.cli.moving import Progress, reactor
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config.units import format_size


@click.command("cp")
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@shared()
def copy(settings: Settings, source: str, target: str) -> None:
    """Copy all of SRC onto DST: addresses, files, or names of what runs here.

    A file that does not exist is created, sparse. DST must be at least as large as SRC.
    """
    from dsttool.engine.host.copying import Copy
    from dsttool.engine.host.ending import close_all
    from dsttool.engine.host.open_node import Opening, open_one, parse_device

    from_address, to_address = parse_device(source), parse_device(target)
    fresh = to_address.kind == "file" and not Path(to_address.path).exists()
    began = time.monotonic()
    with reactor() as used:
        from_device = open_one(used, Opening(from_address, read_only=True))
        size = from_device.capabilities.size if fresh else None
        to_device = open_one(used, Opening(to_address, size=size, retain=True))
        job = Copy(used, from_device, to_device, fresh=fresh)
        progress = Progress(settings, "copying", job.total_bytes)
        interval = int(progress.interval * 1e9)

        def tick() -> None:
            progress.show(job.done_bytes)
            used.call_later(interval, tick)

        used.call_later(interval, tick)
        try:
            job.run()
        finally:
            progress.end()
        close_all(used, [from_device, to_device])
    _say(settings, job.total_bytes, job.zero_bytes, time.monotonic() - began)


def _say(settings: Settings, total: int, zeroes: int, seconds: float) -> None:
    if settings.json:
        answer = {
            "schema": "dsttool.cp/1",
            "bytes": total,
            "zero_bytes": zeroes,
            "elapsed_ns": int(seconds * 1e9),
        }
        render.emit_json(settings, answer)
        return
    rate, left_out = format_size(int(total / seconds)), format_size(zeroes)
    render.say(
        settings,
        f"Copied {format_size(total)} in {seconds:.1f} s, {rate}/s; {left_out} were zeroes.",
    )
