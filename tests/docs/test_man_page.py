"""The manual page is well-formed and knows the same commands as the program."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click

import dsttool
from dsttool.cli.tree import build

PAGE = Path(dsttool.__file__).parent.parent / "man" / "dsttool.1"


def commands(
    group: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield from commands(command, (*path, name))
    else:
        yield path, group


def described() -> set[str]:
    """Commands that have an entry of their own under COMMANDS."""
    section = PAGE.read_text().partition(".Sh COMMANDS\n")[2].partition("\n.Sh ")[0]
    return set(re.findall(r"^\.It Cm ([a-z ]+?)(?: (?:Op|Ar|Fl) .*)?$", section, flags=re.MULTILINE))


def test_man_has_no_warnings() -> None:
    run = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", str(PAGE)], capture_output=True, text=True, check=True
    )

    assert run.stderr == ""
    assert "DSTTOOL(1)" in run.stdout


def test_the_page_describes_every_command_and_no_other() -> None:
    assert described() == {" ".join(path) for path, _ in commands(build())}


def test_the_page_names_the_options_of_all_commands_and_no_others() -> None:
    known = {"help", "h"}
    for _, command in commands(build()):
        options = (p for p in command.params if isinstance(p, click.Option))
        known.update(
            name.lstrip("-") for option in options for name in (*option.opts, *option.secondary_opts)
        )

    assert set(re.findall(r"\bFl -?([a-z][a-z-]*)", PAGE.read_text())) == known
