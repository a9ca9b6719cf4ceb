"""The README's tutorial does what it says, line by line."""

import re
import sys
from pathlib import Path

import dsttool
from support.site import Site

ROOT = Path(dsttool.__file__).parent.parent
README = (ROOT / "README.md").read_text()


def tutorial() -> str:
    """The shell blocks under the tutorial's heading, in order."""
    _, heading, rest = README.partition("\n## A tutorial of five minutes\n")
    assert heading
    section = rest.partition("\n## ")[0]
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL))


def test_the_tutorial_runs_as_it_stands(site: Site) -> None:
    launcher = site.path("bin") / "dsttool"
    launcher.parent.mkdir()
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dsttool "$@"\n')
    launcher.chmod(0o755)
    site.env["PATH"] = f"{launcher.parent}:{site.env['PATH']}"
    site.env["DSTTOOL_RUNTIME_DIR"] = str(site.path("tutorial/run"))  # where it runs its daemons

    done = site.run("bash", "-e", "-x", "-o", "pipefail", "-c", tutorial())

    assert re.search(r"\bdegraded\b", done.stdout, re.IGNORECASE), done.stdout
    assert re.search(r"\bstale\b", done.stdout, re.IGNORECASE), done.stdout
    assert "pool" not in site.dsttool("status", "--json").stdout


def test_the_readme_names_the_two_commands() -> None:
    assert "\n    python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/dsttool demo\n" in README
    assert "\n    tests/run\n" in README
