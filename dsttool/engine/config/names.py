"""Names of arrays, exports and nodes."""

import re
from typing import Final

from dsttool.engine.vocabulary.errors import UsageError

# Names become file names in three folders (NAME.sock must also fit a socket address), prompts and
# arguments: hence no '/', no blank, and no leading '.' (hidden) or '-' (an option).
NAME_MAX: Final = 64
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)


def is_name(text: str) -> bool:
    """Whether an array, export or node may have this name."""
    return len(text) <= NAME_MAX and _NAME.fullmatch(text) is not None


def check_name(text: str) -> str:
    """Return `text` if it may be a name. UsageError otherwise."""
    if is_name(text):
        return text
    if len(text) > NAME_MAX:
        raise UsageError(
            f"The name '{text[:16]}…' has {len(text)} characters.", f"Use at most {NAME_MAX} characters."
        )
    raise UsageError(
        f"{text!r} cannot be a name.",
        f"Use letters, digits, '-', '_' and '.', at most {NAME_MAX}, not beginning with '.' or '-'.",
    )
