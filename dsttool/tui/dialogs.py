"""Choosing an action, and being asked before it is done.

A dialog is about the object that was chosen, whatever moves behind it. It says what follows as things are
now, shows the equal command line, and does nothing unless its button is pressed: the focus is on Cancel. If
fewer good copies are left by then than it counted on, that is said, and the button has to be pressed again.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.tui import actions, cells, targets
from dsttool.tui import consequences as follows
from dsttool.tui.actions import Action, Order
from dsttool.tui.targets import Target

if TYPE_CHECKING:
    from dsttool.engine.control.picture import Picture

# How often what follows is worked out again from what is known.
_AGAIN_SECONDS: Final = 0.5

Chosen = tuple[Target, Action]


class Decided(NamedTuple):
    """What is to be done. good: the good copies that its user knows to be left."""

    order: Order
    good: frozenset[str]


class Menu(ModalScreen[Chosen | None]):
    """The actions on an object and on what it is part of; those that make no sense now say why."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q", "dismiss(None)", "Leave")]
    DEFAULT_CSS = """
    Menu { align: center middle; }
    Menu > Vertical { width: 76; max-width: 100%; height: auto; max-height: 90%; background: $panel;
        border: round $primary; padding: 0 1; }
    Menu OptionList { height: auto; max-height: 100%; border: none; background: $panel; padding: 0; }
    Menu OptionList:focus { border: none; }
    """

    def __init__(self, picture: "Picture", found: Sequence[Target]) -> None:
        super().__init__()
        self._picture = picture
        self._found = found
        self._chosen: dict[str, Chosen] = {}

    def compose(self) -> ComposeResult:
        """As Textual's."""
        with Vertical() as box:
            box.border_title = "Actions"
            yield OptionList(*self._options())

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        """An action was chosen."""
        self.dismiss(self._chosen[event.option_id or ""])

    def _options(self) -> list[Option | None]:
        options: list[Option | None] = []
        for target in self._found:
            live = targets.look(self._picture, target)
            options += [None] if options else []
            options.append(Option(Content(cells.clean(target.label)), disabled=True))
            for action in actions.of(target.kind):
                refusal = action.refuses(live)
                name = f"{target.kind} {action.title}"
                text = f"  {action.title:<18} {refusal or action.what}"
                options.append(Option(Content(cells.clean(text)), id=name, disabled=bool(refusal)))
                self._chosen[name] = (target, action)
        return options


