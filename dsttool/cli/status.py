"""`status` and `uri`: what runs, what it means, what to do."""

from collections.abc import Sequence
from typing import Any, Final

import click

from dsttool.cli import render
from dsttool.cli.array_status import show_array, show_clients
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config import paths
from dsttool.engine.config.units import format_size
from dsttool.engine.control import client
from dsttool.engine.vocabulary.errors import Conflict, NotFound, Unreachable
from dsttool.engine.vocabulary.status import ArrayStatus, DaemonStatus, ExportStatus, Status
from dsttool.engine.vocabulary.suggest import suggest

_EXPORT_ADVICE: Final = {
    "waiting": "{name} waits: no client's key is authorised for it yet. See `dsttool key authorize --help`.",
    "failed": "{name} has failed, and so do its requests: its device is gone. See `dsttool logs {name}`.",
}
# Exit codes of `status --exit-code`.
_DEGRADED: Final = 10
_FAILED: Final = 11


@click.command()
@click.argument("name", required=False)
@click.option("--exit-code", is_flag=True, help="Exit with 10 if something is degraded, 11 if it failed.")
@shared(waits=True)
def status(settings: Settings, name: str | None, exit_code: bool) -> None:
    """Show the state of everything that runs on this machine, or of NAME."""
    found = client.gather(paths.runtime_dir(), settings.timeout or client.ANSWER_TIMEOUT)
    if name is not None:
        found = _only(found, name)
    if settings.json:
        lines = [{"type": kind[:-1], **entry} for kind, entry in _entries(found)]
        render.emit_json(settings, found, lines)
    elif settings.format == "plain":
        for kind, entry in _entries(found):
            size = entry.get("size_bytes")
            click.echo(f"{kind[:-1]}\t{entry['name']}\t{entry['state']}\t{'' if size is None else size}")
    else:
        _show(settings, found, named=name is not None)
    if exit_code:
        click.get_current_context().exit(_worst(found))


@click.command()
@click.argument("name")
@shared(waits=True)
def uri(settings: Settings, name: str) -> None:
    """Print the address at which NBD clients on this machine reach NAME."""
    found = _only(client.gather(paths.runtime_dir(), settings.timeout or client.ANSWER_TIMEOUT), name)
    served: Sequence[ArrayStatus | ExportStatus] = [*found["arrays"], *found["exports"]]
    addresses = [address for each in served for address in each["addresses"]]
    nbd = next((a for a in addresses if a.startswith("nbd+unix")), None)
    if nbd is None:
        raise Conflict(f"{name} serves nobody over NBD.", f"See `dsttool status {name}`.")
    if settings.json:
        render.emit_json(
            settings, {"schema": "dsttool.uri/1", "name": name, "uri": nbd, "addresses": addresses}
        )
    else:
        click.echo(nbd)


def _only(found: Status, name: str) -> Status:
    """What there is of `name`. NotFound if that is nothing; Unreachable if its daemon does not answer."""
    arrays = [each for each in found["arrays"] if each["name"] == name]
    exports = [each for each in found["exports"] if each["name"] == name]
    daemons = [each for each in found["daemons"] if name == each["name"] or name in each["serves"]]
    if arrays or exports:
        return {"schema": found["schema"], "arrays": arrays, "exports": exports, "daemons": daemons}
    for daemon in daemons:
        raise Unreachable(
            f"The daemon {name} cannot be reached: {daemon['reason']}.",
            f"It may have died; starting it again replaces {daemon['socket']}.",
        )
    if name in paths.array_names():
        raise NotFound(f"The array {name} is configured, but not up.", f"Start it: dsttool array up {name}")
    if name in paths.export_names():
        raise NotFound(
            f"The export {name} is configured, but not running.", f"Start it: dsttool export -d {name}"
        )
    running = [each["name"] for each in (*found["arrays"], *found["exports"])]
    near = suggest(name, running)
    raise NotFound(
        f"Nothing called {name} is running.",
        f"Did you mean {near}?" if near else "`dsttool status` lists what runs.",
    )


def _entries(found: Status) -> list[tuple[str, Any]]:
    kinds: list[tuple[str, Sequence[Any]]] = [
        ("arrays", found["arrays"]),
        ("exports", found["exports"]),
        ("daemons", found["daemons"]),
    ]
    return [(kind, entry) for kind, entries in kinds for entry in entries]


def _worst(found: Status) -> int:
    states = {each["state"] for each in (*found["arrays"], *found["exports"], *found["daemons"])}
    if states & {"failed", "unreachable"}:
        return _FAILED
    return _DEGRADED if states & {"degraded", "frozen"} else 0


def _show(settings: Settings, found: Status, *, named: bool) -> None:
    """State, what it means, what to do; then what runs. Blank lines between the blocks.

    named: somebody asks for one of them, and is told of its clients as well.
    """
    lost = [each for each in found["daemons"] if each["state"] == "unreachable"]
    for index, array in enumerate(found["arrays"]):
        if index:
            click.echo()
        show_array(settings, array, clients=named)
    if found["exports"]:
        if found["arrays"]:
            click.echo()
        _show_exports(settings, found["exports"])
        for export in found["exports"] if named else ():
            show_clients(settings, export["sessions"])
    if lost:
        if found["arrays"] or found["exports"]:
            click.echo()
        _show_lost(settings, lost)
    if not found["daemons"]:
        render.say(settings, "Nothing is running. `dsttool demo` shows what could.")


def _show_exports(settings: Settings, exports: Sequence[ExportStatus]) -> None:
    render.table(
        settings,
        ("EXPORT", "STATE", "SIZE", "CLIENTS", "READS", "WRITES", "ERRORS", "DEVICE", "ADDRESS"),
        [
            (
                export["name"],
                render.state(settings, export["state"]),
                format_size(export["size_bytes"]),
                str(len(export["sessions"])),
                str(export["reads"]),
                str(export["writes"]),
                str(export["errors"]),
                export["device"],
                export["addresses"][0] if export["addresses"] else render.UNKNOWN,
            )
            for export in exports
        ],
        right=("SIZE", "CLIENTS", "READS", "WRITES", "ERRORS"),
    )
    for export in exports:
        if export["state"] in _EXPORT_ADVICE:
            click.echo(_EXPORT_ADVICE[export["state"]].format(name=export["name"]))


def _show_lost(settings: Settings, lost: Sequence[DaemonStatus]) -> None:
    for daemon in lost:
        click.echo(
            f"{daemon['name']}  {render.state(settings, 'unreachable')}: {daemon['reason']}", color=True
        )
    click.echo("Starting a daemon again replaces its dead socket; `dsttool logs NAME` may say why it ended.")
