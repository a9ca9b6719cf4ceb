"""Columns of dots: braille cells of two by four dots, or ASCII of one column a cell.

A picture is rows of cells, each a number: the braille dots that are set. Heights are counted in dots from
the ground; None is a column where nothing is known and stays empty, 0 is a known nothing and shows one dot.
"""

from collections.abc import Sequence
from typing import Final

DOTS: Final = 4  # to a cell, upwards; and two columns side by side
# The dots of the two columns of a cell, from its ground upwards, growing up; and from its top downwards.
_UP: Final = ((0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08))
_DOWN: Final = tuple(tuple(reversed(column)) for column in _UP)

Heights = Sequence[int | None]
Rows = list[list[int]]


def _filled(columns: Sequence[Sequence[int]], *, sparse: bool) -> list[list[int]]:
    """For each column of a cell the bits of 0 to 4 dots. sparse: a chequerboard, except for the first dot."""
    tables = []
    for x, bits in enumerate(columns):
        steps = [0]
        for y, bit in enumerate(bits):
            steps.append(steps[-1] | (bit if not sparse or (x + y) % 2 == 0 else 0))
        tables.append(steps)
    return tables


_TABLES: Final = {
    (down, sparse): _filled(_DOWN if down else _UP, sparse=sparse)
    for down in (False, True)
    for sparse in (False, True)
}


def bars(heights: Heights, rows: int, *, down: bool = False, sparse: bool = False) -> Rows:
    """A bar for each height, two to a cell; `rows` rows of cells, the upper one first.

    down: they hang from the upper edge. sparse: every other dot, which tells two series apart without colour.
    """
    left, right = _TABLES[down, sparse]
    picture = []
    for row in range(rows):
        base = (row if down else rows - 1 - row) * DOTS
        line = []
        for i in range(0, len(heights) - 1, 2):
            a, b = heights[i], heights[i + 1]
            # max: a known nothing is a dot on the ground.
            a = 0 if a is None else min(DOTS, max(0, max(a, 1) - base))
            b = 0 if b is None else min(DOTS, max(0, max(b, 1) - base))
            line.append(left[a] | right[b])
        picture.append(line)
    return picture


# By how many of the four dots of the higher column are set: half-filled cells show which way they grow.
_ASCII: Final = {
    (False, False): " .:|#",
    (False, True): " ....",
    (True, False): " ':|#",
    (True, True): " ''::",
}


def _characters(down: bool, sparse: bool) -> str:
    """The ASCII character of each of the 256 cells."""
    bits = _DOWN if down else _UP
    tops = (
        max(i + 1 if cell & bit else 0 for column in bits for i, bit in enumerate(column))
        for cell in range(256)
    )
    return "".join(_ASCII[down, sparse][top] for top in tops)


_DRAWN: Final = {key: _characters(*key) for key in _TABLES}
# The character of each cell: of its dots, a blank for none.
BRAILLE: Final = " " + "".join(chr(0x2800 + cell) for cell in range(1, 256))


def ascii_of(*, down: bool = False, sparse: bool = False) -> str:
    """For each cell of such `bars` its character in ASCII, other ones for sparse cells."""
    return _DRAWN[down, sparse]
