"""The control thread: serves the control socket and never makes the reactor wait.

Everything that touches the engine is posted to the reactor, which runs a handler and gives its
answer back; reading, checking, encoding and sending happen here. A client sends one command and
gets one answer before its next line is read, so that its memory is bounded by one line each way.

    reading -> asked (posted to the reactor) -> answering -> reading
                  | no answer in time: TimedOut goes out, a late answer is dropped
                  | "later": asked without a deadline, until the answer or until the client leaves

A client that leaves before its answer is noticed by the hang-up of its socket: what was waited for on
its behalf is told, so that nobody waits for nobody.
"""

import logging
import os
import select
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from dsttool.engine.control import messages
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary import errors

# Conversations at once; commands are short, so more than this many means a script gone wild.
CONNECTIONS_MAX: Final = 32
# Seconds the reactor has to answer a command, and a client to finish a line or to read an answer.
STEP_TIMEOUT: Final = 10.0

Gone = Callable[[], None]
"""Told on the reactor that nobody waits for an answer any more."""

log = logging.getLogger("dsttool.control")


class _Conversation:
    __slots__ = ("asked", "connection", "deadline", "events", "gone", "received", "turn", "unsent")

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = bytearray()
        self.unsent = b""
        self.asked = False
        self.turn = 0
        self.deadline: float | None = None
        self.gone: Gone | None = None
        self.events = 0


class Answer:
    """Takes the result of one command, or the DsttoolError it failed with; from the reactor, once."""

    __slots__ = ("_conversation", "_server", "_turn")

    def __init__(self, server: "ControlServer", conversation: _Conversation) -> None:
        self._server = server
        self._conversation = conversation
        self._turn = conversation.turn

    def __call__(self, result: Any) -> None:
        """Send it, unless the client has left or was told that it took too long."""
        self._server.answered(self._conversation, self._turn, result)

    def later(self, gone: Gone) -> None:
        """The answer takes the time it takes. If the client leaves first, `gone` is called instead; once."""
        self._server.answered(self._conversation, self._turn, _Later(gone))


class _Later:
    __slots__ = ("gone",)

    def __init__(self, gone: Gone) -> None:
        self.gone = gone


Handler = Callable[[dict[str, Any], Answer], None]
"""Runs on the reactor; calls its Answer, at once or later."""


