"""Real NBD servers, and nodes over them on a reactor of their own."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from dsttool.engine.device.request import Request
from dsttool.engine.node.nbd import NbdNode
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.limits import MIB, SECOND
from dsttool.engine.vocabulary.operations import READ, WRITE
from support.site import accepts, wait_until

WAIT = 30 * SECOND
SIZE = 64 * MIB


class Servers:
    """Starts servers on Unix sockets in a folder with a short path, and ends them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dst"))
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, command: list[str]) -> Endpoint:
        path = self.folder / name
        self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_until(lambda: accepts(path), f"{command[0]} accepts on {path}")
        return Endpoint("unix", path=str(path))

    def nbdkit(self, *words: str) -> Endpoint:
        name = f"s{len(self.processes)}"
        return self.start(name, ["nbdkit", "-f", "-U", str(self.folder / name), *words])

    def qemu(self, *words: str) -> Endpoint:
        name = f"s{len(self.processes)}"
        options = ["-t", "-f", "raw", "--shared=4", "-k", str(self.folder / name)]
        return self.start(name, ["qemu-nbd", *options, *words])

    def file(self, content: bytes) -> Path:
        path = self.folder / "disk"
        path.write_bytes(content)
        return path

    def freeze(self) -> None:
        """Stop the latest server; the kernel goes on accepting connections and bytes for it."""
        pid = self.processes[-1].pid
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED)

    def kill(self) -> None:
        for process in self.processes:
            process.kill()

    def close(self) -> None:
        self.kill()
        for process in self.processes:
            process.wait()
        shutil.rmtree(self.folder)


class Host:
    """A reactor with nodes on it, and a way to wait for requests."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.nodes: list[NbdNode] = []

    def node(self, endpoint: Endpoint, export: str = "", **options: object) -> NbdNode:
        node = self.attempt(endpoint, export, **options)
        assert node.failure is None, node.failure
        return node

    def attempt(self, endpoint: Endpoint, export: str = "", **options: object) -> NbdNode:
        node = NbdNode(self.reactor, "n0", endpoint, export, **options)  # type: ignore[arg-type]
        answers: list[DsttoolError | None] = []
        node.connect(answers.append)
        assert self.reactor.run_until(lambda: bool(answers), WAIT)
        assert answers == [node.failure]
        self.nodes.append(node)
        return node

    def run(self, node: NbdNode, *requests: Request) -> list[int]:
        """Submit as one batch and wait; returns the errors."""
        node.submit(list(requests))
        self.wait(*requests)
        return [request.error for request in requests]

    def wait(self, *requests: Request) -> None:
        assert self.reactor.run_until(lambda: all(r.cookie.finished == 1 for r in requests), WAIT)

    def until(self, condition: Callable[[], bool]) -> None:
        assert self.reactor.run_until(condition, WAIT)

    def close(self) -> None:
        left = list(self.nodes)
        for node in self.nodes:
            node.close(lambda node=node: left.remove(node))  # type: ignore[misc]
        self.until(lambda: not left)
        self.reactor.close()


class Ticket:
    """The cookie of a test's request: how often it was finished."""

    def __init__(self) -> None:
        self.finished = 0


def finished(requests: list[Request]) -> None:
    for request in requests:
        request.cookie.finished += 1


def ask(op: int, offset: int = 0, length: int = 0, data: bytes | None = None, flags: int = 0) -> Request:
    view = None if data is None else memoryview(data)
    return Request(op, flags, offset, length, view, Ticket(), finished)


def write(offset: int, data: bytes, flags: int = 0) -> Request:
    return ask(WRITE, offset, len(data), data, flags)


def read(offset: int, length: int, flags: int = 0) -> Request:
    return ask(READ, offset, length, flags=flags)


def content(request: Request) -> bytes:
    assert request.error == 0
    return b"".join(request.data) if isinstance(request.data, list) else bytes(request.data)


def slow(servers: Servers) -> Endpoint:
    """A server that answers in ten minutes."""
    return servers.nbdkit("--filter=delay", "memory", "64M", "rdelay=600", "wdelay=600")
