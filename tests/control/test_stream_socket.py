"""The stream over real sockets: those who read, those who do not, those who talk nonsense, and too many."""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dsttool.engine.control import broadcast, client, messages, server
from dsttool.engine.control.picture import DaemonPicture, Update
from support.site import wait_until
from support.watched import WatchedDaemon, row


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[WatchedDaemon]:
    made = WatchedDaemon(tmp_path / "pool.sock")
    made.start()
    yield made
    made.close()


class Raw:
    """One that watches by hand."""

    def __init__(self, daemon: WatchedDaemon, receive_bytes: int = 0) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(10)
        self.socket.connect(str(daemon.path))
        self._lines = self.socket.makefile("rb")

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self.socket.close()

    def watch(self, **arguments: Any) -> None:
        self.socket.sendall(messages.pack_command("watch", arguments))

    def line(self) -> Any:
        return json.loads(self._lines.readline() or b"null")

    def until_change(self, part: str) -> Any:
        """The next delta that changes this part of the state."""
        while True:
            frame = self.until("delta")
            if any(path[0] == part for path, _ in frame["changes"]):
                return frame

    def until(self, kind: str) -> Any:
        """The next frame of this type."""
        while True:
            frame = self.line()
            assert frame is not None, f"no {kind} came"
            if frame["type"] == kind:
                return frame


def on_reactor(daemon: WatchedDaemon, call: Callable[[], Any]) -> None:
    daemon.reactor.post(lambda: call() and None)


def set_rows(daemon: WatchedDaemon, count: int, **fields: Any) -> None:
    rows = [row(n, **fields) for n in range(count)]
    on_reactor(daemon, lambda: daemon.source.rows.__setitem__(slice(None), rows))


def test_a_connection_becomes_a_stream(daemon: WatchedDaemon) -> None:
    with Raw(daemon) as raw:
        raw.watch()
        hello, snapshot = raw.line(), raw.line()
        assert (hello["type"], hello["instance"]) == ("hello", "0123456789abcdef")
        assert snapshot["state"]["arrays"]["pool"]["state"] == "online"
        on_reactor(daemon, lambda: daemon.source.arrays["pool"].update(state="degraded"))
        assert [["arrays", "pool", "state"], "degraded"] in raw.until("delta")["changes"]


def test_an_event_arrives_at_once(daemon: WatchedDaemon) -> None:
    with Raw(daemon) as raw:
        raw.watch()
        raw.until("snapshot")
        on_reactor(daemon, lambda: daemon.events.add("error", "link.lost", "pool", "n0", "It is lost."))
        assert raw.until("event")["event"]["text"] == "It is lost."


def test_a_daemon_that_ends_says_goodbye(tmp_path: Path) -> None:
    daemon = WatchedDaemon(tmp_path / "pool.sock")
    daemon.start()
    with Raw(daemon) as raw:
        raw.watch()
        raw.until("snapshot")
        daemon.close()
        assert raw.until("bye")["reason"] == "The daemon has ended."
        assert raw.line() is None


def test_another_filter_gives_a_new_snapshot_and_a_bad_one_an_error(daemon: WatchedDaemon) -> None:
    set_rows(daemon, 3, op="READ")
    with Raw(daemon) as raw:
        raw.watch(filter="op:write")
        assert raw.until("snapshot")["state"]["transactions"]["matched"] == 0
        raw.watch(filter="stat:resend")
        while "ok" not in (answer := raw.line()):
            pass
        assert answer["error"]["advice"] == "Did you mean state:resend?"
        raw.watch(filter="op:read")
        snapshot = raw.until("snapshot")
        assert (snapshot["filter"], snapshot["state"]["transactions"]["matched"]) == ("op:read", 3)


def test_a_first_filter_that_is_none_is_refused_and_the_conversation_goes_on(daemon: WatchedDaemon) -> None:
    with Raw(daemon) as raw:
        raw.watch(filter="-")
        assert raw.line()["ok"] is False
        raw.socket.sendall(messages.pack_command("echo", {"a": 1}))
        assert raw.line()["result"] == {"a": 1}
        raw.watch()
        assert raw.line()["type"] == "hello"


def test_a_filter_that_is_no_text_is_refused(daemon: WatchedDaemon) -> None:
    with Raw(daemon) as raw:
        raw.watch(filter="\udcff")
        assert raw.line()["error"]["what"] == "The filter holds what is no text."
        raw.watch()
        assert raw.line()["type"] == "hello"


def test_names_of_files_that_are_no_text_are_shown(daemon: WatchedDaemon) -> None:
    on_reactor(daemon, lambda: daemon.source.arrays["pool"].update(device=os.fsdecode(b"/x\xff.img")))
    with Raw(daemon) as raw:
        raw.watch()
        assert raw.until("snapshot")["state"]["arrays"]["pool"]["device"] == "/x\\xff.img"