class ControlServer:
    """Answers commands on a listening Unix socket with `handlers`, run through `post`."""

    def __init__(
        self,
        listener: socket.socket,
        post: Callable[[Callable[[], None]], None],
        handlers: Mapping[str, Handler],
    ) -> None:
        self._listener = listener
        self._post = post
        self._handlers = handlers
        self._conversations: dict[socket.socket, _Conversation] = {}
        self._answers: deque[tuple[_Conversation, int, Any]] = deque()
        self._wake_in, self._wake_out = socket.socketpair()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def start(self) -> None:
        """Accept from now on."""
        self._thread.start()

    def close(self) -> None:
        """Send what was answered, hang up, and end the thread; at most two seconds."""
        self._closing = True
        self._wake()
        if self._thread.ident is not None:
            self._thread.join(2)
        self._listener.close()

    def answered(self, conversation: _Conversation, turn: int, result: Any) -> None:
        """What an Answer was given. From the reactor."""
        self._answers.append((conversation, turn, result))
        self._wake()

    def _wake(self) -> None:
        try:
            self._wake_in.send(b"\0", socket.MSG_DONTWAIT)
        except OSError:
            pass  # The buffer is full, so the thread wakes anyway; or it has ended.

    # From here on: the control thread.

    def _run(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        while not self._closing:
            for key, _ in self._selector.select(self._patience()):
                self._event(key)
            self._expire(time.monotonic())
        self._deliver()
        for conversation in list(self._conversations.values()):
            conversation.gone = None  # The reactor has ended, and everything that waited with it.
            self._hang_up(conversation)
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def _event(self, key: selectors.SelectorKey) -> None:
        if key.fileobj is self._listener:
            self._accept()
        elif key.fileobj is self._wake_out:
            self._wake_out.recv(4096)
            self._deliver()
        elif key.fileobj not in self._conversations:
            return  # Hung up on earlier in this round.
        elif key.data.unsent:
            self._send(key.data)
            self._continue(key.data)
        else:
            self._receive(key.data)

    def _patience(self) -> float | None:
        deadlines = [c.deadline for c in self._conversations.values() if c.deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # It went away again, or descriptors ran out.
        connection.setblocking(False)
        conversation = _Conversation(connection)
        self._conversations[connection] = conversation
        self._watch(conversation, selectors.EVENT_READ)
        uid = _peer_uid(connection)
        if uid not in (None, 0, os.geteuid()):
            tell(log, "control.refused", "", "refused user %s on the control socket", uid)
            self._refuse(conversation, errors.Forbidden("This daemon belongs to another user."))
        elif len(self._conversations) > CONNECTIONS_MAX and not self._make_room(conversation):
            self._refuse(
                conversation, errors.Conflict("The daemon is busy with other commands.", "Try again.")
            )

    def _refuse(self, conversation: _Conversation, error: errors.DsttoolError) -> None:
        """Say why, as far as the socket takes it at once, and hang up."""
        self._answer(conversation, error)
        if conversation.connection in self._conversations:
            self._hang_up(conversation)

    def _make_room(self, newcomer: _Conversation) -> bool:
        """Hang up on the oldest conversation in which nothing is going on."""
        for conversation in self._conversations.values():
            if conversation.deadline is None and not conversation.asked and conversation is not newcomer:
                self._hang_up(conversation)
                return True
        return False

    def _receive(self, conversation: _Conversation) -> None:
        try:
            part = conversation.connection.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part and conversation.asked and not _has_hung_up(conversation.connection):
            self._watch(conversation, 0)  # It has said all it wants to say, and waits.
        elif not part:
            self._hang_up(conversation)
        else:
            conversation.received += part
            if conversation.asked and len(conversation.received) > messages.COMMAND_BYTES_MAX:
                self._watch(conversation, 0)
            self._continue(conversation)

    def _continue(self, conversation: _Conversation) -> None:
        """Take the next line, and more while they are answered at once."""
        while not (conversation.asked or conversation.unsent):
            if conversation.connection not in self._conversations:
                return
            line, newline, rest = conversation.received.partition(b"\n")
            if len(line) > messages.COMMAND_BYTES_MAX:
                self._refuse(conversation, errors.ProtocolError("The control message is too long."))
                return
            if not newline:
                if line and conversation.deadline is None:
                    conversation.deadline = time.monotonic() + STEP_TIMEOUT
                return
            conversation.received = rest
            self._ask(conversation, bytes(line))

    def _ask(self, conversation: _Conversation, line: bytes) -> None:
        try:
            command, arguments = messages.parse_command(line)
            handler = self._handlers.get(command)
            if handler is None:
                raise errors.UsageError(
                    f"This daemon knows no command {command!r}.",
                    "Restart it with the release of dsttool that asks.",
                )
        except errors.DsttoolError as error:
            self._answer(conversation, error)
            return
        conversation.asked = True
        conversation.turn += 1
        conversation.deadline = time.monotonic() + STEP_TIMEOUT
        self._post(self._asking(conversation, handler, arguments))

    def _asking(
        self, conversation: _Conversation, handler: Handler, arguments: dict[str, Any]
    ) -> Callable[[], None]:
        answer = Answer(self, conversation)

        def ask() -> None:  # On the reactor.
            try:
                handler(arguments, answer)
            except errors.DsttoolError as error:
                answer(error)
            except Exception as error:
                log.exception("a control command failed")
                answer(errors.DsttoolError(f"The daemon failed: {error!r}.", "Its log has the details."))

        return ask

    def _deliver(self) -> None:
        while self._answers:
            conversation, turn, result = self._answers.popleft()
            awaited = conversation.asked and conversation.turn == turn
            if isinstance(result, _Later):
                if awaited:
                    conversation.deadline, conversation.gone = None, result.gone
                else:
                    self._post(result.gone)
            elif awaited:
                self._resume(conversation, result)

    def _resume(self, conversation: _Conversation, result: Any) -> None:
        conversation.asked = False
        conversation.gone = None
        self._answer(conversation, result)
        self._continue(conversation)

    def _answer(self, conversation: _Conversation, result: Any) -> None:
        if isinstance(result, errors.DsttoolError):
            conversation.unsent = messages.pack_failure(result)
        else:
            conversation.unsent = messages.pack_result(result)
        conversation.deadline = time.monotonic() + STEP_TIMEOUT
        self._send(conversation)

    def _send(self, conversation: _Conversation) -> None:
        try:
            sent = conversation.connection.send(conversation.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._hang_up(conversation)
            return
        conversation.unsent = conversation.unsent[sent:]
        if conversation.unsent:
            self._watch(conversation, selectors.EVENT_WRITE)
        else:
            conversation.deadline = None
            self._watch(conversation, selectors.EVENT_READ)

    def _watch(self, conversation: _Conversation, events: int) -> None:
        """Wake up for these events of its socket, or for none of them."""
        before, conversation.events = conversation.events, events
        if before and not events:
            self._selector.unregister(conversation.connection)
        elif events and not before:
            self._selector.register(conversation.connection, events, conversation)
        elif events != before:
            self._selector.modify(conversation.connection, events, conversation)

    def _expire(self, now: float) -> None:
        for conversation in list(self._conversations.values()):
            if conversation.deadline is None or now < conversation.deadline:
                continue
            if conversation.asked:
                self._resume(conversation, errors.TimedOut("The daemon is too busy to answer.", "Try again."))
            else:
                self._hang_up(conversation)

    def _hang_up(self, conversation: _Conversation) -> None:
        self._watch(conversation, 0)
        if conversation.gone is not None:
            self._post(conversation.gone)
            conversation.gone = None
        conversation.asked = False
        conversation.unsent = b""
        del self._conversations[conversation.connection]
        conversation.connection.close()


def _has_hung_up(connection: socket.socket) -> bool:
    """Whether the other end is closed; one that will only say no more (`nc -N`) still reads."""
    poll = select.poll()
    poll.register(connection, 0)
    return bool(poll.poll(0))


def _peer_uid(connection: socket.socket) -> int | None:
    """The user at the other end, or None where the system does not say (the folder is 0700 then)."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", packed)[1])
