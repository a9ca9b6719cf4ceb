"""Conversations with another machine's daemons over one pipe: bounded, and slowed down one by one."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from dsttool.cli.signals import Terminated, terminable
from dsttool.engine.control import channels, ctl, messages
from dsttool.engine.control.ctl import Relay
from dsttool.engine.control.place import Local
from dsttool.engine.control.remote import Remote, parse_ssh
from dsttool.engine.control.ssh_link import SshLink
from dsttool.engine.vocabulary import errors


def test_a_program_instead_of_ssh_whose_quotes_are_open_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSTTOOL_SSH", "ssh -F 'my config")
    far = Remote("ssh://box")
    with pytest.raises(errors.UsageError, match="DSTTOOL_SSH"):
        far.daemons()
    far.close()


class FakeDaemon:
    """Listens where a daemon does; each connection is served by a function in a thread."""

    def __init__(self, folder: Path, name: str, serve: Callable[[socket.socket], None]) -> None:
        folder.mkdir(exist_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / f"{name}.sock"))
        self._listener.listen(8)
        self._serve = serve
        self._threads = [threading.Thread(target=self._run)]
        self._threads[0].start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._one, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _one(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._serve(connection)
            except OSError:
                pass  # The other end has left.

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


def echo(connection: socket.socket) -> None:
    with connection.makefile("rb") as lines:
        for line in lines:
            command, arguments = messages.parse_command(line)[:2]
            connection.sendall(messages.pack_result({"command": command, **arguments}))


def flood(connection: socket.socket) -> None:
    """Sends for as long as somebody takes it."""
    line = json.dumps({"filler": "x" * 1000}).encode() + b"\n"
    while True:
        connection.sendall(line)


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def daemons(runtime: Path) -> Iterator[Callable[[str, Callable[[socket.socket], None]], FakeDaemon]]:
    made: list[FakeDaemon] = []

    def start(name: str, serve: Callable[[socket.socket], None]) -> FakeDaemon:
        made.append(FakeDaemon(runtime, name, serve))
        return made[-1]

    yield start
    for each in made:
        each.close()


class FarEnd:
    """A Relay in a thread, and the asking side's ends of its pipes."""

    def __init__(self, runtime: Path) -> None:
        source, self._asks = os.pipe()
        self._hears, sink = os.pipe()
        self._theirs = (source, sink)
        self._lines = channels.Lines()
        self._heard: list[bytes] = []
        self.failure: Exception | None = None
        self._relay = Relay(Local(runtime), source, sink, {"host": "here", "version": "1"})
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._relay.run()
        except (errors.DsttoolError, OSError) as error:
            self.failure = error
        for descriptor in self._theirs:
            os.close(descriptor)

    def ask(self, **note: Any) -> None:
        os.write(self._asks, channels.pack_note(**note))

    def say(self, channel: int, line: bytes) -> None:
        os.write(self._asks, channels.pack_line(channel, line))

    def raw(self, data: bytes) -> None:
        os.write(self._asks, data)

    def line(self) -> bytes:
        """The next line."""
        while not self._heard:
            assert select.select([self._hears], [], [], 20)[0], "it says nothing"
            part = os.read(self._hears, 65536)
            assert part, "it has ended"
            self._heard += self._lines.feed(part)
        return self._heard.pop(0)

    def note(self) -> dict[str, Any]:
        return channels.parse_note(self.line())

    def silent(self) -> bool:
        """Whether it says nothing more for a moment."""
        return not self._heard and not select.select([self._hears], [], [], 1.0)[0]

    def end(self) -> None:
        """End its input; it has to end by itself."""
        if self._asks >= 0:
            os.close(self._asks)
            self._asks = -1
        self._thread.join(20)
        assert not self._thread.is_alive()

    def close(self) -> None:
        self.end()
        os.close(self._hears)


@pytest.fixture
def far(runtime: Path, daemons: Any) -> Iterator[FarEnd]:  # after the daemons, to end before them
    made = FarEnd(runtime)
    yield made
    made.close()


def test_the_far_end_says_who_it_is_and_who_runs_and_ends_with_its_input(far: FarEnd) -> None:
    assert far.note() == {"schema": "dsttool.ctl/1", "host": "here", "version": "1", "daemons": []}
    far.end()
    assert far.failure is None


