"""How far the jobs of an array are, shown while somebody waits for them."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from dsttool.cli.asking import places
from dsttool.cli.following import following
from dsttool.cli.progress import Progress
from dsttool.cli.settings import Settings
from dsttool.engine.control.picture import DaemonPicture
from dsttool.engine.vocabulary.status import JobStatus


@contextmanager
def jobs_shown(settings: Settings, name: str) -> Iterator[None]:
    """Show a bar (without a terminal a line every 30 s) for the jobs of the array within the block."""
    if settings.quiet or settings.json:
        yield
        return
    shown = _Jobs(settings, name)
    # A connection of its own: ssh has asked for the first one, and must not again behind the bar.
    with places(settings, prompts=False) as chosen:
        try:
            with following(chosen, shown.told):
                yield
        finally:
            shown.end()


class _Jobs:
    """Shows what the stream tells, when it is due: nobody is woken for it."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._name = name
        self._progress = Progress(settings, f"copying to members of {name}")
        # In a log the first line comes when it has taken long.
        self._due = time.monotonic() + (0 if sys.stderr.isatty() else self._progress.interval)

    def told(self, picture: DaemonPicture) -> None:
        """In the watching thread."""
        array = picture.state["arrays"].get(self._name) if picture.state else None
        if array is None or time.monotonic() < self._due:
            return
        jobs = [job for job in array["jobs"] if job["total_bytes"] is not None]
        if jobs:
            self._due = time.monotonic() + self._progress.interval
            self._progress.show(*_amounts(jobs))

    def end(self) -> None:
        """Remove the bar."""
        self._progress.end()


def _amounts(jobs: list[JobStatus]) -> tuple[int, int]:
    """Bytes that are done, and all of them."""
    return sum(job["done_bytes"] for job in jobs), sum(job["total_bytes"] or 0 for job in jobs)
