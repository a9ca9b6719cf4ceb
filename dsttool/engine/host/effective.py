"""Which configuration holds, value by value, and where each value comes from.

    default  <  machine (dsttool.toml)  <  file (the array's or the export's)  <  address (a node's query)
             <  environment  <  what a command line or `policy set` said to what runs (live)

What is live is not known here: a daemon has to be asked for it.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from dsttool.engine.config import paths
from dsttool.engine.config.array_file import read_array
from dsttool.engine.config.export_file import read_export
from dsttool.engine.config.machine_file import load_machine
from dsttool.engine.config.options import POLICY_KEYS, Value, format_option, policy_field
from dsttool.engine.config.toml_file import TomlFile, require
from dsttool.engine.config.toml_lines import Step
from dsttool.engine.config.units import format_exact_size
from dsttool.engine.host.array_plan import ArrayPlan
from dsttool.engine.host.tuning import THREADS_VARIABLE
from dsttool.engine.transaction.policy import REDUNDANT, SINGLE_COPY
from dsttool.engine.vocabulary.checkup import ConfigSource, ConfigValue
from dsttool.engine.vocabulary.limits import CRYPTO_THREADS

_FORMAT_VARIABLE: Final = "DSTTOOL_LOG_FORMAT"
_FOLDERS: Final = (
    ("config", "DSTTOOL_CONFIG_DIR", paths.config_dir),
    ("runtime", "DSTTOOL_RUNTIME_DIR", paths.runtime_dir),
    ("state", "DSTTOOL_STATE_DIR", paths.state_dir),
)


def of_machine() -> list[ConfigValue]:
    """What holds for everything on this machine."""
    path = paths.machine_file()
    file = TomlFile(path) if path.exists() else None
    machine = load_machine()
    values = [
        _value(f"folders.{name}", str(find()), "environment", f"${variable}")
        if os.environ.get(variable)
        else _default(f"folders.{name}", str(find()))
        for name, variable, find in _FOLDERS
    ]
    values.append(_crypto_threads(file, machine.crypto_threads))
    values.append(_log_format(file, machine.log_format))
    values.append(
        _default("daemon.log_level", "info")
        if machine.log_level is None
        else _machine(file, ("daemon", "log_level"), machine.log_level)
    )
    values += _machine_policy(file, machine.policy)
    values += [_machine(file, ("keys", name), str(key)) for name, key in machine.keys.items()]
    values += [
        _value(f"arrays.{name}", "configured", "file", str(paths.array_file(name)))
        for name in paths.array_names()
    ]
    values += [
        _value(f"exports.{name}", "configured", "file", str(paths.export_file(name)))
        for name in paths.export_names()
    ]
    return values


def of_array(name: str) -> list[ConfigValue]:
    """What is configured for an array, and what holds where nothing is. NotFound, UsageError."""
    path = paths.array_file(name)
    require(path, "array", paths.array_names())
    file = TomlFile(path)
    config = read_array(name, file)
    plan = ArrayPlan(config, config.listen)
    values = [_filed(file, ("layout",), config.layout)]
    values.append(_given(file, "raw", str(config.raw).lower(), given=config.raw))
    if "chunk" in plan.parameters:
        chunk = format_exact_size(plan.parameters["chunk"])
        values.append(_given(file, "chunk", chunk, given=config.chunk is not None))
    if config.layout == "mirror":
        values.append(
            _given(file, "read_policy", config.read_policy or "nearest", given=config.read_policy is not None)
        )
    for slot, node in enumerate(config.nodes):
        values.append(_filed(file, ("nodes", slot), str(node.named("")), f"nodes.{plan.member_names[slot]}"))
    values += _places(file, name, [str(place) for place in config.listen])
    values += [_filed(file, ("access", i), str(rule)) for i, rule in enumerate(config.access.rules)]
    values += _array_policy(file, plan)
    return values


def of_export(name: str) -> list[ConfigValue]:
    """What is configured for an export, and what holds where nothing is. NotFound, UsageError."""
    path = paths.export_file(name)
    require(path, "export", paths.export_names())
    file = TomlFile(path)
    config = read_export(name, file)
    size = "the device's" if config.size is None else format_exact_size(config.size)
    values = [
        _filed(file, ("device",), str(config.device)),
        _given(file, "size", size, given=config.size is not None),
        _given(file, "read_only", str(config.read_only).lower(), given=config.read_only),
        _given(file, "shared", str(config.shared).lower(), given=config.shared),
        *_places(file, name, [str(place) for place in config.listen]),
    ]
    if not config.listen:
        values.append(_default("listen", "TCP port 6207, for authorised keys only"))
    values += [_filed(file, ("access", i), str(rule)) for i, rule in enumerate(config.access.rules)]
    values.append(
        _given(
            file,
            "security",
            config.security or "aes256gcm, none on Unix sockets",
            given=bool(config.security),
        )
    )
    values.append(
        _given(file, "key", config.key or "this machine's identity as a server", given=bool(config.key))
    )
    return values


def _crypto_threads(file: TomlFile | None, configured: int | None) -> ConfigValue:
    key = "daemon.crypto_threads"
    asked = os.environ.get(THREADS_VARIABLE)
    if asked is not None:
        return _value(key, asked, "environment", f"${THREADS_VARIABLE}")
    if configured is None:
        return _default(key, str(CRYPTO_THREADS))
    return _machine(file, ("daemon", "crypto_threads"), str(configured))


def _log_format(file: TomlFile | None, configured: str | None) -> ConfigValue:
    key = "daemon.log_format"
    asked = os.environ.get(_FORMAT_VARIABLE)
    if asked:
        return _value(key, asked, "environment", f"${_FORMAT_VARIABLE}")
    if configured is None:
        return _default(key, "journal where the journal reads it, else text")
    return _machine(file, ("daemon", "log_format"), configured)


def _machine_policy(file: TomlFile | None, policy: Mapping[str, Value]) -> Iterator[ConfigValue]:
    for key in POLICY_KEYS:
        if key in policy:
            yield _machine(file, ("policy", key), format_option(key, policy[key]))
            continue
        alone, copied = (
            format_option(key, getattr(each, policy_field(key))) for each in (SINGLE_COPY, REDUNDANT)
        )
        text = alone if alone == copied else f"{copied} where there are copies, else {alone}"
        yield _default(f"policy.{key}", text)


def _array_policy(file: TomlFile, plan: ArrayPlan) -> Iterator[ConfigValue]:
    """The policy of every member that has a link."""
    machine = paths.machine_file()
    machine_file = TomlFile(machine) if machine.exists() else None
    for slot, (name, policy) in enumerate(zip(plan.member_names, plan.policies())):
        if not policy.has_link:
            continue
        for key in POLICY_KEYS:
            text = format_option(key, getattr(policy.policy, policy_field(key)))
            label = f"{name}.{key}"
            source = policy.source(key)
            if source == "address":
                yield _value(label, text, "address", _place(file, ("nodes", slot)))
            elif source == "array":
                yield _filed(file, ("policy", key), text, label)
            elif source == "machine":
                yield {**_machine(machine_file, ("policy", key), text), "key": label}
            else:
                yield _default(label, text)


def _places(file: TomlFile, name: str, listens: Sequence[str]) -> Iterator[ConfigValue]:
    for path in (paths.nbd_socket(name), paths.dst_socket(name)):
        yield _default("listen", str(path))
    for index, place in enumerate(listens):
        yield _filed(file, ("listen", index), place)


def _given(file: TomlFile, key: str, text: str, *, given: bool) -> ConfigValue:
    return _filed(file, (key,), text) if given else _default(key, text)


def _filed(file: TomlFile, steps: Sequence[Step], text: str, key: str = "") -> ConfigValue:
    return _value(key or str(steps[0]), text, "file", _place(file, steps))


def _machine(file: TomlFile | None, steps: Sequence[Step], text: str) -> ConfigValue:
    place = None if file is None else _place(file, steps)
    return _value(".".join(map(str, steps)), text, "machine", place)


def _default(key: str, text: str) -> ConfigValue:
    return _value(key, text, "default", None)


def _value(key: str, text: str, source: ConfigSource, place: str | None) -> ConfigValue:
    return {"key": key, "value": text, "source": source, "place": place}


def _place(file: TomlFile, steps: Sequence[Step]) -> str:
    return f"{file.path}:{file.line(steps)}"
