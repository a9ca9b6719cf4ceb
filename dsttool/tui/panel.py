"""What the panes of the screen have in common: a heading line of their own, and lines they draw themselves.

A pane draws every line as one strip, and has only those drawn again that changed: with hundreds of rows that
change four times a second, this is what keeps the screen cheap.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from dsttool.tui.cells import fit
from dsttool.tui.look import Role, styles

if TYPE_CHECKING:
    from dsttool.engine.control.picture import Picture

_LIGHT: Final = "─"
_HEAVY: Final = "━"


class Panel(Widget, can_focus=True):
    """A pane. Its first line is the heading; a subclass draws the others (`draw`), and takes pictures.

    kind: which keys of the key table are its own, besides those of its base. LABEL: what its heading says.
    """

    ALLOW_SELECT: ClassVar[bool] = False
    DEFAULT_CSS = """
    Panel { height: 1fr; width: 1fr; background: $background; color: $foreground; }
    """
    LABEL: ClassVar[str] = ""
    kind: ClassVar[str] = ""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._styles_by_role: dict[Role, Style] = {}
        self._note = ""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which keys of the key table it has."""
        return (self.kind,)

    def show(self, picture: "Picture", now_ns: int) -> None:
        """Take what is known now; have drawn again what looks different."""
        raise NotImplementedError

    def draw(self, y: int) -> Strip:
        """The line `y` below the heading, `self.size.width` cells."""
        raise NotImplementedError

    def annotate(self, note: str) -> None:
        """What the heading says after the label."""
        if note != self._note:
            self._note = note
            self.redraw((0,))

    def render_line(self, y: int) -> Strip:
        """The heading, then the lines of the subclass."""
        return self._heading() if y == 0 else self.draw(y - 1)

    def redraw(self, lines: Iterable[int]) -> None:
        """Have these lines of the pane, 0 being the heading, drawn again."""
        width = self.size.width
        regions = [Region(0, first, width, count) for first, count in _runs(lines)]
        if regions:
            self.refresh(*regions)

    def paint(self, role: Role) -> Style:
        """The whole style of a role on this pane's ground."""
        style = self._styles_by_role.get(role)
        if style is None:
            base = self.rich_style
            ours = styles(self.app.theme)
            self._styles_by_role = {name: base + ours[name] for name in ours}
            style = self._styles_by_role[role]
        return style

    def strip(self, pieces: Sequence[tuple[str, Role]], over: Style | None = None) -> Strip:
        """A line of the pane's width of (text, role) pieces; over: a style on top of all of them."""
        width = self.size.width
        segments = []
        for text, role in pieces:
            style = self.paint(role)
            segments.append(Segment(text, style + over if over is not None else style))
        return Strip(segments).adjust_cell_length(width, self.paint(""))

    def notify_style_update(self) -> None:
        """The theme, or the ground, is another: forget what was made of the one before."""
        self._styles_by_role = {}
        super().notify_style_update()

    def on_focus(self) -> None:
        """The heading says which pane has the keys."""
        self.refresh()

    def on_blur(self) -> None:
        """The heading says which pane has the keys."""
        self.refresh()

    def _heading(self) -> Strip:
        width, rule = self.size.width, _HEAVY if self.has_focus else _LIGHT
        label = f"{rule} {self.LABEL} "
        note = f"{self._note} " if self._note else ""
        if len(label) + len(note) > width:
            note = fit(note, max(0, width - len(label)))
        rest = rule * max(0, width - len(label) - len(note))
        return self.strip([(label, "head"), (note, ""), (rest, "head" if self.has_focus else "dim")])


def _runs(lines: Iterable[int]) -> list[tuple[int, int]]:
    """Neighbouring lines as (first, how many)."""
    runs: list[tuple[int, int]] = []
    for line in sorted(lines):
        if runs and sum(runs[-1]) == line:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((line, 1))
    return runs
