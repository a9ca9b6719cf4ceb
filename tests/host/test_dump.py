"""SIGUSR1: a daemon writes its state into its log, whatever it is doing."""

import json
import signal
import subprocess
import sys

from support.manager import signal_and_wait
from support.site import Daemon, Site, wait_until

MIB = 1 << 20


def state(daemon: Daemon, what: str) -> list[object]:
    """What the log says of this, in each of its lines."""
    mark = f" state: {what} "
    return [json.loads(line.partition(mark)[2]) for line in daemon.output.splitlines() if mark in line]


def dumped(daemon: Daemon) -> None:
    before = len(state(daemon, "end"))
    daemon.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: len(state(daemon, "end")) > before, f"the state is written: {daemon.output[-3000:]}")


def test_stacks_and_state_are_written(site: Site) -> None:
    daemon = site.export("mem:1M", "a")
    site.dsttool("wait", "a", "--for", "up")
    dumped(daemon)
    assert "most recent call first" in daemon.output
    assert "in turn" in daemon.output, "where the reactor is"
    (reactor,) = state(daemon, "reactor")
    assert isinstance(reactor, dict)
    assert set(reactor["pools"]) == {"device", "names", "state", "crypto"}
    assert reactor["timers"] >= 1
    (export,) = state(daemon, "export")
    assert isinstance(export, dict)
    assert export["name"] == "a"
    daemon.stop()


def test_what_waits_is_listed_up_to_a_bound_and_no_secrets_are(site: Site) -> None:
    key = site.path("key")
    site.dsttool("key", "generate", "--shared", key)
    sealed = f"dst+unix:///?socket={site.path('sealed')}&security=aes256gcm&key={key}"
    leaf = site.export(site.file("d0", 64 * MIB), "d0", "--listen", sealed)
    node = f"dst+unix:///d0?socket={site.path('sealed')}&security=aes256gcm&key={key}"
    pool = site.array("pool", "linear", node)
    leaf.process.send_signal(signal.SIGSTOP)
    load = subprocess.Popen(
        [*(sys.executable, "-m", "dsttool", "bench", site.nbd("pool"), "--depth", "100", "--time", "60s")],
        env=site.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: site.json("tx", "list", "pool")["total"] >= 60, "requests wait for the leaf")
        dumped(pool)
    finally:
        leaf.process.send_signal(signal.SIGCONT)
        load.terminate()
        load.wait()
    assert len(state(pool, "transaction")) == 50
    (totals,) = state(pool, "transactions")
    assert isinstance(totals, dict)
    assert sum(totals.values()) >= 60
    assert key.read_text().split()[-1] not in pool.output


def test_under_load_nothing_fails_and_nothing_ends(site: Site) -> None:
    daemon = site.export("mem:64M", "a")
    load = subprocess.Popen(
        [*(sys.executable, "-m", "dsttool", "bench", site.nbd("a"), "--time", "2s")],
        env=site.env,
        stdout=subprocess.DEVNULL,
    )
    while load.poll() is None:
        dumped(daemon)
    assert load.returncode == 0
    assert "Traceback" not in daemon.output
    daemon.stop()


def test_it_can_be_asked_for_faster_than_it_is_written(site: Site) -> None:
    daemon = site.export("mem:1M", "a")
    for _ in range(50):
        daemon.process.send_signal(signal.SIGUSR1)
    signal_and_wait(daemon, signal.SIGUSR1, "state: end")
    assert len(state(daemon, "end")) <= 51
    daemon.stop()
