"""The manual pages there are: for `man`, and for shells at every press of TAB, so that it imports nothing."""

import os
import sys


def files() -> dict[str, str]:
    """The file of every page, by its name: dsttool, dsttool-array-up. Of a command and a topic that have the
    same name it is the topic's; a source tree's own pages are preferred to installed ones.
    """
    installed = os.path.join(sys.prefix, "share", "man")
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    found = {}
    for folder in (
        *(os.path.join(installed, f"man{section}") for section in "157"),
        os.path.join(source, "man"),
    ):
        for entry in sorted(_entries(folder), key=lambda name: name[-1]):
            name, _, section = entry.rpartition(".")
            if name.partition("-")[0] == "dsttool" and section in ("1", "5", "7"):
                found[name] = os.path.join(folder, entry)
    return found


def words(of: str = "") -> list[tuple[str, str]]:
    """What may follow `dsttool man`, or there the command `of`: words, each with what its page is about."""
    begin = f"dsttool-{of}-" if of else "dsttool-"
    found = [(name.removeprefix(begin), path) for name, path in files().items() if name.startswith(begin)]
    return sorted((word, _about(path)) for word, path in found if "-" not in word)


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _about(path: str) -> str:
    """What a page says of itself in one line (mdoc(7), .Nd)."""
    with open(path, errors="replace") as page:
        for line in page:
            if line.startswith(".Nd "):
                return line[4:].strip()
    return ""
