"""The status for people: state, what it means, what to do, what runs; and in one number."""

from collections.abc import Sequence
from typing import Any, Final

import click

from dsttool.cli import render
from dsttool.cli.array_status import show_array, show_clients
from dsttool.cli.asking import configured, connect
from dsttool.cli.settings import Settings
from dsttool.engine.config.units import format_size
from dsttool.engine.vocabulary.errors import NotFound, Unreachable
from dsttool.engine.vocabulary.status import DaemonStatus, ExportStatus, Status
from dsttool.engine.vocabulary.suggest import suggest

_EXPORT_ADVICE: Final = {
    "waiting": "{name} waits: no client's key is authorised for it yet. See `dsttool key authorize --help`.",
    "failed": "{name} has failed, and so do its requests: its device is gone. See `dsttool logs {name}`.",
}
# Exit codes of `status --exit-code`.
_DEGRADED: Final = 10
_FAILED: Final = 11
# States in which requests do not get done: a frozen array holds them until somebody decides.
_NOTHING_DONE: Final = frozenset({"failed", "frozen", "unreachable"})


def only(settings: Settings, found: Status, name: str) -> Status:
    """What there is of `name`. NotFound if that is nothing; Unreachable if its daemon does not answer."""
    arrays = [each for each in found["arrays"] if each["name"] == name]
    exports = [each for each in found["exports"] if each["name"] == name]
    daemons = [each for each in found["daemons"] if name == each["name"] or name in each["serves"]]
    if arrays or exports:
        return {"schema": found["schema"], "arrays": arrays, "exports": exports, "daemons": daemons}
    for daemon in daemons:
        with connect(settings, daemon["name"]):
            pass  # Who may not, or finds nobody there, is told so.
        raise Unreachable(
            f"The daemon {name} cannot be reached: {daemon['reason']}.",
            f"See `dsttool logs {daemon['name']}`; if it hangs, end its process.",
        )
    running = [each["name"] for each in (*found["arrays"], *found["exports"])]
    near = suggest(name, running)
    nothing = NotFound(
        f"Nothing called {name} is running.",
        f"Did you mean {near}?" if near else "`dsttool status` lists what runs.",
    )
    raise configured(settings, name, nothing)


def entries(found: Status) -> list[tuple[str, Any]]:
    """Everything, with its kind: "arrays", "exports" or "daemons"."""
    kinds: list[tuple[str, Sequence[Any]]] = [
        ("arrays", found["arrays"]),
        ("exports", found["exports"]),
        ("daemons", found["daemons"]),
    ]
    return [(kind, entry) for kind, entries in kinds for entry in entries]


def worst(found: Status) -> int:
    """The exit code of `status --exit-code`."""
    states = {each["state"] for each in (*found["arrays"], *found["exports"], *found["daemons"])}
    if states & _NOTHING_DONE:
        return _FAILED
    return _DEGRADED if "degraded" in states else 0


def show_status(settings: Settings, found: Status, *, named: bool) -> None:
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
    click.echo("`dsttool doctor` says what to do about it; `dsttool logs NAME` may say why it ended.")
