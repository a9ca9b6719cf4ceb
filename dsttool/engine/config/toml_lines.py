"""At which line and column of a TOML file something is: neither tomllib nor msgspec tells.

The text has been accepted by tomllib before, so this scanner may be simple: it has to find where keys
and array elements begin, and not to be led astray by strings, comments and brackets within values.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

# A comment, a string of each of the four kinds, or one of the characters that give structure.
_TOKEN: Final = re.compile(
    r"""(?P<comment> \#[^\n]* )
      | (?P<string> \"\"\"(?:\\.|[^\\])*?\"{3,5} | '''.*?'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*' )
      | (?P<bare> [A-Za-z0-9_-]+ )
      | (?P<mark> [\[\]{},=.\n] )""",
    re.VERBOSE | re.DOTALL,
)

Step = str | int


class Place(NamedTuple):
    """A place in a text, counted from 1; columns are characters."""

    line: int
    column: int


def place_of(text: str, path: Sequence[Step], *, value: bool = False) -> Place:
    """Where the key or element at `path` begins, or the nearest thing around it.

    `path` is as in ("nodes", 0, "address"); elements are those of arrays and of [[tables]]. value: the place
    of a key's value instead, if the key is there.
    """
    best_offset, best_depth = 0, 0
    wanted = tuple(path)
    for found, key_offset, value_offset in _places(text):
        depth = _common(found, wanted)
        if depth == len(found) and depth > best_depth:
            best_offset = value_offset if value and depth == len(wanted) else key_offset
            best_depth = depth
    return Place(text.count("\n", 0, best_offset) + 1, best_offset - text.rfind("\n", 0, best_offset))


def _common(found: tuple[Step, ...], wanted: tuple[Step, ...]) -> int:
    depth = 0
    for one, other in zip(found, wanted):
        if one != other:
            break
        depth += 1
    return depth


def _places(text: str) -> Iterator[tuple[tuple[Step, ...], int, int]]:
    """Every key or element: its path, and the offsets of its beginning and of its value; in the order of
    the file."""
    table: tuple[Step, ...] = ()
    counts: dict[tuple[Step, ...], int] = {}
    tokens = _Tokens(text)
    while (kind := tokens.kind) is not None:
        if kind == "\n":
            tokens.step()
        elif kind == "[":
            offset = tokens.offset
            tokens.step()
            is_array = tokens.kind == "["
            if is_array:
                tokens.step()
            table = _inside(tokens.key(), counts)
            if is_array:
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            while tokens.kind == "]":
                tokens.step()
            yield table, offset, offset
        else:
            yield from _pair(tokens, table)


def _inside(key: tuple[str, ...], counts: dict[tuple[Step, ...], int]) -> tuple[Step, ...]:
    """The path of a table's header: [nodes.x] after [[nodes]] is in the last of the nodes."""
    path: tuple[Step, ...] = ()
    for step in key[:-1]:
        path = (*path, step)
        if path in counts:
            path = (*path, counts[path])
    return (*path, *key[-1:])


def _pair(tokens: "_Tokens", table: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], int, int]]:
    offset = tokens.offset
    path = (*table, *tokens.key())
    tokens.step()  # the '='
    yield path, offset, tokens.offset
    yield from _value(tokens, path)


def _value(tokens: "_Tokens", path: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], int, int]]:
    if tokens.kind not in ("[", "{"):
        while tokens.kind not in (None, ",", "]", "}", "\n"):
            tokens.step()
        return
    is_array = tokens.kind == "["
    tokens.step()
    index = 0
    while tokens.kind not in (None, "]", "}"):
        if tokens.kind in (",", "\n"):
            tokens.step()
        elif is_array:
            yield (*path, index), tokens.offset, tokens.offset
            yield from _value(tokens, (*path, index))
            index += 1
        else:
            yield from _pair(tokens, path)
    tokens.step()


class _Tokens:
    """The tokens that matter. kind: None at the end, a mark itself, or 'word' for keys and values."""

    def __init__(self, text: str) -> None:
        self._matches = _TOKEN.finditer(text)
        self.step()

    def step(self) -> None:
        """Go to the next one."""
        self.kind: str | None = None
        self.offset = 0
        self.word = ""
        for match in self._matches:
            if match.lastgroup == "comment":
                continue
            self.offset = match.start()
            self.kind = match[0] if match.lastgroup == "mark" else "word"
            self.word = match[0].strip("\"'") if match.lastgroup == "string" else match[0]
            return

    def key(self) -> tuple[str, ...]:
        """Take a dotted key."""
        words = []
        while self.kind in ("word", "."):
            if self.kind == "word":
                words.append(self.word)
            self.step()
        return tuple(words)
