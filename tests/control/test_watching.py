"""The thread that follows daemons: they start, end, come back, die, and may be something else entirely."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsttool.engine.control import messages, watching
from dsttool.engine.control.picture import DaemonPicture, Picture, Update
from dsttool.engine.control.place import Local
from dsttool.engine.control.remote import Remote
from dsttool.engine.control.watching import Watch
from dsttool.engine.vocabulary import stream
from dsttool.engine.vocabulary.errors import Unreachable, UsageError
from support.site import wait_until
from support.watched import HELLO, WatchedDaemon, row


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[WatchedDaemon]:
    made = WatchedDaemon(tmp_path / "pool.sock")
    made.start()
    yield made
    made.close()


class Seen:
    """What a Watch tells, and the picture of it."""

    def __init__(self) -> None:
        self.updates: list[Update] = []
        self.picture = Picture()

    def __call__(self, update: Update) -> None:
        self.updates.append(update)
        self.picture.apply(update)

    def places(self) -> list[str]:
        """What was told about the place itself: why it is lost, or that it is not."""
        return [update.reason for update in self.updates if not update.daemon]

    def daemon(self, name: str = "pool") -> DaemonPicture:
        return self.picture.places["local"].daemons[name]

    def knows(self, name: str = "pool") -> bool:
        place = self.picture.places.get("local")
        known = place.daemons.get(name) if place is not None else None
        return known is not None and known.state is not None and known.lost_since_ns is None

    def lost(self, name: str = "pool") -> bool:
        place = self.picture.places.get("local")
        return place is not None and name in place.daemons and place.daemons[name].lost_since_ns is not None


@pytest.fixture
def seen() -> Seen:
    return Seen()


def test_a_daemon_that_hung_before_anybody_asked_it_is_told_to_be_lost(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process still takes connections, and says nothing; and then it goes on."""
    monkeypatch.setattr(watching, "ANSWER_SECONDS", 0.05)
    daemon = WatchedDaemon(tmp_path / "pool.sock")
    watch = Watch([Local(tmp_path)], seen)
    try:
        wait_until(seen.lost, "it is lost")
        assert seen.daemon().reason == "no answer within 0.05 s"
        daemon.start()
        wait_until(seen.knows, "it is known")
    finally:
        watch.close()
        daemon.close()


def test_a_daemon_is_followed_from_its_start_over_its_end_to_its_return(tmp_path: Path, seen: Seen) -> None:
    watch = Watch([Local(tmp_path / "run")], seen)
    try:
        wait_until((tmp_path / "run").exists, "the folder is made")
        for _ in range(2):
            daemon = WatchedDaemon(tmp_path / "run" / "pool.sock")
            daemon.start()
            os.utime(daemon.path)
            wait_until(seen.knows, "it is known")
            assert not seen.daemon().ended
            daemon.close()
            wait_until(seen.lost, "it is lost")
            assert seen.daemon().ended
            assert seen.daemon().reason == "The daemon has ended."
    finally:
        watch.close()


def test_a_filter_is_passed_on_to_all_of_them(tmp_path: Path, seen: Seen) -> None:
    daemons = [WatchedDaemon(tmp_path / f"{name}.sock") for name in ("a", "b")]
    for daemon in daemons:
        daemon.source.rows += [row(n) for n in range(3)]
        daemon.start()
    watch = Watch([Local(tmp_path)], seen, "id:1")
    try:
        wait_until(lambda: seen.knows("a") and seen.knows("b"), "both are known")
        assert [found.entry["id"] for found in seen.picture.transactions()] == [1, 1]
        with pytest.raises(UsageError):
            watch.set_filter("stat:x")
        watch.set_filter("id:2")
        wait_until(
            lambda: all(seen.daemon(name).filter == "id:2" for name in ("a", "b")), "both have the filter"
        )
        assert [found.entry["id"] for found in seen.picture.transactions()] == [2, 2]
    finally:
        watch.close()
        for daemon in daemons:
            daemon.close()


def test_a_dead_socket_is_told_of_once_and_not_tried_again(tmp_path: Path, seen: Seen) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "pool.sock"))
    dead.close()
    watch = Watch([Local(tmp_path)], seen)
    try:
        wait_until(lambda: bool(seen.updates), "it is told of")
        (tmp_path / "news").touch()
        time.sleep(0.2)
    finally:
        watch.close()
    assert len(seen.updates) == 1
    assert "connection refused" in seen.updates[0].reason


