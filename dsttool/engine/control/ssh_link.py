"""One run of `ssh … dsttool ctl --stdio`: its conversations, carried over its input and output by a thread.

Each conversation is a socket pair: one end goes out to whoever asked, the thread serves the other. What the
far side sends is granted again once it is in that pair, so that nothing piles up here (control.channels).

    starting --its first line--> connected --its output ends, garbage, close--> ended (`failure` says why)
"""

import os
import selectors
import socket
import subprocess
import threading
import time
from collections import deque
from typing import Any, Final

from dsttool.engine.control import channels, messages
from dsttool.engine.vocabulary.errors import (
    Conflict,
    DsttoolError,
    ProtocolError,
    TimedOut,
    Unreachable,
    from_oserror,
)
from dsttool.engine.vocabulary.texts import printable

_READ_BYTES: Final = 1 << 16
# Unsent words to the far side past which no conversation is listened to.
_OUTPUT_BYTES: Final = 1 << 20
# What a login shell may print before dsttool's first line.
_NOISE_LINES_MAX: Final = 256
_GREETING: Final = b'{"schema"'
# Of what ssh says on its standard error, the end is kept: it tells why it failed.
_COMPLAINT_BYTES: Final = 4096
# Seconds that ssh has to end once its input has.
_END_SECONDS: Final = 2.0
# What shells say for "there is no such command".
_NO_COMMAND: Final = 127


class _Conversation:
    __slots__ = ("ending", "lines", "near", "number", "unsent")

    def __init__(self, number: int, near: socket.socket) -> None:
        self.number = number
        self.near = near
        self.lines = channels.Lines(messages.COMMAND_BYTES_MAX)
        self.unsent = bytearray()
        self.ending = False


