"""`array down`, `list`, `show`."""

from typing import Any

import click

from dsttool.cli import render
from dsttool.cli.asking import gather, is_here, place
from dsttool.cli.dry_run import would
from dsttool.cli.ending import STOP_TIMEOUT, Term, agreed, end, would_end
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config import paths
from dsttool.engine.config.array_file import ArrayConfig, load_array
from dsttool.engine.config.names import check_name
from dsttool.engine.config.units import format_exact_size
from dsttool.engine.vocabulary.errors import NotFound
from dsttool.engine.vocabulary.status import ArrayStatus


@click.command(
    epilog="""\b
Examples:
  dsttool array down pool
  dsttool array down tree pool --yes"""
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@shared(confirms=True, waits=True, changes=True, asks=True)
def down(settings: Settings, names: tuple[str, ...]) -> None:
    """Stop arrays cleanly and wait until nothing of them runs any more.

    An array finishes what its clients have asked for, flushes its nodes, and notes that it was stopped
    cleanly. Clients lose it: who they are is said, and whoever is at the terminal is asked; a script is
    told, and it is done. It stops at the first failure. --timeout is the time that all of them have together;
    without it each has 90 s.
    """
    stopped, acts = [], []
    term = None if settings.dry_run else agreed(settings, names)
    with place(settings) as chosen:
        for name in names:
            check_name(name)
            try:
                if settings.dry_run:
                    acts.append(would_end(chosen, name, kind="array"))
                    continue
                pid = end(chosen, name, term or Term(STOP_TIMEOUT), kind="array")
            except NotFound:
                _check_known(settings, name)
                raise
            stopped.append({"name": name, "pid": pid})
            render.say(settings, f"{name} is down.")
    if settings.dry_run:
        would(settings, acts)
    elif settings.json:
        render.emit_json(settings, {"schema": "dsttool.stopped/1", "daemons": stopped}, stopped)


@click.command("list")
@shared(waits=True, asks=True)
def list_arrays(settings: Settings) -> None:
    """List arrays: those that are configured, and those that are up.

    One that is configured and not up has the state `down`, and one whose daemon does not answer the state
    `unreachable`. One that is not configured was brought up from a command line, and is gone once it is down.
    """
    entries = [_entry(settings, name, found) for name, found in sorted(_all(settings).items())]
    if settings.json:
        render.emit_json(settings, {"schema": "dsttool.arrays/1", "arrays": entries}, entries)
        return
    if not entries and settings.format == "table":
        render.say(settings, "There are no arrays.")
        return
    render.table(
        settings,
        ("ARRAY", "LAYOUT", "STATE", "SIZE", "MEMBERS", "CONFIGURED"),
        [
            (
                entry["name"],
                entry["layout"],
                render.state(settings, entry["state"]),
                render.size(settings, entry["size_bytes"]),
                str(len(entry["nodes"])),
                "yes" if entry["configured"] else "no",
            )
            for entry in entries
        ],
        right=("SIZE", "MEMBERS"),
    )


@click.command()
@click.argument("name")
@shared(waits=True, asks=True)
def show(settings: Settings, name: str) -> None:
    """Show what the array NAME is made of: its layout, its nodes, and where it is served.

    It is what is configured; of an array that is not, what runs. `status NAME` says how it is, and `config
    show array NAME` which of its values are set where.
    """
    found = _all(settings)
    if name not in found:
        if not is_here(settings):
            raise NotFound(f"No array called {name} is up there.", "`dsttool status` lists what runs.")
        load_array(name)  # Its NotFound knows the names that are configured.
    entry = _entry(settings, name, found[name])
    if settings.json:
        render.emit_json(settings, {"schema": "dsttool.array/1", **entry})
        return
    for key in ("name", "layout", "state", "size_bytes", "chunk_bytes", "read_policy", "configured"):
        if entry[key] is not None:
            _line(settings, key.removesuffix("_bytes"), _word(settings, key, entry[key]))
    for node in entry["nodes"]:
        _line(settings, "node", node["name"], node["address"])
    for address in entry["listen"]:
        _line(settings, "listen", address)


def _line(settings: Settings, key: str, *words: str) -> None:
    if settings.format == "plain":
        click.echo("\t".join((key, *words)))
    else:
        click.echo(f"{key:<12}{'  '.join(words)}", color=True)


def _all(settings: Settings) -> dict[str, ArrayStatus | str]:
    """Every array by name: its status if it is up, else the word for what it is instead."""
    found: dict[str, ArrayStatus | str] = {}
    if is_here(settings):
        found.update(dict.fromkeys(paths.array_names(), "down"))
    status = gather(settings)
    # A daemon has the name of the first thing that it serves. What else is silent, nobody can tell.
    silent = [each["name"] for each in status["daemons"] if each["state"] == "unreachable"]
    found.update(dict.fromkeys(found.keys() & silent, "unreachable"))
    found.update({each["name"]: each for each in status["arrays"]})
    return found


def _entry(settings: Settings, name: str, found: ArrayStatus | str) -> dict[str, Any]:
    """One array for `list` and `show`: what is configured, else what runs."""
    running = None if isinstance(found, str) else found
    configured = is_here(settings) and name in paths.array_names()
    config = load_array(name) if configured else None
    entry: dict[str, Any] = {
        "name": name,
        "configured": config is not None,
        "state": found if isinstance(found, str) else found["state"],
        "layout": config.layout if config else running["layout"] if running else None,
        "size_bytes": running["size_bytes"] if running else None,
        "chunk_bytes": config.chunk if config else None,
        "read_policy": config.read_policy if config else None,
        "nodes": _nodes(config, running),
        "listen": [str(place) for place in config.listen] if config else [],
    }
    return entry


def _nodes(config: ArrayConfig | None, running: ArrayStatus | None) -> list[dict[str, str | None]]:
    if config is not None:
        return [
            {"name": node.name or f"n{slot}", "address": str(node.named(""))}
            for slot, node in enumerate(config.nodes)
        ]
    members = running["members"] if running else []
    return [{"name": member["name"], "address": member["address"]} for member in members]


def _word(settings: Settings, key: str, value: Any) -> str:
    if key == "state":
        return render.state(settings, value)
    if key == "size_bytes":
        return render.size(settings, value)
    if key == "chunk_bytes":
        return render.figure(settings, value, format_exact_size)
    if key == "configured":
        return "yes" if value else "no"
    return str(value)


def _check_known(settings: Settings, name: str) -> None:
    """NotFound for a name that nobody knows, with a nearer one; nothing if it is configured."""
    if is_here(settings) and name in paths.array_names():
        raise NotFound(f"The array {name} is not up.", f"Bring it up: dsttool array up {name}")
