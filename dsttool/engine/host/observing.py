"""What a daemon tells those who watch it: its devices sampled, its events, put together for the stream."""

import heapq
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from dsttool.engine.array.array import Array
from dsttool.engine.control import clock
from dsttool.engine.control.broadcast import Broadcast, News
from dsttool.engine.control.event_log import EventLog
from dsttool.engine.control.sampler import Sampler, Want
from dsttool.engine.device.figures import Figures
from dsttool.engine.export.offer import Offer
from dsttool.engine.host.array_status import array_status
from dsttool.engine.host.machine import Machine
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.status import DaemonStatus, TransactionStatus

About = Callable[[], DaemonStatus]


class Observed:
    """What `offers` are sampled for (control.sampler.Source). about: the daemon itself."""

    def __init__(self, offers: Sequence[Offer], about: About) -> None:
        self._offers = offers
        self._about = about

    def figures(self) -> Iterator[tuple[str, Figures, int]]:
        """See Source."""
        for offer in self._offers:
            yield offer.name, offer.figures, offer.in_flight
        for offer in self._offers:
            if isinstance(offer.device, Array):
                for member in offer.device.members:
                    yield f"{offer.name}/{member.name}", member.figures, member.in_flight

    def statuses(self) -> Iterator[tuple[Literal["arrays", "exports"], str, Any]]:
        """See Source."""
        for offer in self._offers:
            if isinstance(offer.device, Array):
                yield "arrays", offer.name, array_status(offer.device, offer)
            else:
                yield "exports", offer.name, offer.status()

    def daemon(self) -> DaemonStatus:
        """See Source."""
        return self._about()

    def transactions(self) -> Iterator[TransactionStatus]:
        """See Source."""
        listed = [offer.device.transactions() for offer in self._offers]
        return listed[0] if len(listed) == 1 else heapq.merge(*listed, key=lambda each: -each["age_ns"])

    def transaction_states(self) -> Counter[str]:
        """See Source."""
        found: Counter[str] = Counter()
        for offer in self._offers:
            found += offer.device.transaction_states()
        return found


class Observing:
    """Samples from `begin` to `end`, and gives to `put`. broadcast: what the control thread makes of it."""

    def __init__(self, reactor: Reactor, offers: Sequence[Offer], about: About, events: EventLog) -> None:
        self._reactor = reactor
        self._events = events
        self._put: Callable[[News], None] | None = None
        machine = Machine()
        known = about()
        hello = {
            "daemon": known["name"],
            "kind": known["kind"],
            "instance": known["instance"],
            "host": socket.gethostname(),
            "version": known["version"],
            "pid": known["pid"],
        }
        self.broadcast = Broadcast(hello, lambda: machine.sample(time.monotonic_ns()), self._want)
        self.source = Observed(offers, about)
        self._sampler = Sampler(reactor, self.source, self._news, clock.even_unix())

    def begin(self, put: Callable[[News], None]) -> None:
        """Sample from now on. put: ControlServer.put; it is told of what happened before, too."""
        self._put = put
        for event in self._events.since(0):
            put(event)
        self._events.listeners.append(self._news)
        self._sampler.begin()

    def end(self) -> None:
        """Sample no more; events are still told."""
        self._sampler.end()

    def _want(self, want: Want | None) -> None:
        self._reactor.post(lambda: self._sampler.want(want))

    def _news(self, news: News) -> None:
        assert self._put is not None, "sampling has begun"
        self._put(news)
