"""What may run at a DST server though its answer is not waited for: changes that were given up, whose
extents are locked, and those that are doubted after a loss.

How such a change ends:
* it is answered after all, over the link that it was sent by;
* that link has gone, and it is asked for over another one. The record that asks has a floor above it, so
  the server does not begin it: it tells its end if it runs, and ECANCELED if it does not;
* a welcome does not say that it runs, and the floor of its hello was above it, or the link is the only one
  that it was ever sent by: an old connection of another one may still have it on its way.

One that none of this has told of yet waits for the floor to rise above it, and is asked for then.
"""

from collections.abc import Iterable

from dsttool.engine.device.request import Request
from dsttool.engine.node.dst_extents import Extents
from dsttool.engine.node.dst_link import DstLink
from dsttool.engine.transaction.table import InFlightTable, Transaction
from dsttool.engine.vocabulary.operations import WRITE
from dsttool.engine.wire.dst_messages import pack_requests


class Orphans:
    """Those of one node, which has so many links."""

    def __init__(self, table: InFlightTable, extents: Extents, links: int) -> None:
        self._table = table
        self._extents = extents
        self._one_link = links == 1

    def _all(self) -> list[Transaction]:
        return [*self._extents.locked.values(), *self._table.doubted.values()]

    def __contains__(self, id_: int) -> bool:
        return id_ in self._extents.locked or id_ in self._table.doubted

    def ended(self, link: DstLink, running: set[int]) -> list[int]:
        """Those that cannot run any more, by what the link's welcome says is running."""
        over = []
        for transaction in self._all():
            if transaction.id in running:
                continue
            own = transaction.link is link
            if transaction.id < link.floor or (own and (self._one_link or transaction.attempts == 1)):
                over.append(transaction.id)
            elif own:
                transaction.link = None  # no answer will come over this one
        return over

    def untold(self, up: Iterable[DstLink]) -> list[Transaction]:
        """Those whose answer would come over no link that is up."""
        return [transaction for transaction in self._all() if transaction.link not in up]

    def running(self, ids: set[int]) -> list[Transaction]:
        """Those among these ids."""
        return [transaction for transaction in self._all() if transaction.id in ids]

    def sent_by(self, link: DstLink) -> list[Transaction]:
        """Those whose answer would come over this link."""
        return [transaction for transaction in self._all() if transaction.link is link]

    def ask_after(self, orphans: Iterable[Transaction], link: DstLink) -> None:
        """Have their ends told over this link."""
        floor = self._table.floor
        asked = []
        for transaction in orphans:
            if transaction.id < floor:  # or it might begin again
                transaction.link = link
                asked.append(_asking_after(transaction))
        if asked:
            link.send(pack_requests(asked, floor))


def _asking_after(transaction: Transaction) -> Transaction:
    """The transaction once more, with another payload: its own may have changed since its request ended."""
    request = transaction.request
    data = memoryview(bytes(request.length)) if request.op == WRITE else None
    copy = Request(request.op, request.flags, request.offset, request.length, data, None, request.sink)
    return Transaction(transaction.id, copy, transaction.started)
