"""The control thread: serves the control socket and never makes the reactor wait.

Everything that touches the engine is posted to the reactor, which runs a handler and gives its
answer back; reading, checking, encoding and sending happen here. A client sends one command and
gets one answer before its next line is read, so that its memory is bounded by one line each way.

    reading -> asked (posted to the reactor) -> answering -> reading
                  | no answer in time: TimedOut goes out, a late answer is dropped
                  | "later": asked without a deadline, until the answer or until the client leaves

A client that leaves before its answer is noticed by the hang-up of its socket: what was waited for on
its behalf is told, so that nobody waits for nobody.

The command `watch` makes a conversation a stream (control.broadcast): frames go out whenever there is
something new and the frame before is sent; the only command from then on is `watch` with another filter.
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
from dsttool.engine.control.broadcast import Broadcast, News, Watcher
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary import errors

# Conversations at once beside those that watch (broadcast.WATCHERS_MAX); commands are short, so more than
# this many means a script gone wild.
CONNECTIONS_MAX: Final = 32
# Seconds the reactor has to answer a command, and a client to finish a line or to read an answer.
STEP_TIMEOUT: Final = 10.0
# Seconds in which one that watches must have read something of what is sent to it.
WATCHER_TIMEOUT: Final = 30.0

Gone = Callable[[], None]
"""Told on the reactor that nobody waits for an answer any more."""

log = logging.getLogger("dsttool.control")


class _Conversation:
    __slots__ = (
        *("asked", "connection", "deadline", "events", "gone", "received", "silent", "turn", "unsent"),
        "watcher",
    )

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = bytearray()
        self.unsent = b""
        self.asked = False
        self.turn = 0
        self.deadline: float | None = None
        self.gone: Gone | None = None
        self.events = 0
        self.silent = False  # It has said all it wants to say, and still reads.
        self.watcher: Watcher | None = None


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
    """Answers commands on a listening Unix socket with `handlers`, run through `post`.

    check: raises Conflict if what a command expects does not hold; on the reactor. broadcast: what those who
    watch are told.
    """

    def __init__(
        self,
        listener: socket.socket,
        post: Callable[[Callable[[], None]], None],
        handlers: Mapping[str, Handler],
        check: Callable[[messages.Expect], None],
        broadcast: Broadcast,
    ) -> None:
        self._listener = listener
        self._post = post
        self._handlers = handlers
        self._check = check
        self._broadcast = broadcast
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

    def put(self, news: News) -> None:
        """Something for those who watch. From the reactor."""
        if self._broadcast.put(news):
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
                self._guarded(key.data, self._event, key)
            self._expire(time.monotonic())
        self._deliver()
        for conversation in list(self._conversations.values()):
            conversation.gone = None  # The reactor has ended, and everything that waited with it.
            self._say_goodbye(conversation)
            if conversation.connection in self._conversations:
                self._hang_up(conversation)
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def _guarded(self, conversation: _Conversation | None, step: Callable[..., None], *given: Any) -> None:
        """A fault of ours in one conversation ends that one, and keeps no other from reaching the daemon."""
        try:
            step(*given)
        except Exception:
            log.exception("a control conversation failed")
            if conversation is not None and conversation.connection in self._conversations:
                self._hang_up(conversation)

    def _event(self, key: selectors.SelectorKey) -> None:
        if key.fileobj is self._listener:
            self._accept()
        elif key.fileobj is self._wake_out:
            self._wake_out.recv(4096)
            self._deliver()
            self._tell()
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
        self._await(conversation, selectors.EVENT_READ)
        uid = _peer_uid(connection)
        if uid not in (None, 0, os.geteuid()):
            tell(log, "control.refused", "", "refused user %s on the control socket", uid)
            self._refuse(conversation, errors.Forbidden("This daemon belongs to another user."))
        elif self._commanding() > CONNECTIONS_MAX and not self._make_room(conversation):
            self._refuse(
                conversation, errors.Conflict("The daemon is busy with other commands.", "Try again.")
            )

    def _refuse(self, conversation: _Conversation, error: errors.DsttoolError) -> None:
        """Say why, as far as the socket takes it at once, and hang up."""
        self._answer(conversation, error)
        if conversation.connection in self._conversations:
            self._hang_up(conversation)

    def _commanding(self) -> int:
        return sum(1 for conversation in self._conversations.values() if conversation.watcher is None)

    def _make_room(self, newcomer: _Conversation) -> bool:
        """Hang up on the oldest conversation in which nothing is going on."""
        for conversation in self._conversations.values():
            if conversation.watcher is not None or conversation is newcomer:
                continue
            if conversation.deadline is None and not conversation.asked:
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
        waits = conversation.asked or conversation.watcher is not None
        if not part and waits and not _has_hung_up(conversation.connection):
            conversation.silent = True
            self._await(conversation, 0)
        elif not part:
            self._hang_up(conversation)
        else:
            conversation.received += part
            if conversation.asked and len(conversation.received) > messages.COMMAND_BYTES_MAX:
                self._await(conversation, 0)
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
                break
            conversation.received = rest
            self._ask(conversation, bytes(line))
        if conversation.watcher is not None:
            self._feed(conversation, conversation.watcher)

    def _ask(self, conversation: _Conversation, line: bytes) -> None:
        try:
            command = messages.parse_command(line)
            if command.name == "watch":
                self._watch(conversation, command)
                return
            handler = self._handler(conversation, command)
        except errors.DsttoolError as error:
            self._answer(conversation, error)
            return
        conversation.asked = True
        conversation.turn += 1
        conversation.deadline = time.monotonic() + STEP_TIMEOUT
        self._post(self._asking(conversation, handler, command))

    def _handler(self, conversation: _Conversation, command: messages.Command) -> Handler:
        if conversation.watcher is not None:
            raise errors.Conflict("This connection is a stream.", "Ask on another one.")
        handler = self._handlers.get(command.name)
        if handler is None:
            raise errors.UsageError(
                f"This daemon knows no command {command.name!r}.",
                "Restart it with the release of dsttool that asks.",
            )
        return handler

    def _asking(
        self, conversation: _Conversation, handler: Handler, command: messages.Command
    ) -> Callable[[], None]:
        answer = Answer(self, conversation)

        def ask() -> None:  # On the reactor.
            try:
                if command.expect is not None:
                    self._check(command.expect)
                handler(command.arguments, answer)
            except errors.DsttoolError as error:
                answer(error)
            except Exception as error:
                log.exception("a control command failed")
                answer(errors.DsttoolError(f"The daemon failed: {error!r}.", "Its log has the details."))

        return ask

    def _watch(self, conversation: _Conversation, command: messages.Command) -> None:
        """Become a stream, or one of other transactions. Raises UsageError, Conflict."""
        if conversation.watcher is not None:
            self._broadcast.change(conversation.watcher, command.arguments)
        else:
            conversation.watcher = self._broadcast.join(command.arguments)

    def _tell(self) -> None:
        """News for those who watch, as far as they have read what was there before."""
        self._broadcast.take()
        for conversation in list(self._conversations.values()):
            if conversation.watcher is not None and not conversation.unsent:
                self._guarded(conversation, self._feed, conversation, conversation.watcher)

    def _feed(self, conversation: _Conversation, watcher: Watcher) -> None:
        """Send frames until the socket takes no more, or there are no more."""
        while not conversation.unsent and conversation.connection in self._conversations:
            frame = self._broadcast.next(watcher)
            if frame is None:
                return
            self._send_frame(conversation, frame)

    def _send_frame(self, conversation: _Conversation, frame: bytes) -> None:
        conversation.unsent = frame
        conversation.deadline = time.monotonic() + WATCHER_TIMEOUT
        self._send(conversation)

    def _say_goodbye(self, conversation: _Conversation) -> None:
        """The last frame, if the one before is sent and the socket takes it at once."""
        if conversation.watcher is not None and not conversation.unsent:
            frame = self._broadcast.bye(conversation.watcher, "The daemon has ended.")
            self._send_frame(conversation, frame)

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
                self._guarded(conversation, self._resume, conversation, result)

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
        if sent and conversation.watcher is not None:
            conversation.deadline = time.monotonic() + WATCHER_TIMEOUT
        conversation.unsent = conversation.unsent[sent:]
        if conversation.unsent:
            self._await(conversation, selectors.EVENT_WRITE)
        else:
            conversation.deadline = None
            silent = conversation.silent and conversation.watcher is not None
            self._await(conversation, 0 if silent else selectors.EVENT_READ)

    def _await(self, conversation: _Conversation, events: int) -> None:
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
        self._await(conversation, 0)
        if conversation.gone is not None:
            self._post(conversation.gone)
            conversation.gone = None
        conversation.asked = False
        conversation.unsent = b""
        if conversation.watcher is not None:
            self._broadcast.leave(conversation.watcher)
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
