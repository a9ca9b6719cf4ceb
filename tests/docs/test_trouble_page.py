"""The page for bad nights: its commands are right, and it leaves out no state, event or metric."""

import re
import shlex
from pathlib import Path

import click
import pytest

import dsttool
from dsttool.cli.tree import build
from dsttool.engine.control.metrics import ARRAY_STATES, EXPORT_STATES, MEMBER_STATES
from support.site import Site

PAGE = (Path(dsttool.__file__).parent.parent / "man" / "dsttool-trouble.7").read_text()
LINES = re.findall(r"^\$ (.*)$", PAGE, flags=re.MULTILINE)


def read(words: list[str]) -> None:
    """Read the words of a command as if to run it. Raises click's errors.

    With the root's own settings: a command keeps the help option of the first context that asks it, for every
    test after this one too.
    """
    command: click.Command = build()
    context = click.Context(command, info_name="dsttool", **command.context_settings)
    while isinstance(command, click.Group):
        _, below, words = command.resolve_command(context, words)
        assert below is not None
        command = below
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=command.name, parent=context)
    command.make_context(command.name, list(words), parent=context)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("dsttool ")])
def test_a_command_of_the_page_is_read_as_it_stands(line: str) -> None:
    read(shlex.split(line)[1:])


def test_nothing_else_is_typed_in_the_page_but_a_signal() -> None:
    others = [line for line in LINES if not line.startswith("dsttool ")]

    assert len(LINES) > 20
    assert others == ['kill -USR1 "$(cat /run/dsttool/pool.lock)"']


def test_every_state_is_explained() -> None:
    section = PAGE.partition(".Sh STATES")[2].partition("\n.Sh ")[0]
    titles = re.findall(r"^\.It Li (.*)$", section, flags=re.MULTILINE)
    states = {*ARRAY_STATES, *MEMBER_STATES, *EXPORT_STATES, "unreachable", "up", "down"}

    assert {state.replace("_", " ") for state in states} <= set(titles)


def test_alarms_ask_for_metrics_that_there_are() -> None:
    alarms = PAGE.partition("Worth an alarm:")[2].partition(".Ed")[0]
    listed = set(re.findall(r"^\.It Li (dsttool_\w+) Pq", PAGE, flags=re.MULTILINE))
    asked = set(re.findall(r"dsttool_\w+", alarms))

    assert asked
    assert asked <= listed


def test_what_is_said_to_be_above_is_above() -> None:
    events = PAGE.partition("begin events")[2]
    pointed = set(re.findall(r"\\fB\\%([A-Z][^\\]*)\\fP above", events))

    assert pointed
    assert pointed <= set(re.findall(r"^\.Ss (.*)$", PAGE, flags=re.MULTILINE))


def test_a_disk_that_died_is_replaced_as_the_page_says(site: Site) -> None:
    exported = site.export(site.file("b", 4 << 20), "b")
    site.dsttool(
        *("array", "create", "pool", "--layout", "mirror", "--raw"), site.file("a", 4 << 20), site.dst("b")
    )
    site.dsttool("array", "up", "pool")
    exported.kill()
    site.export(site.file("new", 4 << 20), "b")
    site.dsttool("cp", site.file("photos", 1 << 20, b"p" * (1 << 20)), "pool")

    section = PAGE.partition(".Ss A disk has died")[2].partition(".Ed")[0]
    for line in re.findall(r"^\$ dsttool (.*)$", section, flags=re.MULTILINE):
        site.dsttool(*shlex.split(line))

    assert site.json("status", "pool")["arrays"][0]["state"] == "online"
    assert site.path("new").read_bytes()[: 1 << 20] == b"p" * (1 << 20)
    site.dsttool("array", "down", "pool")