class SshLink:
    """Runs from `start` until `close`, or until it fails: then `failure` says why. Thread-safe.

    ssh is run by the link's thread: there no signal's handler can raise between the birth of the process and
    the note of who it is. Whoever notes the link before it is started, and closes it, leaves no ssh behind.

    by_hand: what people may run to see how it fails. patience: seconds until the far side has said its first
    line. own_group: Ctrl-C at the terminal does not reach ssh, and it asks nobody.
    """

    def __init__(
        self, name: str, command: list[str], by_hand: str, *, patience: float, own_group: bool
    ) -> None:
        self.failure: DsttoolError | None = None
        self._name = name
        self._by_hand = f"Try it by hand: {by_hand}"
        self._patience = patience
        self._daemons: list[str] | None = None
        self._conversations: dict[int, _Conversation] = {}
        self._known = threading.Event()
        self._lock = threading.Lock()
        self._tell: list[socket.socket] = []
        self._openings: deque[tuple[str, socket.socket]] = deque()
        self._closing = False
        self._command = command
        self._own_group = own_group
        # Taken by the thread when it begins, or by `close` if that comes first: then nothing begins.
        self._begun = threading.Lock()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._thread = threading.Thread(target=self._run, name=f"ssh {name}", daemon=True)

    def start(self) -> None:
        """Run ssh. That it cannot be run is a failure as any other."""
        self._thread.start()

    @property
    def greeted(self) -> bool:
        """Whether it was ever connected."""
        return self._daemons is not None

    def wait(self) -> None:
        """Wait until it is connected or has failed."""
        self._known.wait()

    def daemons(self) -> list[str]:
        """The names there are now; none before it is connected. Raises the failure."""
        with self._lock:
            if self.failure is not None:
                raise self.failure
            return list(self._daemons or ())

    def tell(self, listener: socket.socket) -> None:
        """Send a byte there when the names may be others, and when the link fails."""
        with self._lock:
            self._tell.append(listener)
            known = self._daemons is not None or self.failure is not None
        if known:
            _poke(listener)

    def untell(self, listener: socket.socket) -> None:
        """Send it nothing more."""
        with self._lock:
            self._tell.remove(listener)

    def open(self, daemon: str) -> socket.socket:
        """A conversation; if it cannot be, its first line says why. Raises the failure of the link."""
        far, near = socket.socketpair()
        near.setblocking(False)
        with self._lock:
            if self.failure is None:
                self._openings.append((daemon, near))
                _poke(self._wake_in)
                return far
        far.close()
        near.close()
        raise self.failure

    def close(self) -> None:
        """End ssh and everything that goes over it."""
        self._closing = True
        if self._begun.acquire(blocking=False):
            self._finish(self._why(0))
        elif self._thread.is_alive():
            _poke(self._wake_in)
            self._thread.join()

    # From here on: the link's thread.

    def _run(self) -> None:
        if not self._begun.acquire(blocking=False):
            return
        try:
            self._spawn()
        except OSError as reason:
            self._finish(from_oserror(reason, f"run {self._command[0]}"))
            return
        self._selector = selectors.DefaultSelector()
        self._events: dict[socket.socket, int] = {}
        self._number = 0
        self._output = bytearray()
        self._answers = channels.Lines()
        self._complaint = b""
        self._noise: list[bytes] = []
        self._writing = False
        for pipe in (self._stdin, self._stdout, self._stderr):
            os.set_blocking(pipe.fileno(), False)
        self._selector.register(self._wake_out, selectors.EVENT_READ, self._woken)
        self._selector.register(self._stdout, selectors.EVENT_READ, self._answered)
        self._selector.register(self._stderr, selectors.EVENT_READ, self._complained)
        error: Exception | None = None
        deadline = time.monotonic() + self._patience
        try:
            while not self._closing:
                self._turn(None if self.greeted else deadline - time.monotonic())
        except (DsttoolError, OSError, EOFError) as failure:
            error = failure
        self._end(error)

    def _spawn(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=self._own_group,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._stderr = self._process.stderr

    def _turn(self, patience: float | None) -> None:
        if patience is not None and patience <= 0:
            raise TimedOut(f"ssh to {self._name} did not connect within {self._patience:g} s.", self._by_hand)
        if bool(self._output) != self._writing:
            self._writing = bool(self._output)
            if self._writing:
                self._selector.register(self._stdin, selectors.EVENT_WRITE, self._write)
            else:
                self._selector.unregister(self._stdin)
        room = len(self._output) < _OUTPUT_BYTES
        for conversation in list(self._conversations.values()):
            wanted = (selectors.EVENT_READ if room else 0) | (
                selectors.EVENT_WRITE if conversation.unsent else 0
            )
            self._watch(conversation, wanted)
        for key, events in self._selector.select(patience):
            if isinstance(key.data, _Conversation):
                self._serve(key.data, events)
            else:
                key.data()

    def _watch(self, conversation: _Conversation, events: int) -> None:
        before = self._events.get(conversation.near, 0)
        if before and not events:
            self._selector.unregister(conversation.near)
        elif events and not before:
            self._selector.register(conversation.near, events, conversation)
        elif events != before:
            self._selector.modify(conversation.near, events, conversation)
        self._events[conversation.near] = events

    def _woken(self) -> None:
        self._wake_out.recv(4096)
        while self._openings:
            daemon, near = self._openings.popleft()
            self._number += 1
            self._conversations[self._number] = _Conversation(self._number, near)
            self._say(channel=self._number, open=daemon)

    def _serve(self, conversation: _Conversation, events: int) -> None:
        if conversation.number not in self._conversations:
            return  # It has ended earlier in this turn.
        if events & selectors.EVENT_WRITE:
            self._deliver(conversation)
        if not events & selectors.EVENT_READ or conversation.number not in self._conversations:
            return
        try:
            part = conversation.near.recv(_READ_BYTES)
            lines = conversation.lines.feed(part)
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            part, lines = b"", []
        for line in lines:
            self._output += channels.pack_line(conversation.number, line)
        if not part:
            self._hang_up(conversation)
            self._say(channel=conversation.number, close=True)

    def _deliver(self, conversation: _Conversation) -> None:
        """Pass on what came for it, and let the far side send as much again."""
        try:
            sent = conversation.near.send(conversation.unsent)
        except BlockingIOError:
            return
        except OSError:
            self._hang_up(conversation)
            self._say(channel=conversation.number, close=True)
            return
        # A line is counted without its end by both sides.
        granted = sent - conversation.unsent.count(b"\n", 0, sent)
        del conversation.unsent[:sent]
        if conversation.ending:
            if not conversation.unsent:
                self._hang_up(conversation)
        elif granted:
            self._say(channel=conversation.number, granted=granted)

    def _write(self) -> None:
        written = os.write(self._stdin.fileno(), self._output[: 1 << 16])
        del self._output[:written]

    def _complained(self) -> None:
        part = self._stderr.read(_COMPLAINT_BYTES)
        if part == b"":
            self._selector.unregister(self._stderr)
        self._complaint = (self._complaint + (part or b""))[-_COMPLAINT_BYTES:]

    def _answered(self) -> None:
        part = os.read(self._stdout.fileno(), _READ_BYTES)
        if not part:
            raise EOFError
        for line in self._answers.feed(part):
            self._take(line)

    def _take(self, line: bytes) -> None:
        if self._daemons is None:
            self._greeted(line)
            return
        said = channels.parse_line(line)
        if said is not None:
            conversation = self._conversations.get(said[0])
            if conversation is not None:
                conversation.unsent += said[1] + b"\n"
                if len(conversation.unsent) > channels.WINDOW_BYTES + channels.LINE_BYTES_MAX:
                    raise ProtocolError(f"dsttool at {self._name} sends more than it may.")
                self._deliver(conversation)
            return
        note = channels.parse_note(line)
        if "daemons" in note:
            self._know(note["daemons"])
        elif "closed" in note:
            self._closed(channels.channel_of(note), note["closed"])

    def _greeted(self, line: bytes) -> None:
        """The first line; what a login shell prints before it, even without an end, is passed over."""
        try:
            note = channels.parse_note(line[max(0, line.find(_GREETING)) :])
        except ProtocolError:
            note = {}
        schema = str(note.get("schema"))
        if schema == channels.SCHEMA:
            self._know(note.get("daemons"))
            self._complaint, self._noise = b"", []  # They are no reason for an end from now on.
            self._known.set()
        elif schema.startswith("dsttool.ctl/"):
            raise ProtocolError(
                f"dsttool on {self._name} speaks {printable(schema)}, and this one {channels.SCHEMA}.",
                "Use the same release of dsttool on both machines.",
            )
        else:
            self._noise.append(line)
            if len(self._noise) > _NOISE_LINES_MAX:
                raise ProtocolError(f"What {self._name} answers is not dsttool.", self._by_hand)

    def _know(self, names: object) -> None:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ProtocolError(f"dsttool at {self._name} does not say what runs there.")
        with self._lock:
            self._daemons = names
            for listener in self._tell:
                _poke(listener)

    def _closed(self, number: int, reason: Any) -> None:
        conversation = self._conversations.get(number)
        if conversation is None:
            return
        if reason is not None:
            conversation.unsent += messages.pack_failure(messages.failure_from_json(reason))
        conversation.ending = True
        self._deliver(conversation)

    def _hang_up(self, conversation: _Conversation) -> None:
        self._watch(conversation, 0)
        del self._events[conversation.near]
        del self._conversations[conversation.number]
        conversation.near.close()

    def _say(self, **fields: Any) -> None:
        self._output += channels.pack_note(**fields)

    def _end(self, error: Exception | None) -> None:
        if not self.greeted and not isinstance(error, EOFError):
            self._process.terminate()  # It does not see that its input ends, and may ask at a terminal.
        self._stdin.close()
        self._stdout.close()
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._complaint += self._stderr.read() or b""
        self._stderr.close()
        self._selector.close()
        self._finish(error if isinstance(error, DsttoolError) else self._why(code))

    def _finish(self, failure: DsttoolError) -> None:
        """Tell everybody that this is the end."""
        with self._lock:
            self.failure = failure
            for listener in self._tell:
                _poke(listener)
        for conversation in self._conversations.values():
            _part(conversation.near, bytes(conversation.unsent), failure)
        while self._openings:  # With the failure set, there come no more.
            _part(self._openings.popleft()[1], b"", failure)
        self._known.set()
        self._wake_in.close()
        self._wake_out.close()

    def _why(self, code: int) -> DsttoolError:
        """Why ssh has ended."""
        if self._closing:
            return Conflict(f"The connection to {self._name} was closed.")
        if code == _NO_COMMAND:
            advice = f"Install it there, where commands by ssh find it. {self._by_hand}"
            return Unreachable(f"There is no dsttool on {self._name}.", advice)
        said = _said(self._complaint) or _said(b"\n".join(self._noise))
        reason = f": {printable(said)}" if said else f" (ssh ended with {code})"
        return Unreachable(f"The connection to {self._name} ended{reason}.".replace("..", "."), self._by_hand)


def _said(complaint: bytes) -> str:
    """The words that tell why: dsttool's own, or what ssh says last."""
    lines = complaint.decode(errors="replace").strip().splitlines()
    told = [line.removeprefix("error:").strip() for line in lines if line.startswith("error:")]
    return (told or [*lines[-1:], ""])[0]


def _part(near: socket.socket, unsent: bytes, failure: DsttoolError) -> None:
    """End a conversation with why, as far as its socket takes that at once."""
    if not unsent:
        unsent = messages.pack_failure(failure)
    try:
        near.send(unsent)
    except OSError:
        pass  # It reads too little, or has left.
    near.close()


def _poke(listener: socket.socket) -> None:
    try:
        listener.send(b"\0")
    except OSError:
        pass  # It is full, so whoever reads it wakes anyway; or it is closed.
