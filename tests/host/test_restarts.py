"""Daemons come and go under a load that knows what it wrote; nobody above sees it."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from dsttool.engine.config.address import parse_address
from dsttool.engine.control import client
from dsttool.engine.host.ending import close_all
from dsttool.engine.host.open_node import Opening, open_one
from dsttool.engine.host.verified_load import VerifiedLoad
from dsttool.engine.runtime.reactor import Reactor
from support.site import START_SECONDS, Site

SECOND = 1_000_000_000
SIZE = 16 << 20


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    yield made
    made.close()


def beside(reactor: Reactor, call: Callable[[], object]) -> None:
    """Run what blocks while the load goes on."""
    ended: list[BaseException | None] = []
    reactor.run_blocking(call, lambda _, error: ended.append(error))
    assert reactor.run_until(lambda: bool(ended), 60 * SECOND)
    if ended[0] is not None:
        raise ended[0]


@pytest.mark.parametrize("layout", ["linear", "mirror"])
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_an_export_restarted_within_the_budget_is_not_seen_above(
    site: Site, reactor: Reactor, layout: str, how: str
) -> None:
    for name in ("left", "right"):
        site.dsttool("export", site.file(f"{name}.img", SIZE), "--name", name, "-d")
    runtime = site.env["DSTTOOL_RUNTIME_DIR"]
    nodes = [f"dst+unix:///{name}?socket={runtime}/{name}.dst&resends=20" for name in ("left", "right")]
    site.dsttool("array", "up", "pool", "--layout", layout, "--raw", *nodes)
    address = parse_address(f"nbd+unix:///?socket={runtime}/pool.nbd")
    reactor.run_until(lambda: True)  # daemons took their time to start: have the clock of now
    device = open_one(reactor, Opening(address))
    load = VerifiedLoad(reactor, device, 256)
    load.start()

    def restart() -> None:
        if how == "stop":
            site.dsttool("daemon", "stop", "left")
        else:
            daemons = site.json("daemon", "list")["daemons"]
            pid = next(each["pid"] for each in daemons if each["name"] == "left")
            os.kill(pid, signal.SIGKILL)
            assert client.wait_gone(pid, START_SECONDS)
        site.dsttool("export", site.path("left.img"), "--name", "left", "-d")

    for _ in range(2):
        reached = load.tally.requests + 200
        assert reactor.run_until(lambda: load.tally.requests > reached, 60 * SECOND)  # noqa: B023
        beside(reactor, restart)
    reached = load.tally.requests + 200
    assert reactor.run_until(lambda: load.tally.requests > reached, 60 * SECOND)
    assert load.stop(60 * SECOND)
    assert load.check_all(60 * SECOND)
    assert (load.tally.errors, load.tally.mismatches) == (0, 0)
    close_all(reactor, [device])
    (array,) = site.json("status", "pool")["arrays"]
    assert array["state"] == "online"
    assert array["members"][0]["link"]["connects"] == 3
    for name in ("pool", "left", "right"):
        site.dsttool("daemon", "stop", name)
