#!/usr/bin/env python3
"""Make the manual pages of the commands from the command tree, and the parts of others that come from tables.

    python man/generate.py           write what is out of date
    python man/generate.py --check   write nothing; exit 1 and name what is out of date

A command's page is its help: docstring, options, epilog. So there is nothing to edit here but how pages look.
In hand-written pages and in pyproject.toml the lines between `begin NAME` and `end NAME` are generated.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import click

from dsttool.cli.tree import build
from dsttool.engine.control.metrics import Reading, families
from dsttool.engine.vocabulary import states
from dsttool.engine.vocabulary.event_kinds import KINDS
from dsttool.engine.vocabulary.status import DaemonStatus

FOLDER: Final = Path(__file__).parent
PROJECT: Final = FOLDER.parent
DATE: Final = "November 22, 2026"
# Commands by which somebody looks what is wrong.
LOOKS: Final = {("status",), ("events",), ("doctor",), ("logs",), ("tx", "list"), ("array", "up"), ("wait",)}
# The root takes the shared options, and no others.
SHARED_OPTIONS: Final = [option for option in build().params if isinstance(option, click.Option)]
SHARED: Final = frozenset(name for option in SHARED_OPTIONS for name in option.opts)
_BLOCK: Final = re.compile(
    r"(?ms)^(?P<begin>[^\n]*\bbegin (?P<name>[\w-]+)\n).*?(?P<end>^[^\n]*\bend (?P=name)$)"
)


# -- text ------------------------------------------------------------------------------------------


def escaped(text: str) -> str:
    """Text as mdoc takes it in the middle of a line: nothing of it is a macro or an escape."""
    return text.replace("\\", "\\e").replace("--", "\\-\\-")


def prose(text: str) -> list[str]:
    """A paragraph of a help as lines of mdoc, one a sentence; `quoted` words stand out."""
    words = " ".join(text.split())
    sentences = re.split(r"(?<=[.!?])(?<!e\.g\.) (?=[A-Z0-9`])", words)
    lines = []
    for sentence in sentences:
        # \% keeps `dsttool` of a command that is copied from the page from being hyphenated.
        line = re.sub(r"`([^`]+)`", r"\\fB\\%\1\\fP", escaped(sentence))
        lines.append(f"\\&{line}" if line[:1] in (".", "'") else line)
    return lines


def literal(lines: Sequence[str]) -> list[str]:
    """Lines kept as they are."""
    shown = [escaped(line) for line in lines]
    return [
        ".Bd -literal -offset 2n",
        *(f"\\&{line}" if line[:1] in (".", "'") else line for line in shown),
        ".Ed",
    ]


def paragraphs(text: str) -> list[str]:
    """A help text as mdoc: paragraphs, and after a line with \\b only, lines that are kept."""
    lines: list[str] = []
    for index, block in enumerate(re.split(r"\n\s*\n", text.strip())):
        rows = block.split("\n")
        kept = rows[0].strip() == "\b"
        if index and not kept:
            lines.append(".Pp")
        if kept:
            rows = [rows[0], *(row for row in rows[1:] if row.strip() not in ("Example:", "Examples:"))]
            indent = min((len(row) - len(row.lstrip()) for row in rows[1:] if row.strip()), default=0)
            lines += literal([row[indent:] for row in rows[1:]])
        else:
            lines += prose(block)
    return lines


def unindented(text: str) -> str:
    """A docstring without the indentation of its code."""
    first, newline, rest = text.partition("\n")
    indents = [
        len(row) - len(row.lstrip()) for row in rest.split("\n") if row.strip() and row.strip() != "\b"
    ]
    cut = min(indents, default=0)
    return (
        first.strip()
        + newline
        + "\n".join(row[cut:] if row.strip() != "\b" else "\b" for row in rest.split("\n"))
    )


# -- one command -----------------------------------------------------------------------------------


def commands(
    command: click.Command, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every group and every command with its words, in the order of the tree."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from commands(below, (*path, name))


def value_of(option: click.Option) -> str:
    """What an option's value is called; '' if it takes none."""
    if option.is_flag or option.count:
        return ""
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "|".join(str(choice) for choice in option.type.choices)
    return option.type.name.upper() if option.type.name != "text" else "TEXT"


def flags_of(option: click.Option) -> str:
    """An option's names and value, as in `-f, --follow`."""
    names = sorted([*option.opts, *option.secondary_opts], key=lambda name: (name.startswith("--"), name))
    return ", ".join(f"\\fB{escaped_option(name)}\\fP" for name in names) + _value(option)


def _value(option: click.Option) -> str:
    value = value_of(option)
    return f" \\fI{escaped(value)}\\fP" if value else ""


