"""What commands answer in JSON, beside the status: each has a `schema`, "dsttool.NAME/1".

As everywhere: bytes, nanoseconds (`_ns`, ages and durations unless a field says otherwise) or counts;
None where a figure is unknown; changes are additive only. vocabulary.schemas makes JSON Schemas of these.
"""

from typing import Literal, NotRequired, TypedDict

from dsttool.engine.vocabulary.status import (
    ArrayStatus,
    DaemonStatus,
    ExportStatus,
    JobStatus,
    MemberStatus,
    TransactionStatus,
)
from dsttool.engine.vocabulary.stream import Event


class ErrorBody(TypedDict):
    """What is wrong and what to do, a sentence each (`advice` may be empty); the command's exit code."""

    what: str
    advice: str
    exit_code: int


class Failure(TypedDict):
    """On stderr, when a command fails and answers in JSON."""

    schema: str
    error: ErrorBody


class DryRun(TypedDict):
    """What a command with --dry-run would do, in order; empty if it would change nothing."""

    schema: str
    would: list[str]


class Version(TypedDict):
    """`version`."""

    schema: str
    version: str
    python: str
    system: str


class ArrayLine(ArrayStatus):
    """A line of `status -o jsonl`."""

    type: Literal["array"]


class ExportLine(ExportStatus):
    """A line of `status -o jsonl`."""

    type: Literal["export"]


class DaemonLine(DaemonStatus):
    """A line of `status -o jsonl`."""

    type: Literal["daemon"]


class Uri(TypedDict):
    """`uri`: the address for NBD clients on that machine, and all addresses."""

    schema: str
    name: str
    uri: str
    addresses: list[str]


# `wait`: the state when what was waited `for` held.
Waited = TypedDict("Waited", {"schema": str, "name": str, "for": str, "state": str})


class Served(TypedDict):
    """One name that a daemon has begun to serve."""

    name: str
    size_bytes: int
    addresses: list[str]


class ReadyDaemon(TypedDict):
    """One daemon that has begun to serve."""

    name: str
    pid: int
    serves: list[Served]


class Ready(TypedDict):
    """`export -d` and `array up`: what serves now."""

    schema: str
    daemons: list[ReadyDaemon]


class StoppedDaemon(TypedDict):
    """One daemon that has ended."""

    name: str
    pid: int


class Stopped(TypedDict):
    """`daemon stop` and `array down`: what has ended."""

    schema: str
    daemons: list[StoppedDaemon]


class Daemons(TypedDict):
    """`daemon list`."""

    schema: str
    daemons: list[DaemonStatus]


class Threads(TypedDict):
    """How many threads seal large records from now on, and how many did before."""

    threads: int
    before: int


class Tuning(Threads):
    """`daemon tune`."""

    schema: str
    name: str


class Created(TypedDict):
    """`array create`: where the configuration was written."""

    schema: str
    name: str
    path: str


class ArrayNode(TypedDict):
    """One node of an array as configured, or as it runs."""

    name: str
    address: str | None


class ListedArray(TypedDict):
    """One array, configured or running or both. State down: it does not run; unreachable: nothing answers."""

    name: str
    configured: bool
    state: str
    layout: str | None
    size_bytes: int | None
    chunk_bytes: int | None
    read_policy: str | None
    nodes: list[ArrayNode]
    listen: list[str]


class Arrays(TypedDict):
    """`array list`."""

    schema: str
    arrays: list[ListedArray]


class ShownArray(ListedArray):
    """`array show`."""

    schema: str


class Nodes(TypedDict):
    """`node list`, with the array's state; `node suspend` and `node resume`, with the node they changed."""

    schema: str
    array: str
    state: NotRequired[str]
    members: list[MemberStatus]


class Jobs(TypedDict):
    """`resync status`, `start`, `pause` and `limit`. Limits are in bytes a second; no ceiling: None."""

    schema: str
    array: str
    jobs: list[JobStatus]
    paused: bool
    floor_bytes: int
    ceiling_bytes: int | None


class PolicyValue(TypedDict):
    """One value of a policy, and whose it is: default, machine (dsttool.toml), array, address or live."""

    value: int | str
    source: Literal["default", "machine", "array", "address", "live"]


class NodePolicy(TypedDict):
    """The policy of one node. budget_ns: the longest time a transaction may take under it."""

    node: str
    budget_ns: int
    policy: dict[str, PolicyValue]


class PolicyChange(TypedDict):
    """One value that was changed, as people write it."""

    node: str
    key: str
    before: str
    after: str


class Policy(TypedDict):
    """`policy show`; `policy set` with what it changed. file: where the array is configured, if it is."""

    schema: str
    array: str
    nodes: list[NodePolicy]
    changes: NotRequired[list[PolicyChange]]
    file: NotRequired[str | None]


class TransactionList(TypedDict):
    """`tx list`: the oldest, and how many there are of all in each state; `tx show`: those of one id."""

    schema: str
    total: NotRequired[int]
    states: NotRequired[dict[str, int]]
    transactions: list[TransactionStatus]


