"""`daemon list`, `daemon stop`, `daemon tune` and `logs`."""

import os
import sys
from contextlib import nullcontext
from pathlib import Path

import click

from dsttool.cli import render
from dsttool.cli.asking import ask, gather, place
from dsttool.cli.dry_run import would
from dsttool.cli.ending import STOP_TIMEOUT, Term, agreed, end, would_end
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config import paths
from dsttool.engine.config.names import check_name
from dsttool.engine.config.units import format_duration
from dsttool.engine.control import gathering
from dsttool.engine.control.appearing import News
from dsttool.engine.control.place import Local
from dsttool.engine.vocabulary.errors import Conflict, NotFound


@click.command("list")
@shared(waits=True, asks=True)
def list_daemons(settings: Settings) -> None:
    """List the daemons of this machine: what they serve, since when, and of which release they are.

    One that has died without a goodbye is `unreachable`; starting it again replaces the sockets it left, and
    `daemon stop` removes them.
    """
    found = gather(settings)["daemons"]
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
                render.figure(settings, each["since_ns"], _age),
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
@shared(confirms=True, waits=True, changes=True, asks=True)
def stop(settings: Settings, names: tuple[str, ...]) -> None:
    """End daemons cleanly and wait until they have ended.

    A daemon finishes what its clients have asked for, flushes, and takes leave of them. If it serves a member
    of an array on this machine, or has other clients, that is said, and whoever is at the terminal is asked;
    a script is told, and it is done. It stops at the first failure. --timeout is the time that all of them
    have together; without it each has 90 s.
    """
    stopped, acts = [], []
    term = None if settings.dry_run else agreed(settings, names)
    with place(settings) as chosen:
        for name in names:
            daemon = gathering.find(chosen, check_name(name))
            if daemon != name:
                raise Conflict(
                    f"{name} is served by the daemon {daemon}, together with others.",
                    f"Stop all of them: dsttool daemon stop {daemon}",
                )
            if settings.dry_run:
                acts.append(would_end(chosen, name))
                continue
            pid = end(chosen, name, term or Term(STOP_TIMEOUT))
            stopped.append({"name": name, "pid": pid})
            render.say(settings, f"{name} has ended.")
    if settings.dry_run:
        would(settings, acts)
    elif settings.json:
        render.emit_json(settings, {"schema": "dsttool.stopped/1", "daemons": stopped}, stopped)


@click.command()
@click.argument("name")
@click.option(
    "--crypto-threads",
    type=click.IntRange(min=0),
    help="Threads that seal and open large records; 0 to do all of it on the main thread.",
)
@shared(waits=True, changes=True, asks=True)
def tune(settings: Settings, name: str, crypto_threads: int | None) -> None:
    """Show how many threads a daemon seals with, or change it while it runs.

    These threads seal and open large records, beside the main thread, which does the small ones. More of them
    help where links are sealed and processors idle. A daemon begins with $DSTTOOL_CRYPTO_THREADS, else with
    crypto_threads under [daemon] in dsttool.toml, else with 1.
    """
    if settings.dry_run and crypto_threads is not None:
        before = ask(settings, name, "crypto.threads")["threads"]
        act = f"have {name} seal with {crypto_threads} threads instead of {before}"
        would(settings, [act] if crypto_threads != before else [])
        return
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
        path = paths.log_file(gathering.find(Local(paths.runtime_dir()), name))
    try:
        with News(path.parent, written=True) if follow and path.exists() else nullcontext() as news:
            while _print_log(path, news):
                pass
    except FileNotFoundError:
        raise NotFound(
            f"{name} has no log file.", "It runs in the foreground, and logs to where it was started."
        ) from None


def _print_log(path: Path, news: News | None) -> bool:
    """Print a log; with news of its folder until the daemon has put it aside, and then True: there is a new
    one.
    """
    with path.open(errors="replace") as log:
        while True:
            # Asked first: what was written before it was put aside is still printed.
            aside = not path.exists() or path.stat().st_ino != os.fstat(log.fileno()).st_ino
            for line in log:
                sys.stdout.write(line)
            sys.stdout.flush()
            if news is None:
                return False
            if aside and path.exists():
                return True
            news.wait(None)


def _age(age_ns: int) -> str:
    seconds = max(1, age_ns // 1_000_000_000)
    for unit in (86_400, 3_600, 60):
        if seconds >= 2 * unit:
            return format_duration(seconds // unit * unit * 1_000_000_000)
    return f"{seconds}s"
