"""A name's log belongs to the daemon that holds the name."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dsttool.engine.config import paths
from dsttool.engine.control import lock
from dsttool.engine.control.lock import NameLock
from dsttool.engine.host import daemon
from dsttool.engine.host.logs import LOG_BYTES_KEPT
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError
from support.site import Site


def never(_lock: NameLock, _ready: daemon.Ready) -> int:
    raise AssertionError("it served without its name")


def test_a_start_that_is_refused_neither_moves_nor_writes_the_log_of_the_one_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSTTOOL_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setattr(lock, "LOCK_PATIENCE_S", 0.0)
    with NameLock(["a"]):
        log = paths.log_file("a")
        log.touch()
        long = 2 * LOG_BYTES_KEPT
        with log.open("r+b") as file:
            file.truncate(long)
        with pytest.raises(Conflict, match="a is already running"):
            daemon.detach(["a"], never)
        assert log.stat().st_size == long
        assert not log.with_suffix(".log.1").exists()


def test_a_long_log_is_put_aside_when_its_daemon_starts_again(site: Site) -> None:
    folder = Path(site.env["DSTTOOL_RUNTIME_DIR"])
    folder.mkdir(mode=0o700)
    with (folder / "a.log").open("wb") as file:
        file.truncate(2 * LOG_BYTES_KEPT)
    site.dsttool("export", "mem:1M", "--name", "a", "-d")
    assert (folder / "a.log.1").stat().st_size == 2 * LOG_BYTES_KEPT
    assert site.dsttool("logs", "a").stdout.count("a is ready") == 1
    site.dsttool("daemon", "stop", "a")


def test_a_daemon_keeps_nothing_open_of_who_started_it(site: Site) -> None:
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "dsttool", "export", "mem:1M", "--name", "a", "-d", "--quiet"]
    subprocess.run(command, env=site.env, pass_fds=(writer,), check=True, timeout=60)
    os.close(writer)
    os.set_blocking(reader, False)
    assert os.read(reader, 1) == b"", "the pipe has ended"
    os.close(reader)
    site.dsttool("daemon", "stop", "a")


def test_why_a_start_failed_is_told_and_in_the_log(site: Site) -> None:
    assert "No such file" in site.dsttool("export", "/no/such/file", "--name", "a", "-d", code=3).stderr
    assert "No such file" in site.dsttool("logs", "a").stdout


def test_what_the_system_refuses_at_the_start_is_told_as_a_sentence(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSTTOOL_RUNTIME_DIR", str(site.path("runtime")))

    def serve(_lock: NameLock, _ready: daemon.Ready) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DsttoolError) as caught:
        daemon.detach(["a"], serve)
    assert caught.value.what == "Cannot start a: No space left on device."
