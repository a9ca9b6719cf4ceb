"""What the commands that move data share: a reactor, devices that are closed, what is done meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

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
