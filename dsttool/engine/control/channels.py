"""What `dsttool ctl --stdio` and those who run it over ssh say to each other: schema "dsttool.ctl/1".

JSON lines both ways. Several conversations with daemons share the pipe, each a channel with a number that
the asking side chooses:

    < {"schema": "dsttool.ctl/1", "host": …, "version": …, "daemons": [names]}      once, the first line
    < {"daemons": [names]}                          when one has come, gone, or was started again
    > {"channel": 1, "open": name}
    < {"channel": 1, "opened": true}                or "closed", with the reason
    > {"channel": 1, "line": {…}}                   a line for the daemon, as it is
    < {"channel": 1, "line": {…}}                   and one of the daemon's
    > {"channel": 1, "granted": bytes}              that much of what came was taken: more may be sent
    > {"channel": 1, "close": true}
    < {"channel": 1, "closed": {what, advice, exit_code} or null}      the daemon's end; null: it hung up

Back-pressure: the far side sends at most WINDOW_BYTES of lines of a channel that were not granted again
(one line may go beyond it), and reads no more from that daemon until then. So a reader that is slow slows
its daemon's stream, which coalesces, and no other channel. The far side ends when its input ends.
"""

import json
import re
from typing import Any, Final

from dsttool.engine.control import messages
from dsttool.engine.vocabulary.errors import ProtocolError
from dsttool.engine.vocabulary.texts import to_json

SCHEMA: Final = "dsttool.ctl/1"

# Lines of one channel on the way. Enough for a snapshot; more would only wait there instead of in the daemon.
WINDOW_BYTES: Final = 1 << 20
# Conversations at once: a machine has hardly as many daemons, and each has few.
CHANNELS_MAX: Final = 256
# The longest line of a daemon, and what is put around it.
LINE_BYTES_MAX: Final = messages.ANSWER_BYTES_MAX + 64

_LINE: Final = re.compile(rb'\{"channel":(0|[1-9][0-9]{0,8}),"line":(.*)\}', re.DOTALL)


def pack_line(channel: int, line: bytes) -> bytes:
    """A line of a conversation; `line` without its end."""
    return b'{"channel":%d,"line":%s}\n' % (channel, line)


def pack_note(**fields: Any) -> bytes:
    """Anything else."""
    return to_json(fields).encode() + b"\n"


def parse_line(line: bytes) -> tuple[int, bytes] | None:
    """Channel and line of a conversation, not looked into; None if it is a note."""
    match = _LINE.fullmatch(line)
    return None if match is None else (int(match[1]), match[2])


def parse_note(line: bytes) -> dict[str, Any]:
    """A note's fields. Raises ProtocolError."""
    try:
        note = json.loads(line)
    except (ValueError, RecursionError):
        raise ProtocolError("A line between two dsttool is no JSON.") from None
    if not isinstance(note, dict):
        raise ProtocolError("A line between two dsttool is no JSON object.")
    return note


def channel_of(note: dict[str, Any]) -> int:
    """The channel that a note is about. Raises ProtocolError."""
    channel = note.get("channel")
    if type(channel) is not int or not 0 <= channel < 10**9:
        raise ProtocolError("A note between two dsttool is about no channel.")
    return channel


class Lines:
    """Cuts what comes into lines of bounded length."""

    def __init__(self, most: int = LINE_BYTES_MAX) -> None:
        self._most = most
        self._rest = bytearray()

    def feed(self, part: bytes) -> list[bytes]:
        """The lines that are whole now, without their ends. Raises ProtocolError for one that is too long."""
        self._rest += part
        *whole, rest = self._rest.split(b"\n") if b"\n" in part else (self._rest,)
        self._rest = bytearray(rest)
        if max(map(len, (*whole, rest))) > self._most:
            raise ProtocolError("A line between two dsttool is too long.")
        return [bytes(line) for line in whole]
