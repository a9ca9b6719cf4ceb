r"""How a line of the console is split into words: as in a shell, without its variables, globs and operators.

Blanks separate words. A backslash takes the next character as it is; at the end of a line it makes the next
line a part of this one. What is in single quotes is taken as it is; in double quotes a backslash takes a
backslash or a double quote. Where a word could begin, # begins a comment, up to the end of the line.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

_PIECE: Final = re.compile(
    r"""
      (?P<blank> \s+ )
    | (?P<comment> (?<![^\s]) \# [^\n]* )
    | ' (?P<single> [^']* ) (?P<single_end> '? )
    | " (?P<double> (?: [^"\\] | \\. )* \\? ) (?P<double_end> "? )
    | \\ (?P<escaped> .? )
    | (?P<plain> [^\s'"\\]+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_IN_DOUBLE: Final = re.compile(r'\\(["\\]|\n)')
# What a shell would take for an operator, at the beginning of a word or at its end.
_OPERATOR_FIRST: Final = re.compile(r"[;|<>]+|&+(?=\Z|&)")
_OPERATOR_LAST: Final = re.compile(r"[;|&]+\Z")
# What must be quoted to be part of a word.
_SPECIAL: Final = re.compile(r"""[\s'"\\]|^\#""")


@dataclass(frozen=True, slots=True)
class Line:
    """A line taken apart. words: without their quotes. typing: whether no blank follows the last one, which
    begins at `start`. open: the quote or backslash at which more is awaited, else ''.
    """

    words: tuple[str, ...]
    start: int
    typing: bool
    open: str

    @property
    def before(self) -> tuple[str, ...]:
        """The words before the one that is being typed."""
        return self.words[:-1] if self.typing else self.words

    @property
    def last(self) -> str:
        """The word that is being typed."""
        return self.words[-1] if self.typing else ""


def split(text: str) -> Line:
    """Take a line apart, also one that is not finished."""
    words: list[str] = []
    typing, start, awaited = False, len(text), ""
    for piece in _PIECE.finditer(text):
        if piece["blank"] is not None or piece["comment"] is not None:
            typing = False
            continue
        taken, awaited = _taken(piece, at_end=piece.end() == len(text))
        if taken is None:
            continue
        if not typing:
            words.append("")
            typing, start = True, piece.start()
        words[-1] += taken
    return Line(tuple(words), start if typing else len(text), typing, awaited)


def operator(text: str) -> str:
    """The first operator of a shell that is not quoted, else ''. The & within an address is none."""
    for piece in _PIECE.finditer(text):
        if (plain := piece["plain"]) is None:
            continue
        begins = piece.start() == 0 or text[piece.start() - 1].isspace()
        ends = piece.end() == len(text) or text[piece.end()].isspace()
        found = (begins and _OPERATOR_FIRST.match(plain)) or (ends and _OPERATOR_LAST.search(plain))
        if found:
            return found[0]
    return ""


def logical(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Lines to run, each with the number of its first line: what is unfinished takes in what follows it.
    Blank lines and comments are left out.
    """
    text, first = "", 1
    for number, line in enumerate(lines, 1):
        if not text:
            first = number
        text += line
        found = split(text)
        if found.open and line.endswith("\n"):
            continue
        if found.words or found.open:
            yield first, text.strip()
        text = ""
    if text:
        yield first, text.strip()


def quoted(word: str, quote: str = "") -> str:
    """A word as it has to be written, within a quote that is open already, or in one if need be."""
    if not quote and not _SPECIAL.search(word):
        return word
    if quote == '"' or "'" in word:
        return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"'{word}'"


def _taken(piece: re.Match[str], *, at_end: bool) -> tuple[str | None, str]:
    """What a piece adds to its word (None: nothing, not even an empty word), and what it leaves open."""
    if (plain := piece["plain"]) is not None:
        return plain, ""
    if (single := piece["single"]) is not None:
        return single, "" if piece["single_end"] else "'"
    if (double := piece["double"]) is not None:
        inner = _IN_DOUBLE.sub(lambda found: "" if found[1] == "\n" else found[1], double)
        return inner, "" if piece["double_end"] else '"'
    escaped = piece["escaped"]
    if escaped in ("", "\n"):
        return None, "\\" if at_end else ""
    return escaped, ""
