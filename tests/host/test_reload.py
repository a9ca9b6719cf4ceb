"""A daemon reads its configuration again: what it applies, what it names, and what it refuses as a whole."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.manager import Manager, signal_and_wait
from support.site import Daemon, Site, accepts, wait_until

DSTTOOL = (sys.executable, "-m", "dsttool")
MIRROR = """
layout = "mirror"
raw = true
nodes = ["{first}", "{second}"]
{more}
"""


class Configured:
    """A site whose daemons come out of files."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def write(self, name: str, content: str) -> None:
        path = self.site.path("config") / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.parent.chmod(0o700)
        path.write_text(content)

    def export(self, *lines: str) -> None:
        device = self.site.path("a.img")
        self.write("exports/a.toml", "\n".join([f'device = "{device}"', 'size = "1M"', *lines, ""]))

    def array(self, more: str = "", options: str = "") -> None:
        first, second = self.site.dst("d0") + options, self.site.path("d1")
        self.write("arrays/pool.toml", MIRROR.format(first=first, second=second, more=more))

    def run_export(self, *options: object) -> Daemon:
        return self.site.start(
            *(sys.executable, "-m", "dsttool", "export", "a", "--listen", "nbd://127.0.0.1:0", *options),
            ready=self.site.control("a"),
        )

    def run_array(self) -> None:
        self.site.export(self.site.file("d0", 1 << 20), "d0")
        self.site.file("d1", 1 << 20)
        self.array()
        self.site.dsttool("array", "up", "pool")

    def reload(self, *options: object) -> Any:
        (answer,) = self.site.json("daemon", "reload", *options)["daemons"]
        return answer

    def policy(self, node: str) -> dict[str, Any]:
        (found,) = self.site.json("policy", "show", f"pool/{node}")["nodes"]
        policy: dict[str, Any] = found["policy"]
        return policy


@pytest.fixture
def here(site: Site) -> Iterator[Configured]:
    made = Configured(site)
    yield made
    for name in ("pool", "a"):
        site.dsttool("daemon", "stop", name, "--yes", code=None)


def changes(entries: Any) -> list[tuple[str, str, str, str]]:
    return [(each["of"], each["key"], each["before"], each["after"]) for each in entries]


def test_nothing_has_changed(here: Configured) -> None:
    here.run_array()
    answer = here.reload("pool")
    assert (answer["name"], answer["applied"], answer["restart"]) == ("pool", [], [])
    assert {"pool: nodes", "pool: layout", "pool: access", "pool/n0: policy"} <= set(answer["unchanged"])
    assert here.site.dsttool("daemon", "reload", "pool").stdout == "pool: nothing has changed.\n"


def test_a_policy_holds_at_once(here: Configured) -> None:
    here.run_array()
    here.array("[policy]\nresends = 7")
    assert changes(here.reload("pool")["applied"]) == [("pool/n0", "policy.resends", "4", "7")]
    assert here.policy("n0")["resends"] == {"value": 7, "source": "array"}
    here.array(options="&resends=3")
    assert changes(here.reload("pool")["applied"]) == [("pool/n0", "policy.resends", "7", "3")]
    assert here.policy("n0")["resends"] == {"value": 3, "source": "address"}


def test_the_policy_of_the_machine_holds_at_once(here: Configured) -> None:
    here.run_array()
    here.write("dsttool.toml", "[policy]\nresends = 6\n[daemon]\ncrypto_threads = 3\n")
    assert changes(here.reload("pool")["applied"]) == [
        ("pool/n0", "policy.resends", "4", "6"),
        ("", "crypto_threads", "default", "3"),
    ]
    assert here.site.json("daemon", "tune", "pool")["threads"] == 3


def test_what_was_set_live_is_stronger_than_the_configuration(here: Configured) -> None:
    here.run_array()
    here.site.dsttool("policy", "set", "pool", "resends=9")
    here.array("[policy]\nresends = 7")
    assert here.reload("pool")["applied"] == []
    assert here.policy("n0")["resends"] == {"value": 9, "source": "live"}


