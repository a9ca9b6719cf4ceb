"""Read a TOML file into a struct; every error names the file, the line and what to write instead."""

import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import inspect

from dsttool.engine.config.toml_lines import Step, line_of
from dsttool.engine.vocabulary.errors import DsttoolError, NotFound, UsageError, from_oserror
from dsttool.engine.vocabulary.suggest import suggest

T = TypeVar("T")
V = TypeVar("V")

_TOML_PLACE: Final = re.compile(r" \((?:at line (\d+), column \d+|at end of document)\)$")
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
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")


class TomlFile:
    """The text of one file, for reading it and for errors about it. `content` if it was read already."""

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        self.path = path
        try:
            self.text = (path.read_bytes() if content is None else content).decode()
        except UnicodeDecodeError as error:
            raise UsageError(f"{_shown(path)} is not UTF-8.", f"Edit {path}.") from error
        except OSError as error:
            raise from_oserror(error, f"read {path}") from error

    def convert(self, struct: type[T]) -> T:
        """The content as a msgspec Struct. UsageError with the line otherwise."""
        try:
            content = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            message = str(error)
            place = _TOML_PLACE.search(message)
            line = int(place[1]) if place and place[1] else self.text.rstrip("\n").count("\n") + 1
            raise self._at_line(line, _TOML_PLACE.sub("", message)) from None
        try:
            return msgspec.convert(content, struct)
        except msgspec.ValidationError as error:
            raise self._explain(str(error), struct) from None

    def checked(self, path: Sequence[Step], check: Callable[[Any], V], value: object) -> V:
        """`check(value)`, with its complaint put to the line of `path`."""
        try:
            return check(value)
        except DsttoolError as error:
            raise UsageError(f"{_shown(self.path)}:{self._line(path)}: {error.what}", error.advice) from error

    def error(self, path: Sequence[Step], message: str) -> UsageError:
        """An error about what is at `path`, for example ("nodes", 0, "address")."""
        return self._at_line(self._line(path), message)

    def _line(self, path: Sequence[Step]) -> int:
        return line_of(self.text, path)

    def _at_line(self, line: int, message: str) -> UsageError:
        return UsageError(f"{_shown(self.path)}:{line}: {message}", f"Edit {self.path}.")

    def _explain(self, message: str, struct: type) -> UsageError:
        place = _STRUCT_PLACE.search(message)
        path = _parse_place(place[1]) if place else ()
        message = _STRUCT_PLACE.sub("", message)
        if (unknown := _UNKNOWN.fullmatch(message)) is not None:
            near = suggest(unknown[1], _known_fields(struct, path))
            hint = f"; did you mean '{near}'?" if near else "."
            return self.error((*path, unknown[1]), f"unknown key '{unknown[1]}'{hint}")
        if (missing := _MISSING.fullmatch(message)) is not None:
            return self.error(path, f"'{missing[1]}' is missing.")
        key = next((step for step in reversed(path) if isinstance(step, str)), "")
        if (wrong := _NO_CHOICE.fullmatch(message)) is not None:
            return self.error(path, f"'{key}' may not be {wrong[1]}; there are: {_choices(struct, path)}.")
        if (wrong := _OTHER_TYPE.fullmatch(message)) is not None:
            return self.error(path, f"'{key}' must be {_spoken(wrong[1])}, not {_spoken(wrong[2])}.")
        return self.error(path, f"'{key}': {message}.")


def require(path: Path, what: str, names: Sequence[str]) -> None:
    """NotFound with a suggestion unless the file exists. `what`: 'array' or 'export'."""
    if path.exists():
        return
    near = suggest(path.stem, names)
    listed = f"There are: {', '.join(names)}." if names else f"None is configured in {path.parent}."
    raise NotFound(
        f"No {what} named '{path.stem}' is configured.", f"Did you mean '{near}'?" if near else listed
    )


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
