"""The screens about one object: everything known of it, and its graphs."""

from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message
from textual.screen import Screen

from dsttool.engine.vocabulary.errors import NotFound
from dsttool.tui.detail import Asked, lines_of, wrapped
from dsttool.tui.graphs import Graphs
from dsttool.tui.lines import Back, Lines, Pieces
from dsttool.tui.page import Page
from dsttool.tui.sending import Outcome, Sender
from dsttool.tui.subject import Subject

if TYPE_CHECKING:
    from dsttool.engine.control.picture import Picture

_ANSWER_SECONDS: Final = 5.0
# After these events an answer of before is none any more.
_CHANGES: Final = frozenset({"policy.changed", "daemon.tuned"})


class DetailText(Page):
    """The text; it follows what is known."""

    LABEL = "DETAILS"

    class Outdated(Message):
        """What the daemon was asked may be otherwise by now."""

    def __init__(self, subject: Subject, picture: "Picture", now_ns: int) -> None:
        super().__init__()
        self.subject = subject
        self._picture, self._now_ns = picture, now_ns
        self._asked: Asked = None
        self._era = _era(picture, subject)

    def answered(self, asked: Asked) -> None:
        """What the daemon was asked has an answer."""
        self._asked = asked
        self.reread()

    def show(self, picture: "Picture", now_ns: int) -> None:
        """As Panel's."""
        self._picture, self._now_ns = picture, now_ns
        era = _era(picture, self.subject)
        if era is not None and era != self._era:
            self._era = era
            self.post_message(self.Outdated())
        self.reread()

    def content(self, width: int) -> list[Pieces]:
        """As Page's."""
        lines = lines_of(self._picture, self.subject, self._now_ns, self._asked)
        return [part for line in lines for part in wrapped(line, width)]


class Detail(Screen[None]):
    """One object. Esc leads back."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q", "app.back", "Back")]
    DEFAULT_CSS = """
    Detail DetailText { height: 3fr; }
    Detail Graphs { height: 10; }
    """

    class Answered(Message):
        """The daemon has answered what only it knows."""

        def __init__(self, outcome: Outcome) -> None:
            super().__init__()
            self.outcome = outcome

    def __init__(
        self, subject: Subject, picture: "Picture", now_ns: int, sender: Sender, *, level: int
    ) -> None:
        """level: of its graphs."""
        super().__init__()
        self._subject = subject
        self._title = Lines()
        self._text = DetailText(subject, picture, now_ns)
        self._graphs = Graphs(level=level)
        self._sender = sender

    def compose(self) -> ComposeResult:
        """As Textual's."""
        yield self._title
        yield self._text
        if self._subject.label:
            yield self._graphs
        yield Back()

    def on_mount(self) -> None:
        """Ask for what is in no status: a member's policy, a daemon's threads."""
        name = self._subject.label or self._subject.daemon or self._subject.place
        self._title.put([[(f" {self._subject.kind}  ", "dim"), (name, "strong")]])
        self._graphs.follow(self._subject)
        self._ask()

    def on_detail_text_outdated(self) -> None:
        """It was started again, or changed."""
        self._ask()

    def _ask(self) -> None:
        question = _question(self._subject)
        if question is not None and not self._sender:
            self._text.answered(NotFound("That is not in a recording."))
        elif question is not None:
            command, arguments = question
            self._sender.send(
                self._subject.place,
                self._subject.daemon,
                command,
                arguments,
                expect=None,
                seconds=_ANSWER_SECONDS,
                tell=self._tell,
            )

    def _tell(self, outcome: Outcome) -> None:
        """From the thread that asked."""
        self.post_message(self.Answered(outcome))

    def on_detail_answered(self, message: Answered) -> None:
        """Show it."""
        outcome = message.outcome
        self._text.answered(outcome.error or outcome.answer)


def _era(picture: "Picture", subject: Subject) -> tuple[str, int] | None:
    """Which start of the daemon it is, and the last event that changed something; None while it is lost."""
    known = picture.places.get(subject.place)
    daemon = known.daemons.get(subject.daemon) if known else None
    if daemon is None or daemon.hello is None or daemon.lost_since_ns is not None:
        return None
    changes = [event["id"] for event in daemon.events if event["kind"] in _CHANGES]
    return daemon.hello["instance"], max(changes, default=0)


def _question(subject: Subject) -> tuple[str, dict[str, str]] | None:
    if subject.kind in ("node", "link"):
        return "policy.show", {"node": subject.node}
    return ("crypto.threads", {}) if subject.kind == "daemon" else None
