"""`doctor`: each check sees what is broken, says what to do, and is content with what is not."""

import json
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dsttool.cli import doctor_files, doctor_system
from dsttool.cli.doctor import CHECKS, examine
from dsttool.cli.doctor_checks import Patient
from dsttool.cli.failure import run
from dsttool.engine.config import keys
from dsttool.engine.control import gathering
from dsttool.engine.control.place import Local
from dsttool.engine.vocabulary.errors import Forbidden
from support.far_machine import FarMachine
from support.ports import free_port
from support.site import Site, wait_until

Finding = dict[str, Any]


def examined(site: Site, *words: str, code: int | None = None) -> list[Finding]:
    """The findings, each of which says what to do if something is to be done."""
    done = site.dsttool("doctor", *words, "--json", code=code)
    answer = json.loads(done.stdout)
    assert answer["schema"] == "dsttool.doctor/1"
    findings: list[Finding] = answer["findings"]
    assert sum(answer["counts"].values()) == len(findings)
    assert done.returncode == (1 if answer["counts"]["failed"] else 0)
    for each in findings:
        assert each["says"], each
        assert each["advice"] or each["state"] in ("ok", "unknown"), each
    return findings


def of(findings: list[Finding], check: str, subject: str = "") -> Finding:
    """The one finding of a check about something."""
    (found,) = [
        each
        for each in findings
        if each["check"] == check and each["subject"].endswith(subject or each["subject"])
    ]
    return found


@pytest.fixture
def folder(site: Site) -> Path:
    """The configuration folder, whose arrays and exports can be written into."""
    folder = site.path("config")
    for name in ("arrays", "exports"):
        (folder / name).mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    return folder


def array(folder: Path, name: str, *nodes: object, more: str = "") -> None:
    listed = ", ".join(f'"{node}"' for node in nodes)
    (folder / f"arrays/{name}.toml").write_text(f'layout = "mirror"\nraw = true\nnodes = [{listed}]\n{more}')


def test_nothing_has_failed_where_nothing_is_configured(site: Site) -> None:
    findings = examined(site, code=0)
    assert {of(findings, check)["state"] for check in ("version.dsttool", "library.ciphers", "config")} == {
        "ok"
    }
    assert "made when it is needed" in of(findings, "folder.state")["says"]
    assert not site.path("state").exists()
    assert not site.path("runtime").exists()


def test_people_get_a_table_and_totals(site: Site) -> None:
    lines = site.dsttool("doctor").stdout.splitlines()
    assert lines[0].split() == ["CHECK", "STATE", "WHAT", "ADVICE"]
    assert lines[1].startswith("version.dsttool")
    assert lines[-1].endswith(" ok.")


def test_a_check_that_cannot_be_made_is_a_finding_and_the_others_are_made() -> None:
    def broken(_: Patient) -> Iterator[Any]:
        raise Forbidden("Nobody may look.", "Ask somebody.")

    def sick(_: Patient) -> Iterator[Any]:
        raise OSError(5, "Input/output error")

    found = list(examine(Patient(), {"a": broken, "b": sick, "version": CHECKS["version"]}))
    assert [each["state"] for each in found] == ["unknown", "unknown", "ok", "ok"]
    assert found[0]["says"] == "It cannot be checked: Nobody may look."
    assert found[0]["advice"] == "Ask somebody."


def test_a_library_that_is_not_there_is_seen(site: Site) -> None:
    shim = site.path("shim")
    shim.mkdir()
    (shim / "cryptography.py").write_text("raise ImportError('it is broken')\n")
    site.env["PYTHONPATH"] = os.pathsep.join((str(shim), *filter(None, sys.path)))
    found = of(examined(site, code=1), "library.ciphers")
    assert found["state"] == "failed"
    assert "it is broken" in found["says"]
    assert "pip install" in found["advice"]


@pytest.mark.parametrize(("limit", "state"), [("64", "failed"), ("512", "warning")])
def test_too_few_open_files_are_seen(site: Site, limit: str, state: str) -> None:
    script = f"ulimit -n {limit}; exec {sys.executable} -m dsttool doctor -o plain"
    lines = site.run("sh", "-c", script, code=None).stdout.splitlines()
    (found,) = [line.split("\t") for line in lines if line.startswith("limits.files")]
    assert found[1] == state
    assert f"may have {limit} files open" in found[2]
    assert "LimitNOFILE" in found[3]


def nbd(root: Path) -> Finding:
    (found,) = doctor_system.nbd_below(root, "6.1")
    return dict(found)


