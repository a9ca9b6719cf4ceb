"""`iostat`: how much every array, member and export does, as iostat(1) says it of disks."""

import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from dsttool.cli import render
from dsttool.cli.asking import connect, places, split_node
from dsttool.cli.settings import Settings, shared
from dsttool.engine.config.units import parse_duration
from dsttool.engine.control import client, clock
from dsttool.engine.vocabulary.answers import IostatReport, IostatRow
from dsttool.engine.vocabulary.errors import NotFound, UsageError

if TYPE_CHECKING:
    from dsttool.cli.following import Following
    from dsttool.engine.control.picture import DaemonPicture
    from dsttool.engine.control.rings import Series
    from dsttool.engine.vocabulary.status import ArrayStatus, ExportStatus, MemberStatus

# Daemons measure once a second.
_SHORTEST_NS: Final = 10**9
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?(ms|[smhd])?")
_MIB: Final = 1 << 20


@click.command(
    epilog="""\b
Examples:
  dsttool iostat
  dsttool iostat pool 5
  dsttool iostat 1 10 -o jsonl
"""
)
@click.argument("words", nargs=-1, metavar="[NAME[/NODE]] [SECONDS [COUNT]]")
@shared(waits=True, asks=True)
def iostat(settings: Settings, words: tuple[str, ...]) -> None:
    """Show how much every array, member and export reads and writes, and how long it takes.

    The first report is about the time the daemons remember by the second, 15 minutes at most. With SECONDS
    there follow others, each about the time since the one before: COUNT reports in all, or until Ctrl-C. A
    first word that is a number is SECONDS.

    READ/S and WRITE/S are requests, MiB/S their bytes. P50 is the median latency, the mean of what each
    second had; P99 that of the worst second. ERRORS and RESENT are counts: in the first report since the
    daemon started, then in the time it is about. Reports in JSON are one a line once there are several.
    """
    name, seconds, count = _parse(words)
    from dsttool.cli.following import following

    with places(settings) as chosen, following(chosen) as followed:
        followed.settle(settings.timeout or client.ANSWER_TIMEOUT)
        if not name and not settings.json:
            _note_unheard(settings, followed)
        reports = _Reports(followed, name)
        several = len(chosen) > 1
        for index in _each(followed, seconds, count):
            report = reports.next()
            if name and not report["rows"] and not index:
                if not several:
                    with connect(settings, split_node(name)[0]) as asked:
                        asked.call("hello")  # Either says why it cannot be asked.
                raise NotFound(f"Nothing called {name} is running.", "`dsttool status` lists what runs.")
            _print(settings, report, first=not index, alone=count == 1, several=several)


def _note_unheard(settings: Settings, followed: "Following") -> None:
    """Who has no row because nothing is heard of them is named."""
    with followed.lock:
        daemons = followed.status()["daemons"]
    for each in daemons:
        if each["state"] == "unreachable":
            render.note(settings, f"No news from {each['name']}: {(each['reason'] or '').rstrip('.')}.")


def _parse(words: tuple[str, ...]) -> tuple[str, float, int | None]:
    """The name ('' for everything), seconds between reports, and how many there are; None: no end."""
    rest = list(words)
    name = ""
    if rest and not _NUMBER.fullmatch(rest[0]):
        name = rest.pop(0)
        split_node(name)
    if len(rest) > 2:
        raise UsageError(f"'{rest[2]}' is a word too many.", "Write: dsttool iostat [NAME] [SECONDS [COUNT]]")
    if not rest:
        return name, 0.0, 1
    period_ns = parse_duration(rest[0])
    if period_ns < _SHORTEST_NS:
        raise UsageError(f"'{rest[0]}' is too short a time between reports.", "Write 1 or more.")
    if len(rest) == 1:
        return name, period_ns / 1e9, None
    if not (rest[1].isascii() and rest[1].isdigit() and int(rest[1][:9]) > 0):
        raise UsageError(f"'{rest[1]}' is no number of reports.", "Write 1 or more.")
    return name, period_ns / 1e9, int(rest[1][:9])


def _each(followed: "Following", seconds: float, count: int | None) -> Iterator[int]:
    """The numbers of the reports, each when it is due; what one takes does not move the next."""
    due = time.monotonic()
    index = 0
    while True:
        yield index
        index += 1
        if index == count:
            return
        due += seconds
        followed.wait(max(0.0, due - time.monotonic()))