def test_it_tells_when_daemons_come_and_go(runtime: Path, far: FarEnd) -> None:
    far.note()
    (runtime / "a.sock").touch()
    assert far.note() == {"daemons": ["a"]}
    (runtime / "a.sock").unlink()
    while far.note() != {"daemons": []}:
        pass


def test_conversations_share_the_pipe(far: FarEnd, daemons: Any) -> None:
    far.note()
    daemons("a", echo)
    while "a" not in far.note()["daemons"]:
        pass
    for channel in (1, 2):
        far.ask(channel=channel, open="a")
        assert next_of(far, "opened") == {"channel": channel, "opened": True}
    for channel in (2, 1):
        far.say(channel, messages.pack_command("say", {"who": channel}).rstrip())
        said = channels.parse_line(far.line())
        assert said is not None
        assert said[0] == channel
        assert messages.parse_answer(said[1]) == {"command": "say", "who": channel}


def next_of(far: FarEnd, key: str) -> dict[str, Any]:
    """The next note that has a key; others are about daemons that come and go."""
    while key not in (note := far.note()):
        pass
    return note


@pytest.mark.parametrize("name", ["../a", "a/b", "", "-x", 7, None])
def test_what_is_no_name_of_a_daemon_opens_nothing(far: FarEnd, name: object) -> None:
    far.note()
    far.ask(channel=1, open=name)
    note = next_of(far, "closed")
    assert note["channel"] == 1
    assert note["closed"]["exit_code"] in (2, 3)


def test_a_slow_reader_slows_its_own_daemon_only(far: FarEnd, daemons: Any) -> None:
    daemons("flood", flood)
    daemons("a", echo)
    far.ask(channel=1, open="flood")
    taken = 0
    while taken < channels.WINDOW_BYTES:
        said = channels.parse_line(far.line())
        taken += 0 if said is None else len(said[1])
    while (said := None if far.silent() else channels.parse_line(far.line())) is not None:
        taken += len(said[1])
    assert taken < channels.WINDOW_BYTES + 2 * (1 << 16)  # what was being read goes beyond it
    far.ask(channel=2, open="a")
    assert next_of(far, "opened")["channel"] == 2
    far.say(2, messages.pack_command("still", {}).rstrip())
    answer = channels.parse_line(far.line())
    assert answer is not None
    assert answer[0] == 2
    far.ask(channel=1, granted=taken)  # what went beyond the window, too
    more = channels.parse_line(far.line())
    assert more is not None
    assert more[0] == 1


@pytest.mark.parametrize(
    "line",
    [b"nonsense\n", b"[1]\n", b'{"open": "a"}\n', b'{"channel": -1, "open": "a"}\n', b"x" * 200_000 + b"\n"],
    ids=["words", "list", "no channel", "negative", "long"],
)
def test_what_is_no_conversation_ends_the_far_end(far: FarEnd, line: bytes) -> None:
    far.note()
    try:
        far.raw(line)
    except BrokenPipeError:
        pass  # It did not even read all of it.
    far.end()
    assert isinstance(far.failure, errors.ProtocolError)


def test_one_who_asks_and_never_reads_is_left(far: FarEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctl, "_OUTPUT_BYTES_MAX", 1 << 18)
    with suppress(BrokenPipeError):
        while True:
            far.ask(channel=1, open="nobody")
    far.end()
    assert isinstance(far.failure, errors.ProtocolError)


def test_what_is_said_to_a_channel_that_was_closed_meanwhile_is_no_offence(far: FarEnd) -> None:
    far.note()
    far.ask(channel=5, granted=1)
    far.ask(channel=5, close=True)
    far.say(5, b"{}")
    far.ask(channel=1, open="nobody")
    assert next_of(far, "closed")["closed"]["exit_code"] == 3


# -- the asking side ---------------------------------------------------------------------------------------


def link_to(program: str, patience: float = 60.0) -> SshLink:
    command = [sys.executable, "-c", program]
    link = SshLink("box", command, "ssh box dsttool version", patience=patience, own_group=True)
    link.start()
    return link


