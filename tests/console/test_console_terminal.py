"""A console on a terminal: typed at, completed, interrupted, left."""

import signal
import stat
from collections.abc import Iterator

import pytest

from support.site import Site
from support.typist import CTRL_C, CTRL_D, Typist


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """The array pool over the exports e1 and e2, for tests that break nothing."""
    with Site() as site:
        site.export("mem:4M", "e1")
        site.export("mem:4M", "e2")
        site.array("pool", "mirror", site.dst("e1"), site.dst("e2"))
        site.dsttool("wait", "pool", "--for", "clean")
        yield site


def test_a_session_from_the_first_line_to_ctrl_d(place: Site) -> None:
    with Typist(place) as console:
        console.reads(r"dst>")
        console.line("use pool")
        console.reads(r"dst\[pool ●\]>")
        console.line("node list")
        console.reads(r"n1")
        console.reads(r"dst\[pool ●\]>")
        console.type(CTRL_D)
        assert console.ends() == 0


def test_a_command_that_fails_leaves_its_exit_code_in_the_prompt(place: Site) -> None:
    with Typist(place) as console:
        console.reads(r"dst>")
        console.line("node list nothing")
        console.reads(r"error: Nothing called nothing is running\.")
        console.reads(r"dst\(3\)>")
        console.line("version")
        console.reads(r"dst>")


def test_ctrl_c_ends_a_command_and_not_the_console(place: Site) -> None:
    with Typist(place) as console:
        console.reads(r"dst>")
        console.line("wait nothing --for up")
        console.reads(r"nothing is not running yet")
        console.type(CTRL_C)
        console.reads(r"dst\(130\)>")
        console.line("version")
        console.reads(r"dsttool \d")


def test_ctrl_c_ends_a_command_that_is_a_process_of_its_own(site: Site) -> None:
    with Typist(site) as console:
        console.reads(r"dst>")
        console.line("export mem:4M --name e3")
        console.reads(r"e3 serves 4 MiB")
        console.type(CTRL_C)
        console.reads(r"dst(\(130\))?>")
        console.line("version")
        console.reads(r"dsttool \d")


def test_ctrl_c_at_the_prompt_gives_up_the_line(place: Site) -> None:
    with Typist(place) as console:
        console.reads(r"dst>")
        console.type("array down pool" + CTRL_C)
        console.reads(r"dst>")
        console.line("uri pool")
        console.reads(r"nbd\+unix")


def test_the_prompt_stands_on_a_line_of_its_own_after_ctrl_c(place: Site) -> None:
    with Typist(place) as console:
        console.reads(r"dst>")
        console.line("wait nothing --for up")
        console.reads(r"nothing is not running yet")
        console.type(CTRL_C)
        console.reads(r"\^C\n+dst\(130\)>")


def test_ctrl_z_at_the_prompt_gives_the_shell_its_terminal_back_until_fg(place: Site) -> None:
    with Typist(place, in_shell=True) as console:
        console.reads(r"dst>")
        console.type("uri \x1a")
        console.reads(r"Stopped")
        console.line("fg")
        console.reads(r"uri")
        console.type("pool\r")
        console.reads(r"nbd\+unix")
        console.type(CTRL_D)
        console.reads(r"[$#] ")
        console.line("exit")
        assert console.ends() == 0


def test_a_low_window_leaves_out_the_menu_and_not_the_prompt(place: Site) -> None:
    with Typist(place, rows=6) as console:
        console.reads(r"dst>")
        console.line("uri pool")
        console.reads(r"nbd\+unix")
        console.reads(r"dst>")
        assert "too small" not in console.raw


def test_what_is_open_goes_on_in_the_next_line(place: Site) -> None:
    with Typist(place) as console:
        console.reads(r"dst>")
        console.line("node \\")
        console.reads(r"\n\.\.\.")
        console.line("list pool")
        console.reads(r"SLOT")


def test_watch_repeats_a_command_until_a_key_is_pressed(place: Site) -> None:
    with Typist(place) as console:
        console.reads(r"dst>")
        console.line("watch 0.1 uri pool")
        console.reads(r"any key ends it")
        console.reads(r"any key ends it")
        console.type("q")
        console.reads(r"dst>")


def test_exit_leaves(place: Site) -> None:
    with Typist(place) as console:
        console.reads(r"dst>")
        console.line("exit")
        assert console.ends() == 0


def test_what_was_typed_is_kept_for_its_owner_only_and_suggested_next_time(place: Site) -> None:
    with Typist(place) as console:
        console.reads(r"dst>")
        console.line("uri pool")
        console.reads(r"nbd\+unix")
        console.line(" uri e1")
        console.reads(r"nbd\+unix")
        console.line("array create x --layout mirror dsttool-invite-v1")
        console.reads(r"dst\(\d+\)>")
        console.type(CTRL_D)
        console.ends()
    (file,) = (place.folder / "state").glob("console_history")

    assert file.read_text().splitlines()[-1] == '"uri pool"'
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with Typist(place) as console:
        console.reads(r"dst>")
        console.type("uri")
        console.reads(r" pool")


def test_a_daemon_started_from_the_console_outlives_it(site: Site) -> None:
    with Typist(site) as console:
        console.reads(r"dst>")
        console.line("export mem:4M --name e3 -d")
        console.reads(r"e3 serves 4 MiB")
        console.reads(r"serving|waiting")
        console.type(CTRL_D)
        assert console.ends() == 0
    assert [each["name"] for each in site.json("status")["exports"]] == ["e3"]
    site.dsttool("daemon", "stop", "e3")


def test_sigterm_ends_it_and_restores_the_terminal(place: Site) -> None:
    with Typist(place) as console:
        console.reads(r"dst>")
        console.signal(signal.SIGTERM)
        assert console.ends() == 128 + signal.SIGTERM
        assert console.raw.rstrip().endswith("\x1b[?2004l")


def test_a_dumb_terminal_gets_no_escape_byte(place: Site) -> None:
    with Typist(place, TERM="dumb") as console:
        console.reads(r"dst>")
        console.line("use pool")
        console.reads(r"dst\[pool\]>")
        console.line("status")
        console.reads(r"online")
        console.line("node list nothing")
        console.reads(r"dst\[pool\]\(3\)>")
        console.type(CTRL_D)
        assert console.ends() == 0
        assert "\x1b" not in console.raw


def test_without_colours_states_are_signs_and_words(place: Site) -> None:
    with Typist(place, NO_COLOR="1") as console:
        console.reads(r"● serving")
        console.line("use pool")
        console.reads(r"dst\[pool ●\]>")
        console.type(CTRL_D)
        console.ends()
        assert "38;" not in console.raw


def test_where_signs_cannot_be_shown_states_are_words(place: Site) -> None:
    with Typist(place, LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0") as console:
        console.reads(r"\| serving")
        console.line("use pool")
        console.reads(r"dst\[pool online\]>")
