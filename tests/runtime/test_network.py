"""Listening and connecting on Unix sockets."""

import errno
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsttool.engine.runtime.network import UNIX_PATH_MAX, Network, keep_alive, tune
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import Conflict, NotFound, Unreachable, UsageError

NETWORK = Network()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="dst") as made:
        yield Path(made)


def unix(path: Path) -> Endpoint:
    return Endpoint("unix", path=str(path))


def test_a_socket_of_nobody_is_replaced(folder: Path) -> None:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with NETWORK.listen(unix(path)), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_socket_that_somebody_listens_on_is_refused_and_left_alone(folder: Path) -> None:
    path = folder / "s"
    with NETWORK.listen(unix(path)):
        with pytest.raises(Conflict, match="somebody already does"):
            NETWORK.listen(unix(path))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_socket_whose_queue_is_full_is_alive(folder: Path) -> None:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(str(path))
        busy.listen(0)
        first.connect(str(path))
        with pytest.raises(Conflict, match="somebody already does"):
            NETWORK.listen(unix(path))


def test_a_file_that_is_no_socket_is_refused_and_left_alone(folder: Path) -> None:
    path = folder / "s"
    path.write_text("precious")
    with pytest.raises(Conflict, match="no socket"):
        NETWORK.listen(unix(path))
    assert path.read_text() == "precious"


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_the_socket_has_the_mode_that_was_asked_for_whatever_the_umask(folder: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        with NETWORK.listen(unix(folder / "s"), mode=mode):
            assert stat.S_IMODE((folder / "s").stat().st_mode) == mode
        assert os.umask(0o077) == 0o077, "the umask was not restored"
    finally:
        os.umask(before)


def test_nobody_else_may_connect_unless_told_otherwise(folder: Path) -> None:
    with NETWORK.listen(unix(folder / "s")):
        assert stat.S_IMODE((folder / "s").stat().st_mode) == 0o600


def test_the_group_gets_the_socket(folder: Path) -> None:
    with NETWORK.listen(unix(folder / "s"), mode=0o660, group=os.getgid()):
        assert (folder / "s").stat().st_gid == os.getgid()


def test_a_path_too_long_is_a_clear_error_and_the_longest_works(folder: Path) -> None:
    longest = folder / ("x" * (UNIX_PATH_MAX - len(str(folder)) - 1))
    NETWORK.listen(unix(longest)).close()
    with pytest.raises(UsageError, match=f"too long: {UNIX_PATH_MAX + 1} bytes of {UNIX_PATH_MAX}"):
        NETWORK.listen(unix(longest.with_name(longest.name + "x")))


def test_a_missing_folder_is_a_clear_error(folder: Path) -> None:
    with pytest.raises(NotFound, match="Cannot listen on"):
        NETWORK.listen(unix(folder / "no" / "s"))


def test_a_port_in_use_is_a_conflict() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Conflict, match="in use"):
        NETWORK.listen(Endpoint("tcp", "127.0.0.1", taken.getsockname()[1]))


def test_sockets_do_not_block_and_are_not_inherited(folder: Path) -> None:
    with NETWORK.listen(unix(folder / "s")) as listening, NETWORK.connect(unix(folder / "s")) as connected:
        for sock in (listening, connected):
            assert not sock.getblocking()
            assert not sock.get_inheritable()


def test_a_full_queue_is_an_error_and_not_a_connection(folder: Path) -> None:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as first:
        busy.bind(str(path))
        busy.listen(0)
        first.connect(str(path))
        with pytest.raises(BlockingIOError) as refused:
            NETWORK.connect(unix(path))
    assert refused.value.errno == errno.EAGAIN


def test_tcp_connections_do_not_wait_to_fill_packets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = Endpoint("tcp", "127.0.0.1", server.getsockname()[1])
        with NETWORK.connect(endpoint) as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_name_is_resolved_to_numbers_and_numbers_to_themselves() -> None:
    assert Endpoint("tcp", "127.0.0.1", 7) in NETWORK.resolve(Endpoint("tcp", "localhost", 7))
    assert NETWORK.resolve(Endpoint("tcp", "::1", 7)) == [Endpoint("tcp", "::1", 7)]


@pytest.mark.parametrize("host", ["a" * 64, "a..b"])
def test_what_cannot_be_a_host_name_cannot_be_reached(host: str) -> None:
    with pytest.raises(Unreachable, match="the address of host"):
        NETWORK.resolve(Endpoint("tcp", host, 7))


def test_a_host_that_nobody_knows_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member behind it is missing, not broken: a degraded array comes up without it."""

    def getaddrinfo(*_words: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(Unreachable, match="Name or service not known"):
        NETWORK.resolve(Endpoint("tcp", "somewhere", 7))


def test_a_tcp_peer_that_vanished_is_noticed_within_minutes() -> None:
    """A server never sends unasked, and the system's own keepalive begins after two hours."""
    with socket.socket(socket.AF_INET) as sock:
        tune(sock)
        ask = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        idle, interval, count = (sock.getsockopt(socket.IPPROTO_TCP, option) for option in ask)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert idle + interval * count <= 180


@pytest.mark.parametrize(("interval_ns", "seconds"), [(1, 1), (2_600_000_000, 3), (10**18, 32767)])
def test_keepalive_asks_at_an_interval_the_kernel_takes(interval_ns: int, seconds: int) -> None:
    with socket.socket() as sock:
        tune(sock)
        keep_alive(sock, interval_ns, 1000)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        assert [sock.getsockopt(socket.IPPROTO_TCP, o) for o in options] == [seconds, seconds, 127]


def test_a_unix_socket_needs_no_keepalive() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        keep_alive(sock, 1_000_000_000, 3)
