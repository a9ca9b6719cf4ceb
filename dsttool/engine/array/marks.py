"""Marks: what an array must remember, kept durably before anything is acked that relies on it.

Rule (arrays.md, 2): a write that failed on a member is acked only after that member is durably recorded
as stale; otherwise a crash would bring it back as if it had everything. The same holds for a verifier that
has changed: a crash must not make the loss unseen. So from the moment of such a mark until the record is
stored, no write and no flush is acked: they are held here. If storing fails they fail, and it is tried
again; what comes meanwhile is held as well. That a member is in sync again nobody waits for: an older record
only brings it back as stale.
"""

import errno
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dsttool.engine.array.member import Member
from dsttool.engine.device.request import Request
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary import limits

LOG = logging.getLogger(__name__)

# Between attempts to store after one failed; a full state folder does not empty itself at once.
STORE_AGAIN_NS = limits.SECOND


class Record(NamedTuple):
    """What is to be remembered. states: Member.remembered; verifiers, identities: of the members' nodes, None
    where there is no node. lost: acked writes were lost that no member holds, and not every client may know.
    """

    states: list[str]
    generation: int
    verifiers: list[bytes | None]
    lost: bool
    identities: Sequence[bytes | None] = ()


class Marks:
    """`store(record)` blocks until it is durable, in a thread; `release(requests)` answers what was held.

    lost: see Record.
    """

    def __init__(
        self,
        reactor: Reactor,
        members: Sequence[Member],
        store: Callable[[Record], None],
        generation: int,
        release: Callable[[list[Request]], None],
    ) -> None:
        self._reactor = reactor
        self._members = members
        self._store = store
        self._release = release
        self._held: list[Request] = []
        self._told: list[tuple[int, Callable[[], None]]] = []
        self._running = False
        self._stored = self._needed = generation
        self.generation = generation
        self.lost = False
        self._verifiers = self._verifiers_now()

    @property
    def pending(self) -> bool:
        """Whether acks have to be held."""
        return self._stored < self._needed

    def hold(self, requests: list[Request]) -> None:
        """Answer these once the record is durable."""
        self._held += requests

    def store(self, *, urgent: bool = True, stored: Callable[[], None] | None = None) -> None:
        """Something has changed: store it under a new generation. urgent: acks have to wait for it.

        `stored` is called once it is durable.
        """
        self.generation += 1
        if urgent:
            self._needed = self.generation
        if stored is not None:
            self._told.append((self.generation, stored))
        self._start()

    def record(self) -> Record:
        """What there is to remember now."""
        return Record(
            [member.remembered for member in self._members],
            self.generation,
            self._verifiers_now(),
            self.lost,
            [None if member.node is None else member.node.identity for member in self._members],
        )

    def refresh(self) -> None:
        """Store verifiers that nodes have changed without a word: they had repaired what was lost. Until then
        an end of this process looks as if they had not."""
        if self._verifiers != self._verifiers_now():
            self.store(urgent=False)

    def _verifiers_now(self) -> list[bytes | None]:
        return [None if member.node is None else member.node.lasting_verifier for member in self._members]

    def _start(self) -> None:
        if self._running or self._stored == self.generation:
            return
        self._running = True
        record = self.record()
        self._verifiers = record.verifiers
        self._reactor.run_blocking(
            lambda: self._store(record),
            lambda _, error: self._done(record.generation, error),
            "state",
        )

    def _done(self, generation: int, error: BaseException | None) -> None:
        self._running = False
        if error is None:
            self._stored = generation
            self._start()
            told = [call for wanted, call in self._told if wanted <= generation]
            self._told = [entry for entry in self._told if entry[0] > generation]
            for call in told:
                call()
            if self.pending:
                return
        else:
            tell(LOG, "array.unrecorded", "", "Cannot record the members' states, so writes fail: %s", error)
            for request in self._held:
                request.error = errno.EIO
            self._reactor.call_later(STORE_AGAIN_NS, self._start)
        held, self._held = self._held, []
        if held:
            self._release(held)