def test_what_needs_a_restart_is_named_each_time_until_then(here: Configured) -> None:
    here.run_array()
    here.array('chunk = "64K"\n[policy]\nlinks = 2\nresends = 7')
    first = here.reload("pool")
    assert changes(first["applied"]) == [("pool/n0", "policy.resends", "4", "7")]
    assert changes(first["restart"]) == [
        ("pool", "chunk", "default", "65536"),
        ("pool/n0", "policy.links", "1", "2"),
    ]
    again = here.reload("pool")
    assert (again["applied"], again["restart"]) == ([], first["restart"])
    here.site.dsttool("policy", "set", "pool", "resends=8")  # which a change of links would refuse


def test_other_nodes_need_a_restart(here: Configured) -> None:
    here.run_array()
    here.write("arrays/pool.toml", MIRROR.format(first=here.site.dst("d0"), second="/elsewhere", more=""))
    (change,) = here.reload("pool")["restart"]
    assert change["key"] == "nodes"
    assert change["after"].endswith("/elsewhere")
    assert here.site.json("status", "pool")["arrays"][0]["state"] == "online"


def test_another_file_of_a_named_key_of_a_node_needs_a_restart(here: Configured) -> None:
    site = here.site
    site.dsttool("key", "generate", "--shared", site.path("lab.key"))
    here.write("dsttool.toml", f'[keys]\nlab = "{site.path("lab.key")}"\nother = "/o"\n')
    site.export(site.file("d0", 1 << 20), "d0", "--security", "aes256gcm", "--key", "lab")
    site.file("d1", 1 << 20)
    here.array(options="&security=aes256gcm&key=lab")
    site.dsttool("array", "up", "pool")
    here.write("dsttool.toml", '[keys]\nlab = "/elsewhere"\nother = "/nobody/uses/it"\n')
    for _ in range(2):
        answer = here.reload("pool")
        assert answer["applied"] == []
        assert changes(answer["restart"]) == [
            ("pool/n0", "keys.lab", str(site.path("lab.key")), "/elsewhere"),
        ]


def test_what_is_wrong_changes_nothing(here: Configured) -> None:
    here.run_array()
    here.write("dsttool.toml", "[daemon]\ncrypto_threads = 3\n")
    here.array("[policy]\nresends = 7\nresend_timeut = 3")
    done = here.site.dsttool("daemon", "reload", "pool", code=2)
    assert "pool.toml:7:" in done.stderr
    assert here.policy("n0")["resends"]["value"] == 4
    assert here.site.json("daemon", "tune", "pool")["threads"] == 1
    assert "nothing is changed" in here.site.dsttool("logs", "pool").stdout


def test_what_contradicts_itself_changes_nothing(here: Configured) -> None:
    here.run_array()
    here.write("dsttool.toml", "[daemon]\ncrypto_threads = 3\n")
    here.array('[policy]\nbackoff_min = "1h"')
    done = here.site.dsttool("daemon", "reload", "pool", code=2)
    assert "backoff_min of pool/n0 (1h) would be longer than its backoff_max" in done.stderr
    assert here.site.json("daemon", "tune", "pool")["threads"] == 1


def test_an_array_of_a_command_line_is_not_found_in_a_file_of_its_name(here: Configured) -> None:
    for name in ("d0", "d1"):
        here.site.file(name, 1 << 20)
    here.site.array("pool", "mirror", here.site.path("d0"), here.site.path("d1"))
    here.array()
    assert here.reload("pool")["restart"] == []


