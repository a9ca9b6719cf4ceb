"""A remote export as a Device, over DST/2: transactions that outlive their links.

    submit -> gate -> in-flight table -> (turn ends) one record -> link
    link -> replies of one record -> table -> finished list -> sinks

* While no link is up, transactions wait; when one is up again, all unanswered ones are sent again,
  oldest first, and the server carries out none of them twice. Nobody above sees an error before a
  transaction's budget ends (`Budgets`).
* Overlapping changes are never in flight together, and what ended unanswered keeps its extent, for which
  reads wait, too (`Extents`).
* With several links each turn's batch goes to one of them; what a lost one carried goes to the others.
* Reads flagged FAIL_FAST do not wait: with no link up, or after one resend timeout, they fail with ENOLINK
  and the array asks another member.
* When the server may have lost what it acked, that is told upward by another verifier, or repaired from what
  was retained (`Repair`). Whatever was sent before counts no more: it is done again, with a new id.
* A reconnect that finds another size, identity or permission, or that another writer has taken over, ends
  the node: what it holds fails with EIO and is never sent again.
"""

import errno
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dsttool.engine.device.device import Device
from dsttool.engine.device.request import Request, deliver
from dsttool.engine.node.dst_budget import Budgets
from dsttool.engine.node.dst_extents import Extents
from dsttool.engine.node.dst_link import DstLink
from dsttool.engine.node.dst_links import Links
from dsttool.engine.node.dst_listing import Listing
from dsttool.engine.node.dst_orphans import Orphans
from dsttool.engine.node.dst_replies import Replies
from dsttool.engine.node.dst_session import Session, capabilities_of
from dsttool.engine.node.link_story import LinkStory
from dsttool.engine.node.repair import Repair
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.runtime.telling import tell
from dsttool.engine.transaction.policy import SINGLE_COPY, Policy
from dsttool.engine.transaction.table import ENDLESS, InFlightTable, Transaction
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.operations import FAIL_FAST
from dsttool.engine.vocabulary.status import TransactionStatus
from dsttool.engine.wire.dst_hello import RUNNING, Hello, Welcome
from dsttool.engine.wire.dst_messages import pack_requests
from dsttool.engine.wire.dst_security import PLAIN, Security

LOG = logging.getLogger(__name__)


