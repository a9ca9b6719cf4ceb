"""Keys, invitations and rules of addresses, with the commands and daemons that people use."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dsttool.engine.config import authorized, keys
from dsttool.engine.config.listen import parse_listen
from dsttool.engine.control.lock import NameLock
from dsttool.engine.export.offer import Offer
from dsttool.engine.host import access
from dsttool.engine.host.access import DEFAULT_LISTEN, Access, AccessPlan
from dsttool.engine.node.memory import MemoryDevice
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.limits import SECOND
from support.site import Site

SEALED = "security=aes256gcm"


def listen(site: Site, query: str = SEALED) -> str:
    return f"dst+unix:///?socket={site.path('door')}&{query}"


def exports(site: Site) -> dict[str, Any]:
    return {export["name"]: export for export in site.json("status")["exports"]}


def place(site: Site) -> str:
    """The address for identities of export a."""
    return next(each for each in exports(site)["a"]["addresses"] if "server=" in each)


def own_key(site: Site) -> str:
    """This machine's public key; made if there is none."""
    shown = site.json("key", "show")["keys"]
    public = [key["public"] for key in shown if key["role"] == "client"]
    return public[0] if public else site.json("key", "generate")["public"]


def refusals(site: Site) -> dict[str, int]:
    (daemon,) = site.json("status")["daemons"]
    return daemon["refusals"]  # type: ignore[no-any-return]


@pytest.fixture
def elsewhere(site: Site) -> Iterator[Site]:
    """Another machine: folders of its own."""
    with Site() as other:
        yield other


# -- keys ------------------------------------------------------------------------------------------------


def test_a_shared_key_protects_both_ends_and_another_one_does_not_come_in(site: Site) -> None:
    for name in ("k", "other"):
        site.dsttool("key", "generate", "--shared", name)
    site.dsttool("export", "mem:1M", "--name", "a", "--listen", listen(site), "--key", "k", "-d")
    address = f"dst+unix:///a?socket={site.path('door')}&{SEALED}"
    assert site.json("info", f"{address}&key=k")["security"] == "aes256gcm"
    assert "keys do not fit" in site.dsttool("info", f"{address}&key=other", code=5).stderr
    assert (
        "another security" in site.dsttool("info", f"dst+unix:///a?socket={site.path('door')}", code=1).stderr
    )
    assert refusals(site) == {"protocol": 2}
    assert exports(site)["a"]["state"] == "serving"
    log = site.dsttool("logs", "a").stdout
    secret = site.path("k").read_text().split()[2]
    assert secret not in log + json.dumps(site.json("status"))
    site.dsttool("daemon", "stop", "a")


def test_a_key_implies_that_the_link_is_sealed(site: Site) -> None:
    site.dsttool("key", "generate", "--shared", "k")
    site.dsttool(
        *("export", "mem:1M", "--name", "a", "--key", "k", "-d"),
        *("--listen", f"dst+unix:///?socket={site.path('door')}"),
    )
    assert site.json("info", f"dst+unix:///a?socket={site.path('door')}&key=k")["security"] == "aes256gcm"
    assert (
        "another security" in site.dsttool("info", f"dst+unix:///a?socket={site.path('door')}", code=1).stderr
    )
    site.dsttool("daemon", "stop", "a")


def test_an_export_waits_for_its_first_key_and_then_serves_it(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "--listen", listen(site), "-d")
    assert exports(site)["a"]["state"] == "waiting"
    address = place(site)
    own_key(site)
    assert "authorise this one there" in site.dsttool("info", address, code=5).stderr
    site.dsttool("key", "authorize", own_key(site), "--export", "a", "--name", "me")
    assert exports(site)["a"]["state"] == "serving"
    assert site.json("info", address)["size_bytes"] == 1 << 20
    assert refusals(site) == {"key": 1}
    site.dsttool("daemon", "stop", "a")


def test_revoking_cuts_live_links(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "--listen", listen(site), "-d")
    site.dsttool("key", "authorize", own_key(site), "--name", "me")
    site.dsttool("array", "up", "pool", "--layout", "linear", "--raw", place(site))
    assert site.json("status", "pool")["arrays"][0]["members"][0]["link"]["security"] == "aes256gcm"
    revoked = site.json("key", "revoke", "me")
    assert revoked["cut"] == 1
    assert exports(site)["a"]["state"] == "waiting"
    assert exports(site)["a"]["sessions"] == []
    site.dsttool("array", "down", "pool", code=None)
    site.dsttool("daemon", "stop", "a")