def escaped_option(name: str) -> str:
    """An option's name with hyphens that can be searched for and copied."""
    return name.replace("-", "\\-")


def own_options(command: click.Command) -> list[click.Option]:
    """A command's options without those that all commands share."""
    return [
        each
        for each in command.params
        if isinstance(each, click.Option) and not each.hidden and not set(each.opts) & SHARED
    ]


def shared_of(command: click.Command) -> list[click.Option]:
    """The shared options that mean something for a command."""
    return [each for each in command.params if isinstance(each, click.Option) and set(each.opts) & SHARED]


def synopsis(path: tuple[str, ...], command: click.Command) -> list[str]:
    """How a command is written, in lines of mdoc."""
    lines = [".Nm dsttool", f".Cm {' '.join(path[1:])}"] if len(path) > 1 else [".Nm dsttool"]
    if isinstance(command, click.Group):
        return [*lines, ".Ar COMMAND", ".Op Ar ARGUMENT ..."]
    for option in own_options(command):
        value = f" Ar {value_of(option)}" if value_of(option) else ""
        name = max(option.opts, key=len)
        written = f"Fl {name[1:]}{value}{' ...' if option.multiple else ''}"
        lines.append(f".{written}" if option.required else f".Op {written}")
    for argument in command.params:
        if isinstance(argument, click.Argument):
            shown = argument.metavar or argument.human_readable_name.upper()
            bare = shown.strip("[].") if argument.metavar is None else shown
            many = " ..." if argument.nargs == -1 and "..." not in bare else ""
            bracketed = bare.startswith("[") or argument.required
            lines.append(f".Ar {bare}{many}" if bracketed else f".Op Ar {bare}{many}")
    return lines


def summary(command: click.Command) -> str:
    """The first sentence of a help, without its full stop, as the NAME section has it."""
    first = " ".join(unindented(command.help or "").split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.!?])\s", first)[0].rstrip(".")
    return sentence[:1].lower() + sentence[1:]


def option_list(options: Sequence[click.Option]) -> list[str]:
    """Options with what they do."""
    lines = [".Bl -tag -width Ds"]
    for option in options:
        lines += [f".It {flags_of(option)}", *prose(option.help or "")]
    return [*lines, ".El"]


def subcommand_list(path: tuple[str, ...], group: click.Group) -> list[str]:
    """What is below a group."""
    context = click.Context(group)
    lines = [".Bl -tag -width Ds"]
    for name in group.list_commands(context):
        below = group.get_command(context, name)
        if below is not None and not below.hidden:
            text = summary(below)
            lines += [f".It Xr {'-'.join((*path, name))} 1", f"{escaped(text[:1].upper() + text[1:])}."]
    return [*lines, ".El"]


def page(path: tuple[str, ...], command: click.Command, below: Sequence[tuple[str, ...]]) -> str:
    """The manual page of one command or group. below: the commands of its group, to point at."""
    name = "-".join(path)
    lines = [
        ".\\\" Made by man/generate.py from the command's help; what is changed here is lost.",
        *(f".Dd {DATE}", f".Dt {name.upper()} 1", ".Os"),
        *(".Sh NAME", f".Nm {name}", f".Nd {escaped(summary(command))}"),
        *(".Sh SYNOPSIS", *synopsis(path, command)),
        *(".Sh DESCRIPTION", *paragraphs(unindented(command.help or ""))),
    ]
    if isinstance(command, click.Group):
        lines += [".Sh COMMANDS", *subcommand_list(path, command)]
    elif own_options(command):
        lines += [".Sh OPTIONS", *option_list(own_options(command))]
    if not isinstance(command, click.Group):
        names = [f"\\fB{escaped_option(max(o.opts, key=len))}\\fP" for o in shared_of(command)]
        lines += [".Pp" if own_options(command) else ".Sh OPTIONS", _listed(names)]
    if command.epilog:
        lines += [".Sh EXAMPLES", *paragraphs(re.sub(r"^Examples?:\s*", "", unindented(command.epilog)))]
    lines += [".Sh EXIT STATUS", "0 when it is done; what other codes mean is listed in", ".Xr dsttool 1 ."]
    lines += [".Sh SEE ALSO", *see_also(path, below)]
    return "\n".join(lines) + "\n"


def _listed(names: Sequence[str]) -> str:
    return "It also takes these options, which are explained in dsttool(1): " + ", ".join(names) + "."


def see_also(path: tuple[str, ...], below: Sequence[tuple[str, ...]]) -> list[str]:
    """The pages above and beside this one."""
    around = {path[:-1] or ("dsttool",), ("dsttool",), *below} - {path}
    pages = [f"{'-'.join(each)} 1" for each in sorted(around)]
    if path[1:] in LOOKS:
        pages.append("dsttool-trouble 7")
    return [f".Xr {page}" + (" ," if page != pages[-1] else "") for page in pages]


