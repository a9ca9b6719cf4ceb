"""How states look: a glyph, a word and a colour, never a colour alone; and the themes.

The colours are those of Okabe and Ito, which people with any colour vision tell apart, darker on a light
ground; an ansi theme leaves them to the terminal. NO_COLOR leaves only what the terminal calls default,
and ASCII replaces every other character, whoever drew it, last of all.
"""

from typing import Final, Literal

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter
from textual.theme import BUILTIN_THEMES, Theme

Role = Literal["", "good", "busy", "warn", "bad", "off", "dim", "head", "strong", "read", "write"]
Cell = str | tuple[str, Role]

UNKNOWN: Final = "–"  # noqa: RUF001
_GLYPHS: Final[dict[Role, str]] = {"good": "●", "busy": "↻", "warn": "▲", "bad": "✖", "off": "○"}
_STATES: Final[dict[str, Role]] = {
    **dict.fromkeys(("online", "in_sync", "up", "serving", "read_only", "done"), "good"),
    **dict.fromkeys(("connecting", "handshake", "resyncing", "rebuilding", "waiting"), "busy"),
    **dict.fromkeys(("queued", "in_flight", "held", "running"), "busy"),
    **dict.fromkeys(("degraded", "stale", "suspended", "stopping", "paused", "resend", "lost"), "warn"),
    **dict.fromkeys(("failed", "missing", "faulty", "frozen", "fenced", "exhausted", "unreachable"), "bad"),
    "down": "off",
}
_LEVELS: Final[dict[str, Role]] = {"info": "", "warning": "warn", "error": "bad"}


def state(word: str, note: str = "") -> Cell:
    """A state as its glyph and word, in capitals, and what goes with it ("41%")."""
    role = _STATES.get(word, "")
    text = word.replace("_", " ").upper()
    glyph = _GLYPHS.get(role, "?")
    return (f"{glyph} {text} {note}" if note else f"{glyph} {text}", role)


def role_of(word: str) -> Role:
    """The role of a state's word; "" for an unknown one."""
    return _STATES.get(word, "")


def glyph_of(word: str) -> str:
    """The glyph of a state's word."""
    return _GLYPHS.get(_STATES.get(word, ""), "?")


def level_role(level: str) -> Role:
    """The role of an event's level."""
    return _LEVELS.get(level, "")


_ATTRIBUTES: Final[dict[Role, Style]] = {
    "": Style(),
    "dim": Style(dim=True),
    "head": Style(bold=True),
    "strong": Style(bold=True),
    "off": Style(dim=True),
}
_PALETTES: Final[dict[str, dict[Role, str]]] = {
    "dst-dark": {
        "good": "#009e73",
        "busy": "#56b4e9",
        "warn": "#e69f00",
        "bad": "#d55e00",
        "read": "#56b4e9",
        "write": "#cc79a7",
    },
    "dst-light": {
        "good": "#00704f",
        "busy": "#0060a0",
        "warn": "#8a5a00",
        "bad": "#a83c00",
        "read": "#0060a0",
        "write": "#8f3f6f",
    },
    "ansi-dark": {
        "good": "green",
        "busy": "cyan",
        "warn": "yellow",
        "bad": "red",
        "read": "cyan",
        "write": "magenta",
    },
    "ansi-light": {
        "good": "green",
        "busy": "blue",
        "warn": "magenta",
        "bad": "red",
        "read": "blue",
        "write": "red",
    },
}
_OURS: Final = (
    Theme(
        "dst-dark",
        primary="#56b4e9",
        secondary="#0072b2",
        warning="#e69f00",
        error="#d55e00",
        success="#009e73",
        accent="#cc79a7",
        foreground="#e4e4e4",
        background="#101418",
        surface="#161b20",
        panel="#20272e",
    ),
    Theme(
        "dst-light",
        primary="#0060a0",
        secondary="#0072b2",
        warning="#8a5a00",
        error="#a83c00",
        success="#00704f",
        accent="#8f3f6f",
        foreground="#101418",
        background="#fafafa",
        surface="#f2f2f2",
        panel="#e4e7ea",
        dark=False,
    ),
)
# In the order in which the key for themes goes through them.
THEMES: Final = {theme.name: theme for theme in _OURS} | {
    name: BUILTIN_THEMES[name] for name in ("ansi-dark", "ansi-light")
}


def styles(theme: str) -> dict[Role, Style]:
    """The style of every role in a theme."""
    colours = _PALETTES.get(theme, _PALETTES["dst-dark"])
    return _ATTRIBUTES | {role: Style(color=colour) for role, colour in colours.items()}


_ASCII: Final = str.maketrans(
    "●↻▲✖○–—…·•▾▸›‹→←↑↓µ×─━│┃┌┐└┘├┤╭╮╰╯┏┓┗┛┬┴┼█▉▊▋▌▍▎▏▕▁▂▃▄▅▆▇▔▐░▒▓",  # noqa: RUF001
    "*~!xo--~.*-+><><^vux-=||+++++++++++++++++#####::||___==##-#.:#",
)


def to_ascii(text: str) -> str:
    """The text in ASCII, as many cells wide: a table for our own glyphs, "?" for the rest."""
    if text.isascii():
        return text
    from rich.cells import cell_len

    known = text.translate(_ASCII)
    return "".join(c if c.isascii() else "?" * cell_len(c) for c in known)


class Ascii(LineFilter):
    """The last to touch a line: nothing but ASCII leaves it."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments in ASCII."""
        return [Segment(to_ascii(text), style, control) for text, style, control in segments]
