"""What the console shows on a terminal's screen: the menu of completions, and the toolbar."""

import sys

from support.far_machine import FarMachine
from support.site import Site
from tui.tmux import Terminal

CONSOLE = (sys.executable, "-m", "dsttool", "console")


def test_names_of_what_runs_are_offered_with_what_they_are(site: Site) -> None:
    site.export("mem:4M", "e1")
    site.export("mem:4M", "e2")
    site.array("pool", "mirror", site.dst("e1"), site.dst("e2"))
    site.dsttool("wait", "pool", "--for", "clean")
    with Terminal(site, *CONSOLE, size=(100, 24)) as terminal:
        terminal.wait(r"^local \| ● (online|serving) ")
        terminal.keys("arr")
        terminal.wait(r"array +Form one device")
        terminal.keys("Tab")
        terminal.wait(r"^dst> array$")
        terminal.keys("sho")
        terminal.wait(r" show +Show what")
        terminal.keys("Tab", "p")
        terminal.wait(r" pool +mirror, online")
        terminal.keys("Tab", "Enter")
        terminal.wait(r"^layout +mirror")

        terminal.keys("use pool", "Enter")
        terminal.wait(r"^dst\[pool ●\]>$")
        terminal.keys("node suspend ")
        terminal.wait(r" n0 +in sync")


def test_the_toolbar_says_what_is_degraded_once_an_export_is_killed(site: Site) -> None:
    for name in ("e1", "e2"):
        site.export("mem:4M", name)
    policy = {"resend_timeout": "500ms", "resends": 1}
    site.array("pool", "mirror", site.dst("e1", **policy), site.dst("e2", **policy))
    site.dsttool("wait", "pool", "--for", "clean")
    with Terminal(site, *CONSOLE, size=(100, 24)) as terminal:
        terminal.wait(r"^local \| ● ")
        terminal.keys("use pool", "Enter")
        terminal.wait(r"^dst\[pool ●\]>$")

        site.daemons[1].kill()
        terminal.wait(r"^local \| ✖ unreachable: e2 ")
        site.dsttool("cp", site.file("data", 1 << 20, b"data"), site.nbd("pool"))

        terminal.wait(r"^dst\[pool ▲\]>$")
        terminal.wait(r"^local \| ✖ unreachable: e2 \| ▲ degraded: pool ")


def test_names_of_another_machine_are_offered_and_it_is_named(site: Site) -> None:
    with Site() as far:
        FarMachine(site, far)
        far.dsttool("array", "up", "pool", "--layout", "mirror", "--raw", "mem:1M", "mem:1M?name=b")
        with Terminal(site, *CONSOLE, "--host", "ssh://box", size=(100, 24)) as terminal:
            terminal.wait(r"^box \| ● online ")
            terminal.keys("node list p")
            terminal.wait(r" pool +mirror, online")
            terminal.keys("C-c", "C-d")
            terminal.wait(r"^code 0$")
            assert terminal.is_restored()
        far.dsttool("array", "down", "pool")
