"""What the keys of a pane do, and what its columns say."""

import textwrap
from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen

from dsttool.tui import keys
from dsttool.tui.lines import Back, Pieces
from dsttool.tui.page import Page
from dsttool.tui.panel import Panel
from dsttool.tui.table import Table

if TYPE_CHECKING:
    from dsttool.engine.control.picture import Picture

_INDENT: Final = 12


class HelpText(Page):
    """About one pane."""

    LABEL = "HELP"

    def __init__(self, about: Panel | None) -> None:
        super().__init__()
        self._about = about

    def show(self, picture: "Picture", now_ns: int) -> None:
        """As Panel's; nothing here changes."""

    def content(self, width: int) -> list[Pieces]:
        """As Page's."""
        about = self._about
        lines: list[Pieces] = []
        if about is not None:
            lines += [[(f" {about.LABEL}", "head")], *_keys(about.kinds, width), []]
        if isinstance(about, Table) and any(column.what for column in about.COLUMNS):
            lines.append([(" Columns", "head")])
            for column in about.COLUMNS:
                lines += _entry(column.title, column.what, width)
            lines.append([])
        return [*lines, [(" Everywhere", "head")], *_keys(("",), width)]


class Help(Screen[None]):
    """A screen of help; Esc leads back."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,question_mark", "app.back", "Back")]

    def __init__(self, about: Panel | None) -> None:
        super().__init__()
        self._about = about

    def compose(self) -> ComposeResult:
        """As Textual's."""
        yield HelpText(self._about)
        yield Back()


def _keys(panes: tuple[str, ...], width: int) -> list[Pieces]:
    return [line for shown, what in keys.lines(*panes) for line in _entry(shown, what, width)]


def _entry(word: str, what: str, width: int) -> list[Pieces]:
    """A word, and a sentence about it beside it, in as many lines as it takes."""
    wrapped = textwrap.wrap(what, max(10, width - _INDENT - 3)) or [""]
    lines: list[Pieces] = [[(f"  {word:<{_INDENT}}", "strong"), (wrapped[0], "")]]
    lines += [[(" " * (_INDENT + 2) + more, "")] for more in wrapped[1:]]
    return lines
