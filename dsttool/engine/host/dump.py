"""The state of a daemon in its log, on SIGUSR1: for whoever has to find out why it does what it does.

The stacks of all threads come first, as plain lines on stderr: a thread of its own writes them, even
if the reactor is stuck (host.daemon). The rest follows as lines of the log, once the reactor turns:
figures of the reactor, the daemon, each array and export with its members and clients, how many transactions
are in each state, and the oldest of them. All that `dsttool status` shows, no keys and no data.
"""

import gc
import json
import logging
import threading
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from dsttool.engine.control.sampler import Source
from dsttool.engine.runtime.reactor import Reactor

LOG = logging.getLogger(__name__)

TRANSACTIONS_MAX: Final = 50
# Of clients, and of anything else that is listed: the oldest say enough.
LISTED_MAX: Final = 50


class Dump:
    """Writes one state at a time; whoever asks meanwhile has it, too."""

    def __init__(self, reactor: Reactor, source: Source) -> None:
        self._reactor = reactor
        self._source = source
        self._running = False

    def write(self) -> None:
        """Begin. On the reactor, a line in each turn: whoever is served does not wait for it."""
        if not self._running:
            self._running = True
            self._step(self._lines())

    def _step(self, lines: Iterator[tuple[str, Any]]) -> None:
        try:
            what, value = next(lines)
            LOG.warning("state: %s %s", what, json.dumps(value, separators=(",", ":"), default=repr))
        except StopIteration:
            self._running = False
        except Exception:
            self._running = False
            LOG.exception("the state could not be written")
        else:
            self._reactor.post(lambda: self._step(lines))

    def _lines(self) -> Iterator[tuple[str, Any]]:
        yield "threads", [thread.name for thread in threading.enumerate()]
        yield "reactor", self._reactor.load()
        yield "memory", {"collections": [each["collections"] for each in gc.get_stats()]}
        yield "daemon", self._source.daemon()
        for part in self._source.statuses():
            if part is not None:
                kind, _, status = part
                yield kind.removesuffix("s"), _shortened(status)
        yield "transactions", self._source.transaction_states()
        for transaction in islice(self._source.transactions(), TRANSACTIONS_MAX):
            yield "transaction", transaction
        yield "end", {}


def _shortened(status: Any) -> Any:
    """A status without what would make its line endless."""
    return {
        key: [*value[:LISTED_MAX], f"and {len(value) - LISTED_MAX} more"]
        if isinstance(value, list) and len(value) > LISTED_MAX
        else value
        for key, value in status.items()
    }
