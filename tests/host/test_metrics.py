"""What Prometheus is told of a daemon, over a socket or a port."""

import http.client
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dsttool.engine.config.metrics_place import parse_metrics_place
from dsttool.engine.control import metrics_server
from dsttool.engine.control.metrics import Reading, families
from dsttool.engine.control.metrics_server import CLIENTS_MAX, MetricsServer
from dsttool.engine.transaction.latency import BUCKETS, Latencies
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import UsageError
from dsttool.engine.vocabulary.limits import MIB, MS
from dsttool.engine.vocabulary.status import DaemonStatus
from support.site import Site

Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


def ask(path: Path, what: str = "/metrics") -> tuple[int, str]:
    connection = UnixConnection(path)
    try:
        connection.request("GET", what)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def parsed(text: str) -> Figures:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def figure(figures: Figures, name: str, /, **labels: str) -> float:
    return figures[name, frozenset(labels.items())]


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Path:
    return site.path("m")


def test_an_array_with_its_members_links_and_clients(site: Site, place: Path) -> None:
    site.export(site.file("d0", 4 * MIB), "d0")
    site.array("pool", "mirror", site.dst("d0"), site.file("d1", 4 * MIB), "--metrics", place)
    site.run("qemu-io", "-f", "raw", "-c", "write 0 64k", "-c", "read 0 4k", site.nbd("pool"))
    _, text = ask(place)
    figures = parsed(text)
    assert figure(figures, "dsttool_array_state", array="pool", state="online") == 1
    assert figure(figures, "dsttool_array_state", array="pool", state="degraded") == 0
    assert figure(figures, "dsttool_array_written_bytes_total", array="pool") == 65536
    assert figure(figures, "dsttool_member_written_bytes_total", array="pool", member="n1") == 65536
    assert figure(figures, "dsttool_link_up", array="pool", member="n0", link="0") == 1
    assert figure(figures, "dsttool_link_connects_total", array="pool", member="n0", link="0") == 1
    assert figure(figures, "dsttool_request_duration_seconds_count", name="pool", member="") >= 2
    build = [labels for name, labels in figures if name == "dsttool_build_info"]
    assert ("daemon", "pool") in build[0]


def test_every_family_says_what_it_is(site: Site, place: Path) -> None:
    site.export("mem:1M", "a", "--metrics", place)
    _, text = ask(place)
    found = list(text_string_to_metric_families(text))
    assert found
    for family in found:
        assert family.name.startswith("dsttool_"), family.name
        assert family.documentation.endswith("."), family.name
        assert family.type in ("gauge", "counter", "histogram"), family.name


def test_an_export_counts_those_it_refused(site: Site, place: Path) -> None:
    site.export("mem:1M", "a", "--metrics", place)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(site.path("a.dst")))
        client.sendall(b"\0" * 64)
        while client.recv(4096):
            pass
    figures = parsed(ask(place)[1])
    assert figure(figures, "dsttool_export_state", export="a", state="serving") == 1
    assert figure(figures, "dsttool_refusals_total", reason="protocol") == 1


def test_there_is_nothing_else_to_ask_for(site: Site, place: Path) -> None:
    site.export("mem:1M", "a", "--metrics", place)
    assert ask(place, "/etc/passwd")[0] == 404
    assert ask(place, "/metrics?name=a")[0] == 200


def test_the_socket_goes_with_the_daemon(site: Site, place: Path) -> None:
    daemon = site.export("mem:1M", "a", "--metrics", place)
    assert place.is_socket()
    assert place.stat().st_mode & 0o777 == 0o600
    daemon.stop()
    assert not place.exists()


def test_a_place_that_is_taken_is_said_before_anybody_is_served(site: Site) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = site.dsttool("export", "mem:1M", "--name", "a", "-d", "--metrics", port, code=8)
    assert f"127.0.0.1:{port}: the address is in use" in done.stderr


def test_other_machines_are_warned_of(site: Site) -> None:
    done = site.dsttool("export", "mem:1M", "--name", "a", "-d", "--metrics", "0.0.0.0:0")
    assert "Warning: everybody who can reach 0.0.0.0:0 can read the metrics there." in done.stderr
    site.dsttool("daemon", "stop", "a")


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("9100", Endpoint("tcp", "127.0.0.1", 9100)),
        (":9100", Endpoint("tcp", "127.0.0.1", 9100)),
        ("[::1]:9100", Endpoint("tcp", "::1", 9100)),
        ("db.example:9100", Endpoint("tcp", "db.example", 9100)),
        ("/run/a.metrics", Endpoint("unix", path="/run/a.metrics")),
    ],
)
def test_places(text: str, endpoint: Endpoint) -> None:
    assert parse_metrics_place(text) == endpoint