class Dialog(ModalScreen[Decided | None]):
    """One action on one object. It ends with the one message to send, or with None."""

    AUTO_FOCUS: ClassVar[str | None] = "#cancel"
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss(None)", "Cancel")]
    DEFAULT_CSS = """
    Dialog { align: center middle; }
    Dialog > Vertical { width: 76; max-width: 100%; height: auto; max-height: 100%; background: $panel;
        border: round $warning; padding: 0 1; }
    Dialog #follows { height: auto; max-height: 1fr; }
    Dialog Static, Dialog Label { width: 1fr; height: auto; }
    Dialog #command { color: $primary; margin-top: 1; }
    Dialog #wrong { color: $error; display: none; }
    Dialog #wrong.-shown { display: block; }
    Dialog Input { margin-bottom: 0; }
    Dialog Horizontal { height: auto; align-horizontal: right; margin-top: 1; }
    Dialog Button { margin-left: 2; min-width: 12; }
    Dialog Button:focus { text-style: bold reverse; }
    """

    def __init__(self, picture: Callable[[], "Picture"], target: Target, action: Action) -> None:
        """picture: what is known now, not what a frozen screen shows."""
        super().__init__()
        self._picture = picture
        self.target = target
        self.action = action
        self._severe = False
        # Good copies that are counted on: those there were at first, until somebody went on with fewer.
        self._good: frozenset[str] | None = None
        self._left: frozenset[str] = frozenset()
        self._fewer, self._told, self._rests = "", "", False
        self._shown: object = None

    def compose(self) -> ComposeResult:
        """As Textual's."""
        with Vertical() as box:
            box.border_title = f"{self.action.title}: {cells.clean(self.target.label)}"
            with VerticalScroll(id="follows", can_focus=False):
                yield Static(id="sentences", markup=False)
            for each in self.action.fields:
                yield Label(each.label, markup=False)
                yield Input(placeholder=each.example, id=f"field-{each.name}", compact=True)
            yield Label(f"Type {self.target.name} to go ahead", id="typed-label", markup=False)
            yield Input(id="typed", compact=True)
            yield Static(id="command", markup=False)
            yield Static(id="wrong", markup=False)
            with Horizontal():
                yield Button("Cancel", id="cancel", compact=True)
                yield Button(self.action.title, id="go", compact=True)

    def on_mount(self) -> None:
        """Say what follows, and keep it true."""
        self._say()
        self.set_interval(_AGAIN_SECONDS, self._look_again)

    @on(Input.Changed)
    def typed(self) -> None:
        """Show what it amounts to."""
        self._say()

    @on(Input.Submitted)
    def entered(self) -> None:
        """On to the next: Enter in a line is no decision."""
        self.focus_next()

    @on(Button.Pressed, "#cancel")
    def cancel(self) -> None:
        """Nothing was decided."""
        self.dismiss(None)

    @on(Button.Pressed, "#go")
    def go(self) -> None:
        """End with the message if what was counted on is still there, else have it pressed again."""
        order = self._say()
        if order is None or self.query_one("#go", Button).disabled:
            return
        good = self._good or frozenset()
        if not self._fewer:
            self.dismiss(Decided(order, good))
            return
        self._told = f"{self._fewer} Press {self.action.title} again if it is to be done all the same."
        self._good = good & self._left
        self._rests = True  # until it is looked at again: two clicks at once are no two decisions
        self.query_one("#typed", Input).value = ""
        self.query_one("#cancel").focus()
        self._say()

    def _look_again(self) -> None:
        self._rests = False
        self._say()

    def _say(self) -> Order | None:
        """Show what follows now, and what is wrong; the order, if nothing is."""
        if not self.display:
            return None  # It is being taken away, perhaps before it was there: its parts go first.
        order: Order | None = None
        wrong = ""
        command = ""
        try:
            live = targets.look(self._picture(), self.target)
        except DsttoolError as error:
            self._show((), "", f"{error}", ready=False)
            return None
        self._severe = self._severe or self.action.severe(live)
        self._left = self.action.relies(live)
        self._good = self._left if self._good is None else self._good
        self._fewer = follows.fewer(live, self._good)
        values: dict[str, Any] = {}
        refusal = self.action.refuses(live)
        try:
            values = actions.parse(self.action, self._texts())
            order = self.action.order(self.target, values)
            command = "$ " + actions.command_line(self.target, order)
        except DsttoolError as error:
            wrong = f"{error}" if any(self._texts().values()) else ""
        confirmed = not self._severe or self.query_one("#typed", Input).value.strip() == self.target.name
        sentences = self.action.consequences(live, values)
        ready = bool(order) and not refusal and confirmed and not self._rests
        self._show(sentences, command, refusal or wrong or self._fewer or self._told, ready=ready)
        return order if confirmed and not refusal else None

    def _texts(self) -> dict[str, str]:
        return {each.name: self.query_one(f"#field-{each.name}", Input).value for each in self.action.fields}

    def _show(self, sentences: Sequence[str], command: str, wrong: str, *, ready: bool) -> None:
        if (shown := (tuple(sentences), command, wrong, ready, self._severe)) == self._shown:
            return
        self._shown = shown
        self.query_one("#typed-label").display = self._severe
        self.query_one("#typed").display = self._severe
        if sentences:
            self.query_one("#sentences", Static).update(Content("\n".join(map(_point, sentences))))
            self.query_one("#command", Static).update(Content(cells.clean(command)))
        self.query_one("#wrong", Static).update(Content(cells.clean(wrong)))
        self.query_one("#wrong").set_class(bool(wrong), "-shown")
        self.query_one("#go", Button).disabled = not ready


def _point(sentence: str) -> str:
    return f"• {cells.clean(sentence)}"
