"""Answers Prometheus over HTTP, in threads of its own: nothing of it runs on the reactor but the reading.

    GET /metrics -> ask the reactor for a Reading, in pieces (at most once a second) -> encode -> answer

A reactor that does not answer in time is a daemon in trouble: 503, which Prometheus shows as down. Clients
are few and questions short; past that the one that came first is cut off.
"""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from dsttool.engine.control.metrics import Reading, families

# Questions at a time; two servers and somebody who looks are three.
CLIENTS_MAX: Final = 8
THREADS_MAX: Final = 2 * CLIENTS_MAX
# Seconds for each step of a conversation; and for the reactor, which answers within milliseconds.
STEP_TIMEOUT: Final = 5.0
READING_TIMEOUT: Final = 2.0
# Seconds that those who were cut off have for making room.
LEAVE_TIMEOUT: Final = 1.0
# Seconds for which a reading, or that there is none, is good enough: however many ask, the reactor is asked
# once.
FRESH: Final = 1.0

Ask = Callable[[Callable[[Reading], None]], None]
"""Have a reading taken and handed over; from any thread."""


class _Latest:
    """The last reading as text, and another one where that is too old."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._reading: Reading | None = None
        self._taken = -FRESH
        self._texts: dict[str, bytes] = {}

    def get(self, accepted: str) -> tuple[str, bytes] | None:
        """A kind of text that is accepted, and the text; None if the daemon does not answer in time."""
        encode, kind = choose_encoder(accepted)
        with self._lock:
            self._renew()
            if self._reading is None:
                return None
            if kind not in self._texts:  # once, however many ask: it takes milliseconds from the reactor
                registry = CollectorRegistry(auto_describe=False)
                registry.register(_Collector(self._reading))
                self._texts[kind] = encode(registry)
            return kind, self._texts[kind]

    def _renew(self) -> None:
        if time.monotonic() - self._taken >= FRESH:
            came = threading.Event()
            readings: list[Reading] = []

            def take(reading: Reading) -> None:
                readings.append(reading)
                came.set()

            self._ask(take)
            self._reading = readings[0] if came.wait(READING_TIMEOUT) else None
            self._taken = time.monotonic()
            self._texts = {}


class _Collector:
    """As prometheus_client wants it."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterator[Metric]:
        return families(self._reading)


class _Conversation(BaseHTTPRequestHandler):
    server: "MetricsServer"  # type: ignore[assignment]
    timeout = STEP_TIMEOUT
    server_version = "dsttool"
    sys_version = ""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] not in ("/metrics", "/"):
            self._answer(404, "text/plain; charset=utf-8", b"There is only /metrics here.\n")
            return
        found = self.server.latest.get(self.headers.get("Accept", ""))
        if found is None:
            self._answer(503, "text/plain; charset=utf-8", b"The daemon does not answer.\n")
        else:
            self._answer(200, *found)

    def _answer(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Prometheus asks every few seconds, for ever."""


class MetricsServer:
    """Answers on a listening socket from `start` to `close`. ask: see Ask."""

    def __init__(self, listener: socket.socket, ask: Ask) -> None:
        self.latest = _Latest(ask)
        self._listener = listener
        self._clients: dict[socket.socket, threading.Thread] = {}  # None of those that were cut off.
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._left = threading.Condition(self._lock)
        self._ended = False
        self._wake_in, self._wake_out = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Accept from now on."""
        self._thread.start()

    def close(self) -> None:
        """Hang up on everybody and end the threads."""
        self._ended = True
        self._wake_in.close()  # which wakes whoever polls the other end
        if self._thread.ident is not None:
            self._thread.join(STEP_TIMEOUT)
        self._wake_out.close()
        self._listener.close()
        with self._lock:
            for client in self._clients:
                _shut(client)
            threads = set(self._threads)
        for thread in threads:
            thread.join(STEP_TIMEOUT)

    # From here on: threads.

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._wake_out, select.POLLIN)
        while True:
            poll.poll()
            if self._ended:
                return
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                continue
            except OSError:
                time.sleep(FRESH)  # descriptors ran out, and the listener stays readable
                continue
            client.setblocking(True)
            thread = threading.Thread(target=self._talk, args=(client,), name="metrics-client", daemon=True)
            with self._lock:
                if len(self._clients) >= CLIENTS_MAX:
                    self._cut_off(next(iter(self._clients)))
                # They end at once, unless they wait for the reactor.
                if not self._left.wait_for(lambda: len(self._threads) < THREADS_MAX, LEAVE_TIMEOUT):
                    client.close()
                    continue
                self._clients[client] = thread
                self._threads.add(thread)
            thread.start()

    def _cut_off(self, client: socket.socket) -> None:
        del self._clients[client]
        _shut(client)

    def _talk(self, client: socket.socket) -> None:
        try:
            _Conversation(client, ("", 0), self)  # type: ignore[arg-type]
        except OSError:
            pass  # It left, or it was cut off.
        finally:
            with self._lock:
                self._clients.pop(client, None)
                self._threads.discard(threading.current_thread())
                self._left.notify()
            client.close()


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It has ended already.
