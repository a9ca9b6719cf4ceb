"""bash, zsh and fish really complete: the same as the function over the tree, on a terminal, at TAB."""

from collections.abc import Iterable
from contextlib import closing

import pytest

from dsttool.cli import names
from dsttool.cli.completing import complete
from dsttool.cli.outline import Outlines
from dsttool.cli.tree import build
from support.shells import Shell
from support.site import Site

LINES = [
    "ar",
    "array ",
    "node s",
    "--json node ",
    "nothing ",
    "status --",
    "status --json --",
    "status -v --verb",
    "export --listen dst:// --lis",
    "--host=ssh://x node list ",
    "--host ssh://x node list ",
    "-o ",
    "status -o j",
    "status --output=j",
    "-vo ",
    "-ojson arr",
    "wait pool --for ",
    "wait --for up ",
    "array down ",
    "array down pool ",
    "array up ",
    "array show ",
    "node suspend pool ",
    "node suspend pool r",
    "node suspend --for 1m pool ",
    "node suspend -- pool ",
    "tx list pool/",
    "policy set pool/left resend",
    "policy set pool on_exhausted=",
    "policy set pool resends=2 on_",
    "array create new --layout ",
    "array create new d",
    "array create new --raw nbd+",
    "array create new --raw nbd+unix:",
    "export -- -",
    "logs ",
    "daemon stop ",
    "completion ",
    "man t",
    "man array ",
    "man array up ",
]
ONE_WORD = ("status --output=j",)


def expected(site: Site, line: str) -> set[str]:
    """What the function over the tree finds for a line, with the names of what runs in a site."""
    known = names.Known()
    known.configured_arrays = ["cold"]
    names.ask(known, site.env["DSTTOOL_RUNTIME_DIR"])
    *words, incomplete = line.split(" ")

    def listed(wanted: str, of: str) -> Iterable[tuple[str, str]]:
        return known.names(wanted, of)

    return {found.value for found in complete(Outlines(build()), words, incomplete, listed)}


@pytest.mark.parametrize("line", LINES)
def test_a_shell_finds_what_the_tree_says(
    shell: Shell, place: Site, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "ANSWER_SECONDS", 20.0)
    # zsh is told that the value alone is to be completed, and matches that.
    front = line.split(" ")[-1].partition("=")[0] + "=" if shell.name == "zsh" and line in ONE_WORD else ""

    assert shell.found(f"dsttool {line}") == {found.removeprefix(front) for found in expected(place, line)}


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ("arr", "array "),
        ("array down p", "array down pool "),
        ("node suspend pool r", "node suspend pool right "),
        ("tx list pool/r", "tx list pool/right "),
        ("status --col", "status --color "),
        ("status --color=al", "status --color=always "),
        ("policy set pool ping_i", "policy set pool ping_interval="),
        ("policy set pool on_exhausted=fr", "policy set pool on_exhausted=freeze "),
        ("array create new nbd+u", "array create new nbd+unix:///"),
        ("array create new nbds+unix:", "array create new nbds+unix:///"),
        ("array create new ./pl", "array create new ./plain.img "),
        ("key show plai", "key show plain.img "),
        ("key show with", "key show with\\ blank.img "),
        ("export --key=plai", "export --key=plain.img "),
        ('array down "po', 'array down "pool" '),
        ("array down 'po", "array down 'pool' "),
        ('node suspend "pool" r', 'node suspend "pool" right '),
        ("nothing arr", "nothing arr"),
        ("--host ssh://x array show po", "--host ssh://x array show po"),
    ],
)
def test_tab_completes_the_line(shell: Shell, line: str, after: str) -> None:
    assert shell.after_tab(f"dsttool {line}") == f"dsttool {after}"


def test_tab_completes_a_word_in_the_middle(shell: Shell) -> None:
    after = shell.after_tab("dsttool array down po --json", back=len(" --json"))

    assert " ".join(after.split()) == "dsttool array down pool --json"


def test_zsh_finds_the_script_in_its_folder_of_functions(place: Site) -> None:
    with closing(Shell(place, "zsh", in_fpath=True)) as zsh:
        assert zsh.after_tab("dsttool array down p") == "dsttool array down pool "
        assert zsh.after_tab("dsttool array sh") == "dsttool array show "
