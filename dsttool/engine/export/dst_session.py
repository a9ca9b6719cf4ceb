"""Sessions of one export over DST: which links each has, and what becomes of them.

A session outlives its links, and may come by any listener of its export. Each of its links has an index;
a hello replaces the link of its own index only, and only if its epoch is higher: what an old connection
still says, late, changes nothing.

    session      has no link any more           ends with
    -----------  -----------------------------  -----------------------------------------------------
    reads only   is forgotten                   its last link
    writes       is kept, with its window       goodbye, or another session that takes its place
    writes to a  is kept, with its window, as   goodbye, a new session of the same owner, or too many
    shared one   the bound allows               others without a link

A session that has ended is refused for ever (FENCED): what its client still holds must not be written.
"""

from typing import Protocol

from dsttool.engine.device.request import Request
from dsttool.engine.export.writers import Work, Writers
from dsttool.engine.transaction.grant import TERM_MAX, Asker, Holder
from dsttool.engine.transaction.session import ServerSession
from dsttool.engine.vocabulary import limits
from dsttool.engine.wire import dst_hello
from dsttool.engine.wire.dst_hello import Hello


class Answering(Protocol):
    """The requests of one link."""

    def answer(self, request: Request) -> None:
        """Send the answer to a request of this link, if it is still up."""

    def drop(self, request: Request) -> None:
        """A request of this link needs no answer: it was asked for twice there."""


class SessionLink(Protocol):
    """A connection that is, or wants to be, a link of a session."""

    # Who stands behind it, as the server sees it.
    identity: str

    def joined(self, session: "DstSession", found: bool) -> None:
        """It is a link of that session now. found: of one that was here before."""

    def refuse(self, code: int, reason: str) -> None:
        """It does not become a link."""

    def cut(self, code: int, reason: str) -> None:
        """It is no link any more: tell why, take nothing more, close."""

    def close(self) -> None:
        """It is no link any more."""


class DstSession(Work):
    """One session. `window`: its changes. `links`: by index.

    waiters: whom the end of a change that runs is told, beside the link it came by.
    stalled: for each index, how many links are gone whose requests still run.
    lost: acked writes may be gone, and the client has not been told so yet by a flush that fails.
    announced: that it has a link has been said.
    """

    def __init__(self, sessions: "DstSessions", owner: str, hello: Hello, term: int) -> None:
        super().__init__(hello.session)
        self.owner = owner
        self.term = term
        self.read_only = hello.access == dst_hello.READ_ONLY
        self.window = ServerSession(hello.floor, changes=not self.read_only)
        self.links: dict[int, SessionLink] = {}
        self.epochs: dict[int, int] = {}
        self.waiters: dict[int, dict[Answering, Request]] = {}
        self.stalled: dict[int, int] = {}
        self.lost = sessions.lost
        self.announced = False
        self._told = -1
        self._sessions = sessions

    @property
    def present(self) -> bool:
        """See Work."""
        return bool(self.links)

    def cut(self, reason: str) -> None:
        """See Work."""
        self._sessions.forget(self)
        for link in list(self.links.values()):
            link.cut(dst_hello.FENCED, reason)

    def wait(self, link: Answering, request: Request) -> None:
        """The change of that id runs: its end is told to this link, too.

        Not to this one alone: what came last may be what an old connection still had to say.
        """
        request.data = None
        waiting = self.waiters.setdefault(request.cookie, {})
        before = waiting.get(link)
        if before is not None:
            link.drop(before)
        waiting[link] = request

    def wait_no_more(self, link: Answering) -> None:
        """The link is gone."""
        for waiting in self.waiters.values():
            waiting.pop(link, None)

    def withdraw(self, id_: int) -> None:
        """A change that was to begin does not."""
        self.window.withdraw(id_)
        self.waiters.pop(id_, None)

    def tell_loss(self, id_: int) -> bool:
        """Whether a flush of this id must fail, because its client may not know yet what was lost.

        The first flush to fail may fail unheard, so all do until the floor says that it was heard.
        """
        if 0 <= self._told < self.window.floor:
            self.lost = False
        elif self._told < 0:
            self._told = id_
        return self.lost


