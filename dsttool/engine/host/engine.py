"""One daemon from its open devices to its clean end: reactor, listeners, control socket, signals.

    starting --ready--> serving --SIGTERM, SIGINT, `stop`--> stopping --> ended

Stopping: accept nobody new, answer what has begun (at most DRAIN_NS), flush every device, close. What
was acked is then on stable storage, and nothing is left in the runtime folder but a detached
daemon's log.
"""

import gc
import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import dsttool
from dsttool.engine.config import paths
from dsttool.engine.config.listen import Listen
from dsttool.engine.config.units import format_size
from dsttool.engine.control import messages
from dsttool.engine.control.lock import NameLock
from dsttool.engine.control.server import Answer, ControlServer, Handler
from dsttool.engine.export.offer import Offer
from dsttool.engine.host import daemon, service
from dsttool.engine.host.access import DEFAULT_ENDPOINTS, OPEN, Access, AccessPlan
from dsttool.engine.host.array_commands import count_of
from dsttool.engine.host.dump import Dump
from dsttool.engine.host.ending import close_all, flush_all
from dsttool.engine.host.events import Events
from dsttool.engine.host.observing import Observing
from dsttool.engine.host.reload_parts import MachinePart
from dsttool.engine.host.reloading import Part, Reloading
from dsttool.engine.host.tuning import Tuning
from dsttool.engine.host.waiting import Statuses, Waits
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary import limits, status
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import Conflict

if TYPE_CHECKING:
    from dsttool.engine.host.metering import Metering

LOG = logging.getLogger(__name__)

_LOOK: Final = "Look at what there is now, and try again."
# What clients wait for at most once the daemon is told to stop; afterwards they see a lost connection.
DRAIN_NS: Final = 10 * limits.SECOND


