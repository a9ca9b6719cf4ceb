"""The storage tree: machines, arrays, their members, the members' links, and exports."""

from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from textual.binding import BindingType

from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.status import ArrayStatus, ExportStatus, LinkStatus, MemberStatus
from dsttool.engine.vocabulary.stream import Rates
from dsttool.tui import cells, keys, look
from dsttool.tui.look import UNKNOWN, Cell, Role
from dsttool.tui.nesting import Lower, Place, nested
from dsttool.tui.subject import Subject
from dsttool.tui.table import Column, Table

if TYPE_CHECKING:
    from dsttool.engine.control.picture import DaemonPicture, Picture

# How long what ended in good order is still shown.
_FAREWELL_NS: Final = 60 * SECOND
_COLUMNS: Final = (
    Column("NAME", 16, grow=True, what="Arrays, what they are made of, and exports."),
    Column("KIND", 6, keep=8, what="An array's layout; how a node is reached."),
    Column("STATE", 15, what="How it is; of a resync, how much of what was missed has been copied."),
    Column("SIZE", 8, keep=6, right=True, what="How much it holds."),
    Column(
        "LINK",
        11,
        keep=1,
        what="The connection, and for how long it is like that, or when it is tried again; "
        "of an array, how many of its nodes are connected; of an export, how many clients it has.",
    ),
    Column("RTT ms", 6, keep=9, right=True, what="The time a ping takes there and back."),
    Column("IN-FL", 5, keep=2, right=True, what="Requests under way."),
    Column("R MiB/s", 7, keep=3, right=True, what="Read in the last second."),
    Column("W MiB/s", 7, keep=3, right=True, what="Written in the last second."),
    Column("p99 ms", 6, keep=7, right=True, what="99 of 100 requests of the last second took no longer."),
    Column("RESENT", 6, keep=4, right=True, what="Requests that were sent again after their link was lost."),
    Column("LOST", 4, keep=10, right=True, what="How often the link was lost."),
    Column("ERR", 4, keep=5, right=True, what="Requests that failed."),
)


class Branch(NamedTuple):
    """A row. entry: what the status says of it; folded: None where nothing is below; silent: why and since
    when its daemon is not heard ("LOST 9s"), "" while it is.
    """

    subject: Subject
    depth: int
    folded: bool | None
    entry: Any
    rates: Rates | None
    silent: str