# -- everything ------------------------------------------------------------------------------------


def command_pages() -> dict[str, str]:
    """The text of every command's page, by file name."""
    every = list(commands(build(), ("dsttool",)))
    pages = {}
    for path, command in every:
        if len(path) == 1:
            continue  # dsttool.1 is written by hand, but for its list of commands
        siblings = [
            other for other, _ in every if len(other) > 1 and other[:-1] == path[:-1] and len(path) > 2
        ]
        children = [other for other, _ in every if other[:-1] == path]
        pages[f"{'-'.join(path)}.1"] = page(path, command, children or siblings)
    return pages


def overview() -> list[str]:
    """The list of all commands for dsttool.1."""
    lines = [".Bl -tag -width Ds"]
    for path, command in commands(build(), ("dsttool",)):
        if not isinstance(command, click.Group):
            text = summary(command)
            lines += [f".It Xr {'-'.join(path)} 1", f"{escaped(text[:1].upper() + text[1:])}."]
    return [*lines, ".El"]


def shared_list() -> list[str]:
    """The shared options for dsttool.1."""
    return option_list(SHARED_OPTIONS)


def machine(name: str) -> Callable[[], list[str]]:
    """One state machine as a diagram: under each state what leads out of it, and where to."""

    def drawn() -> list[str]:
        table = states.MACHINES[name]
        width = max(len(step.after) for step in table)
        rows = []
        for state in dict.fromkeys(step.before for step in table):
            rows.append(state)
            steps = [step for step in table if step.before == state]
            for step in steps:
                corner = "`" if step is steps[-1] else "|"
                rows.append(f"  {corner}-> {step.after:<{width}}  {step.event}")
        return literal(rows)

    return drawn


def event_list() -> list[str]:
    """Every kind of event with its level, what it says, and what to do."""
    lines = [".Bl -tag -width Ds -compact"]
    for name, kind in KINDS.items():
        lines += [f".It Li {name} Pq {kind.level}", *prose(kind.says)]
        if kind.do:
            first, *more = prose(kind.do)
            lines += [".br", f"\\(-> {first}", *more]
    return [*lines, ".El"]


def metric_list() -> list[str]:
    """Every metric with its type, its labels and its help."""
    nobody: DaemonStatus = {
        "name": "",
        "kind": None,
        "instance": None,
        "state": "",
        "reason": None,
        "pid": None,
        "version": None,
        "since_ns": None,
        "socket": "",
        "serves": [],
        "refusals": {},
    }
    lines = [".Bl -tag -width Ds -compact"]
    for family in families(Reading(nobody)):
        name = family.name + "_total" * (family.type == "counter")
        labels = ", ".join(family._labelnames)
        about = f"{family.type}: {labels}" if labels else family.type
        lines += [f".It Li {name} Pq {about}", *prose(family.documentation)]
    return [*lines, ".El"]


def wheel_entries() -> list[str]:
    """Where the wheel puts the pages, for pyproject.toml."""
    names = sorted({*command_pages(), *(each.name for each in FOLDER.glob("*.[1-8]"))})
    return [f'"man/{name}" = "share/man/man{name[-1]}/{name}"' for name in names]


BLOCKS: Final[Mapping[str, Callable[[], list[str]]]] = {
    "commands": overview,
    "shared-options": shared_list,
    "man-pages": wheel_entries,
    "events": event_list,
    "metrics": metric_list,
    **{f"machine-{name}": machine(name) for name in states.MACHINES},
}


def with_blocks(text: str) -> str:
    """A text with its generated parts made anew. KeyError for a part that nothing makes."""
    return _BLOCK.sub(
        lambda found: found["begin"] + "\n".join(BLOCKS[found["name"]]()) + "\n" + found["end"], text
    )


def wanted() -> dict[Path, str | None]:
    """What every generated file should hold; None for a page whose command has gone."""
    pages: dict[Path, str | None] = {FOLDER / name: text for name, text in command_pages().items()}
    for path in FOLDER.glob("dsttool-*.1"):
        pages.setdefault(path, None)
    for path in (*FOLDER.glob("*.[1-8]"), PROJECT / "pyproject.toml"):
        if path not in pages:
            pages[path] = with_blocks(path.read_text())
    return pages


def main() -> int:
    """Bring everything up to date, or say what is not."""
    stale = {path: text for path, text in wanted().items() if not path.exists() or path.read_text() != text}
    for path, text in stale.items():
        print(path.relative_to(PROJECT))
        if "--check" in sys.argv[1:]:
            continue
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
