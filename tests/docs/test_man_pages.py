"""The manual pages are well-formed, agree with the program, and lead to one another."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import dsttool
from support.site import Site

ROOT = Path(dsttool.__file__).parent.parent
PAGES = sorted((ROOT / "man").glob("*.[1-8]"))
TOPICS = {
    "dsttool-config.5",
    "dsttool-internals.7",
    "dsttool-protocol.7",
    "dsttool-trouble.7",
    "dsttool-tutorial.7",
}


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "man" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_man_shows_a_page_without_warnings(page: Path) -> None:
    run = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", str(page)], capture_output=True, text=True, check=True
    )

    assert run.stderr == ""
    assert f"{page.stem.upper()}({page.suffix[1:]})" in run.stdout


def test_pages_are_what_the_tree_and_the_tables_make_of_them(generator: ModuleType) -> None:
    stale = [path.name for path, text in generator.wanted().items() if path.read_text() != text]

    assert stale == [], "run `python man/generate.py`"


def test_every_command_has_a_page_and_every_page_a_command(generator: ModuleType) -> None:
    assert {path.name for path in PAGES} == {*generator.command_pages(), "dsttool.1", *TOPICS}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_page_points_only_at_pages_that_exist(page: Path) -> None:
    pointed = re.findall(r"^\.(?:It )?Xr (dsttool\S*) (\d)", page.read_text(), flags=re.MULTILINE)

    assert {f"{name}.{section}" for name, section in pointed} <= {path.name for path in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_kept_lines_of_a_page_fit_a_terminal(page: Path) -> None:
    """Text is filled to the width there is; what is kept as it stands has to fit by itself."""
    blocks = re.findall(r"^\.Bd -literal(.*?)\n(.*?)^\.Ed", page.read_text(), flags=re.MULTILINE | re.DOTALL)

    for options, block in blocks:
        room = 73 if "-offset" in options else 75
        assert [line for line in block.replace("\\-", "-").split("\n") if len(line) > room] == []


def test_the_wheel_carries_every_page() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    shared = build["targets"]["wheel"]["shared-data"]

    for page in PAGES:
        assert shared[f"man/{page.name}"] == f"share/man/man{page.suffix[1:]}/{page.name}"


def test_man_finds_the_page_of_a_command_and_of_a_topic(site: Site) -> None:
    for words, name in (
        (("array", "up"), "dsttool-array-up.1"),
        (("config",), "dsttool-config.5"),
        ((), "dsttool.1"),
    ):
        assert Path(site.dsttool("man", "-q", *words).stdout.strip()).name == name


def test_man_shows_a_page_as_plain_text_in_a_pipe(site: Site) -> None:
    shown = site.dsttool("man", "status").stdout

    assert "DSTTOOL-STATUS(1)" in shown
    assert "\x1b" not in shown


def test_a_mistyped_page_is_answered_with_a_nearer_one(site: Site) -> None:
    done = site.dsttool("man", "aray", "up", code=3)

    assert "dsttool man array up" in done.stderr
    assert done.stdout == ""


def test_without_a_program_to_show_it_the_file_is_named(site: Site) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dsttool", "man", "status"],
        env=site.env | {"PATH": str(site.folder)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "dsttool-status.1" in done.stderr
