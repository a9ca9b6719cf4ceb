"""Whether what a process writes is read by the journal of systemd."""

import os
from typing import TextIO


def is_journal(stream: TextIO) -> bool:
    """Whether the service manager reads it into its journal: $JOURNAL_STREAM of systemd.exec(5)."""
    told = os.environ.get("JOURNAL_STREAM")
    if not told:
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return told == f"{status.st_dev}:{status.st_ino}"
