"""What is known of the machines while somebody types: followed in a thread, read without waiting."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import cast

from dsttool.cli import asking, names
from dsttool.cli.following import Following
from dsttool.cli.settings import Settings


class Live:
    """Follows every daemon of the console's machines. `following.picture` is for those who hold the lock."""

    def __init__(self, following: Following, *, is_here: bool) -> None:
        self.following = following
        self._is_here = is_here

    def names(self, wanted: str, of: str) -> Iterable[tuple[str, str]]:
        """The names of a list, for dsttool.cli.completing. It reads folders, and asks daemons of this machine
        for transactions: not for the thread that draws.
        """
        if wanted in ("file", "folder"):
            return _files(of, folders_only=wanted == "folder")
        known = names.read_configured() if self._is_here else names.Known()
        if self._is_here and wanted == "keys":
            known.keys = names.read_keys()
        if self._is_here and wanted == "transactions":
            names.ask(known, names.runtime_dir(), of)
            return known.names(wanted, of)
        with self.following.lock:
            for found in self.following.picture.daemons():
                daemon = found.entry
                if not daemon.ended:
                    known.daemons[found.daemon] = daemon.hello["kind"] if daemon.hello else "daemon"
                if daemon.state is not None and daemon.lost_since_ns is None:
                    known.arrays += cast(list[dict[str, object]], daemon.state["arrays"].values())
                    known.exports += cast(list[dict[str, object]], daemon.state["exports"].values())
        return known.names(wanted, of)


@contextmanager
def live(settings: Settings) -> Iterator[Live]:
    """Follow the machines of --host, else this one, until the block ends."""
    with asking.places(settings, prompts=False) as places:
        following = Following(places)
        try:
            yield Live(following, is_here=asking.is_here(settings))
        finally:
            following.close()


def _files(begun: str, *, folders_only: bool) -> Iterator[tuple[str, str]]:
    """Files whose path begins like this, `~` standing for the home folder; folders end in '/'."""
    folder, slash, start = begun.rpartition("/")
    try:
        entries = sorted(os.scandir(os.path.expanduser(folder + slash) or "."), key=lambda each: each.name)
    except OSError:
        return
    for entry in entries:
        hidden = entry.name.startswith(".") and not start.startswith(".")
        if entry.name.startswith(start) and not hidden and (entry.is_dir() or not folders_only):
            yield folder + slash + entry.name + "/" * entry.is_dir(), ""
