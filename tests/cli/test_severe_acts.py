"""Severe acts say what they do, and want the name: typed, or with --confirm; never a bare yes."""

import pytest

from support.site import Site
from support.terminal import in_terminal

UP = ("array", "up", "pool", "--layout", "mirror", "--raw", "mem:1M", "mem:1M?name=b", "--takeover")


def test_a_takeover_is_explained_and_nobody_is_asked_without_a_terminal(site: Site) -> None:
    lines = site.dsttool(*UP, code=6).stderr.splitlines()
    assert lines[0] == "pool takes over mem:1M, mem:1M."
    assert lines[1].startswith("Whoever writes there now is cut off for good")
    assert lines[2].startswith("Do this only if that one is dead")
    assert lines[3:] == [
        "error: This has to be confirmed for pool, and nobody is there to be asked.",
        "Add --confirm=pool to go ahead.",
    ]
    assert not site.processes()


@pytest.mark.parametrize("more", [("-y",), ("--confirm", "pol"), ("--confirm", "")])
def test_a_takeover_goes_ahead_for_nothing_but_the_name(site: Site, more: tuple[str, ...]) -> None:
    site.dsttool(*UP, *more, code=6)
    assert not site.processes()
    site.dsttool(*UP, "--confirm", "pool")
    site.dsttool("array", "down", "pool")


def test_on_a_terminal_the_name_is_typed(site: Site) -> None:
    for typed in ("yes\n", "pol\n", "\n", "\x04"):
        code, shown = in_terminal(site, *UP, typed=typed)
        assert code == 6
        assert "Type pool to go ahead: " in shown
        assert "Declined; nothing was done." in shown
    assert "go ahead: \r\nerror:" in shown  # after the end of input; others end their line themselves
    assert not site.processes()
    assert in_terminal(site, *UP, typed="pool\n")[0] == 0
    site.dsttool("array", "down", "pool")


def test_with_no_input_a_terminal_is_not_asked(site: Site) -> None:
    code, shown = in_terminal(site, *UP, "--no-input")
    assert code == 6
    assert "Type pool" not in shown


def test_a_confirmation_of_nothing_and_a_takeover_of_many_are_refused(site: Site) -> None:
    said = site.dsttool("array", "up", "pool", "--confirm", "pool", code=2).stderr
    assert "--confirm is for --takeover." in said
    for name in ("one", "two"):
        site.dsttool("array", "create", name, "--layout", "linear", "--raw", "mem:1M")
    said = site.dsttool("array", "up", "--takeover", "--confirm", "one", code=2).stderr
    assert "--takeover is for one array, and these are 2." in said
