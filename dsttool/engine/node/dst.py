"""A remote export as a Device, over DST/2: transactions that outlive the link.

    submit -> gate -> in-flight table -> (turn ends) one record -> link
    link -> replies of one record -> table -> finished list -> sinks

* While the link is down, transactions wait; when it is up again, all unanswered ones are sent
  again, oldest first. Nobody above sees an error before a transaction's budget ends.
* Overlapping writes are never in flight together: the gate admits the later one when the earlier
  one is answered. A write whose budget ended unanswered keeps its extent until it is answered, or
  a later welcome proves that it cannot run any more (the server drains the old link first).
* Reads flagged FAIL_FAST do not wait: with the link down, or after one resend timeout, they fail
  with ENOLINK and the array asks another member.
* A reconnect that finds another size, identity or permission ends the node: a smaller, different or
  read-only export is never written to.
"""

import errno
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from dsttool.engine.device.device import Capabilities, Device
from dsttool.engine.device.request import Request, deliver
from dsttool.engine.extents.overlap import OverlapGate
from dsttool.engine.node.dst_link import DstLink
from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.transaction.policy import SINGLE_COPY, Policy
from dsttool.engine.transaction.table import InFlightTable, Transaction
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, ProtocolError
from dsttool.engine.vocabulary.operations import FAIL_FAST, FLUSH, READ, TRIM, WRITE, WRITE_ZEROES
from dsttool.engine.wire import dst_hello
from dsttool.engine.wire.dst_hello import Hello, Welcome
from dsttool.engine.wire.dst_messages import REPLY, VERIFIER_BYTES, heads_of, pack_requests
from dsttool.engine.wire.dst_records import BATCH_COUNT_MAX, CROSSOVER

LOG = logging.getLogger(__name__)
_CHANGES = (WRITE, TRIM, WRITE_ZEROES)


