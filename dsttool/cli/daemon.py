"""`daemon list`, `daemon stop`, `daemon tune`, `logs`, and stopping a daemon for whoever has to."""

import errno
import os
import socket
import sys
import time
from pathlib import Path
from typing import Final

import click

from dsttool.cli import render
from dsttool.cli.asking import ask
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config import paths
from dsttool.engine.config.units import format_duration
from dsttool.engine.control import client
from dsttool.engine.control.lock import NameLock
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, NotFound, TimedOut, Unreachable

# A daemon drains its clients for up to 10 s and may then flush for up to 60 s.
STOP_TIMEOUT: Final = 90.0
_FOLLOW_SECONDS: Final = 0.2


@click.command("list")
@shared(waits=True)
def list_daemons(settings: Settings) -> None:
    """List the daemons of this machine."""
    found = client.gather(paths.runtime_dir(), settings.timeout or client.ANSWER_TIMEOUT)["daemons"]
    if settings.json:
        render.emit_json(settings, {"schema": "dsttool.daemons/1", "daemons": found}, found)
        return
    if not found and settings.format == "table":
        render.say(settings, "Nothing is running.")
        return
    render.table(
        settings,
        ("DAEMON", "KIND", "STATE", "PID", "VERSION", "AGE", "SERVES", "NOTE"),
        [
            (
                each["name"],
                each["kind"] or render.UNKNOWN,
                render.state(settings, each["state"]),
                str(each["pid"] or render.UNKNOWN),
                each["version"] or render.UNKNOWN,
                render.UNKNOWN if each["since_ns"] is None else _age(each["since_ns"]),
                ",".join(each["serves"]) or render.UNKNOWN,
                each["reason"] or "",
            )
            for each in found
        ],
        right=(
            "PID",
            "AGE",
        ),
    )


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@shared(waits=True)
def stop(settings: Settings, names: tuple[str, ...]) -> None:
    """End daemons cleanly and wait until they have ended."""
    stopped = []
    for name in names:
        path = client.find(paths.runtime_dir(), name)
        if path.stem != name:
            raise Conflict(
                f"{name} is served by the daemon {path.stem}, together with others.",
                f"Stop all of them: dsttool daemon stop {path.stem}",
            )
        pid = end(name, settings.timeout or STOP_TIMEOUT)
        stopped.append({"name": name, "pid": pid})
        render.say(settings, f"{name} has ended.")
    if settings.json:
        render.emit_json(settings, {"schema": "dsttool.stopped/1", "daemons": stopped}, stopped)


@click.command()
@click.argument("name")
@click.option(
    "--crypto-threads",
    type=click.IntRange(min=0),
    help="Threads that seal and open large records; 0 to do all of it on the main thread.",
)
@shared(waits=True)
def tune(settings: Settings, name: str, crypto_threads: int | None) -> None:
    """Show how many threads a daemon seals with, or change it while it runs."""
    answer = ask(settings, name, "crypto.threads", threads=crypto_threads)
    if settings.json:
        render.emit_json(settings, {"schema": "dsttool.tuning/1", "name": name, **answer}, [answer])
        return
    render.say(settings, f"{name} has {answer['threads']} threads for large sealed records.")


@click.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on, until Ctrl-C.")
@shared(answers=False)
def logs(settings: Settings, name: str, follow: bool) -> None:
    """Print the log of the daemon NAME, also after its end."""
    path = paths.log_file(name)
    if not path.exists():
        running = client.find(paths.runtime_dir(), name)
        path = paths.log_file(running.stem)
    try:
        while _print_log(path, follow):
            pass
    except FileNotFoundError:
        raise NotFound(
            f"{name} has no log file.", "It runs in the foreground, and logs to where it was started."
        ) from None


def _print_log(path: Path, follow: bool) -> bool:
    """Print a log; with `follow` until the daemon has put it aside, and then True: there is a new one."""
    with path.open(errors="replace") as log:
        while True:
            # Asked first: what was written before it was put aside is still printed.
            aside = not path.exists() or path.stat().st_ino != os.fstat(log.fileno()).st_ino
            for line in log:
                sys.stdout.write(line)
            sys.stdout.flush()
            if not follow:
                return False
            if aside and path.exists():
                return True
            time.sleep(_FOLLOW_SECONDS)


def end(name: str, timeout: float, kind: str | None = None) -> int:
    """Ask the daemon `name` to end and wait until its process is gone; its process id.

    NotFound if it does not run (dead sockets are then removed), Conflict if it is not of that kind,
    TimedOut. Time in seconds.
    """
    path = paths.control_socket(name)
    try:
        with client.Client(path, min(timeout, client.ANSWER_TIMEOUT)) as daemon:
            about = daemon.call("hello")
            if kind is not None and about["kind"] != kind:
                raise Conflict(f"{name} is an {about['kind']}.", f"Stop it with: dsttool daemon stop {name}")
            pid = int(daemon.peer_pid() or about["pid"])
            daemon.call("stop")
    except Unreachable:
        if not _is_dead(path):
            raise
        _remove_dead(name)
        raise NotFound(f"{name} is not running; it had died.", "Its dead sockets are now removed.") from None
    if not client.wait_gone(pid, timeout):
        raise TimedOut(
            f"{name} (process {pid}) has not ended within {timeout:g} s.",
            f"It may be flushing; see `dsttool daemon list` and `dsttool logs {name}`.",
        )
    return pid


def _is_dead(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        return probe.connect_ex(str(path)) == errno.ECONNREFUSED


def _remove_dead(name: str) -> None:
    try:
        with NameLock([name]):
            for path in (paths.control_socket(name), paths.nbd_socket(name), paths.dst_socket(name)):
                path.unlink(missing_ok=True)
    except DsttoolError:
        pass  # Somebody is just starting it again and has replaced them.


def _age(age_ns: int) -> str:
    seconds = max(1, age_ns // 1_000_000_000)
    for unit in (86_400, 3_600, 60):
        if seconds >= 2 * unit:
            return format_duration(seconds // unit * unit * 1_000_000_000)
    return f"{seconds}s"
