"""The places a daemon listens at are changed while it serves: what comes, what goes, and who stays."""

import os
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsttool.engine.config import authorized
from dsttool.engine.config.key_files import create_key
from dsttool.engine.config.keys import SharedKey
from dsttool.engine.config.listen import Listen, parse_listen
from dsttool.engine.control.lock import NameLock
from dsttool.engine.export.offer import Offer
from dsttool.engine.host import access
from dsttool.engine.host.access import DEFAULT_LISTEN, Access, AccessPlan
from dsttool.engine.node.memory import MemoryDevice
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, NotFound, Unsafe
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.wire import dst_preface
from support.ports import free_port
from support.site import Site

NBD = b"NBDMAGICIHAVEOPT"
DST = dst_preface.client_preface(0, bytes(16))
# Flags, and the option that lists names.
LIST = b"\0\0\0\1" + b"IHAVEOPT" + (3).to_bytes(4, "big") + bytes(4)


class House:
    """The access to one export, in this process."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.reactor = Reactor(io_threads=1)
        self.offer = Offer("a", MemoryDevice(self.reactor, 1 << 20, "m"))
        self.access = Access(self.reactor, [self.offer], AccessPlan())
        self.clients: list[socket.socket] = []

    def unix(self, name: str, *options: str, protocol: str = "nbd") -> Listen:
        query = "&".join([f"socket={self.site.path(name)}", *options])
        return parse_listen(f"{protocol}+unix:///?{query}")

    def begin(self, *listens: Listen, lent: tuple[Listen, ...] = ()) -> None:
        self.access.begin(listens, lent)
        self.access.listening.start()

    def move(self, *listens: Listen, default: Listen | None = None) -> None:
        self.access.move(listens, default, self.access.prepare(listens, default))

    def places(self) -> list[str]:
        """Where clients are told to come to, beside the runtime folder."""
        runtime = str(self.site.path("runtime"))
        return [address for address in self.offer.addresses if runtime not in address]

    def come(self, name: str) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        self.clients.append(client)
        client.connect(str(self.site.path(name)))
        client.setblocking(False)
        return client

    def heard(self, client: socket.socket) -> bytes:
        """What comes next; nothing if the connection is closed."""
        got: list[bytes] = []

        def read() -> bool:
            try:
                got.append(client.recv(4096))
            except BlockingIOError:
                self.reactor.call_later(1_000_000, lambda: None)
            return bool(got)

        assert self.reactor.run_until(read, 20 * SECOND)
        return got[0]

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.access.listening.close()
        for server in self.access.listening.servers:
            server.close()
        self.access.close()
        closed: list[bool] = []
        self.offer.device.close(lambda: closed.append(True))
        assert self.reactor.run_until(lambda: bool(closed), 10 * SECOND)
        self.reactor.close()


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    with Site() as site:
        for name in ("CONFIG", "RUNTIME", "STATE"):
            monkeypatch.setenv(f"DSTTOOL_{name}_DIR", site.env[f"DSTTOOL_{name}_DIR"])
        monkeypatch.setattr(access, "DEFAULT_ENDPOINTS", (Endpoint("tcp", "127.0.0.1", 0),))
        with NameLock(["a"]):
            made = House(site)
            yield made
            made.close()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_place_is_served_one_that_is_gone_refuses_and_the_others_are_not_touched(house: House) -> None:
    stays, goes, comes = house.unix("stays"), house.unix("goes"), house.unix("comes")
    house.begin(stays, goes)
    inode = house.site.path("stays").stat().st_ino
    house.move(stays, comes)
    assert house.places() == [str(stays.address("")), str(comes.address(""))]
    assert not house.site.path("goes").exists()
    assert house.site.path("stays").stat().st_ino == inode
    for name in ("stays", "comes", "runtime/a.nbd"):
        assert house.heard(house.come(name)).startswith(NBD)


def test_clients_who_came_by_a_place_that_goes_stay(house: House) -> None:
    house.begin(house.unix("goes"))
    client = house.come("goes")
    assert house.heard(client).startswith(NBD)
    house.move()
    assert house.places() == []
    client.send(LIST)
    assert house.heard(client), "its connection was not cut"
    assert len(house.access.listening.servers) == 2, "nbd and dst, of the runtime folder and of that client"


def test_a_server_without_places_goes_with_its_last_client(house: House) -> None:
    house.begin(parse_listen(f"nbd+unix:///alias?socket={house.site.path('other')}"))
    client = house.come("other")
    assert house.heard(client).startswith(NBD)
    house.move()
    assert len(house.access.listening.servers) == 3
    client.close()
    assert house.reactor.run_until(
        lambda: not any(server.connections for server in house.access.listening.servers), 20 * SECOND
    )
    house.move()
    assert len(house.access.listening.servers) == 2


def test_a_place_that_cannot_be_bound_changes_nothing(house: House) -> None:
    stays, goes = house.unix("stays", "mode=0660"), house.unix("goes")
    house.begin(stays, goes)
    before = house.places()
    house.site.path("taken").write_text("no socket")
    with pytest.raises(Conflict, match="taken"):
        house.move(house.unix("stays", "mode=0600"), house.unix("comes"), house.unix("taken"))
    assert house.places() == before
    assert not house.site.path("comes").exists()
    assert mode_of(house.site.path("stays")) == 0o660
    for name in ("stays", "goes"):
        assert house.heard(house.come(name)).startswith(NBD)


def test_a_place_may_overlap_with_one_that_goes(house: House) -> None:
    port = free_port()
    one, all_of_them = (
        parse_listen(f"nbd://{host}:{port}?security=none") for host in ("127.0.0.1", "0.0.0.0")
    )
    house.begin(one)
    house.site.path("taken").write_text("no socket")
    with pytest.raises(Conflict, match="taken"):
        house.move(all_of_them, house.unix("taken"))
    assert house.places() == [f"nbd://127.0.0.1:{port}/"], "it was gone back to"
    for listens in ([], [all_of_them], [one]):
        if listens:
            house.move(*listens)
        client = socket.create_connection(("127.0.0.1", port))
        house.clients.append(client)
        client.setblocking(False)
        assert house.heard(client).startswith(NBD)


def test_a_socket_whose_file_was_removed_keeps_nothing_from_being_taken_back(house: House) -> None:
    house.begin(house.unix("stays"))
    house.site.path("stays").unlink()
    with pytest.raises(NotFound, match="stays"):
        house.move(house.unix("comes"), house.unix("stays", "mode=0660"))
    assert not house.site.path("comes").exists()


def test_another_file_in_the_place_of_a_socket_is_not_touched(house: House) -> None:
    house.begin(house.unix("stays"))
    other, path = house.site.path("other"), house.site.path("stays")
    other.write_text("a secret")
    other.chmod(0o600)
    path.unlink()
    path.symlink_to(other)
    with pytest.raises(NotFound, match="stays"):
        house.move(house.unix("stays", "mode=0666"))
    assert mode_of(other) == 0o600


def somebody_else(port: int) -> socket.socket:
    """Listens at that port of IPv6; where the kernel has none, at another port."""
    try:
        return socket.create_server(("::1", port), family=socket.AF_INET6)
    except OSError:
        return socket.create_server(("127.0.0.1", 0))


def test_a_place_that_was_left_for_several_is_gone_back_to_if_one_of_them_is_taken(house: House) -> None:
    port = free_port()
    with somebody_else(port) as somebody:
        theirs = (
            f"[::1]:{port}" if somebody.family == socket.AF_INET6 else "{}:{}".format(*somebody.getsockname())
        )
        everywhere, here, taken = (
            parse_listen(f"nbd://{place}?security=none")
            for place in (f"0.0.0.0:{port}", f"127.0.0.1:{port}", theirs)
        )
        house.begin(everywhere)
        with pytest.raises(Conflict, match=re.escape(theirs)):
            house.move(here, taken)
        assert house.places() == [f"nbd://0.0.0.0:{port}/"]
        client = socket.create_connection(("127.0.0.1", port))
        house.clients.append(client)
        client.setblocking(False)
        assert house.heard(client).startswith(NBD)


def test_a_place_of_the_service_manager_may_be_spelled_in_the_configuration_later(house: House) -> None:
    lent = house.unix("lent")
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(house.site.path("lent")))
        theirs.listen()
        house.reactor.network.lend(lent.endpoint, theirs.dup())
        house.begin(lent=(lent,))
        spelled = house.unix("lent", protocol="dst")
        house.move(spelled)
        assert house.places() == [str(spelled.address("a"))]
        client = house.come("lent")
        client.send(DST)
        assert house.heard(client).startswith(dst_preface.MAGIC)
        house.move()
        assert house.places() == [str(lent.address(""))], "as it was when nothing was said of it"


def test_a_daemon_that_stops_listens_nowhere_again(house: House) -> None:
    authorized.authorize(b"k" * 32)
    house.begin(house.unix("door"))
    house.access.listening.close()
    with pytest.raises(Conflict, match="stopping"):
        house.move(house.unix("comes"))
    house.access._plan = AccessPlan(default=DEFAULT_LISTEN)
    house.access._take_all(house.access.read())
    assert house.access._default is None
    assert not any(house.site.path(name).exists() for name in ("comes", "door", "runtime/a.nbd"))


def test_what_is_unsafe_or_unknown_is_refused_before_anything_is_bound(house: House) -> None:
    house.begin(house.unix("stays"))
    with pytest.raises(Unsafe):
        house.move(house.unix("comes"), parse_listen("nbd://192.0.2.1"))
    with pytest.raises(NotFound, match="no-such-group"):
        house.move(house.unix("comes", "group=no-such-group"))
    with pytest.raises(DsttoolError):
        house.move(house.unix("comes", "security=aes256gcm", "key=/no/such/key", protocol="dst"))
    assert not house.site.path("comes").exists()
    assert house.places() == [str(house.unix("stays").address(""))]


def test_who_may_connect_to_a_socket_changes_where_it_is(house: House) -> None:
    house.begin(house.unix("door"))
    path = house.site.path("door")
    inode = path.stat().st_ino
    house.move(house.unix("door", "mode=0660", f"group={os.getegid()}"))
    assert (mode_of(path), path.stat().st_gid) == (0o660, os.getegid())
    house.move(house.unix("door"))
    assert (mode_of(path), path.stat().st_ino) == (0o600, inode)


def test_a_place_may_speak_another_protocol_or_be_protected_otherwise(house: House) -> None:
    house.begin(house.unix("door"))
    assert house.heard(house.come("door")).startswith(NBD)
    house.move(house.unix("door", protocol="dst"))
    client = house.come("door")
    client.send(DST)
    assert house.heard(client).startswith(dst_preface.MAGIC)
    house.move(house.unix("door", "security=aes256gcm", protocol="dst"))
    (address,) = house.places()
    assert "server=dst1-" in address
    assert house.access.listening.identified["a"]
    house.move()
    assert house.access.listening.identified == {}


def test_the_sockets_of_the_runtime_folder_always_exist(house: House) -> None:
    house.begin()
    shared = house.unix("runtime/a.nbd", "mode=0660")
    house.move(shared)
    assert mode_of(house.site.path("runtime/a.nbd")) == 0o660
    house.move()
    assert mode_of(house.site.path("runtime/a.nbd")) == 0o600
    assert house.heard(house.come("runtime/a.nbd")).startswith(NBD)


def test_a_key_is_read_anew_where_its_place_comes_back(house: House) -> None:
    key = house.site.path("key")
    create_key(key, SharedKey(os.urandom(32)))
    sealed = house.unix("door", "security=aes256gcm", f"key={key}", protocol="dst")
    house.begin(sealed)
    first = house.access.listening.servers
    house.move()
    key.unlink()
    create_key(key, SharedKey(os.urandom(32)))
    house.move(sealed)
    assert not set(map(id, first)) >= set(map(id, house.access.listening.servers))


def test_a_socket_of_the_service_manager_stays(house: House) -> None:
    lent = house.unix("lent")
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(house.site.path("lent")))
        theirs.listen()
        house.reactor.network.lend(lent.endpoint, theirs.dup())
        house.begin(lent)
        house.move()
        assert house.access.listening.lent([lent, house.unix("other")]) == [lent]
        assert house.heard(house.come("lent")).startswith(NBD)
        house.move(house.unix("lent", protocol="dst"))
        client = house.come("lent")
        client.send(DST)
        assert house.heard(client).startswith(dst_preface.MAGIC)


def test_the_default_place_comes_and_goes_with_what_is_configured(house: House) -> None:
    authorized.authorize(b"k" * 32)
    house.begin(house.unix("door"))
    house.move(default=DEFAULT_LISTEN)
    house.access._take_all(house.access.read())
    (address,) = house.places()
    assert address.startswith("dst://")
    house.move(default=DEFAULT_LISTEN)
    assert house.places() == [address], "its port is the same"
    house.move(house.unix("door"))
    house.access._take_all(house.access.read())
    assert house.places() == [str(house.unix("door").address(""))]


def test_a_key_for_the_default_place_that_cannot_be_read_is_refused_before_anything_changes(
    house: House,
) -> None:
    authorized.authorize(b"k" * 32)
    house.begin(house.unix("door"))
    before = house.places()
    with pytest.raises(NotFound, match="no-such-key"):
        house.move(default=DEFAULT_LISTEN.with_security("aes256gcm", "/tmp/no-such-key"))
    assert house.places() == before
    assert house.heard(house.come("door")).startswith(NBD)


def test_a_key_for_the_default_place_that_has_gone_ends_no_daemon(house: House) -> None:
    house.begin(house.unix("door"))
    house.access._plan = AccessPlan(default=DEFAULT_LISTEN.with_security("", "/tmp/no-such-key"))
    authorized.authorize(b"k" * 32)
    house.access._take_all(house.access.read())
    assert "no-such-key" in house.access.remarks[0]
    assert house.heard(house.come("door")).startswith(NBD)


def test_whoever_has_only_the_default_place_and_no_keys_is_told_so(house: House) -> None:
    house.begin(house.unix("door"))
    house.move(default=DEFAULT_LISTEN)
    house.access._take_all(house.access.read())
    assert "Only this machine can connect" in house.access.remarks[0]
    assert house.offer.state == "waiting"


def test_a_place_that_shows_data_to_a_network_is_remarked(house: House) -> None:
    house.begin()
    house.move(parse_listen("nbd://0.0.0.0:0?security=none"))
    assert "everybody who can reach 0.0.0.0" in house.access.remarks[0]
