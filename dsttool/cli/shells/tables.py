"""The tables of the completion scripts, in each shell's own words."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from dsttool.cli import kinds
from dsttool.cli.kinds import Kind, Word
from dsttool.cli.outline import Outline, Outlines

SHELLS: Final = ("bash", "zsh", "fish")
_MARK: Final = "@TABLES@"


class _Bash:
    """Lists are words in one text; bash shows no help."""

    begin, end = "{name}() {{", "}"
    switch, esac = "    case $1 in", "    esac"
    case = "    {})"
    close: tuple[str, ...] = ("        ;;",)
    nothing = "subcommands= switches= operands="

    @staticmethod
    def quoted(text: str) -> str:
        return "'" + text.replace("'", "'\\''") + "'"

    def assign(self, variable: str, value: str) -> str:
        return f"        {variable}={self.quoted(value)}"

    def listed(self, variable: str, words: Sequence[Word]) -> list[str]:
        return [self.assign(variable, " ".join(word for word, _ in words))]


class _Zsh(_Bash):
    """Lists are arrays of a word, a tab and its help."""

    case = "    ({})"
    nothing = "subcommands=() switches=() operands=()"

    def listed(self, variable: str, words: Sequence[Word]) -> list[str]:
        rows = [f"            {self.quoted(_with_help(word))}" for word in words]
        return [f"        {variable}=(", *rows, "        )"]


class _Fish(_Bash):
    """As zsh's, and functions set variables of their callers."""

    begin, end = "function {name} --no-scope-shadowing", "end"
    switch, esac = "    switch $argv[1]", "    end"
    case, close = "        case {}", ()
    nothing = "set subcommands; set switches; set operands"

    @staticmethod
    def quoted(text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    def assign(self, variable: str, value: str) -> str:
        return f"            set {variable} {self.quoted(value)}"

    def listed(self, variable: str, words: Sequence[Word]) -> list[str]:
        rows = [f"                {self.quoted(_with_help(word))}" for word in words]
        joined = " \\\n".join([f"            set {variable}", *rows])
        return joined.split("\n")


_WRITERS: Final = {"bash": _Bash(), "zsh": _Zsh(), "fish": _Fish()}


def script(shell: str, outlines: Outlines) -> str:
    """The completion script for one of SHELLS."""
    template = Path(__file__).with_name(f"template.{shell}").read_text()
    write = _WRITERS[shell]
    lines = [
        *_commands(write, outlines, "__dsttool_at" if shell == "fish" else "_dsttool_at"),
        "",
        "# What values of a kind can be.",
        *_kinds(write, outlines.all(), "__dsttool_kind" if shell == "fish" else "_dsttool_kind"),
    ]
    return template.replace(_MARK, "\n".join(lines))


def _commands(write: _Bash, outlines: Outlines, name: str) -> list[str]:
    lines = [write.begin.format(name=name), f"    {write.nothing}", write.switch]
    for outline in outlines.all():
        lines.append(write.case.format(write.quoted(" ".join(outline.path))))
        if outline.commands:
            lines += write.listed("subcommands", outlines.explained(outline.path))
        options = [
            (f"{','.join(each.forms)}:{_value(each.kind)}{'*' if each.repeats else ''}", each.help)
            for each in outline.options
        ]
        lines += write.listed("switches", options)
        if outline.arguments:
            named = [(_value(kind), "") for kind in outline.arguments]
            if outline.endless:
                named[-1] = (named[-1][0] + "...", "")
            lines += write.listed("operands", named)
        lines += write.close
    return [*lines, write.esac, write.end]


def _kinds(write: _Bash, found: Iterable[Outline], name: str) -> list[str]:
    """What values of a kind can be; of plain text and of choices there is nothing to say."""
    used: dict[str, Kind] = {}
    for outline in found:
        for kind in (*(option.kind for option in outline.options), *outline.arguments):
            if kind is not None and kind.name and kind not in (kinds.TEXT, kinds.COMMAND):
                used[kind.name] = kind
    lines = [write.begin.format(name=name), write.switch]
    for kind in used.values():
        lines.append(write.case.format(kind.name))
        if kind.words:
            lines += write.listed("choices", kind.words)
        if kind.live:
            lines.append(write.assign("live", f"{kind.live} 1" if kind.of_first else kind.live))
        if kind.files:
            lines.append(write.assign("files", kind.files))
        lines += write.close
    return [*lines, write.esac, write.end]


def _value(kind: Kind | None) -> str:
    """A kind as the tables name it: `-` is none at all, `=a|b` a choice."""
    if kind is None:
        return "-"
    return kind.name or "=" + "|".join(word for word, _ in kind.words)


def _with_help(word: Word) -> str:
    return f"{word[0]}\t{word[1]}" if word[1] else word[0]
