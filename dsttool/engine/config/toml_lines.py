"""In which line of a TOML file something is: neither tomllib nor msgspec tells.

The text has been accepted by tomllib before, so this scanner may be simple: it has to find where keys
and array elements begin, and not to be led astray by strings, comments and brackets within values.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

# A comment, a string of each of the four kinds, or one of the characters that give structure.
_TOKEN: Final = re.compile(
    r"""(?P<comment> \#[^\n]* )
      | (?P<string> \"\"\"(?:\\.|[^\\])*?\"{3,5} | '''.*?'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*' )
      | (?P<bare> [A-Za-z0-9_-]+ )
      | (?P<mark> [\[\]{},=.\n] )""",
    re.VERBOSE | re.DOTALL,
)

Step = str | int


def line_of(text: str, path: Sequence[Step]) -> int:
    """The line (from 1) of the key or element at `path`, or of the nearest thing around it.

    `path` is as in ("nodes", 0, "address"); elements are those of arrays and of [[tables]].
    """
    best_line, best_depth = 1, 0
    wanted = tuple(path)
    for found, offset in _places(text):
        depth = _common(found, wanted)
        if depth == len(found) and depth > best_depth:
            best_line, best_depth = text.count("\n", 0, offset) + 1, depth
    return best_line


def _common(found: tuple[Step, ...], wanted: tuple[Step, ...]) -> int:
    depth = 0
    for one, other in zip(found, wanted):
        if one != other:
            break
        depth += 1
    return depth


def _places(text: str) -> Iterator[tuple[tuple[Step, ...], int]]:
    """Every (path, offset) at which a key or an element begins, in the order of the file."""
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
            yield table, offset
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


def _pair(tokens: "_Tokens", table: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], int]]:
    offset = tokens.offset
    path = (*table, *tokens.key())
    yield path, offset
    tokens.step()  # the '='
    yield from _value(tokens, path)


def _value(tokens: "_Tokens", path: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], int]]:
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
            yield (*path, index), tokens.offset
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
