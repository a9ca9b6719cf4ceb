"""The state machines of the engine as tables: from a state, by an event, to a state.

They are what the code may do (those who change a state assert that the table allows it), what the status
shows, and what the manual page dsttool-internals(7) draws. The states are the words of the vocabulary.
"""

from typing import Final, NamedTuple


class Step(NamedTuple):
    """One transition. event: what happens, in words."""

    before: str
    event: str
    after: str


LINK: Final = (
    Step("down", "start, or the pause before another attempt is over", "connecting"),
    Step("down", "fenced, refused for good, or closed", "down"),
    Step("connecting", "the socket is connected", "handshake"),
    Step("connecting", "refused, or no connection in time", "down"),
    Step("handshake", "the server's welcome", "up"),
    Step("handshake", "refused, lost, or no welcome in time", "down"),
    Step("up", "lost, or pings without an answer", "down"),
)

MEMBER: Final = (
    Step("in_sync", "a change or flush failed on it, others hold all", "stale"),
    Step("in_sync", "it may have lost acked writes that others hold", "stale"),
    Step("in_sync", "discarded, and others hold everything", "stale"),
    Step("in_sync", "suspended, and others hold everything", "suspended"),
    Step("stale", "its node is up, and nothing is under way on it", "resyncing"),
    Step("stale", "suspended", "suspended"),
    Step("resyncing", "nothing is dirty any more, and it has flushed", "in_sync"),
    Step("resyncing", "a request on it failed, or its link is down", "stale"),
    Step("resyncing", "its resync is stopped, or it is discarded", "stale"),
    Step("resyncing", "suspended", "suspended"),
    Step("suspended", "resumed", "stale"),
    Step("missing", "its node is there", "stale"),
)

TRANSACTION: Final = (
    Step("queued", "room in the window, nothing overlapping before it", "in_flight"),
    Step("queued", "an overlapping one has no answer yet", "held"),
    Step("held", "the overlapping one has its answer", "in_flight"),
    Step("in_flight", "its answer, with or without an error", "acked"),
    Step("in_flight", "its link is lost", "resend"),
    Step("resend", "a link is up: sent again, attempts + 1", "in_flight"),
    Step("resend", "its budget has ended (on_exhausted=fail)", "exhausted"),
    Step("resend", "its budget has ended (on_exhausted=freeze)", "frozen"),
    Step("in_flight", "its budget has ended (on_exhausted=fail)", "exhausted"),
    Step("in_flight", "its budget has ended (on_exhausted=freeze)", "frozen"),
    Step("frozen", "the link is up again: sent again", "in_flight"),
    Step("frozen", "policy set on_exhausted=fail", "exhausted"),
    Step("exhausted", "the server is known not to run it any more", "failed"),
)

ARRAY: Final = (
    Step("down", "array up, and every member is in sync", "online"),
    Step("down", "array up --degraded", "degraded"),
    Step("online", "a member is not in sync any more", "degraded"),
    Step("degraded", "every member is in sync again", "online"),
    Step("online", "fenced, or requests held without a budget", "frozen"),
    Step("degraded", "fenced, or requests held without a budget", "frozen"),
    Step("frozen", "what held them is back, or on_exhausted=fail is set", "online"),
    Step("online", "a member that nothing can replace has ended for good", "failed"),
    Step("degraded", "the last member in sync has ended for good", "failed"),
    Step("online", "array down, SIGTERM", "down"),
    Step("degraded", "array down, SIGTERM", "down"),
    Step("frozen", "array down, SIGTERM", "down"),
    Step("failed", "array down, SIGTERM", "down"),
)

CHUNK: Final = (
    Step("clean", "a change on it was missed", "dirty"),
    Step("clean", "a change on it was acked, and not flushed yet", "loose"),
    Step("loose", "a change on it was missed", "dirty"),
    Step("loose", "flushed under the same verifier", "clean"),
    Step("loose", "the verifier changed", "dirty"),
    Step("dirty", "copied from a member in sync", "loose"),
)

MACHINES: Final = {
    "link": LINK,
    "member": MEMBER,
    "transaction": TRANSACTION,
    "array": ARRAY,
    "chunk": CHUNK,
}


def allows(machine: tuple[Step, ...], before: str, after: str) -> bool:
    """Whether the table has a step from the one state to the other, or there is nothing to do."""
    return before == after or any(step.before == before and step.after == after for step in machine)
