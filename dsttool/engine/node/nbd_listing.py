"""What `tx list` and the live view show of an NBD node's transactions: a request, whatever its pieces."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain

from dsttool.engine.device.request import Request
from dsttool.engine.node.listing import entry
from dsttool.engine.node.nbd_extents import Extents
from dsttool.engine.node.nbd_transactions import root_of
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.transaction.table import InFlightTable
from dsttool.engine.vocabulary.status import TransactionStatus


class Listing:
    """All of one node's transactions, as of `now` (ns).

    unfinished: when each was submitted, in that order. resend_ns: until the next attempt to send again.
    up: whether there is a connection.
    """

    def __init__(
        self,
        node: str,
        now: int,
        policy: Policy,
        unfinished: Mapping[Request, int],
        table: InFlightTable,
        extents: Extents,
        *,
        resend_ns: int | None,
        up: bool,
    ) -> None:
        self._node = node
        self._now = now
        self._policy = policy
        self._unfinished = unfinished
        self._exhausted = extents.exhausted()
        self._waiting = extents.waiting
        self._resend_ns = resend_ns
        self._up = up
        # By request: the id, and how often it was sent.
        self._sent: dict[Request, tuple[int, int]] = {}
        for transaction in table.in_flight.values():
            self._sent.setdefault(root_of(transaction.request), (transaction.id, transaction.attempts))

    def entries(self) -> Iterator[TransactionStatus]:
        """Oldest first. Which ones is decided now; each is described when it is taken."""
        given_up = (
            self._entry(request, request.began or self._now, "exhausted") for request in self._exhausted
        )
        unfinished = list(self._unfinished.items())
        return chain(given_up, (self._entry(r, began, self._state(r, began)) for r, began in unfinished))

    def states(self) -> Counter[str]:
        """How many are in each state."""
        found = Counter(self._state(request, began) for request, began in self._unfinished.items())
        found["exhausted"] = len(self._exhausted)
        return +found

    def _state(self, request: Request, began: int) -> str:
        if self._policy.on_exhausted == "freeze" and began + self._policy.budget_ns <= self._now:
            return "frozen"
        if self._sent.get(request, (0, 0))[1]:
            return "in_flight" if self._up else "resend"
        return "held" if request in self._waiting else "queued"

    def _entry(self, request: Request, began: int, state: str) -> TransactionStatus:
        id_, attempts = (0, 0) if state == "exhausted" else self._sent.get(request, (0, 0))
        return entry(
            self._node,
            self._policy,
            request,
            state,
            id_=id_,
            started=began,
            now=self._now,
            attempts=attempts,
            next_resend_ns=self._resend_ns if attempts else None,
        )
