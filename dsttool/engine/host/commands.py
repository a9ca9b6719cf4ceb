"""What the control socket takes beside hello, status, stop and wait: a table of handlers per kind of daemon.

    every daemon     tx.list        {name, node?, id?}     what is under way to other machines
    array daemons    node.suspend   {node, for_ns?}        answered once the member gets no request any more
                     node.resume    {node}
                     resync.status  {}
                     resync.start   {}
                     resync.pause   {}
                     resync.limit   {floor?, ceiling?}     bytes per second of all resyncs; no ceiling: 0
                     policy.show    {node?}                what holds for each member, and why
                     policy.set     {node?, settings}      all of it for all of them, or nothing
                     check.*        as the command of that name, which refuses what it would refuse, and
                                    else changes nothing: node.suspend, node.resume, resync.limit, policy.set

A handler runs on the reactor and raises vocabulary.errors, which arrive at the command as they are.
"""

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from dsttool.engine.array.array import Array
from dsttool.engine.control.server import Answer, Handler
from dsttool.engine.export.offer import Offer
from dsttool.engine.host.array_commands import Members, Resyncs, Settings, text_of
from dsttool.engine.host.policies import MemberPolicy
from dsttool.engine.vocabulary.status import TransactionStatus

# Of more than this nobody reads the list; the totals say how many there are.
TRANSACTIONS_MAX: Final = 200


def for_exports(offers: Sequence[Offer]) -> dict[str, Handler]:
    """The commands of an export daemon."""
    return {"tx.list": _Transactions(offers).list}


def for_array(array: Array, offer: Offer, policies: Sequence[MemberPolicy]) -> dict[str, Handler]:
    """The commands of an array daemon. policies: in slot order."""
    members, resyncs, settings = Members(array), Resyncs(array), Settings(array, policies)
    return {
        "tx.list": _Transactions([offer]).list,
        "node.suspend": members.suspend,
        "node.resume": members.resume,
        "resync.status": resyncs.status,
        "resync.start": resyncs.start,
        "resync.pause": resyncs.pause,
        "resync.limit": resyncs.limit,
        "policy.show": settings.show,
        "policy.set": settings.set,
        "check.node.suspend": members.check_suspend,
        "check.node.resume": members.check_resume,
        "check.resync.limit": resyncs.check_limit,
        "check.policy.set": settings.check_set,
    }


class _Transactions:
    def __init__(self, offers: Sequence[Offer]) -> None:
        self._offers = offers

    def list(self, arguments: dict[str, Any], answer: Answer) -> None:
        """The oldest of the transactions of what is served under a name, and totals by state of all."""
        name, node, id_ = text_of(arguments, "name"), arguments.get("node"), arguments.get("id")
        label = None if node is None else f"{name}/{node}"
        chosen = [
            each
            for each in self._of(name)
            if (label is None or each["node"] == label) and (id_ is None or each["id"] == id_)
        ]
        oldest = heapq.nlargest(TRANSACTIONS_MAX, chosen, key=lambda each: each["age_ns"])
        states = Counter(each["state"] for each in chosen)
        answer({"name": name, "total": len(chosen), "states": dict(states), "transactions": oldest})

    def _of(self, name: str) -> Iterator[TransactionStatus]:
        for offer in self._offers:
            if offer.name == name:
                yield from offer.device.transactions()
