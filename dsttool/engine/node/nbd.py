"""NbdNode: an export of any NBD server, over one connection, as a Device.

    submit(batch) -> gate (overlapping writes wait) -> dialect (pieces, where needed)
      -> in-flight table (window) -> one list of buffers -> link
    one receive -> all replies in it -> pieces into their requests -> sinks

There is no reconnection: when the connection is lost, everything unanswered and everything that comes
later fails with EIO, or with ENOLINK where FAIL_FAST says that there is another copy to ask. A server
that neither sends nor takes a byte for the policy's budget, while requests are in flight, counts as lost.
"""

import errno
import hashlib
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from dsttool.engine.device.device import Device
from dsttool.engine.device.request import Request, deliver
from dsttool.engine.extents.overlap import OverlapGate
from dsttool.engine.node.nbd_dialect import Dialect, Piece, capabilities
from dsttool.engine.node.nbd_handshake import Introduction
from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.transaction.policy import SINGLE_COPY, Policy
from dsttool.engine.transaction.table import InFlightTable, Transaction
from dsttool.engine.transport.link import Bytes, Link
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError, Unreachable
from dsttool.engine.vocabulary.limits import NBD_WINDOW, NBD_WINDOW_BYTES
from dsttool.engine.vocabulary.operations import DISCONNECT, FAIL_FAST, FLUSH, READ, TRIM, WRITE, WRITE_ZEROES
from dsttool.engine.wire.nbd import REQUEST, REQUEST_MAGIC, ExportInfo
from dsttool.engine.wire.nbd_client import ClientHandshake, pack_request
from dsttool.engine.wire.nbd_replies import ReplyParser

LOG = logging.getLogger(__name__)

_CHANGES: Final = frozenset({WRITE, TRIM, WRITE_ZEROES})

Ready = Callable[[DsttoolError | None], None]


