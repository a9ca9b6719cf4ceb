"""What people see of a daemon: the lines when it is ready, its log, and a live line on a terminal."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from dsttool.cli import render
from dsttool.cli.progress import LineInPlace
from dsttool.cli.settings import Settings
from dsttool.engine.config.units import format_size

if TYPE_CHECKING:
    from dsttool.engine.control.lock import NameLock
    from dsttool.engine.host.daemon import Ready, Report
    from dsttool.engine.host.engine import Engine
    from dsttool.engine.host.log_lines import Format

REFRESH_SECONDS: Final = 1.0
# The reactor answers within milliseconds; a line that comes later is left out.
SAMPLE_SECONDS: Final = 1.0

Running = Callable[["Engine"], None]
Run = Callable[["NameLock", "Ready", Running], int]


def report_ready(settings: Settings, reports: "Sequence[Report]", remarks: Sequence[str] = ()) -> None:
    """Say what serves, where, and what to do next; remarks go to stderr, invitations to stdout."""
    _note(settings, reports, remarks)
    if settings.json:
        render.emit_json(settings, {"schema": "dsttool.ready/1", "daemons": reports}, reports)
        return
    for report in reports:
        _report(settings, report)


def _note(settings: Settings, reports: "Sequence[Report]", remarks: Sequence[str]) -> None:
    """The remarks; and the invitations, which go nowhere else: they are taken out of the reports."""
    for remark in [*remarks, *(each for report in reports for each in report.pop("remarks"))]:
        render.note(settings, remark)
    for report in reports:
        for line in report.pop("invites"):
            click.echo(line)


def _report(settings: Settings, report: "Report") -> None:
    if settings.format == "plain":
        for each in report["serves"]:
            for address in each["addresses"]:
                click.echo(f"{each['name']}\t{each['size_bytes']}\t{address}")
        return
    for each in report["serves"]:
        name = render.emphasis(settings, each["name"])
        render.say(settings, f"{name} serves {format_size(each['size_bytes'])}:")
        for address in each["addresses"]:
            render.say(settings, f"  {address}")
    first = report["serves"][0]
    nbd = next((a for a in first["addresses"] if a.startswith("nbd")), None)
    if nbd:
        render.say(settings, f"Try: dsttool info '{nbd}'")


def run_foreground(
    settings: Settings,
    names: list[str],
    run: Run,
    remarks: Sequence[str] = (),
    form: "Format | None" = None,
) -> int:
    """Run a daemon of these names in this process until it is stopped; its exit code. form: of its log."""
    from dsttool.engine.control.lock import NameLock
    from dsttool.engine.host.logs import Logs

    live = LineInPlace.possible() and not settings.quiet and not settings.json and form is None
    logs = Logs(settings.verbose, quiet=settings.quiet or live, form=form)
    line: LiveLine | None = None

    def running(engine: "Engine") -> None:
        nonlocal line
        if live:
            line = LiveLine(engine)

    def ready(report: "Report") -> None:
        if live or settings.json:
            report_ready(settings, [report], remarks)
        else:
            _note(settings, [report], remarks)
        if line is not None:
            render.note(settings, "Ctrl-C stops it.")
            line.start()

    try:
        with NameLock(names) as lock:
            return run(lock, ready, running)
    finally:
        if line is not None:
            line.close()
        logs.close()


class LiveLine:
    """One line on stderr that is written anew each second, by a thread: a terminal may be stopped."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._line = LineInPlace()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live-line", daemon=True)

    def start(self) -> None:
        """Begin to show."""
        self._thread.start()

    def close(self) -> None:
        """Remove the line and end."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(1)

    def _run(self) -> None:
        before = self._sample()
        then = time.monotonic()
        while not self._ended.wait(REFRESH_SECONDS):
            sample, now = self._sample(), time.monotonic()
            if sample is None:
                continue
            self._line.write(_live_text(before or sample, sample, now - then))
            before, then = sample, now
        self._line.clear()

    def _sample(self) -> dict[str, int] | None:
        taken: list[dict[str, int]] = []
        done = threading.Event()

        def take() -> None:
            taken.append(_totals(self._engine))
            done.set()

        self._engine.reactor.post(take)
        done.wait(SAMPLE_SECONDS)
        return taken[0] if taken else None


def _totals(engine: "Engine") -> dict[str, int]:
    fields = ("reads", "writes", "read_bytes", "written_bytes", "errors")
    totals: dict[str, int] = {
        field: sum(getattr(o.figures, field) for o in engine.offers) for field in fields
    }
    totals["in_flight"] = sum(o.in_flight for o in engine.offers)
    totals["clients"] = sum(len(o.sessions) for o in engine.offers)
    return totals


def _live_text(before: dict[str, Any], now: dict[str, Any], seconds: float) -> str:
    requests = now["reads"] + now["writes"] - before["reads"] - before["writes"]
    read = format_size(int((now["read_bytes"] - before["read_bytes"]) / seconds))
    written = format_size(int((now["written_bytes"] - before["written_bytes"]) / seconds))
    return (
        f"{now['clients']} clients, {now['in_flight']} in flight, {requests / seconds:.0f} requests/s, "
        f"read {read}/s, write {written}/s, {now['errors']} errors"
    )


def exit_with(code: int) -> None:
    """End the command with an exit code that is no error to explain."""
    click.get_current_context().exit(code)
