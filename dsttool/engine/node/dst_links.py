"""The links of one DST session: for throughput, and as many paths."""

from dsttool.engine.node.dst_link import DstLink
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.vocabulary.status import LinkStatus

# In a status the best of the links stands for the node.
_RANKS = {"up": 0, "handshake": 1, "connecting": 2, "down": 3}


class Links:
    """all: by index. up: those that are, and which transactions are spread over."""

    def __init__(self, links: list[DstLink]) -> None:
        self.all = links
        self.up: list[DstLink] = []
        self._turn = 0
        self._all_started = False

    def start(self) -> None:
        """Connect the first: the others follow once it is welcome."""
        self.all[0].start()

    def opened(self, link: DstLink) -> None:
        """It is up."""
        self.up.append(link)
        if not self._all_started:
            self._all_started = True
            for other in self.all[1:]:
                other.start()

    def lost(self, link: DstLink) -> bool:
        """It is not up any more; whether it was."""
        if link not in self.up:
            return False
        self.up.remove(link)
        return True

    def restart_others(self, link: DstLink) -> None:
        """Have all but this one connect anew: what they carry is answered no more."""
        for other in self.up:
            if other is not link:
                other.restart()
        self.up = []

    def pick(self) -> DstLink:
        """The one that the next batch goes to: the one with the least to send, in turn."""
        up = self.up
        if len(up) == 1:
            return up[0]
        self._turn = (self._turn + 1) % len(up)
        return min(up[self._turn :] + up[: self._turn], key=_unsent)

    def set_policy(self, policy: Policy) -> None:
        """See DstLink."""
        for link in self.all:
            link.set_policy(policy)

    def close(self) -> None:
        """End all of them for good."""
        self.up = []
        for link in self.all:
            link.close()

    @property
    def first(self) -> DstLink:
        """The one that stands for all of them in a status."""
        return min(self.all, key=lambda link: _RANKS[link.state])

    @property
    def errors(self) -> int:
        """Answers that were errors."""
        return sum(link.replies.errors for link in self.all)

    @property
    def losses(self) -> int:
        """How many of their connections were established and are not any more."""
        return sum(link.losses for link in self.all)

    def status(self) -> list[LinkStatus]:
        """Of each of them, by index."""
        return [link.status() for link in self.all]


def _unsent(link: DstLink) -> int:
    return link.unsent
