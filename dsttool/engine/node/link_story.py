"""What is said of the connection to a node: why it is lost, once per reason, and how long it was away."""

import logging
from typing import Final

from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.runtime.telling import Quiet, tell
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.limits import MS, SECOND

LOG = logging.getLogger(__name__)

# Shorter than this is said in milliseconds.
_SHORT_NS: Final = 10 * SECOND


class LinkStory:
    """name: the node's. A node with several links is away while none of them is up.

    A server that lets us in and throws us out again as fast as it can fills no log.
    reason: why there is no link, '' if there is one.
    """

    def __init__(self, reactor: Reactor, name: str) -> None:
        self.reason = ""
        self._reactor = reactor
        self._name = name
        self._quiet = Quiet(reactor, LOG)
        self._away_since: int | None = None

    def up(self, *, first: bool, waiting: int) -> None:
        """A link is up. first: none was before. waiting: requests that are sent now."""
        self.reason = ""
        if not first:
            return
        since, self._away_since = self._away_since, None
        away = "" if since is None else f" again after {_spoken(self._reactor.now - since)}"
        text = f"{self._name}: connected{away}, {waiting} requests wait"
        self._quiet.tell("link.up", self._name, "up", text)

    def down(self, error: DsttoolError, *, last: bool) -> None:
        """A link is lost, or could not be made. last: none is up any more."""
        if last and self._away_since is None:
            self._away_since = self._reactor.now
        if str(error) != self.reason:  # once per reason, not once per attempt
            self.reason = str(error)
            self._quiet.tell("link.lost", self._name, "lost", f"{self._name}: {error}")

    def failed(self, error: DsttoolError) -> None:
        """The node has ended for good."""
        self.end()
        tell(LOG, "node.failed", self._name, "%s: %s", self._name, error)

    def end(self) -> None:
        """The node is closed."""
        self._quiet.close()


def _spoken(time_ns: int) -> str:
    return f"{time_ns // MS} ms" if time_ns < _SHORT_NS else f"{time_ns // SECOND} s"
