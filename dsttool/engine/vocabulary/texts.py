"""Texts from elsewhere, safe to show.

In names of files bytes that are no UTF-8 are lone surrogates in Python (PEP 383). That is no text for
others: many parsers refuse JSON with a lone surrogate in it (RFC 8259, 8.2). What leaves the program has
\\xNN for each such byte; in the name of a device a backslash is doubled, so that every byte of it can be had
back. Addresses need none of it: they are percent-encoded.
"""

import json
import re
from typing import Any, Final

_LONE: Final = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE: Final = "\\ud"


def readable(text: str) -> str:
    """`text` with \\xNN for bytes that are no UTF-8."""
    return text if text.isascii() else _LONE.sub(_escaped, text)


def printable(text: str, kept: str = "") -> str:
    """`text` with "?" for control characters but those `kept`: what a peer said must not steer a terminal."""
    return "".join(c if c.isprintable() or c in kept else "?" for c in text)


def name_of(path: str) -> str:
    """The name of a file, from which every byte of it can be had back."""
    return readable(path.replace("\\", "\\\\"))


def to_json(value: Any, indent: int | None = None) -> str:
    """`value` as JSON in ASCII that every parser takes: compact, or indented."""
    separators = (",", ":") if indent is None else None
    text = json.dumps(value, indent=indent, separators=separators)
    if _SURROGATE_ESCAPE in text:
        text = json.dumps(cleaned(value), indent=indent, separators=separators)
    return text


def cleaned(value: Any) -> Any:
    """What is made of dictionaries, lists and texts, with readable texts and keys."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {cleaned(key): cleaned(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(each) for each in value]
    return value


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
