"""Rules of style that no linter knows."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dsttool

PACKAGE = Path(dsttool.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))


def named(source: Path) -> str:
    return str(source.relative_to(PACKAGE))


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{named(source)}:{node.lineno} {node.name}", node


def test_no_file_is_longer_than_500_lines() -> None:
    assert [named(s) for s in SOURCES if len(s.read_text().splitlines()) > 500] == []


def test_functions_fit_on_a_screen() -> None:
    assert [name for name, f in functions() if (f.end_lineno or 0) - f.lineno + 1 > 70] == []


def test_every_folder_of_sources_is_a_package_that_says_what_it_is_for() -> None:
    for folder in {source.parent for source in SOURCES}:
        initial = folder / "__init__.py"
        assert initial.exists(), f"{named(folder)} has no __init__.py"
        assert ast.get_docstring(ast.parse(initial.read_text())), f"{named(initial)} has no docstring"


def test_nothing_is_left_to_do_in_the_sources() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    assert [named(s) for s in SOURCES if any(mark in s.read_text() for mark in marks)] == []


def test_the_wire_can_be_used_without_the_rest() -> None:
    """Other programs may speak the protocol with these modules; they must not get an engine with them."""
    code = (
        "import sys, dsttool.engine.wire as room, pkgutil, importlib\n"
        "for module in pkgutil.iter_modules(room.__path__, room.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        "heavy = {'click', 'msgspec', 'tomlkit', 'socket', 'dsttool.engine.runtime'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
