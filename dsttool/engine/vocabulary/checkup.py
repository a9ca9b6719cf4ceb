"""What the commands that look after a machine answer in JSON: `doctor`, `config`, `array delete`."""

from typing import Literal, TypedDict


class Finding(TypedDict):
    """One check of `doctor`. check: dotted words, "keys.client"; what it is about (a path, a name) follows in
    `subject`, '' if it is about the machine. says, advice: a sentence each; no advice where none is needed.
    """

    check: str
    subject: str
    state: Literal["ok", "warning", "failed", "unknown"]
    says: str
    advice: str


class Doctor(TypedDict):
    """`doctor`. counts: how many findings are in each state."""

    schema: str
    counts: dict[str, int]
    findings: list[Finding]


class Problem(TypedDict):
    """Something wrong in a configuration file; line and column count from 1, None where it has no place."""

    file: str | None
    line: int | None
    column: int | None
    what: str
    advice: str


class Problems(TypedDict):
    """`config check`: the files that were read, and all that is wrong in them."""

    schema: str
    files: list[str]
    problems: list[Problem]


ConfigSource = Literal["default", "machine", "file", "address", "environment", "live"]


class ConfigValue(TypedDict):
    """One value that holds, as people write it. source: default, machine (dsttool.toml), file (the array's or
    the export's), address (the node's), environment, or live (changed, or given when it was started). place:
    "FILE:LINE" or "$VARIABLE", None where there is none.
    """

    key: str
    value: str
    source: ConfigSource
    place: str | None


class Config(TypedDict):
    """`config show`. what: machine, array or export; name: None for the machine."""

    schema: str
    what: Literal["machine", "array", "export"]
    name: str | None
    values: list[ConfigValue]


class ConfigPath(TypedDict):
    """A file or folder that is read. kind: config, runtime, state, machine, array, export, keys."""

    kind: str
    path: str
    exists: bool


class ConfigPaths(TypedDict):
    """`config path`."""

    schema: str
    paths: list[ConfigPath]


class Deleted(TypedDict):
    """`array delete`: what was removed; None for what was not there, or was kept."""

    schema: str
    name: str
    configuration: str | None
    state: str | None


class ConfigChange(TypedDict):
    """A value of a configuration that is another. of: NAME, NAME/MEMBER, or '' for the daemon itself."""

    of: str
    key: str
    before: str
    after: str


class ReloadedDaemon(TypedDict):
    """What a daemon found when it read its configuration again. applied: holds from now on; restart: holds
    once it was started anew; unchanged: what is as it was. remarks: sentences on what is applied.
    """

    name: str
    applied: list[ConfigChange]
    restart: list[ConfigChange]
    unchanged: list[str]
    remarks: list[str]


class Reloaded(TypedDict):
    """`daemon reload`."""

    schema: str
    daemons: list[ReloadedDaemon]
