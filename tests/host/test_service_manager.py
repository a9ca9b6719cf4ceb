"""A daemon that a service manager has started: it says how it is doing, and uses the sockets it is given."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsttool.engine.host.service import Watchdog
from dsttool.engine.runtime.reactor import Reactor
from support.manager import Manager, ended
from support.site import Site


@pytest.fixture
def manager(site: Site) -> Iterator[Manager]:
    with Manager(site) as made:
        yield made


def unix(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    return listener


def greeting(path: Path) -> bytes:
    """What somebody says who comes to this Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        return client.recv(8)


def test_it_is_told_when_the_daemon_serves_and_when_it_ends(manager: Manager) -> None:
    daemon = manager.start("export", "mem:1M", "--name", "a")
    assert manager.hear("READY") == {"READY": "1", "STATUS": "Serving a (1 MiB)"}
    daemon.stop()
    assert manager.hear("STOPPING")["STATUS"] == "Finishing what has begun"


def test_an_array_waits_for_its_members_and_says_for_which(site: Site, manager: Manager) -> None:
    words = ("--layout", "mirror", "--raw", "--assume-clean", site.file("d0", 1 << 20), site.path("late"))
    daemon = manager.start("array", "up", "pool", *words, "--foreground", "--wait", "1h")
    assert manager.hear("STATUS")["STATUS"].startswith("Waiting for pool/n1: ")
    site.file("late", 1 << 20)
    assert manager.hear("READY")["STATUS"] == "Serving pool (1 MiB)"
    daemon.stop()


def test_what_waiting_does_not_help_against_ends_it(site: Site, manager: Manager) -> None:
    folder = site.path("folder")
    folder.mkdir()
    words = ("--layout", "linear", "--raw", folder, site.path("late"))
    daemon = manager.start("array", "up", "pool", *words, "--foreground", "--wait", "1h")
    assert ended(daemon) not in (0, 6), daemon.output
    assert str(folder) in daemon.output


def test_signs_of_life_come_more_often_than_it_waits_for_them(manager: Manager) -> None:
    daemon = manager.start("export", "mem:1M", "--name", "a", watchdog_usec=200_000)
    for _ in range(3):
        assert manager.hear("WATCHDOG") == {"WATCHDOG": "1"}
    daemon.stop()


def test_a_reactor_that_does_not_turn_gives_no_sign_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reactor = Reactor()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        monkeypatch.setenv("WATCHDOG_USEC", "2000")
        Watchdog(reactor)
        assert manager.recv(100) == b"WATCHDOG=1"
        time.sleep(0.01)
        with pytest.raises(BlockingIOError):
            manager.recv(100)
        reactor.turn()
        assert manager.recv(100) == b"WATCHDOG=1"
    reactor.close()


def test_a_watchdog_that_is_another_processs_is_left_alone(manager: Manager) -> None:
    daemon = manager.start("export", "mem:1M", "--name", "a", watchdog_usec=1000, WATCHDOG_PID="1")
    manager.hear("READY")
    daemon.stop()
    assert "STOPPING" in manager.heard(), "nothing was said in between"


def test_a_socket_in_the_runtime_folder_takes_the_place_of_the_daemons_own(
    site: Site, manager: Manager
) -> None:
    site.path("runtime").mkdir(mode=0o700)
    path = site.path("runtime/a.nbd")
    manager.listen("whatever", unix(path))
    daemon = manager.start("export", "mem:1M", "--name", "a")
    assert greeting(path) == b"NBDMAGIC"
    daemon.stop()
    assert path.is_socket(), "it is not the daemon's to remove"


def test_clients_wait_while_the_daemon_is_started_again(site: Site, manager: Manager) -> None:
    path = site.path("there")
    manager.listen("nbd", unix(path))
    manager.start("export", "mem:1M", "--name", "a")
    assert greeting(path) == b"NBDMAGIC"
    site.daemons[-1].stop()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        manager.start("export", "mem:1M", "--name", "a")
        assert client.recv(8) == b"NBDMAGIC"


def test_a_socket_is_used_for_what_its_name_says(site: Site, manager: Manager) -> None:
    tcp = socket.socket()
    tcp.bind(("127.0.0.1", 0))
    manager.listen("nbd", unix(site.path("nbd")))
    manager.listen("nbd[2]", tcp)
    manager.listen("dst", unix(site.path("dst")))
    manager.start("export", "mem:1M", "--name", "a")
    manager.hear("READY")
    addresses = site.json("status", "a")["exports"][0]["addresses"]
    assert f"nbd+unix:///?socket={site.path('nbd')}" in addresses
    assert f"nbd://127.0.0.1:{tcp.getsockname()[1]}/" in addresses
    assert any(each.startswith("dst+unix") and each.endswith(str(site.path("dst"))) for each in addresses)
    assert site.json("info", addresses[-1])["size_bytes"] == 1 << 20


def test_a_socket_that_is_asked_for_is_not_bound_twice(site: Site, manager: Manager) -> None:
    path = site.path("there")
    manager.listen("whatever", unix(path))
    manager.start("export", "mem:1M", "--name", "a", "--listen", f"nbd+unix:///?socket={path}")
    assert greeting(path) == b"NBDMAGIC"
    assert f"nbd+unix:///?socket={path}" in site.json("status", "a")["exports"][0]["addresses"]


def test_a_socket_that_says_nothing_of_its_use_is_refused(site: Site, manager: Manager) -> None:
    manager.listen("dsttool-export.socket", unix(site.path("there")))
    daemon = manager.start("export", "mem:1M", "--name", "a")
    assert ended(daemon) == 2
    assert "FileDescriptorName=nbd" in daemon.output
    assert site.path("there").is_socket()


def test_a_socket_that_would_show_data_to_a_network_is_refused_unless_that_is_spelled(
    site: Site, manager: Manager
) -> None:
    tcp = socket.socket()
    tcp.bind(("0.0.0.0", 0))
    manager.listen("nbd", tcp)
    daemon = manager.start("export", "mem:1M", "--name", "a")
    assert ended(daemon) == 6
    place = f"nbd://0.0.0.0:{tcp.getsockname()[1]}?security=none"
    daemon = manager.start("export", "mem:1M", "--name", "a", "--listen", place)
    manager.hear("READY")
    daemon.stop()


def test_sockets_of_another_process_are_not_touched(site: Site, manager: Manager) -> None:
    """A daemon that a service starts inherits the environment."""
    manager.listen("nbd", unix(site.path("there")))
    numbers = {"LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "nbd"}
    manager.sockets.pop("nbd").close()
    daemon = manager.start("export", "mem:1M", "--name", "a", "-d", **numbers)
    assert ended(daemon) == 0
    assert len(site.json("status", "a")["exports"][0]["addresses"]) == 2
    site.dsttool("daemon", "stop", "a")