class Engine:
    """A daemon that serves `offers`; their devices are flushed and closed at the end.

    access: who may come in. commands: what its control socket takes besides what every daemon takes.
    metrics: where Prometheus is answered. part: what of its configuration can be read again. events: what has
    happened. waits: who waits for a state; whoever changes one says so there.
    clean: once it has ended, whether everything acked is on stable storage.
    """

    def __init__(
        self,
        kind: str,
        reactor: Reactor,
        lock: NameLock,
        offers: Sequence[Offer],
        events: Events,
        statuses: Statuses,
        commands: Mapping[str, Handler] | None = None,
        access: AccessPlan = OPEN,
        *,
        metrics: Endpoint | None = None,
        part: Callable[[Access], Part] | None = None,
    ) -> None:
        self.reactor = reactor
        self.offers = offers
        self.name = offers[0].name
        self.state = "starting"
        self.clean = False
        self.events = events
        self.waits = Waits(reactor, statuses)
        self._commands = commands or {}
        self._kind = kind
        self._lock = lock
        self._statuses = statuses
        self._signal = 0
        self._since = reactor.now
        self._instance = reactor.random_bytes(8).hex()
        self._tuning = Tuning(reactor)
        self._access = Access(reactor, offers, access)
        self._listening = self._access.listening
        self._control: ControlServer | None = None
        self._observing = Observing(reactor, offers, self._about, events.event_log)
        self._metrics_place = metrics
        self._metering: Metering | None = None
        own = [] if part is None else [part(self._access)]
        # The access comes last: it cuts those who may not be here any more, by new rules too.
        parts = [*own, MachinePart(reactor), self._access]
        self._reloading = Reloading(reactor, self.name, parts, self._access.remarks)
        self._dump = Dump(reactor, self._observing.source)

    def serve(self, listens: Sequence[Listen], ready: daemon.Ready) -> int:
        """Bind, tell `ready`, serve until stopped, end cleanly. Returns the exit code."""
        post = self.reactor.post
        daemon.on_signals(
            self._stop_by_signal, lambda: post(self._reloading.by_signal), lambda: post(self._dump.write)
        )
        daemon.allow_descriptors()
        try:
            self._lock.note_pid()
            lent = service.inherit(self.reactor, listens, self._places())
            self._bind_metrics()  # before whoever waits for the others' sockets can come
            self._access.begin(listens, lent)
            control = self.reactor.network.listen(self._control_place)
            self._control = ControlServer(
                control, self.reactor.post, self._handlers(), self._check, self._observing.broadcast
            )
            self._listening.start()
            self._control.start()
            self._observing.begin(self._control.put)
            if self._metering is not None:
                self._metering.start()
            service.Watchdog(self.reactor)
            self._become_ready(ready)
            self.reactor.run()
        finally:
            self.clean = self._end()
        return 130 if self._signal == signal.SIGINT else 0 if self.clean else 1

    @property
    def _control_place(self) -> Endpoint:
        return Endpoint("unix", path=str(paths.control_socket(self.name)))

    def _places(self) -> list[Endpoint]:
        """Where is listened whatever is asked for."""
        files = [path(offer.name) for offer in self.offers for path in (paths.nbd_socket, paths.dst_socket)]
        metrics = [] if self._metrics_place is None else [self._metrics_place]
        always = [Endpoint("unix", path=str(file)) for file in files]
        return [*always, *DEFAULT_ENDPOINTS, self._control_place, *metrics]

    def _bind_metrics(self) -> None:
        if self._metrics_place is not None:
            from dsttool.engine.host.metering import Metering  # loads prometheus_client

            self._metering = Metering(self.reactor, self._observing.source, self._metrics_place)

    def stop(self) -> None:
        """End soon. From any thread or signal handler."""
        self.reactor.stop()

    def report(self) -> daemon.Report:
        """What whoever started this wants to know."""
        return {
            "name": self.name,
            "pid": os.getpid(),
            "serves": [
                {"name": o.name, "size_bytes": o.device.capabilities.size, "addresses": o.addresses}
                for o in self.offers
            ],
            "remarks": self._access.remarks,
            "invites": self._access.invites,
        }

    def _become_ready(self, ready: daemon.Ready) -> None:
        self.state = "serving"
        for offer in self.offers:
            ready_to_say = (offer.name, *_size_and_places(offer))
            tell(LOG, "daemon.ready", offer.name, "%s is ready: %d bytes at %s", *ready_to_say)
        # What exists now lives as long as the process: full collections need not look at it, and
        # requests make no cycles, so collections may be rare.
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)
        sizes = [f"{offer.name} ({format_size(offer.device.capabilities.size)})" for offer in self.offers]
        service.notify("READY=1", f"STATUS=Serving {', '.join(sizes)}")
        os.utime(
            paths.control_socket(self.name)
        )  # who waits for it to appear looks again (control.appearing)
        ready(self.report())

    def _stop_by_signal(self, number: int) -> None:
        self._signal = number
        self.stop()

    # -- the end -------------------------------------------------------------------------------------

    def _end(self) -> bool:
        """Drain, flush, close; False if something acked may not be on stable storage."""
        self.state = "stopping"
        self.waits.end()
        tell(LOG, "daemon.stopping", self.name, "%s is stopping", self.name)
        service.notify("STOPPING=1", "STATUS=Finishing what has begun")
        self._listening.close()
        for server in self._listening.servers:
            server.drain()
        if not self.reactor.run_until(self._idle, DRAIN_NS):
            LOG.warning("requests did not finish in time; their clients see a lost connection")
        for server in self._listening.servers:
            server.close()
        self._access.close()
        self._observing.end()
        if self._metering is not None:
            self._metering.close()
        clean, closed = self._finish_devices()
        if self._control is not None:
            self._control.close()
            if not self.reactor.network.is_lent(self._control_place):
                paths.control_socket(self.name).unlink(missing_ok=True)
        if closed:
            self.reactor.close()  # after the control thread, which posts to it
        LOG.info("%s has ended", self.name)
        return clean

    def _finish_devices(self) -> tuple[bool, bool]:
        """Flush and close. Whether everything acked is on stable storage, and whether every device closed."""
        devices = [offer.device for offer in self.offers]
        failures = flush_all(self.reactor, devices)
        closed = close_all(self.reactor, devices)
        if not closed:
            failures.append("a device did not close in time")
        for failure in failures:
            tell(LOG, "daemon.unclean", self.name, "%s", failure)
        return not failures, closed

    def _idle(self) -> bool:
        return not any(offer.sessions for offer in self.offers)

    # -- control commands, on the reactor --------------------------------------------------------------

    def _handlers(self) -> dict[str, Handler]:
        own: dict[str, Handler] = {
            "hello": self._hello,
            "status": self._status,
            "stop": self._stop,
            "events": self._events,
            "wait": self.waits.ask,
            "reload": self._reloading.command,
            "keys.reload": self._access.reload,
            "crypto.threads": self._tuning.crypto_threads,
        }
        return own | dict(self._commands)

    def _hello(self, _arguments: dict[str, Any], answer: Answer) -> None:
        answer(self._about())

    def _status(self, _arguments: dict[str, Any], answer: Answer) -> None:
        arrays, exports = self._statuses()
        answer({"schema": status.SCHEMA, "arrays": arrays, "exports": exports, "daemons": [self._about()]})

    def _stop(self, _arguments: dict[str, Any], answer: Answer) -> None:
        answer({"pid": os.getpid()})
        self.stop()

    def _events(self, arguments: dict[str, Any], answer: Answer) -> None:
        since = count_of(arguments, "since_id") or 0
        answer({"instance": self._instance, "events": self.events.event_log.since(since)})

    def _check(self, expect: messages.Expect) -> None:
        """Raise Conflict if something is not as a command expects it."""
        instance, name = expect.get("instance"), expect.get("name")
        if instance is not None and instance != self._instance:
            raise Conflict(f"{self.name} was started again since.", _LOOK)
        good = expect.get("good") or []
        if name is None and not good:
            return
        arrays, _ = self._statuses()
        array = next((each for each in arrays if each["name"] == name), None)
        if array is None:
            raise Conflict(f"{self.name} serves no array called {name}.", _LOOK)
        now = status.good_members(array)
        if lost := ", ".join(each for each in good if each not in now):
            raise Conflict(f"{lost} of {name} is no good copy any more: fewer are left than it was.", _LOOK)

    def _about(self) -> status.DaemonStatus:
        return {
            "name": self.name,
            "kind": self._kind,
            "instance": self._instance,
            "state": self.state,
            "reason": None,
            "pid": os.getpid(),
            "version": dsttool.__version__,
            "since_ns": self.reactor.now - self._since,
            "socket": str(paths.control_socket(self.name)),
            "serves": [offer.name for offer in self.offers],
            "refusals": dict(self._access.gate.refusals),
        }


def _size_and_places(offer: Offer) -> tuple[int, str]:
    return offer.device.capabilities.size, ", ".join(offer.addresses)
