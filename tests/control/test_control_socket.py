"""The control socket: one line asks, one line answers, and nobody can make anybody wait."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dsttool.engine.control import client, gathering, messages, server
from dsttool.engine.control.broadcast import Broadcast
from dsttool.engine.control.place import Local
from dsttool.engine.vocabulary import errors, status
from support.site import wait_until

Handlers = dict[str, server.Handler]


class Post:
    """Stands in for the reactor: runs what is posted at once, or keeps it when told to."""

    def __init__(self) -> None:
        self.held: list[Callable[[], None]] | None = None

    def __call__(self, call: Callable[[], None]) -> None:
        if self.held is None:
            call()
        else:
            self.held.append(call)


def contribution(name: str) -> status.Status:
    part = status.empty()
    part["daemons"].append(
        {
            "name": name,
            "kind": "export",
            "instance": None,
            "state": "serving",
            "reason": None,
            "pid": 1,
            "version": "1",
            "since_ns": 1,
            "socket": "",
            "serves": [name, f"{name}-too"],
            "refusals": {},
        }
    )
    return part


def fail(_arguments: dict[str, Any], _answer: server.Answer) -> None:
    raise errors.Conflict("It is busy.", "Wait.")


def break_down(_arguments: dict[str, Any], _answer: server.Answer) -> None:
    raise RuntimeError("a defect")


HANDLERS: Handlers = {
    "echo": lambda arguments, answer: answer(arguments),
    "big": lambda arguments, answer: answer("x" * arguments["length"]),
    "fail": fail,
    "break": break_down,
    "status": lambda _, answer: answer(contribution("a")),
}


def check(expect: messages.Expect) -> None:
    if expect != {"instance": "0123"}:
        raise errors.Conflict("It was started again since.", "Look again.")


def no_host() -> Any:
    raise AssertionError("nobody watches")


NOBODY_WATCHES = Broadcast({}, no_host, lambda _want: None)


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def path(tmp_path: Path, post: Post) -> Iterator[Path]:
    where = tmp_path / "a.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(where))
    listener.listen(64)
    served = server.ControlServer(listener, post, HANDLERS, check, NOBODY_WATCHES)
    served.start()
    yield where
    served.close()


def raw(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(str(path))
    return connection


def read_line(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"\n"):
        part = connection.recv(1 << 16)
        if not part:
            break
        received += part
    return received


def test_a_command_gets_its_answer(path: Path) -> None:
    with client.Client(path) as asked:
        assert asked.call("echo", a=1, b="two") == {"a": 1, "b": "two"}
        assert asked.call("echo") == {}


def test_the_daemon_is_known_by_its_process_id(path: Path) -> None:
    with client.Client(path) as asked:
        assert asked.peer_pid() == os.getpid()


def test_an_error_arrives_as_the_error_it_was(path: Path) -> None:
    with client.Client(path) as asked, pytest.raises(errors.Conflict) as caught:
        asked.call("fail")
    assert (caught.value.what, caught.value.advice) == ("It is busy.", "Wait.")


def test_a_command_is_done_only_if_what_it_expects_holds(path: Path) -> None:
    with client.Client(path) as asked:
        assert asked.call("echo", expect={"instance": "0123"}, a=1) == {"a": 1}
        with pytest.raises(errors.Conflict, match="started again"):
            asked.call("echo", expect={"instance": "4567"})


@pytest.mark.parametrize(
    "expect", ['{"epoch":1}', '{"instance":7}', '{"good":"n1"}', '{"good":[1]}', "[]", "0"]
)
def test_what_is_expected_and_not_understood_is_refused(path: Path, expect: str) -> None:
    with raw(path) as connection:
        line = f'{{"schema":"dsttool.control/1","command":"echo","expect":{expect}}}\n'
        connection.sendall(line.encode())
        assert "does not know" in json.loads(read_line(connection))["error"]["what"]


def test_a_defect_in_a_handler_is_answered_and_leaves_the_server_up(path: Path) -> None:
    with client.Client(path) as asked:
        with pytest.raises(errors.DsttoolError, match="a defect"):
            asked.call("break")
        assert asked.call("echo") == {}


def test_an_unknown_command_is_refused(path: Path) -> None:
    with client.Client(path) as asked, pytest.raises(errors.UsageError, match="knows no command 'dance'"):
        asked.call("dance")


def test_a_long_answer_arrives_whole(path: Path) -> None:
    with client.Client(path) as asked:
        assert len(asked.call("big", length=3_000_000)) == 3_000_000


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"garbage\n",
        b"[1]\n",
        b"[" * 60_000 + b"\n",
        b'{"schema":"dsttool.control/9","command":"echo"}\n',
        b'{"schema":"dsttool.control/1"}\n',
        b'{"schema":"dsttool.control/1","command":"echo","arguments":3}\n',
        b"\xff\xfe\n",
    ],
)
def test_a_malformed_line_is_refused_and_the_conversation_goes_on(path: Path, line: bytes) -> None:
    with raw(path) as connection:
        connection.sendall(line)
        assert json.loads(read_line(connection))["ok"] is False
        connection.sendall(messages.pack_command("echo", {}))
        assert json.loads(read_line(connection))["ok"] is True


def test_many_lines_at_once_are_answered_in_order(path: Path) -> None:
    with raw(path) as connection:
        connection.sendall(b"".join(messages.pack_command("echo", {"n": n}) for n in range(500)))
        answers = connection.makefile("rb")
        assert [json.loads(answers.readline())["result"]["n"] for _ in range(500)] == list(range(500))
        answers.close()


def test_ten_thousand_empty_lines_do_not_exhaust_the_stack(path: Path) -> None:
    with raw(path) as connection:
        sending = threading.Thread(target=connection.sendall, args=(b"\n" * 10_000,))
        sending.start()
        answers = connection.makefile("rb")
        assert all(json.loads(answers.readline())["ok"] is False for _ in range(10_000))
        answers.close()
        sending.join()


def test_a_line_that_never_ends_is_cut_off(path: Path) -> None:
    with raw(path) as connection:
        try:
            connection.sendall(b"x" * (4 * messages.COMMAND_BYTES_MAX))
        except OSError:
            pass  # It may hang up while we still send.
        try:
            answer = read_line(connection)
        except ConnectionResetError:
            answer = b""
    assert answer == b"" or json.loads(answer)["error"]["what"] == "The control message is too long."
    with client.Client(path) as asked:
        assert asked.call("echo") == {}


def test_a_client_that_hangs_up_before_its_answer_harms_nobody(path: Path, post: Post) -> None:
    post.held = []
    with raw(path) as connection:
        connection.sendall(messages.pack_command("echo", {}))
        while not post.held:
            time.sleep(0.001)
    held, post.held = post.held, None
    held[0]()
    with client.Client(path) as asked:
        assert asked.call("echo") == {}


def test_a_busy_reactor_is_a_timeout_and_its_late_answer_is_dropped(
    path: Path, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    post.held = []
    with client.Client(path) as asked:
        with monkeypatch.context() as hasty:
            hasty.setattr(server, "STEP_TIMEOUT", 0.05)
            with pytest.raises(errors.TimedOut):
                asked.call("echo", late=True)
        late, post.held = post.held, None
        late[0]()
        assert asked.call("echo", late=False) == {"late": False}


class PutOff:
    """Answers that come later, and those of them that nobody waits for any more."""

    def __init__(self) -> None:
        self.answers: list[server.Answer] = []
        self.gone: list[server.Answer] = []

    def __call__(self, _arguments: dict[str, Any], answer: server.Answer) -> None:
        answer.later(lambda: self.gone.append(answer))
        self.answers.append(answer)

    def ask(self, connection: socket.socket) -> None:
        """Send a command whose answer comes later, and wait until the server has put it off."""
        before = len(self.answers)
        connection.sendall(messages.pack_command("later", {}))
        while len(self.answers) == before:
            time.sleep(0.001)

    def reply(self, index: int, result: str, after: float) -> None:
        """Answer the command with this index, some seconds after it came."""
        wait_until(lambda: len(self.answers) > index, "the command comes")
        time.sleep(after)
        self.answers[index](result)

    def wait_gone(self) -> None:
        wait_until(lambda: self.gone == self.answers, "it is noticed that nobody waits")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> PutOff:
    put_off = PutOff()
    monkeypatch.setitem(HANDLERS, "later", put_off)
    return put_off


def test_an_answer_that_was_put_off_has_no_deadline(
    path: Path, later: PutOff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STEP_TIMEOUT", 0.05)
    with raw(path) as connection:
        later.ask(connection)
        time.sleep(0.15)
        later.answers[0]("at last")
        assert json.loads(read_line(connection))["result"] == "at last"
    assert later.gone == []


def test_a_client_that_leaves_while_it_waits_is_noticed(path: Path, later: PutOff) -> None:
    with raw(path) as connection:
        later.ask(connection)
    later.wait_gone()
    later.answers[0]("too late")
    with client.Client(path) as asked:
        assert asked.call("echo") == {}


def test_a_client_that_left_before_its_command_ran_is_told_of_as_gone(
    path: Path, post: Post, later: PutOff
) -> None:
    post.held = []
    with raw(path) as connection:
        connection.sendall(messages.pack_command("later", {}))
        while not post.held:
            time.sleep(0.001)
    held, post.held = post.held, None
    time.sleep(0.05)
    held[0]()
    later.wait_gone()


def test_a_client_that_only_has_no_more_to_say_gets_its_answer(path: Path, later: PutOff) -> None:
    with raw(path) as connection:
        later.ask(connection)
        connection.shutdown(socket.SHUT_WR)
        time.sleep(0.05)
        later.answers[0]("here")
        assert json.loads(read_line(connection))["result"] == "here"
        assert connection.recv(1) == b""
    assert later.gone == []


def test_commands_sent_while_one_is_awaited_are_answered_after_it(path: Path, later: PutOff) -> None:
    with raw(path) as connection:
        later.ask(connection)
        connection.sendall(messages.pack_command("echo", {"n": 2}))
        time.sleep(0.05)
        later.answers[0]({"n": 1})
        answers = connection.makefile("rb")
        assert [json.loads(answers.readline())["result"]["n"] for _ in range(2)] == [1, 2]
        answers.close()


def test_a_client_that_floods_while_it_waits_is_not_read(path: Path, later: PutOff) -> None:
    with raw(path) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # else it is as the system likes
        later.ask(connection)
        connection.setblocking(False)
        sent = 0
        for _ in range(200):
            try:
                sent += connection.send(b"\n" * 65536)
            except BlockingIOError:
                time.sleep(0.002)
        assert sent < 100 * 65536
        with client.Client(path) as asked:
            assert asked.call("echo") == {}


def test_one_that_waits_does_not_give_way_to_a_newcomer(path: Path, later: PutOff) -> None:
    with raw(path) as waiting:
        later.ask(waiting)
        idle = [raw(path) for _ in range(server.CONNECTIONS_MAX)]
        try:
            with client.Client(path) as asked:
                assert asked.call("echo") == {}
            later.answers[0]("still here")
            assert json.loads(read_line(waiting))["result"] == "still here"
        finally:
            for connection in idle:
                connection.close()


def test_a_command_that_takes_its_time_is_awaited_as_long_as_wanted(path: Path, later: PutOff) -> None:
    for index, patience in enumerate((None, 10)):
        with client.Client(path, timeout=0.02) as asked:
            late = threading.Thread(target=later.reply, args=(index, "done", 0.1))
            late.start()
            assert asked.wait(patience, "later") == "done"
            late.join()
    with client.Client(path) as asked, pytest.raises(errors.TimedOut, match=r"within 0.02 s"):
        asked.wait(0.02, "later")


def test_connections_are_bounded_and_an_idle_one_gives_way(path: Path) -> None:
    idle = [raw(path) for _ in range(server.CONNECTIONS_MAX)]
    try:
        with client.Client(path) as asked:
            assert asked.call("echo") == {}
        assert idle[0].recv(1) == b""
    finally:
        for connection in idle:
            connection.close()


def test_connections_are_bounded_and_none_that_is_being_served_gives_way(path: Path, post: Post) -> None:
    post.held = []
    busy = [raw(path) for _ in range(server.CONNECTIONS_MAX)]
    try:
        for connection in busy:
            connection.sendall(messages.pack_command("echo", {}))
        while len(post.held) < len(busy):
            time.sleep(0.001)
        with raw(path) as late:
            assert b"busy" in read_line(late)
    finally:
        for connection in busy:
            connection.close()


def test_gather_reports_the_living_the_dead_and_the_silent(tmp_path: Path, path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "dead.sock"))
    dead.close()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen(1)
        found = gathering.gather(Local(tmp_path), timeout=2.0)
    states = {daemon["name"]: (daemon["state"], daemon["reason"]) for daemon in found["daemons"]}
    assert states["a"] == ("serving", None)
    assert states["dead"][0] == "unreachable"
    assert "connection refused" in (states["dead"][1] or "")
    assert states["silent"] == ("unreachable", "no answer within 2 s")


@pytest.mark.parametrize("name", ["a", "a-too"])
def test_who_serves_a_name_is_found_without_waiting_for_the_silent(
    tmp_path: Path, path: Path, name: str
) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen(1)
        found = gathering.gather(Local(tmp_path), timeout=60, name=name)
    assert [(daemon["name"], daemon["state"]) for daemon in found["daemons"]] == [("a", "serving")]


def test_gather_without_a_runtime_folder_finds_nothing(tmp_path: Path) -> None:
    assert gathering.gather(Local(tmp_path / "none")) == status.empty()


def test_a_daemon_is_found_by_any_name_it_serves(tmp_path: Path, path: Path) -> None:
    assert gathering.find(Local(tmp_path), "a") == "a"
    assert gathering.find(Local(tmp_path), "a-too") == "a"
    with pytest.raises(errors.NotFound):
        gathering.find(Local(tmp_path), "b")


def test_a_connection_to_nothing_is_not_found_and_to_a_dead_socket_unreachable(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound):
        client.Client(tmp_path / "a.sock")
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "a.sock"))
    dead.close()
    with pytest.raises(errors.Unreachable):
        client.Client(tmp_path / "a.sock")


def test_waiting_for_a_process_ends_with_it() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert client.wait_gone(child, 10)
    os.waitpid(child, 0)
    assert client.wait_gone(child, 0)
    assert not client.wait_gone(os.getpid(), 0.01)


def test_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_peer_uid", lambda _: os.geteuid() + 1)
    with raw(path) as connection:
        answer = json.loads(read_line(connection))
        assert answer["error"]["exit_code"] == 5
        assert connection.recv(1) == b""
