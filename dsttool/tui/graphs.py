"""The pane of the graphs: what was read and written, and how long it took, of what the cursor is on."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from textual.binding import BindingType
from textual.strip import Strip

from dsttool.engine.control.rings import History
from dsttool.tui import graph_plot, graph_scale, graph_time, keys
from dsttool.tui.graph_plot import Row
from dsttool.tui.graph_time import ZOOMS, Values
from dsttool.tui.look import UNKNOWN, Role
from dsttool.tui.panel import Panel
from dsttool.tui.subject import Subject

if TYPE_CHECKING:
    from dsttool.engine.control.picture import Picture

# From this width on the two graphs are side by side; in less, one below the other if each has this height.
_BESIDE: Final = 76
_BELOW: Final = 6
_ROLES: Final[dict[str, Role]] = {
    "label": "dim", "axis": "dim", "read": "read", "write": "write", "p50": "read", "p99": "write",
}  # fmt: skip

Line = Sequence[tuple[str, Role]]


class Source(NamedTuple):
    """A label's history, and for how long its daemon has been silent."""

    history: History
    silent_ns: int


def sources(picture: "Picture", subject: Subject | None, now_ns: int) -> tuple[str, list[Source]]:
    """What is shown for a subject, by name, and its histories; the sum of everything for what has none."""
    chosen = []
    label = subject.label if subject is not None else ""
    for place, name, daemon in picture.daemons():
        if subject is not None and (place != subject.place or subject.daemon not in ("", name)):
            continue
        silent_ns = daemon.age_ns(now_ns) if daemon.stale(now_ns) else 0
        labels = [label] if label else [each for each in daemon.history if "/" not in each]
        chosen += [Source(daemon.history[each], silent_ns) for each in labels if each in daemon.history]
    if subject is None:
        return "everything", chosen
    return label or subject.daemon or subject.place, chosen


