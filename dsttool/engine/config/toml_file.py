"""Read a TOML file into a struct; every error names the file, the line, the column and what to write instead.

`problems` finds all that is wrong in a file, not only the first: it puts something innocent in the place of
what was complained about, and reads on. What is no TOML at all has one problem, for the rest of such a text
means nothing.
"""

import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import inspect

from dsttool.engine.config.toml_lines import Place, Step, place_of
from dsttool.engine.vocabulary.errors import DsttoolError, NotFound, UsageError, from_oserror
from dsttool.engine.vocabulary.suggest import suggest

T = TypeVar("T")
V = TypeVar("V")

_TOML_PLACE: Final = re.compile(r" \((?:at line (\d+), column (\d+)|at end of document)\)$")
_STRUCT_PLACE: Final = re.compile(r" - at `\$(.*)`$")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`")
_OTHER_TYPE: Final = re.compile(r"Expected `(.*)`, got `(.*)`")
_SPOKEN: Final = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}
_NO_CHOICE: Final = re.compile(r"Invalid enum value (.*)")
# Some editors write it before a text; TOML has none.
_BYTE_ORDER_MARK: Final = "\ufeff"
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")


# A file with more of them is something else.
_PROBLEMS_MAX: Final = 100
_BYTES_MAX: Final = 4 << 20


class ConfigError(UsageError):
    """Something is wrong at a place of a configuration file.

    steps: what it is about, as in ("nodes", 0, "address"); empty if the file is no TOML. complaint: the
    sentence without the place.
    """

    def __init__(self, path: Path, place: Place, steps: Sequence[Step], complaint: str, advice: str) -> None:
        super().__init__(f"{_shown(path)}:{place.line}:{place.column}: {complaint}", advice)
        self.path = path
        self.place = place
        self.steps = tuple(steps)
        self.complaint = complaint


@dataclass(frozen=True, slots=True)
class StandIns:
    """What to read instead of something that is wrong, so that the rest can be read: whole values by their
    key, and elements of a list, by the list's key and the element's index. All else is left out."""

    values: Mapping[str, object] = field(default_factory=dict)
    elements: Mapping[str, Callable[[int], object]] = field(default_factory=dict)


class TomlFile:
    """The text of one file, for reading it and for errors about it. `content` if it was read already."""

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        self.path = path
        self._parsed: dict[str, Any] | None = None
        try:
            content = _read(path) if content is None else content
        except OSError as error:
            raise from_oserror(error, f"read {path}") from error
        try:
            self.text = content.decode()
        except UnicodeDecodeError as error:
            raise _no_text(path, content, error.start) from None
        if self.text.startswith(_BYTE_ORDER_MARK):
            raise ConfigError(
                path, Place(1, 1), (), "It begins with a byte order mark.", "Save it without one."
            )

    def convert(self, struct: type[T]) -> T:
        """The content as a msgspec Struct. ConfigError otherwise."""
        try:
            return msgspec.convert(self._content(), struct)
        except msgspec.ValidationError as error:
            raise self._explain(str(error), struct) from None

    def checked(
        self, steps: Sequence[Step], check: Callable[[Any], V], value: object, *, at_key: bool = False
    ) -> V:
        """`check(value)`, with its complaint put to the place of the value at `steps`, or of its key."""
        try:
            return check(value)
        except DsttoolError as error:
            raise self.error(steps, error.what, error.advice, at_key=at_key) from error

    def error(
        self, steps: Sequence[Step], message: str, advice: str = "", *, at_key: bool = False
    ) -> ConfigError:
        """An error about the value of what is at `steps`, for example ("nodes", 0, "address"), or its key."""
        place = place_of(self.text, steps, value=not at_key)
        return ConfigError(self.path, place, steps, message, advice or f"Edit {self.path}.")

    def line(self, steps: Sequence[Step]) -> int:
        """In which line something is."""
        return place_of(self.text, steps).line

    def mend(self, steps: Sequence[Step], stand_ins: StandIns) -> None:
        """Put something innocent in the place of what is wrong; the text stays."""
        content = self._content()
        key, below = str(steps[0]), steps[1:]
        if key in stand_ins.elements and below and isinstance(content.get(key), list):
            content[key][below[0]] = stand_ins.elements[key](int(below[0]))
        elif key in stand_ins.values:
            content[key] = stand_ins.values[key]
        elif below and isinstance(content.get(key), dict):
            content[key].pop(below[0], None)
        else:
            content.pop(key, None)

    def _content(self) -> dict[str, Any]:
        if self._parsed is None:
            try:
                self._parsed = tomllib.loads(self.text)
            except tomllib.TOMLDecodeError as error:
                raise self._no_toml(str(error)) from None
        return self._parsed

    def _no_toml(self, message: str) -> ConfigError:
        found = _TOML_PLACE.search(message)
        if found and found[1]:
            place = Place(int(found[1]), int(found[2]))
        else:
            lines = self.text.rstrip("\n").split("\n")
            place = Place(len(lines), len(lines[-1]) + 1)
        return ConfigError(self.path, place, (), _TOML_PLACE.sub("", message) + ".", f"Edit {self.path}.")

    def _explain(self, message: str, struct: type) -> ConfigError:
        place = _STRUCT_PLACE.search(message)
        path = _parse_place(place[1]) if place else ()
        message = _STRUCT_PLACE.sub("", message)
        if (unknown := _UNKNOWN.fullmatch(message)) is not None:
            near = suggest(unknown[1], _known_fields(struct, path))
            hint = f"; did you mean '{near}'?" if near else "."
            return self.error((*path, unknown[1]), f"unknown key '{unknown[1]}'{hint}", at_key=True)
        if (missing := _MISSING.fullmatch(message)) is not None:
            return self.error((*path, missing[1]), f"'{missing[1]}' is missing.")
        key = next((step for step in reversed(path) if isinstance(step, str)), "")
        if (wrong := _NO_CHOICE.fullmatch(message)) is not None:
            return self.error(path, f"'{key}' may not be {wrong[1]}; there are: {_choices(struct, path)}.")
        if (wrong := _OTHER_TYPE.fullmatch(message)) is not None:
            return self.error(path, f"'{key}' must be {_spoken(wrong[1])}, not {_spoken(wrong[2])}.")
        return self.error(path, f"'{key}': {message}.")


def problems(file: TomlFile, read: Callable[[TomlFile], object], stand_ins: StandIns) -> list[ConfigError]:
    """Everything that `read` complains about, in the order in which it does."""
    found: list[ConfigError] = []
    while len(found) < _PROBLEMS_MAX:
        try:
            read(file)
            break
        except ConfigError as error:
            if any(error.steps == earlier.steps for earlier in found):
                break  # what stands in for it is no better: it is told already
            found.append(error)
            if not error.steps:
                break
            file.mend(error.steps, stand_ins)
    return found


def require(path: Path, what: str, names: Sequence[str]) -> None:
    """NotFound with a suggestion unless the file exists. `what`: 'array' or 'export'."""
    if path.exists():
        return
    near = suggest(path.stem, names)
    listed = f"There are: {', '.join(names)}." if names else f"None is configured in {path.parent}."
    raise NotFound(
        f"No {what} named '{path.stem}' is configured.", f"Did you mean '{near}'?" if near else listed
    )


def _no_text(path: Path, content: bytes, at: int) -> ConfigError:
    """An error about the first byte that is no part of a text."""
    before = content[:at].decode()
    place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
    what = f"The byte 0x{content[at]:02x} is no part of a text in UTF-8."
    return ConfigError(path, place, (), what, f"Save {path} as UTF-8.")


def _shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _parse_place(place: str) -> tuple[Step, ...]:
    """('nodes', 0, 'address') from msgspec's '.nodes[0].address'."""
    steps = re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", place)
    return tuple(name or int(index) for name, index in steps)


def _spoken(types: str) -> str:
    """'a whole number or a text' from msgspec's 'int | str | null'; TOML has no null."""
    return " or ".join(_SPOKEN.get(word, word) for word in types.split(" | ") if word != "null")


def _type_at(struct: type, path: Sequence[Step]) -> inspect.Type:
    """What may stand at `path`; of a struct or something simpler, the struct."""
    info = inspect.type_info(struct)
    for step in path:
        if isinstance(info, inspect.StructType):
            info = next(field.type for field in info.fields if field.encode_name == step)
        elif isinstance(info, inspect.CollectionType):
            info = info.item_type
        if isinstance(info, inspect.UnionType):
            info = next(
                (t for t in info.types if isinstance(t, inspect.StructType | inspect.LiteralType)), info
            )
    return info


def _known_fields(struct: type, path: Sequence[Step]) -> list[str]:
    info = _type_at(struct, path)
    return [field.encode_name for field in info.fields] if isinstance(info, inspect.StructType) else []


def _choices(struct: type, path: Sequence[Step]) -> str:
    info = _type_at(struct, path)
    return ", ".join(str(value) for value in info.values) if isinstance(info, inspect.LiteralType) else ""


def _read(path: Path) -> bytes:
    """What is in a regular file; a pipe in its place must not make a daemon wait that reads it again."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # reading a folder says what it is
            raise UsageError(f"{_shown(path)} is not a regular file.", f"Put a file of TOML at {path}.")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(_BYTES_MAX + 1)
    finally:
        os.close(descriptor)
    if len(content) > _BYTES_MAX:
        raise UsageError(f"{_shown(path)} is longer than {_BYTES_MAX} bytes.", f"Shorten {path}.")
    return content
