"""What a DST server answers, taken from the records of one link. The hot path of a node."""

from collections import deque
from typing import Final, Protocol

from dsttool.engine.device.request import Request
from dsttool.engine.transaction.table import InFlightTable
from dsttool.engine.vocabulary.errors import ProtocolError
from dsttool.engine.vocabulary.operations import FLUSH, READ
from dsttool.engine.wire.dst_messages import REPLY, VERIFIER_BYTES, heads_of
from dsttool.engine.wire.dst_records import BATCH_COUNT_MAX, CROSSOVER

_LENGTH: Final = "sent payloads of the wrong length"


class Answered(Protocol):
    """The node that is answered. server_verifier: the one of the last welcome or flush."""

    server_verifier: bytes

    def settle(self, finished: list[Request]) -> None:
        """The requests that a batch answered, popped from the table already."""

    def late(self, id_: int) -> None:
        """An answer to what is not in the table any more."""

    def lost(self, verifier: bytes) -> None:
        """A flush was done under another verifier: what was not flushed before may be lost."""


class Replies:
    """Of one link. errors: answers that were errors."""

    def __init__(self, name: str, table: InFlightTable, node: Answered) -> None:
        self._name = name
        self._table = table
        self._node = node
        self._announced: deque[tuple[int, int]] = deque()
        self.errors = 0

    def begin(self) -> None:
        """A new connection: what an older one announced will not come."""
        self._announced.clear()

    def take(self, view: memoryview, count: int, start: int, end: int) -> bool:
        """A REPLIES body; True if views of it are kept. Raises ProtocolError.

        One look-up per reply, everything else per batch.
        """
        node = self._node
        pop, late = self._table.in_flight.pop, node.late
        finished: list[Request] = []
        heads, position = heads_of(REPLY, view, count, start, end)
        first = position
        wrong = ""
        for id_, status, _, length in heads:
            if length >= CROSSOVER:
                self._announced.append((id_, length))
                continue
            transaction = pop(id_, None)
            if transaction is None:
                late(id_)
                position += length
                continue
            request = transaction.request
            if not transaction.attempts:
                # It waits: perhaps for another one to be done, which its end must not seem to be.
                self._table.put_back(transaction)
                wrong = "answered what it was not asked yet"
                break
            if status:
                request.error = status
                self.errors += 1
            elif request.op == READ:
                if length != request.length or position + length > end:
                    self._table.put_back(transaction)
                    wrong = _LENGTH
                    break
                request.data = view[position : position + length]
            elif request.op == FLUSH:
                if length != VERIFIER_BYTES or position + length > end:
                    self._table.put_back(transaction)
                    wrong = _LENGTH
                    break
                request.data = bytes(view[position : position + length])
                if request.data != node.server_verifier:
                    # It covers nothing that was acked before, those of this batch included: once more.
                    self._table.put_back(transaction)
                    finished = self._lost(finished, request.data)
                    position += length
                    continue
            position += length
            finished.append(request)
        if finished:
            node.settle(finished)
        if wrong or position != end:
            raise ProtocolError(f"The server of {self._name} {wrong or _LENGTH}.")
        # Every request of a window may be announced at once, and as many that were given up.
        if len(self._announced) > 2 * max(self._table.window, BATCH_COUNT_MAX):
            raise ProtocolError(f"The server of {self._name} announced payloads that do not come.")
        return position != first

    def _lost(self, finished: list[Request], verifier: bytes) -> list[Request]:
        """What was answered before that is told first; returns what there is to tell after it."""
        if finished:
            self._node.settle(finished)
        self._node.lost(verifier)
        return []

    def take_payload(self, payload: memoryview) -> None:
        """A PAYLOAD body, to keep. Raises ProtocolError."""
        id_, length = self._announced.popleft() if self._announced else (0, -1)
        transaction = self._table.in_flight.get(id_)
        if length != len(payload):
            raise ProtocolError(f"The server of {self._name} {_LENGTH}.")
        if transaction is not None:
            request = transaction.request
            if request.op != READ or request.length != length or not transaction.attempts:
                raise ProtocolError(f"The server of {self._name} sent a payload that was not asked for.")
            del self._table.in_flight[id_]
            request.data = payload
            self._node.settle([request])
