"""A table that draws its own lines: thousands of rows cost what the few dozens cost that are seen.

Rows are whatever the subclass makes of a picture; only the rows on the screen become cells, and only the
lines whose cells differ from what is on the screen are drawn again. The cursor stays with its row, known by
its key, when rows move. (Textual's DataTable takes ten times as long for 200 rows that change.)
"""

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeVar

from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.strip import Strip

from dsttool.tui import keys
from dsttool.tui.cells import fit
from dsttool.tui.look import Cell, Role
from dsttool.tui.panel import Panel

Row = TypeVar("Row")

_CURSOR: Final = Style(reverse=True)
_CURSOR_ELSEWHERE: Final = Style(bold=True, underline=True)
# Lines of a table that are no rows: the heading of the pane, and that of the columns.
_HEAD: Final = 2


class Column(NamedTuple):
    """keep: where there is no room, columns with higher ones go first; 0 stays. grow: takes what is left.
    what: a sentence for the help.
    """

    title: str
    width: int
    keep: int = 0
    right: bool = False
    grow: bool = False
    what: str = ""


class Placed(NamedTuple):
    """A column that has room. number: among all columns, and of its cell in a row."""

    number: int
    column: Column
    width: int


class _Line(NamedTuple):
    """What a line shows. role: of all its cells, or None; on_cursor: whether the cursor is there; mark: of
    the scroll bar.
    """

    cells: tuple[Cell, ...]
    role: Role | None
    on_cursor: bool
    mark: str


def place(columns: Sequence[Column], width: int) -> list[Placed]:
    """The columns that fit into `width` cells with a blank between, those that must go left out."""
    kept = list(range(len(columns)))
    while len(kept) > 1 and sum(columns[i].width + 1 for i in kept) - 1 > width:
        least = max(kept, key=lambda i: columns[i].keep)
        if columns[least].keep == 0:
            break
        kept.remove(least)
    spare = max(0, width - sum(columns[i].width + 1 for i in kept) + 1)
    growing = [i for i in kept if columns[i].grow]
    placed = []
    for i in kept:
        share = spare // len(growing) if i in growing else 0
        placed.append(Placed(i, columns[i], columns[i].width + share))
    return placed


