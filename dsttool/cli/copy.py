"""`cp`."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from dsttool.cli import render
from dsttool.cli.dry_run import would
from dsttool.cli.moving import devices, reactor, regularly
from dsttool.cli.new_file import check_folder
from dsttool.cli.progress import Progress
from dsttool.cli.settings import Settings, shared
from dsttool.cli.signals import terminable
from dsttool.engine.config import paths
from dsttool.engine.config.units import format_size
from dsttool.engine.vocabulary.errors import Conflict, from_oserror

if TYPE_CHECKING:
    from dsttool.engine.config.address import Address
    from dsttool.engine.host.copying import Copy

# Of a file's name, in that of the file beside it: names have at most 255 bytes.
_NAME_KEPT: Final = 50


@click.command(
    "cp",
    epilog="""\b
Examples:
  dsttool cp debian.img pool
  dsttool cp pool backup.img
  dsttool cp nbd://10.0.0.1/old dst://10.0.0.2/new?security=none""",
)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@shared(changes=True)
def copy(settings: Settings, source: str, target: str) -> None:
    """Copy all of SRC onto DST: addresses, files, or names of what runs here.

    DST is overwritten without a question, as cp(1) does. A file that does not exist is created, sparse. DST
    must be at least as large as SRC; what lies beyond the end of SRC stays. A device that takes whole blocks
    only is refused if the size of SRC is no multiple of them.

    A new file gets its name when all of it is there: one that is interrupted leaves none of that name.

    Zeroes are left out where the target was just created, and elsewhere written as zeroes, without their
    bytes, so that the target can stay sparse. It returns when everything is on stable storage. A lost
    connection is waited for as long as the policy in its address allows. A bar shows how far it is, on a
    terminal; elsewhere a line every 30 s.
    """
    from dsttool.engine.host.open_node import parse_device

    from_address, to_address = parse_device(source), parse_device(target)
    fresh = to_address.kind == "file" and not Path(to_address.path).exists()
    if settings.dry_run:
        would(settings, _rehearsed(from_address, to_address, fresh=fresh))
        return
    began = time.monotonic()
    with terminable():
        if fresh:
            with _named_when_whole(to_address) as part:
                job = _copied(settings, from_address, part, fresh=True)
        else:
            job = _copied(settings, from_address, to_address, fresh=False)
    _say(settings, job.total_bytes, job.zero_bytes, time.monotonic() - began)


def _copied(settings: Settings, source: "Address", target: "Address", *, fresh: bool) -> "Copy":
    """Copy one onto the other, and show how far it is. fresh: the target is a file that does not exist."""
    from dsttool.engine.host.copying import Copy
    from dsttool.engine.host.open_node import Opening, open_one

    with reactor() as used, devices(used) as opened:
        opened.append(open_one(used, Opening(source, read_only=True)))
        size = opened[0].capabilities.size if fresh else None
        opened.append(open_one(used, Opening(target, size=size, retain=True)))
        job = Copy(used, *opened, fresh=fresh)
        progress = Progress(settings, "copying", job.total_bytes)
        try:
            with regularly(used, progress.interval, lambda: progress.show(job.done_bytes)):
                job.run()
        finally:
            progress.end()
    return job


@contextmanager
def _named_when_whole(target: "Address") -> Iterator["Address"]:
    """Another file in the folder of one that does not exist, which gets its name if the block succeeds.

    Sparse files have their full size from the beginning: half a copy could not be told from a whole one.
    """
    path = Path(os.path.realpath(target.path))  # where a link leads to
    check_folder(path.parent)
    part = path.with_name(f".{path.name[:_NAME_KEPT]}.{os.urandom(8).hex()}")
    try:
        yield replace(target, path=str(part))
        _name(part, path)
        paths.sync_folder(path.parent)
    except OSError as error:
        raise from_oserror(error, f"create {path}") from error
    finally:
        part.unlink(missing_ok=True)


def _name(part: Path, path: Path) -> None:
    """Conflict if somebody else has made a file of that name meanwhile, and may use it."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise Conflict(
            f"{path} exists by now; it is left as it is.", "Choose another name, or copy again, onto it."
        ) from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP) or path.exists():
            raise
        os.rename(part, path)  # a file system without links


def _rehearsed(source: "Address", target: "Address", *, fresh: bool) -> list[str]:
    """What would be copied onto what, both looked at read-only. Raises what keeps it from being done."""
    from dsttool.engine.host.copying import check_sizes
    from dsttool.engine.host.open_node import Opening, open_one

    with reactor() as used, devices(used) as opened:
        opened.append(open_one(used, Opening(source, read_only=True)))
        size = format_size(opened[0].capabilities.size)
        if fresh:
            check_folder(Path(os.path.realpath(target.path)).parent)
        else:
            opened.append(open_one(used, Opening(target, read_only=True)))
            check_sizes(*opened)
    made = f"create {target.bare()} and copy {size} of {source.bare()} into it"
    over = f"copy {size} of {source.bare()} onto {target.bare()}, over what its first {size} hold"
    return [made if fresh else over]


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
    if settings.format == "plain":
        click.echo(f"{total}\t{zeroes}\t{int(seconds * 1e9)}")
        return
    rate, left_out = format_size(int(total / seconds)), format_size(zeroes)
    render.say(
        settings,
        f"Copied {format_size(total)} in {seconds:.1f} s, {rate}/s; {left_out} were zeroes.",
    )
