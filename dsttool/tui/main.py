"""The main screen: which panes there are at which size, and which of them has the keys."""

from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.screen import Screen

from dsttool.engine.control.picture import Picture
from dsttool.tui import keys, lines
from dsttool.tui.events import EventList
from dsttool.tui.filtering import FilterLine
from dsttool.tui.graphs import Graphs
from dsttool.tui.jobs import JobList
from dsttool.tui.lines import Lines, Pieces
from dsttool.tui.panel import Panel
from dsttool.tui.table import Table
from dsttool.tui.transactions import TransactionTable
from dsttool.tui.tree import Tree

# Smallest sizes (columns, rows): of any screen, of one with all panes, of one with graphs at the side.
_LEAST: Final = (60, 15)
_MEDIUM: Final = (100, 34)
_WIDE: Final = (170, 45)
_ARRANGEMENTS: Final = ("-small", "-compact", "-medium", "-wide")


class Main(Screen[None]):
    """Tree, graphs, transactions, jobs and events. A compact one shows the tree and one of the others."""

    AUTO_FOCUS: ClassVar[str | None] = "Tree"
    # A screen of Textual has keys of its own to go from one focus to the next, which know nothing of panes.
    BINDINGS: ClassVar[list[BindingType]] = [
        (key.keys, f"app.{key.action}", key.what) for key in keys.of("") if key.action.startswith("next_pane")
    ]
    DEFAULT_CSS = """
    Main { layout: vertical; background: $background; }
    Main #panes { height: 1fr; }
    Main #small { display: none; height: 1fr; }
    Main.-compact #panes > Panel { display: none; }
    Main.-compact #panes > Tree, Main.-compact #panes > .-lower { display: block; }
    Main.-medium #panes { layout: grid; grid-size: 2 4; grid-rows: 2fr 9 3fr 6; }
    Main.-medium #panes > .-broad { column-span: 2; }
    Main.-medium.-idle #panes { grid-columns: 1fr 3fr; }
    Main.-wide #panes { layout: grid; grid-size: 2 3; grid-columns: 13fr 7fr; grid-rows: 4fr 2fr 3fr; }
    Main.-wide #panes > TransactionTable { row-span: 2; }
    Main.-medium #ticker, Main.-wide #ticker { display: none; }
    Main.-small > * { display: none; }
    Main.-small > #small { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.tree_ = Tree(classes="-broad")
        self.graphs = Graphs(classes="-broad")
        self.transactions = TransactionTable(classes="-broad")
        self.jobs = JobList()
        self.events = EventList()
        self.filter_line = FilterLine()
        self._header, self._hosts, self._ticker, self._footer = (
            Lines(id=name) for name in ("header", "hosts", "ticker", "footer")
        )
        self._small = Lines(id="small")
        self._lower: Panel = self.transactions
        self._last: Panel = self.tree_

    def compose(self) -> ComposeResult:
        """As Textual's."""
        yield self._header
        yield self._hosts
        with Container(id="panes"):
            yield from self.panes
        yield self._small
        yield self.filter_line
        yield self._ticker
        yield self._footer

    @property
    def panes(self) -> tuple[Panel, ...]:
        """All panes, in the order in which the keys go through them."""
        return (self.tree_, self.graphs, self.transactions, self.jobs, self.events)

    @property
    def small(self) -> bool:
        """Whether there is no room for anything."""
        return self.has_class("-small")

    def focus_pane(self, pane: Panel) -> None:
        """Give a pane the keys; where there is room for one only, it takes the place of the one before."""
        self.filter_line.close()  # Tab leaves it, too: a line that looks open has to have the keys
        self._last = pane
        if pane is not self.tree_ and pane is not self._lower:
            self._lower.set_class(False, "-lower")
            self._lower = pane
            pane.set_class(True, "-lower")
        self.set_focus(pane)

    def next_pane(self, by: int) -> None:
        """Give the next pane, or the one before, the keys."""
        panes = self.panes
        at = panes.index(self.focused) if isinstance(self.focused, Panel) and self.focused in panes else 0
        self.focus_pane(panes[(at + by) % len(panes)])

    def on_mount(self) -> None:
        """The lower pane of a compact screen."""
        self._lower.set_class(True, "-lower")

    def on_resize(self, event: events.Resize) -> None:
        """Another arrangement for another size."""
        width, height = event.size
        if width < _LEAST[0] or height < _LEAST[1]:
            chosen = "-small"
        elif width < _MEDIUM[0] or height < _MEDIUM[1]:
            chosen = "-compact"
        else:
            chosen = "-wide" if width >= _WIDE[0] and height >= _WIDE[1] else "-medium"
        for name in _ARRANGEMENTS:
            self.set_class(name == chosen, name)
        if isinstance(self.focused, Panel):
            self._last = self.focused
        self.call_after_refresh(self._refocus)
        needs = f" {width}x{height} is too small: dsttool needs {_LEAST[0]}x{_LEAST[1]}."
        self._small.put([[(needs, "")]])

    def _refocus(self) -> None:
        """A pane that was out of sight for a moment has lost the keys."""
        if self.focused is None and not self.small:
            self.focus_pane(self._last)

    def on_table_moved(self, message: Table.Moved) -> None:
        """The graphs are of what the tree's cursor is on."""
        subject = self.tree_.subject
        if message.table is self.tree_ and subject is not None:
            self.graphs.follow(subject)

    def draw_lines(self, picture: Picture, now_ns: int, wall_ns: int, notes: Pieces, footer: Pieces) -> None:
        """The lines around the panes."""
        width = self.size.width
        # Where nothing is being copied, events have the room.
        self.set_class(not any(found.entry["jobs"] for found in picture.arrays()), "-idle")
        self._header.put([lines.header(picture, now_ns, wall_ns, notes, width)])
        room = 1 if self.has_class("-compact") else lines.HOSTS_MAX
        waiting: Pieces = [(" Nothing is heard of any daemon yet.", "dim")]
        self._hosts.put(lines.hosts(picture, width, room) or [waiting])
        self._ticker.put([lines.ticker(picture)])
        self._footer.put([footer])
