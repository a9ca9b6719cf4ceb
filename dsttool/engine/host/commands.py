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

from collections.abc import Sequence

from dsttool.engine.array.array import Array
from dsttool.engine.control.server import Handler
from dsttool.engine.export.offer import Offer
from dsttool.engine.host.array_commands import Members, Resyncs, Settings
from dsttool.engine.host.policies import MemberPolicy
from dsttool.engine.host.tx_commands import Transactions
from dsttool.engine.runtime.reactor import Reactor


def for_exports(reactor: Reactor, offers: Sequence[Offer]) -> dict[str, Handler]:
    """The commands of an export daemon."""
    return {"tx.list": Transactions(reactor, offers).list}


def for_array(
    reactor: Reactor, array: Array, offer: Offer, policies: Sequence[MemberPolicy]
) -> dict[str, Handler]:
    """The commands of an array daemon. policies: in slot order."""
    members, resyncs, settings = Members(array), Resyncs(array), Settings(array, policies)
    return {
        "tx.list": Transactions(reactor, [offer]).list,
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