class DstNode(Device):
    """One export on another machine (or process). Call `connect` before the first submit.

    owner, array, slot, takeover: as in Session. ordered_above: an array above orders overlapping writes
    already, over all its members. retain: keep what was acked until it is flushed, for there is no other
    copy; then payloads must not change until a flush has ended. security: what protects the links.
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
        array: bytes = b"",
        slot: int = 0,
        takeover: bool = False,
        ordered_above: bool = False,
        retain: bool = False,
        security: Security = PLAIN,
    ) -> None:
        self._reactor = reactor
        self.name = name
        self.export = export
        self.policy = policy
        self.budget_ns = policy.budget_ns
        self.up = False
        self.failure = None
        self.server_verifier = self._repaired_verifier = bytes(16)
        self._session = Session(
            reactor.random_bytes(16),
            name,
            export,
            owner=owner,
            array=array,
            slot=slot,
            read_only=read_only,
            takeover=takeover,
        )
        self._table = InFlightTable(policy.window, limits.CLIENT_BYTES_MAX)
        self._extents = Extents(ordered_above=ordered_above)
        self._orphans = Orphans(self._table, self._extents, policy.links)
        self._budgets = Budgets(reactor, name, self._table, policy, self)
        self._repair = Repair(reactor, name, self._table, self) if retain and not read_only else None
        self._links = Links(
            [
                DstLink(
                    reactor,
                    name,
                    endpoint,
                    self._session.id,
                    policy,
                    self,
                    Replies(name, self._table, self),
                    security,
                    index=index,
                )
                for index in range(policy.links)
            ]
        )
        self._to_send: list[Transaction] = []
        self._scheduled = False
        self._ready: Callable[[DsttoolError | None], None] | None = None
        self._story = LinkStory(reactor, name)
        self._exhausted = 0

    @property
    def lasting_verifier(self) -> bytes:
        """See Device. What is being written again now would be lost with this process."""
        if self._repair is None:
            return self.verifier
        if not self._repair.replaying:
            self._repaired_verifier = self.server_verifier
        return self._repaired_verifier

    # -- for whoever assembles -----------------------------------------------------------------------

    def connect(self, ready: Callable[[DsttoolError | None], None]) -> None:
        """Connect; `ready(None)` once capabilities are known, `ready(error)` if the first try fails."""
        self._ready = ready
        self._links.start()

    @property
    def rtt_ns(self) -> int | None:  # type: ignore[override]
        """The round trip of the last ping, or of the hello."""
        return (self._links.up or self._links.all)[0].rtt

    @property
    def in_flight(self) -> int:
        """Transactions that have no answer yet."""
        return len(self._table)

    @property
    def frozen(self) -> bool:  # type: ignore[override]
        """Whether a budget has ended and everything is held, as the policy says."""
        return self._budgets.frozen

    def set_policy(self, policy: Policy) -> None:
        """Go on under another policy; its number of links counts at the next start. Budgets are counted
        from the start of each transaction."""
        self.policy = policy
        self.budget_ns = policy.budget_ns
        self._set_window()
        self._links.set_policy(policy)
        self._budgets.set_policy(policy)
        self.send(self._table.refill())

    def status(self) -> dict[str, Any]:
        """What a member's status shows of its node."""
        return {
            "in_flight": self.in_flight,
            "resends": self._table.resends,
            "losses": self._links.losses,
            "errors": self._exhausted + self._links.errors,
            "frozen": self.frozen,
            "link": self._links.first.status(),
            "links": self._links.status(),
        }

    def transactions(self, node: str | None = None) -> Iterator[TransactionStatus]:
        """See Device."""
        return self._listing().entries() if node in (None, self.name) else iter(())

    def transaction_states(self, node: str | None = None) -> Counter[str]:
        """See Device."""
        return self._listing().states() if node in (None, self.name) else Counter()

    def _listing(self) -> Listing:
        return Listing(self.name, self._reactor.now, self.policy, self._table, self._extents, self._links)

    # -- Device ----------------------------------------------------------------------------------------

    def submit(self, batch: list[Request]) -> None:
        """See Device."""
        if not self.up and (self.failure is not None or any(r.flags & FAIL_FAST for r in batch)):
            batch = self._refuse(batch)
        if self._extents.gate is not None:
            self._extents.admit(batch)
        if self._repair is not None:
            self._repair.submitted(batch)
        self.send(self._table.start(batch, self._reactor.now))
        if self._budgets.timer is None:
            self._budgets.arm()

    def close(self, done: Callable[[], None]) -> None:
        """See Device. What has no answer yet fails with ESHUTDOWN; the writer's grant is given back if
        nothing can run at the server any more."""
        sent = any(transaction.attempts for transaction in self._table.in_flight.values())
        if self.up and not (sent or self._table.doubted or self._extents.locked):
            self._links.up[0].say_goodbye()
        self.failure = self.failure or DsttoolError("The node is closed.")
        self._stop()
        self._end(errno.ESHUTDOWN)
        self._reactor.post(done)

    def abandon(self) -> None:
        """See Device. As if every budget had ended now; who wants that says why."""
        expired = self._table.expire(ENDLESS - 1)
        if expired:
            self._give_up(expired)

    def _refuse(self, batch: list[Request]) -> list[Request]:
        """Answer at once what must not wait for a link that is down; returns the rest."""
        code = errno.EIO if self.failure else errno.ENOLINK
        refused = [r for r in batch if self.failure or r.flags & FAIL_FAST]
        waiting = [r for r in batch if not (self.failure or r.flags & FAIL_FAST)]
        # Answers come in a turn of their own: the caller may be in the middle of its own batch.
        self._reactor.post(lambda: _finish(refused, code))
        return waiting

    # -- sending ---------------------------------------------------------------------------------------

    def send(self, transactions: list[Transaction]) -> None:
        """Have transactions sent when this turn ends, if a link is up; else `link_up` will."""
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
        if self.up and transactions:
            link = self._links.pick()
            for transaction in transactions:
                transaction.attempts += 1
                transaction.link = link
            link.send(pack_requests(transactions, self._table.floor))

    # -- LinkOwner -------------------------------------------------------------------------------------

    def hello(self, link: DstLink, epoch: int) -> Hello:
        """See LinkOwner."""
        return self._session.hello(link.index, epoch, self._table.floor)

    def check_welcome(self, welcome: Welcome) -> DsttoolError | None:
        """See LinkOwner."""
        return self._session.changed(welcome)

    def link_up(self, link: DstLink, welcome: Welcome) -> None:
        """See LinkOwner."""
        if self._session.welcome is None:
            self._meet(welcome)
        self._session.accept(welcome)
        self._set_window()
        lost = welcome.verifier != self.server_verifier
        if lost:
            # What the others still bring was acked by an earlier server than this one.
            self._links.restart_others(link)
        alone = not self._links.up
        self._links.opened(link)
        self.up = True
        self._budgets.thaw()
        self._resume(link, welcome, lost=lost)
        self._story.up(first=alone, waiting=len(self._table.in_flight))
        if alone and self.up:
            self._to_send.clear()
            self._resend(list(self._table.in_flight.values()))
        ready, self._ready = self._ready, None
        if ready is not None:
            ready(None)
        if alone and self.on_up is not None:
            self.on_up()

    def _meet(self, welcome: Welcome) -> None:
        """The first welcome."""
        self.identity = welcome.export_id
        self.capabilities = capabilities_of(welcome)
        self.server_verifier = self._repaired_verifier = welcome.verifier
        if not self.capabilities.flush:
            self._repair = None  # what needs no flush is not lost
        self.verifier = welcome.verifier if self._repair is None else self._repair.verifier

    def link_down(self, link: DstLink, error: DsttoolError, final: bool) -> None:
        """See LinkOwner."""
        was_up = self._links.lost(link)
        self.up = bool(self._links.up)
        ready, self._ready = self._ready, None
        if ready is not None:
            self.failure = error
            self._stop()
            ready(error)
            return
        if final:
            self.fail(error)
            return
        self._story.down(error, last=not self.up)
        # No answer will come over it; perhaps there is no time left to send them once more.
        sent = [t for t in self._table.in_flight.values() if t.attempts and t.link is link]
        for transaction in sent:
            transaction.link = None
        if not self.up:
            self._to_send.clear()
            self.impatient(self._reactor.now)
        elif was_up:
            self._resend(sent)
            self._orphans.ask_after(self._orphans.sent_by(link), self._links.pick())

    # -- what becomes of what was sent before ----------------------------------------------------------

    def _resume(self, link: DstLink, welcome: Welcome, *, lost: bool) -> None:
        """Of what was sent before: what is done, what still runs, and what never will."""
        running = {id_ for id_, status in welcome.known if status == RUNNING}
        answered = self._table.take_known({id_: s for id_, s in welcome.known if s != RUNNING})
        if answered:
            self.settle(answered)  # under the old verifier: told before the new one
        if lost:
            self._lose(welcome.verifier, lambda transaction: transaction.id in running)
        gone = [t for t in self._orphans.running(running) if t.link is link or t.link not in self._links.up]
        self._orphans.ask_after(gone, link)
        self._over(self._orphans.ended(link, running))

    def _over(self, ids: list[int]) -> None:
        """These cannot run any more."""
        if ids:
            self.send(self._extents.unlock(ids))
            self.send(self._table.believe(ids))
        if self._repair is not None and not self._extents.locked:  # what was given up may still run, too
            self._repair.go_on()

    def lost(self, verifier: bytes) -> None:
        """See Answered. What is under way may have been done before the loss or after it."""
        self._lose(verifier, lambda transaction: True)
        self._over([])

    def _lose(self, verifier: bytes, may_run: Callable[[Transaction], bool]) -> None:
        """What the server acked and did not flush may be lost."""
        what = "what was written since the last flush may be lost there"
        tell(LOG, "verifier.changed", self.name, "%s: %s", self.name, what)
        self.server_verifier = verifier
        self._to_send.clear()
        self._table.doubt(may_run)
        self._extents.requeued()
        if self._repair is not None:
            self._repair.lost()
            return
        self.verifier = verifier
        if self.on_verifier is not None:
            self.on_verifier()
        self.send(self._table.refill())

    def late(self, id_: int) -> None:
        """See Answered."""
        if id_ in self._orphans:
            self._over([id_])

    # -- finishing -------------------------------------------------------------------------------------

    def settle(self, finished: list[Request]) -> None:
        """See Answered."""
        if self._repair is not None:
            self._repair.settled(finished)
        refill = self._table.settle(finished)
        if refill:
            self.send(refill)
        if self._extents.gate is not None and not (self._repair and self._repair.replaying):
            freed = self._extents.release(finished)
            if freed:
                self.send(freed)
        deliver(finished)

    def _resend(self, transactions: list[Transaction]) -> None:
        self._table.resends += sum(1 for transaction in transactions if transaction.attempts)
        self.send(transactions)

    def _set_window(self) -> None:
        welcome = self._session.welcome
        if welcome is not None:
            self._table.window = min(self.policy.window, welcome.window)
            self._table.window_bytes = welcome.window_bytes

    def exhausted(self, expired: list[Transaction]) -> None:
        """See BudgetOwner."""
        what = f"the budget of {len(expired)} transactions has ended without an answer"
        tell(LOG, "transaction.exhausted", self.name, "%s: %s", self.name, what)
        self._give_up(expired)

    def _give_up(self, expired: list[Transaction]) -> None:
        self._exhausted += len(expired)
        if self._to_send:
            self._to_send = [t for t in self._to_send if t.id in self._table.in_flight]
        if self._repair is not None:
            self._repair.given_up(expired)
        running = [t.request for t in (*self._table.doubted.values(), *self._table.in_flight.values())]
        waiting = [request for request, _ in self._table.backlog]
        freed = self._extents.give_up(expired, running + waiting)
        self.send(self._table.settle([t.request for t in expired if t.id]))
        self.send(freed)
        self._over([])
        self._ask_after_untold()
        _finish((t.request for t in expired), errno.EIO)
        for transaction in expired:
            if transaction.id in self._extents.locked:
                transaction.request.data = None  # it is never sent again, and may be remembered for long

    def frozen_or_thawed(self) -> None:
        """See BudgetOwner."""
        if self.on_frozen is not None:
            self.on_frozen()

    def impatient(self, before: int) -> None:
        """See BudgetOwner. Reads that another member can answer do not wait any longer."""
        self._ask_after_untold()
        taken = self._table.take_reads(FAIL_FAST, before)
        if taken:
            self._extents.forget_reads(taken)
            self.send(self._table.settle([t.request for t in taken if t.id]))
            _finish((t.request for t in taken), errno.ENOLINK)

    def _ask_after_untold(self) -> None:
        if self.up:
            self._orphans.ask_after(self._orphans.untold(self._links.up), self._links.pick())

    # -- the end ---------------------------------------------------------------------------------------

    def fail(self, error: DsttoolError) -> None:
        """The node ends with this: whoever is above knows before its requests fail."""
        self._story.failed(error)
        self.failure = error
        self._stop()
        if self.on_failure is not None:
            self.on_failure()
        self._end(errno.EIO)

    def _stop(self) -> None:
        self.up = False
        self._links.close()
        self._story.end()
        self._budgets.end()

    def _end(self, code: int) -> None:
        """Everything that has no answer fails; nothing will be sent any more."""
        self._to_send.clear()
        self._extents.clear()
        if self._repair is not None:
            self._repair.clear()
        _finish((t.request for t in self._table.take_all()), code)


def _finish(requests: Iterable[Request], code: int) -> None:
    """Requests that end with an error of ours, not the server's."""
    ended = list(requests)
    for request in ended:
        request.error = code
    if ended:
        deliver(ended)
