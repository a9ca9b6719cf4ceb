"""The command tree as plain data: what there is to complete after each command's words."""

from collections.abc import Iterator
from dataclasses import dataclass

import click

from dsttool.cli.kinds import TEXT, Kind, Word, kinds_of

Path = tuple[str, ...]
_HELP_LENGTH = 200


@dataclass(frozen=True, slots=True)
class OptionOutline:
    """An option. forms: as typed, short ones first. kind: of its value, None if it takes none. repeats:
    whether giving it several times says more than giving it once.
    """

    forms: tuple[str, ...]
    kind: Kind | None
    repeats: bool
    help: str


@dataclass(frozen=True, slots=True)
class Outline:
    """A group or a command. commands: names, of a group. arguments: kinds of the words that follow a
    command; if `endless`, the last stands for all further words. required: how many words there have to be.
    """

    path: Path
    commands: tuple[str, ...]
    options: tuple[OptionOutline, ...]
    arguments: tuple[Kind, ...]
    endless: bool
    required: int

    def option(self, form: str) -> OptionOutline | None:
        """The option that has this form."""
        return next((each for each in self.options if form in each.forms), None)


class Outlines:
    """Outlines of a tree, each made when it is asked for: a command's module is imported then."""

    def __init__(self, tree: click.Command) -> None:
        self._contexts: dict[Path, click.Context] = {
            (): click.Context(tree, info_name="dsttool", **tree.context_settings)
        }
        self._made: dict[Path, Outline] = {}

    def __getitem__(self, path: Path) -> Outline:
        """The outline of a path that exists. LookupError for others."""
        if path not in self._made:
            self._made[path] = _outline(path, self._context(path))
        return self._made[path]

    def command(self, path: Path) -> click.Command:
        """The command of a path that exists. LookupError for others."""
        return self._context(path).command

    def explained(self, path: Path) -> list[Word]:
        """The commands of a group, each with what it is for; which imports them all."""
        return [(name, _sentence(self.command((*path, name)).help or "")) for name in self[path].commands]

    def all(self) -> Iterator[Outline]:
        """Every group and command, in the order of the tree."""
        paths: list[Path] = [()]
        while paths:
            found = self[paths.pop(0)]
            yield found
            paths[:0] = [(*found.path, name) for name in found.commands]

    def _context(self, path: Path) -> click.Context:
        if path not in self._contexts:
            above = self._context(path[:-1])
            assert isinstance(above.command, click.Group)
            command = above.command.get_command(above, path[-1])
            if command is None:
                raise LookupError(path)
            self._contexts[path] = click.Context(command, parent=above, info_name=path[-1])
        return self._contexts[path]


def _outline(path: Path, context: click.Context) -> Outline:
    command = context.command
    commands = command.list_commands(context) if isinstance(command, click.Group) else ()
    options: list[OptionOutline] = []
    arguments: list[Kind] = []
    endless = False
    required = 0
    for parameter in command.get_params(context):
        kinds = _kinds(" ".join(path), parameter)
        if isinstance(parameter, click.Option):
            if not parameter.hidden:
                options.append(_option(parameter, kinds))
        else:
            arguments += kinds
            endless = parameter.nargs == -1
            required += parameter.required
    return Outline(path, tuple(commands), tuple(options), tuple(arguments), endless, required)


def _option(option: click.Option, kinds: tuple[Kind, ...]) -> OptionOutline:
    forms = sorted((*option.opts, *option.secondary_opts), key=lambda form: form.startswith("--"))
    repeats = option.multiple or option.count
    return OptionOutline(tuple(forms), kinds[0] if kinds else None, repeats, _sentence(option.help or ""))


def _kinds(path: str, parameter: click.Parameter) -> tuple[Kind, ...]:
    try:
        return kinds_of(path, parameter)
    except LookupError:
        return (TEXT,)


def _sentence(text: str) -> str:
    """The first sentence of a help in one line, without its full stop."""
    words = " ".join(text.partition("\n\n")[0].partition("\b")[0].split())
    end = next(
        (i for i, letter in enumerate(words) if letter == "." and words[i + 1 : i + 3].strip()[:1].isupper()),
        len(words),
    )
    return words[:end][:_HELP_LENGTH].removesuffix(".")
