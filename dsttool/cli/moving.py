"""What the commands that move data themselves share: a reactor for one command."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsttool.engine.runtime.reactor import Reactor


@contextmanager
def reactor() -> "Iterator[Reactor]":
    """A reactor for one command; its log lines about links go to stderr as warnings."""
    from dsttool.engine.runtime.reactor import Reactor

    made = Reactor()
    try:
        yield made
    finally:
        made.close()
