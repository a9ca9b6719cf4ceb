"""The status schema: what devices report, the control socket carries and `status --json` prints.

Schema "dsttool.status/1". Integers are raw: bytes, nanoseconds (`_ns`) or counts; None where a
figure is unknown. Changes are additive only: a field is never renamed, removed or given another
meaning within one version. State words are those of the vocabulary:

    array   online, degraded, frozen, failed, down
    member  in_sync, stale, resyncing, rebuilding, suspended, missing, faulty
    link    connecting, handshake, up, down
    export  serving, read_only, waiting (no key authorised yet), failed
"""

from typing import Final, TypedDict

SCHEMA: Final = "dsttool.status/1"


class LinkStatus(TypedDict):
    """One connection to a node. `since_ns` is the age of the state."""

    state: str
    security: str | None
    rtt_ns: int | None
    connects: int
    since_ns: int | None


class MemberStatus(TypedDict):
    """One member of an array. `resynced_bytes`: copied by the current or the last resync."""

    slot: int
    name: str
    address: str | None
    state: str
    in_flight: int
    resends: int
    errors: int
    dirty_bytes: int | None
    resynced_bytes: int
    link: LinkStatus | None


class JobStatus(TypedDict):
    """Long work in a daemon. `eta_ns` is None until a rate is known."""

    kind: str
    state: str
    done_bytes: int
    total_bytes: int | None
    rate_bytes: int | None
    eta_ns: int | None


class SessionStatus(TypedDict):
    """One client of an export."""

    peer: str
    owner: str | None
    protocol: str
    access: str
    in_flight: int


class ArrayStatus(TypedDict):
    """One array that runs. Counters count since the daemon started."""

    name: str
    layout: str
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
    """One process and the names it serves. One that does not answer has state "unreachable"."""

    name: str
    kind: str | None
    state: str
    reason: str | None
    pid: int | None
    version: str | None
    since_ns: int | None
    socket: str
    serves: list[str]


class Status(TypedDict):
    """Everything that runs on this machine, or what one daemon contributes to it."""

    schema: str
    arrays: list[ArrayStatus]
    exports: list[ExportStatus]
    daemons: list[DaemonStatus]


def empty() -> Status:
    """The status of a machine on which nothing runs."""
    return {"schema": SCHEMA, "arrays": [], "exports": [], "daemons": []}
