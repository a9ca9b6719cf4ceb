"""Exports over DST/2 in this process, whose links can be cut and which can go away and come back."""

import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsttool.engine.device.device import Device
from dsttool.engine.device.request import Request
from dsttool.engine.export.dst_server import DstServer
from dsttool.engine.export.offer import Offer
from dsttool.engine.node.dst import DstNode
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transaction.grant import Holder
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.transport.listener import Listener
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.limits import MS, SECOND
from dsttool.engine.wire.dst_security import PLAIN, Security

WAIT = 20 * SECOND
# Quick to reconnect, and patient enough for a busy machine.
POLICY = Policy(
    resend_timeout_ns=2 * SECOND, resends=9, backoff_min_ns=2 * MS, backoff_max_ns=20 * MS, window=256
)


class Export:
    """One device behind a listener on a Unix socket. Who holds its grant is remembered as on a disk: what is
    `stored` survives `go_away`; with `store_fails` it cannot be written."""

    def __init__(
        self,
        reactor: Reactor,
        path: Path,
        device: Device,
        security: Security = PLAIN,
        *,
        shared: bool = False,
    ) -> None:
        self.device = device
        self.security = security
        self.shared = shared
        self.stored: Holder | None = None
        self.store_fails: DsttoolError | None = None
        self.endpoint = Endpoint("unix", path=str(path))
        self._reactor = reactor
        self._listener: Listener | None = None
        self._server: DstServer | None = None
        self.start()

    def start(self) -> None:
        self.offer = Offer("disk", self.device, shared=self.shared, stored=self.stored, store=self._store)
        self._server = DstServer(self._reactor, [self.offer], security=self.security)
        self._listener = Listener(self._reactor, self.endpoint, self._server.accept)
        self._listener.start()

    def _store(self, holder: Holder) -> None:
        if self.store_fails is not None:
            raise self.store_fails
        self.stored = holder

    @property
    def server(self) -> DstServer:
        assert self._server is not None
        return self._server

    def cut(self) -> None:
        """End every connection; new ones are welcome."""
        self.server.close()

    def go_away(self) -> None:
        """Nobody is there any more; what has begun on the device goes on."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.cut()


class DstHall:
    """A reactor, exports and nodes on it. As a context it closes all of it."""

    def __init__(self) -> None:
        self.reactor = Reactor(io_threads=2)
        self.folder = Path(tempfile.mkdtemp(prefix="dst"))
        self.exports: list[Export] = []
        self.nodes: list[DstNode] = []
        self.random = random.Random(1)
        self._to_close: list[Device] = []

    def __enter__(self) -> "DstHall":
        return self

    def __exit__(self, *_error: object) -> None:
        left = [*self._to_close, *self.nodes]
        for device in list(left):
            device.close(lambda device=device: left.remove(device))  # type: ignore[misc]
        assert self.reactor.run_until(lambda: not left, WAIT)
        for export in self.exports:
            export.go_away()
        self.reactor.close()
        shutil.rmtree(self.folder)

    def export(self, device: Device, security: Security = PLAIN, *, shared: bool = False) -> Export:
        path = self.folder / f"s{len(self.exports)}"
        export = Export(self.reactor, path, device, security, shared=shared)
        self.exports.append(export)
        return export

    def node(self, export: Export, policy: Policy = POLICY, **options: Any) -> DstNode:
        """A connected node."""
        number = len(self.nodes)
        node = DstNode(self.reactor, f"n{number}", export.endpoint, "disk", policy=policy, **options)
        answers: list[DsttoolError | None] = []
        node.connect(answers.append)
        self.until(lambda: bool(answers))
        assert answers == [None]
        self.nodes.append(node)
        return node

    def closes(self, device: Device) -> None:
        """This device closes those below it."""
        self._to_close.append(device)
        self.nodes.clear()

    def until(self, condition: Callable[[], bool]) -> None:
        assert self.reactor.run_until(condition, WAIT), "it did not happen"

    def wait(self, *requests: Request) -> None:
        self.until(lambda: all(request.cookie.ends for request in requests))

    def pass_time(self, duration: int) -> None:
        passed: list[bool] = []
        self.reactor.call_later(duration, lambda: passed.append(True))
        self.until(lambda: bool(passed))
