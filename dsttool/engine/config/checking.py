"""Everything that is wrong in configuration files, each with its place; nothing is opened or started.

A file is known by its name and folder: dsttool.toml, arrays/NAME.toml, exports/NAME.toml,
keys/authorized.toml; elsewhere by what is in it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from dsttool.engine.config import array_file, authorized, export_file, key_files, machine_file, paths
from dsttool.engine.config.names import check_name
from dsttool.engine.config.toml_file import StandIns, TomlFile, problems
from dsttool.engine.vocabulary.errors import DsttoolError, UsageError

Kind = Literal["machine", "array", "export", "keys"]

_FOLDERS: Final[dict[str, Kind]] = {"arrays": "array", "exports": "export"}


def all_files() -> list[Path]:
    """The configuration files of this machine, those that are there."""
    files = [paths.machine_file()]
    files += [paths.config_dir() / "arrays" / f"{name}.toml" for name in paths.array_names()]
    files += [paths.config_dir() / "exports" / f"{name}.toml" for name in paths.export_names()]
    files.append(authorized.file())
    return [path for path in files if path.exists()]


def kind_of(path: Path) -> Kind:
    """What a file configures. UsageError if that cannot be told."""
    known: dict[str, Kind] = {"dsttool.toml": "machine", "authorized.toml": "keys"}
    kind = known.get(path.name) or _FOLDERS.get(path.absolute().parent.name)
    if kind is not None:
        return kind
    text = TomlFile(path).text
    if "device" in text and "layout" not in text:
        return "export"
    if "layout" in text or "nodes" in text:
        return "array"
    raise UsageError(
        f"{path} may be the configuration of an array, an export or a machine.",
        "Put it into a folder arrays or exports, or call it dsttool.toml.",
    )


def check_file(path: Path) -> list[DsttoolError]:
    """What is wrong in one file, as far as it tells by itself, in the order of the places."""
    kind = kind_of(path)
    found: list[DsttoolError] = []
    if kind in ("array", "export"):
        try:
            check_name(path.stem)
        except UsageError as error:
            found.append(UsageError(f"{path.parent.name}/{path.name}: {error.what}", error.advice))
    content: bytes | None = None
    if kind == "keys":
        try:
            content = key_files.read_owned(path, key_files.WRITABLE_BY_OTHERS, authorized.FILE_BYTES_MAX)
        except FileNotFoundError:
            content = None
        except DsttoolError as error:
            return [error]
    try:
        file = TomlFile(path, content)
    except DsttoolError as error:
        return [error]
    read, stand_ins = _READERS[kind]
    wrong = problems(file, lambda each: read(path.stem, each), stand_ins)
    return found + sorted(wrong, key=lambda problem: problem.place)


_READERS: Final[dict[Kind, tuple[Callable[[str, TomlFile], object], StandIns]]] = {
    "machine": (lambda _, file: machine_file.read_machine(file), machine_file.STAND_INS),
    "array": (array_file.read_array, array_file.STAND_INS),
    "export": (export_file.read_export, export_file.STAND_INS),
    "keys": (lambda _, file: authorized.read_authorized(file), authorized.STAND_INS),
}
