"""Acts that take something from somebody say so first: people are asked, scripts are told."""

import pytest

from support.site import Site
from support.terminal import in_terminal

LEFT_ALONE = "Without b only a holds what is written to pool from now on"


@pytest.fixture
def pool(site: Site) -> Site:
    """A mirror over two exports that runs in the background."""
    for name in ("a", "b"):
        site.dsttool("export", "mem:1M", "--name", name, "-d")
    nodes = (f"dst+unix:///{n}?socket={site.path('runtime')}/{n}.dst&name={n}" for n in ("a", "b"))
    site.dsttool("array", "up", "pool", "--layout", "mirror", "--raw", *nodes)
    return site


def end(site: Site) -> None:
    site.dsttool("array", "down", "pool", "-qy")
    site.dsttool("daemon", "stop", "a", "b", "-qy")


def state(site: Site, name: str = "b") -> str:
    members = site.json("node", "list", "pool")["members"]
    return next(str(each["state"]) for each in members if each["name"] == name)


def test_a_script_that_suspends_the_last_but_one_copy_is_told_and_obeyed(pool: Site) -> None:
    done = pool.dsttool("node", "suspend", "pool", "b")
    assert done.stderr.startswith(LEFT_ALONE)
    assert state(pool) == "suspended"
    end(pool)


def test_somebody_at_a_terminal_is_asked_before_a_copy_is_left_alone(pool: Site) -> None:
    code, shown = in_terminal(pool, "node", "suspend", "pool", "b", typed="no\n")
    assert code == 6
    assert LEFT_ALONE in shown
    assert "Type yes to go ahead: " in shown
    assert "Declined; nothing was done." in shown
    assert state(pool) == "in_sync"
    assert in_terminal(pool, "node", "suspend", "pool", "b", typed="yes\n")[0] == 0
    assert state(pool) == "suspended"
    end(pool)


def test_yes_is_not_asked_and_no_input_is_declined(pool: Site) -> None:
    declined = pool.dsttool("node", "suspend", "pool", "b", "--no-input", code=6)
    assert LEFT_ALONE in declined.stderr
    assert declined.stderr.endswith("Add --yes to go ahead.\n")
    assert state(pool) == "in_sync"
    code, shown = in_terminal(pool, "node", "suspend", "pool", "b", "-y")
    assert (code, LEFT_ALONE in shown) == (0, False)
    end(pool)


def test_what_is_refused_is_refused_before_anybody_is_asked(pool: Site) -> None:
    pool.dsttool("node", "suspend", "pool", "b", "-y")
    code, shown = in_terminal(pool, "node", "suspend", "pool", "a")
    assert code == 6
    assert "cannot be spared" in shown
    assert "Type yes" not in shown
    end(pool)


def test_clients_that_lose_an_array_are_named(pool: Site) -> None:
    socket = f"{pool.path('runtime')}/pool.dst"
    pool.dsttool("array", "up", "tree", "--layout", "linear", "--raw", f"dst+unix:///pool?socket={socket}")
    code, shown = in_terminal(pool, "array", "down", "pool", typed="no\n")
    assert code == 6
    assert "pool is member n0 of the array tree, which is online" in shown
    assert pool.json("status", "pool")["arrays"][0]["state"] == "online"
    # Both together: nobody is left who minds.
    done = pool.dsttool("array", "down", "tree", "pool")
    assert done.stderr == ""
    pool.dsttool("daemon", "stop", "a", "b", "-q")


def test_an_export_that_is_a_member_of_an_array_is_not_stopped_without_a_word(pool: Site) -> None:
    code, shown = in_terminal(pool, "daemon", "stop", "b", typed="\n")
    assert code == 6
    assert "b is member b of the array pool, which is online: without it pool has 1 good copy left." in shown
    assert state(pool) == "in_sync"
    done = pool.dsttool("daemon", "stop", "b")
    assert "b is member b of the array pool" in done.stderr
    pool.dsttool("array", "down", "pool", "-q")
    assert pool.dsttool("daemon", "stop", "a").stderr == ""


def test_members_that_are_overwritten_when_an_array_comes_up_are_named(site: Site) -> None:
    files = [site.file(f"{name}.img", 1 << 20, name.encode()) for name in ("a", "b")]
    up = ("array", "up", "pool", "--layout", "mirror", "--raw", *map(str, files), "--resync-from", "n1")
    code, shown = in_terminal(site, *up, typed="no\n")
    assert code == 6
    assert f"pool: all of n0 ({files[0]}) is overwritten with what n1 ({files[1]}) holds." in shown
    assert files[0].read_bytes()[:1] == b"a"
    done = site.dsttool(*up)
    assert "is overwritten with what n1" in done.stderr
    site.dsttool("wait", "pool", "--for", "clean", "--timeout", "20s")
    site.dsttool("array", "down", "pool")
    assert files[0].read_bytes()[:1] == b"b"


def test_what_is_remembered_against_a_member_is_said_when_it_is_taken_for_clean(site: Site) -> None:
    files = [str(site.file(f"{name}.img", 1 << 20)) for name in ("a", "b")]
    up = ("array", "up", "pool", "--layout", "mirror", "--raw", *files)
    assert site.dsttool(*up, "--assume-clean").stderr == ""
    site.dsttool("node", "suspend", "pool", "n1", "-y")
    site.dsttool("array", "down", "pool")
    code, shown = in_terminal(site, *up, "--assume-clean", typed="no\n")
    assert code == 6
    assert f"pool: {files[1]} missed writes, and nothing is compared" in shown.replace("\r\n", " ")
    site.dsttool(*up, "--assume-clean", "-y")
    site.dsttool("array", "down", "pool")
