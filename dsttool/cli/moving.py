"""What the commands that move data share: a reactor, devices that are closed, room for a new file."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dsttool.engine.vocabulary.errors import Forbidden, NotFound

if TYPE_CHECKING:
    from dsttool.engine.device.device import Device
    from dsttool.engine.runtime.reactor import Reactor

# What has failed may hang, and who pressed Ctrl-C waits for the end.
_FAILED_NS: Final = 1_000_000_000


@contextmanager
def reactor() -> "Iterator[Reactor]":
    """A reactor for one command; its log lines about links go to stderr as warnings."""
    from dsttool.engine.runtime.reactor import Reactor

    made = Reactor()
    try:
        yield made
    finally:
        made.close()


@contextmanager
def devices(used: "Reactor") -> "Iterator[list[Device]]":
    """A list for devices that are opened: they are closed with the block, if it fails, too.

    The console goes on afterwards, and a file that stayed open would stay locked.
    """
    from dsttool.engine.host.ending import close_all

    opened: list[Device] = []
    try:
        yield opened
    except BaseException:
        close_all(used, opened, _FAILED_NS)
        raise
    close_all(used, opened)


@contextmanager
def regularly(used: "Reactor", seconds: float, call: Callable[[], None]) -> Iterator[None]:
    """Call something every so many seconds while the block runs the reactor."""
    interval = int(seconds * 1e9)

    ended = False

    def tick() -> None:
        if not ended:
            used.call_later(interval, tick)
            call()

    used.call_later(interval, tick)
    try:
        yield
    finally:
        ended = True


def check_folder(folder: Path) -> None:
    """NotFound or Forbidden if no file can be made in it."""
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder}.", "Make it, or check the path.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Forbidden(f"Files cannot be created in {folder}.", "Run as a user who may, or choose another.")
