"""A campaign: exports killed with -9 and restarted every few seconds under load that fio verifies.

Short by default; `--campaign-seconds 120` makes it as long as wanted.
"""

import random
import time

import psutil
import pytest

from support import subjects
from support.fio import Load
from support.site import Daemon, Site

LOAD = 24 << 20
RATE = "12m"
# An outage lasts as long as an export takes to start, several times that on a busy machine.
PATIENT = {"resend_timeout": "20s", "resends": 5, "backoff_min": "20ms", "backoff_max": "200ms"}
# An array's process at rest has about 60 MiB; the load's window and retained writes come on top.
RESIDENT_MAX = 1 << 30


class Leaf:
    """A sealed export that can die and come back."""

    def __init__(self, site: Site, name: str, *options: object) -> None:
        self._site, self._name, self._options = site, name, options
        self._path = site.file(f"{name}.img", subjects.LEAF)
        self._daemon = self._start()

    def _start(self) -> Daemon:
        return self._site.export(self._path, self._name, *self._options)

    def die_and_return(self) -> None:
        self._daemon.kill()
        self._daemon = self._start()


def array_status(site: Site) -> dict[str, object]:
    (found,) = site.json("status", "pool")["arrays"]
    return dict(found)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("layout", ["linear", "mirror"])
@pytest.mark.parametrize("security", ["none", "aes256gcm"])
def test_verified_load_over_exports_that_keep_dying_sees_no_error_and_no_mismatch(
    site: Site, layout: str, security: str, campaign_seconds: float
) -> None:
    protection: list[object] = []
    options = dict(PATIENT) | {"security": security}
    if security != "none":
        key = site.path("shared.key")
        site.dsttool("key", "generate", "--shared", key)
        protection = ["--security", security, "--key", key]
        options["key"] = str(key)
    leaves = [Leaf(site, name, *protection) for name in ("a", "b")]
    nodes = [site.dst(name, **options) for name in ("a", "b")]
    array = site.array("pool", layout, *nodes, *subjects.layout_options(layout))
    chance = random.Random(f"{layout} {security}")

    deaths = 0
    until = time.monotonic() + campaign_seconds
    while time.monotonic() < until or deaths < 2:
        load = Load(site, site.nbd("pool"), LOAD, RATE)
        while load.running:
            chance.choice(leaves).die_and_return()
            deaths += 1
            time.sleep(chance.uniform(0.3, 1.5))
        load.finish()
        assert psutil.Process(array.process.pid).memory_info().rss < RESIDENT_MAX

    found = array_status(site)
    assert deaths >= 2
    assert found["errors"] == 0
    assert found["state"] == "online"
