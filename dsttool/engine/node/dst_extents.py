"""The extents of a DST node's requests: which may be in flight, which wait, and which are locked.

* Overlapping changes are never in flight together: the later one is held until the earlier is answered.
* A change whose budget ended unanswered keeps its extent until it is answered, or a later welcome proves
  that it cannot run any more. Else it could land after a newer one. Reads wait for it as well: what they
  bring must not change any more without anybody writing.
"""

from collections.abc import Iterable

from dsttool.engine.device.request import Request
from dsttool.engine.extents.overlap import OverlapGate
from dsttool.engine.transaction.table import CHANGES, Transaction
from dsttool.engine.vocabulary.operations import READ


class Extents:
    """ordered_above: whoever submits orders overlapping changes already. Then there is a gate only while
    changes that ended unanswered keep their extents.

    gate: None while there is nothing to ask. held: requests whose extent is not free yet, and their
    transactions once the window admitted them. locked: those that were sent and gave up, by id.
    """

    def __init__(self, *, ordered_above: bool) -> None:
        self._ordered_above = ordered_above
        self.gate: OverlapGate[Request] | None = None if ordered_above else OverlapGate()
        self.held: dict[Request, Transaction | None] = {}
        self.locked: dict[int, Transaction] = {}

    def admit(self, batch: Iterable[Request]) -> None:
        """Requests in the order of their submission; only while there is a gate."""
        assert self.gate is not None
        admit, held = self.gate.admit, self.held
        for request in batch:
            if request.op in CHANGES:
                if not admit(request):
                    held[request] = None
            elif self.locked and request.op == READ and self._is_locked(request):
                held[request] = None

    def without_held(self, transactions: list[Transaction]) -> list[Transaction]:
        """Those whose extent is free; the others are remembered until it is."""
        free, held = [], self.held
        for transaction in transactions:
            if transaction.request in held:
                held[transaction.request] = transaction
            else:
                free.append(transaction)
        return free

    def release(self, finished: Iterable[Request]) -> list[Transaction]:
        """The answered changes' extents are free; what waited for them may be sent."""
        freed: list[Transaction] = []
        if self.gate is not None:
            for request in finished:
                if request.op in CHANGES:
                    self._free(request, freed)
        return freed

    def give_up(self, expired: list[Transaction], running: Iterable[Request]) -> list[Transaction]:
        """What was sent and has ended keeps its extent; all else that has ended lets go of it.

        running: all other requests that have begun, in the order of their submission. Returns what may
        be sent.
        """
        self.forget_reads(expired)
        self._raise_gate(expired, running)
        freed: list[Transaction] = []
        if self.gate is None:
            return freed
        changes = [t for t in expired if t.request.op in CHANGES]
        began = [t for t in changes if t.request not in self.held]
        # First those that still wait, or the others' end would let them begin; the last of them first,
        # for nobody waits for it.
        for transaction in reversed(changes):
            if transaction.request in self.held:
                del self.held[transaction.request]
                self.gate.withdraw(transaction.request)
        for transaction in began:
            if transaction.attempts:
                self.locked[transaction.id] = transaction
            else:
                self._free(transaction.request, freed)
        return freed

    def forget_reads(self, ended: Iterable[Transaction]) -> None:
        """Those of them that are reads wait for nothing any more."""
        if self.held:
            for transaction in ended:
                if transaction.request.op == READ:
                    self.held.pop(transaction.request, None)

    def unlock(self, ids: Iterable[int]) -> list[Transaction]:
        """What had been given up cannot run any more, or was answered late; what may be sent now."""
        freed: list[Transaction] = []
        ended: list[Request] = []
        for id_ in ids:
            transaction = self.locked.pop(id_, None)
            if transaction is not None:
                ended.append(transaction.request)
                self._free(transaction.request, freed)
        # Late answers come one by one: what waits for others is not compared with all of those each time.
        reads = [request for request in self.held if request.op == READ and _touches(request, ended)]
        reads = [request for request in reads if not self._is_locked(request)]
        waited = [self.held.pop(request) for request in reads]
        freed += [transaction for transaction in waited if transaction is not None]
        if self._ordered_above and not self.locked and not self.held:
            self.gate = None  # with all extents free again the order above is enough
        return freed

    def requeued(self) -> None:
        """The window has taken back what it had admitted: what is held will be admitted again."""
        self.held = dict.fromkeys(self.held)

    def clear(self) -> None:
        """Nothing will be sent any more."""
        self.held.clear()
        self.locked.clear()
        if self.gate is not None:
            self.gate = OverlapGate()

    def _free(self, request: Request, freed: list[Transaction]) -> None:
        assert self.gate is not None
        for admitted in self.gate.release(request):
            transaction = self.held.pop(admitted, None)
            if transaction is not None:
                freed.append(transaction)

    def _is_locked(self, request: Request) -> bool:
        """Whether the extent touches one that is locked."""
        return _touches(request, (transaction.request for transaction in self.locked.values()))

    def _raise_gate(self, expired: list[Transaction], running: Iterable[Request]) -> None:
        """What ended unanswered keeps its extent, so from now on others have to ask for theirs."""
        if self.gate is None and any(t.attempts and t.request.op in CHANGES for t in expired):
            self.gate = OverlapGate()
            for request in (*(t.request for t in expired), *running):
                if request.op in CHANGES:
                    admitted = self.gate.admit(request)
                    assert admitted, "what is above has let overlapping writes run together"


def _touches(request: Request, others: Iterable[Request]) -> bool:
    start, end = request.offset, request.offset + request.length
    return any(other.offset < end and start < other.offset + other.length for other in others)
