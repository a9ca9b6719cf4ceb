"""Follow every daemon of some places: one thread, which tells each frame as it comes.

Nothing polls. A daemon that appears is found by its place's news; one that is lost is tried again when its
place has news of it, and, if it still takes connections (it was too busy for another watcher, or hung up on
one that was slow), after a pause that grows.

    unknown --its place names it--> connecting --> followed --hang-up, garbage--> lost
      lost --news--> connecting        lost --pause, if it took the connection--> connecting
connecting --no answer--> lost, and followed as soon as it greets
"""

import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from dsttool.engine.control import clock, messages
from dsttool.engine.control.frames import FRAME_BYTES_MAX, check_frame, parse_line
from dsttool.engine.control.picture import Update
from dsttool.engine.control.place import Names, Place
from dsttool.engine.vocabulary import tx_filter
from dsttool.engine.vocabulary.errors import DsttoolError, NotFound, ProtocolError, TimedOut, Unreachable

Tell = Callable[[Update], None]
"""Called from the watching thread; it must not raise, and not wait for long."""

# Seconds before a daemon or a place that can be reached, but did not stay, is tried again: first, at most.
PAUSE_FIRST: Final = 1.0
PAUSE_MAX: Final = 30.0
# Seconds to wait for a control socket of this machine, whose daemon has only to let us in.
OPEN_TIMEOUT: Final = 0.5
# Seconds after which a daemon that took the connection and has said nothing is told to be lost, as long as
# `status` waits; if it speaks later, all is well.
ANSWER_SECONDS: Final = 5.0
# Daemons followed in one place; each costs a descriptor and a picture.
DAEMONS_MAX: Final = 1000


class _Followed:
    """One daemon. `connection` is None while it is lost; `retry`: when to try again, None for on news; with a
    connection, until when it has to greet.
    """

    def __init__(self, place: Place, daemon: str) -> None:
        self.place = place
        self.daemon = daemon
        self.connection: socket.socket | None = None
        self.received = bytearray()
        self.searched = 0
        self.greeted = False
        self.reason = ""
        self.pause = PAUSE_FIRST
        self.retry: float | None = None