def test_the_kernels_nbd_is_looked_for_where_it_may_be(tmp_path: Path) -> None:
    assert nbd(tmp_path)["state"] == "unknown"
    modules = tmp_path / "lib/modules/6.1"
    modules.mkdir(parents=True)
    (modules / "modules.dep").write_text("kernel/drivers/block/loop.ko:\n")
    assert nbd(tmp_path)["state"] == "warning"
    (modules / "modules.dep").write_text("kernel/drivers/block/nbd.ko.xz:\n")
    assert (nbd(tmp_path)["state"], nbd(tmp_path)["advice"]) == ("ok", "For nbd-client: modprobe nbd")
    (tmp_path / "sys/module/nbd").mkdir(parents=True)
    assert nbd(tmp_path)["state"] == "warning"
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nbd0").touch()
    assert "may be used" in nbd(tmp_path)["says"]


def test_the_clock_is_what_the_kernel_says(monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    for state in (0, 5, None):
        monkeypatch.setattr(doctor_system, "_adjtimex", lambda state=state: state)
        states.append([each["state"] for each in doctor_system.local_clock(Patient())])
    assert states == [["ok"], ["warning"], ["unknown"]]
    monkeypatch.undo()
    assert platform.system() != "Linux" or doctor_system._adjtimex() is not None


def test_the_service_manager_is_asked_for_its_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(says: str) -> list[tuple[str, str]]:
        (tmp_path / "systemctl").write_text(f"#!/bin/sh\n{says}\n")
        (tmp_path / "systemctl").chmod(0o755)
        return [(each["state"], each["subject"]) for each in doctor_system.units_of(tmp_path)]

    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    unit = '[{"unit":"dsttool-array@pool.service","active":"%s"}]'
    assert found(f"echo '{unit % 'active'}'") == [("ok", "dsttool-array@pool.service")]
    assert found(f"echo '{unit % 'failed'}'") == [("failed", "dsttool-array@pool.service")]
    assert found("echo '[]'") == []
    assert found("exit 1") == [("unknown", "")]
    assert list(doctor_system.units_of(tmp_path / "no systemd")) == []


def test_a_folder_that_others_may_write_has_failed(site: Site) -> None:
    for kind in ("config", "runtime", "state"):
        site.path(kind).mkdir(mode=0o700)
    assert {of(examined(site), f"folder.{kind}")["state"] for kind in ("config", "runtime", "state")} == {
        "ok"
    }
    site.path("state").chmod(0o777)
    found = of(examined(site, code=1), "folder.state")
    assert "Other users may write there (mode 0777)." in found["says"]
    assert found["advice"] == f"chmod 700 {site.path('state')}"


def test_a_folder_that_may_not_be_looked_at_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)  # as it does below a folder of somebody else
    (found,) = doctor_files.folder("folder.state", tmp_path / "state")
    assert found["state"] == "ok"
    monkeypatch.setattr(os, "access", lambda *_: False)
    (found,) = doctor_files.folder("folder.state", tmp_path / "state")
    assert found["says"] == f"{tmp_path} cannot be written."
    assert found["advice"] == "Run as who may, or use another: DSTTOOL_STATE_DIR."


