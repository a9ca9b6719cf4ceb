"""A remote export as a Device, over DST/2: transactions that outlive the link.

    submit -> gate -> in-flight table -> (turn ends) one record -> link
    link -> replies of one record -> table -> finished list -> sinks

* While the link is down, transactions wait; when it is up again, all unanswered ones are sent
  again, oldest first. Nobody above sees an error before a transaction's budget ends.
* Overlapping changes are never in flight together, and what ended unanswered keeps its extent
  (`Extents`).
* Reads flagged FAIL_FAST do not wait: with the link down, or after one resend timeout, they fail
  with ENOLINK and the array asks another member.
* A reconnect that finds another size, identity or permission ends the node: a smaller, different or
  read-only export is never written to (`Session`).
"""

import errno
import logging
from collections.abc import Callable, Iterable
from typing import Any

from dsttool.engine.device.device import Device
from dsttool.engine.device.request import Request, deliver
from dsttool.engine.node.dst_budget import Budgets
from dsttool.engine.node.dst_extents import Extents
from dsttool.engine.node.dst_link import DstLink
from dsttool.engine.node.dst_replies import Replies
from dsttool.engine.node.dst_session import Session, capabilities_of
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transaction.policy import SINGLE_COPY, Policy
from dsttool.engine.transaction.table import InFlightTable, Transaction
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.operations import FAIL_FAST
from dsttool.engine.wire.dst_hello import Hello, Welcome
from dsttool.engine.wire.dst_messages import pack_requests
from dsttool.engine.wire.dst_security import PLAIN, Security

LOG = logging.getLogger(__name__)


