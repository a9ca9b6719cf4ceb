"""Writers of one export: one at a time, each admitted when nothing of the last one runs any more.

    ask -> queue -> decide -> cut whoever is displaced -> wait until the device has ended all it began
        -> store the holder durably -> admit

One ask is served after the other, so that each decision is made on what the one before it left. What the
last writer asked for may still run on the device though its links are gone, or though it said goodbye:
that, too, is waited for. A displaced writer is cut before its successor is stored, and never comes back,
whatever becomes of the successor: it was told so.

Whoever asks may be gone when it is its turn: then nothing happens. A hello that was stuck in the network may
be that of a process long dead, and its connection's end comes right behind it; so before anybody is
displaced, the sockets are looked at once more. Whoever is gone only when it has been stored holds the
grant as one that has no link, if it can come back as the same; else the grant is free again. Where the
system refuses to store, the asker is refused and nobody writes.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.runtime.telling import tell
from dsttool.engine.transaction.grant import Admit, Asker, Busy, Fenced, Grant, Holder
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.wire import dst_hello

LOG = logging.getLogger(__name__)

Store = Callable[[Holder], Any]
"""Remembers who holds the grant; durable when it returns, DsttoolError or OSError if it is not. Blocks."""


class Work:
    """What one session, or all NBD connections of an export, have running on the device.

    running: requests, over all its links, those that are gone included. when_idle: called once, when there
    are none any more.
    """

    def __init__(self, session: bytes) -> None:
        self.session = session
        self.running = 0
        self.when_idle: Callable[[], None] | None = None

    @property
    def present(self) -> bool:
        """Whether it has a link."""
        raise NotImplementedError

    def cut(self, reason: str) -> None:
        """Take nothing more from any of its links, and tell them why; what runs goes on."""
        raise NotImplementedError

    def idle(self) -> None:
        """`running` has come down to 0."""
        call, self.when_idle = self.when_idle, None
        if call is not None:
            call()


class Claim(Protocol):
    """Somebody who asks to write."""

    asker: Asker
    # False once nobody waits for the answer any more.
    wanted: bool
    # Whether one that is gone may come back as the session that it asked for.
    returns: bool

    def admitted(self, holder: Holder) -> Work:
        """It may write from now on. Whose work its requests are."""

    def refused(self, code: int, reason: str) -> None:
        """It may not: a code of dst_hello, and a sentence."""


class Writers:
    """The writer's grant of one export, and those who wait for it. Call `attach` before the first ask.

    stored: what `store` was last given in an earlier life of the server. Without `store` the grant lasts as
    long as the server.
    """

    def __init__(self, name: str, stored: Holder | None = None, store: Store | None = None) -> None:
        self._name = name
        self._before = stored
        self._store = store
        self._reactor: Reactor | None = None
        self._grant = Grant(stored, 0)
        self._work: Work | None = None
        self._queue: deque[Claim] = deque()
        self._serving: tuple[Claim, Admit] | None = None

    def attach(self, reactor: Reactor) -> None:
        """From now on silence is counted. More than once does no harm."""
        if self._reactor is None:
            self._reactor = reactor
            self._grant = Grant(self._before, reactor.now)

    @property
    def holder(self) -> Holder | None:
        """Who writes, or wrote last."""
        return self._grant.holder

    def ask(self, claim: Claim) -> None:
        """Have it admitted or refused, perhaps before this returns."""
        if self._serving is not None:  # perhaps for long: those who have left must not pile up
            self._queue = deque(each for each in self._queue if each.wanted)
        self._queue.append(claim)
        self._serve()

    def would_write(self, owner: str) -> bool:
        """Whether a new session of this owner would be admitted now."""
        assert self._reactor is not None
        return self._grant.would_write(owner, self._reactor.now)

    def present(self, work: Work) -> None:
        """It has a link again."""
        if work is self._work:
            self._grant.come_back()

    def silent(self, work: Work) -> None:
        """It has no link any more."""
        assert self._reactor is not None
        if work is self._work:
            self._grant.leave(self._reactor.now)

    def release(self, work: Work) -> None:
        """It said goodbye: anybody may write once what it began has ended."""
        if work is not self._work or self._grant.retired(work.session):
            return  # another one takes its place, or has
        self._release()

    def _release(self) -> None:
        released = self._grant.release()
        if released is not None and self._store is not None:
            self._run_store(released, self._released)

    def _released(self, _result: Any, error: BaseException | None) -> None:
        if error is not None:
            what = "that its writer has left is not stored"
            tell(LOG, "writer.unrecorded", self._name, "export %s: %s: %s", self._name, what, error)

    # -- one ask after the other -----------------------------------------------------------------------

    def _serve(self) -> None:
        assert self._reactor is not None
        while self._queue and self._serving is None:
            claim = self._queue.popleft()
            if not claim.wanted:
                continue
            decision = self._grant.decide(claim.asker, self._reactor.now)
            if isinstance(decision, Admit):
                self._prepare(claim, decision)
            elif isinstance(decision, Busy):
                claim.refused(dst_hello.BUSY, self._busy(decision))
            else:
                claim.refused(dst_hello.FENCED, self._fenced(decision))

    def _prepare(self, claim: Claim, decision: Admit) -> None:
        assert self._reactor is not None
        self._serving = (claim, decision)
        if decision.displaces and self._work is not None and self._work.present:
            # What is posted by what was posted runs when the next turn has told of its events.
            post = self._reactor.post
            post(lambda: post(self._displace))
        else:
            self._displace()

    def _displace(self) -> None:
        """Cut whoever is displaced, and wait until nothing of it runs."""
        assert self._serving is not None
        claim, decision = self._serving
        if not claim.wanted:
            self._serving = None
            self._serve()
            return
        before = self._work
        if decision.displaces:
            self._grant.displace()
            if before is not None:
                who = shown(decision.holder.owner)
                tell(LOG, "writer.changed", self._name, "export %s: %s writes from now on", self._name, who)
                before.cut(f"Another session writes to '{self._name}' from now on.")
        if before is not None and before.running and before.session != decision.holder.session:
            before.when_idle = self._drained
        else:
            self._drained()

    def _drained(self) -> None:
        assert self._serving is not None
        _, decision = self._serving
        if decision.store and self._store is not None:
            self._run_store(decision.holder, self._stored)
        else:
            self._admit()

    def _run_store(self, holder: Holder, done: Callable[[Any, BaseException | None], None]) -> None:
        assert self._reactor is not None
        assert self._store is not None
        store = self._store
        self._reactor.run_blocking(lambda: store(holder), done, "state")

    def _stored(self, _result: Any, error: BaseException | None) -> None:
        if error is None:
            self._admit()
            return
        assert self._serving is not None
        (claim, decision), self._serving = self._serving, None
        self._grant.not_stored(decision.holder)
        what = "who writes to it cannot be stored"
        tell(LOG, "writer.unrecorded", self._name, "export %s: %s: %s", self._name, what, error)
        if claim.wanted:
            what = error.what if isinstance(error, DsttoolError) else str(error)
            claim.refused(
                dst_hello.GOING_AWAY, f"The server cannot store who writes to '{self._name}': {what}"
            )
        self._serve()

    def _admit(self) -> None:
        assert self._reactor is not None
        assert self._serving is not None
        (claim, decision), self._serving = self._serving, None
        if self._grant.retired(decision.holder.session):  # it said goodbye over another link meanwhile
            claim.refused(dst_hello.FENCED, self._fenced(Fenced(decision.holder.term)))
            self._serve()
            return
        self._grant.begin(decision.holder)
        if claim.wanted:
            self._work = claim.admitted(decision.holder)
        elif self._work is None or self._work.session != decision.holder.session:
            self._work = None
            if not claim.returns:
                self._release()
        if self._work is None or not self._work.present:
            self._grant.leave(self._reactor.now)
        self._serve()

    # -- words -------------------------------------------------------------------------------------------

    def _busy(self, busy: Busy) -> str:
        who = f"'{self._name}' is written by {shown(busy.owner)}"
        if busy.present:
            return f"{who}, which is connected."
        return f"{who}, which has {-(-busy.wait_ns // SECOND)} s left to come back."

    def _fenced(self, fenced: Fenced) -> str:
        return f"Another session has written to '{self._name}' since (term {fenced.term})."


def shown(owner: str) -> str:
    """An owner for people: of long numbers the first eight digits."""
    return " ".join(word[:8] if len(word) >= 32 and _is_hex(word) else word for word in owner.split(" "))


def _is_hex(word: str) -> bool:
    return all(c in "0123456789abcdef" for c in word)