class Graphs(Panel):
    """Two graphs over one time. `follow` says of what. level: which of ZOOMS."""

    LABEL = "GRAPHS"
    kind = "graphs"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("graphs")]

    def __init__(self, *, level: int = 2, **more: Any) -> None:
        super().__init__(**more)
        self._subject: Subject | None = None
        self.level = level
        self._requests = False
        self._picture: Picture | None = None
        self._now_ns = 0
        self._drawn_of: object = None
        self._lines: list[Line] = []

    def follow(self, subject: Subject | None) -> None:
        """Show something else."""
        if subject != self._subject:
            self._subject = subject
            self._again()

    def zoom(self, by: int) -> None:
        """A shorter time (1) or a longer one (-1)."""
        self.level = max(0, min(self.level - by, len(ZOOMS) - 1))
        self._again()

    def action_unit(self) -> None:
        """Bytes a second, or requests a second."""
        self._requests = not self._requests
        self._again()

    def show(self, picture: "Picture", now_ns: int) -> None:
        """As Panel's. Nothing is drawn before there is another second to be drawn."""
        self._picture, self._now_ns = picture, now_ns
        title, found = sources(picture, self._subject, now_ns)
        silent = tuple((id(s.history), s.history.seconds.end_ns, s.silent_ns // 10**9) for s in found)
        drawn_of = (silent, self.level, self._requests, self.size, title)
        if drawn_of == self._drawn_of:
            return
        self._drawn_of = drawn_of
        self.annotate(f"{title}, {ZOOMS[self.level][1]}")
        lines = self._plotted(found)
        changed = [i for i, (old, new) in enumerate(zip_longest(self._lines, lines)) if old != new]
        self._lines = lines
        self.redraw(i + 1 for i in changed)

    def draw(self, y: int) -> Strip:
        """A line of the graphs."""
        if y < len(self._lines):
            return self.strip(self._lines[y])
        return Strip.blank(self.size.width, self.paint(""))

    def on_resize(self) -> None:
        """Plot for another size."""
        self._again()

    def _again(self) -> None:
        self._drawn_of = None
        if self._picture is not None:
            self.show(self._picture, self._now_ns)

    def _plotted(self, found: Sequence[Source]) -> list[Line]:
        """The lines below the heading."""
        width, height = self.size.width, self.size.height - 1
        if not found:
            return [[(" Nothing has been measured of this.", "dim")]]
        if width >= _BESIDE:
            left = (width - 1) // 2
            pair = zip(self._throughput(found, left, height), self._latency(found, width - 1 - left, height))
            return [[*one, (" ", ""), *other] for one, other in pair]
        if height >= 2 * _BELOW:
            upper = height // 2
            return [*self._throughput(found, width, upper), *self._latency(found, width, height - upper)]
        return self._throughput(found, width, height)

    def _throughput(self, found: Sequence[Source], width: int, height: int) -> list[Line]:
        names = ("reads", "writes") if self._requests else ("read_bytes", "written_bytes")
        axis_of = graph_scale.request_axis if self._requests else graph_scale.byte_axis
        reads, writes = (self._values(found, name, width) for name in names)
        axis = axis_of([*reads, *writes])
        figures = [("read", "⣿", "#", names[0]), ("write", "⢕", ":", names[1])]
        legend = self._legend(found, figures, axis, width)
        if not graph_plot.fits(width, height - 1):
            return [legend]
        rows = graph_plot.throughput(reads, writes, axis, height - 1, ZOOMS[self.level][1], ascii=self._ascii)
        return [legend, *map(_line, rows)]

    def _latency(self, found: Sequence[Source], width: int, height: int) -> list[Line]:
        # Of several the slowest is shown: percentiles do not add up.
        p50 = self._values(found, "p50_ns", width, pick=max)
        p99 = self._values(found, "p99_ns", width, pick=max, inside=max)
        axis = graph_scale.latency_axis([*p50, *p99])
        legend = self._legend(found, [("p50", "⣿", "#", "p50_ns"), ("p99", "⢕", ".", "p99_ns")], axis, width)
        if not graph_plot.fits(width, height - 1):
            return [legend]
        rows = graph_plot.latency(p50, p99, axis, height - 1, ZOOMS[self.level][1], ascii=self._ascii)
        return [legend, *map(_line, rows)]

    def _values(
        self,
        found: Sequence[Source],
        name: str,
        width: int,
        pick: graph_time.Pick = sum,
        inside: graph_time.Pick = graph_time.mean,
    ) -> Values:
        span_ns = ZOOMS[self.level][0]
        return graph_time.together(
            [
                graph_time.resample(
                    graph_time.series_for(history, span_ns),
                    name,
                    span_ns=span_ns,
                    columns=graph_plot.columns_of(width),
                    silent_ns=silent_ns,
                    pick=inside,
                )
                for history, silent_ns in found
            ],
            pick,
        )

    def _legend(
        self,
        found: Sequence[Source],
        figures: Sequence[tuple[str, str, str, str]],
        axis: graph_scale.Axis,
        width: int,
    ) -> Line:
        """What is what, and the newest figures. figures: part, sample, the same in ASCII, column."""
        pick = max if axis.logarithmic else sum
        line: list[tuple[str, Role]] = [(" " * graph_plot.GUTTER, "")]
        for part, sample, plain, name in figures:
            newest = graph_time.last([s.history for s in found if not s.silent_ns], name, pick)
            text = UNKNOWN if newest is None else axis.text(newest)
            line += [(plain if self._ascii else sample, _ROLES[part]), (f" {part} {text}  ", "")]
        line.append((axis.unit, "dim"))
        used = sum(len(text) for text, _ in line)
        return [*line, (" " * max(0, width - used), "")]

    @property
    def _ascii(self) -> bool:
        return bool(getattr(self.app, "ascii", False))


def _line(row: Row) -> Line:
    return [(text, _ROLES[part]) for text, part in row]
