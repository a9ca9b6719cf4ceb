"""The line in which a filter is typed, and what is wrong with it under it."""

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input

from dsttool.tui.lines import Lines


class FilterLine(Vertical):
    """Hidden until it is opened. It tells of what was entered; whether that is a filter, others know."""

    DEFAULT_CSS = """
    FilterLine { display: none; height: auto; background: $panel; }
    FilterLine.-open { display: block; }
    FilterLine Input, FilterLine Input:focus { border: none; height: 1; padding: 0 1; background: $panel; }
    FilterLine Lines { display: none; color: $error; }
    FilterLine.-wrong Lines { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "Leave the filter as it is")]

    class Entered(Message):
        """A filter was entered; "" for none."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """The line was left without a new filter."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._input = Input(
            placeholder="filter: state:resend node:n3 op:write age>1s -client:nbd", compact=True
        )
        self._wrong = Lines()

    def compose(self) -> ComposeResult:
        """As Textual's."""
        yield self._input
        yield self._wrong

    def open(self, text: str) -> None:
        """Show the line with a filter to change, and give it the keys."""
        self._input.value = text
        self._input.cursor_position = len(text)
        self.set_class(False, "-wrong")
        self.set_class(True, "-open")
        self.screen.set_focus(self._input)  # now: `focus` does it after all keys that have come meanwhile

    def close(self) -> None:
        """Hide the line."""
        self.set_class(False, "-open")

    def complain(self, wrong: str) -> None:
        """Say under the line what is wrong with it."""
        self._wrong.put([[(f" {wrong}", "bad")]])
        self.set_class(True, "-wrong")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Tell of it."""
        event.stop()
        self.post_message(self.Entered(event.value.strip()))

    def action_leave(self) -> None:
        """Leave it."""
        self.post_message(self.Left())