class Table(Panel, Generic[Row]):
    """Rows under column heads, with a cursor. A subclass has COLUMNS, `key` and `cells`, and calls `fill`."""

    kind = "table"
    COLUMNS: ClassVar[tuple[Column, ...]] = ()
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("table")]

    class Moved(Message):
        """The cursor is on another row."""

        def __init__(self, table: "Table[Any]") -> None:
            super().__init__()
            self.table = table

    class Opened(Message):
        """A row was clicked twice."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._rows: Sequence[Row] = ()
        self._keys: list[Hashable] = []
        self._cursor = 0
        self._top = 0
        # Until somebody moves it the cursor is on the first row, whatever comes before that.
        self._untouched = True
        self._placed: list[Placed] = []
        # What is on the screen: the cells of each line, to know which differ.
        self._drawn: dict[int, _Line | None] = {}

    def key(self, row: Row) -> Hashable:
        """What stays the same of a row while everything else of it changes."""
        raise NotImplementedError

    def cells(self, row: Row) -> Sequence[Cell]:
        """A cell for each of COLUMNS."""
        raise NotImplementedError

    def row_role(self, row: Row) -> Role | None:
        """A role for the whole row instead of those of its cells, or None."""
        return None

    @property
    def kinds(self) -> tuple[str, ...]:
        """As Panel's."""
        return ("table", self.kind)

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self._cursor] if self._cursor < len(self._rows) else None

    def fill(self, rows: Sequence[Row]) -> None:
        """Show these rows. The cursor stays on its row if that is still there, else where it is."""
        before = self._keys[self._cursor] if self._cursor < len(self._keys) else None
        self._rows = rows
        if self._untouched:
            self._cursor = 0
        self._keys = [self.key(row) for row in rows]
        if self._cursor >= len(rows) or self._keys[self._cursor] != before:
            if not self._untouched:
                self._cursor = self._where(before)
            if before != (self._keys[self._cursor] if rows else None):
                self.post_message(self.Moved(self))
        self._clamp(follow=False)
        self._redraw_changed()

    def draw(self, y: int) -> Strip:
        """The heads of the columns, then the rows from `_top` on."""
        if not self._placed:
            self._placed = place(self.COLUMNS, max(1, self.size.width - 1))
        if y == 0:
            heads = [fit(p.column.title, p.width, right=p.column.right) for p in self._placed]
            return self.strip([(" ".join(heads), "dim")])
        line = self._drawn[y - 1] if y - 1 in self._drawn else self._line(y - 1)
        self._drawn[y - 1] = line
        if line is None:
            return Strip.blank(self.size.width, self.paint(""))
        pieces = self._pieces(line.cells, line.role)
        if not line.on_cursor:
            return self.strip([*pieces, (line.mark, "dim")])
        over = _CURSOR if self.has_focus else _CURSOR_ELSEWHERE
        return self.strip([*pieces, (line.mark, "dim")], over)

    def action_move(self, by: int) -> None:
        """Move the cursor by so many rows."""
        self._move(self._cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by so many pages."""
        self._move(self._cursor + by * max(1, self._visible - 1))

    def action_jump(self, to: int) -> None:
        """Move the cursor to the first row (0) or the last (-1)."""
        self._move(0 if to == 0 else len(self._rows) - 1)

    def on_resize(self, event: events.Resize) -> None:
        """Place the columns anew."""
        self._placed = []
        self._drawn.clear()
        self._clamp(follow=True)
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on a row; a second click opens it."""
        index = self._top + event.y - _HEAD
        if event.y >= _HEAD and index < len(self._rows):
            self._move(index)
            if event.chain == 2:
                self.post_message(self.Opened())

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Show what is further down; the cursor stays on its row."""
        self._scroll(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Show what is further up."""
        self._scroll(-3)

    @property
    def _visible(self) -> int:
        """How many rows fit."""
        return max(0, self.size.height - _HEAD)

    def _line(self, y: int) -> _Line | None:
        """What the visible line `y` shows, None if there is no row for it."""
        index = self._top + y
        if index >= len(self._rows):
            return None
        row = self._rows[index]
        return _Line(tuple(self.cells(row)), self.row_role(row), index == self._cursor, self._mark(y))

    def _mark(self, y: int) -> str:
        """The scroll bar at line `y`."""
        rows, visible = len(self._rows), self._visible
        if rows <= visible or visible == 0:
            return " "
        length = max(1, visible * visible // rows)
        first = (visible - length) * self._top // max(1, rows - visible)
        return "█" if first <= y < first + length else "│"

    def _pieces(self, cells: Sequence[Cell], role: Role | None) -> list[tuple[str, Role]]:
        """The cells in their columns; neighbours of one role as one piece."""
        pieces: list[tuple[str, Role]] = []
        run: Role = ""
        text = ""
        for placed in self._placed:
            cell = cells[placed.number]
            shown, own = cell if isinstance(cell, tuple) else (cell, "")
            if role is not None:
                own = role
            if own != run:
                if text:
                    pieces.append((text, run))
                run, text = own, ""
            text += fit(shown, placed.width, right=placed.column.right) + " "
        blank = self.size.width - 1 - sum(placed.width + 1 for placed in self._placed)
        pieces.append((text + " " * blank if blank >= 0 else text[:blank], run))
        return pieces

    def _where(self, key: Hashable | None) -> int:
        """Where the row of that key is now; where the cursor was, if it is not there any more."""
        try:
            return self._keys.index(key)
        except ValueError:
            return max(0, min(self._cursor, len(self._keys) - 1))

    def _move(self, to: int) -> None:
        self._untouched = False
        to = max(0, min(to, len(self._rows) - 1))
        if to != self._cursor:
            self._cursor = to
            self._clamp(follow=True)
            self._redraw_changed()
            self.post_message(self.Moved(self))

    def _scroll(self, by: int) -> None:
        self._top += by
        self._clamp(follow=False)
        self._redraw_changed()

    def _clamp(self, *, follow: bool) -> None:
        """Keep the first visible row within the rows; follow: and the cursor on the screen."""
        visible = self._visible
        if follow:
            self._top = min(max(self._top, self._cursor - visible + 1), self._cursor)
        self._top = max(0, min(self._top, len(self._rows) - visible))

    def _redraw_changed(self) -> None:
        changed = []
        for y in range(self._visible):
            line = self._line(y)
            if y not in self._drawn or self._drawn[y] != line:
                self._drawn[y] = line
                changed.append(y + _HEAD)
        self.redraw(changed)
