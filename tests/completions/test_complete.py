"""What may be typed next, as a function over the tree and the names it is given."""

import click
import pytest

from dsttool.cli.completing import Candidate, complete
from dsttool.cli.kinds import kinds_of
from dsttool.cli.outline import Outlines
from dsttool.cli.tree import build

OUTLINES = Outlines(build())


def names(wanted: str, of: str) -> list[tuple[str, str]]:
    if wanted in ("file", "folder"):
        return [(f"{of}x", wanted)]
    return [(f"{wanted}:{of}" if of else wanted, "a name")]


def found(line: str) -> list[str]:
    *words, incomplete = line.split(" ")
    return [each.value for each in complete(OUTLINES, words, incomplete, names)]


def test_every_value_on_every_command_line_is_of_a_known_kind() -> None:
    """What is new in the tree gets its kind in dsttool/cli/kinds.py."""
    for outline in OUTLINES.all():
        command = OUTLINES.command(outline.path)
        for parameter in command.params:
            try:
                kinds_of(" ".join(outline.path), parameter)
            except LookupError:
                pytest.fail(f"{' '.join(outline.path)}: {parameter.name} is of no known kind")


def test_commands_come_in_the_order_of_the_tree_with_what_they_are_for() -> None:
    tree = build()
    assert isinstance(tree, click.Group)
    assert found("") == tree.list_commands(click.Context(tree))
    assert complete(OUTLINES, [], "vers", names) == [
        Candidate("version", "Show the version of dsttool and of what it runs on")
    ]


def test_an_option_is_offered_in_all_its_forms_and_not_after_it_was_given() -> None:
    assert {"-o", "--output", "-h", "--help"} <= set(found("status -"))
    assert not {"-o", "--output"} & set(found("status -o json -"))
    assert not {"-o", "--output"} & set(found("-ojson status -"))
    assert not {"--json"} & set(found("array --json list -"))


def test_an_option_that_may_be_repeated_is_offered_again() -> None:
    assert "--listen" in found("export --listen dst:// --l")
    assert "--verbose" in found("status -v --v")


def test_names_are_of_the_kind_that_the_command_takes() -> None:
    assert found("array down ") == ["arrays"]
    assert found("array up ") == ["startable-arrays"]
    assert found("wait ") == ["served"]
    assert found("daemon stop ") == ["daemons"]


def test_pages_are_those_of_the_command_before() -> None:
    assert found("man ") == ["pages"]
    assert found("man array ") == ["pages:array"]
    assert found("man array up ") == []


def test_members_are_those_of_the_array_before_wherever_options_stand() -> None:
    assert found("node suspend pool ") == ["nodes:pool"]
    assert found("--json node suspend --for 1m pool --quiet ") == ["nodes:pool"]


def test_another_machines_names_are_not_known() -> None:
    assert found("--host ssh://x node list ") == []
    assert found("node list --host=ssh://x ") == []


def test_a_word_that_was_given_is_not_offered_again() -> None:
    assert found("array down arrays ") == []


def test_after_two_hyphens_nothing_is_an_option() -> None:
    assert found("node list -- -") == []
    assert "suspend" in found("node -- ")
    assert found("array down -- ") == ["arrays"]


def test_the_value_of_an_option_is_completed_after_it_and_after_its_equals_sign() -> None:
    assert found("status --output j") == ["json", "jsonl"]
    assert found("status --output=j") == ["--output=json", "--output=jsonl"]
    assert found("status -qo j") == ["json", "jsonl"]
    assert found("status -ojson ") == ["served"]


def test_files_are_offered_where_they_can_be_meant() -> None:
    assert "./ax" in found("array create new ./a")
    assert not [each for each in found("array create new dst://a") if each.endswith("x")]
    assert found("key show a") == ["ax"]


@pytest.mark.parametrize("line", ["nothing ", "array nothing ", "version ", "node suspend pool left "])
def test_where_nothing_can_follow_nothing_is_offered(line: str) -> None:
    assert found(line) == []


def test_what_is_only_begun_takes_no_blank_after_it() -> None:
    assert not Candidate("resends=").whole
    assert not Candidate("dst://").whole
    assert Candidate("pool/left").whole
