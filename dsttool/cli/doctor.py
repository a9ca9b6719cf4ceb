"""`doctor`: looks at everything that can be wrong on a machine, and says what to do about it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final

import click

from dsttool.cli import doctor_daemons, doctor_files, doctor_system, render
from dsttool.cli.asking import places
from dsttool.cli.doctor_checks import Check, Patient
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config import paths
from dsttool.engine.config.names import check_name
from dsttool.engine.control import client
from dsttool.engine.control.place import Local, Place
from dsttool.engine.vocabulary.checkup import Doctor, Finding
from dsttool.engine.vocabulary.errors import DsttoolError, NotFound
from dsttool.engine.vocabulary.suggest import suggest

# In the order in which they are shown. What concerns one array or export only follows what concerns all.
CHECKS: Final[dict[str, Check]] = {
    "version": doctor_system.versions,
    "library.ciphers": doctor_system.ciphers,
    "limits.files": doctor_system.file_limits,
    "kernel.nbd": doctor_system.kernel_nbd,
    "clock.local": doctor_system.local_clock,
    "systemd.units": doctor_system.units,
    "folder": doctor_files.folders,
    "folder.sockets": doctor_files.socket_paths,
    "config": doctor_files.configuration,
    "key": doctor_files.own_keys,
    "key.of": doctor_files.used_keys,
    "key.authorized": doctor_files.authorised_keys,
    "daemon": doctor_daemons.daemons,
    "leftovers": doctor_daemons.leftovers,
    "listen": doctor_daemons.ports,
    "node": doctor_daemons.nodes,
}
_STATES: Final = ("failed", "warning", "unknown", "ok")


@click.command(
    epilog="""\b
Examples:
  dsttool doctor
  dsttool doctor pool --timeout 2s
  dsttool doctor --host ssh://backup
  dsttool doctor --json | jq '.findings[] | select(.state == "failed")'"""
)
@click.argument("name", required=False)
@shared(waits=True, asks=True)
def doctor(settings: Settings, name: str | None) -> None:
    """Check this machine, and say what to do about what is not as it should be.

    It looks at the versions of dsttool, Python and the library that seals links; at how many files a daemon
    may open; at the kernel's nbd; at whether the clock is synchronised; at systemd's units of dsttool, if
    there are any; at the folders of configuration, sockets and state, who may write there and how much room
    is left; at key files, and the list of authorised keys; at all that is configured; at daemons that run,
    and what others left that died; at whether the places to listen on are free or ours; and at the nodes of
    arrays, all at the same time.

    --host names other machines to ask, too: whether they can be reached, which releases their daemons are of,
    and how far their clocks are from this one's. What clocks say of machines that are only reached as nodes
    nobody knows.

    With NAME, what concerns arrays and exports is about that one only. --timeout is the time that each daemon
    and each node has to answer (5s). Nothing is changed, anywhere.

    A finding is `ok`; a `warning`, which is worth a look; `failed`, which does not work or is not safe; or
    `unknown`, where nobody can tell. It exits with 1 if anything has failed, else with 0.
    """
    patient = Patient(name, settings.timeout or client.ANSWER_TIMEOUT)
    _check_known(patient)
    with places(settings) as machines:
        others = {
            each.name: partial(_other, each, patient.timeout)
            for each in machines
            if not isinstance(each, Local)
        }
        findings = list(examine(patient, CHECKS | others))
    counts: Counter[str] = Counter(each["state"] for each in findings)
    if settings.json:
        answer: Doctor = {
            "schema": "dsttool.doctor/1",
            "counts": {state: counts[state] for state in _STATES},
            "findings": findings,
        }
        render.emit_json(settings, answer, findings)
    else:
        _show(settings, findings, counts)
    if counts["failed"]:
        click.get_current_context().exit(1)


def _other(place: Place, timeout: float, _: Patient) -> Iterator[Finding]:
    return doctor_system.other_machine(place, timeout)


def examine(patient: Patient, checks: dict[str, Check]) -> Iterator[Finding]:
    """What all checks find; one that cannot be made is a finding, too."""
    for check, look in checks.items():
        try:
            yield from look(patient)
        except (DsttoolError, OSError, ImportError) as error:  # a library that is not there breaks many
            yield doctor_system.not_checked(check, error)


def _check_known(patient: Patient) -> None:
    """NotFound for what is neither configured nor runs."""
    name = patient.name
    if name is None:
        return
    check_name(name)
    status = patient.status
    running = [each["name"] for each in (*status["arrays"], *status["exports"], *status["daemons"])]
    known = {*paths.array_names(), *paths.export_names(), *running}
    if name not in known:
        near = suggest(name, known)
        raise NotFound(
            f"Nothing called {name} is configured or runs.",
            f"Did you mean {near}?" if near else "See `dsttool status` and `dsttool config path`.",
        )


def _show(settings: Settings, findings: Iterable[Finding], counts: Counter[str]) -> None:
    render.table(
        settings,
        ("CHECK", "STATE", "WHAT", "ADVICE"),
        [
            (
                each["check"],
                render.state(settings, each["state"]),
                f"{each['subject']}: {each['says']}" if each["subject"] else each["says"],
                each["advice"],
            )
            for each in findings
        ],
    )
    if settings.format == "table":
        said = ", ".join(f"{counts[state]} {state}" for state in _STATES if counts[state])
        render.say(settings, f"{said}.")