def test_everything_else_is_examined_where_nobody_may_look_for_daemons(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise Forbidden("Cannot look into /run/dsttool: Permission denied.", "Run as who may.")

    monkeypatch.setattr(gathering, "gather", refuse)
    run(["doctor", "--json"])
    checks = {each["check"] for each in json.loads(capsys.readouterr().out)["findings"]}
    assert {"version.python", "folder.runtime", "config"} <= checks


def test_a_folder_that_is_none_and_one_without_room_have_failed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    states = []
    for path, least, wanted in (
        (tmp_path / "file", 0, 0),
        (tmp_path, 1 << 62, 1 << 62),
        (tmp_path, 0, 1 << 62),
        (tmp_path, 0, 0),
    ):
        states += [each["state"] for each in doctor_files.folder("folder.state", path, least, wanted)]
    assert states == ["failed", "failed", "warning", "ok"]


def test_a_name_whose_sockets_have_no_room_in_an_address_has_failed(site: Site, folder: Path) -> None:
    site.env["DSTTOOL_RUNTIME_DIR"] = str(site.path("r" * 60))
    array(folder, "pool", "mem:1M", "mem:2M")
    assert [each for each in examined(site) if each["check"] == "folder.sockets"] == []
    array(folder, "p" * 60, "mem:1M", "mem:2M")
    assert of(examined(site, code=1), "folder.sockets")["state"] == "failed"


def test_a_key_that_others_may_read_or_that_is_damaged_has_failed(site: Site) -> None:
    site.dsttool("key", "generate")
    key = site.path("config/keys/client.key")
    assert of(examined(site, code=0), "key.client")["says"].startswith("A private key, ")
    key.chmod(0o644)
    found = of(examined(site, code=1), "key.client")
    assert "Other users have access" in found["says"]
    assert "chmod 600" in found["advice"]
    key.chmod(0o600)
    key.write_text(key.read_text()[:-10])
    assert "damaged" in of(examined(site, code=1), "key.client")["says"]


def test_keys_that_are_named_or_used_are_read(site: Site, folder: Path) -> None:
    (folder / "dsttool.toml").write_text('[keys]\nlab = "lab.key"\n')
    array(folder, "pool", "dst://a/b?key=lab", "mem:1M")
    findings = examined(site, "--timeout", "1s", code=1)
    assert of(findings, "key.lab")["state"] == of(findings, "key.of.pool")["state"] == "failed"
    site.dsttool("key", "generate", "--shared", folder / "lab.key")
    findings = examined(site, "--timeout", "1s")
    assert of(findings, "key.lab")["state"] == of(findings, "key.of.pool")["state"] == "ok"


def test_rights_to_what_is_not_there_are_seen(site: Site, folder: Path) -> None:
    assert of(examined(site, code=0), "key.authorized")["says"] == "No keys of clients."
    public = keys.format_public(keys.generate_private().public)
    site.dsttool("key", "authorize", public, "--export", "disk", "--name", "laptop")
    found = of(examined(site, code=0), "key.authorized")
    assert found["state"] == "warning"
    assert found["says"] == "The key laptop may use disk, and nothing of that name is configured or runs."
    (folder / "exports/disk.toml").write_text('device = "mem:1M"\n')
    assert of(examined(site, code=0), "key.authorized")["state"] == "ok"
    listed = folder / "keys/authorized.toml"
    listed.write_text(f'[[keys]]\nkey = "{public}"\n')
    assert "may use nothing" in of(examined(site, code=0), "key.authorized")["says"]
    listed.chmod(0o666)
    assert of(examined(site, code=1), "key.authorized")["state"] == "failed"


def test_every_mistake_in_the_configuration_is_a_finding_at_its_place(site: Site, folder: Path) -> None:
    (folder / "exports/a.toml").write_text("devise = 'mem:1M'\nsize = 'x'\n")
    found = [each for each in examined(site, code=1) if each["check"] == "config"]
    assert sorted(each["subject"].rpartition("a.toml")[2] for each in found) == [":1:1", ":1:1", ":2:8"]


def test_what_a_daemon_left_that_died_is_seen(site: Site) -> None:
    daemon = site.export("mem:1M", "a")
    findings = examined(site, code=0)
    assert of(findings, "daemon", "a")["says"] == "It answers: serving."
    assert not [each for each in findings if each["check"] == "leftovers"]
    daemon.kill()
    found = of(examined(site, code=0), "leftovers", "a")
    assert found["state"] == "warning"
    assert "a.dst, a.lock, a.nbd, a.sock" in found["says"]
    site.dsttool("daemon", "stop", "a", code=3)
    (site.path("runtime") / "b.lock").touch()
    assert [each["subject"] for each in examined(site, code=0) if each["check"] == "leftovers"] == ["b"]


def test_a_place_in_the_runtime_folder_that_is_listened_at_is_not_left_over(site: Site) -> None:
    place = f"dst+unix:///?socket={site.path('runtime/shared.dst')}"
    done = site.dsttool("export", "mem:1M", "--name", "a", "--listen", place, "-d")
    assert "shared.dst" in done.stdout
    assert not [each for each in examined(site, code=0) if each["check"] == "leftovers"]
    site.dsttool("daemon", "stop", "a")


def test_a_daemon_that_does_not_answer_has_failed(site: Site) -> None:
    daemon = site.export("mem:1M", "a")
    daemon.process.send_signal(signal.SIGSTOP)
    found = of(examined(site, "--timeout", "300ms", code=1), "daemon", "a")
    assert found["says"].startswith("It does not answer: ")
    daemon.process.send_signal(signal.SIGCONT)


def test_a_daemon_of_another_release_is_worth_a_look(site: Site) -> None:
    site.export("mem:1M", "a")
    script = "import dsttool; dsttool.__version__ = '99'; from dsttool.__main__ import main; main()"
    done = site.run(sys.executable, "-c", script, "doctor", "-o", "plain")
    (line,) = [line.split("\t") for line in done.stdout.splitlines() if line.startswith("daemon\t")]
    assert line[1] == "warning"
    assert "and this is 99." in line[2]


def test_a_port_that_another_program_has_is_seen_and_our_own_is_ours(site: Site, folder: Path) -> None:
    port = free_port()
    (folder / "exports/a.toml").write_text(f'device = "mem:1M"\nlisten = ["nbd://127.0.0.1:{port}"]\n')
    assert of(examined(site, code=0), "listen", "a")["says"].endswith("is free.")
    with socket.create_server(("127.0.0.1", port)):
        found = of(examined(site, code=1), "listen", "a")
        assert "cannot be listened on: Address already in use" in found["says"]
        assert f"sport = :{port}" in found["advice"]
    site.dsttool("export", "a", "-d")
    assert of(examined(site, code=0), "listen", "a")["says"].endswith("is served by it.")
    site.dsttool("daemon", "stop", "a")


@pytest.mark.parametrize("place", ["nbd://192.0.2.1:9999?security=none", "nbd+unix:///?socket=/nowhere/x/s"])
def test_a_place_where_nothing_can_listen_has_failed(site: Site, folder: Path, place: str) -> None:
    (folder / "exports/a.toml").write_text(f'device = "mem:1M"\nlisten = ["{place}"]\n')
    assert of(examined(site, code=1), "listen", "a")["state"] == "failed"


def test_nodes_of_arrays_that_are_down_are_tried_all_at_once(site: Site, folder: Path) -> None:
    site.export("mem:1M", "a")
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(str(site.path("silent")))
    silent.listen()
    nodes = [site.dst("a"), site.nbd("a"), "/nowhere/disk", site.dst("b")]
    nodes += [f"dst+unix:///x{i}?socket={site.path('silent')}" for i in range(8)]
    array(folder, "pool", *nodes)
    findings = examined(site, "--timeout", "4s", code=1)
    silent.close()
    states = [each["state"] for each in findings if each["check"] == "node"]
    assert states == ["ok", "ok"] + 10 * ["failed"]
    assert of(findings, "node", "pool/n0")["says"].endswith("It speaks DST/2.")


def test_nodes_of_arrays_that_run_are_asked_for(site: Site) -> None:
    first, second = site.export("mem:1M", "a"), site.export("mem:1M", "b")
    site.array("pool", "mirror", site.dst("a"), site.dst("b"), "--assume-clean")
    findings = examined(site, "pool", code=0)
    assert [each["state"] for each in findings if each["check"] == "node"] == ["ok", "ok"]
    assert [each["subject"] for each in findings if each["check"] == "daemon"] == ["pool"]
    second.kill()
    wait_until(
        lambda: site.json("node", "list", "pool")["members"][1]["link"]["state"] != "up", "the link is down"
    )
    assert of(examined(site, "pool", code=1), "node", "pool/n1")["state"] == "failed"
    assert first.process.poll() is None


def test_what_nobody_knows_is_not_found(site: Site, folder: Path) -> None:
    array(folder, "pool", "mem:1M", "mem:2M")
    assert "Did you mean pool?" in site.dsttool("doctor", "pol", code=3).stderr


def test_only_what_is_named_is_looked_at(site: Site, folder: Path) -> None:
    array(folder, "pool", "mem:1M", "mem:2M")
    array(folder, "bad", "/nowhere/x")
    (folder / "exports/worse.toml").write_text("x = 1\n")
    assert {each["state"] for each in examined(site, "pool") if each["check"] in ("config", "node")} == {"ok"}


def test_other_machines_are_asked_too_and_their_clocks_compared(site: Site) -> None:
    with Site() as far:
        FarMachine(site, far)
        findings = examined(site, "--host", "ssh://box", code=0)
        assert of(findings, "host", "box")["says"] == "It can be asked, and runs no daemons."
        assert of(findings, "clock.remote", "box")["state"] == "unknown"
        far.dsttool("export", "mem:1M", "--name", "x", "-d")
        assert of(examined(site, "--host", "ssh://box"), "clock.remote")["says"] == "The clocks agree."
        far.dsttool("daemon", "stop", "x")
    found = of(examined(site, "--host", "ssh://nowhere", code=1), "host", "nowhere")
    assert "No route to host" in found["says"]


def test_clocks_that_are_apart_are_seen(site: Site) -> None:
    site.export("mem:1M", "a")
    place = Local(site.path("runtime"), "there")
    for skew, state in ((0, "ok"), (60, "warning"), (-60, "warning")):
        found = list(doctor_system.clock_of(place, lambda skew=skew: time.time_ns() + skew * 10**9, 5.0))
        assert [each["state"] for each in found] == [state]
