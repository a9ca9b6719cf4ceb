"""The far end of a remote place: conversations with this machine's daemons over two descriptors.

One thread, one loop: it reads what is asked, passes lines on both ways, and tells when daemons come and go.
See control.channels for the words and the bounds. It ends when its input ends.
"""

import os
import selectors
import socket
from typing import Any, Final

from dsttool.engine.config.names import check_name
from dsttool.engine.control import channels, messages
from dsttool.engine.control.place import Local
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, ProtocolError

# Written at once: what a pipe takes without blocking whenever it takes anything (PIPE_BUF, pipe(7)).
_WRITE_BYTES: Final = 4096
_READ_BYTES: Final = 1 << 16
# Unsent output past which nothing is read from daemons; each channel may add what it has just read.
_OUTPUT_BYTES: Final = 4 << 20
# Unsent output past which whoever goes on asking does not mean to read.
_OUTPUT_BYTES_MAX: Final = 64 << 20
# Unsent words for a daemon: it reads the next command when it has answered the one before.
_UNSENT_BYTES: Final = 2 * messages.COMMAND_BYTES_MAX


class _Channel:
    __slots__ = ("connection", "credit", "lines", "number", "unsent")

    def __init__(self, number: int, connection: socket.socket) -> None:
        self.number = number
        self.connection = connection
        self.credit = channels.WINDOW_BYTES
        self.lines = channels.Lines()
        self.unsent = b""


class Relay:
    """Serves one asking side until its input ends. Descriptors of input and output stay the caller's."""

    def __init__(self, place: Local, source: int, sink: int, about: dict[str, Any]) -> None:
        self._place = place
        self._source = source
        self._sink = sink
        self._about = about
        self._channels: dict[int, _Channel] = {}
        self._asked = channels.Lines(messages.COMMAND_BYTES_MAX + 64)
        self._output = bytearray()
        self._daemons: list[str] = []
        # poll(2), because input and output may be files, which epoll does not take.
        self._selector = selectors.PollSelector()
        self._watched: dict[Any, int] = {}

    def run(self) -> None:
        """Serve. Raises ProtocolError for what is no conversation, DsttoolError, OSError."""
        self._names = self._place.names()
        try:
            self._daemons = self._names.read()
            self._say(schema=channels.SCHEMA, **self._about, daemons=self._daemons)
            while self._turn():
                pass
        finally:
            for channel in self._channels.values():
                channel.connection.close()
            self._names.close()
            self._selector.close()

    def _turn(self) -> bool:
        """Wait, and do what there is to do; False once the input has ended."""
        self._interests()
        for key, events in self._selector.select():
            if key.fileobj == self._source:
                part = os.read(self._source, _READ_BYTES)
                if not part:
                    return False
                for line in self._asked.feed(part):
                    self._take(line)
                if len(self._output) > _OUTPUT_BYTES_MAX:
                    raise ProtocolError("The other dsttool asks, and does not read what it is answered.")
            elif key.fileobj == self._sink:
                self._write()
            elif isinstance(key.data, _Channel):
                self._pass(key.data, events)
            else:
                self._tell_names()
        return True

    def _interests(self) -> None:
        wanted: dict[Any, tuple[int, Any]] = {self._source: (selectors.EVENT_READ, None)}
        room = len(self._output) < _OUTPUT_BYTES
        if self._output:
            wanted[self._sink] = (selectors.EVENT_WRITE, None)
        if room:
            wanted[self._names.fileno()] = (selectors.EVENT_READ, None)
        for channel in self._channels.values():
            events = selectors.EVENT_READ if room and channel.credit > 0 else 0
            events |= selectors.EVENT_WRITE if channel.unsent else 0
            if events:
                wanted[channel.connection] = (events, channel)
        for each in [each for each in self._watched if each not in wanted]:
            self._selector.unregister(each)
            del self._watched[each]
        for each, (events, data) in wanted.items():
            if each not in self._watched:
                self._selector.register(each, events, data)
            elif self._watched[each] != events:
                self._selector.modify(each, events, data)
            self._watched[each] = events

    def _take(self, line: bytes) -> None:
        said = channels.parse_line(line)
        if said is not None:
            number, content = said
            if number in self._channels:
                self._to_daemon(self._channels[number], content)
            return
        note = channels.parse_note(line)
        number = channels.channel_of(note)
        if "open" in note:
            self._open(number, note["open"])
        elif number not in self._channels:
            return  # It was closed meanwhile, and that has not been heard there yet.
        elif "close" in note:
            self._end(self._channels[number])
        elif type(note.get("granted")) is int and note["granted"] > 0:
            self._channels[number].credit += note["granted"]

    def _open(self, number: int, daemon: object) -> None:
        if number in self._channels:
            raise ProtocolError(f"Channel {number} is open already.")
        try:
            if len(self._channels) >= channels.CHANNELS_MAX:
                raise Conflict("There are too many conversations with this machine.", "End some of them.")
            # Without patience: a daemon that cannot even be connected to holds up nobody else.
            connection = self._place.open(check_name(str(daemon)), timeout=0.0)
        except DsttoolError as error:
            self._say(channel=number, closed=messages.failure_to_json(error))
            return
        connection.setblocking(False)
        self._channels[number] = _Channel(number, connection)
        self._say(channel=number, opened=True)

    def _pass(self, channel: _Channel, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._to_daemon(channel)
        if events & selectors.EVENT_READ and channel.number in self._channels:
            self._from_daemon(channel)

    def _to_daemon(self, channel: _Channel, line: bytes | None = None) -> None:
        if line is not None:
            channel.unsent += line + b"\n"
        try:
            channel.unsent = channel.unsent[channel.connection.send(channel.unsent) :]
        except BlockingIOError:
            if len(channel.unsent) > _UNSENT_BYTES:
                self._end(channel, ProtocolError("The daemon does not read what it is told."))
        except OSError:
            self._end(channel)

    def _from_daemon(self, channel: _Channel) -> None:
        try:
            part = channel.connection.recv(_READ_BYTES)
            lines = channel.lines.feed(part)
        except BlockingIOError:
            return
        except OSError:
            part, lines = b"", []
        except ProtocolError as error:
            self._end(channel, error)
            return
        for line in lines:
            channel.credit -= len(line)
            self._output += channels.pack_line(channel.number, line)
        if not part:
            self._end(channel)

    def _end(self, channel: _Channel, error: DsttoolError | None = None) -> None:
        """Hang up, and say so."""
        del self._channels[channel.number]
        if channel.connection in self._watched:
            self._selector.unregister(channel.connection)
            del self._watched[channel.connection]
        channel.connection.close()
        self._say(channel=channel.number, closed=None if error is None else messages.failure_to_json(error))

    def _tell_names(self) -> None:
        """Also when the names are the same: one may have been started again."""
        self._daemons = self._names.read()
        self._say(daemons=self._daemons)

    def _say(self, **fields: Any) -> None:
        self._output += channels.pack_note(**fields)

    def _write(self) -> None:
        written = os.write(self._sink, self._output[:_WRITE_BYTES])
        del self._output[:written]