class _Surroundings:
    """The names of one place. `names` is None while the place cannot be reached."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.names: Names | None = None
        self.lost = False
        self.pause = PAUSE_FIRST
        self.retry: float | None = 0.0


class Watch:
    """Follows the daemons of `places` from its making until `close`.

    filter: of transactions (vocabulary.tx_filter). transactions: whether they are wanted at all; the daemons
    need not list them otherwise. Raises UsageError for a filter that is none.
    """

    def __init__(
        self, places: Sequence[Place], tell: Tell, filter: str = "", *, transactions: bool = True
    ) -> None:
        tx_filter.parse(filter)
        self._tell = tell
        self._filter = filter
        self._transactions = transactions
        self._surroundings = [_Surroundings(place) for place in places]
        self._followed: dict[tuple[str, str], _Followed] = {}
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._closing = False
        self._asked_filter = filter
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def set_filter(self, text: str) -> None:
        """Show other transactions from now on: every daemon sends a snapshot. Raises UsageError."""
        tx_filter.parse(text)
        self._filter = text
        self._wake()

    def close(self) -> None:
        """Hang up; nothing is told once this returns (unless it is called from `tell`)."""
        self._closing = True
        self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _wake(self) -> None:
        try:
            self._wake_in.send(b"\0")
        except OSError:
            pass  # It wakes anyway, or it has ended.

    # From here on: the watching thread.

    def _run(self) -> None:
        with selectors.DefaultSelector() as self._selector:
            self._selector.register(self._wake_out, selectors.EVENT_READ, self._woken)
            while not self._closing:
                self._retry(time.monotonic())
                for key, _ in self._selector.select(self._patience()):
                    if not self._closing:
                        key.data()
            for followed in self._followed.values():
                self._hang_up(followed)
            for around in self._surroundings:
                if around.names is not None:
                    around.names.close()
        self._wake_in.close()
        self._wake_out.close()

    def _woken(self) -> None:
        self._wake_out.recv(4096)
        if self._asked_filter == self._filter:
            return
        self._asked_filter = self._filter
        for followed in list(self._followed.values()):
            if followed.connection is not None:
                self._ask(followed, followed.connection)

    def _patience(self) -> float | None:
        dues = [followed.retry for followed in self._followed.values()]
        dues += [around.retry for around in self._surroundings]
        due = min((due for due in dues if due is not None), default=None)
        return None if due is None else max(0.0, due - time.monotonic())

    def _retry(self, now: float) -> None:
        for around in self._surroundings:
            if around.retry is not None and around.retry <= now:
                self._look_around(around)
        for followed in list(self._followed.values()):
            if followed.retry is not None and followed.retry <= now:
                if followed.connection is None:
                    self._connect(followed)
                else:
                    followed.retry = None
                    self._lost(followed, f"no answer within {ANSWER_SECONDS:g} s")

    # -- places ----------------------------------------------------------------------------------------

    def _look_around(self, around: _Surroundings) -> None:
        """Ask a place for its names."""
        around.retry = None
        try:
            around.names = around.place.names()
        except DsttoolError as error:
            self._lose_place(around, error)
            return
        self._selector.register(around.names, selectors.EVENT_READ, lambda: self._named(around))
        self._named(around)

    def _named(self, around: _Surroundings) -> None:
        """A place has news: connect to whom we are not connected."""
        assert around.names is not None, "news come from names"
        try:
            names = around.names.read()[:DAEMONS_MAX]
        except (DsttoolError, OSError) as error:
            self._selector.unregister(around.names)
            around.names.close()
            around.names = None
            self._lose_place(around, error)
            return
        if not around.names.reached():
            return  # Nothing is known of it yet; if that fails, the next pause is longer.
        around.pause = PAUSE_FIRST
        if around.lost:
            around.lost = False
            self._tell(Update(around.place.name, "", clock.now_ns(), None))
        for name in names:
            key = (around.place.name, name)
            followed = self._followed.setdefault(key, _Followed(around.place, name))
            if followed.connection is None:
                followed.pause = PAUSE_FIRST
                self._connect(followed)

    def _lose_place(self, around: _Surroundings, error: Exception) -> None:
        around.lost = True
        around.retry = time.monotonic() + around.pause
        around.pause = min(2 * around.pause, PAUSE_MAX)
        self._tell(Update(around.place.name, "", clock.now_ns(), None, _reason(error)))

    # -- daemons ---------------------------------------------------------------------------------------

    def _connect(self, followed: _Followed) -> None:
        followed.retry = None
        try:
            connection = followed.place.open(followed.daemon, OPEN_TIMEOUT)
        except DsttoolError as error:
            if isinstance(error, TimedOut):
                self._pause(followed)  # It is there, and does not let us in yet.
            if not isinstance(error, NotFound) and _reason(error) != followed.reason:
                self._lost(followed, _reason(error))
            return
        connection.setblocking(False)
        followed.connection = connection
        followed.received.clear()
        followed.searched = 0
        followed.greeted = False
        followed.retry = time.monotonic() + ANSWER_SECONDS
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._receive(followed))
        self._ask(followed, connection)

    def _ask(self, followed: _Followed, connection: socket.socket) -> None:
        """Send the command `watch`."""
        arguments = {"filter": self._filter, "transactions": self._transactions}
        line = messages.pack_command("watch", arguments)
        try:
            sent = connection.send(line)
        except OSError as error:
            self._drop(followed, _reason(error))
            return
        if sent < len(line):
            self._drop(followed, "it reads nothing")

    def _receive(self, followed: _Followed) -> None:
        connection = followed.connection
        assert connection is not None, "only a connection can be read"
        try:
            part = connection.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError as error:
            self._drop(followed, _reason(error))
            return
        if not part:
            self._drop(followed, followed.reason or "it hung up")
            return
        followed.received += part
        try:
            self._take(followed)
        except DsttoolError as error:
            self._drop(followed, _reason(error))

    def _take(self, followed: _Followed) -> None:
        """Every whole line that was received. Raises ProtocolError, and what the daemon refuses with."""
        received = followed.received
        while followed.connection is not None and not self._closing:
            end = received.find(b"\n", followed.searched)
            if end < 0:
                followed.searched = len(received)
                if len(received) > FRAME_BYTES_MAX:
                    raise ProtocolError("The daemon's frame is too long.")
                return
            line = bytes(received[:end])
            del received[: end + 1]
            followed.searched = 0
            self._line(followed, line)

    def _line(self, followed: _Followed, line: bytes) -> None:
        said = parse_line(line)
        if isinstance(said, dict) and said.get("schema") == messages.SCHEMA:
            self._refused(followed, line)
            return
        frame = check_frame(said)
        if frame is None:
            return
        if frame["type"] == "hello":
            followed.greeted = True
            followed.retry = None
            followed.reason = ""
        elif frame["type"] == "snapshot":
            followed.pause = PAUSE_FIRST
        elif frame["type"] == "bye":
            followed.reason = frame.get("reason", "it ended")
        self._tell(Update(followed.place.name, followed.daemon, clock.now_ns(), frame))

    def _refused(self, followed: _Followed, line: bytes) -> None:
        """An answer instead of a frame. Raises what makes the connection useless: it does not let us watch,
        or the way to its machine is lost.
        """
        try:
            messages.parse_answer(line)
        except DsttoolError as error:
            if not followed.greeted or isinstance(error, Unreachable):
                raise
            # A filter that a daemon of another release does not know: it goes on with the old one.

    def _drop(self, followed: _Followed, reason: str) -> None:
        """The connection is of no use any more."""
        self._hang_up(followed)
        self._pause(followed)
        self._lost(followed, reason)

    def _hang_up(self, followed: _Followed) -> None:
        if followed.connection is not None:
            self._selector.unregister(followed.connection)
            followed.connection.close()
            followed.connection = None

    def _pause(self, followed: _Followed) -> None:
        followed.retry = time.monotonic() + followed.pause
        followed.pause = min(2 * followed.pause, PAUSE_MAX)

    def _lost(self, followed: _Followed, reason: str) -> None:
        followed.reason = reason
        self._tell(Update(followed.place.name, followed.daemon, clock.now_ns(), None, reason))


def _reason(error: Exception) -> str:
    return error.what if isinstance(error, DsttoolError) else str(error)
