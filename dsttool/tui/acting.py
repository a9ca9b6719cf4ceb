"""From a key to a control message: menu, dialog, message, and what came of it."""

from typing import TYPE_CHECKING

from textual.app import App
from textual.message import Message

from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.tui import actions, cells, targets
from dsttool.tui.actions import Action, Order
from dsttool.tui.dialogs import Chosen, Decided, Dialog, Menu
from dsttool.tui.sending import Outcome, Sender
from dsttool.tui.subject import Subject
from dsttool.tui.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.notifications import SeverityLevel

    from dsttool.engine.control.picture import Picture

_TITLE = "Actions"


class Done(Message):
    """A daemon has answered an order, or will not."""

    def __init__(self, target: Target, action: Action, order: Order, outcome: Outcome) -> None:
        super().__init__()
        self.target = target
        self.action = action
        self.order = order
        self.outcome = outcome


class Acting:
    """What the app does with actions. now: what is known, whatever the screen shows."""

    def __init__(
        self, app: App[int], sender: Sender, now: "Callable[[], Picture]", *, read_only: bool
    ) -> None:
        self._app = app
        self._sender = sender
        self._now = now
        self._read_only = read_only

    def choose(self, picture: "Picture", subject: Subject | None) -> None:
        """Show the actions on what the cursor is on, as it is on the screen."""
        refusal = self._refusal()
        found = targets.pinned(picture, subject) if subject is not None and not refusal else []
        try:
            for target in found:
                targets.look(self._now(), target)
        except DsttoolError as error:
            self._say(f"{error}", "warning")
            return
        if not found:
            self._say(refusal or "Nothing can be done with what the cursor is on.", "warning")
            return
        self._app.push_screen(Menu(self._now(), found), self._chosen)

    def ask(self, target: Target, action: Action) -> None:
        """Ask before an action, with what follows from it."""
        if self._refusal():
            self._say(self._refusal(), "warning")
            return

        def decided(answer: Decided | None) -> None:
            if answer is not None:
                self._send(target, action, answer)

        self._app.push_screen(Dialog(self._now, target, action), decided)

    def done(self, message: Done) -> None:
        """Say what came of it."""
        error = message.outcome.error
        if error is None:
            try:
                said = message.action.done(message.target, message.order, message.outcome.answer)
            except (LookupError, TypeError):  # a daemon of another release, which did it all the same
                said = f"{message.action.title} of {message.target.label} is done."
            line = actions.command_line(message.target, message.order)
            self._say(f"{said} [{line}]", "information")
        else:
            self._say(f"{error}", "error")

    def _chosen(self, chosen: Chosen | None) -> None:
        if chosen is not None:
            self.ask(*chosen)

    def _send(self, target: Target, action: Action, decided: Decided) -> None:
        order = decided.order

        def tell(outcome: Outcome) -> None:
            self._app.post_message(Done(target, action, order, outcome))

        self._sender.send(
            target.place,
            target.daemon,
            order.command,
            order.arguments,
            expect=target.expect(decided.good),
            seconds=action.seconds,
            tell=tell,
        )

    def _refusal(self) -> str:
        if self._read_only:
            return "There are no actions here: the screen was started with --read-only."
        return "" if self._sender else "There are no actions here: this is a recording."

    def _say(self, text: str, severity: "SeverityLevel") -> None:
        """A notice; errors stay longer."""
        seconds = 20 if severity == "error" else 6
        text = cells.clean(text)
        self._app.notify(text, title=_TITLE, severity=severity, timeout=seconds, markup=False)