class _Reports:
    """Makes reports of what is followed. Remembers what the one before ended with."""

    def __init__(self, followed: "Following", name: str) -> None:
        self._followed = followed
        self._name = name
        self._ends: dict[tuple[str, str], int] = {}
        self._counts: dict[tuple[str, str], tuple[int, int]] = {}
        self._before_ns: int | None = None

    def next(self) -> IostatReport:
        """What was done since the report before."""
        rows: list[IostatRow] = []
        longest_ns = 0
        with self._followed.lock:
            for place, _, picture in self._followed.picture.daemons():
                if picture.state is None or picture.lost_since_ns is not None:
                    continue
                for kind, label, entry in _entries(picture):
                    row, period_ns = self._row(place, picture, kind, label, entry)
                    if self._is_wanted(label):
                        rows.append(row)
                        longest_ns = max(longest_ns, period_ns)
        now_ns = clock.now_ns()
        period_ns = longest_ns if self._before_ns is None else now_ns - self._before_ns
        self._before_ns = now_ns
        return {
            "schema": "dsttool.iostat/1",
            "time_ns": time.time_ns(),
            "period_ns": period_ns,
            "rows": rows,
        }

    def _is_wanted(self, label: str) -> bool:
        return not self._name or label == self._name or label.startswith(f"{self._name}/")

    def _row(
        self,
        place: str,
        picture: "DaemonPicture",
        kind: Literal["array", "member", "export"],
        label: str,
        entry: "ArrayStatus | MemberStatus | ExportStatus",
    ) -> tuple[IostatRow, int]:
        key = (place, label)
        history = picture.history.get(label)
        points = 0 if history is None else self._new_points(key, history.seconds)
        figures = _figures(history.seconds, points) if history is not None else dict.fromkeys(_MEANS)
        errors, resends = entry["errors"], _resends(entry)
        errors_before, resends_before = self._counts.get(key, (0, 0))
        self._counts[key] = (errors, resends or 0)
        row: Any = {
            "place": place,
            "label": label,
            "kind": kind,
            "state": entry["state"],
            **figures,
            "in_flight": entry["in_flight"],
            "p50_ns": None if history is None else _median(history.seconds, points),
            "p99_ns": None if history is None else _worst(history.seconds, points),
            "errors": max(0, errors - errors_before),
            "resends": None if resends is None else max(0, resends - resends_before),
        }
        return row, points * 10**9

    def _new_points(self, key: tuple[str, str], seconds: "Series") -> int:
        """How many points the history has beyond those of the report before."""
        end_ns, before = seconds.end_ns, self._ends.get(key)
        self._ends[key] = end_ns
        if before is None:
            return len(seconds)
        return min(len(seconds), max(0, round((end_ns - before) / seconds.step_ns)))


_MEANS: Final = ("reads", "writes", "read_bytes", "written_bytes")


def _entries(picture: "DaemonPicture") -> Iterator[tuple[Any, str, Any]]:
    """Kind, label and status: each array before its members, then exports."""
    assert picture.state is not None, "only of a daemon that told something"
    for name, array in sorted(picture.state["arrays"].items()):
        yield "array", name, array
        for member in array["members"]:
            yield "member", f"{name}/{member['name']}", member
    for name, export in sorted(picture.state["exports"].items()):
        yield "export", name, export


def _resends(entry: Any) -> int | None:
    if "members" in entry:
        return int(sum(member["resends"] for member in entry["members"]))
    resends: int | None = entry.get("resends")
    return resends


def _figures(seconds: "Series", points: int) -> dict[str, float | None]:
    """Means over the last points that were measured; None if none was."""
    figures: dict[str, float | None] = {}
    for column in _MEANS:
        known = [value for value in seconds.column(column, points) if value is not None] if points else []
        figures[column] = round(sum(known) / len(known), 2) if known else None
    return figures


def _median(seconds: "Series", points: int) -> int | None:
    known = [value for value in seconds.column("p50_ns", points) if value is not None] if points else []
    return sum(known) // len(known) if known else None


def _worst(seconds: "Series", points: int) -> int | None:
    known = [value for value in seconds.column("p99_ns", points) if value is not None] if points else []
    return max(known) if known else None


_COLUMNS: Final = (
    *("NAME", "STATE", "READ/S", "WRITE/S", "R MiB/S", "W MiB/S"),
    *("IN FLIGHT", "P50 MS", "P99 MS", "ERRORS", "RESENT"),
)


def _print(settings: Settings, report: IostatReport, *, first: bool, alone: bool, several: bool) -> None:
    if settings.json:
        if alone:
            render.emit_json(settings, report)
        else:
            render.emit_line(report)
        return
    if settings.format == "table":
        if not first:
            click.echo()
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report["time_ns"] / 1e9))
        click.echo(f"{moment}, over {report['period_ns'] / 1e9:.0f} s")
        if not report["rows"]:
            click.echo("Nothing that answers is running.")
            return
    rows = [_cells(settings, row, several=several) for row in report["rows"]]
    render.table(settings, _COLUMNS, rows, right=_COLUMNS[2:])


def _cells(settings: Settings, row: IostatRow, *, several: bool) -> tuple[str, ...]:
    name = f"{row['place']}:{row['label']}" if several else row["label"]
    if row["kind"] == "member" and settings.format == "table":
        name = f"  {name}"
    return (
        name,
        render.state(settings, row["state"]),
        _number(row["reads"]),
        _number(row["writes"]),
        render.figure(settings, row["read_bytes"], _mebibytes),
        render.figure(settings, row["written_bytes"], _mebibytes),
        str(row["in_flight"]),
        render.figure(settings, row["p50_ns"], _milliseconds),
        render.figure(settings, row["p99_ns"], _milliseconds),
        str(row["errors"]),
        render.UNKNOWN if row["resends"] is None else str(row["resends"]),
    )


def _number(value: float | None) -> str:
    return render.UNKNOWN if value is None else f"{value:.1f}"


def _mebibytes(count: float) -> str:
    return f"{count / _MIB:.1f}"


def _milliseconds(time_ns: float) -> str:
    return f"{time_ns / 1e6:.3f}"
