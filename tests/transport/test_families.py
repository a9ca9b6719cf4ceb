"""Every family of addresses: listened on, dialled, and with the options that its sockets are to have."""

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsttool.engine.runtime import network
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transport.dial import Dial
from dsttool.engine.transport.listener import Listener
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.limits import SECOND

# linux/vm_sockets.h: loopback, and "any free port".
LOCAL_CID = "1"
IPPROTO_MPTCP = 262


def why_not(family: str) -> str:
    """Why this kernel cannot make connections of that family to itself; '' if it can."""
    try:
        if family == "mptcp":
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP).close()
        elif family == "vsock":
            with socket.socket(socket.AF_VSOCK) as probe:
                probe.bind((int(LOCAL_CID), socket.VMADDR_PORT_ANY))
        elif family == "tcp6":
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
    except OSError as error:
        return f"this kernel has no {family} to itself: {error.strerror}"
    return ""


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    reactor = Reactor(io_threads=1)
    yield reactor
    reactor.close()


class Pair:
    """A connection made by a Listener and a Dial, and the peer's name."""

    def __init__(self, reactor: Reactor, endpoint: Endpoint) -> None:
        accepted: list[tuple[socket.socket, str]] = []
        dialled: list[socket.socket | DsttoolError | None] = []
        listener = Listener(reactor, endpoint, lambda sock, peer: accepted.append((sock, peer)))
        listener.start()
        Dial(reactor, listener.endpoint, 10 * SECOND, lambda sock, error: dialled.append(sock or error))
        assert reactor.run_until(lambda: bool(accepted and dialled), 10 * SECOND)
        listener.close()
        assert isinstance(dialled[0], socket.socket), str(dialled[0])
        self.near, self.far, self.peer = dialled[0], *accepted[0]

    def close(self) -> None:
        self.near.close()
        self.far.close()


@pytest.fixture(params=["tcp", "tcp6", "mptcp", "vsock", "unix"])
def pair(request: pytest.FixtureRequest, reactor: Reactor, tmp_path: Path) -> Iterator[Pair]:
    """A connection of each family; one that the kernel does not have is a visible skip."""
    reason = why_not(request.param)
    if reason:
        pytest.skip(reason)
    endpoint = {
        "tcp": Endpoint("tcp", "127.0.0.1", 0),
        "tcp6": Endpoint("tcp", "::1", 0),
        "mptcp": Endpoint("mptcp", "127.0.0.1", 0),
        "vsock": Endpoint("vsock", LOCAL_CID, 0),
        "unix": Endpoint("unix", path=str(tmp_path / "s")),
    }[request.param]
    pair = Pair(reactor, endpoint)
    yield pair
    pair.close()


def test_a_connection_carries_data_both_ways_and_does_not_block(pair: Pair) -> None:
    assert not pair.near.getblocking()
    assert not pair.far.getblocking()
    for source, target in ((pair.near, pair.far), (pair.far, pair.near)):
        source.send(b"hello")
        target.settimeout(10)
        assert target.recv(10) == b"hello"


def test_network_sockets_do_not_delay_and_are_kept_alive_on_both_ends(pair: Pair) -> None:
    for sock in (pair.near, pair.far):
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            continue
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == network.KEEPALIVE_IDLE
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == network.KEEPALIVE_INTERVAL
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == network.KEEPALIVE_COUNT


def test_a_peer_is_named_by_where_it_is(pair: Pair) -> None:
    expected = {
        socket.AF_INET: "127.0.0.1:",
        socket.AF_INET6: "[::1]:",
        socket.AF_UNIX: "unix pid ",
        socket.AF_VSOCK: f"vsock {LOCAL_CID}:",
    }[pair.far.family]
    assert pair.peer.startswith(expected)


def test_multipath_is_what_was_asked_for(reactor: Reactor) -> None:
    if reason := why_not("mptcp"):
        pytest.skip(reason)
    pair = Pair(reactor, Endpoint("mptcp", "127.0.0.1", 0))
    for sock in (pair.near, pair.far):
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL) == IPPROTO_MPTCP
    pair.close()


def test_virtual_machines_can_be_listened_to_at_any_free_port(reactor: Reactor) -> None:
    """Without a hypervisor nobody comes, but the address is bound."""
    try:
        socket.socket(socket.AF_VSOCK).close()
    except OSError as error:
        pytest.skip(f"this kernel has no vsock: {error.strerror}")
    listener = Listener(reactor, Endpoint("vsock", str(socket.VMADDR_CID_ANY), 0), lambda _sock, _peer: None)
    assert 0 < listener.endpoint.port < socket.VMADDR_PORT_ANY
    listener.close()


@pytest.mark.parametrize("family", ["mptcp", "vsock"])
def test_a_family_that_the_kernel_does_not_have_is_a_clear_error(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")

    monkeypatch.setattr(network.socket, "socket", refuse)
    endpoint = Endpoint("vsock", "3", 5) if family == "vsock" else Endpoint("mptcp", "127.0.0.1", 0)
    with pytest.raises(DsttoolError, match=f"This kernel makes no {family} sockets"):
        Listener(reactor, endpoint, lambda _sock, _peer: None)
    errors: list[DsttoolError | None] = []
    Dial(reactor, endpoint, 10 * SECOND, lambda _sock, error: errors.append(error))
    assert reactor.run_until(lambda: bool(errors), 10 * SECOND)
    assert "Protocol not supported" in str(errors[0])
