"""Marks: which members are stale, kept durably before anything that they missed is acked.

Rule (arrays.md, 2): a write that failed on a member is acked only after that member is durably recorded
as stale; otherwise a crash would bring it back as if it had everything. So from the moment a member is
marked until the record is stored, no write and no flush is acked: they are held here. If storing
fails they fail, and it is tried again; what comes meanwhile is held as well.
"""

import errno
import logging
from collections.abc import Callable, Sequence

from dsttool.engine.array.member import Member
from dsttool.engine.device.request import Request
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary import limits

LOG = logging.getLogger(__name__)

# Between attempts to store after one failed; a full state folder does not empty itself at once.
STORE_AGAIN_NS = limits.SECOND


class Marks:
    """`release(requests)` answers what was held. `pending`: a record is not durable yet."""

    def __init__(
        self,
        reactor: Reactor,
        members: Sequence[Member],
        store: Callable[[list[str], int], None],
        generation: int,
        release: Callable[[list[Request]], None],
    ) -> None:
        self._reactor = reactor
        self._members = members
        self._store = store
        self._release = release
        self._held: list[Request] = []
        self._running = False
        self._stored = generation
        self.generation = generation

    @property
    def pending(self) -> bool:
        """Whether acks have to be held."""
        return self._stored != self.generation

    def hold(self, requests: list[Request]) -> None:
        """Answer these once the record is durable."""
        self._held += requests

    def store(self) -> None:
        """The members' states have changed: store them under a new generation."""
        self.generation += 1
        self._start()

    def _start(self) -> None:
        if self._running or not self.pending:
            return
        self._running = True
        generation = self.generation
        states = [member.state for member in self._members]
        self._reactor.run_blocking(
            lambda: self._store(states, generation),
            lambda _, error: self._done(generation, error),
            "state",
        )

    def _done(self, generation: int, error: BaseException | None) -> None:
        self._running = False
        if error is None:
            self._stored = generation
            self._start()
            if self.pending:
                return
        else:
            LOG.error("Cannot record which members are stale, so writes fail: %s", error)
            for request in self._held:
                request.error = errno.EIO
            self._reactor.call_later(STORE_AGAIN_NS, self._start)
        held, self._held = self._held, []
        if held:
            self._release(held)
