"""Whether glyphs can be shown: whether stdout's encoding has them, and the user's locale does not deny them.

    LC_ALL, LC_CTYPE, LANG, the first set     glyphs
    none, or a name without an encoding       yes: containers set nothing, and their terminals have them
    C, POSIX                                  no: somebody asks for ASCII
    an encoding after a dot                   if it is UTF-8

Python itself cannot be asked: in the locale C, or in one that is not installed, it writes UTF-8 all the same,
and says so in LC_CTYPE (PEP 538, PEP 540).
"""

import os
import sys
from collections.abc import Mapping
from typing import Final

# What Python sets LC_CTYPE to by itself.
_COERCED: Final = ("C.UTF-8", "C.utf8", "UTF-8")


def shows(glyph: str) -> bool:
    """Whether stdout's encoding and the user's locale have the glyph; "" is none."""
    try:
        glyph.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return bool(glyph) and unicode_wanted(os.environ, replaced=bool(sys.flags.utf8_mode))


def unicode_wanted(environ: Mapping[str, str], *, replaced: bool) -> bool:
    """Whether the locale of an environment has more than ASCII. replaced: Python runs in another one."""
    named = [environ.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG")]
    if replaced and named[1] in _COERCED:
        named[1] = ""
    name, _, encoding = next(filter(None, named), "").partition(".")
    encoding = encoding.partition("@")[0].replace("-", "").lower()
    return encoding == "utf8" if encoding else name not in ("C", "POSIX")
