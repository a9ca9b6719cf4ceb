"""NbdNode: an export of any NBD server as a Device, whose transactions outlive the connection.

    submit(batch) -> extents (overlapping writes wait) -> dialect (pieces, where needed)
      -> in-flight table (window) -> one list of buffers -> link
    one receive -> all replies in it -> pieces into their requests -> sinks

* While the link is down, transactions wait; when it is up again, all unanswered ones are sent again,
  oldest first. Nobody above sees an error before a transaction's budget ends.
* Reads flagged FAIL_FAST do not wait: with the link down, or after one resend timeout, they fail with
  ENOLINK and the array asks another member.
* A reconnect that finds another size, other block sizes or no permission to write ends the node: a
  smaller, different or read-only export is never written to.

What NBD does not give, for it knows no sessions:

* A write that is sent again may be executed twice. Both times it writes the same, and nothing that
  overlaps it is sent before it is answered, so that does no harm by itself.
* A write of a lost connection may still run at the server, and land after a newer one of the new
  connection. Its answer may come on the old connection, if that is still open (nbd_link.py); until then
  its extent is locked. When there is nothing left to wait for, it is not known any more.
* Whether acked writes outlived the loss of a connection: the server may have started anew. So every
  reconnect is a change of the verifier. A flush on the new connection would not help: it says nothing of
  what is lost, and covers only what was answered, not what still runs. The same holds after a flush that
  failed. Where there is no other copy (`retain`), what was acked and not flushed is written again instead,
  before anything else is sent, and the verifier stays (`Repair`). A server that has no flush at all can
  never be asked to keep anything, so there every reconnect is a change even so.
"""

import errno
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from dsttool.engine.device.device import Device
from dsttool.engine.device.request import Request, deliver
from dsttool.engine.node.link_story import LinkStory
from dsttool.engine.node.nbd_budgets import Budgets
from dsttool.engine.node.nbd_connection import Answers, Connection
from dsttool.engine.node.nbd_dialect import capabilities
from dsttool.engine.node.nbd_export import change_of, identity_of
from dsttool.engine.node.nbd_extents import Extents
from dsttool.engine.node.nbd_link import NbdLink
from dsttool.engine.node.nbd_listing import Listing
from dsttool.engine.node.nbd_sender import Sender
from dsttool.engine.node.nbd_transactions import (
    CHANGES,
    changes_of,
    may_have_dropped,
    root_of,
    take_out,
)
from dsttool.engine.node.repair import Repair
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.transaction.policy import SINGLE_COPY, Policy
from dsttool.engine.transaction.table import InFlightTable, Transaction
from dsttool.engine.transport.tls import Tls
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError
from dsttool.engine.vocabulary.limits import NBD_WINDOW, NBD_WINDOW_BYTES
from dsttool.engine.vocabulary.operations import FAIL_FAST, FLUSH
from dsttool.engine.vocabulary.status import TransactionStatus
from dsttool.engine.wire.nbd import ExportInfo

Ready = Callable[[DsttoolError | None], None]


