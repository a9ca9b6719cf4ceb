"""A shell script that only knows the manual operates an array from its first minute to its last."""

import sys
from pathlib import Path

from support.site import Site

SCRIPT = Path(__file__).parent / "operate.sh"


def test_a_script_operates_an_array_by_commands_exit_codes_and_json_alone(site: Site) -> None:
    commands = site.path("commands")
    commands.mkdir()
    dsttool = commands / "dsttool"
    dsttool.write_text(f'#!/bin/sh\nexec {sys.executable} -m dsttool "$@"\n')
    dsttool.chmod(0o755)
    site.env["PATH"] = f"{commands}:{site.env['PATH']}"
    site.env["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = site.run("sh", "-eu", SCRIPT)
    assert done.stdout.endswith("== done\n"), done.stdout
    assert done.stderr == ""
    assert not site.processes()
