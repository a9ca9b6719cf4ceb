"""The status schema: what devices report, the control socket carries and `status --json` prints.

Schema "dsttool.status/1". Integers are raw: bytes, nanoseconds (`_ns`) or counts; None where a
figure is unknown. Changes are additive only: a field is never renamed, removed or given another
meaning within one version. State words are those of the vocabulary:

    array   online, degraded, frozen, failed, down
    member  in_sync, stale, resyncing, rebuilding, suspended, missing, faulty
    link    connecting, handshake, up, down
    export  serving, read_only, waiting (no key authorised yet), failed

A transaction is queued (for room in the window, or for the link), held (by an overlapping one before it),
in_flight, to be sent again once a link is up (resend), or one whose budget has ended without an answer:
exhausted (its error has gone up, its extent stays locked until the server is known not to run it any more)
or frozen (on_exhausted=freeze: it waits until the administrator acts).
"""

from typing import Final, NotRequired, TypedDict

SCHEMA: Final = "dsttool.status/1"


class LinkStatus(TypedDict):
    """One connection to a node. `since_ns` is the age of the state.

    bad_records: records that did not open or had a wrong checksum; each ended its connection. retry_ns: until
    the next attempt to connect; None while it is up, or an attempt is under way, or none will be made.
    """

    state: str
    security: str | None
    rtt_ns: int | None
    connects: int
    bad_records: int
    since_ns: int | None
    retry_ns: NotRequired[int | None]


class MemberStatus(TypedDict):
    """One member of an array. `resynced_bytes`: copied by the current or the last resync.

    reads, writes and their bytes: what succeeded of what the array's clients had it do; resyncs do not count.
    losses: how many established links were lost. All count since the daemon started.
    size_bytes: how much its node can hold, None while there is none. reason: why it is faulty, as a sentence;
    or what it, or its resync, failed at, as long as it is not in sync again.
    link: the best of its links; links: each of them.
    """

    slot: int
    name: str
    address: str | None
    state: str
    reason: NotRequired[str | None]
    size_bytes: int | None
    in_flight: int
    reads: int
    writes: int
    read_bytes: int
    written_bytes: int
    resends: int
    losses: int
    errors: int
    dirty_bytes: int | None
    resynced_bytes: int
    link: LinkStatus | None
    links: NotRequired[list[LinkStatus]]


class TransactionStatus(TypedDict):
    """One request's trip over a link. `id` is 0 while the window has not admitted it.

    op, flags: names in capitals. node: "array/member", or the export's device. age_ns: since it began.
    attempts: times sent. attempts_max: resends + 1 of its policy, which its budget is for (with links that
    come and go quickly it may be more); None without a budget. next_resend_ns: until the next attempt to send
    it again, which needs a link; None while no attempt is due. budget_ns: how long it may take in all, None
    without a bound; budget_left_ns: until it fails, None where no budget runs (any more). client: who asked
    for it, as in SessionStatus.peer, or "resync" and the like for what the daemon does by itself; None if
    that is not known.
    """

    id: int
    op: str
    flags: list[str]
    offset: int
    length: int
    node: str
    state: str
    age_ns: int
    attempts: int
    attempts_max: int | None
    next_resend_ns: int | None
    budget_ns: int | None
    budget_left_ns: int | None
    client: str | None


class JobStatus(TypedDict):
    """Long work in a daemon. `eta_ns` is None until a rate is known. member: the one it is about, if any.

    state: running, paused (it holds still), or stopped (it was ended, and begins again when told to).
    """

    kind: str
    member: NotRequired[str | None]
    state: str
    done_bytes: int
    total_bytes: int | None
    rate_bytes: int | None
    eta_ns: int | None


class SessionStatus(TypedDict):
    """One client of an export. `links`: the connections it has now."""

    peer: str
    owner: str | None
    protocol: str
    access: str
    links: int
    in_flight: int


class ArrayStatus(TypedDict):
    """One array that runs. Counters count since the daemon started. `generation`: grows each time a member's
    state changes; what was decided by an older one may not fit any more.
    """

    name: str
    layout: str
    state: str
    generation: int
    size_bytes: int
    read_only: bool
    in_flight: int
    reads: int
    writes: int
    read_bytes: int
    written_bytes: int
    errors: int
    addresses: list[str]
    jobs: list[JobStatus]
    members: list[MemberStatus]
    sessions: list[SessionStatus]


class ExportStatus(TypedDict):
    """One export that runs."""

    name: str
    device: str
    state: str
    size_bytes: int
    read_only: bool
    in_flight: int
    reads: int
    writes: int
    read_bytes: int
    written_bytes: int
    errors: int
    addresses: list[str]
    sessions: list[SessionStatus]


class DaemonStatus(TypedDict):
    """One process and the names it serves. One that does not answer has state "unreachable".

    refusals: of clients, by reason (see export.access), since it started. instance: 16 hex digits, others
    for each start.
    """

    name: str
    kind: str | None
    instance: str | None
    state: str
    reason: str | None
    pid: int | None
    version: str | None
    since_ns: int | None
    socket: str
    serves: list[str]
    refusals: dict[str, int]


class Status(TypedDict):
    """Everything that runs on this machine, or what one daemon contributes to it."""

    schema: str
    arrays: list[ArrayStatus]
    exports: list[ExportStatus]
    daemons: list[DaemonStatus]


def good_members(array: ArrayStatus) -> list[str]:
    """The names of the members that hold everything, and can be read now."""
    return [
        member["name"]
        for member in array["members"]
        if member["state"] == "in_sync" and (member["link"] is None or member["link"]["state"] == "up")
    ]


def empty() -> Status:
    """The status of a machine on which nothing runs."""
    return {"schema": SCHEMA, "arrays": [], "exports": [], "daemons": []}