class Tree(Table[Branch]):
    """Everything there is, folded as its user likes."""

    LABEL = "STORAGE"
    kind = "tree"
    COLUMNS = _COLUMNS
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("tree")]

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._folds: dict[Subject, bool] = {}
        self._picture: Picture | None = None
        self._now_ns = 0

    @property
    def subject(self) -> Subject | None:
        """What the cursor is on."""
        return self.row.subject if self.row else None

    def show(self, picture: "Picture", now_ns: int) -> None:
        """As Panel's."""
        self._picture, self._now_ns = picture, now_ns
        self.fill(list(self._branches(picture)))

    def action_fold(self, fold: bool) -> None:
        """Fold or unfold the row; folding what has nothing below goes to what it is part of."""
        row = self.row
        if row is None or self._picture is None:
            return
        if row.folded is (not fold):
            self._folds[row.subject] = fold
            self.show(self._picture, self._now_ns)
        elif fold:
            above = [i for i in range(self._cursor) if self._rows[i].depth < row.depth]
            self._move(above[-1] if above else self._cursor)

    def key(self, row: Branch) -> Hashable:
        """As Table's."""
        return row.subject

    def row_role(self, row: Branch) -> Role | None:
        """Grey is what is only remembered."""
        return "dim" if row.silent else None

    def cells(self, row: Branch) -> tuple[Cell, ...]:
        """As Table's."""
        kind = row.subject.kind
        mark = " " if row.folded is None else "▸" if row.folded else "▾"
        name = "  " * row.depth + mark + _name(row)
        if kind == "array":
            shown = _array(row.entry)
        elif kind == "node":
            shown = _node(row.entry)
        elif kind == "export":
            shown = _export(row.entry)
        elif kind == "link":
            shown = _link(row.entry)
        else:
            shown = (kind, row.entry, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)
        kind_, state, size, link, rtt, flying, resent, lost, errors = shown
        if row.silent:
            state = f"○ {row.silent}"
        read, written, p99 = _speed(row.rates)
        return (name, kind_, state, size, link, rtt, flying, read, written, p99, resent, lost, errors)

    def _branches(self, picture: "Picture") -> Iterator[Branch]:
        several = len(picture.places) > 1
        for place, known in sorted(picture.places.items()):
            depth = 0
            if several:
                host = Subject("host", place)
                folded = self._folds.get(host, False)
                lost_ns = None if known.lost_since_ns is None else max(0, self._now_ns - known.lost_since_ns)
                silent = "" if lost_ns is None else f"LOST {cells.age(lost_ns)}"
                yield Branch(host, 0, folded, _host_state(known.daemons.values()), None, silent)
                if folded:
                    continue
                depth = 1
            daemons = {name: each for name, each in known.daemons.items() if not self._long_gone(each)}
            below = nested(daemons)
            lower = set(below.values())
            for name, _ in sorted(daemons.items(), key=_arrays_first):
                yield from self._of_daemon(_Around(place, daemons, below), lower, name, depth)

    def _of_daemon(self, around: "_Around", lower: set[Lower], name: str, depth: int) -> Iterator[Branch]:
        """lower: the arrays that are shown beneath a member."""
        daemon = around.daemons[name]
        silent, state = self._silent(daemon), daemon.state
        if state is None or not (state["arrays"] or state["exports"]):
            word = "connecting" if daemon.lost_since_ns is None else "unreachable"
            subject = Subject("daemon", around.place, name, name)
            yield Branch(subject, depth, None, look.state(word), None, silent if state else "")
            return
        for label in sorted(state["arrays"]):
            if (found := Lower(name, label)) not in lower:
                yield from self._of_array(around, found, depth)
        for label, export in sorted(state["exports"].items()):
            subject = Subject("export", around.place, name, label)
            yield Branch(subject, depth, None, export, state["rates"].get(label), silent)

    def _of_array(self, around: "_Around", found: Lower, depth: int) -> Iterator[Branch]:
        daemon = around.daemons[found.daemon]
        silent, state = self._silent(daemon), daemon.state
        assert state is not None, "an array was found in it"
        subject, array = Subject("array", around.place, *found), state["arrays"][found.array]
        folded = self._folds.get(subject, False)
        yield Branch(subject, depth, folded, array, state["rates"].get(subject.name), silent)
        for member in () if folded else array["members"]:
            node = subject._replace(kind="node", node=member["name"])
            links = member.get("links") or []
            lower = around.below.get(Place(*found, member["name"]))
            shut = lower is None  # links are shown when somebody asks for them, arrays at once
            closed = self._folds.get(node, shut) if lower or len(links) > 1 else None
            yield Branch(node, depth + 1, closed, member, state["rates"].get(node.label), silent)
            for number, link in enumerate(links if closed is False and len(links) > 1 else ()):
                own = node._replace(kind="link", number=number)
                yield Branch(own, depth + 2, None, link, None, silent)
            if lower is not None and closed is False:
                yield from self._of_array(around, lower, depth + 2)

    def _silent(self, daemon: "DaemonPicture") -> str:
        """See Branch."""
        if not daemon.stale(self._now_ns):
            return ""
        word = "SILENT" if daemon.lost_since_ns is None else "ENDED" if daemon.ended else "LOST"
        return f"{word} {cells.age(daemon.age_ns(self._now_ns))}"

    def _long_gone(self, daemon: "DaemonPicture") -> bool:
        lost = daemon.ended and daemon.lost_since_ns is not None
        return lost and self._now_ns - daemon.last_ns > _FAREWELL_NS


class _Around(NamedTuple):
    """What a row of a place is among. below: the arrays that are shown beneath a member."""

    place: str
    daemons: "dict[str, DaemonPicture]"
    below: dict[Place, Lower]


def _arrays_first(named: "tuple[str, DaemonPicture]") -> tuple[bool, str]:
    name, daemon = named
    return (daemon.state is None or not daemon.state["arrays"], name)


# Each of these: kind, state, size, link, RTT, in flight, resent, lost, errors.
_Shown = tuple[Cell, ...]


