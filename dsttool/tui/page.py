"""A pane of text that is read page by page."""

from typing import Any, ClassVar

from textual import events
from textual.binding import BindingType
from textual.strip import Strip

from dsttool.tui import keys
from dsttool.tui.lines import Pieces
from dsttool.tui.panel import Panel


class Page(Panel):
    """A subclass says what there is to read at some width (`content`), anew whenever it calls `reread`."""

    kind = "page"
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("table")]

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._lines: list[Pieces] = []
        self._top = 0

    def content(self, width: int) -> list[Pieces]:
        """The lines, each at most `width` cells."""
        raise NotImplementedError

    def reread(self) -> None:
        """Show the content that there is now; the place in it stays."""
        lines = self.content(self.size.width) if self.size else []
        if lines != self._lines:
            self._lines = lines
            self._turn_to(self._top)
            self.refresh()

    def draw(self, y: int) -> Strip:
        """As Panel's."""
        at = self._top + y
        return self.strip(self._lines[at] if at < len(self._lines) else [])

    def action_move(self, by: int) -> None:
        """So many lines on."""
        self._turn_to(self._top + by)

    def action_page(self, by: int) -> None:
        """So many pages on."""
        self._turn_to(self._top + by * max(1, self._room - 1))

    def action_jump(self, to: int) -> None:
        """To the beginning (0) or the end (-1)."""
        self._turn_to(0 if to == 0 else len(self._lines))

    def on_resize(self, event: events.Resize) -> None:
        """Wrap anew."""
        self.reread()
        self._turn_to(self._top)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Further down."""
        self._turn_to(self._top + 3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Further up."""
        self._turn_to(self._top - 3)

    @property
    def _room(self) -> int:
        return max(0, self.size.height - 1)

    def _turn_to(self, top: int) -> None:
        last = max(0, len(self._lines) - self._room)
        self.annotate("" if last == 0 else f"{len(self._lines)} lines")
        top = max(0, min(top, last))
        if top != self._top:
            self._top = top
            self.refresh()