class DstNode(Device):
    """One export on another machine (or process). Call `connect` before the first submit.

    ordered_above: an array above orders overlapping writes already, over all its members. security: what
    protects the link.
    """

    def __init__(
        self,
        reactor: Reactor,
        name: str,
        endpoint: Endpoint,
        export: str,
        *,
        policy: Policy = SINGLE_COPY,
        read_only: bool = False,
        owner: str = "",
        ordered_above: bool = False,
        security: Security = PLAIN,
    ) -> None:
        self._reactor = reactor
        self.name = name
        self.export = export
        self.policy = policy
        self.budget_ns = policy.budget_ns
        self._session = Session(reactor.random_bytes(16), name, export, read_only=read_only, owner=owner)
        self._table = InFlightTable(policy.window, limits.CLIENT_BYTES_MAX)
        self._extents = Extents(ordered_above=ordered_above)
        self._budgets = Budgets(reactor, self._table, policy, self)
        self._replies = Replies(name, self._table, self._settle, self._late)
        self._link = DstLink(reactor, name, endpoint, self._session.id, policy, self, self._replies, security)
        self._to_send: list[Transaction] = []
        self._scheduled = False
        self._ready: Callable[[DsttoolError | None], None] | None = None
        self._failure: DsttoolError | None = None
        self._last_reason = ""
        self._exhausted = 0

    # -- for whoever assembles -----------------------------------------------------------------------

    def connect(self, ready: Callable[[DsttoolError | None], None]) -> None:
        """Connect; `ready(None)` once capabilities are known, `ready(error)` if the first try fails."""
        self._ready = ready
        self._link.start()

    @property
    def up(self) -> bool:  # type: ignore[override]
        """Whether the link is up."""
        return self._link.state == "up"

    @property
    def rtt_ns(self) -> int | None:  # type: ignore[override]
        """The round trip of the last ping, or of the hello."""
        return self._link.rtt

    @property
    def in_flight(self) -> int:
        """Transactions that have no answer yet."""
        return len(self._table)

    @property
    def failure(self) -> DsttoolError | None:  # type: ignore[override]
        """Why the node has ended, if it has."""
        return self._failure

    def status(self) -> dict[str, Any]:
        """What a member's status shows of its node."""
        return {
            "in_flight": self.in_flight,
            "resends": self._table.resends,
            "errors": self._exhausted + self._replies.errors,
            "link": self._link.status(),
        }

    # -- Device ----------------------------------------------------------------------------------------

    def submit(self, batch: list[Request]) -> None:
        """See Device."""
        if not self.up and (self._failure is not None or any(r.flags & FAIL_FAST for r in batch)):
            batch = self._refuse(batch)
        if self._extents.gate is not None:
            self._extents.admit(batch)
        self._send(self._table.start(batch, self._reactor.now))
        if self._budgets.timer is None:
            self._budgets.arm()

    def close(self, done: Callable[[], None]) -> None:
        """See Device. What has no answer yet fails with ESHUTDOWN."""
        self._failure = self._failure or DsttoolError("The node is closed.")
        self._link.close()
        self._end(errno.ESHUTDOWN)
        self._reactor.post(done)

    def abandon(self) -> None:
        """See Device. As if every budget had ended now."""
        expired = self._table.take_all()
        if expired:
            self.exhausted(expired)

    def _end(self, code: int) -> None:
        """Everything that has no answer fails; nothing will be sent any more."""
        self._budgets.end()
        self._extents.clear()
        _finish((t.request for t in self._table.take_all()), code)

    def _refuse(self, batch: list[Request]) -> list[Request]:
        """Answer at once what must not wait for a link that is down; returns the rest."""
        code = errno.EIO if self._failure else errno.ENOLINK
        refused = [r for r in batch if self._failure or r.flags & FAIL_FAST]
        waiting = [r for r in batch if not (self._failure or r.flags & FAIL_FAST)]
        # Answers come in a turn of their own: the caller may be in the middle of its own batch.
        self._reactor.post(lambda: _finish(refused, code))
        return waiting

    # -- sending ---------------------------------------------------------------------------------------

    def _send(self, transactions: list[Transaction]) -> None:
        """Have transactions sent when this turn ends, if the link is up; else `link_up` will."""
        if self._extents.held:
            transactions = self._extents.without_held(transactions)
        if transactions and self.up:
            self._to_send += transactions
            if not self._scheduled:
                self._scheduled = True
                self._reactor.flush_later(self)

    def flush(self) -> None:
        """All transactions of this turn, as few records as their payloads allow."""
        self._scheduled = False
        transactions, self._to_send = self._to_send, []
        if self.up:
            for transaction in transactions:
                transaction.attempts += 1
            self._link.send(pack_requests(transactions, self._table.floor))

    # -- LinkOwner -------------------------------------------------------------------------------------

    def hello(self, epoch: int) -> Hello:
        """See LinkOwner."""
        return self._session.hello(epoch, self._table.floor)

    def check_welcome(self, welcome: Welcome) -> DsttoolError | None:
        """See LinkOwner."""
        error = self._session.changed(welcome)
        if error is not None:
            return error
        if self._session.welcome is None:
            self._session.welcome = welcome
            self.identity = welcome.export_id
            self.capabilities = capabilities_of(welcome)
        else:
            self._last_reason = ""
            LOG.info("%s: connected again, %d transactions to send", self.name, len(self._table.in_flight))
        self._table.window = min(self.policy.window, welcome.window)
        self._table.window_bytes = welcome.window_bytes
        return None

    def link_up(self) -> None:
        """See LinkOwner."""
        self._send(self._table.resend())
        # The server ended the old link before its welcome: what was on it cannot run any more.
        self._send(self._extents.unlock(list(self._extents.locked)))
        ready, self._ready = self._ready, None
        if ready is not None:
            ready(None)
        if self.on_up is not None:
            self.on_up()

    def link_down(self, error: DsttoolError, final: bool) -> None:
        """See LinkOwner."""
        self._to_send.clear()
        ready, self._ready = self._ready, None
        if ready is not None:
            self._link.close()
            self._failure = error
            ready(error)
            return
        if final:
            LOG.error("%s: %s", self.name, error)
            self._failure = error
            self._end(errno.EIO)
            return
        if str(error) != self._last_reason:  # once per reason, not once per attempt
            self._last_reason = str(error)
            LOG.warning("%s: %s", self.name, error)
        self.impatient(self._reactor.now)

    # -- finishing -------------------------------------------------------------------------------------

    def _settle(self, finished: list[Request]) -> None:
        """Answered transactions, popped from the table already."""
        refill = self._table.settle(finished)
        if refill:
            self._send(refill)
        if self._extents.gate is not None:
            freed = self._extents.release(finished)
            if freed:
                self._send(freed)
        deliver(finished)

    def _late(self, id_: int) -> None:
        """An answer to what had been given up: its extent is free now."""
        if id_ in self._extents.locked:
            self._send(self._extents.unlock([id_]))

    def exhausted(self, expired: list[Transaction]) -> None:
        """See BudgetOwner."""
        LOG.error("%s: the budget of %d transactions has ended without an answer", self.name, len(expired))
        self._exhausted += len(expired)
        if self._to_send:
            self._to_send = [t for t in self._to_send if t.id in self._table.in_flight]
        running = [t.request for t in self._table.in_flight.values()]
        waiting = [request for request, _ in self._table.backlog]
        freed = self._extents.give_up(expired, running + waiting)
        self._send(self._table.settle([t.request for t in expired if t.id]))
        self._send(freed)
        _finish((t.request for t in expired), errno.EIO)

    def impatient(self, before: int) -> None:
        """See BudgetOwner. Reads that another member can answer do not wait any longer."""
        taken = self._table.take_reads(FAIL_FAST, before)
        if taken:
            self._send(self._table.settle([t.request for t in taken if t.id]))
            _finish((t.request for t in taken), errno.ENOLINK)


def _finish(requests: Iterable[Request], code: int) -> None:
    """Requests that end with an error of ours, not the server's."""
    ended = list(requests)
    for request in ended:
        request.error = code
    if ended:
        deliver(ended)
