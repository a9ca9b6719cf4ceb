"""dsttool.toml in the configuration folder: what holds for all arrays and daemons of this machine.

[policy]                        # of every node of every array, unless its file or address says otherwise
resend_timeout = "500ms"
resends = 2

[daemon]
log_level = "info"              # debug, info or warning; -v and -q are stronger
crypto_threads = 2              # threads that seal large records; $DSTTOOL_CRYPTO_THREADS is stronger
log_format = "json"             # text, json or journal; --log-format and $DSTTOOL_LOG_FORMAT are stronger

[keys]                          # names for key files: key=lab in an address means this file
lab = "/etc/dsttool/keys/lab.key"

Without the file everything has its default. A relative path of a key file is taken from the file's folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec

from dsttool.engine.config import paths
from dsttool.engine.config.names import check_name
from dsttool.engine.config.options import Value
from dsttool.engine.config.policy_table import policy_in
from dsttool.engine.config.toml_file import StandIns, TomlFile
from dsttool.engine.vocabulary.errors import UsageError

CRYPTO_THREADS_MAX: Final = 64
LogFormat = Literal["text", "json", "journal"]
LogLevel = Literal["debug", "info", "warning"]


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """What is configured for the machine. policy: settings by key, durations in ns. crypto_threads: None for
    the default. log_format: None for what fits where a log goes. log_level: None for info. keys: files by
    name."""

    policy: Mapping[str, Value] = field(default_factory=dict)
    crypto_threads: int | None = None
    log_format: LogFormat | None = None
    keys: Mapping[str, Path] = field(default_factory=dict)
    log_level: LogLevel | None = None


class _Daemon(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    crypto_threads: int | None = None
    log_format: LogFormat | None = None
    log_level: LogLevel | None = None


class _MachineToml(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    policy: dict[str, object] = {}
    daemon: _Daemon = _Daemon()
    keys: dict[str, object] = {}


STAND_INS: Final = StandIns()


def load_machine() -> MachineConfig:
    """Read and check it; all defaults if there is no file. ConfigError if something is wrong."""
    path = paths.machine_file()
    return read_machine(TomlFile(path)) if path.exists() else MachineConfig()


def read_machine(file: TomlFile) -> MachineConfig:
    """As `load_machine`, of an open file."""
    content = file.convert(_MachineToml)
    threads = content.daemon.crypto_threads
    return MachineConfig(
        policy=policy_in(file, content.policy),
        crypto_threads=None
        if threads is None
        else file.checked(("daemon", "crypto_threads"), check_threads, threads),
        log_format=content.daemon.log_format,
        log_level=content.daemon.log_level,
        keys={name: _key_file(file, name, value) for name, value in content.keys.items()},
    )


def check_threads(threads: int) -> int:
    """A number of threads that seal and open. UsageError if there are too many."""
    if not 0 <= threads <= CRYPTO_THREADS_MAX:
        raise UsageError(
            f"{threads} is not a number from 0 to {CRYPTO_THREADS_MAX}.",
            "0 seals everything on the main thread.",
        )
    return threads


def _key_file(file: TomlFile, name: str, value: object) -> Path:
    file.checked(("keys", name), check_name, name)
    if not isinstance(value, str) or not value:
        raise file.error(("keys", name), f"'{name}' must be the path of a key file.")
    return file.path.parent / value