GREETING = (
    'import sys, json, time; print(json.dumps({"schema": "dsttool.ctl/1", "daemons": ["a"]}), flush=True)\n'
)


@pytest.mark.parametrize(
    ("program", "what"),
    [
        ("import sys; sys.exit(127)", "There is no dsttool on box."),
        ("import sys; sys.exit('Permission denied (publickey).')", "Permission denied (publickey)."),
        ("import sys; sys.stderr.write('bad \\x1b[2J words\\n'); sys.exit(255)", "bad ?[2J words"),
        ("print('hello\\n' * 1000)", "is not dsttool"),
        ("import sys; sys.stdout.write('x' * (9 << 20))", "is too long"),
        (GREETING + "print('nonsense')", "is no JSON"),
        (GREETING + "print('{\"daemons\": 7}')", "does not say what runs"),
        (GREETING, "The connection to box ended"),
        ("print('This account is not available.'); raise SystemExit(1)", "account is not available."),
        ("import sys; sys.exit('Banner\\nerror: No folder.\\nMake it.')", "ended: No folder."),
        (
            "import sys; sys.stderr.write('Banner\\n')\n" + GREETING + "sys.exit(3)",
            "ended (ssh ended with 3)",
        ),
        ('print(\'{"schema": "dsttool.ctl/2", "daemons": []}\')', "speaks dsttool.ctl/2, and this one"),
    ],
    ids=[
        *("no dsttool", "ssh", "escapes", "noise", "long", "nonsense", "no names", "end"),
        *("shell", "dsttool there", "banner", "other release"),
    ],
)
def test_a_link_that_fails_says_why_to_everybody(program: str, what: str) -> None:
    link = link_to(program)
    conversation = None
    try:
        conversation = link.open("a")
    except errors.DsttoolError:
        pass  # It has failed already.
    try:
        deadline = time.monotonic() + 20
        while link.failure is None and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(errors.DsttoolError) as caught:
            link.daemons()
        assert what in caught.value.what
        if conversation is not None:
            with pytest.raises(errors.DsttoolError) as told:
                messages.parse_answer(conversation.makefile("rb").readline())
            assert told.value.what == caught.value.what
    finally:
        link.close()
        if conversation is not None:
            conversation.close()


def test_a_login_shell_may_say_something_without_ending_its_line() -> None:
    link = link_to("print('Hello ', end='')\n" + GREETING + "sys.stdin.read()")
    try:
        link.wait()
        assert link.daemons() == ["a"]
    finally:
        link.close()


def test_a_far_side_that_says_nothing_is_given_up_after_its_time() -> None:
    link = link_to("import signal; signal.pause()", patience=0.05)
    try:
        link.wait()
        with pytest.raises(errors.TimedOut) as caught:
            link.daemons()
        assert caught.value.what == "ssh to box did not connect within 0.05 s."
        assert caught.value.advice == "Try it by hand: ssh box dsttool version"
    finally:
        link.close()


def test_ssh_that_has_not_connected_is_asked_to_end_so_that_it_leaves_the_terminal_in_order(
    tmp_path: Path,
) -> None:
    told, asking = tmp_path / "told", tmp_path / "asking"
    link = link_to(
        "import pathlib, signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(told)!r}).touch(), sys.exit(0)))\n"
        f"pathlib.Path({str(asking)!r}).touch()\n"
        "while True: signal.pause()"
    )
    while not asking.exists():
        time.sleep(0.01)
    link.close()
    assert told.exists()


def test_closing_a_link_ends_a_program_that_does_not_end_with_its_input() -> None:
    link = link_to(GREETING + "import signal; signal.pause()")
    link.wait()
    link.close()
    assert isinstance(link.failure, errors.Conflict)


def test_a_signal_in_the_very_moment_in_which_ssh_is_begun_leaves_none_behind(monkeypatch: Any) -> None:
    begun: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def struck(*words: Any, **more: Any) -> subprocess.Popen[bytes]:
        begun.append(popen(*words, **more))
        os.kill(os.getpid(), signal.SIGTERM)
        return begun[0]

    monkeypatch.setattr(subprocess, "Popen", struck)
    monkeypatch.setenv("DSTTOOL_SSH", f"{sys.executable} -c 'import signal; signal.pause()'")
    try:
        with pytest.raises(Terminated), terminable(), closing(Remote("ssh://box")) as place:
            place.daemons()
        assert [each.poll() is not None for each in begun] == [True]
    finally:
        for each in begun:
            if each.poll() is None:
                each.kill()
                each.communicate()


