"""Accepting: who is there, how many at a time, and what is left when it ends."""

import errno
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transport import listener as listening
from dsttool.engine.transport.listener import Listener
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.limits import MS, SECOND


class Door:
    """A reactor and those who came."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.came: list[tuple[socket.socket, str]] = []
        self.listeners: list[Listener] = []

    def listen(self, endpoint: Endpoint) -> Listener:
        made = Listener(self.reactor, endpoint, lambda sock, peer: self.came.append((sock, peer)))
        self.listeners.append(made)
        return made

    def wait(self, count: int) -> None:
        assert self.reactor.run_until(lambda: len(self.came) >= count, 10 * SECOND)

    def close(self) -> None:
        for sock, _ in self.came:
            sock.close()
        for made in self.listeners:
            made.close()
        self.reactor.close()


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    yield made
    made.close()


@pytest.fixture
def path() -> Iterator[Path]:
    """A path short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="dst") as folder:
        yield Path(folder) / "s"


def connect(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(str(path))
    except OSError:
        sock.close()
        raise
    return sock


def test_a_local_client_is_known_by_its_process_and_user(door: Door, path: Path) -> None:
    door.listen(Endpoint("unix", path=str(path))).start()
    with connect(path):
        door.wait(1)
    sock, peer = door.came[0]
    assert peer == f"unix pid {os.getpid()} uid {os.getuid()}"
    assert not sock.getblocking()


def test_a_port_of_nothing_gets_a_free_one_and_says_which(door: Door) -> None:
    listener = door.listen(Endpoint("tcp", "127.0.0.1", 0))
    listener.start()
    with socket.create_connection(("127.0.0.1", listener.endpoint.port)) as client:
        door.wait(1)
        assert door.came[0][1] == "{}:{}".format(*client.getsockname())
    assert door.came[0][0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_nobody_is_accepted_before_the_start(door: Door, path: Path) -> None:
    listener = door.listen(Endpoint("unix", path=str(path)))
    with connect(path):
        assert not door.reactor.run_until(lambda: bool(door.came), 5 * MS)
        listener.start()
        door.wait(1)


def test_a_flood_of_clients_is_taken_in_turns(door: Door, path: Path) -> None:
    door.listen(Endpoint("unix", path=str(path))).start()
    clients = [connect(path) for _ in range(40)]
    door.reactor.turn()
    assert len(door.came) == listening.ACCEPTS_PER_TURN
    door.wait(40)
    for client in clients:
        client.close()


def test_without_descriptors_it_waits_and_tries_again(
    door: Door, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "ACCEPT_PAUSE_NS", 5 * MS)
    listener = door.listen(Endpoint("unix", path=str(path)))
    listener.start()

    class Exhausted:
        """The listening socket while the process has no descriptors left."""

        def __init__(self, sock: socket.socket) -> None:
            self.sock, self.asked = sock, 0

        def accept(self) -> tuple[socket.socket, object]:
            self.asked += 1
            if self.asked < 3:
                raise OSError(errno.EMFILE, "Too many open files")
            return self.sock.accept()

        def fileno(self) -> int:
            return self.sock.fileno()

        def close(self) -> None:
            self.sock.close()

    exhausted = Exhausted(listener._sock)
    listener._sock = exhausted  # type: ignore[assignment]
    with connect(path):
        turns = 0

        def came() -> bool:
            nonlocal turns
            turns += 1
            return bool(door.came)

        assert door.reactor.run_until(came, 10 * SECOND)
    assert turns < 10, "it waits instead of spinning"


def test_closing_takes_the_socket_file_away(door: Door, path: Path) -> None:
    listener = door.listen(Endpoint("unix", path=str(path)))
    listener.start()
    listener.close()
    door.listeners.clear()
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        connect(path)


def test_closing_leaves_a_file_that_somebody_else_put_there(door: Door, path: Path) -> None:
    listener = door.listen(Endpoint("unix", path=str(path)))
    path.unlink()
    path.write_text("another's")
    listener.close()
    door.listeners.clear()
    assert path.read_text() == "another's"


def test_a_listener_that_closed_during_its_pause_stays_closed(
    door: Door, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "ACCEPT_PAUSE_NS", 5 * MS)
    listener = door.listen(Endpoint("unix", path=str(path)))
    listener.start()
    door.reactor.call_later(listening.ACCEPT_PAUSE_NS, listener._again)
    listener.close()
    door.listeners.clear()
    assert not door.reactor.run_until(lambda: bool(door.came), 10 * MS)
