"""What may be typed next on a command line: a pure function over the tree's outline.

The shells' scripts do the same from tables that are made of the same outline (dsttool.cli.shells).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from dsttool.cli.kinds import Kind
from dsttool.cli.outline import OptionOutline, Outline, Outlines

# The names of a list (dsttool.cli.names, or "file" and "folder") that are of, or begin with, a word.
Names = Callable[[str, str], Iterable[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the word under the cursor may become, and what that is."""

    value: str
    help: str = ""

    @property
    def whole(self) -> bool:
        """Whether the word ends there: after what ends in '=', ':' or '/' more of it is to be typed."""
        return not self.value.endswith(("=", ":", "/"))


@dataclass
class Walk:
    """Where the words before the cursor lead. pending: an option that waits for its value. literal: after --,
    where nothing is an option. remote: another machine is meant, whose names are not known here.
    """

    outline: Outline
    words: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    pending: OptionOutline | None = None
    literal: bool = False
    remote: bool = False
    lost: bool = False


def walk(outlines: Outlines, words: Sequence[str]) -> Walk:
    """Follow the words of a command line, without the program's name. `lost` after a command that is none."""
    here = Walk(outlines[()])
    for word in words:
        if here.pending is not None:
            here.pending = None
        elif word == "--" and not here.literal:
            here.literal = True
        elif word.startswith("--") and not here.literal:
            form, equals, _ = word.partition("=")
            _use(here, form, pending=not equals)
        elif word.startswith("-") and len(word) > 1 and not here.literal:
            _use_short(here, word)
        elif here.outline.commands:
            path = (*here.outline.path, word)
            try:
                here.outline = outlines[path]
            except LookupError:
                here.lost = True
                return here
            here.literal = False
        else:
            here.words.append(word)
    return here


def complete(outlines: Outlines, words: Sequence[str], incomplete: str, names: Names) -> list[Candidate]:
    """Candidates for `incomplete`, a word that follows `words`; each begins with it."""
    here = walk(outlines, words)
    if here.lost:
        return []
    if here.pending is not None:
        return _values(here, here.pending.kind, incomplete, "", names)
    if incomplete.startswith("-") and not here.literal:
        form, equals, value = incomplete.partition("=")
        if equals:
            option = here.outline.option(form)
            return _values(here, option.kind if option else None, value, f"{form}=", names)
        return _options(here, incomplete)
    if here.outline.commands:
        explained = outlines.explained(here.outline.path)
        return [Candidate(name, about) for name, about in explained if name.startswith(incomplete)]
    return _values(here, _argument(here.outline, len(here.words)), incomplete, "", names)


def _argument(outline: Outline, index: int) -> Kind | None:
    if index < len(outline.arguments):
        return outline.arguments[index]
    return outline.arguments[-1] if outline.endless else None


def _use(here: Walk, form: str, *, pending: bool) -> None:
    here.used.add(form)
    here.remote = here.remote or form == "--host"
    option = here.outline.option(form)
    if option is not None:
        here.used.update(option.forms)
        if option.kind is not None and pending:
            here.pending = option


def _use_short(here: Walk, word: str) -> None:
    """-q, -qv, -ojson: letters are options up to one with a value, which is the rest or the next word."""
    for index, letter in enumerate(word[1:], 2):
        _use(here, f"-{letter}", pending=index == len(word))
        option = here.outline.option(f"-{letter}")
        if option is not None and option.kind is not None:
            return


def _options(here: Walk, incomplete: str) -> list[Candidate]:
    return [
        Candidate(form, option.help)
        for option in here.outline.options
        if option.repeats or not here.used.intersection(option.forms)
        for form in option.forms
        if form.startswith(incomplete)
    ]


def _values(here: Walk, kind: Kind | None, incomplete: str, before: str, names: Names) -> list[Candidate]:
    """What a value of a kind may be. before: what stands before it in the same word."""
    if kind is None:
        return []
    found = list(kind.words)
    if kind.live and not here.remote:
        found += names(kind.live, here.words[0] if kind.of_first and here.words else "")
    if kind.files in ("file", "folder") or (
        kind.files == "path" and "/" in incomplete and "://" not in incomplete
    ):
        found += names("folder" if kind.files == "folder" else "file", incomplete)
    taken = set() if before or here.pending else set(here.words)
    return [
        Candidate(before + value, about)
        for value, about in found
        if value.startswith(incomplete) and value not in taken
    ]