class NbdNode(Device):
    """See the head of this file. `capabilities` and `info` are there once `ready` had no error.

    Counters count finished requests: reads, writes and their bytes where they succeeded, errors.
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
    ) -> None:
        self.name = name
        self.reads = self.writes = self.read_bytes = self.written_bytes = self.errors = 0
        self._reactor = reactor
        self._endpoint = endpoint
        self.export = export
        self.policy = policy
        self.up = False
        self.rtt_ns: int | None = None
        self._read_only = read_only
        self._table = InFlightTable(min(policy.window, NBD_WINDOW), NBD_WINDOW_BYTES)
        self._gate: OverlapGate[Request] = OverlapGate()
        self._unfinished = 0
        self._split = 0  # requests that are under way as pieces
        self._introduction: Introduction | None = None
        self._link: Link | None = None
        self._connects = 0
        self._since = reactor.now
        self._watch: Timer | None = None
        self._moved = 0  # bytes in and out when the watch last looked
        self._closing: Callable[[], None] | None = None

    # -- connecting ----------------------------------------------------------------------------------

    def connect(self, ready: Ready) -> None:
        """Reach the server. `ready(None)` once requests may be submitted, or `ready(error)`; once."""

        def introduced(error: DsttoolError | None) -> None:
            self._introduced(error, ready)

        handshake = ClientHandshake(self.export)
        timeout = self.policy.connect_timeout_ns
        self._since = self._reactor.now
        self._introduction = Introduction(
            self._reactor, self._endpoint, handshake, timeout, introduced, receiver=self
        )

    def _introduced(self, error: DsttoolError | None, ready: Ready) -> None:
        introduction, self._introduction = self._introduction, None
        assert introduction is not None, "introduced twice"
        self._since = self._reactor.now
        info = introduction.handshake.info
        if error is None and info is not None:
            self.info = info
            self.capabilities = capabilities(info, self._read_only)
            self._dialect = Dialect(info)
            self.identity = _identity(self._endpoint, info)
            self._link = introduction.link
            self._parser = ReplyParser(
                self._table.in_flight,
                structured=introduction.handshake.structured,
                allocate=self._reactor.pool.take,
            )
            self.up = True
            self.rtt_ns = introduction.rtt_ns
            self._connects += 1
        self.failure = error
        ready(error)

    @property
    def in_flight(self) -> int:
        """Requests that have no answer yet."""
        return self._unfinished

    # -- requests ------------------------------------------------------------------------------------

    def submit(self, batch: list[Request]) -> None:
        """See Device."""
        if self._link is None or self._closing is not None:
            # In a turn of its own: the caller may be in the middle of its own batch.
            self._reactor.post(lambda: self._refuse(batch))
            return
        self._unfinished += len(batch)
        admit = self._gate.admit
        finished = self._start([r for r in batch if r.op not in _CHANGES or admit(r)])
        if finished:
            self._complete(finished)

    def _start(self, requests: Iterable[Request]) -> list[Request]:
        """Send requests that the gate admitted. Returns those that need no sending."""
        longest, emulated = self._dialect.longest, self._dialect.emulated
        fitting: list[Request] = []
        finished: list[Request] = []
        for request in requests:
            if request.length <= longest.get(request.op, -1) and not request.flags & emulated:
                fitting.append(request)
                continue
            pieces = self._dialect.pieces(request)
            if pieces:
                self._split += 1
                fitting += pieces
            else:
                finished.append(request)
        self._send(self._table.start(fitting, self._reactor.now))
        return finished

    def _send(self, transactions: list[Transaction]) -> None:
        link = self._link
        if not transactions or link is None:
            return
        out: list[Bytes] = []
        append, pack, flags = out.append, REQUEST.pack, self._dialect.flags
        size = REQUEST.size * len(transactions)
        for transaction in transactions:
            transaction.attempts = 1
            request = transaction.request
            op, length = request.op, request.length
            sent_flags = request.flags & flags[op] if request.flags else 0
            append(pack(REQUEST_MAGIC, sent_flags, op, transaction.id, request.offset, length))
            if op == WRITE:
                append(request.data)
                size += length
        link.send(out, size)
        if self._watch is None:
            self._look_again(link)

    # -- replies -------------------------------------------------------------------------------------

    def received(self, view: memoryview, head: int, tail: int) -> tuple[int, int, bool]:
        """See Receiver."""
        if self._introduction is not None:
            return self._introduction.received(view, head, tail)
        answers, head, need = self._parser.parse(view, head, tail)
        pinned = False
        finished: list[Request] = []
        for transaction, failure, payload in answers:
            request = transaction.request
            request.error = failure
            if payload is not None:
                request.data = payload
                pinned = True
            finished.append(request)
        self._send(self._table.settle(finished))
        if self._split:
            finished = self._gather(finished)
        if finished:
            self._complete(finished)
        if self._parser.error is not None:
            self._lose(self._parser.error.what.rstrip("."))
        return head, need, pinned

    def _gather(self, answered: list[Request]) -> list[Request]:
        """Give pieces to their requests. Returns the requests that are finished by that."""
        finished: list[Request] = []
        epilogues: list[Request] = []
        for request in answered:
            if type(request) is not Piece:
                finished.append(request)
                continue
            parent = request.parent
            if request.error:
                parent.error = parent.error or request.error
            elif request.op == READ:
                parent.data[request.cookie] = request.data
            parent.pending -= 1
            if parent.pending:
                continue
            epilogue = None
            if not parent.error and request.op != FLUSH:
                epilogue = self._dialect.epilogue(parent)
            if epilogue is None:
                self._split -= 1
                finished.append(parent)
            else:
                epilogues.append(epilogue)
        self._send(self._table.start(epilogues, self._reactor.now))
        return finished

    def _complete(self, finished: list[Request]) -> None:
        """Count, let waiting writes go, deliver; over again with what the latter finished at once."""
        while finished:
            self._unfinished -= len(finished)
            released: list[Request] = []
            for request in finished:
                op = request.op
                if op in _CHANGES:
                    released += self._gate.release(request)
                if request.error:
                    self.errors += 1
                elif op == READ:
                    self.reads += 1
                    self.read_bytes += request.length
                elif op == WRITE:
                    self.writes += 1
                    self.written_bytes += request.length
            deliver(finished)
            finished = []
            if self._link is None:
                self._fail(released)
            elif released:
                finished = self._start(released)
        if self._closing is not None:
            self._maybe_leave()

    # -- loss ----------------------------------------------------------------------------------------

    def drained(self) -> None:
        """See Receiver."""

    def lost(self, reason: str) -> None:
        """See Receiver."""
        if self._introduction is not None:
            self._introduction.lost(reason)
        else:
            self._lose(reason or "the server closed it")

    def _lose(self, reason: str) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        self.up = False
        LOG.warning("node %s: connection lost: %s", self.name, reason)
        self.failure = Unreachable(f"The connection to {self._endpoint} is lost: {reason}.")
        link.close()
        self._since = self._reactor.now
        unanswered = [transaction.request for transaction in self._table.take_all()]
        self._split = 0
        # Pieces of one request fail it once.
        self._fail(list(dict.fromkeys(r.parent if type(r) is Piece else r for r in unanswered)))
        self._left()

    def _fail(self, requests: list[Request]) -> None:
        """Fail requests that the gate had admitted, and all that waited for them."""
        while requests:
            self._unfinished -= len(requests)
            released: list[Request] = []
            for request in requests:
                if request.op in _CHANGES:
                    released += self._gate.release(request)
            self._refuse(requests)
            requests = released

    def _refuse(self, requests: list[Request]) -> None:
        self.errors += len(requests)
        for request in requests:
            request.error = errno.ENOLINK if request.flags & FAIL_FAST else errno.EIO
        if requests:
            deliver(requests)

    def abandon(self) -> None:
        """See Device. Requests in flight cannot be called back, so the connection goes."""
        self._reactor.post(lambda: self._lose("nobody relies on this node any more"))

    def _look_again(self, link: Link) -> None:
        self._moved = link.bytes_in + link.bytes_out
        self._watch = self._reactor.call_later(self.policy.budget_ns, self._check_progress)

    def _check_progress(self) -> None:
        """While requests are in flight, bytes must move; an idle node has no timer."""
        self._watch = None
        link = self._link
        if link is None or not len(self._table):
            return
        if link.bytes_in + link.bytes_out == self._moved:
            self._lose(f"no answer in {self.policy.budget_ns / 1e9:g} s")
        else:
            self._look_again(link)

    # -- the end -------------------------------------------------------------------------------------

    def close(self, done: Callable[[], None]) -> None:
        """See Device. A server that does not answer in the policy's connect timeout is left."""
        self._closing = done
        if self._introduction is not None:
            self._introduction.cancel()
            self._introduction = None
        if self._link is None:
            self._left()
            return
        self._reactor.call_later(
            self.policy.connect_timeout_ns, lambda: self._lose("closed before everything was answered")
        )
        self._maybe_leave()

    def _maybe_leave(self) -> None:
        link = self._link
        if link is None or self._unfinished:
            return
        goodbye = pack_request(DISCONNECT, 0, 0, 0, 0)
        link.send([goodbye], len(goodbye))
        link.flush()
        link.close()
        self._link = None
        self.up = False
        self._since = self._reactor.now
        self._left()

    def _left(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        done, self._closing = self._closing, None
        if done is not None:
            done()

    # -- status --------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """The fields of a member and its link in interface.md, as far as a node knows them."""
        if self.up:
            state = "up"
        elif self._introduction is not None:
            state = "connecting" if self._introduction.link is None else "handshake"
        else:
            state = "down"
        return {
            "in_flight": self.in_flight,
            "resends": 0,
            "reads": self.reads,
            "writes": self.writes,
            "read_bytes": self.read_bytes,
            "written_bytes": self.written_bytes,
            "errors": self.errors,
            "link": {
                "state": state,
                "security": "none",
                "rtt_ns": self.rtt_ns,
                "connects": self._connects,
                "since_ns": self._reactor.now - self._since,
            },
        }


def _identity(endpoint: Endpoint, info: ExportInfo) -> bytes:
    """NBD tells nothing of the storage behind an export: the same place and size must do."""
    words = f"{endpoint}\0{info.name}\0{info.size}"
    return hashlib.blake2b(words.encode(), digest_size=16).digest()
