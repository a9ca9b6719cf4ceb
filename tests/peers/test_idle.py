"""Daemons that have nothing to do use no processor time."""

import os
import time
from pathlib import Path

from support.site import Daemon, Site, wait_until

SECONDS = 10.0


def cpu_seconds(daemon: Daemon) -> float:
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def used_in(seconds: float, daemons: list[Daemon]) -> list[float]:
    """Processor time that each of them uses in so long."""
    before = [cpu_seconds(daemon) for daemon in daemons]
    time.sleep(seconds)
    return [cpu_seconds(daemon) - start for daemon, start in zip(daemons, before, strict=True)]


def test_idle_exports_and_arrays_use_no_processor_time(site: Site) -> None:
    daemons = [site.export(site.file(f"{name}.img", 1 << 20), name) for name in "ab"]
    daemons.append(site.array("pool", "mirror", site.dst("a"), site.dst("b"), "--assume-clean"))
    wait_until(lambda: max(used_in(1.0, daemons)) == 0, "what starting left to do is done")

    used = used_in(SECONDS, daemons)  # this is the measurement
    assert max(used) <= 0.01 * SECONDS, used
