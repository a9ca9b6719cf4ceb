"""`array delete`: the configuration of an array is removed, and, if wanted, what is remembered of it."""

from collections.abc import Sequence
from pathlib import Path

import click

from dsttool.cli import render, severe
from dsttool.cli.dry_run import would
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config import durable, paths, state_file
from dsttool.engine.config.array_file import ArrayConfig, delete_array, load_array
from dsttool.engine.config.names import check_name
from dsttool.engine.config.toml_file import require
from dsttool.engine.control.lock import NameLock
from dsttool.engine.vocabulary.checkup import Deleted
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, from_oserror


@click.command(
    epilog="""\b
Examples:
  dsttool array down pool && dsttool array delete pool
  dsttool array delete pool --forget --confirm=pool"""
)
@click.argument("name")
@click.option("--forget", is_flag=True, help="Also forget which members missed writes when it last ran.")
@click.option("--confirm", metavar="NAME", help="The array's name, to go ahead unasked.")
@shared(confirms=True, changes=True)
def delete(settings: Settings, name: str, forget: bool, confirm: str | None) -> None:
    """Remove the configuration of the array NAME, which must be down; its nodes are not touched.

    What the nodes hold stays where it is: an array of the same nodes in the same order has the same content.
    What is remembered of it in the state folder stays, too, unless --forget is given: which members missed
    writes, and whether it was stopped cleanly. An array of that name over the same nodes then knows it. Once
    it is forgotten, members that missed writes would be taken for as good as the others.

    While it is up it is refused (exit 8). It is a severe act: what goes and what stays is shown, and the
    array's name has to be typed, or given with --confirm; without a terminal nobody is asked.

    With --forget an array that was never configured can be forgotten, too, one of `array up --layout`.
    """
    check_name(name)
    file, state = paths.array_file(name), paths.state_file(name)
    if not (forget and state.exists()):
        require(file, "array", paths.array_names())
    with _not_running(name):
        consequences = _consequences(name, forget=forget)
        if settings.dry_run:
            gone = [path for path, goes in ((file, True), (state, forget)) if goes and path.exists()]
            would(settings, [f"remove {path}" for path in gone])
            return
        severe.confirm(settings, name, consequences, confirm)
        answer: Deleted = {
            "schema": "dsttool.deleted/1",
            "name": name,
            "configuration": str(delete_array(name)) if file.exists() else None,
            "state": str(_remove(state)) if forget and state.exists() else None,
        }
    if settings.json:
        render.emit_json(settings, answer)
        return
    render.say(
        settings, f"{name} is {'not configured any more' if answer['configuration'] else 'forgotten'}."
    )
    if state.exists():
        render.say(settings, f"What is remembered of its members stays in {state}.")


def _not_running(name: str) -> NameLock:
    """Keep it from being brought up meanwhile. Conflict if it is up."""
    try:
        return NameLock([name])
    except Conflict:
        raise Conflict(f"{name} is up.", f"Take it down first: dsttool array down {name}") from None


def _consequences(name: str, *, forget: bool) -> list[str]:
    lines = []
    config = _config(name)
    if paths.array_file(name).exists():
        lines.append(f"The configuration of {name} is removed: {paths.array_file(name)}.")
    if config is not None:
        nodes = ", ".join(str(node.bare()) for node in config.nodes)
        lines.append(f"What its nodes hold stays as it is: {nodes}.")
        lines += [f"The array {each} is made of {name}, and will not come up." for each in _made_of_it(name)]
    lines += _remembered(name, forget=forget)
    return lines


def _config(name: str) -> ArrayConfig | None:
    """The configuration, as far as it can be understood: one that is wrong can be removed, too."""
    try:
        return load_array(name)
    except DsttoolError:
        return None


def _made_of_it(name: str) -> Sequence[str]:
    """Other configured arrays with this one as a node, by its name or its sockets."""
    sockets = {str(paths.dst_socket(name)), str(paths.nbd_socket(name))}
    found = []
    for other in paths.array_names():
        config = None if other == name else _config(other)
        for node in config.nodes if config else ():
            path = node.endpoint.path if node.endpoint is not None else ""
            if (node.kind == "name" and node.export == name) or path in sockets:
                found.append(other)
                break
    return found


def _remembered(name: str, *, forget: bool) -> list[str]:
    """What is known of its members, and what becomes of that."""
    path = paths.state_file(name)
    if not path.exists():
        return ["Nothing is remembered of its members."]
    try:
        state = state_file.load(name)
    except DsttoolError as error:
        return [f"{error.what} {'That is forgotten.' if forget else 'That stays.'}"]
    assert state is not None, "the file is there"
    behind = [node for node, member in zip(state.nodes, state.members) if member != "in_sync"]
    known = [f"that {' and '.join(behind)} missed writes"] if behind else ["that all members hold the same"]
    if not state.clean:
        known.append("that it was not stopped cleanly")
    if not forget:
        return [f"It stays remembered {' and '.join(known)}: {path}."]
    lines = [f"It is forgotten {' and '.join(known)}: {path}."]
    if behind:
        lines.append(f"{' and '.join(behind)} would then be taken for as good as the others.")
    return lines


def _remove(path: Path) -> Path:
    try:
        durable.remove(path)
    except OSError as error:
        raise from_oserror(error, f"remove {path}") from error
    return path
