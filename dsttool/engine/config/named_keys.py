"""Names for key files: what `key=` in an address or a listener means, a named key or a path.

The names are in dsttool.toml, which is only read where a word could be one: reading addresses stays cheap.
"""

from collections.abc import Mapping
from pathlib import Path


def is_key_name(text: str) -> bool:
    """Whether it is the name of one of the machine's keys. ConfigError if dsttool.toml is wrong."""
    return text in _named(text)


def key_file(text: str) -> Path:
    """The file that is meant: that of a named key, or the path it is. ConfigError as above."""
    return _named(text).get(text) or Path(text)


def _named(text: str) -> Mapping[str, Path]:
    if "/" in text:
        return {}
    from dsttool.engine.config.machine_file import load_machine  # it loads what reads TOML

    return load_machine().keys
