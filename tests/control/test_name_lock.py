"""One daemon per name, and none that died in the way."""

import os
import threading
import time
from pathlib import Path

import pytest

from dsttool.engine.config import paths
from dsttool.engine.control import lock as lock_room
from dsttool.engine.control.lock import NameLock
from dsttool.engine.vocabulary.errors import Conflict


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DSTTOOL_RUNTIME_DIR", str(tmp_path / "r"))
    monkeypatch.setattr(lock_room, "LOCK_PATIENCE_S", 0.1)
    return tmp_path / "r"


def test_a_name_is_held_once_and_free_again_after_release(runtime: Path) -> None:
    with NameLock(["a"]) as lock:
        lock.note_pid()
        assert paths.lock_file("a").read_text() == f"{os.getpid()}\n"
        with pytest.raises(Conflict, match="a is already running"):
            NameLock(["a"])
    assert not list(runtime.iterdir())
    NameLock(["a"]).release()


def test_a_lock_file_that_nobody_holds_is_taken_over(runtime: Path) -> None:
    NameLock(["x"]).release()
    paths.lock_file("a").write_text("999999\n")
    with NameLock(["a"]) as lock:
        lock.note_pid()
        assert paths.lock_file("a").read_text() == f"{os.getpid()}\n"


def test_of_several_names_either_all_are_held_or_none(runtime: Path) -> None:
    with NameLock(["b"]):
        with pytest.raises(Conflict, match="b is already running"):
            NameLock(["a", "b", "c"])
        NameLock(["a", "c"]).release()


def test_a_process_that_dies_lets_go(runtime: Path) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        NameLock(["a"])
        os.write(writer, b"!")
        os._exit(0)
    os.read(reader, 1)
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)
    assert paths.lock_file("a").exists()
    NameLock(["a"]).release()


def test_a_lock_whose_holder_is_just_dying_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_room, "LOCK_PATIENCE_S", 20.0)
    holder = NameLock(["a"])
    death = threading.Timer(0.2, holder.release)
    began = time.monotonic()
    death.start()
    NameLock(["a"]).release()
    waited = time.monotonic() - began
    death.join()
    assert 0.1 < waited < 20


def test_a_lock_whose_holder_lives_is_refused_once_patience_ends() -> None:
    with NameLock(["a"]):
        began = time.monotonic()
        with pytest.raises(Conflict, match="a is already running"):
            NameLock(["a"])
        assert time.monotonic() - began >= 0.1
