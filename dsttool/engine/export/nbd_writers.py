"""NBD connections of one export as writers: all of them together are one, beside the DST sessions.

    nobody has come             the first that wants to write asks for the grant
    the grant is theirs         every other one writes, too
    the last says goodbye       the grant is released; so it is if none has asked for anything yet
    the last is lost            the grant is kept for GRANT_NS, for the client to come back
    somebody else's             they only read, for as long as they are connected
    it is taken from them       they answer what they have begun, and close

NBD has no terms: what was cut may connect again, and then only reads.
"""

from typing import Protocol

from dsttool.engine.export.writers import Work, Writers
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transaction.grant import NBD_OWNER, Asker, Holder
from dsttool.engine.wire import dst_hello


class NbdWriter(Protocol):
    """A connection that wants to write."""

    def granted(self, work: "NbdWork | None", reason: str) -> None:
        """What its requests belong to; None if it may only read, and why."""

    def leave(self) -> None:
        """Take nothing more; close once everything begun is answered and sent."""


class NbdWork(Work):
    """What NBD connections have running under one grant. connections: those that may write. used: one of
    them has asked for something."""

    def __init__(self, session: bytes) -> None:
        super().__init__(session)
        self.connections: set[NbdWriter] = set()
        self.used = False

    @property
    def present(self) -> bool:
        """See Work."""
        return bool(self.connections)

    def cut(self, reason: str) -> None:
        """See Work."""
        for connection in list(self.connections):
            connection.leave()


class NbdWriters:
    """The NBD connections of one export that write. Call `attach` before the first one joins."""

    def __init__(self, writers: Writers, *, shared: bool) -> None:
        self._writers = writers
        self._shared = shared
        self._reactor: Reactor | None = None
        # Those who write now, or have been lost and may come back; and the session they are, or will be.
        self._work: NbdWork | None = None
        self._session = b""

    def attach(self, reactor: Reactor) -> None:
        """More than once does no harm."""
        self._reactor = reactor

    @property
    def would_write(self) -> bool:
        """Whether a connection would be allowed to write now."""
        return self._shared or self._writers.would_write(NBD_OWNER)

    def join(self, connection: NbdWriter) -> "NbdClaim | None":
        """Have it `granted`, perhaps later: then it waits for what is returned."""
        if self._shared:
            if self._work is None:
                self._work = NbdWork(b"")
            self._work.connections.add(connection)
            connection.granted(self._work, "")
            return None
        claim = NbdClaim(self, connection)
        self._writers.ask(claim)
        return claim

    def leave(self, connection: NbdWriter, work: Work, *, goodbye: bool) -> None:
        """It has ended. goodbye: its client said so."""
        if not isinstance(work, NbdWork) or connection not in work.connections:
            return
        work.connections.discard(connection)
        if work.connections or self._shared or work is not self._work:
            return
        if goodbye or not work.used:
            self._work, self._session = None, b""
            self._writers.release(work)
        else:
            self._writers.silent(work)

    # -- for claims --------------------------------------------------------------------------------------

    def asker(self) -> Asker:
        """Who asks: the session that is, or a new one if there is none."""
        assert self._reactor is not None
        self._session = self._session or self._reactor.random_bytes(16)
        return Asker(NBD_OWNER, self._session)

    def admit(self, connection: NbdWriter, holder: Holder) -> NbdWork:
        """It may write: its claim says so."""
        if self._work is None or self._work.session != holder.session:
            self._work = NbdWork(holder.session)
        self._work.connections.add(connection)
        connection.granted(self._work, "")
        return self._work

    def refuse(self, claim: "NbdClaim", code: int, reason: str) -> None:
        """It may not write now."""
        if code == dst_hello.FENCED:
            # The session has been displaced. That does not bind NBD clients, which never send again.
            self._work, self._session = None, b""
            claim.asker = self.asker()
            self._writers.ask(claim)
        else:
            claim.connection.granted(None, reason)


class NbdClaim:
    """A connection that asks to write. See Claim."""

    returns = False

    def __init__(self, nbd: NbdWriters, connection: NbdWriter) -> None:
        self.asker = nbd.asker()
        self.wanted = True
        self.connection = connection
        self._nbd = nbd

    def admitted(self, holder: Holder) -> Work:
        """See Claim."""
        return self._nbd.admit(self.connection, holder)

    def refused(self, code: int, reason: str) -> None:
        """See Claim."""
        self._nbd.refuse(self, code, reason)
