"""Sender: requests whose extents are free, in the server's words, through the window, onto the link."""

from collections.abc import Iterable

from dsttool.engine.device.request import Request
from dsttool.engine.node.nbd_dialect import Dialect, Piece
from dsttool.engine.node.nbd_link import NbdLink
from dsttool.engine.node.nbd_splits import Splits
from dsttool.engine.node.nbd_transactions import take_out
from dsttool.engine.transaction.table import InFlightTable, Transaction
from dsttool.engine.transport.link import Bytes
from dsttool.engine.vocabulary.operations import FLUSH, WRITE
from dsttool.engine.wire.nbd import REQUEST, REQUEST_MAGIC, ExportInfo


class Sender:
    """open: whether there is a connection to send on; without one transactions wait in the table."""

    def __init__(self, table: InFlightTable, info: ExportInfo, link: NbdLink) -> None:
        self.open = False
        self._table = table
        self._dialect = Dialect(info)
        self._splits = Splits(self._dialect)
        self._link = link

    def start(self, requests: Iterable[Request], now: int) -> list[Request]:
        """Begin requests. Returns those that need no sending: they are finished."""
        longest, emulated = self._dialect.longest, self._dialect.emulated
        fitting: list[Request] = []
        finished: list[Request] = []
        for request in requests:
            op = request.op
            fits = request.length <= longest.get(op, -1)
            if fits and not (request.flags and request.flags & emulated.get(op, 0)):
                fitting.append(request)
                continue
            pieces = self._splits.begin(request)
            if pieces:
                fitting += pieces
            else:
                finished.append(request)
        self.send(self._table.start(fitting, now))
        return finished

    def send(self, transactions: list[Transaction]) -> None:
        """Queue them for the end of this turn."""
        if not transactions or not self.open:
            return
        out: list[Bytes] = []
        append, pack, flags = out.append, REQUEST.pack, self._dialect.flags
        size = REQUEST.size * len(transactions)
        for transaction in transactions:
            transaction.attempts += 1
            request = transaction.request
            op, length = request.op, request.length
            sent_flags = request.flags & flags[op] if request.flags else 0
            append(pack(REQUEST_MAGIC, sent_flags, op, transaction.id, request.offset, length))
            if op == WRITE:
                append(request.data)
                size += length
        self._link.send(out, size)

    def refill(self, window: int) -> None:
        """Let so many transactions be in flight, and send those that waited for it."""
        self._table.window = window
        self.send(self._table.refill())

    def settle(self, answered: list[Request], now: int) -> list[Request]:
        """What was sent and has been answered. Returns the requests that are finished by that."""
        self.send(self._table.settle(answered))
        if self._splits:
            answered, epilogues = self._splits.gather(answered)
            self.send(self._table.start(epilogues, now))
        return answered

    def forget(self, request: Request) -> None:
        """The request was given up, and its transactions are out of the table."""
        self._splits.forget(request)

    def lost(self, now: int) -> None:
        """The connection is gone: what it had answered of requests in pieces will be sent again."""
        self.open = False
        flushes = take_out(self._table, lambda r: type(r) is Piece and r.op == FLUSH)
        self._table.start(self._splits.again([transaction.request for transaction in flushes]), now)
