"""The tutorial's page does what it says, line by line."""

import re
import sys
from pathlib import Path

import dsttool
from support.site import Site

PAGE = Path(dsttool.__file__).parent.parent / "man" / "dsttool-tutorial.7"


def tutorial() -> str:
    """What is typed in the page: its kept blocks, in order, without the prompts."""
    blocks = re.findall(r"^\.Bd -literal -offset 2n\n(.*?)^\.Ed", PAGE.read_text(), flags=re.M | re.DOTALL)
    return re.sub(r"^\$ ", "", "".join(blocks), flags=re.MULTILINE).replace("\\e", "\\")


def test_the_page_runs_as_it_stands(site: Site) -> None:
    launcher = site.path("bin") / "dsttool"
    launcher.parent.mkdir()
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dsttool "$@"\n')
    launcher.chmod(0o755)
    site.env["PATH"] = f"{launcher.parent}:{site.env['PATH']}"
    site.env["DSTTOOL_RUNTIME_DIR"] = str(site.path("tutorial/run"))  # where it runs its daemons

    done = site.run("bash", "-e", "-x", "-o", "pipefail", "-c", tutorial())

    assert "exit code 10" in done.stdout
    assert re.search(r"^n1 in_sync$", done.stdout, re.MULTILINE)
    assert "pool" not in site.dsttool("status", "--json").stdout
