"""A mirror of two exports, real processes all three, whose members a test stops, kills and suspends."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.site import Daemon, Site

MIB = 1 << 20


class Pool:
    """The array is called pool, its members n0 and n1 are the exports left and right."""

    def __init__(self, site: Site, *options: object, size: int = 4 * MIB) -> None:
        self.site = site
        self.exports: list[Daemon] = []
        for name in ("left", "right"):
            site.file(f"{name}.img", size)
            self.exports.append(site.export(site.path(f"{name}.img"), name))
        self.daemon = site.array("pool", "mirror", site.dst("left"), site.dst("right"), *options)

    @contextmanager
    def stopped(self, index: int = 1) -> Iterator[None]:
        """An export that does not answer: neither dead nor alive."""
        process = self.exports[index].process
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    @contextmanager
    def writing(self, offset: str = "0", length: str = "64K") -> Iterator["subprocess.Popen[bytes]"]:
        """A client whose write waits."""
        command = ["qemu-io", "-f", "raw", "-c", f"write -P 7 {offset} {length}", self.site.nbd("pool")]
        client = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield client
        finally:
            client.kill()
            client.wait()

    def array(self) -> dict[str, Any]:
        (array,) = self.site.json("status", "pool")["arrays"]
        return array  # type: ignore[no-any-return]

    def states(self) -> list[str]:
        return [member["state"] for member in self.array()["members"]]