def test_a_key_revoked_while_no_daemon_runs_does_not_come_in(site: Site) -> None:
    export = ("export", "mem:1M", "--name", "a", "--listen", listen(site), "-d")
    site.dsttool("key", "authorize", own_key(site), "--name", "me")
    site.dsttool(*export)
    address = place(site)
    site.dsttool("info", address)
    site.dsttool("daemon", "stop", "a")
    site.dsttool("key", "revoke", "me")
    site.dsttool(*export)
    assert place(site) == address, "the server's identity stays"
    site.dsttool("info", address, code=5)
    site.dsttool("daemon", "stop", "a")


def test_a_read_only_key_reads(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "--listen", listen(site), "-d")
    site.dsttool("key", "authorize", own_key(site), "--read-only")
    site.dsttool("info", place(site))
    assert "may only read" in site.dsttool("cp", site.file("f", 4096), place(site), code=5).stderr
    site.dsttool("cp", place(site), site.path("copy"))
    site.dsttool("daemon", "stop", "a")


def test_a_broken_list_of_keys_is_said_with_its_line_and_changes_nothing(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "--listen", listen(site), "-d")
    site.dsttool("key", "authorize", own_key(site), "--name", "me")
    file = site.folder / "config/keys/authorized.toml"
    good = file.read_text()
    file.write_text(good + "nonsense = 1\n")
    assert "unknown key 'nonsense'" in site.dsttool("key", "revoke", "me", code=2).stderr
    file.write_text(good)
    site.dsttool("info", place(site))
    site.dsttool("daemon", "stop", "a")


def test_a_daemon_that_cannot_be_told_is_named(site: Site) -> None:
    export = site.export("mem:1M", "a", "--security", "aes256gcm")
    site.dsttool("key", "authorize", own_key(site), "--name", "me")
    export.process.send_signal(19)
    done = site.dsttool("key", "revoke", "me", "--timeout", "300ms", code=4)
    assert "the daemon a may still serve the key" in done.stderr
    export.process.send_signal(18)
    assert site.json("key", "list")["keys"] == []


def test_rules_for_addresses_are_read_from_the_exports_file(site: Site) -> None:
    folder = site.folder / "config/exports"
    folder.mkdir(parents=True)
    (folder / "a.toml").write_text(
        'device = "mem:1M"\nlisten = ["dst://127.0.0.1:0?security=none"]\naccess = ["deny 127.0.0.0/8"]\n'
    )
    site.dsttool("export", "a", "-d")
    (address,) = [each for each in exports(site)["a"]["addresses"] if each.startswith("dst://")]
    assert "does not admit this machine's address" in site.dsttool("info", address, code=1).stderr
    assert refusals(site) == {"address": 1}
    site.dsttool("daemon", "stop", "a")
    site.dsttool("export", "a", "-d", "--access", "allow 127.0.0.1/32")
    (address,) = [each for each in exports(site)["a"]["addresses"] if each.startswith("dst://")]
    site.dsttool("info", address)
    site.dsttool("daemon", "stop", "a")


def test_nothing_is_offered_to_a_network_unprotected_by_accident(site: Site) -> None:
    done = site.dsttool("export", "mem:1M", "--listen", "nbd://0.0.0.0:0", code=6)
    assert "security=none" in done.stderr
    done = site.dsttool("export", "mem:1M", "--listen", "dst://0.0.0.0:0?security=checksum&key=k", code=2)
    assert "seals nothing" in done.stderr
    done = site.dsttool("info", "dst://203.0.113.1/a", code=2)
    assert "dst://203.0.113.1/a?security=none" in done.stderr


# -- invitations -------------------------------------------------------------------------------------------


def invite(site: Site, *options: str) -> str:
    done = site.dsttool(
        "export", "mem:4M", "--name", "a", "--listen", listen(site), "--invite", "-d", *options
    )
    (line,) = [each for each in done.stdout.splitlines() if each.startswith("dsttool-invite-v1 ")]
    return line


