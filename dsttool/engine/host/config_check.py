"""What is wrong in configuration files that only shows when all of it is put together.

Whether a layout takes these nodes, whether what is listened on may be, whether policies contradict each
other, whether arrays are made of each other, whether two things have one name. Nothing is opened.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from dsttool.engine.config import checking, paths
from dsttool.engine.config.array_file import read_array
from dsttool.engine.config.export_file import read_export
from dsttool.engine.config.supported import check_supported
from dsttool.engine.config.toml_file import ConfigError, TomlFile
from dsttool.engine.config.toml_lines import Step
from dsttool.engine.host import array_plan
from dsttool.engine.host.array_plan import ArrayPlan
from dsttool.engine.host.listening import check_listens
from dsttool.engine.vocabulary.errors import DsttoolError

_Check = tuple[Sequence[Step], Callable[[], object]]


def check_all(files: Sequence[Path]) -> list[DsttoolError]:
    """Everything that is wrong in these files, each with its place where it has one."""
    found: list[DsttoolError] = []
    sound = True
    for path in files:
        problems = checking.check_file(path)
        sound = sound and not problems
        found += problems or _check_whole(path)
    if sound and not found:
        found += _between(files)
    return found


def _check_whole(path: Path) -> Sequence[DsttoolError]:
    kind = checking.kind_of(path)
    if kind == "array":
        return _check_array(path)
    return _check_export(path) if kind == "export" else []


def _check_array(path: Path) -> Sequence[DsttoolError]:
    file = TomlFile(path)
    config = read_array(path.stem, file)
    plan = ArrayPlan(config, config.listen)
    checks: list[_Check] = [
        (("nodes", slot), lambda node=node: check_supported(node))  # type: ignore[misc]
        for slot, node in enumerate(config.nodes)
    ]
    checks += [
        *(
            (("listen", i), lambda place=p: check_listens([place], [config.name]))
            for i, p in enumerate(config.listen)
        ),
        (("layout",), lambda: plan.spare),
        (("policy",), plan.policies),
        ((), plan.check),
    ]
    return _failures(file, checks)


def _check_export(path: Path) -> Sequence[DsttoolError]:
    file = TomlFile(path)
    config = read_export(path.stem, file)
    places = [place.with_security(config.security, config.key) for place in config.listen]
    return _failures(
        file,
        [
            (("device",), lambda: check_supported(config.device)),
            *(
                (("listen", i), lambda place=p: check_listens([place], [config.name]))
                for i, p in enumerate(places)
            ),
        ],
    )


def _failures(file: TomlFile, checks: Sequence[_Check]) -> Sequence[DsttoolError]:
    """What the checks complain about; the same complaint once, at the first place."""
    found: list[ConfigError] = []
    for steps, check in checks:
        try:
            check()
        except ConfigError:
            continue  # of another file, which is checked by itself
        except DsttoolError as error:
            if all(error.what != earlier.complaint for earlier in found):
                found.append(file.error(steps, error.what, error.advice))
    return sorted(found, key=lambda each: each.place)


def _between(files: Sequence[Path]) -> list[DsttoolError]:
    """What is wrong between files that are right by themselves."""
    found: list[DsttoolError] = []
    arrays = {path.stem: path for path in files if checking.kind_of(path) == "array"}
    for path in files:
        if checking.kind_of(path) == "export" and path.stem in arrays:
            complaint = f"an array is called {path.stem}, too, and only one of them can run."
            found.append(TomlFile(path).error((), complaint, "Rename one of the two files."))
    if arrays and set(arrays) <= set(paths.array_names()):
        try:
            array_plan.from_configuration(sorted(arrays))
        except DsttoolError as error:
            found.append(error)
    return found