def test_a_link_that_is_closed_before_it_begins_runs_nothing(monkeypatch: Any) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    link = SshLink("box", ["ssh"], "ssh box dsttool version", patience=60.0, own_group=True)
    link.close()
    link.start()
    link.close()
    link.wait()
    assert isinstance(link.failure, errors.Conflict)


def test_a_remote_place_connects_again_after_its_link_was_lost(tmp_path: Path, monkeypatch: Any) -> None:
    program = tmp_path / "ssh"
    script = f"#!{sys.executable}\n{GREETING}sys.stdin.read()\n"
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv("DSTTOOL_SSH", str(program))
    place = Remote("ssh://box")
    try:
        assert place.daemons() == ["a"]
        first = place._link
        assert first is not None
        first.close()
        assert place.daemons() == ["a"]
        assert place._link is not first
    finally:
        place.close()


def test_ssh_asks_nobody_any_more_once_it_was_connected(tmp_path: Path, monkeypatch: Any) -> None:
    program, asked = tmp_path / "ssh", tmp_path / "asked"
    program.write_text(
        f"#!{sys.executable}\nimport sys; print(sys.argv, file=open({str(asked)!r}, 'a'))\n"
        f"{GREETING}sys.stdin.read()\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("DSTTOOL_SSH", str(program))
    place = Remote("ssh://box")
    try:
        for _ in range(2):
            assert place.daemons() == ["a"]
            assert place._link is not None
            place._link.close()
    finally:
        place.close()
    first, second = asked.read_text().splitlines()
    assert "BatchMode=no" in first
    assert "BatchMode=yes" in second


def test_names_of_a_remote_place_are_news_once_it_is_connected(tmp_path: Path, monkeypatch: Any) -> None:
    program = tmp_path / "ssh"
    program.write_text(f"#!{sys.executable}\n{GREETING}sys.stdin.read()\n")
    program.chmod(0o755)
    monkeypatch.setenv("DSTTOOL_SSH", str(program))
    place = Remote("ssh://box")
    names = place.names()
    try:
        while not names.read():
            assert select.select([names], [], [], 20)[0]
        assert names.read() == ["a"]
    finally:
        names.close()
        place.close()


@pytest.mark.parametrize(
    ("text", "shown", "words"),
    [
        ("ssh://box", "box", ["--", "box"]),
        ("ssh://me@box:22", "me@box:22", ["-p", "22", "-l", "me", "--", "box"]),
        ("ssh://[fe80::1%eth0]:22", "[fe80::1%eth0]:22", ["-p", "22", "--", "fe80::1%eth0"]),
        ("ssh://10.0.0.1/", "10.0.0.1", ["--", "10.0.0.1"]),
    ],
)
def test_an_address_becomes_words_that_no_shell_reads(text: str, shown: str, words: list[str]) -> None:
    address = parse_ssh(text)
    assert str(address) == shown
    command = address.command(["ssh"], prompts=False, patience=4.5)
    assert command[-len(words) - 3 :] == [*words, "dsttool", "ctl", "--stdio"]
    assert {"-oBatchMode=yes", "-oConnectTimeout=6"} < set(command)


def test_ssh_is_master_of_nobody_and_forwards_nothing_whatever_is_configured() -> None:
    command = parse_ssh("ssh://box").command(["ssh"], prompts=True, patience=60)
    assert {"-Tax", "-oControlMaster=no", "-oClearAllForwardings=yes", "-oRemoteCommand=none"} < set(command)


def test_what_to_try_by_hand_is_a_command_line_that_ssh_takes() -> None:
    line = parse_ssh("ssh://me@[::1]:22").by_hand(["ssh", "-F", "my file"])
    assert line == "ssh -F 'my file' -p 22 -l me ::1 dsttool version"