class KeyFile(TypedDict):
    """What is public of a key. kind: private (of a pair) or shared, which has no public key."""

    kind: Literal["private", "shared"]
    fingerprint: str
    public: str | None
    file: str


class NewKey(KeyFile):
    """`key generate`."""

    schema: str


class OwnKey(KeyFile):
    """A key of this machine. role: client, server, or file for one that was named."""

    role: Literal["client", "server", "file"]


class OwnKeys(TypedDict):
    """`key show`."""

    schema: str
    keys: list[OwnKey]


class AuthorizedKey(TypedDict):
    """A client's key and the exports that it may use; "*" is all of them."""

    name: str | None
    fingerprint: str
    public: str
    read_write: list[str]
    read_only: list[str]


class ToldDaemon(TypedDict):
    """A daemon that has read the keys again, and how many links it cut."""

    name: str
    cut: int


class ChangedKey(AuthorizedKey):
    """`key authorize` and `key revoke`. cut: links that were cut."""

    schema: str
    cut: NotRequired[int]
    daemons: list[ToldDaemon]


class OpenInvitation(TypedDict):
    """An invitation that nobody has used. expires_ns: Unix time."""

    id: str
    exports: list[str]
    read_only: bool
    expires_ns: int


class AuthorizedKeys(TypedDict):
    """`key list`."""

    schema: str
    keys: list[AuthorizedKey]
    invitations: list[OpenInvitation]


class WithdrawnInvitation(OpenInvitation):
    """`key revoke` of an invitation."""

    schema: str
    daemons: list[ToldDaemon]


class ListedExport(TypedDict):
    """One name that a server offers."""

    name: str
    description: str


class Guarantee(TypedDict):
    """Something that holds of a device or does not; `otherwise`: what follows from its not holding."""

    name: str
    holds: bool
    says: str
    otherwise: str | None


class Info(TypedDict):
    """`info`: None where it is unknown, or has no meaning there. Block sizes in bytes."""

    schema: str
    address: str
    kind: str
    export: str | None
    security: str | None
    size_bytes: int | None
    read_only: bool | None
    block_min: int | None
    block_preferred: int | None
    payload_max: int | None
    flush: bool | None
    fua: bool | None
    trim: bool | None
    write_zeroes: bool | None
    fast_zero: bool | None
    rotational: bool | None
    multi_conn: bool | None
    exports: list[ListedExport] | None
    reconnect: bool | None
    exactly_once: bool | None
    ordered_after_reconnect: bool | None
    power_loss_detected: bool | None
    structured_replies: bool | None
    guarantees: list[Guarantee]


class Copied(TypedDict):
    """`cp`. zero_bytes: of the bytes, zeroes."""

    schema: str
    bytes: int
    zero_bytes: int
    elapsed_ns: int


class BenchLatencies(TypedDict):
    """Of the requests of a measurement, in ns."""

    mean: int
    p50: int
    p99: int
    max: int


class Bench(TypedDict):
    """`bench`."""

    schema: str
    address: str
    rw: Literal["randread", "randwrite", "read", "write"]
    block_bytes: int
    depth: int
    requests: int
    bytes: int
    elapsed_ns: int
    iops: float
    bytes_per_second: int
    latency_ns: BenchLatencies


class EventLine(Event):
    """One event, of the daemon `daemon` of the machine `place`. instance: other for every start of the
    daemon; within one, ids have no gaps.
    """

    place: str
    daemon: str
    instance: str


class Events(TypedDict):
    """`events`, oldest first. With --follow: as lines only."""

    schema: str
    events: list[EventLine]


class IostatRow(TypedDict):
    """An array, an export, or a member (ARRAY/MEMBER) over `period_ns`. Rates are a second's.

    resends: times something was sent again; None for exports. errors and resends of a first report are
    counted since the daemon started. p50_ns is the mean of what each second had, p99_ns of the worst second;
    None if nothing finished.
    """

    place: str
    label: str
    kind: Literal["array", "member", "export"]
    state: str
    reads: float | None
    writes: float | None
    read_bytes: float | None
    written_bytes: float | None
    in_flight: int
    p50_ns: int | None
    p99_ns: int | None
    errors: int
    resends: int | None


class IostatReport(TypedDict):
    """One report of `iostat`. period_ns: the time it is about; time_ns: Unix time of its end."""

    schema: str
    time_ns: int
    period_ns: int
    rows: list[IostatRow]


class Recorded(TypedDict):
    """`record`: what was written. elapsed_ns: how long it took. ended: interrupted, time or size."""

    schema: str
    file: str
    frames: int
    bytes: int
    elapsed_ns: int
    ended: Literal["interrupted", "time", "size"]


class Schemas(TypedDict):
    """`schema`: the names of those there are."""

    schema: str
    names: list[str]


class RecordingHeader(TypedDict):
    """The first line of a recording. began_ns: Unix time."""

    schema: str
    began_ns: int


class RecordingLine(TypedDict):
    """Any other line of a recording. frame: one of the stream (dsttool.stream/1), or None: the daemon, or the
    place if no daemon is named, was lost, and why. at_ns: time since the beginning.
    """

    at_ns: int
    place: str
    daemon: str
    frame: object
    reason: str
