"""Budgets: how long a node's transactions may take. One timer for all of them.

When a budget has ended the transaction fails, or, with on_exhausted=freeze, the node is frozen: it holds
everything until the link returns or the policy changes.
"""

import logging
from typing import Protocol

from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.runtime.telling import tell
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.transaction.table import InFlightTable, Transaction
from dsttool.engine.vocabulary import limits

LOG = logging.getLogger(__name__)


class BudgetOwner(Protocol):
    """The node whose transactions these are."""

    def exhausted(self, expired: list[Transaction]) -> None:
        """The budgets of these have ended; they are not in the table any more."""

    def impatient(self, before: int) -> None:
        """What was started at or before that time (ns) need not wait if others can answer it."""

    def frozen_or_thawed(self) -> None:
        """`frozen` is another now."""


class Budgets:
    """timer: None while there is none; whoever starts a transaction then calls `arm`. frozen: see above."""

    def __init__(
        self, reactor: Reactor, name: str, table: InFlightTable, policy: Policy, owner: BudgetOwner
    ) -> None:
        self._reactor = reactor
        self._name = name
        self._table = table
        self._policy = policy
        self._owner = owner
        self._ended = False
        self.timer: Timer | None = None
        self.frozen = False

    def arm(self) -> None:
        """Have the next check in time for the oldest transaction, if there is any."""
        oldest = self._table.oldest()
        if oldest is not None and not self._ended:
            now = self._reactor.now
            when = oldest + self._policy.budget_ns
            if when <= now:  # frozen, or just thawed
                when = now + self._policy.resend_timeout_ns
            when = min(when, now + self._policy.resend_timeout_ns)
            self.timer = self._reactor.call_at(max(when, now + limits.MS), self._check)

    def set_policy(self, policy: Policy) -> None:
        """Budgets of another length, counted from the start of each transaction."""
        self._policy = policy
        if self.timer is not None:
            self.timer.cancel()
        if not self._ended:
            self._check()

    def thaw(self) -> None:
        """The link is back: what is held is sent."""
        if self.frozen:
            self._become(frozen=False)
            if self.timer is not None:
                self.timer.cancel()
            self.arm()

    def end(self) -> None:
        """No transaction will wait any more."""
        self._ended = True
        self._become(frozen=False)
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _check(self) -> None:
        self.timer = None
        now = self._reactor.now
        self._owner.impatient(now - self._policy.resend_timeout_ns)
        before = now - self._policy.budget_ns
        if self._policy.on_exhausted == "freeze":
            self._freeze(before)
        else:
            self._become(frozen=False)
            expired = self._table.expire(before)
            if expired:
                self._owner.exhausted(expired)
        if self.timer is None:
            self.arm()

    def _freeze(self, before: int) -> None:
        oldest = self._table.oldest()
        frozen = oldest is not None and oldest <= before
        if frozen and not self.frozen:
            what = "frozen: a budget has ended, and the policy is to wait"
            tell(LOG, "transaction.frozen", self._name, "%s: %s", self._name, what)
        self._become(frozen=frozen)

    def _become(self, *, frozen: bool) -> None:
        if frozen != self.frozen:
            self.frozen = frozen
            self._owner.frozen_or_thawed()
