"""`bench`."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from dsttool.cli import render
from dsttool.cli.careful import ask
from dsttool.cli.dry_run import would
from dsttool.cli.moving import devices, reactor, regularly
from dsttool.cli.progress import TimeProgress
from dsttool.cli.settings import Settings, shared
from dsttool.cli.signals import terminable
from dsttool.engine.config.units import format_size, parse_duration, parse_size
from dsttool.engine.vocabulary.errors import Unsafe, UsageError

if TYPE_CHECKING:
    from dsttool.engine.config.address import Address
    from dsttool.engine.host.benching import Workload


@click.command(
    epilog="""\b
Examples:
  dsttool bench pool
  dsttool bench pool --rw randwrite --bs 64K --depth 8 --time 30s --yes
  dsttool bench dst://10.0.0.1/disk?security=none --json"""
)
@click.argument("address")
@click.option(
    "--rw",
    "pattern",
    type=click.Choice(["randread", "randwrite", "read", "write"]),
    default="randread",
    show_default=True,
    help="What to do; writing destroys what is there.",
)
@click.option("--bs", "block", default="4K", show_default=True, help="Bytes of one request.")
@click.option("--depth", type=int, default=32, show_default=True, help="Requests at once.")
@click.option("--time", "duration", default="5s", show_default=True, help="For how long.")
@shared(confirms=True, changes=True)
def bench(settings: Settings, address: str, pattern: str, block: str, depth: int, duration: str) -> None:
    """Measure what is at ADDRESS: requests a second, throughput, latency.

    ADDRESS is any address, a path, or the NAME of what runs here. --depth requests of --bs bytes are always
    under way, at random places (randread, randwrite) or one after the other (read, write). Latencies are of
    single requests; P99 US is the time in microseconds that 99 of 100 requests did not exceed.

    Writing destroys what is there: it is confirmed at the terminal, or with --yes; where nobody is there to
    be asked, and without --yes, it is refused (exit 6).
    """
    from dsttool.engine.host.benching import Bench, Workload
    from dsttool.engine.host.open_node import Opening, open_one, parse_device

    seconds = parse_duration(duration) / 1e9
    if not seconds:
        raise UsageError("A measurement of no time measures nothing.", "Write for example --time 5s.")
    load = Workload(pattern, parse_size(block), depth, seconds)
    place = parse_device(address)
    if settings.dry_run:
        would(settings, _rehearsed(place, load))
        return
    if load.writes:
        # Before it is opened: nobody else could use the device while the question waits for its answer.
        _confirm(settings, address)
    with terminable(), reactor() as used, devices(used) as opened:
        opened.append(open_one(used, Opening(place, read_only=not load.writes)))
        job = Bench(used, opened[0], load)
        progress = TimeProgress(settings, "measuring", seconds)
        try:
            with regularly(used, progress.interval, progress.show):
                figures = job.run()
        finally:
            progress.end()
    answer = {
        "schema": "dsttool.bench/1",
        "address": address,
        "rw": pattern,
        "block_bytes": load.block,
        "depth": depth,
        "requests": figures.requests,
        "bytes": figures.bytes,
        "elapsed_ns": figures.elapsed_ns,
        "iops": round(figures.iops, 1),
        "bytes_per_second": int(figures.bytes_per_second),
        "latency_ns": {
            "mean": figures.mean_ns,
            "p50": figures.p50_ns,
            "p99": figures.p99_ns,
            "max": figures.max_ns,
        },
    }
    if settings.json:
        render.emit_json(settings, answer)
        return
    columns = ("RW", "BLOCK", "DEPTH", "IOPS", "MIB/S", "MEAN US", "P50 US", "P99 US", "MAX US")
    latencies = (figures.mean_ns, figures.p50_ns, figures.p99_ns, figures.max_ns)
    row = (
        pattern,
        render.size(settings, load.block),
        str(depth),
        f"{figures.iops:.0f}",
        render.figure(settings, figures.bytes_per_second, lambda rate: f"{rate / 2**20:.1f}"),
        *(render.figure(settings, latency, lambda time_ns: f"{time_ns / 1e3:.1f}") for latency in latencies),
    )
    render.table(settings, columns, [row], right=columns[1:])


def _rehearsed(place: "Address", load: "Workload") -> list[str]:
    """What would be measured, looked at read-only. Raises what keeps it from being done."""
    from dsttool.engine.host.open_node import Opening, open_one

    with reactor() as used, devices(used) as opened:
        opened.append(open_one(used, Opening(place, read_only=True)))
        # That it is opened read-only here says nothing of whether it can be written.
        replace(load, pattern="read").check(opened[0])
        size = format_size(opened[0].capabilities.size)
    doing = "overwrite what is at" if load.writes else "read"
    how = f"{load.depth} requests of {format_size(load.block)} at once ({load.pattern})"
    return [f"{doing} {place.bare()}, {size}, for {load.seconds:g} s: {how}"]


def _confirm(settings: Settings, address: str) -> None:
    """Unsafe unless somebody says that what is there may be overwritten; nobody there is no consent."""
    what = f"This overwrites what is at {address}."
    if settings.yes:
        return
    if not settings.may_ask:
        raise Unsafe(f"{what} Nobody is there to be asked.", "Add --yes to go ahead.")
    ask(settings, [what])
