"""What the control socket takes beside hello, status, stop and wait: a table of handlers per kind of daemon.

    every daemon     tx.list        {name, node?, id?, filter?}   what is under way to other machines
    array daemons    node.suspend   {node, for_ns?}        answered once the member gets no request any more
                     node.resume    {node}
                     node.discard   {node}                 answered once it is durable that all of it is void
                     resync.status  {}
                     resync.start   {}
                     resync.pause   {}
                     resync.stop    {node?}                answered once nothing is copied there any more
                     resync.limit   {floor?, ceiling?}     bytes per second of all resyncs; no ceiling: 0
                     policy.show    {node?}                what holds for each member, and why
                     policy.set     {node?, settings}      all of it for all of them, or nothing
                     check.*        as the command of that name, which refuses what it would refuse, and
                                    else changes nothing: node.suspend, node.resume, node.discard,
                                    resync.stop, resync.limit, policy.set

A handler runs on the reactor and raises vocabulary.errors, which arrive at the command as they are.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

from dsttool.engine.array.array import Array
from dsttool.engine.control.server import Answer, Handler
from dsttool.engine.export.offer import Offer
from dsttool.engine.host.array_commands import Members, Resyncs, Settings, text_of
from dsttool.engine.host.policies import MemberPolicy
from dsttool.engine.vocabulary import tx_filter
from dsttool.engine.vocabulary.errors import NotFound

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
        "node.discard": members.discard,
        "resync.status": resyncs.status,
        "resync.start": resyncs.start,
        "resync.pause": resyncs.pause,
        "resync.stop": resyncs.stop,
        "resync.limit": resyncs.limit,
        "policy.show": settings.show,
        "policy.set": settings.set,
        "check.node.suspend": members.check_suspend,
        "check.node.resume": members.check_resume,
        "check.node.discard": members.check_discard,
        "check.resync.stop": resyncs.check_stop,
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
        device = next((offer.device for offer in self._offers if offer.name == name), None)
        if device is None:
            raise NotFound(f"Nothing called {name} is running here.")
        listed = device.transactions(label)
        chosen = tx_filter.parse(text_of({"filter": "", **arguments}, "filter"))
        if id_ is None and not chosen.tests:
            oldest = list(islice(listed, TRANSACTIONS_MAX))
            states = device.transaction_states(label)
        else:
            matching = [each for each in listed if id_ in (None, each["id"]) and chosen.matches(each)]
            oldest = matching[:TRANSACTIONS_MAX]
            states = Counter(each["state"] for each in matching)
        answer({"name": name, "total": states.total(), "states": states, "transactions": oldest})
