"""Budgets: how long a node's transactions may take. One timer for all of them."""

from typing import Protocol

from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.transaction.table import InFlightTable, Transaction
from dsttool.engine.vocabulary import limits


class BudgetOwner(Protocol):
    """The node whose transactions these are."""

    def exhausted(self, expired: list[Transaction]) -> None:
        """The budgets of these have ended; they are not in the table any more."""

    def impatient(self, before: int) -> None:
        """What was started at or before that time (ns) need not wait if others can answer it."""


class Budgets:
    """timer: None while there is none; whoever starts a transaction then calls `arm`."""

    def __init__(self, reactor: Reactor, table: InFlightTable, policy: Policy, owner: BudgetOwner) -> None:
        self._reactor = reactor
        self._table = table
        self._policy = policy
        self._owner = owner
        self._ended = False
        self.timer: Timer | None = None

    def arm(self) -> None:
        """Have the next check in time for the oldest transaction, if there is any."""
        oldest = self._table.oldest()
        if oldest is not None and not self._ended:
            now = self._reactor.now
            when = min(oldest + self._policy.budget_ns, now + self._policy.resend_timeout_ns)
            self.timer = self._reactor.call_at(max(when, now + limits.MS), self._check)

    def end(self) -> None:
        """No transaction will wait any more."""
        self._ended = True
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _check(self) -> None:
        self.timer = None
        now = self._reactor.now
        self._owner.impatient(now - self._policy.resend_timeout_ns)
        expired = self._table.expire(now - self._policy.budget_ns)
        if expired:
            self._owner.exhausted(expired)
        if self.timer is None:
            self.arm()