@pytest.mark.parametrize("text", ["", "localhost", "[::1]", "a:b", "99999", ":"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(UsageError):
        parse_metrics_place(text)


# -- the server by itself --------------------------------------------------------------------------------

ABOUT: DaemonStatus = {
    "name": "a",
    "kind": "export",
    "instance": "0" * 16,
    "state": "serving",
    "reason": None,
    "pid": 1,
    "version": "1",
    "since_ns": 5,
    "socket": "",
    "serves": ["a"],
    "refusals": {"key": 3},
}


class Door:
    """A server of metrics whose daemon answers as the test says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked = 0
        self.answers = True
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(64)
        listener.setblocking(False)
        self.server = MetricsServer(listener, self._ask)
        self.server.start()

    def _ask(self, take: Any) -> None:
        self.asked += 1
        if self.answers:
            take(Reading(ABOUT))


@pytest.fixture
def door(site: Site) -> Iterator[Door]:
    made = Door(site.path("door"))
    yield made
    made.server.close()


def test_the_daemon_is_asked_once_however_many_ask(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "FRESH", 60.0)
    for _ in range(5):
        code, text = ask(door.path)
        assert code == 200
        assert figure(parsed(text), "dsttool_refusals_total", reason="key") == 3
    assert door.asked == 1


def test_an_answer_is_written_once_for_all_who_want_it_in_the_same_form(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "FRESH", 60.0)
    written = []
    monkeypatch.setattr(metrics_server, "families", lambda reading: written.append(1) or families(reading))
    forms = (b"text/plain", b"application/openmetrics-text; version=1.0.0")
    answers = [
        said(door.path, b"GET / HTTP/1.0\r\nAccept: " + form + b"\r\n\r\n")
        for form in forms
        for _ in range(3)
    ]
    assert len(written) == 2
    assert [answer.endswith(b"# EOF\n") for answer in answers] == [False] * 3 + [True] * 3


def test_a_daemon_that_does_not_answer_is_said_to_be_in_trouble(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "READING_TIMEOUT", 0.01)
    door.answers = False
    assert ask(door.path)[0] == 503


def test_head_is_answered_as_get_is_without_the_text(door: Door) -> None:
    text = b"GET /metrics HTTP/1.0\r\n\r\n", b"HEAD /metrics HTTP/1.0\r\n\r\n"
    full, head = (said(door.path, each) for each in text)
    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert head.endswith(b"\r\n\r\n")
    length = len(full.partition(b"\r\n\r\n")[2])
    assert f"Content-Length: {length}\r\n".encode() in head


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (b"GET /metrics HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 "),
        (b"BREW /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.0 501 "),
        (b"GET /" + b"a" * 70000, b"HTTP/1.0 414 "),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101, b"HTTP/1.0 431 "),
        (b"\x16\x03\x01 what\r\n\r\n", b"Error code: 400"),
    ],
)
def test_whatever_is_asked_is_answered_and_the_next_is_answered_too(
    door: Door, asked: bytes, answer: bytes
) -> None:
    assert answer in said(door.path, asked)
    assert ask(door.path)[0] == 200


def said(path: Path, asked: bytes) -> bytes:
    """All that is answered to some bytes."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        client.sendall(asked)
        answer = b""
        try:
            while part := client.recv(65536):
                answer += part
        except ConnectionResetError:
            pass  # It hung up before it had read all.
        return answer


def test_those_who_say_nothing_do_not_keep_others_out(door: Door) -> None:
    silent = []
    for _ in range(3 * CLIENTS_MAX):
        silent.append(socket.socket(socket.AF_UNIX))
        silent[-1].connect(str(door.path))
    assert ask(door.path)[0] == 200
    for each in silent:
        each.close()


def test_those_who_say_nothing_do_not_keep_others_out_where_their_threads_end_late(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(metrics_server._Conversation):
        def finish(self) -> None:
            time.sleep(0.1)
            super().finish()

    monkeypatch.setattr(metrics_server, "_Conversation", Late)
    test_those_who_say_nothing_do_not_keep_others_out(door)


def test_many_who_ask_a_daemon_in_trouble_cost_few_threads_and_wait_once(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "READING_TIMEOUT", 0.2)
    monkeypatch.setattr(metrics_server, "FRESH", 60.0)
    door.answers = False
    asking = []
    for _ in range(5 * CLIENTS_MAX):
        asking.append(socket.socket(socket.AF_UNIX))
        asking[-1].connect(str(door.path))
        with suppress(BrokenPipeError):  # There were too many already.
            asking[-1].sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert max(map(_clients, asking)) <= metrics_server.THREADS_MAX
    assert door.asked == 1
    for each in asking:
        each.close()


def _clients(asking: socket.socket) -> int:
    """How many are talked to when this one has its answer."""
    try:
        while asking.recv(4096):
            pass
    except ConnectionResetError:
        pass  # It came when there were too many.
    return sum(thread.name == "metrics-client" for thread in threading.enumerate())


def test_latencies_are_cumulated_up_to_all_of_them() -> None:
    latencies = Latencies()
    latencies.add(1 * MS, 5)
    latencies.add(100_000 * MS, 2)
    reading = Reading(ABOUT, latencies={"pool/n1": latencies.counts})
    (family,) = [each for each in families(reading) if each.name == "dsttool_request_duration_seconds"]
    buckets = {each.labels["le"]: each.value for each in family.samples if "le" in each.labels}
    assert buckets["0.000524288"] == 0
    assert buckets["0.001048576"] == 5
    assert buckets["+Inf"] == 7
    assert len(buckets) < BUCKETS / 8
    assert family.samples[0].labels["name"] == "pool"
    assert family.samples[0].labels["member"] == "n1"


def test_a_stopped_daemon_answers_when_it_goes_on(site: Site, place: Path) -> None:
    daemon = site.export("mem:1M", "a", "--metrics", place)
    os.kill(daemon.process.pid, signal.SIGSTOP)
    connection = UnixConnection(place)
    connection.request("GET", "/metrics")
    time.sleep(0.01)
    os.kill(daemon.process.pid, signal.SIGCONT)
    assert connection.getresponse().status == 200
    connection.close()
