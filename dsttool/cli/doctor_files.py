"""Checks of `doctor` that concern files: folders, keys, who is authorised, the configuration."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from dsttool.cli.doctor_checks import Patient, failed, ok, warning
from dsttool.engine.config import authorized, key_files, keys, paths
from dsttool.engine.config.array_file import load_array
from dsttool.engine.config.export_file import load_export
from dsttool.engine.config.machine_file import load_machine
from dsttool.engine.config.named_keys import key_file
from dsttool.engine.config.toml_file import ConfigError
from dsttool.engine.config.units import format_size
from dsttool.engine.vocabulary.checkup import Finding
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.limits import MIB

# A member's state is some hundred bytes and a log is put aside at 8 MiB; below the one nothing can be
# recorded, and writes fail; below the other logs end soon.
FREE_LEAST: Final = MIB
FREE_WANTED: Final = 64 * MIB


def folders(_: Patient) -> Iterator[Finding]:
    """The folders of configuration, sockets and state."""
    for kind, find in (
        ("config", paths.config_dir),
        ("runtime", paths.runtime_dir),
        ("state", paths.state_dir),
    ):
        check = f"folder.{kind}"
        try:
            path = find()
        except DsttoolError as error:
            yield failed(check, error.what, error.advice)
            continue
        yield from folder(check, path)


def folder(check: str, path: Path, least: int = FREE_LEAST, wanted: int = FREE_WANTED) -> Iterator[Finding]:
    """One folder: ours alone to write, and with room on its file system (bytes)."""
    subject = str(path)
    # Not Path.exists: below a folder that may not be looked into that is an error.
    there = next(each for each in (path, *path.parents) if os.path.exists(each))
    try:
        status, room = there.stat(), os.statvfs(there)
    except OSError as error:
        yield failed(check, f"It cannot be looked at: {error.strerror}.", f"Check {there}.", subject)
        return
    free = room.f_bavail * room.f_frsize
    mode = stat.S_IMODE(status.st_mode)
    variable = f"DSTTOOL_{check.partition('.')[2].upper()}_DIR"
    if not stat.S_ISDIR(status.st_mode):
        yield failed(check, f"{there} is no folder.", "Move it away.", subject)
    elif there == path and status.st_uid != os.geteuid():
        advice = f"Use a folder of your own: {variable}."
        yield failed(check, f"It belongs to another user (uid {status.st_uid}).", advice, subject)
    elif there == path and mode & key_files.WRITABLE_BY_OTHERS:
        yield failed(check, f"Other users may write there (mode {mode:04o}).", f"chmod 700 {path}", subject)
    elif not os.access(there, os.W_OK | os.X_OK):
        yield failed(
            check, f"{there} cannot be written.", f"Run as who may, or use another: {variable}.", subject
        )
    elif free < least:
        yield failed(check, f"Only {format_size(free)} are free there.", "Make room.", subject)
    elif free < wanted:
        yield warning(check, f"Only {format_size(free)} are free there.", "Make room.", subject)
    elif there != path:
        yield ok(check, f"It is made when it is needed; {format_size(free)} are free.", subject)
    else:
        yield ok(check, f"Mode {mode:04o}, {format_size(free)} are free.", subject)


def socket_paths(patient: Patient) -> Iterator[Finding]:
    """Whether the sockets of what is configured fit into a socket's address."""
    for name in (*patient.arrays, *patient.exports):
        try:
            for find in (paths.control_socket, paths.nbd_socket, paths.dst_socket):
                find(name)
        except DsttoolError as error:
            yield failed("folder.sockets", error.what, error.advice, name)


def own_keys(_: Patient) -> Iterator[Finding]:
    """This machine's two identities, and the keys that dsttool.toml names."""
    for role, path in (("client", key_files.client_key_file()), ("server", key_files.server_key_file())):
        if path.exists():
            yield _key(f"key.{role}", path, key_files.load_private)
        else:
            yield ok(f"key.{role}", "It is made when it is first needed.", str(path))
    try:
        named = load_machine().keys
    except ConfigError:
        return  # the configuration's check tells
    for name, path in named.items():
        yield _key(f"key.{name}", path, key_files.load_key)


def used_keys(patient: Patient) -> Iterator[Finding]:
    """The key files that configured arrays and exports name."""
    seen = set()
    for name, text in _mentioned(patient):
        path = key_file(text)
        if (name, path) not in seen:
            seen.add((name, path))
            yield _key(f"key.of.{name}", path, key_files.load_key)


def _mentioned(patient: Patient) -> Iterator[tuple[str, str]]:
    """Every `key=` of what is configured soundly, with who says it."""
    for name in patient.arrays:
        try:
            array = load_array(name)
        except DsttoolError:
            continue  # the configuration's check tells
        texts = [str(node.options.get("key", "")) for node in array.nodes]
        yield from ((name, text) for text in (*texts, *(place.key for place in array.listen)) if text)
    for name in patient.exports:
        try:
            export = load_export(name)
        except DsttoolError:
            continue
        yield from ((name, text) for text in (export.key, *(place.key for place in export.listen)) if text)


def _key(check: str, path: Path, load: Callable[[Path], keys.Key]) -> Finding:
    try:
        key = load(path)
    except DsttoolError as error:
        return failed(check, error.what, error.advice, str(path))
    if isinstance(key, keys.SharedKey):
        return ok(
            check, f"A shared key, {keys.shared_fingerprint(key)}, that only its owner can read.", str(path)
        )
    return ok(
        check, f"A private key, {keys.fingerprint(key.public)}, that only its owner can read.", str(path)
    )


def authorised_keys(patient: Patient) -> Iterator[Finding]:
    """The clients' keys: whether the list can be used, and whether its entries mean anything."""
    check, path = "key.authorized", str(authorized.file())
    try:
        entries = authorized.load().entries.values()
    except DsttoolError as error:
        yield failed(check, error.what, error.advice, path)
        return
    known = {
        *paths.export_names(),
        *paths.array_names(),
        *(each["name"] for each in patient.status["exports"]),
    }
    known |= {each["name"] for each in patient.status["arrays"]}
    wrong = False
    for entry in entries:
        called = entry.name or keys.fingerprint(entry.public)
        named = (entry.read_write | entry.read_only) - {authorized.EVERY_EXPORT}
        if not entry.read_write and not entry.read_only:
            wrong = True
            says = f"The key {called} is listed, and may use nothing."
            yield warning(
                check, says, f"Give it rights (dsttool key authorize), or: dsttool key revoke {called}", path
            )
        for name in sorted(named - known):
            wrong = True
            says = f"The key {called} may use {name}, and nothing of that name is configured or runs."
            yield warning(check, says, "Correct the name, or make the export.", path)
    if not wrong:
        number = len(entries)
        yield ok(check, f"{number or 'No'} key{'' if number == 1 else 's'} of clients.", path)


def configuration(patient: Patient) -> Iterator[Finding]:
    """What is configured, as `config check` sees it."""
    from dsttool.engine.config.checking import all_files
    from dsttool.engine.host.config_check import check_all

    named = {paths.array_file(name) for name in patient.arrays}
    named |= {paths.export_file(name) for name in patient.exports}
    files = [path for path in all_files() if patient.name is None or path in named]
    problems = check_all(files)
    for error in problems:
        if isinstance(error, ConfigError):
            place = f"{error.path}:{error.place.line}:{error.place.column}"
            yield failed("config", error.complaint, error.advice, place)
        else:
            yield failed("config", error.what, error.advice)
    if not problems:
        yield ok("config", f"{len(files) or 'No'} file{'' if len(files) == 1 else 's'}, all is well.")
