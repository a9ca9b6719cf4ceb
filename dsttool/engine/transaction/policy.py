"""Policy: how long a transaction may take, and how a link is kept alive.

Times in ns. The budget of a transaction is time: deadline = start + resend_timeout x (resends + 1),
and it runs while the link is down too.
"""

from dataclasses import dataclass
from typing import Literal

from dsttool.engine.vocabulary.limits import MS, SECOND


@dataclass(frozen=True, slots=True)
class Policy:
    """One node's policy. The defaults are those of single-copy layouts; see `redundant`."""

    # A read that another member could answer waits this long; a write is resent after a reconnect.
    resend_timeout_ns: int = 5 * SECOND
    # How often a transaction may be sent again before it fails, as far as its budget is concerned.
    resends: int = 9
    # A link that was idle so long, in both directions, is pinged.
    ping_interval_ns: int = 1 * SECOND
    # After so many pings without a byte from the peer it is dead.
    ping_misses: int = 3
    # From the first SYN to the welcome.
    connect_timeout_ns: int = 5 * SECOND
    # Between attempts to connect; doubled each time, with jitter.
    backoff_min_ns: int = 100 * MS
    backoff_max_ns: int = 10 * SECOND
    # Requests in flight, if fewer than the server's window.
    window: int = 1024
    # What becomes of a transaction whose budget has ended: it fails with EIO, or the node holds
    # everything until the administrator acts.
    on_exhausted: Literal["fail", "freeze"] = "fail"
    # Connections of the one session, for throughput and as many paths.
    links: int = 1

    @property
    def budget_ns(self) -> int:
        """The time from a transaction's start to its failure."""
        return self.resend_timeout_ns * (self.resends + 1)


SINGLE_COPY = Policy()
# With another copy at hand a shorter outage already counts as one.
REDUNDANT = Policy(resend_timeout_ns=2 * SECOND, resends=4)


def backoff(policy: Policy, attempt: int, jitter: float) -> int:
    """How long to wait before connect attempt number `attempt` (1 is the first retry), in ns.

    jitter: a random number in [0, 1); the wait is between half of and the whole exponential step.
    """
    step = min(policy.backoff_max_ns, policy.backoff_min_ns << min(attempt - 1, 30))
    return int(step * (0.5 + jitter / 2))
