import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsttool.engine.runtime.network import Network
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transport.dial import Dial
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError, TimedOut, Unreachable
from dsttool.engine.vocabulary.limits import MS, SECOND


class Outcome:
    """What `done` was called with."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        self.calls: list[tuple[socket.socket | None, DsttoolError | None]] = []

    def __call__(self, sock: socket.socket | None, error: DsttoolError | None) -> None:
        self.calls.append((sock, error))
        if sock is not None:
            sock.close()

    def wait(self) -> tuple[socket.socket | None, DsttoolError | None]:
        assert self.reactor.run_until(lambda: bool(self.calls), 10 * SECOND)
        (call,) = self.calls
        return call


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    yield made
    made.close()


@pytest.fixture
def outcome(reactor: Reactor) -> Outcome:
    return Outcome(reactor)


@pytest.fixture
def path() -> Iterator[str]:
    """A path short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="dst") as folder:
        yield str(Path(folder) / "s")


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_unix_socket_is_connected_but_not_before_the_constructor_returns(
    reactor: Reactor, outcome: Outcome, path: str
) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        Dial(reactor, Endpoint("unix", path=path), 5 * SECOND, outcome)
        assert outcome.calls == []
        sock, error = outcome.wait()
    assert sock is not None
    assert error is None


def test_a_tcp_address_is_connected(reactor: Reactor, outcome: Outcome, port: int) -> None:
    Dial(reactor, Endpoint("tcp", "127.0.0.1", port), 5 * SECOND, outcome)
    sock, error = outcome.wait()
    assert sock is not None
    assert error is None


def test_a_missing_unix_socket_is_unreachable(reactor: Reactor, outcome: Outcome, path: str) -> None:
    Dial(reactor, Endpoint("unix", path=path), 5 * SECOND, outcome)
    assert outcome.calls == []
    _, error = outcome.wait()
    assert isinstance(error, Unreachable)
    assert "No such file" in str(error)


def test_a_refused_tcp_connection_is_unreachable(reactor: Reactor, outcome: Outcome, port: int) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        Dial(reactor, Endpoint("tcp", "127.0.0.1", bound.getsockname()[1]), 5 * SECOND, outcome)
        _, error = outcome.wait()
    assert isinstance(error, Unreachable)
    assert "refused" in str(error)


class TwoAddresses(Network):
    """A host that is known under an address where nobody listens, and a good one."""

    def __init__(self, *ports: int) -> None:
        self.ports = ports

    def resolve(self, endpoint: Endpoint) -> list[Endpoint]:
        return [Endpoint(endpoint.family, "127.0.0.1", port) for port in self.ports]


def test_the_next_address_of_a_host_is_tried_when_one_refuses(
    reactor: Reactor, outcome: Outcome, port: int
) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        reactor.network = TwoAddresses(bound.getsockname()[1], port)
        Dial(reactor, Endpoint("tcp", "twofold", 10809), 5 * SECOND, outcome)
        sock, _ = outcome.wait()
    assert sock is not None


class Unknown(Network):
    """No name server knows any host."""

    def resolve(self, endpoint: Endpoint) -> list[Endpoint]:
        raise DsttoolError(f"Cannot find the address of host '{endpoint.host}'.")


def test_an_unknown_host_says_so(reactor: Reactor, outcome: Outcome) -> None:
    reactor.network = Unknown()
    Dial(reactor, Endpoint("tcp", "nosuch", 1), 5 * SECOND, outcome)
    _, error = outcome.wait()
    assert "'nosuch'" in str(error)


class Stuck(Network):
    """A socket whose connection never completes: one end of nothing."""

    def connect(self, endpoint: Endpoint) -> socket.socket:
        left, self.right = socket.socketpair()
        left.setblocking(False)
        try:
            while True:
                left.send(bytes(65536))
        except BlockingIOError:
            return left


def test_a_connection_that_does_not_come_times_out(reactor: Reactor, outcome: Outcome, path: str) -> None:
    reactor.network = network = Stuck()
    Dial(reactor, Endpoint("unix", path=path), 50 * MS, outcome)
    _, error = outcome.wait()
    assert isinstance(error, TimedOut)
    network.right.close()


def test_a_cancelled_dial_calls_nobody_and_leaves_no_socket(
    reactor: Reactor, outcome: Outcome, path: str
) -> None:
    reactor.network = network = Stuck()
    dial = Dial(reactor, Endpoint("unix", path=path), 5 * SECOND, outcome)
    reactor.turn()
    dial.cancel()
    network.right.close()
    assert not reactor.run_until(lambda: bool(outcome.calls), 20 * MS)
