"""Checks of `doctor` that concern what runs, or should: daemons, what dead ones left, ports, nodes."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import dsttool
from dsttool.cli.doctor_checks import Patient, failed, ok, warning
from dsttool.engine.config import paths
from dsttool.engine.config.address import Address, parse_address
from dsttool.engine.config.array_file import load_array
from dsttool.engine.config.export_file import load_export
from dsttool.engine.config.listen import Listen
from dsttool.engine.config.units import format_size
from dsttool.engine.vocabulary.checkup import Finding
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.status import MemberStatus

_SOCKETS: Final = (".sock", ".nbd", ".dst")


def daemons(patient: Patient) -> Iterator[Finding]:
    """Whether each daemon answers, and is of this release."""
    for each in patient.status["daemons"]:
        name = each["name"]
        if not any(patient.concerns(served) for served in (name, *each["serves"])):
            continue
        if each["state"] == "unreachable":
            if not _is_locked(paths.runtime_dir() / f"{name}.lock"):
                continue  # `leftovers` tells
            yield failed(
                "daemon",
                f"It does not answer: {each['reason']}.",
                f"See dsttool logs {name}; if it hangs, end its process.",
                name,
            )
        elif each["version"] != dsttool.__version__:
            yield warning(
                "daemon",
                f"It is dsttool {each['version']}, and this is {dsttool.__version__}.",
                f"Restart it when that is possible: dsttool daemon stop {name}",
                name,
            )
        else:
            yield ok("daemon", f"It answers: {each['state']}.", name)


def leftovers(patient: Patient) -> Iterator[Finding]:
    """Sockets and locks of daemons that have died."""
    folder = paths.runtime_dir()
    try:
        files = sorted(folder.iterdir())
    except FileNotFoundError:
        return
    names = {
        path.stem for path in files if path.suffix in (*_SOCKETS, ".lock") and not path.name.startswith(".")
    }
    served = {name for each in patient.status["daemons"] for name in each["serves"]}
    places = _listened_at(patient)
    for name in sorted(names - served):
        if not patient.concerns(name) or _is_locked(folder / f"{name}.lock"):
            continue
        left = [path.name for path in files if path.stem == name and path.suffix in (*_SOCKETS, ".lock")]
        left = [each for each in left if str(folder / each) not in places]
        if not left:
            continue
        yield warning(
            "leftovers",
            f"A daemon has died and left {', '.join(left)}.",
            f"Starting {name} again replaces them; dsttool daemon stop {name} removes them.",
            name,
        )


def _listened_at(patient: Patient) -> set[str]:
    """Unix sockets that daemons are asked to listen at; they may be in the runtime folder, too."""
    offers = [*patient.status["arrays"], *patient.status["exports"]]
    endpoints = [parse_address(address).endpoint for each in offers for address in each["addresses"]]
    return {each.path for each in endpoints if each is not None and each.family == "unix"}


def _is_locked(path: Path) -> bool:
    """Whether a daemon that lives holds the lock; nothing is changed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def ports(patient: Patient) -> Iterator[Finding]:
    """Whether what is configured could be listened on now, or is what a daemon of ours listens on."""
    for name in (*patient.arrays, *patient.exports):
        for listen in _listens(name):
            yield _port(patient, name, listen)


def _listens(name: str) -> Sequence[Listen]:
    """The places that are configured for an array or export; none if its file is not sound."""
    found: list[Listen] = []
    for names, load in ((paths.array_names(), load_array), (paths.export_names(), load_export)):
        try:
            if name in names:
                found += load(name).listen
        except DsttoolError:
            continue  # the configuration's check tells
    return found


def _port(patient: Patient, name: str, listen: Listen) -> Finding:
    check, subject, place = "listen", name, listen.endpoint
    if name in {each["name"] for each in patient.running}:
        addresses = [
            address for each in patient.running if each["name"] == name for address in each["addresses"]
        ]
        if any(_is_of(address, place) for address in addresses):
            return ok(check, f"{place} is served by it.", subject)
    if place.family == "unix":
        return _unix(subject, place)
    if place.family not in ("tcp", "mptcp"):
        return ok(check, f"{place} is not tried.", subject)
    refused = _why_not_bound(place)
    if refused is None:
        return ok(check, f"{place} is free.", subject)
    advice = {
        errno.EADDRINUSE: f"See who has it: ss -ltnp 'sport = :{place.port}'; end that, or choose another.",
        errno.EADDRNOTAVAIL: "It is no address of this machine: see `ip address`.",
        errno.EACCES: "Ports below 1024 are for root; choose a higher one.",
    }.get(refused, "Check the address.")
    return failed(check, f"{place} cannot be listened on: {os.strerror(refused)}.", advice, subject)


def _is_of(address: str, place: Endpoint) -> bool:
    """Whether an address at which something is served is this place."""
    endpoint = parse_address(address).endpoint
    if endpoint is None or endpoint.family != place.family:
        return False
    return endpoint.path == place.path if place.family == "unix" else endpoint.port == place.port


def _unix(subject: str, place: Endpoint) -> Finding:
    folder = Path(place.path).parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        advice = "Make the folder, or correct the path."
        return failed("listen", f"No socket can be made in {folder}.", advice, subject)
    return ok("listen", f"{place} can be made.", subject)


def _why_not_bound(place: Endpoint) -> int | None:
    """The errno that listening there would end with; None if it can be done."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            # Two may be bound with the option as long as neither listens.
            probe.listen(1)
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    except OSError as error:
        return error.errno or errno.EINVAL
    return None


def nodes(patient: Patient) -> Iterator[Finding]:
    """Whether the nodes of arrays can be reached: asked of those that run, tried for the others."""
    running = {each["name"]: each for each in patient.status["arrays"] if patient.concerns(each["name"])}
    for array in running.values():
        for member in array["members"]:
            yield _member(array["name"], member)
    waiting: list[tuple[str, Address]] = []
    for name in patient.arrays:
        if name not in running:
            try:
                config = load_array(name)
            except DsttoolError:
                continue  # the configuration's check tells
            waiting += [
                (f"{name}/{node.name or f'n{slot}'}", node)
                for slot, node in enumerate(config.nodes)
                if node.kind != "mem"
            ]
    if waiting:
        yield from _probed(waiting, patient.timeout)


def _member(array: str, member: MemberStatus) -> Finding:
    check, subject, link = "node", f"{array}/{member['name']}", member["link"]
    if member["state"] in ("missing", "faulty"):
        advice = f"Bring back what is at {member['address']}; see dsttool status {array}."
        return failed(check, f"It is {member['state']}.", advice, subject)
    if link is not None and link["state"] != "up":
        says = f"Its link is {link['state']}."
        return failed(check, says, f"See whether {member['address']} runs and can be reached.", subject)
    trip = "" if link is None or link["rtt_ns"] is None else f", {link['rtt_ns'] / 1e6:.2f} ms away"
    return ok(check, f"It is {member['state'].replace('_', ' ')}{trip}.", subject)


def _probed(nodes: Sequence[tuple[str, Address]], timeout: float) -> Iterator[Finding]:
    from dsttool.engine.host.probing import probe

    found = probe([address for _, address in nodes], int(timeout * 1e9))
    for (subject, address), each in zip(nodes, found):
        if each.error is not None:
            yield failed("node", each.error.what, each.error.advice, subject)
        else:
            assert each.size is not None
            spoken = {"dst": " It speaks DST/2.", "nbd": " It speaks NBD."}.get(address.kind, "")
            yield ok("node", f"{format_size(each.size)} at {address.bare()}.{spoken}", subject)