class DstNode(Device):
    """One export on another machine (or process). Call `connect` before the first submit.

    ordered_above: an array above orders overlapping writes already, over all its members. Then there is
    a gate only while writes that ended unanswered keep their extents.
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
    ) -> None:
        self._reactor = reactor
        self.name = name
        self.export = export
        self.policy = policy
        self.budget_ns = policy.budget_ns
        self._read_only = read_only
        self._owner_name = owner
        self._session = reactor.random_bytes(16)
        self._link = DstLink(reactor, name, endpoint, self._session, policy, self)
        self._table = InFlightTable(policy.window, limits.CLIENT_BYTES_MAX)
        self._ordered_above = ordered_above
        self._gate: OverlapGate[Request] | None = None if ordered_above else OverlapGate()
        self._to_send: list[Transaction] = []
        self._scheduled = False
        self._announced: deque[tuple[int, int]] = deque()
        # Changes whose extent is not free yet, and their transactions once the window admitted them;
        # and those that were sent and gave up, by id.
        self._held: dict[Request, Transaction | None] = {}
        self._unanswered: dict[int, Request] = {}
        self._timer: Timer | None = None
        self._ready: Callable[[DsttoolError | None], None] | None = None
        self._welcome: Welcome | None = None
        self._failure: DsttoolError | None = None
        self._last_reason = ""
        self._closed: Callable[[], None] | None = None
        self.errors = 0

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
            "errors": self.errors,
            "link": self._link.status(),
        }

    # -- Device ----------------------------------------------------------------------------------------

    def submit(self, batch: list[Request]) -> None:
        """See Device."""
        if not self.up and (self._failure is not None or any(r.flags & FAIL_FAST for r in batch)):
            batch = self._refuse(batch)
        if self._gate is not None:
            for request in batch:
                if request.op in _CHANGES and not self._gate.admit(request):
                    self._held[request] = None
        self._send(self._table.start(batch, self._reactor.now))
        if self._timer is None:
            self._arm()

    def close(self, done: Callable[[], None]) -> None:
        """See Device. What has no answer yet fails with ESHUTDOWN."""
        self._failure = self._failure or DsttoolError("The node is closed.")
        self._link.close()
        self._disarm()
        self._end(errno.ESHUTDOWN)
        self._reactor.post(done)

    def _end(self, code: int) -> None:
        """Everything that has no answer fails; nothing will be sent any more."""
        self._held.clear()
        self._unanswered.clear()
        if self._gate is not None:
            self._gate = OverlapGate()
        self._finish([(t.request, code) for t in self._table.take_all()])

    def abandon(self) -> None:
        """See Device. As if every budget had ended now."""
        expired = self._table.take_all()
        if expired:
            self._exhaust(expired)

    def _refuse(self, batch: list[Request]) -> list[Request]:
        """Answer at once what must not wait for a link that is down; returns the rest."""
        code = errno.EIO if self._failure else errno.ENOLINK
        refused = [r for r in batch if self._failure or r.flags & FAIL_FAST]
        waiting = [r for r in batch if not (self._failure or r.flags & FAIL_FAST)]
        # Answers come in a turn of their own: the caller may be in the middle of its own batch.
        self._reactor.post(lambda: self._finish([(request, code) for request in refused]))
        return waiting

    # -- sending ---------------------------------------------------------------------------------------

    def _send(self, transactions: list[Transaction]) -> None:
        """Have transactions sent when this turn ends, if the link is up; else `link_up` will."""
        if self._held:
            transactions = self._without_held(transactions)
        if transactions and self.up:
            self._to_send += transactions
            if not self._scheduled:
                self._scheduled = True
                self._reactor.flush_later(self)

    def _without_held(self, transactions: list[Transaction]) -> list[Transaction]:
        """Those whose extent is free; the others are remembered until it is."""
        free = []
        for transaction in transactions:
            if transaction.request in self._held:
                self._held[transaction.request] = transaction
            else:
                free.append(transaction)
        return free

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
        return Hello(
            session=self._session,
            epoch=epoch,
            export=self.export,
            floor=self._table.floor,
            access=dst_hello.READ_ONLY if self._read_only else dst_hello.READ_WRITE,
            owner=self._owner_name,
        )

    def check_welcome(self, welcome: Welcome) -> DsttoolError | None:
        """See LinkOwner."""
        error = self._changed(welcome)
        if error is not None:
            return error
        if self._welcome is None:
            self._welcome = welcome
            self.identity = welcome.export_id
            self.capabilities = _capabilities(welcome)
        else:
            self._last_reason = ""
            LOG.info("%s: connected again, %d transactions to send", self.name, len(self._table.in_flight))
        self._table.window = min(self.policy.window, welcome.window)
        self._table.window_bytes = welcome.window_bytes
        self._announced.clear()
        return None

    def link_up(self) -> None:
        """See LinkOwner."""
        # The server ended the old link before its welcome: what was on it cannot run any more.
        released = list(self._unanswered.values())
        self._unanswered.clear()
        self._send(self._table.resend())
        for request in released:
            self._release(request)
        self._drop_gate()
        ready, self._ready = self._ready, None
        if ready is not None:
            ready(None)
        if self.on_up is not None:
            self.on_up()

    def _changed(self, welcome: Welcome) -> DsttoolError | None:
        before = self._welcome
        wanted = dst_hello.READ_ONLY if self._read_only else dst_hello.READ_WRITE
        if welcome.access != wanted and not self._read_only:
            what = "read-only now"
        elif before is None:
            return None
        elif welcome.size != before.size:
            what = f"{welcome.size} bytes long now, it was {before.size}"
        elif welcome.export_id != before.export_id:
            what = "another device now"
        elif (welcome.block_min, welcome.payload_max) != (before.block_min, before.payload_max):
            what = "one with other block sizes now"
        else:
            return None
        return Conflict(
            f"The export behind {self.name} is {what}; it is not used any more.",
            "Bring the right export back and start again.",
        )

    def link_down(self, error: DsttoolError, final: bool) -> None:
        """See LinkOwner."""
        self._to_send.clear()
        self._announced.clear()
        ready, self._ready = self._ready, None
        if ready is not None:
            self._link.close()
            self._failure = error
            ready(error)
            return
        if final:
            LOG.error("%s: %s", self.name, error)
            self._failure = error
            self._disarm()
            self._end(errno.EIO)
            return
        if str(error) != self._last_reason:  # once per reason, not once per attempt
            self._last_reason = str(error)
            LOG.warning("%s: %s", self.name, error)
        self._fail_fast(self._reactor.now)

    def take_replies(self, view: memoryview, count: int, start: int, end: int) -> bool:
        """See LinkOwner. The hot loop: one look-up per reply, everything else per batch."""
        pop = self._table.in_flight.pop
        finished: list[Request] = []
        heads, position = heads_of(REPLY, view, count, start, end)
        first = position
        broken = False
        for id_, status, _, length in heads:
            if length >= CROSSOVER:
                self._announced.append((id_, length))
                continue
            transaction = pop(id_, None)
            if transaction is None:
                self._late(id_)
                position += length
                continue
            request = transaction.request
            if status:
                request.error = status
                self.errors += 1
            elif request.op == READ:
                if length != request.length or position + length > end:
                    self._table.put_back(transaction)
                    broken = True
                    break
                request.data = view[position : position + length]
            elif request.op == FLUSH and length == VERIFIER_BYTES:
                request.data = bytes(view[position : position + length])
            position += length
            finished.append(request)
        if finished:
            self._settle(finished)
        if broken or position != end:
            raise ProtocolError(f"The server of {self.name} sent payloads of the wrong length.")
        # Every request of a window may be announced at once, and as many that were given up.
        if len(self._announced) > 2 * max(self._table.window, BATCH_COUNT_MAX):
            raise ProtocolError(f"The server of {self.name} announced payloads that do not come.")
        return position != first

    def take_payload(self, payload: memoryview) -> None:
        """See LinkOwner."""
        id_, length = self._announced.popleft() if self._announced else (0, -1)
        transaction = self._table.in_flight.get(id_)
        request = None if transaction is None else transaction.request
        wrong = request is not None and (request.op != READ or request.length != length)
        if length != len(payload) or wrong:
            raise ProtocolError(f"The server of {self.name} sent a payload of the wrong length.")
        if request is not None:
            del self._table.in_flight[id_]
            request.data = payload
            self._settle([request])

    # -- finishing -------------------------------------------------------------------------------------

    def _settle(self, finished: list[Request]) -> None:
        """Answered transactions, popped from the table already."""
        refill = self._table.settle(finished)
        if refill:
            self._send(refill)
        if self._gate is not None:
            for request in finished:
                if request.op in _CHANGES:
                    self._release(request)
        deliver(finished)

    def _finish(self, ended: list[tuple[Request, int]]) -> None:
        """Requests that end with an error of ours, not the server's."""
        for request, code in ended:
            request.error = code
        if ended:
            deliver([request for request, _ in ended])

    def _release(self, request: Request) -> None:
        """The request's extent is free: send what waited for it."""
        if self._gate is None:
            return
        for admitted in self._gate.release(request):
            transaction = self._held.pop(admitted, None)
            if transaction is not None:
                self._send([transaction])

    def _late(self, id_: int) -> None:
        """An answer to what had been given up: its extent is free now."""
        request = self._unanswered.pop(id_, None)
        if request is not None:
            self._release(request)
            self._drop_gate()

    def _raise_gate(self, expired: list[Transaction]) -> None:
        """What ended unanswered keeps its extent, so from now on others have to ask for theirs."""
        if self._gate is None and any(t.attempts and t.request.op in _CHANGES for t in expired):
            self._gate = OverlapGate()
            running = [t.request for t in (*expired, *self._table.in_flight.values())]
            for request in (*running, *(request for request, _ in self._table.backlog)):
                if request.op in _CHANGES:
                    admitted = self._gate.admit(request)
                    assert admitted, "the array above has let overlapping writes run together"

    def _drop_gate(self) -> None:
        """With all extents free again the array's ordering is enough."""
        if self._ordered_above and not self._unanswered and not self._held:
            self._gate = None

    # -- budgets: one timer for all transactions -------------------------------------------------------

    def _arm(self) -> None:
        oldest = self._table.oldest()
        if oldest is not None and not self._failure:
            now = self._reactor.now
            when = min(oldest + self.policy.budget_ns, now + self.policy.resend_timeout_ns)
            self._timer = self._reactor.call_at(max(when, now + limits.MS), self._check)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        now = self._reactor.now
        self._fail_fast(now - self.policy.resend_timeout_ns)
        expired = self._table.expire(now - self.policy.budget_ns)
        if expired:
            self._exhaust(expired)
        if self._timer is None:
            self._arm()

    def _exhaust(self, expired: list[Transaction]) -> None:
        LOG.error("%s: the budget of %d transactions has ended without an answer", self.name, len(expired))
        self.errors += len(expired)
        sent = [t for t in expired if t.id]
        if self._to_send:
            self._to_send = [t for t in self._to_send if t.id in self._table.in_flight]
        self._raise_gate(expired)
        self._send(self._table.settle([t.request for t in sent]))
        self._keep_extents(expired)
        self._finish([(t.request, errno.EIO) for t in expired])

    def _keep_extents(self, expired: list[Transaction]) -> None:
        """What was sent and has ended keeps its extent; all else that has ended lets go of it."""
        if self._gate is None:
            return
        changes = [t for t in expired if t.request.op in _CHANGES]
        began = [t for t in changes if t.request not in self._held]
        # First those that still wait, or the others' end would let them begin; the last of them first,
        # for nobody waits for it.
        for transaction in reversed(changes):
            if transaction.request in self._held:
                del self._held[transaction.request]
                self._gate.withdraw(transaction.request)
        for transaction in began:
            if transaction.attempts:
                self._unanswered[transaction.id] = transaction.request
            else:
                self._release(transaction.request)

    def _fail_fast(self, before: int) -> None:
        """Reads that another member can answer do not wait any longer."""
        taken = self._table.take_reads(FAIL_FAST, before)
        if taken:
            self._send(self._table.settle([t.request for t in taken if t.id]))
            self._finish([(t.request, errno.ENOLINK) for t in taken])


def _capabilities(welcome: Welcome) -> Capabilities:
    names = welcome.capabilities
    return Capabilities(
        size=welcome.size,
        block_min=welcome.block_min,
        block_preferred=welcome.block_preferred,
        payload_max=welcome.payload_max,
        read_only=welcome.access == dst_hello.READ_ONLY,
        flush="flush" in names,
        fua="fua" in names,
        trim="trim" in names,
        write_zeroes="write_zeroes" in names,
        fast_zero="fast_zero" in names,
        rotational="rotational" in names,
    )
