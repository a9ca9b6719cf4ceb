"""Daemons that have nothing to do use no processor time."""

import os
import time
from pathlib import Path

from support.site import Daemon, Site

SECONDS = 10.0


def cpu_seconds(daemon: Daemon) -> float:
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_idle_exports_and_arrays_use_no_processor_time(site: Site) -> None:
    daemons = [site.export(site.file(f"{name}.img", 1 << 20), name) for name in "ab"]
    daemons.append(site.array("pool", "mirror", site.dst("a"), site.dst("b"), "--assume-clean"))
    before = [cpu_seconds(daemon) for daemon in daemons]

    time.sleep(SECONDS)  # this is the measurement

    used = [cpu_seconds(daemon) - start for daemon, start in zip(daemons, before, strict=True)]
    assert max(used) <= 0.01 * SECONDS, used
