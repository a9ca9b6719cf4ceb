"""Commands on a terminal of their own, with somebody who types."""

import os
import pty
import subprocess
import sys
from collections.abc import Mapping

from support.site import Site


def in_terminal(
    site: Site, *words: str, typed: str = "", env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run dsttool on a terminal, type something, and give its exit code and what it showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dsttool", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=site.env | {"TERM": "xterm", **(env or {})},
        cwd=site.folder,
    )
    os.close(theirs)
    if typed:
        os.write(ours, typed.encode())
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # how a terminal says that its last user has gone
        pass
    os.close(ours)
    return process.wait(), shown.decode()