class NbdNode(Device):
    """See the head of this file. `capabilities` and `info` are there once `ready` had no error.

    retain: there is no other copy, so keep what was acked until it is flushed. tls: what protects the link.
    errors: requests that failed.
    """

    info: ExportInfo

    def __init__(
        self,
        reactor: Reactor,
        name: str,
        endpoint: Endpoint,
        export: str,
        *,
        policy: Policy = SINGLE_COPY,
        read_only: bool = False,
        retain: bool = False,
        tls: Tls | None = None,
    ) -> None:
        self.name = name
        self.export = export
        self.policy = policy
        self.budget_ns = policy.budget_ns
        self.verifier = reactor.random_bytes(16)
        self.structured = False
        self.errors = 0
        self._reactor = reactor
        self._endpoint = endpoint
        self._read_only = read_only
        self._retain = retain
        self._repair: Repair | None = None
        self._table = InFlightTable(min(policy.window, NBD_WINDOW), NBD_WINDOW_BYTES)
        self._link = NbdLink(reactor, name, endpoint, export, policy, self, tls)
        self._connection: Connection | None = None
        self._extents = Extents()
        self._budgets = Budgets(
            reactor,
            name,
            policy,
            exhaust=lambda expired: self._give_up(expired, errno.EIO),
            fail_fast=lambda reads: self._give_up(reads, errno.ENOLINK),
        )
        self._unfinished = self._budgets.unfinished
        self._announced = True
        self._ready: Ready | None = None
        self.story = LinkStory(reactor, name)
        self._closing: Callable[[], None] | None = None
        self._closed = False

    # -- for whoever assembles -----------------------------------------------------------------------

    def connect(self, ready: Ready) -> None:
        """Reach the server. `ready(None)` once requests may be submitted, or `ready(error)`; once."""
        self._ready = ready
        self._link.start()

    def set_policy(self, policy: Policy) -> None:
        """Another policy from now on, for what is under way as well."""
        self.policy = self._link.policy = policy
        self.budget_ns = policy.budget_ns
        self._fit_window()
        self._budgets.set_policy(policy)

    @property
    def up(self) -> bool:  # type: ignore[override]
        """Whether requests can be sent."""
        return self._connection is not None and not (self._repair is not None and self._repair.replaying)

    @property
    def frozen(self) -> bool:  # type: ignore[override]
        """See Device."""
        return self._budgets.frozen

    @property
    def _ended(self) -> bool:
        """Whether nothing is sent any more, or not yet."""
        return bool(self.failure or self._ready or self._closing) or self._closed

    @property
    def rtt_ns(self) -> int | None:  # type: ignore[override]
        """How long the server took for its first answer, in the last handshake."""
        return self._link.rtt_ns

    @property
    def in_flight(self) -> int:
        """Requests that have no answer yet."""
        return len(self._unfinished)

    def status(self) -> dict[str, Any]:
        """The fields of a member and its link in interface.md, as far as a node knows them."""
        return {
            "in_flight": self.in_flight,
            "resends": self._table.resends,
            "losses": self._link.losses,
            "errors": self.errors,
            "frozen": self.frozen,
            "link": self._link.status(),
        }

    def transactions(self, node: str | None = None) -> Iterator[TransactionStatus]:
        """See Device."""
        return self._listing().entries() if node in (None, self.name) else iter(())

    def transaction_states(self, node: str | None = None) -> Counter[str]:
        """See Device."""
        return self._listing().states() if node in (None, self.name) else Counter()

    def _listing(self) -> Listing:
        return Listing(
            self.name,
            self._reactor.now,
            self.policy,
            self._unfinished,
            self._table,
            self._extents,
            resend_ns=self._link.resend_ns(),
            up=self._connection is not None,
        )

    # -- requests ------------------------------------------------------------------------------------

    def submit(self, batch: list[Request]) -> None:
        """See Device."""
        if self._ended or (self._connection is None and any(r.flags & FAIL_FAST for r in batch)):
            batch = self._refuse(batch)
            if not batch:
                return
        self._budgets.begin(batch)
        if self._repair is not None:
            self._repair.submitted(batch)
        admit = self._extents.admit
        ready = [r for r in batch if r.op not in CHANGES or admit(r)]
        finished = self._sender.start(ready, self._reactor.now)
        if finished:
            self._complete(finished)
        self._budgets.arm()

    def _refuse(self, batch: list[Request]) -> list[Request]:
        """Answer at once what must not wait; returns the rest."""
        refused = [r for r in batch if self._ended or r.flags & FAIL_FAST]
        self.errors += len(refused)
        for request in refused:
            request.error = errno.EIO if self._ended else errno.ENOLINK
        if refused:
            # In a turn of its own: the caller may be in the middle of its own batch.
            self._reactor.post(lambda: deliver(refused))
        return [r for r in batch if not (self._ended or r.flags & FAIL_FAST)]

    def send(self, transactions: list[Transaction]) -> None:
        """See RepairOwner."""
        self._sender.send(transactions)

    # -- LinkOwner -------------------------------------------------------------------------------------

    def check_export(self, info: ExportInfo) -> DsttoolError | None:
        """See LinkOwner."""
        if self._ready is not None:
            self.info = info
            self.capabilities = capabilities(info, self._read_only)
            self.identity = identity_of(self._endpoint, info)
            self._sender = Sender(self._table, info, self._link)
            if self._retain and info.flush and not self.capabilities.read_only:
                self._repair = Repair(self._reactor, self.name, self._table, self)
                self.verifier = self._repair.verifier
            return None
        change = change_of(self.info, info, read_only=self._read_only)
        if not change:
            return None
        return Conflict(
            f"The export behind {self.name} is {change}; it is not used any more.",
            "Bring the right export back and start again.",
        )

    def link_up(self, connection: Connection) -> None:
        """See LinkOwner."""
        connection.begin(self._table.in_flight)
        self.structured = connection.handshake.structured
        self._connection = connection
        self._sender.open = True
        ready, self._ready = self._ready, None
        if ready is not None:
            self._fit_window()
            ready(None)
        else:
            self._begin_again()
        self.story.up(first=True, waiting=len(self._unfinished))
        self._announce()

    def _announce(self) -> None:
        """Tell once that requests are answered again."""
        if self.up and not self._announced:
            self._announced = True
            if self.on_up is not None:
                self.on_up()

    def _begin_again(self) -> None:
        """On a new connection: what was lost first, then what was not answered."""
        if self._repair is None:
            self._change_verifier()
            self.send(self._table.resend())
            self._fit_window()
        else:
            self._table.doubt(lambda _: False)
            self._repair.lost()
            self._fit_window()
            self._write_again()

    def _write_again(self) -> None:
        """Begin what was lost, unless a witness still runs some of it: that could land late."""
        running = any(witness.repairing for witness in self._link.witnesses)
        if self._repair is not None and self._connection is not None and not running:
            self._repair.go_on()

    def _change_verifier(self) -> None:
        """What was acked and not flushed may be lost."""
        self.verifier = self._reactor.random_bytes(16)
        if self.on_verifier is not None:
            self.on_verifier()

    def link_down(self, error: DsttoolError, *, final: bool, in_doubt: list[Transaction]) -> None:
        """See LinkOwner."""
        self._connection = None
        self._announced = False
        ready, self._ready = self._ready, None
        if ready is not None:
            self._link.close()
            self.failure = error
            ready(error)
            return
        if in_doubt and self._repair is not None:
            self._link.witnesses[-1].repairing = self._repair.replaying
        for request in changes_of(in_doubt):
            if request in self._unfinished:
                self._extents.doubt(request)
        if final:
            self.fail(error)
            return
        self.story.down(error, last=True)
        self._sender.lost(self._reactor.now)
        # What was being written again will be made anew.
        own = take_out(self._table, lambda r: root_of(r) not in self._unfinished)
        self._table.settle([t.request for t in own if t.id])
        if self._closing is not None:
            self._give_up(list(self._unfinished), errno.ESHUTDOWN)
        else:
            self._budgets.fail_fast(self._reactor.now)

    def answered(self, answers: Answers) -> None:
        """See LinkOwner."""
        finished: list[Request] = []
        for transaction, failure, payload in answers:
            request = transaction.request
            request.error = failure
            if payload is not None:
                request.data = payload
            finished.append(request)
        if self._repair is not None:
            finished = self._retained(finished)
        finished = self._sender.settle(finished, self._reactor.now)
        if finished:
            self._complete(finished)

    def _retained(self, finished: list[Request]) -> list[Request]:
        """Keep what was acked, and answer what the repair itself asked for; returns all else."""
        assert self._repair is not None
        self._repair.settled(finished)
        own = [request for request in finished if root_of(request) not in self._unfinished]
        if not own:
            return finished
        self.send(self._table.settle(own))
        deliver(own)
        if any(map(may_have_dropped, own)):
            self._link.renew("a flush failed")
        self._announce()
        return [request for request in finished if root_of(request) in self._unfinished]

    def no_longer_runs(self, transactions: list[Transaction]) -> None:
        """See LinkOwner."""
        self._fit_window()
        released: list[Request] = []
        for request in changes_of(transactions):
            released += self._extents.settle(request)
        self._go_on(released)
        if self._repair is not None and self._repair.replaying:
            self._write_again()
            self._announce()

    def awaits(self) -> bool:
        """See LinkOwner."""
        connection = self._connection
        return connection is not None and bool(connection.late or self._table.in_flight)

    # -- finishing -------------------------------------------------------------------------------------

    def _complete(self, finished: list[Request]) -> None:
        """Count, let waiting writes go, deliver; over again with what the latter finished at once."""
        unfinished, end = self._unfinished, self._extents.end
        while finished:
            released: list[Request] = []
            dropped = False
            for request in finished:
                op = request.op
                del unfinished[request]
                if op in CHANGES and (admitted := end(request)):
                    released += admitted
                if request.error:
                    self.errors += 1
                    dropped = dropped or may_have_dropped(request)
                elif op == FLUSH:
                    request.data = self.verifier
            if dropped and self._repair is None:
                finished = self._after_a_failed_flush(finished)
            deliver(finished)
            if dropped and self._repair is not None:
                self._link.renew("a flush failed")
            finished = self._sender.start(released, self._reactor.now) if released else []
        if self._closing is not None:
            self._maybe_leave()

    def _after_a_failed_flush(self, finished: list[Request]) -> list[Request]:
        """Answer what was acked before it, and change the verifier; returns the rest, to be answered."""
        before = [r for r in finished if not r.error and r.op != FLUSH]
        if before:
            deliver(before)
        self._change_verifier()
        rest = [r for r in finished if r.error or r.op == FLUSH]
        for request in rest:
            if not request.error:
                request.data = self.verifier
        return rest

    def _go_on(self, released: list[Request]) -> None:
        """Extents are free: start what waited for them."""
        finished = self._sender.start(released, self._reactor.now) if released else []
        if finished:
            self._complete(finished)

    def _fit_window(self) -> None:
        """What was given up and has no answer yet takes room at the server, too."""
        if self._connection is not None:
            room = min(self.policy.window, NBD_WINDOW)
            self._sender.refill(room - len(self._connection.late))

    # -- giving up -------------------------------------------------------------------------------------

    def abandon(self) -> None:
        """See Device. As if every budget had ended now."""
        self._reactor.post(self._budgets.abandon)

    def _give_up(self, requests: list[Request], code: int) -> None:
        """These end without an answer; what was sent of them keeps its extent until it has ended."""
        if not requests:
            return
        leaving = set(requests)
        taken = take_out(self._table, lambda r: root_of(r) in leaving)
        if self._repair is not None:
            self._repair.given_up(taken)
        if self._connection is not None:
            sent = [t for t in taken if t.attempts]
            self._connection.late.update((t.id, t) for t in sent)
            for request in changes_of(sent):
                self._extents.doubt(request)
        # First those that still wait, or others' end would let them begin; the last of them first, for
        # nobody waits for it.
        waiting = self._extents.waiting
        held = [r for r in reversed(requests) if r in waiting]
        for request in held:
            self._extents.withdraw(request)
        leaving.difference_update(held)
        released: list[Request] = []
        for request in requests:
            self._sender.forget(request)
            if request.op in CHANGES and request in leaving:
                released += self._extents.end(request)
            request.error = code
            del self._unfinished[request]
        self.errors += len(requests)
        self._fit_window()
        self.send(self._table.settle([t.request for t in taken if t.id]))
        deliver(requests)
        self._go_on(released)
        if self._closing is not None:
            self._maybe_leave()

    # -- the end -------------------------------------------------------------------------------------

    def fail(self, error: DsttoolError) -> None:
        """The node ends: the export is not the one it was, or what was lost cannot be written again."""
        self.story.failed(error)
        self.failure = error
        self._connection = None
        self._link.close()
        self._budgets.stop()
        if self._repair is not None:
            self._repair.clear()
        self._give_up(list(self._unfinished), errno.EIO)
        if self.on_failure is not None:
            self.on_failure()

    def close(self, done: Callable[[], None]) -> None:
        """See Device. A server that does not answer in the policy's connect timeout is left."""
        if self._closed:
            self._reactor.post(done)
            return
        self._closing = done
        self._ready = None
        if self._connection is None:
            self._link.close()
            self._give_up(list(self._unfinished), errno.ESHUTDOWN)
        else:
            self._reactor.call_later(self.policy.connect_timeout_ns, self._leave_anyway)
        self._maybe_leave()

    def _leave_anyway(self) -> None:
        if not self._closed:
            self._give_up(list(self._unfinished), errno.EIO)

    def _maybe_leave(self) -> None:
        if self._unfinished or self._closed:
            return
        self._closed = True
        self.story.end()
        self._budgets.stop()
        self._connection = None
        self._link.close(politely=True)
        done, self._closing = self._closing, None
        if done is not None:
            self._reactor.post(done)
