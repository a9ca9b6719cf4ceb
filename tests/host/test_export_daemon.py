"""Exports as processes: they detach when they serve, say where, and end leaving nothing."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from dsttool.engine.control import client
from support.site import START_SECONDS, Site, accepts, wait_until

MIB = 1 << 20


def runtime(site: Site) -> Path:
    return Path(site.env["DSTTOOL_RUNTIME_DIR"])


def test_a_detached_export_serves_when_the_command_returns_and_is_gone_when_stop_returns(site: Site) -> None:
    image = site.file("a.img", MIB)
    said = site.dsttool("export", image, "--name", "a", "-d").stdout
    assert accepts(runtime(site) / "a.nbd")
    assert accepts(runtime(site) / "a.dst")
    uri = site.dsttool("uri", "a").stdout.strip()
    assert uri == f"nbd+unix:///?socket={runtime(site)}/a.nbd"
    assert uri in said
    (export,) = site.json("status")["exports"]
    assert (export["name"], export["device"], export["state"]) == ("a", str(image), "waiting")
    assert (export["size_bytes"], export["read_only"], export["sessions"]) == (MIB, False, [])
    site.run("nbdinfo", uri)
    site.dsttool("daemon", "stop", "a")
    assert not site.processes()
    assert [path.name for path in runtime(site).iterdir()] == ["a.log"]
    log = site.dsttool("logs", "a").stdout
    assert "a is ready" in log
    assert "a has ended" in log


def test_sockets_are_private_in_a_private_folder(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    assert stat.S_IMODE(runtime(site).stat().st_mode) == 0o700
    for suffix in ("sock", "nbd", "dst"):
        assert stat.S_IMODE((runtime(site) / f"a.{suffix}").stat().st_mode) == 0o600
    site.dsttool("daemon", "stop", "a")


def test_a_listener_has_the_mode_it_is_given(site: Site) -> None:
    path = site.path("shared.nbd")
    site.dsttool("export", "mem:1M", "--name", "a", "-d", "--listen", f"nbd+unix:///?socket={path}&mode=0660")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    site.dsttool("daemon", "stop", "a")


def test_sigterm_ends_a_foreground_export_with_0_and_sigint_with_130(site: Site) -> None:
    for number, code in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
        daemon = site.export("mem:1M", "a")
        daemon.process.send_signal(number)
        assert daemon.process.wait(20) == code
        assert not list(runtime(site).iterdir())
        assert not site.path("a.nbd").exists()


def test_what_was_acked_before_sigterm_is_in_the_file(site: Site) -> None:
    image = site.file("a.img", 4 * MIB)
    daemon = site.export(image, "a")
    site.run("qemu-io", "-f", "raw", "-c", "write -P 0x5a 1M 2M", site.nbd("a"))
    daemon.stop()
    content = image.read_bytes()
    assert content[MIB : 3 * MIB] == b"\x5a" * (2 * MIB)


def test_a_second_daemon_of_a_name_is_refused_and_the_first_goes_on(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    refused = site.dsttool("export", "mem:1M", "--name", "a", "-d", code=8)
    assert "a is already running" in refused.stderr
    assert accepts(runtime(site) / "a.nbd")
    assert "already" not in site.dsttool("logs", "a").stdout
    site.dsttool("daemon", "stop", "a")


def test_a_file_in_use_is_refused_by_the_command_that_started_the_daemon(site: Site) -> None:
    image = site.file("a.img", MIB)
    site.dsttool("export", image, "--name", "a", "-d")
    refused = site.dsttool("export", image, "--name", "b", "-d", code=8)
    assert "another process has locked it" in refused.stderr
    site.dsttool("daemon", "stop", "a")


def test_an_export_killed_leaves_a_report_and_starts_again_over_its_dead_sockets(site: Site) -> None:
    image = site.file("a.img", MIB)
    site.dsttool("export", image, "--name", "a", "-d")
    (daemon,) = site.json("daemon", "list")["daemons"]
    os.kill(daemon["pid"], signal.SIGKILL)
    assert client.wait_gone(daemon["pid"], START_SECONDS)
    (dead,) = site.json("status")["daemons"]
    assert (dead["name"], dead["state"], dead["reason"]) == ("a", "unreachable", "connection refused")
    assert site.dsttool("status", "a", code=4).stderr.startswith("error: The daemon a cannot be reached")
    assert site.dsttool("status", "--exit-code", code=11).returncode == 11
    site.dsttool("export", image, "--name", "a", "-d")
    site.run("nbdinfo", site.dsttool("uri", "a").stdout.strip())
    site.dsttool("daemon", "stop", "a")


def test_stopping_a_dead_daemon_says_so_and_removes_its_sockets(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    (daemon,) = site.json("daemon", "list")["daemons"]
    os.kill(daemon["pid"], signal.SIGKILL)
    assert client.wait_gone(daemon["pid"], START_SECONDS)
    assert "it had died" in site.dsttool("daemon", "stop", "a", code=3).stderr
    assert site.json("status")["daemons"] == []


def test_daemons_are_stopped_in_order_up_to_the_first_that_is_not_there(site: Site) -> None:
    for name in ("a", "b", "c"):
        site.dsttool("export", "mem:1M", "--name", name, "-d")
    failed = site.dsttool("daemon", "stop", "a", "nobody", "b", code=3)
    assert failed.stdout == "a has ended.\n"
    assert "Nothing called nobody is running" in failed.stderr
    answer = site.json("daemon", "stop", "b", "c")
    assert answer["schema"] == "dsttool.stopped/1"
    assert [each["name"] for each in answer["daemons"]] == ["b", "c"]
    assert not site.processes()


def test_several_devices_are_served_by_one_daemon_under_their_names(site: Site) -> None:
    site.dsttool("export", "mem:1M", "mem:2M", "--name", "a", "--name", "b", "-d")
    names = {export["name"]: export["size_bytes"] for export in site.json("status")["exports"]}
    assert names == {"a": MIB, "b": 2 * MIB}
    address = f"nbd+unix:///?socket={runtime(site)}/a.nbd"
    listed = json.loads(site.run("nbdinfo", "--list", "--json", address).stdout)
    assert {export["export-name"] for export in listed["exports"]} == {"a", "b"}
    assert site.json("info", "b")["size_bytes"] == 2 * MIB
    refused = site.dsttool("daemon", "stop", "b", code=8)
    assert "dsttool daemon stop a" in refused.stderr
    site.dsttool("daemon", "stop", "a")


def test_an_export_is_created_sparse_with_a_size_and_named_after_its_file(site: Site) -> None:
    site.dsttool("export", "disk.img", "--size", "1G", "-d")
    created = site.path("disk.img").stat()
    assert created.st_size == 1 << 30
    assert created.st_blocks * 512 < MIB
    assert site.json("status", "disk")["exports"][0]["size_bytes"] == 1 << 30
    site.dsttool("daemon", "stop", "disk")
    contradicted = site.dsttool("export", "disk.img", "--size", "2G", "-d", code=2)
    assert "not the 2147483648 of --size" in contradicted.stderr
    assert site.path("disk.img").stat().st_size == 1 << 30


def test_a_configured_export_starts_by_its_name(site: Site) -> None:
    image = site.file("a.img", MIB)
    socket = site.path("extra.nbd")
    folder = Path(site.env["DSTTOOL_CONFIG_DIR"]) / "exports"
    folder.mkdir(parents=True)
    (folder / "vault.toml").write_text(
        f'device = "{image}"\nread_only = true\nlisten = ["nbd+unix:///?socket={socket}"]\n'
    )
    site.dsttool("export", "vault", "-d")
    (export,) = site.json("status", "vault")["exports"]
    assert (export["state"], export["read_only"]) == ("read_only", True)
    assert accepts(socket)
    site.dsttool("daemon", "stop", "vault")


def test_without_authorised_keys_an_export_says_that_it_stays_local(site: Site) -> None:
    said = site.dsttool("export", "mem:1M", "--name", "a", "-d").stderr
    assert said.count("\n") == 1
    assert "Only this machine can connect" in said
    site.dsttool("daemon", "stop", "a")
    quiet = site.dsttool("export", "mem:1M", "--name", "a", "-d", "-q")
    assert (quiet.stdout, quiet.stderr) == ("", "")
    site.dsttool("daemon", "stop", "a")


def test_tcp_serves_nbd_on_a_free_port_that_the_status_tells(site: Site) -> None:
    site.dsttool("export", "mem:1M", "--name", "a", "-d", "--listen", "nbd://127.0.0.1:0")
    addresses = site.json("status", "a")["exports"][0]["addresses"]
    (tcp,) = [address for address in addresses if address.startswith("nbd://127.0.0.1:")]
    assert not tcp.startswith("nbd://127.0.0.1:0/")
    site.run("nbdinfo", tcp)
    site.dsttool("daemon", "stop", "a")


def test_an_export_without_a_terminal_logs_plain_lines(site: Site) -> None:
    daemon = site.export("mem:1M", "a")
    daemon.stop()
    ready = next(line for line in daemon.output.splitlines() if "a is ready" in line)
    assert ready.split()[1] == "INFO"
    assert "\x1b" not in daemon.output


def test_a_path_in_a_listener_is_another_name_of_the_export(site: Site) -> None:
    socket = site.path("s.nbd")
    site.dsttool("export", "mem:1M", "--name", "a", "-d", "--listen", f"nbd+unix:///other?socket={socket}")
    for name in ("other", "a", ""):
        site.run("nbdinfo", f"nbd+unix:///{name}?socket={socket}")
    site.run("nbdinfo", f"nbd+unix:///third?socket={socket}", code=1)
    site.run("nbdinfo", f"nbd+unix:///other?socket={runtime(site)}/a.nbd", code=1)
    site.dsttool("daemon", "stop", "a")


def test_plain_nbd_beyond_this_machine_is_spelled_out_and_warned_of(site: Site) -> None:
    listen = "nbd://0.0.0.0:0?security=none"
    said = site.dsttool("export", "mem:1M", "--name", "a", "-d", "--read-only", "--listen", listen).stderr
    assert said.startswith("Warning: everybody who can reach 0.0.0.0:0 can read")
    site.dsttool("daemon", "stop", "a")


@pytest.mark.parametrize("kind", ["dst", "nbd"])
def test_an_export_can_offer_what_another_one_serves(site: Site, kind: str) -> None:
    image = site.file("a.img", 4 * MIB)
    site.export(image, "a")
    site.export(site.dst("a") if kind == "dst" else site.nbd("a"), "b")
    site.run("qemu-io", "-f", "raw", "-c", "write -P 0x11 5000 70000", "-c", "flush", site.nbd("b"))
    assert image.read_bytes()[5000:75000] == b"\x11" * 70000


def test_a_foreground_export_on_a_terminal_shows_one_live_line(site: Site) -> None:
    import pty

    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "dsttool", "export", "mem:1M", "--name", "a"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=site.env | {"TERM": "xterm"},
        )
        shown = b""
        while b"requests/s" not in shown:
            shown += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    finally:
        os.close(theirs)
        os.close(ours)
    assert b"a serves 1 MiB" in shown.replace(b"\x1b[1m", b"").replace(b"\x1b[0m", b"")
    assert b"Ctrl-C stops it." in shown
    assert b"0 clients, 0 in flight" in shown
    assert b" INFO " not in shown


def test_an_export_of_an_nbd_server_that_came_back_smaller_shows_as_failed(site: Site) -> None:
    server = site.export(site.file("a.img", 2 * MIB), "a")
    site.export(site.nbd("a"), "b")
    server.kill()
    site.export(site.file("a.img", MIB), "a")
    wait_until(lambda: site.json("status", "b")["exports"][0]["state"] == "failed", "b shows as failed")
    site.dsttool("status", "b", "--exit-code", code=11)


def test_more_clients_are_served_than_the_soft_limit_of_descriptors_admits(site: Site) -> None:
    """Else clients that merely connect would keep an array from storing which member is stale."""
    image, nbd = site.file("a.img", MIB), site.path("a.nbd")
    command = f"ulimit -S -n 40 && exec {sys.executable} -m dsttool export {image} --name a"
    site.start("sh", "-c", f"{command} --listen 'nbd+unix:///?socket={nbd}'", ready=nbd)
    with ExitStack() as clients:
        for _ in range(80):
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(8)  # idle clients of the handshake are only closed after 10 s
            client.connect(str(nbd))
            assert client.recv(8) == b"NBDMAGIC"


def test_a_listener_may_be_one_of_the_sockets_that_always_exist(site: Site) -> None:
    socket = runtime(site) / "a.nbd"
    site.dsttool(
        "export", "mem:1M", "--name", "a", "-d", "--listen", f"nbd+unix:///?socket={socket}&mode=0666"
    )
    assert stat.S_IMODE(socket.stat().st_mode) == 0o666
    site.dsttool("daemon", "stop", "a")