def test_clients_that_are_not_admitted_any_more_are_cut_off(here: Configured) -> None:
    here.export()
    here.run_export()
    address = here.site.json("status", "a")["exports"][0]["addresses"][-1]
    port = int(address.rpartition(":")[2].strip("/"))
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(20)
        # Fixed newstyle without zeroes, then EXPORT_NAME of the only export.
        client.sendall((3).to_bytes(4) + b"IHAVEOPT" + (1).to_bytes(4) + (0).to_bytes(4))
        received = b""
        while len(received) < 18 + 10:
            received += client.recv(100)
        here.export('access = ["allow 10.0.0.0/8"]')
        answer = here.reload("a")
        assert changes(answer["applied"]) == [("a", "access", "none", "allow 10.0.0.0/8")]
        assert client.recv(100) == b""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(20)
        assert client.recv(100) == b"", "nor does anybody come in"
    here.export()
    assert changes(here.reload("a")["applied"]) == [("a", "access", "allow 10.0.0.0/8", "none")]


def places(here: Configured, kind: str, name: str) -> list[str]:
    """Where it is listened beside the runtime folder, as the status says it."""
    runtime = str(here.site.path("runtime"))
    (found,) = [each for each in here.site.json("status")[kind] if each["name"] == name]
    return [address for address in found["addresses"] if runtime not in address]


def test_an_array_listens_at_other_places_at_once(here: Configured) -> None:
    here.run_array()
    place = f"nbd+unix:///?socket={here.site.path('door')}"
    here.array(f'listen = ["{place}"]')
    answer = here.reload("pool")
    assert changes(answer["applied"]) == [("pool", "listen", "none", place)]
    assert (answer["restart"], answer["remarks"]) == ([], [])
    assert places(here, "arrays", "pool") == [place]
    assert accepts(here.site.path("door"))
    here.array()
    assert changes(here.reload("pool")["applied"]) == [("pool", "listen", place, "none")]
    assert not here.site.path("door").exists()
    here.site.dsttool("daemon", "stop", "pool", "--yes")


def test_an_export_listens_at_other_places_at_once_and_says_what_that_shows(here: Configured) -> None:
    door, sealed = (f"dst+unix:///?socket={here.site.path(each)}" for each in ("door", "sealed"))
    here.export(f'listen = ["{door}"]')
    daemon = here.site.start(*DSTTOOL, "export", "a", ready=here.site.control("a"))
    here.export(f'listen = ["{sealed}", "nbd://0.0.0.0:0?security=none"]', 'security = "aes256gcm"')
    done = here.site.dsttool("daemon", "reload", "a")
    assert "Warning: everybody who can reach 0.0.0.0" in done.stderr
    assert "a: security default -> aes256gcm" in done.stdout
    first, second = places(here, "exports", "a")
    assert "&server=dst1-" in first
    assert second.startswith("nbd://0.0.0.0:")
    assert not here.site.path("door").exists()
    daemon.stop()
    assert not here.site.path("sealed").exists()


