"""Offer: a device under a name, with what its clients share: counters, sessions, the right to write."""

import errno
import logging
import os
from typing import Any, Final

from dsttool.engine.device.device import Device
from dsttool.engine.device.figures import Figures
from dsttool.engine.device.request import Request
from dsttool.engine.export.dst_session import DstSessions
from dsttool.engine.export.nbd_writers import NbdWriters
from dsttool.engine.export.writers import Store, Writers
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.runtime.telling import tell
from dsttool.engine.transaction.grant import Holder
from dsttool.engine.transaction.latency import Latencies
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.status import SessionStatus
from dsttool.engine.vocabulary.texts import name_of

LOG = logging.getLogger(__name__)

# A disk that is full or broken fails at everything: that is said once in this time.
FAILING_NS: Final = 60 * SECOND
# Those are answers as good as any, or come with an end that is told.
_UNTOLD: Final = (0, errno.EOPNOTSUPP, errno.ECANCELED, errno.ESHUTDOWN)


class Session:
    """A client as the status shows it. Connections derive from it.

    leads: of several connections of one client, this is the one that shows them all.
    """

    peer: str
    protocol: str
    in_flight: int
    owner: str | None = None
    links: int = 1
    leads: bool = True
    offer: "Offer"
    read_only: bool

    def session_status(self) -> SessionStatus:
        """The fields of interface.md."""
        return {
            "peer": self.peer,
            "owner": self.owner,
            "protocol": self.protocol,
            "access": "read-only" if self.read_only else "read-write",
            "links": self.links,
            "in_flight": self.in_flight,
        }


class Offer:
    """One export. `read_only` may be asked for, or be the device's own nature. `waiting`: it is for
    authorised keys, and there are none yet.

    shared: several may write at a time, and see to it themselves that they do not disturb each other; else
    one session writes (see Writers). stored, store: who holds the grant, from an earlier run and for later.
    figures: of all its clients, from the arrival of a request to its answer.
    """

    def __init__(
        self,
        name: str,
        device: Device,
        *,
        read_only: bool = False,
        description: str = "",
        shared: bool = False,
        stored: Holder | None = None,
        store: Store | None = None,
    ) -> None:
        self.name = name
        self.writers = Writers(name, stored, store)
        self.dst = DstSessions(self.writers, shared=shared)
        self.nbd = NbdWriters(self.writers, shared=shared)
        self.device = device
        self.description = description
        self.read_only = read_only or device.capabilities.read_only
        self.waiting = False
        self.sessions: list[Session] = []
        self.addresses: list[str] = []
        self.figures = Figures()
        self._silent_until = 0

    def attach(self, reactor: Reactor) -> None:
        """Called by each server that offers it."""
        self.device.on_verifier = self.dst.reconnect
        self.writers.attach(reactor)
        self.nbd.attach(reactor)

    @property
    def lost(self) -> bool:
        """Whether writes that were acked in an earlier run, and not flushed, may be gone.

        The first flush of every client fails then. To be set before anybody is served.
        """
        return self.dst.lost

    @lost.setter
    def lost(self, lost: bool) -> None:
        self.dst.lost = lost

    @property
    def latencies(self) -> Latencies:
        """How long its clients' requests took, those of an array too; counts grow only."""
        return self.figures.latencies

    def failing(self, requests: list[Request], now: int) -> None:
        """Some of these failed: say at what, from time to time."""
        if now < self._silent_until:
            return
        error = next((request.error for request in requests if request.error not in _UNTOLD), 0)
        if error:
            self._silent_until = now + FAILING_NS
            what = f"{os.strerror(error)} (errors so far: {self.figures.errors})"
            tell(LOG, "client.failing", self.name, "%s: requests of clients fail: %s", self.name, what)

    @property
    def in_flight(self) -> int:
        """Requests of all clients that are not answered yet."""
        return sum(session.in_flight for session in self.sessions)

    @property
    def state(self) -> str:
        """The export's state, in vocabulary.md's words."""
        if self.device.failure is not None:
            return "failed"
        if self.waiting:
            return "waiting"
        return "read_only" if self.read_only else "serving"

    def status(self) -> dict[str, Any]:
        """The fields of an export in interface.md."""
        figures = self.figures
        return {
            "name": self.name,
            "device": name_of(self.device.name),
            "state": self.state,
            "size_bytes": self.device.capabilities.size,
            "read_only": self.read_only,
            "in_flight": self.in_flight,
            "reads": figures.reads,
            "writes": figures.writes,
            "read_bytes": figures.read_bytes,
            "written_bytes": figures.written_bytes,
            "errors": figures.errors,
            "addresses": list(self.addresses),
            "sessions": [session.session_status() for session in self.sessions if session.leads],
        }
