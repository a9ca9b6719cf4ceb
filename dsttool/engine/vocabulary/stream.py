"""The status stream: what a daemon sends, line by line, to whoever watches it (schema "dsttool.stream/1").

A watcher sends the control command `watch` and gets, on the same connection,

    hello      who speaks, once
    snapshot   the whole State, the history rings, the latest events; the State again after another filter
    delta      what changed in State since the last snapshot or delta
    event      one event, when it happens
    bye        the daemon ends

Sequence numbers grow by one with every frame of a connection. A watcher that reads slowly gets fewer deltas,
each with all that changed meanwhile and with the number of those it did not get (`dropped`); it never
makes the daemon wait or grow. Times are Unix time in ns, durations and ages ns, sizes bytes; None where a
figure is unknown. Changes of this schema are additive only.
"""

from typing import Final, Literal, NotRequired, TypedDict

from dsttool.engine.vocabulary.status import ArrayStatus, DaemonStatus, ExportStatus, TransactionStatus

SCHEMA: Final = "dsttool.stream/1"


class HostStatus(TypedDict):
    """The machine a daemon runs on. cpu_fraction is 0 to 1; traffic is in bytes a second, of everything."""

    name: str
    cpus: int
    cpu_fraction: float | None
    memory_bytes: int | None
    memory_used_bytes: int | None
    received_bytes: int | None
    sent_bytes: int | None
    disk_read_bytes: int | None
    disk_written_bytes: int | None


class Rates(TypedDict):
    """One second of an array, an export or a member: requests and bytes a second, latencies in ns.

    p50_ns, p99_ns: of the requests that finished in that second; None if none did.
    """

    reads: int
    writes: int
    read_bytes: int
    written_bytes: int
    errors: int
    in_flight: int
    p50_ns: int | None
    p99_ns: int | None


class Transactions(TypedDict):
    """Requests under way to other machines. `states`: how many of all are in each state; `matched`: how many
    the watcher's filter lets through; `rows`: the oldest of those, at most 200. `tried`: only so many, the
    oldest, has the filter been tried on; missing if it was tried on all.
    """

    total: int
    matched: int
    tried: NotRequired[int]
    states: dict[str, int]
    rows: list[TransactionStatus]


class State(TypedDict):
    """What one daemon knows. `rates` by label: NAME of an array or export, or NAME/MEMBER."""

    daemon: DaemonStatus
    host: HostStatus
    arrays: dict[str, ArrayStatus]
    exports: dict[str, ExportStatus]
    rates: dict[str, Rates]
    transactions: Transactions


class Ring(TypedDict):
    """A series of Rates in columns, oldest first, one value each `step_ns`; the last ends at `end_ns`.

    columns: for every field of Rates a list, all of one length; None where nothing was measured.
    """

    step_ns: int
    end_ns: int
    columns: dict[str, list[int | None]]


class History(TypedDict):
    """What the daemon remembers of a label: seconds of the last 15 min, tens of seconds of the last 24 h."""

    seconds: Ring
    tens: Ring


Level = Literal["info", "warning", "error"]


class Event(TypedDict):
    """Something that happened. `id` counts in one daemon; `kind`: dotted words, "member.stale", "link.lost";
    `name`: the array's, export's or daemon's; `node`: the member's, if it is about one; `text`: a sentence.
    """

    id: int
    time_ns: int
    level: Level
    kind: str
    name: str
    node: str | None
    text: str


class Hello(TypedDict):
    """The first frame. instance: other for every start of the daemon."""

    schema: str
    type: Literal["hello"]
    sequence: int
    time_ns: int
    daemon: str
    kind: str
    instance: str
    host: str
    version: str
    pid: int


class Snapshot(TypedDict):
    """Everything. `history` by label, as in State.rates; what is known of other labels still holds.

    After a change of the filter it has no history, and only the events since the frame before: the rest was
    sent. sampled, sampled_ns: as in Delta, then.
    """

    schema: str
    type: Literal["snapshot"]
    sequence: int
    time_ns: int
    filter: str
    sampled: NotRequired[bool]
    sampled_ns: NotRequired[int]
    state: State
    history: dict[str, History]
    events: list[Event]


class Delta(TypedDict):
    """Changes of State since the frame before: [path, value] sets a value, a path in `removals` removes one.

    A path is a list of keys from State's root, dictionaries only: lists are replaced as a whole.
    sampled: whether `rates` is of a second that is new since the frame before (a new point in the history);
    sampled_ns: when that second ended. Seconds between it and the end of the history before are unknown.
    """

    schema: str
    type: Literal["delta"]
    sequence: int
    time_ns: int
    sampled: bool
    sampled_ns: NotRequired[int]
    dropped: int
    changes: list[tuple[list[str], object]]
    removals: list[list[str]]


class EventFrame(TypedDict):
    """An event, as it happens."""

    schema: str
    type: Literal["event"]
    sequence: int
    time_ns: int
    event: Event


class Bye(TypedDict):
    """The last frame: the daemon ends, or hangs up on this watcher, and why."""

    schema: str
    type: Literal["bye"]
    sequence: int
    time_ns: int
    reason: NotRequired[str]


Frame = Hello | Snapshot | Delta | EventFrame | Bye
