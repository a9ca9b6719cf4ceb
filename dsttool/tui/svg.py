"""The screen as a picture in a file.

Rich's picture fetches its font from the Internet, whoever looks at it, and trusts programs to stretch text as
it says, which not all do. Here nothing is fetched, every character has its place, and dots are drawn.
"""

import html
import re
from datetime import datetime
from pathlib import Path
from typing import Final

from rich.cells import cell_len

from dsttool.engine.vocabulary.errors import Conflict, from_oserror

# As many screens in one second nobody wants.
_TRIES: Final = 100
_FETCHED: Final = re.compile(r"@font-face\s*\{[^}]*\}\s*")
_FONT: Final = "font-family: Fira Code, monospace"
_FONTS: Final = "font-family: 'DejaVu Sans Mono', Menlo, Consolas, monospace"
_TEXT: Final = re.compile(
    r'<text class="(?P<style>[^"]*)" x="(?P<x>[^"]*)" y="(?P<y>[^"]*)" textLength="(?P<length>[^"]*)"'
    r"(?P<more>[^>]*)>(?P<text>[^<]*)</text>"
)
# Words with single blanks between them; what is further apart is placed anew.
_WORDS: Final = re.compile(r"[^ ]+(?: [^ ]+)*")


# A dot of a graph and its side; a line's height, and how far above the base of its letters it begins.
_DOT: Final = 3
_HEIGHT: Final = 24.4
_ABOVE: Final = 18.5
# The bits of a braille character: two columns of four, from above.
_BITS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BRAILLE: Final = re.compile("[\u2801-\u28ff]")


def placed(svg: str) -> str:
    """Rich's picture with a place for every character, and nothing that has to be fetched."""
    return _TEXT.sub(_place, _FETCHED.sub("", svg).replace(_FONT, _FONTS))


def write(svg: str, folder: Path, now: datetime) -> Path:
    """Write it to a file of its own in a folder, named for the time; its path. Raises DsttoolError."""
    for number in range(_TRIES):
        more = f"-{number}" if number else ""
        path = folder / f"dsttool-{now:%Y%m%d-%H%M%S}{more}.svg"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(placed(svg))
        except FileExistsError:
            continue
        except OSError as error:
            raise from_oserror(error, f"write {path}") from error
        return path
    raise Conflict(f"There are {_TRIES} screens of this second in {folder}.", "Remove some.")


def _place(match: re.Match[str]) -> str:
    """The same text, a list of places instead of a length."""
    text = html.unescape(match["text"]).replace("\xa0", " ")
    left, cells = float(match["x"]), cell_len(text)
    if not cells:
        return ""
    width = float(match["length"]) / cells
    parts = []
    dots = _dots(text, left, float(match["y"]) - _ABOVE, width)
    if dots:
        parts.append(f'<path class="{match["style"]}" d="{dots}"/>')
    for words in _WORDS.finditer(_BRAILLE.sub(" ", text)):
        places, at = [], left + width * cell_len(text[: words.start()])
        for character in words[0]:
            places.append(f"{at:.1f}".removesuffix(".0"))
            at += width * cell_len(character)
        said = html.escape(words[0], quote=False).replace(" ", "&#160;")
        parts.append(f'<text class="{match["style"]}" x="{" ".join(places)}" y="{match["y"]}">{said}</text>')
    return "".join(parts)


def _dots(text: str, left: float, top: float, width: float) -> str:
    """The path of all dots of a line of braille; "" without any."""
    path = []
    at_x = at_y = 0
    for index, character in enumerate(text):
        bits = ord(character) - 0x2800 if _BRAILLE.match(character) else 0
        for column, column_bits in enumerate(_BITS):
            for row, bit in enumerate(column_bits):
                if bits & bit:
                    x = round(left + width * (index + 0.25 + column / 2)) - _DOT // 2
                    y = round(top + _HEIGHT * (0.125 + row / 4)) - _DOT // 2
                    path.append(f"m{x - at_x} {y - at_y}h{_DOT}v{_DOT}h-{_DOT}z")
                    at_x, at_y = x, y
    return "".join(path)
