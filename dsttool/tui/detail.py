"""Everything known of one object as lines of text. Pure: a picture and a subject in, lines out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.cells import cell_len, chop_cells

from dsttool.cli.array_status import MEANING as ARRAY_MEANING
from dsttool.cli.array_status import advice
from dsttool.cli.tx import MEANING as TX_MEANING
from dsttool.cli.tx import sent, tries
from dsttool.engine.config.options import POLICY_KEYS, format_option, policy_field
from dsttool.engine.config.units import format_duration, format_size
from dsttool.engine.control.picture import DaemonPicture, Picture
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.status import (
    ArrayStatus,
    LinkStatus,
    MemberStatus,
    SessionStatus,
    TransactionStatus,
)
from dsttool.tui import cells, look
from dsttool.tui.cells import fit
from dsttool.tui.lines import Pieces
from dsttool.tui.look import UNKNOWN, Role
from dsttool.tui.nesting import Lower, Place, nested
from dsttool.tui.subject import Subject
from dsttool.tui.targets import silence

Lines = Iterator[Pieces]
# What a daemon was asked for: its answer, why there is none, or None while there is none yet.
Asked = Mapping[str, Any] | DsttoolError | None

_LABEL: Final = 14
# Transactions of a member that are listed; the pane of transactions has the others.
_OLDEST: Final = 10


def lines_of(picture: Picture, subject: Subject, now_ns: int, asked: Asked = None) -> list[Pieces]:
    """The lines about a subject. What is lost is said to be lost, and shown as it was last known."""
    known = picture.places.get(subject.place)
    if subject.kind == "host":
        return list(_host(known.daemons if known else {}, now_ns))
    daemon = known.daemons.get(subject.daemon) if known else None
    if daemon is None:
        return [[(f" Nothing is known of {subject.daemon} any more.", "bad")]]
    below = nested(known.daemons) if known else {}
    return list(_about(daemon, subject, now_ns, asked, below))


def _about(
    daemon: DaemonPicture, subject: Subject, now_ns: int, asked: Asked, below: Mapping[Place, Lower]
) -> Lines:
    lost = silence(daemon, now_ns)
    if lost:
        yield [(f" ✖ {cells.clean(lost)}", "bad")]
        yield []
    state = daemon.state
    if state is None:
        yield [(f" {subject.daemon} has not told anything yet.", "dim")]
        if lost:
            logs = f"`dsttool logs {subject.daemon}` may say why it ended"
            yield [(f" `dsttool doctor` says what to do about it; {logs}.", "")]
        return
    array, export = state["arrays"].get(subject.name), state["exports"].get(subject.name)
    if subject.kind == "transaction":
        yield from _transaction(state["transactions"]["rows"], subject)
    elif subject.kind in ("node", "link") and array is not None:
        member = next((each for each in array["members"] if each["name"] == subject.node), None)
        if member is None:
            yield _gone(subject.label)
        else:
            lower = below.get(Place(subject.daemon, subject.name, subject.node))
            yield from _member(member, state["transactions"]["rows"], subject.label, asked, lower)
    elif subject.kind == "array" and array is not None:
        found = Lower(subject.daemon, subject.name)
        yield from _array(array, next((at for at, lower in below.items() if lower == found), None))
    elif subject.kind == "export" and export is not None:
        yield from _export(export)
    elif subject.kind == "daemon":
        yield from _daemon(daemon, asked)
    else:
        yield _gone(subject.label or subject.name)


def _array(array: ArrayStatus, place: Place | None) -> Lines:
    meaning = ARRAY_MEANING.get(array["state"], "")
    yield _state(array["state"], meaning)
    for line in advice(array):
        yield [(" " * (_LABEL + 1), ""), (cells.clean(line), "warn")]
    yield _pair("layout", f"{array['layout']}, {format_size(array['size_bytes'])}" + _only_read(array))
    if place is not None:
        yield _pair("member of", f"{place.array}/{place.member}")
    yield from _counts(array)
    for address in array["addresses"]:
        yield _pair("address", address)
    yield from _heading("Members")
    heads = ("MEMBER", "STATE", "LINK", "TO COPY", "IN FLIGHT", "RESENT", "ERRORS")
    yield from _grid(
        heads,
        [
            (
                member["name"],
                look.state(member["state"]),
                look.state(member["link"]["state"]) if member["link"] else "here",
                cells.size(member["dirty_bytes"]),
                str(member["in_flight"]),
                str(member["resends"]),
                str(member["errors"]),
            )
            for member in array["members"]
        ],
    )
    yield from _sessions(array["sessions"])


def _member(
    member: MemberStatus, rows: Sequence[TransactionStatus], label: str, asked: Asked, lower: Lower | None
) -> Lines:
    yield _state(member["state"], member.get("reason") or "")
    yield _pair("address", member["address"] or UNKNOWN)
    if lower is not None:
        yield _pair("array", f"{lower.array}, which runs here, too")
    yield _pair("slot", f"{member['slot']}; holds {cells.size(member.get('size_bytes'))}")
    yield _pair(
        "to copy", f"{cells.size(member['dirty_bytes'])}; copied {cells.size(member['resynced_bytes'])}"
    )
    yield _pair("in flight", f"{member['in_flight']}; resent {member['resends']}, errors {member['errors']}")
    if member.get("losses") is not None:
        yield _pair("losses", f"{member.get('losses')} of an established link")
    for number, link in enumerate(member.get("links") or ([member["link"]] if member["link"] else [])):
        yield from _link(number, link)
    mine = [row for row in rows if row["node"] == label][:_OLDEST]
    yield from _heading(f"Transactions, the oldest {len(mine)}" if mine else "No transaction under way")
    if mine:
        yield from _grid(
            ("TX", "STATE", "OP", "OFFSET", "LENGTH", "AGE ms", "TRY"),
            [
                (
                    str(row["id"]),
                    look.state(row["state"]),
                    row["op"],
                    f"{row['offset']:#x}",
                    format_size(row["length"]),
                    cells.milliseconds(row["age_ns"]),
                    tries(row),
                )
                for row in mine
            ],
        )
    yield from _policy(asked)


def _link(number: int, link: LinkStatus) -> Lines:
    yield from _heading(f"Link {number}")
    yield [
        *_pair("state", ""),
        look_piece(look.state(link["state"])),
        (f" for {cells.age(link['since_ns'])}", ""),
    ]
    yield _pair("security", link["security"] or "not known yet")
    yield _pair("round trip", f"{cells.milliseconds(link['rtt_ns'], 2)} ms")
    yield _pair("connects", f"{link['connects']}; records that did not open: {link['bad_records']}")


def _policy(asked: Asked) -> Lines:
    yield from _heading("Policy")
    if asked is None:
        yield [("  asking …", "dim")]
    elif isinstance(asked, DsttoolError):
        yield [(f"  {cells.clean(str(asked))}", "dim")]
    else:
        for node in asked["nodes"]:
            for key in POLICY_KEYS:
                setting = node["policy"][policy_field(key)]
                yield _pair(key, f"{format_option(key, setting['value']):<12} {setting['source']}", 20)
            yield _pair(
                "budget", f"{format_duration(node['budget_ns']):<12} resend_timeout x (resends + 1)", 20
            )


def _export(export: Mapping[str, Any]) -> Lines:
    yield _state(export["state"], "")
    yield _pair("device", export["device"])
    yield _pair("size", format_size(export["size_bytes"]) + _only_read(export))
    yield from _counts(export)
    for address in export["addresses"]:
        yield _pair("address", address)
    yield from _sessions(export["sessions"])


def _transaction(rows: Sequence[TransactionStatus], subject: Subject) -> Lines:
    node = f"{subject.name}/{subject.node}" if subject.node else subject.name
    row = next((each for each in rows if (each["id"], each["node"]) == (subject.number, node)), None)
    if row is None:
        yield [(f" Transaction {subject.number} has ended, or is not among the oldest 200 any more.", "warn")]
        return
    yield _state(row["state"], TX_MEANING.get(row["state"], ""))
    yield _pair("id", f"{row['id']}" if row["id"] else "none before it is admitted to the window")
    yield _pair("operation", f"{row['op']} {' '.join(row['flags'])}")
    yield _pair("extent", f"{row['offset']:#x} + {row['length']} bytes ({format_size(row['length'])})")
    yield _pair("node", row["node"])
    yield _pair("client", row.get("client") or "not known")
    yield _pair("age", f"{cells.milliseconds(row['age_ns'])} ms")
    yield _pair("sent", sent(row))
    waits = row["next_resend_ns"]
    yield _pair(
        "next resend", "none is due" if waits is None else f"in {cells.seconds(waits)} s, if a link is up"
    )
    left, whole = row["budget_left_ns"], row.get("budget_ns")
    if left is None:
        yield _pair("budget", "none runs")
    else:
        of = f" of {cells.seconds(whole)} s {cells.bar(left / whole, 12)}" if whole else ""
        yield _pair("budget left", f"{cells.seconds(left)} s{of}")


def _daemon(daemon: DaemonPicture, asked: Asked) -> Lines:
    state, hello = daemon.state, daemon.hello
    assert state is not None
    status = state["daemon"]
    yield _state(status["state"], status["reason"] or "")
    yield _pair("kind", status["kind"] or UNKNOWN)
    yield _pair("serves", ", ".join(status["serves"]) or "nothing")
    yield _pair("version", status["version"] or UNKNOWN)
    yield _pair("process", f"{status['pid'] or UNKNOWN}, for {cells.age(status['since_ns'])}")
    yield _pair("start", hello["instance"] if hello else UNKNOWN)
    yield _pair("socket", status["socket"])
    if isinstance(asked, Mapping):
        yield _pair("crypto threads", f"{asked['threads']} for large sealed records")
    refusals = [f"{reason} {count}" for reason, count in status["refusals"].items() if count]
    yield _pair("refused", ", ".join(refusals) or "nobody")


def _host(daemons: Mapping[str, DaemonPicture], now_ns: int) -> Lines:
    host = next((each.state["host"] for each in daemons.values() if each.state is not None), None)
    if host is not None:
        share = "" if host["cpu_fraction"] is None else f", {host['cpu_fraction']:.0%} busy"
        yield _pair("processors", f"{host['cpus']}{share}")
        yield _pair(
            "memory", f"{cells.size(host['memory_used_bytes'])} of {cells.size(host['memory_bytes'])}"
        )
        received, sent = cells.rate(host["received_bytes"]), cells.rate(host["sent_bytes"])
        yield _pair("network", f"in {received}, out {sent} MiB/s")
        read, written = cells.rate(host["disk_read_bytes"]), cells.rate(host["disk_written_bytes"])
        yield _pair("disks", f"read {read}, written {written} MiB/s")
    yield from _heading("Daemons")
    yield from _grid(
        ("DAEMON", "STATE", "KIND", "VERSION", "PROCESS", "AGE", "SERVES"),
        [_of_daemon(name, daemon, now_ns) for name, daemon in sorted(daemons.items())],
    )


def _of_daemon(name: str, daemon: DaemonPicture, now_ns: int) -> Sequence[look.Cell]:
    status = daemon.state["daemon"] if daemon.state is not None else None
    word = "lost" if daemon.stale(now_ns) else status["state"] if status else "connecting"
    if status is None:
        return (name, look.state(word), *[UNKNOWN] * 5)
    age, pid = cells.age(status["since_ns"]), str(status["pid"] or UNKNOWN)
    kind, version = status["kind"] or UNKNOWN, status["version"] or UNKNOWN
    return (name, look.state(word), kind, version, pid, age, ", ".join(status["serves"]))


def _sessions(sessions: Sequence[SessionStatus]) -> Lines:
    yield from _heading("Clients" if sessions else "No client is connected")
    if sessions:
        yield from _grid(
            ("CLIENT", "OWNER", "PROTOCOL", "ACCESS", "LINKS", "IN FLIGHT"),
            [
                (
                    each["peer"],
                    each["owner"] or UNKNOWN,
                    each["protocol"],
                    each["access"],
                    str(each["links"]),
                    str(each["in_flight"]),
                )
                for each in sessions
            ],
        )


def _counts(entry: Any) -> Lines:
    done = f"{entry['reads']} reads ({cells.size(entry['read_bytes'])})"
    done += f", {entry['writes']} writes ({cells.size(entry['written_bytes'])})"
    yield _pair("since start", f"{done}, {entry['errors']} errors; {entry['in_flight']} in flight")


def _only_read(entry: Any) -> str:
    return ", read only" if entry["read_only"] else ""


def _state(word: str, meaning: str) -> Pieces:
    said = f"  {cells.clean(meaning)}" if meaning else ""
    return [*_pair("state", ""), look_piece(look.state(word)), (said, "")]


def look_piece(cell: look.Cell) -> tuple[str, Role]:
    """A cell as a piece of a line."""
    return cell if isinstance(cell, tuple) else (cell, "")


def _pair(label: str, value: str, width: int = _LABEL) -> Pieces:
    return [(f" {label:<{width}}", "dim"), (cells.clean(value), "")]


def _heading(text: str) -> Lines:
    yield []
    yield [(f" {text}", "head")]


def _grid(heads: Sequence[str], rows: Sequence[Sequence[look.Cell]]) -> Lines:
    """Rows under their heads, each column as wide as its widest cell."""
    grid = [[look_piece(cell) for cell in row] for row in rows]
    widths = [
        max(cell_len(row[i][0]) for row in [[(head, "") for head in heads], *grid]) for i in range(len(heads))
    ]
    yield _row([(head, "dim") for head in heads], widths)
    for row in grid:
        yield _row(row, widths)


def _row(cells_: Sequence[tuple[str, Role]], widths: Sequence[int]) -> Pieces:
    return [("  ", ""), *((fit(text, width) + "  ", role) for (text, role), width in zip(cells_, widths))]


def wrapped(line: Pieces, width: int) -> Lines:
    """A line of label and value in as many lines as it takes, the value staying beside its label, or one
    sentence. A word that is longer than a line, such as an address, goes on in the next.
    """
    labelled = len(line) > 1 and len(line[0][0]) == _LABEL + 1
    fits = sum(cell_len(text) for text, _ in line) <= width
    if fits or not (labelled or len(line) == 1):
        yield line
        return
    label, *rest = line if labelled else [(" ", line[0][1]), *line]
    indent = cell_len(label[0])
    room = max(2, width - indent)
    words = [(part, role) for text, role in rest for word in text.split() for part in chop_cells(word, room)]
    now: list[tuple[str, Role]] = [label]
    used = 0
    for word, role in words:
        length = cell_len(word)
        if used and used + 1 + length > room:
            yield now
            now, used = [(" " * indent, "")], 0
        now.append((f" {word}" if used else word, role))
        used += length + (1 if used else 0)
    yield now


def _gone(label: str) -> Pieces:
    return [(f" {label} is not there any more.", "bad")]
