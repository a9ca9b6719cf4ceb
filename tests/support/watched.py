"""A daemon to watch: a real reactor, sampler and control server in this process, over made-up figures."""

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, cast

from dsttool.engine.control.broadcast import Broadcast, News
from dsttool.engine.control.event_log import EventLog
from dsttool.engine.control.sampler import Sampler, Want
from dsttool.engine.control.server import ControlServer
from dsttool.engine.device.figures import Figures
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.status import DaemonStatus, TransactionStatus
from dsttool.engine.vocabulary.stream import HostStatus

HOST: HostStatus = {
    "name": "here",
    "cpus": 2,
    "cpu_fraction": 0.5,
    "memory_bytes": 1,
    "memory_used_bytes": 1,
    "received_bytes": 0,
    "sent_bytes": 0,
    "disk_read_bytes": 0,
    "disk_written_bytes": 0,
}
HELLO = {
    "daemon": "pool",
    "kind": "array",
    "instance": "0123456789abcdef",
    "host": "here",
    "version": "1",
    "pid": 1,
}


def row(id_: int, **fields: Any) -> TransactionStatus:
    """A transaction that is the older, the lower its id."""
    plain = {
        "id": id_,
        "op": "WRITE",
        "flags": [],
        "offset": 0,
        "length": 4096,
        "node": "pool/n0",
        "state": "in_flight",
        "age_ns": 10**9 - id_,
        "attempts": 1,
        "attempts_max": None,
        "next_resend_ns": None,
        "budget_ns": None,
        "budget_left_ns": None,
        "client": None,
    }
    return cast(TransactionStatus, plain | fields)


class MadeUp:
    """What is sampled (control.sampler.Source). Whoever changes it does so on the reactor."""

    def __init__(self) -> None:
        self.counters = {"pool": Figures()}
        self.arrays: dict[str, Any] = {"pool": {"name": "pool", "state": "online", "in_flight": 0}}
        self.rows: list[TransactionStatus] = []
        self.looks = 0
        self.listings = 0

    def figures(self) -> Iterator[tuple[str, Figures, int]]:
        for label, figures in self.counters.items():
            yield label, figures, 0

    def statuses(self) -> Iterator[tuple[Literal["arrays", "exports"], str, Any]]:
        self.looks += 1
        for name, status in list(self.arrays.items()):
            yield "arrays", name, dict(status)

    def daemon(self) -> DaemonStatus:
        return cast(DaemonStatus, {"name": "pool", "state": "serving"})

    def transactions(self) -> Iterator[TransactionStatus]:
        self.listings += 1
        return iter(list(self.rows))

    def transaction_states(self) -> Counter[str]:
        return Counter(each["state"] for each in self.rows)


class WatchedDaemon:
    """Serves a control socket at `path` from `start` to `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source = MadeUp()
        self.reactor = Reactor()
        self.events = EventLog(time.time_ns)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(64)
        self.broadcast = Broadcast(HELLO, lambda: HOST, self._want)
        self.server = ControlServer(
            listener, self.reactor.post, {"echo": lambda said, answer: answer(said)}, _check, self.broadcast
        )
        self.sampler = Sampler(self.reactor, self.source, self._put, time.time_ns)
        self.events.listeners.append(self._put)
        self._thread = threading.Thread(target=self.reactor.run, name="made-up reactor")

    def start(self) -> None:
        """Serve from now on, and touch the socket, as daemons do: who saw it too early looks again."""
        self.server.start()
        self.reactor.post(self.sampler.begin)
        self._thread.start()
        os.utime(self.path)

    def close(self) -> None:
        """End, as a daemon does."""
        self.reactor.post(self.sampler.end)
        self.reactor.stop()
        self._thread.join()
        self.server.close()
        self.reactor.close()
        self.path.unlink(missing_ok=True)

    def _want(self, want: Want | None) -> None:
        self.reactor.post(lambda: self.sampler.want(want))

    def _put(self, news: News) -> None:
        self.server.put(news)


def _check(_expect: object) -> None:
    """Whatever is expected holds."""
