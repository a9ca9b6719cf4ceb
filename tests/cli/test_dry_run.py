"""--dry-run: everything is checked and said, and nothing is changed."""

import os
import socket
from pathlib import Path

import click

from cli.test_cli_tree import COMMANDS
from dsttool.cli.failure import run
from support.site import Site

MIRROR = ("--layout", "mirror", "--raw", "mem:1M", "mem:1M?name=b", "--assume-clean")

# Commands that change nothing, or only what they are given to write or are in the foreground anyway.
READING = {
    *("array list", "array show", "node list", "resync status", "policy show", "status", "iostat", "events"),
    *("tx list", "tx show", "wait", "uri", "info", "key show", "key list", "daemon list", "logs", "version"),
    *("schema", "ctl", "tui", "console", "completion", "man", "doctor"),
    *("config show", "config check", "config path"),
}


def takes_dry_run(command: click.Command) -> bool:
    return any("--dry-run" in parameter.opts for parameter in command.params)


def test_every_command_that_changes_something_can_say_what_it_would_do() -> None:
    without = {name for name, command in COMMANDS.items() if not takes_dry_run(command)}
    assert without - READING == set()


def test_a_command_that_has_nothing_to_rehearse_refuses_to() -> None:
    assert run(["--dry-run", "config", "path"]) == 2


def snapshot(site: Site) -> dict[str, tuple[int, bytes]]:
    """Every file below the site's folder but logs: mode and content."""
    found = {}
    for folder, _, names in os.walk(site.folder):
        for name in names:
            path = Path(folder) / name
            if path.is_file() and path.suffix != ".log":
                found[str(path)] = (path.stat().st_mode, path.read_bytes())
    return found


def would(site: Site, *words: object) -> list[str]:
    """What a command says it would do; nothing may be another afterwards."""
    files, status, running = snapshot(site), stable(site), site.processes()
    answer = site.json(*words, "--dry-run")
    assert answer["schema"] == "dsttool.dry_run/1"
    text = site.dsttool(*words, "--dry-run").stdout
    assert text == "".join(f"would {act}\n" for act in answer["would"] or ["change nothing"])
    assert (snapshot(site), stable(site), site.processes()) == (files, status, running)
    acts: list[str] = answer["would"]
    return acts


def stable(site: Site) -> object:
    """What the status says of states and policies, without figures that move by themselves."""
    found = site.json("status")
    members = [
        (array["name"], member["name"], member["state"])
        for array in found["arrays"]
        for member in array["members"]
    ]
    return members, [(each["name"], each["pid"], each["serves"]) for each in found["daemons"]]


def test_acts_on_a_running_array_are_said_and_not_done(site: Site) -> None:
    for name in ("a", "b"):
        site.export("mem:1M", name, "--security", "none")
    site.array("pool", "mirror", site.dst("a"), site.dst("b"), "--assume-clean")
    policy = site.json("policy", "show", "pool")
    suspend = would(site, "node", "suspend", "pool", "n1", "--for", "10m")
    assert suspend == [
        "suspend n1 of pool: it gets no requests for 10m; "
        "what is written meanwhile is copied to it once it is back"
    ]
    assert would(site, "policy", "set", "pool/n1", "resends=9") == ["set resends of pool/n1: 4 -> 9"]
    assert would(site, "policy", "set", "pool/n1", "resends=4") == []
    assert would(site, "resync", "pause", "pool") == ["pause the resyncs of pool: none now"]
    assert would(site, "resync", "start", "pool") == []
    (limit,) = would(site, "resync", "limit", "pool", "--ceiling", "500M")
    assert limit.endswith("else 500 MiB/s at most")
    assert would(site, "daemon", "tune", "pool", "--crypto-threads", "3") == [
        "have pool seal with 3 threads instead of 1"
    ]
    (down,) = would(site, "array", "down", "pool")
    assert down.startswith("end the daemon pool (process ")
    assert site.json("policy", "show", "pool") == policy
    site.dsttool("node", "suspend", "pool", "n1")
    assert would(site, "node", "resume", "pool", "n1")[0].startswith("resume n1 of pool: it gets requests")


