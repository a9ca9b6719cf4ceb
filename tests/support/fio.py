"""Verified load by fio's nbd engine."""

import json
import subprocess
from pathlib import Path
from typing import Any

from support.site import Daemon, Site

# Every size from one sector to 1 MiB; with a block alignment of 512 most offsets are not multiples of 4 KiB.
SIZES = "512/20:1536/10:3584/10:4k/20:12800/15:64k/15:516608/5:1m/5"


def command(uri: str, size: int, *options: str) -> list[str]:
    """Write `size` bytes in random order and mixed sizes, read back and compare all of it."""
    return [
        *("fio", "--name=verify", "--ioengine=nbd", f"--uri={uri}", "--rw=randwrite", f"--size={size}"),
        *(f"--bssplit={SIZES},{SIZES}", "--blockalign=512", "--iodepth=16", "--randrepeat=1"),
        *("--verify=crc32c", "--verify_fatal=1", "--verify_backlog=64", "--output-format=json"),
        *options,
    ]


def check(output: str, size: int) -> None:
    """Fails unless the job wrote `size` bytes and verified as many without an error."""
    job: dict[str, Any] = json.loads(output[output.index("{") :])["jobs"][0]
    assert job["error"] == 0
    assert job["write"]["io_bytes"] >= size
    assert job["read"]["io_bytes"] >= size


def verify(site: Site, uri: str, size: int, *options: str) -> None:
    """Run the verified load to its end."""
    check(site.run(*command(uri, size, *options)).stdout, size)


class Load:
    """Verified load that runs while a test does something to the servers."""

    def __init__(self, site: Site, uri: str, size: int, rate: str) -> None:
        self._size = size
        self._log = site.path(f"fio{len(site.daemons)}.log")
        self._daemon = Daemon(command(uri, size, f"--rate={rate}"), site.env, self._log)
        site.daemons.append(self._daemon)

    @property
    def running(self) -> bool:
        """Whether it still reads and writes."""
        return self._daemon.process.poll() is None

    def finish(self) -> None:
        """Wait for its end; every byte must have been written and verified, without an error."""
        try:
            code = self._daemon.process.wait(60)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the load hangs: {self._daemon.output}") from None
        assert code == 0, self._daemon.output
        check(self._daemon.output, self._size)


def allocated(path: Path) -> int:
    """Bytes of a sparse file that are really there."""
    return path.stat().st_blocks * 512
