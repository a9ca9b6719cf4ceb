"""Budgets: every request of an NBD node that has no answer, and when to wait for it no longer.

A request has the policy's budget from its submission on, whatever it waits for: the link, the window,
others that overlap it, its pieces. There is one timer for all.
"""

import logging
from collections.abc import Callable
from itertools import takewhile

from dsttool.engine.device.request import Request
from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.runtime.telling import tell
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.vocabulary.limits import MS
from dsttool.engine.vocabulary.operations import FAIL_FAST, READ

LOG = logging.getLogger(__name__)

GiveUp = Callable[[list[Request]], None]


class Budgets:
    """unfinished: when each request was submitted (ns), in that order; whoever answers one takes it out.

    exhaust, fail_fast: what to do with requests whose budget has ended, and with reads that had one resend
    timeout and can be asked elsewhere.
    """

    def __init__(
        self, reactor: Reactor, name: str, policy: Policy, *, exhaust: GiveUp, fail_fast: GiveUp
    ) -> None:
        self.unfinished: dict[Request, int] = {}
        self._reactor = reactor
        self._name = name
        self._policy = policy
        self._exhaust = exhaust
        self._fail_fast = fail_fast
        self._timer: Timer | None = None

    @property
    def _oldest(self) -> int:
        return next(iter(self.unfinished.values()))

    @property
    def frozen(self) -> bool:
        """Whether requests are held though their budget has ended, until an administrator acts."""
        if self._policy.on_exhausted == "fail" or not self.unfinished:
            return False
        return self._oldest + self._policy.budget_ns <= self._reactor.now

    def begin(self, batch: list[Request]) -> None:
        """Requests that were just submitted."""
        self.unfinished.update(dict.fromkeys(batch, self._reactor.now))

    def arm(self) -> None:
        """Keep an eye on them, if nobody does."""
        if self._timer is None and self.unfinished:
            now = self._reactor.now
            when = now + self._policy.resend_timeout_ns
            if not self.frozen:
                when = min(when, self._oldest + self._policy.budget_ns)
            self._timer = self._reactor.call_at(max(when, now + MS), self._check)

    def set_policy(self, policy: Policy) -> None:
        """Another policy from now on."""
        self._policy = policy
        self.stop()
        self.arm()

    def stop(self) -> None:
        """No more timers."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def abandon(self) -> None:
        """As if every budget had ended now; who wants that says why."""
        if self.unfinished:
            self._exhaust(list(self.unfinished))

    def fail_fast(self, before: int) -> None:
        """Reads that another member can answer, submitted at or before this time, wait no longer."""
        reads = [r for r in self._started(before) if r.op == READ and r.flags & FAIL_FAST]
        if reads:
            self._fail_fast(reads)

    def _check(self) -> None:
        self._timer = None
        now = self._reactor.now
        self.fail_fast(now - self._policy.resend_timeout_ns)
        if self._policy.on_exhausted == "fail":
            self._end(self._started(now - self._policy.budget_ns))
        self.arm()

    def _end(self, expired: list[Request]) -> None:
        if expired:
            what = f"the budget of {len(expired)} requests has ended without an answer"
            tell(LOG, "transaction.exhausted", self._name, "%s: %s", self._name, what)
            self._exhaust(expired)

    def _started(self, before: int) -> list[Request]:
        return [r for r, _ in takewhile(lambda entry: entry[1] <= before, self.unfinished.items())]
