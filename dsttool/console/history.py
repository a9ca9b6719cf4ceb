"""What was typed, kept in a file of the user's own; no line that holds a secret or begins with a blank."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from prompt_toolkit.history import History

from dsttool.engine.config import paths

# How invitations and keys begin, as a text.
_SECRETS: Final = ("dsttool-invite-", "dsttool-key-")
# Some ten thousand lines; a longer file is cut to its newer half when it is read.
_BYTES_MAX: Final = 1 << 20


class FileHistory(History):
    """Lines as JSON strings in a file that only its owner can read; without the file they are forgotten."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def load_history_strings(self) -> Iterable[str]:
        """See History: the latest first."""
        return reversed(list(self._lines()))

    def append_string(self, string: str) -> None:
        """See History."""
        if is_kept(string):
            super().append_string(string)

    def store_string(self, string: str) -> None:
        """See History."""
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w") as file:
                os.fchmod(descriptor, 0o600)
                file.write(json.dumps(string) + "\n")
        except OSError:
            pass  # A full disk must not keep anybody from typing.

    def _lines(self) -> Iterator[str]:
        try:
            data = self._path.read_bytes()
            if len(data) > _BYTES_MAX:
                data = data[-_BYTES_MAX // 2 :].partition(b"\n")[2]
                self._path.write_bytes(data)
        except OSError:
            return
        for line in data.splitlines():
            try:
                text = json.loads(line)
            except ValueError:
                continue  # Two consoles wrote at a time, or somebody edited it.
            if isinstance(text, str):
                yield text


def is_kept(line: str) -> bool:
    """Whether a line may be remembered."""
    return not line.startswith((" ", "\t")) and not any(secret in line for secret in _SECRETS)


def history_file() -> Path:
    """Where lines are kept. Makes the folder, if it can."""
    return paths.make_folder(paths.state_dir()) / "console_history"
