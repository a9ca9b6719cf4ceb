"""A daemon's metrics: readings of what it serves, and the server that gives them to Prometheus."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress

from dsttool.engine.control.metrics import Reading
from dsttool.engine.control.metrics_server import MetricsServer
from dsttool.engine.control.sampler import Source
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.endpoint import Endpoint

LOG = logging.getLogger(__name__)

Take = Callable[[Reading], None]


class Metering:
    """Answers at `place` from `start` to `close`. Raises what keeps it from being listened on.

    Whoever imports this module loads prometheus_client, too.
    """

    def __init__(self, reactor: Reactor, source: Source, place: Endpoint) -> None:
        self._reactor = reactor
        self._source = source
        self._place = place
        listener = reactor.network.listen(place)
        port = f" port {listener.getsockname()[1]}" if not place.port and place.family == "tcp" else ""
        LOG.info("metrics are answered at %s%s", place, port)
        self._server = MetricsServer(listener, self._ask)

    def start(self) -> None:
        """Accept from now on."""
        self._server.start()

    def close(self) -> None:
        """Hang up on everybody; a socket's file goes."""
        self._server.close()
        if self._place.family == "unix" and not self._reactor.network.is_lent(self._place):
            with suppress(OSError):
                os.unlink(self._place.path)

    def _ask(self, take: Take) -> None:
        """See metrics_server.Ask."""
        self._reactor.post(lambda: self._step(self._read(take)))

    def _step(self, work: Iterator[None]) -> None:
        """One piece now, the next in the next turn: nobody waits long for a reading."""
        try:
            next(work)
        except StopIteration:
            return
        except Exception:
            LOG.exception("a reading for the metrics failed")  # whoever asked is told that there is none
        else:
            self._reactor.post(lambda: self._step(work))

    def _read(self, take: Take) -> Iterator[None]:
        source = self._source
        reading = Reading(source.daemon(), transactions=source.transaction_states())
        yield
        for part in source.statuses():
            if part is not None:
                kind, _, status = part
                (reading.arrays if kind == "arrays" else reading.exports).append(status)
            yield
        for label, figures, _ in source.figures():
            reading.latencies[label] = figures.latencies.counts[:]
            yield
        take(reading)
