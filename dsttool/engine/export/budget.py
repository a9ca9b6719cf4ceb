"""Budget: what one client may have unanswered, and when its socket is read again."""

from typing import Final

from dsttool.engine.vocabulary import limits

# What a DST client is granted. With all of it in flight, and the one request that is always admitted
# however large, its socket is still read: it pings, and a device that stalls is not a dead server.
WINDOW: Final = limits.CLIENT_REQUESTS_MAX - 1
WINDOW_BYTES: Final = limits.CLIENT_BYTES_MAX - limits.REQUEST_MAX
# An answer is a head and perhaps a payload.
_BUFFERS_PER_ANSWER = 2


class Budget:
    """Counts one connection's unanswered requests and their payload bytes, both ways.

    Past a bound the connection stops reading (back-pressure); below half of it, it reads again, so
    that it does not flap. One request is always admitted, however large. An answer that its client
    does not take is unanswered: `unsent` bytes and `stuck` buffers of the link count too.
    """

    __slots__ = ("bytes", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0

    def room(self, stuck: int) -> int:
        """Requests that may still come, given the answers that nobody takes."""
        return limits.CLIENT_REQUESTS_MAX - self.requests - stuck // _BUFFERS_PER_ANSWER

    def room_bytes(self, unsent: int) -> int:
        """Bytes that may still come, given what waits to be sent."""
        return limits.CLIENT_BYTES_MAX - self.bytes - unsent

    def relaxed(self, unsent: int, stuck: int) -> bool:
        """Whether to read again."""
        return (
            self.requests + stuck // _BUFFERS_PER_ANSWER <= limits.CLIENT_REQUESTS_MAX // 2
            and self.bytes + unsent <= limits.CLIENT_BYTES_MAX // 2
        )