def test_a_place_that_is_taken_changes_nothing_and_says_why(here: Configured) -> None:
    door = f"nbd+unix:///?socket={here.site.path('door')}"
    here.export(f'listen = ["{door}"]')
    daemon = here.site.start(*DSTTOOL, "export", "a", ready=here.site.control("a"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        other = f"nbd://127.0.0.1:{taken.getsockname()[1]}"
        here.export(f'listen = ["{other}"]', 'access = ["deny all"]')
        done = here.site.dsttool("daemon", "reload", "a", code=8)
        assert "the address is in use" in done.stderr
        assert places(here, "exports", "a") == [door]
    assert len(here.reload("a")["applied"]) == 2
    daemon.stop()


def test_what_the_command_line_says_is_not_compared(here: Configured) -> None:
    here.export()
    here.run_export("--access", "allow 127.0.0.1")
    here.export('access = ["deny all"]', 'listen = ["nbd://127.0.0.1"]', "read_only = true")
    answer = here.reload("a")
    assert answer["applied"] == []
    assert changes(answer["restart"]) == [("a", "read_only", "false", "true")]


def test_keys_that_are_authorised_are_read_with_the_rest(here: Configured) -> None:
    here.export()
    here.run_export()
    here.site.dsttool("key", "generate")
    key = here.site.json("key", "show")["keys"][0]["public"]
    here.write("keys/authorized.toml", f'[[keys]]\nkey = "{key}"\nread_write = ["a"]\n')
    (change,) = here.reload("a")["applied"]
    assert (change["key"], change["before"]) == ("authorized_keys", "0 keys")
    assert change["after"] == "1 keys, 1 of them new or changed"


def test_without_a_name_all_daemons_reload_and_dry_run_applies_nothing(here: Configured) -> None:
    here.run_array()
    here.array("[policy]\nresends = 7")
    done = here.site.dsttool("daemon", "reload", "--dry-run")
    assert done.stdout == "would apply pool/n0: policy.resends 4 -> 7\n"
    assert here.policy("n0")["resends"]["value"] == 4
    names = [each["name"] for each in here.site.json("daemon", "reload")["daemons"]]
    assert names == ["d0", "pool"]
    assert here.policy("n0")["resends"]["value"] == 7


def test_one_daemon_that_refuses_keeps_no_other_from_reloading(here: Configured) -> None:
    here.export()
    here.run_export()
    here.site.export(here.site.file("d0", 1 << 20), "d0")
    here.export("device = 3")
    here.write("dsttool.toml", "[daemon]\ncrypto_threads = 3\n")
    done = here.site.dsttool("daemon", "reload", code=2)
    assert "a did not take up the configuration." in done.stderr
    assert "exports/a.toml" in done.stderr
    assert "crypto_threads default -> 3" in done.stdout


def test_with_nothing_running_there_is_nothing_to_do(site: Site) -> None:
    assert site.json("daemon", "reload") == {"schema": "dsttool.reload/1", "daemons": []}
    assert site.dsttool("daemon", "reload").stdout == "Nothing is running.\n"


def test_what_is_logged_follows_the_configuration(here: Configured) -> None:
    here.export()
    daemon = here.run_export()
    here.write("dsttool.toml", '[daemon]\nlog_level = "warning"\n')
    assert changes(here.reload("a")["applied"]) == [("", "log_level", "default", "warning")]
    here.reload("a")
    assert daemon.output.count("configuration read again") == 0
    here.write("dsttool.toml", "")
    here.reload("a")
    here.reload("a")
    assert daemon.output.count("configuration read again") >= 1


def test_a_detached_daemon_reloads_on_sighup(here: Configured) -> None:
    here.run_array()
    here.array("[policy]\nresends = 7")
    pid = here.site.json("status", "pool")["daemons"][0]["pid"]
    os.kill(pid, signal.SIGHUP)
    here.site.dsttool("wait", "pool", "--for", "up")
    log = here.site.path("runtime/pool.log")
    wait_until(lambda: "policy.resends 4 -> 7" in log.read_text(), "the log says what was applied")
    assert here.policy("n0")["resends"]["value"] == 7


def test_a_service_manager_is_told_of_the_reload(here: Configured) -> None:
    here.export()
    with Manager(here.site) as manager:
        service = manager.start("export", "a")
        manager.hear("READY")
        service.process.send_signal(signal.SIGHUP)
        assert int(manager.hear("RELOADING")["MONOTONIC_USEC"]) > 0
        assert manager.heard() == {"READY": "1"}
        here.export("nonsense = 1")
        signal_and_wait(service, signal.SIGHUP, "nothing is changed")
        manager.hear("RELOADING")
        assert manager.heard() == {"READY": "1"}
        service.stop()


def test_the_hang_up_of_its_terminal_ends_a_daemon_in_the_foreground(site: Site, tmp_path: Path) -> None:
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(site.env)
        os.execv(sys.executable, [sys.executable, "-m", "dsttool", "export", "mem:1M", "--name", "a"])
    try:
        shown = b""
        while b"Ctrl-C" not in shown:
            shown += os.read(terminal, 65536)
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
