"""`record`: the status stream into a file, for `tui --replay`."""

import queue
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from dsttool.cli import render
from dsttool.cli.asking import places, reach
from dsttool.cli.dry_run import would
from dsttool.cli.file_name import FileName
from dsttool.cli.new_file import check_folder
from dsttool.cli.progress import LineInPlace
from dsttool.cli.settings import Settings, shared
from dsttool.cli.signals import Terminated, terminable
from dsttool.engine.config.units import format_size, format_span, parse_duration, parse_size
from dsttool.engine.control import clock
from dsttool.engine.vocabulary.errors import DsttoolError, UsageError

if TYPE_CHECKING:
    from dsttool.engine.control.picture import Update
    from dsttool.engine.control.recording import Writer

# Frames that wait to be written. A daemon sends five a second: more than this means a medium that hangs.
_WAITING_MAX: Final = 10_000
_LIVE_SECONDS: Final = 1.0
_LINE_SECONDS: Final = 30.0

Ended = Literal["interrupted", "time", "size"]


@click.command(
    epilog="""\b
Examples:
  dsttool record incident.dstrec
  dsttool record --for 10m --max-size 100M night.dstrec
  dsttool tui --replay incident.dstrec
"""
)
@click.argument("file", type=FileName(path_type=Path))
@click.option(
    "--for", "duration", metavar="TIME", help="End after this time, for example 10m; else at Ctrl-C."
)
@click.option(
    "--max-size", "most", metavar="SIZE", default="1G", show_default=True, help="End when FILE is so large."
)
@shared(confirms=True, changes=True, asks=True)
def record(settings: Settings, file: Path, duration: str | None, most: str) -> None:
    """Record what the daemons tell into FILE, until Ctrl-C.

    A recording is what `dsttool tui` would have shown, and `dsttool tui --replay FILE` shows it: states,
    rates and their history, transactions, events. Daemons that come and go meanwhile are in it. It holds
    names, addresses and clients, but no data and no secret, and only its owner can read it. An existing FILE
    is not replaced without -y.
    """
    from dsttool.engine.control.recording import Writer
    from dsttool.engine.control.watching import Watch

    limit, for_ns = parse_size(most), None if duration is None else parse_duration(duration)
    if for_ns == 0 or limit == 0:
        raise UsageError("A recording of nothing records nothing.", "Write for example --for 10m.")
    if settings.dry_run:
        would(settings, [_rehearsed(settings, file, limit, for_ns)])
        return
    arrived: queue.SimpleQueue[Update] = queue.SimpleQueue()
    with places(settings) as chosen, terminable():
        reach(chosen)
        began = clock.now_ns()
        until = None if for_ns is None else began + for_ns
        with Writer(file, time.time_ns(), began, replace=settings.yes) as writer:
            watch = Watch(chosen, arrived.put)
            shown = _Shown(settings, writer, began)
            try:
                ended: Ended = _write(arrived, writer, until, limit, shown)
            except (KeyboardInterrupt, Terminated):
                ended = "interrupted"
            finally:
                watch.close()
                shown.end()
            while ended == "interrupted" and not arrived.empty():
                writer.add(arrived.get())
    _say(settings, file, writer, clock.now_ns() - began, ended)


def _rehearsed(settings: Settings, file: Path, limit: int, for_ns: int | None) -> str:
    """What would be recorded into what. Raises what keeps it from being done."""
    from dsttool.engine.control.recording import taken

    if file.exists() and not settings.yes:
        raise taken(file)
    check_folder(file.absolute().parent)
    with places(settings) as chosen:
        daemons = [name for place in chosen for name in place.daemons()]
    end = "until Ctrl-C" if for_ns is None else f"for {format_span(for_ns)}"
    told = f"what {', '.join(daemons)} tell" if daemons else "nothing, until daemons run"
    return f"record into {file} {told}, {end}, {format_size(limit)} at most"


def _write(
    arrived: "queue.SimpleQueue[Update]", writer: "Writer", until: int | None, limit: int, shown: "_Shown"
) -> Ended:
    """Write what arrives; why it ended."""
    while True:
        left = None if until is None else (until - clock.now_ns()) / 1e9
        if left is not None and left <= 0:
            return "time"
        if arrived.qsize() > _WAITING_MAX:
            raise DsttoolError("The file is written too slowly.", "Record to another place.")
        try:
            update = arrived.get(timeout=shown.interval if left is None else min(left, shown.interval))
        except queue.Empty:
            pass
        else:
            writer.add(update)
        shown.show()
        if writer.bytes >= limit:
            return "size"


class _Shown:
    """How much was recorded: a line in place on a terminal, else one every 30 s; on stderr."""

    def __init__(self, settings: Settings, writer: "Writer", began_ns: int) -> None:
        self._live = LineInPlace.possible()
        self._line = LineInPlace()
        self._silent = settings.quiet or settings.json
        self._writer = writer
        self._began_ns = began_ns
        self._due = time.monotonic() + (0 if self._live else _LINE_SECONDS)
        self.interval = _LIVE_SECONDS if self._live else _LINE_SECONDS

    def show(self) -> None:
        """Show it, if that is due."""
        if self._silent or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self.interval
        text = f"recording: {_amount(self._writer, clock.now_ns() - self._began_ns)}"
        if self._live:
            self._line.write(f"{text}; Ctrl-C ends it")
        else:
            print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Remove the line."""
        self._line.clear()


def _amount(writer: "Writer", elapsed_ns: int) -> str:
    frames = f"{writer.frames} frame{'' if writer.frames == 1 else 's'}"
    return f"{frames}, {format_size(writer.bytes)}, {format_span(elapsed_ns)}"


def _say(settings: Settings, file: Path, writer: "Writer", elapsed_ns: int, ended: Ended) -> None:
    if settings.json:
        answer: dict[str, Any] = {
            "schema": "dsttool.recorded/1",
            "file": str(file),
            "frames": writer.frames,
            "bytes": writer.bytes,
            "elapsed_ns": elapsed_ns,
            "ended": ended,
        }
        render.emit_json(settings, answer)
        return
    if settings.format == "plain":
        click.echo(f"{file}\t{writer.frames}\t{writer.bytes}\t{elapsed_ns}\t{ended}")
        return
    if ended == "size":
        render.note(settings, "It has become as large as it may be (--max-size), and ends here.")
    render.say(settings, f"Recorded {_amount(writer, elapsed_ns)} in {file}.")
    render.say(settings, f"Try: dsttool tui --replay {file}")
