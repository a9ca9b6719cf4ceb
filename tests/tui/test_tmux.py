"""The screen on a real terminal, over real daemons that are really killed."""

import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator

import pytest
from tmux import Terminal

from support.site import Daemon, Site, wait_until

# A budget of 20 s: long enough to restart an export on a busy machine, short enough to watch it shrink.
POLICY = {"resend_timeout": "2s", "resends": 9, "backoff_max": "300ms"}
SIZE = 64 << 20
TUI = (sys.executable, "-m", "dsttool", "tui")


@pytest.fixture
def mirror(site: Site) -> Iterator[Site]:
    """A mirror `pool` over the exports `a` and `b`, under load."""
    for name in ("a", "b"):
        site.export(site.file(f"{name}.img", SIZE), name)
    site.array("pool", "mirror", site.dst("a", **POLICY), site.dst("b", **POLICY), "--assume-clean")
    load = (sys.executable, "-m", "dsttool", "bench", site.nbd("pool"), "--rw", "randwrite", "-y")
    words = [*load, "--bs", "16K", "--depth", "4", "--time", "110s"]
    bench = Daemon(words, site.env, site.path("bench.log"))
    yield site
    bench.kill()


def row(shown: str, name: str) -> str:
    """The line of the tree about a member."""
    return next((line for line in shown.splitlines() if re.search(rf"^ +{name} ", line)), "")


def point(screen: Terminal, name: str) -> None:
    """Put the cursor of the tree on a member, wherever its row is; the graphs tell that it is there."""
    lines = screen.wait(rf"^ +{name} ").splitlines()
    heads = next(at for at, line in enumerate(lines) if line.startswith("NAME "))
    at = next(at for at, line in enumerate(lines) if re.match(rf" +{name} ", line))
    screen.keys("Home", *["Down"] * (at - heads - 1))
    screen.wait(rf"GRAPHS pool/{name}")


def transactions(shown: str) -> list[str]:
    """The lines of the pane of transactions."""
    return re.findall(r"^\d+ .*(?:IN FLIGHT|RESEND|QUEUED|HELD).*$", shown, re.MULTILINE)


def test_a_mirror_is_watched_acted_on_broken_and_healed(mirror: Site) -> None:
    with Terminal(mirror, *TUI) as screen:
        screen.wait(r"pool +mirror +● ONLINE")
        seen = {line.split()[0] for line in transactions(screen.wait(r"^\d+ +WRITE .*IN FLIGHT"))}
        wait_until(
            lambda: bool({line.split()[0] for line in transactions(screen.shown())} - seen),
            "other transactions are shown",
        )

        point(screen, "n0")
        screen.keys("a")
        screen.wait(r"─ Actions ")
        screen.keys("Enter")
        asked = screen.wait(r"─ Suspend: pool/n0 ")
        assert "Good copies meanwhile: 1 of 2 (n1)." in asked
        assert "$ dsttool node suspend pool n0" in asked
        screen.keys("Tab", "Enter")
        screen.wait(r"^ +n0 .*▲ SUSPENDED")
        assert mirror.json("node", "list", "pool")["members"][0]["state"] == "suspended"

        screen.keys("a")
        screen.wait(r"─ Actions ")
        screen.keys("Enter")
        screen.wait(r"─ Resume: pool/n0 ")
        screen.keys("Tab", "Enter")
        screen.wait(r"^ +n0 .*● IN SYNC")

        lost = next(daemon for daemon in mirror.daemons if "b" in daemon.command)
        lost.process.send_signal(signal.SIGSTOP)  # else it may have answered everything when it is killed
        slow = ("tx", "list", "pool", "--filter", "node:n1 age>300ms")
        wait_until(lambda: bool(mirror.json(*slow)["transactions"]), "writes wait for n1")
        lost.kill()
        screen.wait(r"^ +n1 .*✖ ")
        shown = screen.wait(r"^\d+ .*pool/n1 .*▲ RESEND")
        full = transactions(shown)[0].count("█")
        wait_until(
            lambda: any(line.count("█") < full for line in transactions(screen.shown()) if "RESEND" in line),
            "what is left of the budget shrinks",
        )

        for name in ("b.nbd", "b.dst"):
            mirror.path(name).unlink(missing_ok=True)
        mirror.export(mirror.path("b.img"), "b")
        screen.wait(r"pool +mirror +● ONLINE")
        healed = row(screen.wait(r"^ +n1 .*● IN SYNC +\S+ \S+ ● up"), "n1")
        resent, losses, errors = healed.split()[-3:]
        assert (int(resent) > 0, losses, errors) == (True, "1", "0"), healed

        for width, height, shows in (
            (80, 24, r"pool +● ONLINE"),
            (40, 10, r"too small"),
            (200, 60, r"pool +mirror +● ONLINE"),
            (120, 40, r"pool +mirror +● ONLINE"),
        ):
            screen.resize(width, height)
            screen.wait(shows)

        screen.keys("q")
        screen.wait(r"^code 0$")
        screen.wait(r"^settings ")
        assert screen.is_restored()


def test_the_screen_is_as_large_as_the_terminal_whatever_the_environment_says(site: Site) -> None:
    with Terminal(site, "env", "COLUMNS=70", "LINES=20", *TUI) as screen:
        header = screen.wait(r"^ dsttool .*\d:\d\d *$").splitlines()[0]
        assert len(header.rstrip()) > 110
        screen.resize(90, 30)
        screen.wait(r"^.{81,89}\d\d:\d\d:\d\d *$")


def test_sigterm_leaves_the_terminal_as_it_was(site: Site) -> None:
    with Terminal(site, *TUI) as screen:
        screen.wait(r"^ dsttool ")
        pid = next(pid for pid, line in site.processes().items() if line.endswith("-m dsttool tui"))
        os.kill(pid, signal.SIGTERM)
        screen.wait(r"^code 143$")
        screen.wait(r"^settings ")
        assert screen.is_restored()


def test_a_stopped_screen_leaves_the_terminal_to_the_shell_and_comes_back_whole(site: Site) -> None:
    with Terminal(site, "bash", "--norc", "-i") as screen:
        screen.keys(f"{shlex.join(TUI)}", "Enter")
        whole = screen.wait(r"^ Tab pane ")
        screen.keys("C-z")
        assert "STORAGE" not in screen.wait(r"Stopped ")
        screen.keys("fg", "Enter")
        again = screen.wait(r"^ Tab pane ")
        assert [line[:9] for line in again.splitlines()] == [line[:9] for line in whole.splitlines()]
        screen.keys("q")
        screen.wait(r"[#$] fg$")
        screen.keys("exit", "Enter")
        screen.wait(r"^settings ")
        assert screen.is_restored()


def test_a_defect_leaves_the_terminal_as_it_was(site: Site) -> None:
    script = site.path("broken.py")
    script.write_text(
        "from dsttool.engine.config import paths\n"
        "from dsttool.engine.control.place import Local\n"
        "from dsttool.tui.app import Tui\n"
        "from dsttool.tui.source import Live\n"
        "class Broken(Tui):\n"
        "    def action_sort(self):\n"
        "        raise ZeroDivisionError('on purpose')\n"
        "app = Broken(Live([Local(paths.runtime_dir())]))\n"
        "app.run()\n"
        "raise SystemExit(app.return_code)\n"
    )
    with Terminal(site, sys.executable, script) as screen:
        screen.wait(r"^ dsttool ")
        screen.keys("s")
        screen.wait(r"^code 1$")
        screen.wait(r"^settings ")
        assert screen.is_restored()
