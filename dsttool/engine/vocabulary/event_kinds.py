"""Every kind of event that a daemon tells: how grave it is, and what has happened.

A kind is said where it happens (runtime.telling), becomes a line of the log and an Event of the stream.
"""

from typing import Final, NamedTuple

from dsttool.engine.vocabulary.stream import Level


class Kind(NamedTuple):
    """level: of the event and of its line in the log. says: what has happened; do: what to do then, of all
    that are no news only; both for the manual.
    """

    level: Level
    says: str
    do: str = ""


KINDS: Final[dict[str, Kind]] = {
    # The daemon itself.
    "daemon.ready": Kind("info", "It serves."),
    "daemon.stopping": Kind("info", "It accepts nobody any more, answers what has begun, and ends."),
    "daemon.unclean": Kind(
        "error",
        "It ends, and something that was acked may not be on stable storage.",
        "See `dsttool logs` for what kept it, and flush.failed below.",
    ),
    "daemon.reloaded": Kind("info", "It has read its configuration again."),
    "daemon.not_reloaded": Kind(
        "error",
        "It could not take up its configuration; nothing was changed.",
        "The event says why, and `dsttool config check` what is wrong in files. Mend it, and reload again.",
    ),
    "daemon.tuned": Kind("info", "The number of its threads is another."),
    "daemon.local_only": Kind(
        "warning",
        "Other machines cannot connect.",
        "If they are to: authorise a key (`dsttool key authorize`), or name a place to listen.",
    ),
    "keys.reloaded": Kind("info", "It has read again whose keys may come in."),
    "control.refused": Kind(
        "warning",
        "Another user came to its control socket.",
        "Run the command as the daemon's user, or as root.",
    ),
    # Arrays.
    "array.online": Kind("info", "All members are in sync."),
    "array.degraded": Kind(
        "warning",
        "It serves with fewer copies than it should have.",
        "See `The array is degraded` above.",
    ),
    "array.frozen": Kind(
        "error",
        "It holds all requests until the administrator acts.",
        "See `The array is frozen` above.",
    ),
    "array.failed": Kind(
        "error",
        "Too many members are not in sync.",
        "See `The array has failed` above.",
    ),
    "array.lost": Kind(
        "error",
        "Acked writes that were not flushed may be lost, and nobody else holds them.",
        "See `Data may be lost` above.",
    ),
    "array.unrecorded": Kind(
        "error",
        "The members' states cannot be stored, so writes fail.",
        "Make room in the state folder, or mend its disk: writes go on by themselves.",
    ),
    # Members.
    "member.stale": Kind(
        "warning",
        "It has missed a change, or may have lost one; it will be resynced.",
        "Nothing, if its machine comes back by itself; else see `The array is degraded` above.",
    ),
    "member.failing": Kind(
        "warning",
        "It answers with errors and stays in sync: others answer reads, or there is no other copy.",
        "Look at the disk there; see `A disk has died` above.",
    ),
    "member.missing": Kind(
        "warning",
        "Its node is not there.",
        "Bring back what is at its address: it is taken in by itself.",
    ),
    "member.back": Kind("info", "A node that was missing is there."),
    "member.suspended": Kind("info", "It gets no request any more."),
    "member.resumed": Kind("info", "It gets requests again."),
    "member.fenced": Kind(
        "error",
        "Another writer has taken it over.",
        "See `The array is frozen` above.",
    ),
    # Resyncs.
    "resync.begun": Kind("info", "What a member missed is copied to it."),
    "resync.done": Kind("info", "A member has all that it missed."),
    "resync.failed": Kind(
        "warning",
        "Copying has failed, and will be tried again.",
        "The event says at what: mend that disk, or its machine.",
    ),
    "resync.changed": Kind("info", "Resyncs were paused, started or limited."),
    # Nodes, links and transactions.
    "node.failed": Kind(
        "error",
        "A node has ended for good; what is written on it alone has failed.",
        "The event says why. Bring the right one back, then take the array down and up.",
    ),
    "link.up": Kind("info", "A node is connected, or connected again."),
    "link.lost": Kind(
        "warning",
        "The connection to a node is lost, or cannot be made.",
        "Nothing, if it comes back at once; else look at that machine, its export and the network.",
    ),
    "link.notice": Kind(
        "warning",
        "A server had something to say.",
        "Read what it says.",
    ),
    "link.late": Kind(
        "warning",
        "What was asked on a lost connection may still be carried out.",
        "Nothing: what it could overwrite stays locked meanwhile.",
    ),
    "transaction.exhausted": Kind(
        "error",
        "The budget of requests has ended without an answer: they failed.",
        "What asked has an error, or the member is stale now: look at the machine of that node.",
    ),
    "transaction.frozen": Kind(
        "error",
        "A budget has ended, and the policy is to wait.",
        "See `The array is frozen` above.",
    ),
    "verifier.changed": Kind(
        "warning",
        "A server may have lost what was written since the last flush.",
        "Find out why that machine lost its power, or its server was killed.",
    ),
    "rewrite.begun": Kind(
        "warning",
        "What a server may have lost is written again.",
        "Nothing.",
    ),
    "rewrite.done": Kind("info", "All that a server may have lost is there again."),
    "flush.failed": Kind(
        "error",
        "A flush failed: what was written since the last one may be lost.",
        "Look at the disk there. Whoever asked for the flush was told; see `Data may be lost` above.",
    ),
    "policy.changed": Kind("info", "A transaction policy is another."),
    # Exports and their clients.
    "writer.changed": Kind(
        "warning",
        "Another client writes from now on; the one before was cut off.",
        "Nothing, if that was meant; else find out who the other one is.",
    ),
    "writer.unrecorded": Kind(
        "error",
        "Who writes to an export cannot be stored.",
        "Make room in the state folder of the export's machine, or mend its disk.",
    ),
    "client.in": Kind("info", "A client is connected."),
    "client.read_only": Kind("info", "A client that could write may not: another one does."),
    "client.out": Kind("info", "A client has left."),
    "client.left": Kind("info", "A client has left before it was let in."),
    "client.lost": Kind(
        "warning",
        "The connection of a client is lost.",
        "Nothing: a client of dsttool connects again by itself.",
    ),
    "client.refused": Kind(
        "warning",
        "A client was not let in, or was cut off.",
        "The event says who and why; see `A client is refused` above.",
    ),
    "client.failing": Kind(
        "warning",
        "Requests of clients fail.",
        "The event says at what: look at the disk there, or at the members of the array.",
    ),
    "client.told": Kind(
        "error",
        "A client's flush fails, to tell it that acked writes may be lost.",
        "See `Data may be lost` above.",
    ),
}
"""By name: the thing it is about, a dot, and what became of it."""
