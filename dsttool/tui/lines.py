"""The lines around the panes: what this is and how it goes, the machines, the latest news, the keys."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from dsttool.engine.vocabulary.stream import Event, HostStatus
from dsttool.tui import cells, keys, look
from dsttool.tui.look import UNKNOWN, Role

if TYPE_CHECKING:
    from dsttool.engine.control.picture import Found, Picture

Pieces = Sequence[tuple[str, Role]]
# Machines that have a line of their own; the others are counted.
HOSTS_MAX: Final = 4
_BAR: Final = 8
# Keys that the footer never leaves out: where the others are explained, what can be done, the way out.
_KEYS_KEPT: Final = 3


class Lines(Widget):
    """Some lines over the whole width; drawn again only where they differ."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Lines { height: 1; width: 1fr; background: $panel; color: $foreground; }
    """

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._lines: list[Pieces] = [()]

    def put(self, lines: list[Pieces]) -> None:
        """Show these lines, as many as there is room for."""
        if lines != self._lines:
            if len(lines) != len(self._lines):
                self.styles.height = len(lines)
            self._lines = lines
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line, cut at the edge."""
        base = self.rich_style
        width = self.size.width
        if y >= len(self._lines):
            return Strip.blank(width, base)
        ours = look.styles(self.app.theme)
        segments = [Segment(cells.clean(text), base + ours[role]) for text, role in self._lines[y]]
        return Strip(segments).adjust_cell_length(width, base)


class Back(Lines):
    """The last line of a screen over the main one: how to leave it, and "KEY what" of other keys."""

    def __init__(self, *others: str, **more: Any) -> None:
        super().__init__(**more)
        pieces: list[tuple[str, Role]] = []
        for each in ("Esc back", *others):
            key, what = each.split(" ", 1)
            pieces += [(f" {key}", "strong"), (f" {what} ", "dim")]
        self._lines = [pieces]


def header(picture: "Picture", now_ns: int, wall_ns: int, notes: Pieces, width: int) -> Pieces:
    """The first line: the worst state, how much there is, notes, the time."""
    worst = picture.worst(now_ns)
    hosts = len(picture.places)
    arrays, exports = len(picture.arrays()), len(picture.exports())
    state = look.state(worst) if worst else ("○ NOTHING RUNS", "off")
    assert isinstance(state, tuple)
    pieces: list[tuple[str, Role]] = [(" dsttool  ", "strong"), state]
    for text, role in notes:
        pieces += [("  ", ""), (text, role)]
    pieces.append((f"  {_many(hosts, 'host')}, {_many(arrays, 'array')}, {_many(exports, 'export')}", ""))
    clock = datetime.fromtimestamp(wall_ns / 1e9).strftime(" %H:%M:%S ")
    used = sum(len(text) for text, _ in pieces)
    room = width - len(clock)
    if used > room:
        pieces = _cut(pieces, room)
    else:
        pieces.append((" " * (room - used), ""))
    return [*pieces, (clock, "")]


def hosts(picture: "Picture", width: int, most: int = HOSTS_MAX) -> list[Pieces]:
    """A line for each machine that cannot be reached, saying why, and each that something is known of."""
    known: dict[str, tuple[HostStatus, bool]] = {}
    for place, _, daemon in picture.daemons():
        if daemon.state is not None and (place not in known or known[place][1]):
            known[place] = (daemon.state["host"], daemon.lost_since_ns is not None)
    away = {name: place for name, place in picture.places.items() if place.lost_since_ns is not None}
    all_: list[Pieces] = [[(f" {name}  ", "strong"), (f"✖ {away[name].reason}", "bad")] for name in away]
    all_ += [_host(host, lost, width) for place, (host, lost) in known.items() if place not in away]
    lines = all_[:most]
    if len(all_) > most:
        more = f"  and {len(all_) - most} more"
        lines[-1] = [*_cut(lines[-1], width - len(more)), (more, "dim")]
    return lines


def ticker(picture: "Picture") -> Pieces:
    """Where there is no room for more: the first running job, and the latest event."""
    pieces: list[tuple[str, Role]] = [(" ", "")]
    running = [(found.entry["name"], job) for found in picture.arrays() for job in found.entry["jobs"]]
    for name, job in running[:1]:
        done = f" {job['done_bytes'] * 100 // job['total_bytes']}%" if job["total_bytes"] else ""
        left = f", {cells.age(job['eta_ns'])} left" if job["eta_ns"] is not None else ""
        more = f" (+{len(running) - 1})" if len(running) > 1 else ""
        pieces += [(f"↻ {job['kind']} {name}{done}{left}{more}", "busy"), ("  ", "")]
    latest = picture.events(1)
    return [*pieces, *event(latest[0])] if latest else pieces


def event(found: "Found[Event]") -> Pieces:
    """An event in a line."""
    entry = found.entry
    role = look.level_role(entry["level"])
    mark = {"warning": "▲ ", "error": "✖ "}.get(entry["level"], "")
    when = datetime.fromtimestamp(entry["time_ns"] / 1e9).strftime("%H:%M:%S ")
    return [(when, "dim"), (mark + entry["text"], role)]


def footer(width: int, *panes: str) -> Pieces:
    """The keys that matter most, as many as there is room for; the last three always."""
    shown: list[Pieces] = [
        [(f" {key.shown.split()[0]}", "strong"), (f" {key.brief} ", "dim")]
        for key in keys.of("", *panes)
        if key.brief
    ]
    while len(shown) > _KEYS_KEPT and sum(len(text) for pair in shown for text, _ in pair) > width:
        del shown[-_KEYS_KEPT - 1]
    return [piece for pair in shown for piece in pair]


def _host(host: HostStatus, lost: bool, width: int) -> Pieces:
    memory, used = host["memory_bytes"], host["memory_used_bytes"]
    cpu = host["cpu_fraction"]
    text = f" {host['name']:<{10 if width >= 100 else 0}} CPU {_share(cpu)} of {host['cpus']}"
    text += f"  MEM {_share(used / memory if memory and used is not None else None)}"
    if width >= 100:
        text += f" of {cells.size(memory)}"
        text += f"  NET in {cells.rate(host['received_bytes'])} out {cells.rate(host['sent_bytes'])} MiB/s"
        text += (
            f"  DISK r {cells.rate(host['disk_read_bytes'])} w {cells.rate(host['disk_written_bytes'])} MiB/s"
        )
    else:
        text += f"  NET {cells.rate(host['received_bytes'])}/{cells.rate(host['sent_bytes'])}"
        text += f"  DISK {cells.rate(host['disk_read_bytes'])}/{cells.rate(host['disk_written_bytes'])}"
    return [(text, "dim" if lost else "")]


def _share(fraction: float | None) -> str:
    if fraction is None:
        return UNKNOWN
    return f"{cells.bar(fraction, _BAR)}{fraction * 100:3.0f}%"


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _cut(pieces: Sequence[tuple[str, Role]], width: int) -> list[tuple[str, Role]]:
    """The pieces in exactly `width` cells."""
    kept: list[tuple[str, Role]] = []
    for text, role in pieces:
        if width <= 0:
            break
        kept.append((text if len(text) <= width else cells.fit(text, width), role))
        width -= min(len(text), width)
    return kept
