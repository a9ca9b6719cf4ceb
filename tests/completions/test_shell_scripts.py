"""The scripts that are shipped are those that the tree makes, and the wheel carries them."""

import tomllib

import pytest

from dsttool.cli.shells.tables import SHELLS
from support.shells import SCRIPTS
from support.site import Site

FILES = {"bash": "dsttool.bash", "zsh": "_dsttool", "fish": "dsttool.fish"}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shipped_script_is_what_the_command_prints(site: Site, shell: str) -> None:
    """To make it anew: dsttool completion SHELL > completions/FILE."""
    assert site.dsttool("completion", shell).stdout == (SCRIPTS / FILES[shell]).read_text()


def test_the_wheel_puts_the_scripts_where_shells_look() -> None:
    project = tomllib.loads((SCRIPTS.parent / "pyproject.toml").read_text())
    carried = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]

    assert {source: carried[source] for source in carried if source.startswith("completions/")} == {
        "completions/dsttool.bash": "share/bash-completion/completions/dsttool",
        "completions/_dsttool": "share/zsh/site-functions/_dsttool",
        "completions/dsttool.fish": "share/fish/vendor_completions.d/dsttool.fish",
    }


def test_a_shell_that_is_none_of_them_is_a_mistake(site: Site) -> None:
    assert "fish" in site.dsttool("completion", "tcsh", code=2).stderr
