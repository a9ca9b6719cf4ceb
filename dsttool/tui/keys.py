"""Every key, in one table: the bindings, the help screen and the manual page are made from it.

No single key changes anything that runs: what does opens a dialog first, whose focus is on Cancel.
This module imports no part of a screen, so that the manual page can be made without one.
"""

from textwrap import wrap
from typing import Final, Literal, NamedTuple

Group = Literal["Move", "Look", "Act", "Replay", "Leave"]


# What kept lines of a manual page may take of a terminal of 80 columns.
_TEXT_WIDTH: Final = 70


class Key(NamedTuple):
    """keys: Textual's names, comma-separated; shown: as people read them; action: of the app, unless `pane`
    names the kind of panel that has it; brief: for the footer, in the order of the table, "" for none.
    """

    keys: str
    shown: str
    action: str
    what: str
    group: Group
    brief: str = ""
    pane: str = ""


TABLE: Final = (
    Key("up,k", "Up k", "move(-1)", "One row up.", "Move", pane="table"),
    Key("down,j", "Down j", "move(1)", "One row down.", "Move", pane="table"),
    Key("pageup,ctrl+b,ctrl+u", "PgUp ^B ^U", "page(-1)", "One page up.", "Move", pane="table"),
    Key("pagedown,ctrl+f,ctrl+d", "PgDn ^F ^D", "page(1)", "One page down.", "Move", pane="table"),
    Key("home,g", "Home g", "jump(0)", "To the first row.", "Move", pane="table"),
    Key("end,G", "End G", "jump(-1)", "To the last row.", "Move", pane="table"),
    Key("left,h", "Left h", "fold(True)", "Fold what is below the row, or go to what it is part of.", "Move",
        pane="tree"),
    Key("right,l", "Right l", "fold(False)", "Unfold what is below the row.", "Move", pane="tree"),
    Key("tab", "Tab", "next_pane(1)", "To the next pane.", "Move", "pane"),
    Key("shift+tab", "Shift-Tab", "next_pane(-1)", "To the pane before.", "Move"),
    Key("enter", "Enter", "drill", "Everything about the row.", "Look", "open"),
    Key("escape", "Esc", "back", "Back, or forget the filter.", "Look"),
    Key("slash", "/", "filter", "Filter transactions, for example: state:resend node:n3 age>1s.", "Look",
        "filter"),
    Key("s", "s", "sort", "Sort by the next column.", "Look"),
    Key("p", "p", "pause", "Freeze the screen, or show what is now.", "Look", "pause"),
    Key("plus,equals_sign", "+", "zoom(1)", "Graphs of a shorter time.", "Look"),
    Key("minus", "-", "zoom(-1)", "Graphs of a longer time.", "Look"),
    Key("u", "u", "unit", "Bytes a second, or requests a second.", "Look", "unit", pane="graphs"),
    Key("exclamation_mark", "!", "events", "All events, on the whole screen.", "Look", "events"),
    Key("L", "L", "level", "Only warnings and errors, only errors, or all.", "Look", "level", pane="events"),
    Key("question_mark", "?", "help", "The keys and columns of the focused pane.", "Look", "help"),
    Key("a", "a", "act", "Actions on the row; each asks before anything is done.", "Act", "act"),
    Key("colon", ":", "command", "Run a command, as after `dsttool`.", "Act"),
    Key("ctrl+p", "^P", "command_palette", "Find an object, an action or a key by name.", "Look"),
    Key("E", "E", "export_svg", "Write the screen to an SVG file in the current folder.", "Look"),
    Key("t", "t", "theme", "The next theme.", "Look"),
    Key("space", "Space", "play", "Stop the recording, or let it go on.", "Replay", "stop", pane="replay"),
    Key("full_stop", ".", "step(1)", "The next moment of the recording.", "Replay", "next", pane="replay"),
    Key("comma", ",", "step(-1)", "The moment before.", "Replay", "before", pane="replay"),
    Key("ctrl+z", "^Z", "suspend", "Stop the screen for the shell; `fg` brings it back.", "Leave"),
    Key("q,ctrl+c,ctrl+q", "q ^C", "quit", "Leave; what runs goes on.", "Leave", "quit"),
)  # fmt: skip


def of(*panes: str) -> list[Key]:
    """The keys of some kinds of panels, in the order of the table; "" is those that work everywhere."""
    return [key for key in TABLE if key.pane in panes]


def lines(*panes: str) -> list[tuple[str, str]]:
    """What keys do, for people: (keys, sentence)."""
    return [(key.shown, key.what) for key in of(*panes)]


def listed() -> str:
    """Every key and what it does, a line each, for a page of text."""
    panes = {"replay": "recording", "tree": "storage"}
    named = [(key.shown, key.what, panes.get(key.pane, key.pane)) for key in TABLE]
    widest = max(len(shown) for shown, _, _ in named)
    lines: list[str] = []
    for shown, what, pane in named:
        text = what + (f" ({pane})" if pane not in ("", "table") else "")
        first, *more = wrap(text, _TEXT_WIDTH - widest - 2)
        lines.append(f"{shown:<{widest}}  {first}")
        lines += [" " * (widest + 2) + line for line in more]
    return "\n".join(lines)


def bindings(*panes: str) -> list[tuple[str, str, str]]:
    """The keys of some kinds of panels as Textual wants them."""
    return [(key.keys, key.action, key.what) for key in of(*panes)]