def test_one_that_talks_nonsense_is_left_and_tried_again_after_a_pause(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PAUSE_FIRST", 0.05)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "pool.sock"))
        listener.listen(4)
        listener.settimeout(10)
        watch = Watch([Local(tmp_path)], seen)
        try:
            for nonsense in (b"HTTP/1.1 200 OK\r\n", b"\xff" * 100 + b"\n", b"[]\n", b'{"schema":"x"}\n'):
                connection, _ = listener.accept()
                connection.sendall(nonsense)
                assert b"watch" in connection.recv(4096)
                connection.settimeout(10)
                assert connection.recv(1) == b""
                connection.close()
            refused, _ = listener.accept()
            refused.sendall(messages.pack_failure(UsageError("This daemon knows no command 'watch'.")))
            wait_until(lambda: "knows no command" in seen.daemon().reason, "the refusal is told")
            refused.close()
        finally:
            watch.close()
    assert all(update.frame is None for update in seen.updates)


def test_one_whose_way_is_lost_is_told_of_with_the_reason(tmp_path: Path, seen: Seen) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "pool.sock"))
        listener.listen(4)
        listener.settimeout(10)
        watch = Watch([Local(tmp_path)], seen)
        try:
            connection, _ = listener.accept()
            with connection:
                hello = {"schema": stream.SCHEMA, "type": "hello", "sequence": 1, "time_ns": 1, **HELLO}
                connection.sendall(json.dumps(hello).encode() + b"\n")
                connection.sendall(messages.pack_failure(UsageError("This daemon knows no such filter.")))
                connection.sendall(messages.pack_failure(Unreachable("The connection to box ended.")))
                wait_until(seen.lost, "it is lost")
            assert seen.daemon().reason == "The connection to box ended."
        finally:
            watch.close()


def test_a_line_without_end_is_cut_off(tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "FRAME_BYTES_MAX", 100_000)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "pool.sock"))
        listener.listen(4)
        listener.settimeout(10)
        watch = Watch([Local(tmp_path)], seen)
        try:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                with pytest.raises(OSError, match=r"Broken pipe|reset"):
                    connection.sendall(b"x" * 10_000_000)
            wait_until(seen.lost, "it is lost")
            assert seen.daemon().reason == "The daemon's frame is too long."
        finally:
            watch.close()


def test_a_machine_that_cannot_be_reached_is_tried_less_and_less_often_and_stays_lost_meanwhile(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PAUSE_FIRST", 0.01)
    pauses: list[float] = []
    lose = Watch._lose_place

    def noted(watch: Watch, around: watching._Surroundings, error: Exception) -> None:
        pauses.append(around.pause)
        lose(watch, around, error)

    monkeypatch.setattr(Watch, "_lose_place", noted)
    monkeypatch.setenv("DSTTOOL_SSH", "false")
    place = Remote("ssh://box")
    watch = Watch([place], seen)
    try:
        wait_until(lambda: len(pauses) >= 4, "it is tried again and again")
    finally:
        watch.close()
        place.close()
    assert pauses[:4] == [0.01, 0.02, 0.04, 0.08]
    assert all("The connection to box ended" in reason for reason in seen.places())


def test_a_folder_that_is_moved_away_is_watched_no_more(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PAUSE_FIRST", 0.05)
    folder = tmp_path / "run"
    folder.mkdir()
    watch = Watch([Local(folder)], seen)
    try:
        wait_until(lambda: watch._surroundings[0].names is not None, "it is watched")
        folder.rename(tmp_path / "moved")
        wait_until(lambda: seen.places()[-1:] == [""], "another is made and watched")
        assert "was removed" in seen.places()[-2]
    finally:
        watch.close()


def test_a_folder_that_is_removed_and_made_again_is_watched_again(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PAUSE_FIRST", 0.05)
    folder = tmp_path / "run"
    folder.mkdir()
    watch = None
    try:
        for _ in range(2):
            daemon = WatchedDaemon(folder / "pool.sock")
            daemon.start()
            watch = watch or Watch([Local(folder)], seen)
            wait_until(seen.knows, "it is known")
            daemon.close()
            wait_until(seen.lost, "it is lost")
            folder.rmdir()
            wait_until(lambda: seen.places()[-1:] == [""] and folder.exists(), "it is lost and found")
            assert "was removed" in seen.places()[-2]
    finally:
        if watch is not None:
            watch.close()


def test_a_watch_can_be_ended_from_within_and_while_it_waits(daemon: WatchedDaemon, seen: Seen) -> None:
    watches: list[Watch] = []
    made = threading.Event()

    def end(update: Update) -> None:
        seen(update)
        if update.frame is not None and update.frame["type"] == "snapshot":
            made.wait(60)
            watches[0].close()

    watches.append(Watch([Local(daemon.path.parent)], end))
    made.set()
    wait_until(lambda: not watches[0]._thread.is_alive(), "it has ended")
    assert [update.frame and update.frame["type"] for update in seen.updates] == ["hello", "snapshot"]
    nowhere = Watch([], seen)
    nowhere.close()
    with pytest.raises(UsageError):
        Watch([], seen, "stat:x")