def test_a_fault_in_one_conversation_ends_no_other(
    daemon: WatchedDaemon, caplog: pytest.LogCaptureFixture
) -> None:
    with Raw(daemon) as raw, Raw(daemon) as other:
        raw.watch()
        raw.until("snapshot")
        on_reactor(daemon, lambda: daemon.source.arrays["pool"].update(state=object()))
        while raw.line() is not None:
            pass
        other.socket.sendall(messages.pack_command("echo", {"a": 1}))
        assert other.line()["result"] == {"a": 1}
    assert "a control conversation failed" in caplog.text


def test_a_stream_takes_no_other_commands(daemon: WatchedDaemon) -> None:
    with Raw(daemon) as raw:
        raw.watch()
        raw.until("snapshot")
        raw.socket.sendall(messages.pack_command("echo", {}) + b"garbage\n")
        for what in ("This connection is a stream.", "The control message is not JSON."):
            while "ok" not in (answer := raw.line()):
                pass
            assert answer["error"]["what"] == what
        assert raw.until("delta")["sequence"] > 2


def test_one_who_does_not_read_misses_deltas_disturbs_nobody_and_has_all_in_the_end(
    daemon: WatchedDaemon,
) -> None:
    set_rows(daemon, 200)
    with Raw(daemon, 4096) as slow, Raw(daemon) as fast:
        for raw in (slow, fast):
            raw.watch()
        fast.until("snapshot")
        picture = DaemonPicture()
        for n in range(14):  # about 50 KB each, and a socket takes four of them
            set_rows(daemon, 200, attempts=n + 2)
            assert fast.until_change("transactions")["dropped"] == 0
        on_reactor(daemon, daemon.source.rows.clear)
        on_reactor(daemon, lambda: daemon.source.arrays.update(new={"name": "new"}))
        assert fast.until_change("arrays")["dropped"] == 0
        while picture.state is None or "new" not in picture.state["arrays"]:
            picture.apply(Update("", "pool", 0, slow.line()))
        assert picture.dropped > 0
        assert set(picture.state["arrays"]) == {"pool", "new"}
        assert picture.state["transactions"]["rows"] == []


def test_one_who_is_stuck_is_hung_up_on(daemon: WatchedDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "WATCHER_TIMEOUT", 0.2)
    set_rows(daemon, 200)
    with Raw(daemon, 4096) as raw:
        raw.watch()
        wait_until(lambda: bool(daemon.broadcast._watchers), "it watches")
        change = iter(range(10**9))
        deadline = time.monotonic() + 20
        while daemon.broadcast._watchers:
            assert time.monotonic() < deadline
            set_rows(daemon, 200, attempts=next(change))
            time.sleep(0.05)


def test_a_thousand_come_and_go_and_nothing_is_left(daemon: WatchedDaemon) -> None:
    for n in range(1000):
        with Raw(daemon) as raw:
            raw.watch(filter=f"id:{n}")
            if n % 50 == 0:
                raw.until("snapshot")
    wait_until(lambda: not daemon.server._conversations, "all are gone")
    assert not daemon.broadcast._watchers
    assert not daemon.broadcast._views
    with client.Client(daemon.path) as asked:
        assert asked.call("echo", a=1) == {"a": 1}


def test_watchers_take_no_room_from_commands_and_are_bounded_themselves(daemon: WatchedDaemon) -> None:
    watchers = [Raw(daemon) for _ in range(broadcast.WATCHERS_MAX)]
    idle = []
    try:
        for raw in watchers:
            raw.watch()
            raw.until("snapshot")
        idle = [Raw(daemon) for _ in range(server.CONNECTIONS_MAX + 8)]
        with Raw(daemon) as late:
            late.watch()
            assert "watch this daemon already" in late.line()["error"]["what"]
        for raw in watchers:
            assert raw.until("delta")
    finally:
        for raw in watchers + idle:
            raw.__exit__()


def test_the_stream_is_not_for_other_users(daemon: WatchedDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_peer_uid", lambda _: os.geteuid() + 1)
    with Raw(daemon) as raw:
        answer = raw.line()
        assert answer["error"]["exit_code"] == 5
        assert raw.line() is None


def test_one_that_has_no_more_to_say_is_still_told(daemon: WatchedDaemon) -> None:
    with Raw(daemon) as raw:
        raw.watch()
        raw.socket.shutdown(socket.SHUT_WR)
        for _ in range(3):
            assert raw.until("delta")
    wait_until(lambda: not daemon.broadcast._watchers, "it is gone")


def test_nothing_is_looked_at_while_nobody_watches(daemon: WatchedDaemon) -> None:
    with Raw(daemon) as raw:
        raw.watch(transactions=False)
        raw.until("delta")
    sampler = daemon.sampler
    wait_until(lambda: sampler._want is None and not sampler._looking, "the last look has ended")
    looks = daemon.source.looks
    time.sleep(0.7)
    assert daemon.source.looks == looks
    assert daemon.source.listings == 0