class DstSessions:
    """All sessions of one export. lost: as Offer.lost."""

    def __init__(self, writers: Writers, *, shared: bool) -> None:
        self.lost = False
        self._writers = writers
        self._shared = shared
        self._sessions: dict[bytes, DstSession] = {}
        # Of a shared export: sessions without a link, the longest first; and those that have ended.
        self._dead: dict[bytes, None] = {}
        self._retired: dict[bytes, None] = {}

    def join(self, link: SessionLink, hello: Hello) -> "DstClaim | None":
        """Make it a link of its session, or refuse it; perhaps later, then it waits for what is returned."""
        session = self._sessions.get(hello.session)
        reads = hello.access == dst_hello.READ_ONLY
        if hello.link >= limits.LINKS_MAX or hello.term > TERM_MAX:
            link.refuse(dst_hello.REFUSED_PROTOCOL, "A hello has a link index or a term that cannot be.")
        elif session is not None and session.owner != link.identity:
            link.refuse(dst_hello.REFUSED_ACCESS, "The session belongs to somebody else.")
        elif session is not None and session.read_only != reads:
            link.refuse(dst_hello.REFUSED_PROTOCOL, "The session has had another access before.")
        elif session is not None:
            self._attach(session, link, hello, found=True)
        elif hello.session in self._retired:
            link.refuse(dst_hello.FENCED, "The session has ended.")
        elif reads:
            self._begin(link, hello, 0)
        elif self._shared:
            self._end_others(link)
            self._begin(link, hello, 0)
        else:
            claim = DstClaim(self, link, hello)
            self._writers.ask(claim)
            return claim
        return None

    def admit(self, link: SessionLink, hello: Hello, holder: Holder) -> DstSession:
        """It may write: its claim says so."""
        session = self._sessions.get(holder.session)
        if session is None or session.read_only:  # which has come under the same id since it was asked
            return self._begin(link, hello, holder.term)
        self._attach(session, link, hello, found=True)
        return session

    def detach(self, session: DstSession, index: int, link: SessionLink) -> None:
        """The link is gone."""
        if session.links.get(index) is link:
            del session.links[index]
        if session.links or self._sessions.get(session.session) is not session:
            return
        if session.read_only:
            self.forget(session)
        elif self._shared:
            self._dead[session.session] = None
            if len(self._dead) > limits.DEAD_SESSIONS_MAX:
                self._retire(self._sessions[next(iter(self._dead))])
        else:
            self._writers.silent(session)

    def goodbye(self, session: DstSession) -> None:
        """Its client has said that it ends."""
        if self._shared and not session.read_only:
            self._retire(session)
        else:
            self.forget(session)
            self._writers.release(session)
        for link in list(session.links.values()):
            link.close()

    def reconnect(self) -> None:
        """The device's verifier has changed: the next welcome tells every client so, before anything more is
        answered. Else a client that only reads might see what was lost, though it could repair it."""
        for session in list(self._sessions.values()):
            for link in list(session.links.values()):
                link.close()

    def forget(self, session: DstSession) -> None:
        """It is no session any more."""
        if self._sessions.get(session.session) is session:
            del self._sessions[session.session]
            self._dead.pop(session.session, None)

    def _begin(self, link: SessionLink, hello: Hello, term: int) -> DstSession:
        session = self._sessions[hello.session] = DstSession(self, link.identity, hello, term)
        self._attach(session, link, hello, found=False)
        return session

    def _attach(self, session: DstSession, link: SessionLink, hello: Hello, *, found: bool) -> None:
        index = hello.link
        if hello.epoch <= session.epochs.get(index, -1):
            link.refuse(dst_hello.REPLACED, "A newer connection of this link is here already.")
            return
        if session.stalled.get(index, 0) >= limits.STALLED_LINKS_MAX:
            link.refuse(dst_hello.GOING_AWAY, "Too much of what the session asked for before still runs.")
            return
        replaced = session.links.get(index)
        session.links[index] = link
        session.epochs[index] = hello.epoch
        self._dead.pop(session.session, None)
        if replaced is not None:
            replaced.cut(dst_hello.REPLACED, "A newer connection of this link replaced this one.")
        session.window.advance(hello.floor)
        self._writers.present(session)
        link.joined(session, found)

    def _end_others(self, link: SessionLink) -> None:
        """A new session of an owner ends those it had: what they did not write yet, they never will."""
        for session in list(self._sessions.values()):
            if session.owner == link.identity and not session.read_only:
                self._retire(session)
                session.cut("A newer session of the same owner writes from now on.")

    def _retire(self, session: DstSession) -> None:
        self.forget(session)
        self._retired[session.session] = None
        if len(self._retired) > limits.RETIRED_SESSIONS_MAX:
            del self._retired[next(iter(self._retired))]


class DstClaim:
    """A link that asks to write. See Claim."""

    returns = True

    def __init__(self, sessions: DstSessions, link: SessionLink, hello: Hello) -> None:
        self.asker = Asker(link.identity, hello.session, hello.term, hello.takeover)
        self.wanted = True
        self._sessions = sessions
        self._link = link
        self._hello = hello

    def admitted(self, holder: Holder) -> Work:
        """See Claim."""
        return self._sessions.admit(self._link, self._hello, holder)

    def refused(self, code: int, reason: str) -> None:
        """See Claim."""
        self._link.refuse(code, reason)