def create(site: Site, line: str, *, code: int = 0) -> subprocess.CompletedProcess[str]:
    """array create with the invitation on standard input."""
    command = ("array", "create", "pool", "--layout", "linear", "--raw", "--invite-file", "-")
    done = subprocess.run(
        [sys.executable, "-m", "dsttool", *command],
        input=line + "\n",
        capture_output=True,
        text=True,
        env=site.env,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


def test_another_machine_comes_in_by_its_invitation(site: Site, elsewhere: Site) -> None:
    line = invite(site)
    assert exports(site)["a"]["state"] == "waiting"
    create(elsewhere, line)
    assert exports(site)["a"]["state"] == "serving"
    elsewhere.dsttool("array", "up", "pool")
    (member,) = elsewhere.json("status", "pool")["arrays"][0]["members"]
    assert member["link"]["security"] == "aes256gcm"
    elsewhere.dsttool("array", "down", "pool")
    (listed,) = site.json("key", "list")["keys"]
    assert listed["read_write"] == ["a"]
    assert listed["public"] == own_key(elsewhere)
    site.dsttool("daemon", "stop", "a")


def test_nothing_of_an_invitation_is_kept_where_others_look(site: Site, elsewhere: Site) -> None:
    line = invite(site)
    secret = line.split()[3]
    create(elsewhere, line)
    status = json.dumps(site.json("status")) + site.dsttool("logs", "a").stdout
    assert secret not in status
    for folder in (site.folder, elsewhere.folder):
        for path in folder.rglob("*"):
            if path.is_file() and secret.encode() in path.read_bytes():
                pytest.fail(f"{path} has the invitation's key")
            if path.is_file() and "invitations" in path.parts:
                assert path.stat().st_mode & 0o777 == 0o600
    site.dsttool("daemon", "stop", "a")


def test_an_invitation_is_for_one_machine(site: Site, elsewhere: Site) -> None:
    line = invite(site)
    create(elsewhere, line)
    (elsewhere.folder / "config/arrays/pool.toml").unlink()
    create(elsewhere, line)
    done = create(site, line, code=5)
    assert "used by another key" in done.stderr
    assert not (site.folder / "config/arrays").exists(), "nothing was configured"
    site.dsttool("daemon", "stop", "a")


def test_an_invitation_holds_over_a_restart_and_until_its_time(site: Site, elsewhere: Site) -> None:
    line = invite(site)
    site.dsttool("daemon", "stop", "a")
    site.dsttool("export", "mem:4M", "--name", "a", "--listen", listen(site), "-d")
    create(elsewhere, line)
    site.dsttool("daemon", "stop", "a")
    line = invite(site, "--invite-expires", "1ms")
    done = create(site, line, code=5)
    assert "has expired" in done.stderr
    site.dsttool("daemon", "stop", "a")


def test_an_invitation_that_nobody_has_used_is_listed_and_can_be_withdrawn(
    site: Site, elsewhere: Site
) -> None:
    line = invite(site)
    (listed,) = site.json("key", "list")["invitations"]
    assert (listed["id"], listed["exports"]) == (line.split()[2], ["a"])
    shown = site.dsttool("key", "list")
    assert listed["id"] in shown.stderr
    assert line.split()[3] not in shown.stdout + shown.stderr
    assert "holds no more" in site.dsttool("key", "revoke", listed["id"]).stdout
    assert site.json("key", "list")["invitations"] == []
    assert "keys do not fit" in create(elsewhere, line, code=5).stderr
    site.dsttool("daemon", "stop", "a")


@pytest.mark.parametrize("scheme", ["dst", "dst+mptcp"])
def test_links_over_networks_are_sealed_too(site: Site, scheme: str) -> None:
    site.dsttool("key", "generate", "--shared", "k")
    site.dsttool(
        *("export", "mem:1M", "--name", "a", "--listen", f"{scheme}://127.0.0.1:0", "--key", "k", "-d"),
        *("--security", "chacha20poly1305"),
    )
    (address,) = [each for each in exports(site)["a"]["addresses"] if each.startswith(f"{scheme}://")]
    assert "security=chacha20poly1305&key=" in address
    assert site.json("info", address)["security"] == "chacha20poly1305"
    site.dsttool("daemon", "stop", "a")


def test_an_invitation_is_not_put_into_json(site: Site) -> None:
    done = site.dsttool("export", "mem:1M", "--invite", "--json", "-d", code=2)
    assert "An invitation is a secret" in done.stderr
    assert done.stdout == ""


def test_nobody_can_be_invited_to_where_keys_are_not_asked_for(site: Site) -> None:
    plain = f"dst+unix:///?socket={site.path('door')}"
    done = site.dsttool("export", "mem:1M", "--name", "a", "--listen", plain, "--invite", "-d", code=2)
    assert "Nobody can be invited to a" in done.stderr


def test_an_array_invites_too(site: Site, elsewhere: Site) -> None:
    done = site.dsttool(
        *("array", "up", "a", "--layout", "linear", "--raw", "mem:4M", "--listen", listen(site), "--invite")
    )
    (line,) = [each for each in done.stdout.splitlines() if each.startswith("dsttool-invite-v1 ")]
    create(elsewhere, line)
    elsewhere.dsttool("array", "up", "pool")
    elsewhere.dsttool("array", "down", "pool")
    site.dsttool("array", "down", "a")


# -- the default listener ------------------------------------------------------------------------------------


class House:
    """An export's access in this process, whose default port is a free one."""

    def __init__(self) -> None:
        self.reactor = Reactor(io_threads=1)
        self.offer = Offer("a", MemoryDevice(self.reactor, 1 << 20, "m"))
        self.access = Access(self.reactor, [self.offer], AccessPlan(default=DEFAULT_LISTEN))

    @property
    def tcp(self) -> list[str]:
        return [address for address in self.offer.addresses if address.startswith("dst://")]

    def reload(self) -> Any:
        answers: list[Any] = []
        self.access.reload({}, answers.append)  # type: ignore[arg-type]
        assert self.reactor.run_until(lambda: bool(answers), 10 * SECOND)
        return answers[0]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    with Site() as site:
        for name in ("CONFIG", "RUNTIME", "STATE"):
            monkeypatch.setenv(f"DSTTOOL_{name}_DIR", site.env[f"DSTTOOL_{name}_DIR"])
        monkeypatch.setattr(access, "DEFAULT_ENDPOINTS", (Endpoint("tcp", "127.0.0.1", 0),))
        house = House()
        with NameLock(["a"]):
            yield house
            house.access.listening.close()
            for server in house.access.listening.servers:
                server.close()
            house.access.close()
            closed: list[bool] = []
            house.offer.device.close(lambda: closed.append(True))
            assert house.reactor.run_until(lambda: bool(closed), 10 * SECOND)
            house.reactor.close()


def test_without_an_authorised_key_an_export_stays_local_and_says_so(house: House) -> None:
    house.access.begin([])
    assert house.tcp == []
    assert house.offer.state == "waiting"
    assert "Only this machine can connect: TCP port 6207 is for authorised keys" in house.access.remarks[0]


@pytest.mark.parametrize("words", [("--security", "none"), ("--key", "k")], ids=" ".join)
def test_what_tells_no_keys_apart_is_said_to_be_no_reason_to_listen(
    site: Site, words: tuple[str, str]
) -> None:
    site.dsttool("key", "generate", "--shared", "k")
    site.dsttool("key", "authorize", own_key(site), "--name", "me")
    said = site.dsttool("export", "mem:1M", "--name", "a", *words, "-d").stderr
    site.dsttool("daemon", "stop", "a")
    assert "Only this machine can connect" in said
    assert "a shared key, or without a seal, are not told apart by keys" in said


def test_a_key_that_is_not_there_is_an_error_before_anybody_is_authorised(site: Site) -> None:
    done = site.dsttool("export", "mem:1M", "--name", "a", "--key", "./nokey", "-d", code=3)
    assert "There is no key file" in done.stderr


def test_with_an_authorised_key_an_export_listens_on_tcp(house: House) -> None:
    authorized.authorize(b"k" * 32, exports=["a"])
    house.access.begin([])
    assert len(house.tcp) == 1
    assert "server=dst1-" in house.tcp[0]
    assert house.offer.state == "serving"
    assert house.access.remarks == []


def test_a_key_for_another_export_opens_nothing(house: House) -> None:
    authorized.authorize(b"k" * 32, exports=["b"])
    house.access.begin([])
    assert house.tcp == []
    assert house.offer.state == "waiting"


def test_the_first_key_opens_the_port_while_the_daemon_runs(house: House) -> None:
    house.access.begin([])
    house.access.listening.start()
    authorized.authorize(b"k" * 32)
    assert house.reload() == {"cut": 0}
    assert len(house.tcp) == 1
    assert house.offer.state == "serving"
    house.reload()
    assert len(house.tcp) == 1, "only once"
    authorized.revoke(keys.format_public(b"k" * 32))
    house.reload()
    assert house.offer.state == "waiting"


def test_a_port_that_is_taken_leaves_the_export_local(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    authorized.authorize(b"k" * 32)
    with_port = house.reactor.network.listen(Endpoint("tcp", "127.0.0.1", 0))
    taken = Endpoint("tcp", "127.0.0.1", with_port.getsockname()[1])
    monkeypatch.setattr(access, "DEFAULT_ENDPOINTS", (taken,))
    house.access.begin([])
    assert house.tcp == []
    assert "in use" in house.access.remarks[0]
    with_port.close()


def test_listening_elsewhere_replaces_the_default(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    authorized.authorize(b"k" * 32)
    elsewhere = Access(house.reactor, [house.offer], AccessPlan())
    elsewhere.begin([parse_listen("nbd://127.0.0.1:0")])
    assert house.tcp == []
    assert house.offer.state == "serving"
    elsewhere.listening.close()
    elsewhere.close()


def test_a_list_that_cannot_be_read_again_changes_nothing(house: House) -> None:
    authorized.authorize(b"k" * 32)
    house.access.begin([])
    authorized.file().write_text("[[keys]]\n")
    assert isinstance(house.reload(), DsttoolError)
    assert house.offer.state == "serving"
