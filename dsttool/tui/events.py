"""The pane of events: what happened where, the newest last, and how grave it was."""

import textwrap
from collections.abc import Hashable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen

from dsttool.engine.vocabulary.stream import Event
from dsttool.tui import keys, look
from dsttool.tui.lines import Back, Lines
from dsttool.tui.look import Cell
from dsttool.tui.subject import Subject
from dsttool.tui.table import Column, Table

if TYPE_CHECKING:
    from dsttool.engine.control.picture import Found, Picture

# From which level on events are shown, and how the heading says it; a key goes from one to the next.
_LEVELS: Final = (
    (frozenset({"info", "warning", "error"}), ""),
    (frozenset({"warning", "error"}), "warnings and errors"),
    (frozenset({"error"}), "errors"),
)


# Lines at most for one text.
_TEXT_LINES: Final = 4


class EventList(Table["Found[Event]"]):
    """The events of all daemons. It follows the newest one while the cursor is on the last row."""

    LABEL = "EVENTS"
    kind = "events"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("events")]
    COLUMNS = (
        Column("TIME", 8),
        Column("LEVEL", 9, keep=1),
        Column("WHERE", 10, keep=3),
        Column("KIND", 21, keep=4),
        Column("", 28, grow=True),
    )

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._level = 0
        self._picture: Picture | None = None
        self._now_ns = 0
        self._shown_of: object = None

    @property
    def subject(self) -> Subject | None:
        """What the event is about, as far as it is a member or an array or an export that is there."""
        if self.row is None or self._picture is None:
            return None
        place, daemon, event = self.row
        state = self._picture.places[place].daemons[daemon].state
        if state is None:
            return None
        if event["node"] and event["name"] in state["arrays"]:
            return Subject("node", place, daemon, event["name"], event["node"])
        if event["name"] in state["arrays"]:
            return Subject("array", place, daemon, event["name"])
        return Subject("export", place, daemon, event["name"]) if event["name"] in state["exports"] else None

    def action_level(self) -> None:
        """Only the graver ones; then all again."""
        self._level = (self._level + 1) % len(_LEVELS)
        self._shown_of = None
        if self._picture is not None:
            self.show(self._picture, self._now_ns)

    def show(self, picture: "Picture", now_ns: int) -> None:
        """As Panel's."""
        self._picture, self._now_ns = picture, now_ns
        newest = tuple(
            (place, name, each.events[-1]) for place, name, each in picture.daemons() if each.events
        )
        if (newest, self._level) == self._shown_of:
            return
        self._shown_of = (newest, self._level)
        levels, said = _LEVELS[self._level]
        rows = [found for found in reversed(picture.events()) if found.entry["level"] in levels]
        self.annotate(said)
        self.fill(rows)

    def fill(self, rows: Sequence["Found[Event]"]) -> None:
        """As Table's; who looks at the newest goes on looking at the newest."""
        follows = self._cursor >= len(self._rows) - 1
        super().fill(rows)
        if follows:
            self.action_jump(-1)

    def key(self, row: "Found[Event]") -> Hashable:
        """As Table's; ids begin again with a daemon's next start, times do not."""
        return (row.place, row.daemon, row.entry["time_ns"], row.entry["id"])

    def cells(self, row: "Found[Event]") -> tuple[Cell, ...]:
        """As Table's."""
        event = row.entry
        where = f"{event['name']}/{event['node']}" if event["node"] else event["name"]
        when = datetime.fromtimestamp(event["time_ns"] / 1e9).strftime("%H:%M:%S")
        role = look.level_role(event["level"])
        mark = {"warn": "▲ ", "bad": "✖ "}.get(role, "  ")
        return (
            (when, "dim"),
            (mark + event["level"], role),
            where,
            (event["kind"], "dim"),
            (event["text"], role),
        )


class Events(Screen[None]):
    """Events on the whole screen, all of the text of the one that the cursor is on; Esc leads back."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,exclamation_mark", "app.back", "Back")]

    def __init__(self) -> None:
        super().__init__()
        self._list = EventList()
        self._text = Lines()

    def compose(self) -> ComposeResult:
        """As Textual's."""
        yield self._list
        yield self._text
        yield Back("Enter open", "L level")

    def on_table_moved(self, message: Table.Moved) -> None:
        """Another text."""
        self._say()

    def on_resize(self) -> None:
        """Wrap it anew."""
        self._say()

    def _say(self) -> None:
        row = self._list.row
        text = "" if row is None else _whole(row.entry)
        lines = textwrap.wrap(text, max(10, self.size.width - 2))[:_TEXT_LINES]
        self._text.put([[(f" {line}", "")] for line in lines] or [[]])


def _whole(event: Event) -> str:
    """An event with its day, which the rows have no room for."""
    when = datetime.fromtimestamp(event["time_ns"] / 1e9).strftime("%Y-%m-%d %H:%M:%S")
    return f"{when} {event['kind']}: {event['text']}"
