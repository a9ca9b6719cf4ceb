"""What `--dry-run` asks of daemons that do not run yet: everything is looked at as if they were started.

Devices are opened read-only, as `info` does it, and closed again; ports are listened on for a moment, to see
whether they are free; no file is written, no socket made. What the real start would be refused for raises
the same error.
"""

import errno
import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dsttool.engine.config import key_files, paths
from dsttool.engine.config.listen import Listen
from dsttool.engine.config.named_keys import key_file
from dsttool.engine.config.units import format_size
from dsttool.engine.control.place import Local
from dsttool.engine.device.device import Device
from dsttool.engine.host import run_array
from dsttool.engine.host.array_plan import ArrayPlan
from dsttool.engine.host.array_state import History
from dsttool.engine.host.ending import close_all
from dsttool.engine.host.open_node import Opening, open_one
from dsttool.engine.host.run_export import ExportPlan, Offered
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, Forbidden, NotFound


def export(plan: ExportPlan) -> list[str]:
    """What `run_export.run` of the plan would do. Raises what it would."""
    refuse_running(plan.names)
    reactor = Reactor()
    try:
        acts = [act for each in plan.offered for act in _offered(reactor, each, _places(plan, each.name))]
        _check_places(reactor, plan.listens)
    finally:
        reactor.close()
    return acts


def array(plan: ArrayPlan) -> list[str]:
    """What `run_array.run` of the plan would do. Raises what it would."""
    refuse_running([plan.name])
    history = History(plan)
    states = history.states_to_begin_with()
    openings = [
        replace(opening, read_only=True, mapped=False, takeover=False, retain=False)
        for opening in run_array.openings(plan, plan.policies())
    ]
    reactor = Reactor()
    nodes: list[Device | None] = []
    try:
        nodes = run_array.open_members(reactor, replace(plan, wait_ns=0), states, openings)
        run_array.check_vouched(plan, history, nodes)
        history.check_storage(nodes, states)
        size = plan.algorithm(run_array.sizes(nodes)).size
        close_all(reactor, [node for node in nodes if node is not None])
        _check_places(reactor, plan.listens)
    finally:
        reactor.close()
    return _brought_up(plan, nodes, size)


def refuse_running(names: Sequence[str]) -> None:
    """Conflict if one of the names is served already."""
    runtime = Local(paths.runtime_dir())
    for name in names:
        if not paths.control_socket(name).exists():
            continue
        try:
            with runtime.connect(name) as daemon:
                daemon.call("hello")
        except DsttoolError:
            continue  # Whoever had it has died.
        raise Conflict(
            f"{name} is already running.",
            f"Use another name, or stop it first: dsttool daemon stop {name}",
        )


def _check_places(reactor: Reactor, listens: Sequence[Listen]) -> None:
    """Raises what listening there would be refused with."""
    for listen in listens:
        if listen.key:
            key_files.load_key(key_file(listen.key))
        if listen.endpoint.family == "unix":
            _check_socket(listen.endpoint)
            continue
        for endpoint in reactor.network.resolve(listen.endpoint):
            reactor.network.listen(endpoint).close()


def _check_socket(endpoint: Endpoint) -> None:
    folder = Path(endpoint.path).parent
    if not folder.is_dir():
        raise NotFound(f"Cannot listen on {endpoint}: there is no folder {folder}.", "Make it.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Forbidden(f"Cannot listen on {endpoint}: {folder} cannot be written.", "Run as a user who may.")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        # Of a listener whose queue is full nobody learns but that there is one.
        if probe.connect_ex(endpoint.path) in (0, errno.EAGAIN):
            raise Conflict(f"Cannot listen on {endpoint}: the address is in use.", "Choose another one.")


def _offered(reactor: Reactor, each: Offered, places: str) -> list[str]:
    access = "read-only" if each.read_only else "read-write"
    address = each.device
    if address.kind == "file" and not Path(address.path).exists():
        if each.size is None:
            raise NotFound(
                f"Cannot open {address.path}: No such file or directory.",
                "Check the path, or create a sparse file there with --size.",
            )
        size = format_size(each.size)
        return [
            f"create {address.path} with {size}, sparse",
            f"serve it as {each.name}, {access}, at {places}",
        ]
    device = open_one(reactor, Opening(address, read_only=True, size=each.size))
    size = format_size(device.capabilities.size)
    close_all(reactor, [device])
    return [f"serve {address.bare()} ({size}) as {each.name}, {access}, at {places}"]


def _places(plan: ExportPlan, name: str) -> str:
    """Where clients would reach an export."""
    own = f"nbd+unix:///?socket={paths.nbd_socket(name)}"
    others = [str(place) for place in plan.listens] or ["the DST port for authorised keys"]
    return ", ".join((own, *others))


def _brought_up(plan: ArrayPlan, nodes: Sequence[Device | None], size: int) -> list[str]:
    names = plan.member_names
    made_of = ", ".join(f"{name} ({node.bare()})" for name, node in zip(names, plan.config.nodes))
    acts = [f"bring up {plan.name}, {format_size(size)}: {plan.config.layout} of {made_of}"]
    absent = [name for name, node in zip(names, nodes) if node is None]
    if absent:
        acts.append(
            f"go without {' and '.join(absent)} until {'they are' if len(absent) > 1 else 'it is'} there"
        )
    if plan.source is not None:
        acts.append(f"copy all of {names[plan.source]} onto the other members")
    if plan.listens:
        acts.append(f"serve {plan.name} at {', '.join(str(place) for place in plan.listens)} too")
    return acts