REFUSED = [
    (("node", "suspend", "pool", "n9"), 3, "no member called n9"),
    (("node", "resume", "pool", "n0"), 8, "is not suspended"),
    (("policy", "set", "pool", "resends=2"), 8, "No member of pool has a link"),
    (("resync", "limit", "pool", "--floor", "2M", "--ceiling", "1M"), 2, "above the ceiling"),
    (("array", "down", "nope"), 3, "Nothing called nope is running"),
    (("array", "up", "pool", *MIRROR), 8, "pool is already running"),
    (("export", "mem:1M", "--name", "pool"), 8, "pool is already running"),
    (("export", "/no/such/file"), 3, "Cannot open /no/such/file"),
    (("array", "up", "new", "--layout", "mirror", "--raw", "/no/a", "/no/b"), 3, "new cannot come up"),
    (("cp", "mem:2M", "mem:1M"), 8, "does not fit"),
    (("key", "revoke", "nobody"), 3, "nobody"),
]


def test_what_would_be_refused_is_refused(site: Site) -> None:
    site.dsttool("array", "up", "pool", *MIRROR)
    for words, code, what in REFUSED:
        before = snapshot(site)
        done = site.dsttool(*words, "--dry-run", code=code)
        assert what in done.stderr
        assert done.stdout == ""
        assert snapshot(site) == before
    site.dsttool("array", "down", "pool")


def test_what_would_be_started_written_and_copied_is_looked_at_only(site: Site) -> None:
    source = site.file("source.img", 1 << 20, b"data")
    new = site.path("new.img")
    (serve,) = would(site, "export", source, "--name", "a")
    assert serve.startswith(f"serve {source} (1 MiB) as a, read-write, at nbd+unix:///?socket=")
    assert would(site, "export", new, "--name", "n", "--size", "1G")[0] == f"create {new} with 1 GiB, sparse"
    (up,) = would(site, "array", "up", "p", *MIRROR)
    assert up == "bring up p, 1 MiB: mirror of n0 (mem:1M), b (mem:1M)"
    (create,) = would(site, "array", "create", "p", *MIRROR[:-1])
    assert create.endswith("arrays/p.toml: mirror of mem:1M, mem:1M")
    assert would(site, "cp", source, new) == [f"create {new} and copy 1 MiB of {source} into it"]
    (over,) = would(site, "cp", source, "mem:4M")
    assert over == f"copy 1 MiB of {source} onto mem:4M, over what its first 1 MiB hold"


def test_keys_are_neither_made_nor_authorised_nor_revoked(site: Site) -> None:
    assert would(site, "key", "generate")[0].startswith("write a new private key to ")
    site.dsttool("key", "generate")
    public = site.json("key", "show")["keys"][0]["public"]
    assert would(site, "key", "authorize", public, "--name", "me") == ["let me use: all exports read-write"]
    site.dsttool("key", "authorize", public, "--name", "me")
    assert would(site, "key", "revoke", "me") == ["authorise me no more, and cut its links"]


def test_what_would_be_measured_recorded_and_demonstrated_is_said(site: Site) -> None:
    disk = site.file("disk.img", 1 << 20, b"keep me")
    (measured,) = would(site, "bench", disk, "--rw", "randwrite", "--time", "2s")
    assert (
        measured == f"overwrite what is at {disk}, 1 MiB, for 2 s: 32 requests of 4 KiB at once (randwrite)"
    )
    assert "at most" in site.dsttool("bench", disk, "--bs", "2M", "--dry-run", code=2).stderr
    (recorded,) = would(site, "record", "new", "--for", "10m")
    assert recorded == "record into new nothing, until daemons run, for 10m, 1 GiB at most"
    assert "exists already" in site.dsttool("record", disk, "--dry-run", code=8).stderr
    said = site.dsttool("demo", "--dry-run").stdout.splitlines()
    assert said[0].startswith("would make two sparse files")
    assert said[-1] == "would end all of it, and remove the folder"


def test_places_that_are_taken_or_cannot_be_made_are_refused_when_rehearsed(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        place = f"dst://127.0.0.1:{port}?security=none"
        said = site.dsttool("export", "mem:1M", "--listen", place, "--dry-run", code=8).stderr
        assert f"Cannot listen on 127.0.0.1:{port}: the address is in use." in said
        site.dsttool("array", "up", "p", *MIRROR, "--listen", place, "--dry-run", code=8)
    would(site, "export", "mem:1M", "--listen", place)  # free now, and left so by the rehearsal
    there, nowhere = (f"nbd+unix:///?socket={site.path(name)}" for name in ("s", "no/s"))
    assert (
        "there is no folder"
        in site.dsttool("export", "mem:1M", "--listen", nowhere, "--dry-run", code=3).stderr
    )
    would(site, "export", "mem:1M", "--listen", there)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site.path("s")))
        listener.listen()
        assert "in use" in site.dsttool("export", "mem:1M", "--listen", there, "--dry-run", code=8).stderr