def _array(array: ArrayStatus) -> _Shown:
    up = sum(1 for each in array["members"] if _is_reached(each))
    resent = sum(each["resends"] for each in array["members"])
    losses = [each.get("losses") for each in array["members"]]
    lost = (
        sum(each for each in losses if each is not None) if any(each is not None for each in losses) else None
    )
    return (
        array["layout"],
        look.state(array["state"]),
        cells.size(array["size_bytes"]),
        f"{up}/{len(array['members'])}",
        UNKNOWN,
        cells.count(array["in_flight"]),
        cells.count(resent),
        cells.count(lost),
        _errors(array["errors"]),
    )


def _node(member: MemberStatus) -> _Shown:
    address, link = member["address"] or "", member["link"]
    return (
        _way(address),
        look.state(member["state"], _progress(member)),
        cells.size(member.get("size_bytes")),
        link_cell(link),
        cells.milliseconds(link["rtt_ns"] if link else None, 2),
        cells.count(member["in_flight"]),
        cells.count(member["resends"]),
        cells.count(member.get("losses")),
        _errors(member["errors"]),
    )


def _is_reached(member: MemberStatus) -> bool:
    """Whether its link is up; what is here needs none."""
    if member["link"] is not None:
        return member["link"]["state"] == "up"
    return member["state"] not in ("missing", "faulty")


def _way(address: str) -> str:
    """How a node is reached: the first part of its scheme; a path and a name have none."""
    scheme, colon, _ = address.partition(":")
    if "/" in scheme:
        return "file"
    return scheme.partition("+")[0] if colon else "name" if address else UNKNOWN


def _export(export: ExportStatus) -> _Shown:
    clients = len(export["sessions"])
    return (
        "export",
        look.state(export["state"]),
        cells.size(export["size_bytes"]),
        f"{clients} client{'' if clients == 1 else 's'}",
        UNKNOWN,
        cells.count(export["in_flight"]),
        UNKNOWN,
        UNKNOWN,
        _errors(export["errors"]),
    )


def _link(link: LinkStatus) -> _Shown:
    lost = max(0, link["connects"] - 1)
    return (
        "link",
        look.state(link["state"]),
        UNKNOWN,
        link_cell(link),
        cells.milliseconds(link["rtt_ns"], 2),
        UNKNOWN,
        UNKNOWN,
        cells.count(lost),
        _errors(link["bad_records"]),
    )


def link_cell(link: LinkStatus | None) -> Cell:
    """A link: up and for how long, or when it is tried again."""
    if link is None:
        return UNKNOWN
    word, role = link["state"], look.role_of(link["state"])
    retry = link.get("retry_ns")
    if word == "down":
        return (f"✖ retry {cells.left(retry)}" if retry is not None else "✖ down", "bad")
    since = link["since_ns"]
    short = "connect" if word == "connecting" else word
    return (f"{look.glyph_of(word)} {short}" + (f" {cells.age(since)}" if since is not None else ""), role)


def _progress(member: MemberStatus) -> str:
    """How far a resync is: what was copied of that and what is still to copy."""
    if member["state"] not in ("resyncing", "rebuilding") or member["dirty_bytes"] is None:
        return ""
    total = member["resynced_bytes"] + member["dirty_bytes"]
    return f"{member['resynced_bytes'] * 100 // total}%" if total else ""


def _errors(number: int) -> Cell:
    return (cells.count(number), "bad") if number else "0"


def _speed(rates: Rates | None) -> tuple[str, str, str]:
    if rates is None:
        return UNKNOWN, UNKNOWN, UNKNOWN
    return (
        cells.rate(rates["read_bytes"]),
        cells.rate(rates["written_bytes"]),
        cells.milliseconds(rates["p99_ns"]),
    )


def _name(row: Branch) -> str:
    subject = row.subject
    if subject.kind == "host":
        return subject.place
    if subject.kind == "node":
        address = row.entry["address"] or ""
        where = address.partition("://")[2].lstrip("/") if "://" in address else address
        return f"{subject.node} {where.partition('?')[0]}"
    return f"link {subject.number}" if subject.kind == "link" else subject.name


def _host_state(daemons: Any) -> Cell:
    lost = sum(1 for daemon in daemons if daemon.lost_since_ns is not None and not daemon.ended)
    return look.state("unreachable", str(lost)) if lost else look.state("up")
