"""The screen as a picture in a file."""

from datetime import datetime
from pathlib import Path

from dsttool.engine.vocabulary.errors import Conflict, from_oserror

# As many screens in one second nobody wants.
_TRIES = 100


def write(svg: str, folder: Path, now: datetime) -> Path:
    """Write it to a file of its own in a folder, named for the time; its path. Raises DsttoolError."""
    for number in range(_TRIES):
        more = f"-{number}" if number else ""
        path = folder / f"dsttool-{now:%Y%m%d-%H%M%S}{more}.svg"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(svg)
        except FileExistsError:
            continue
        except OSError as error:
            raise from_oserror(error, f"write {path}") from error
        return path
    raise Conflict(f"There are {_TRIES} screens of this second in {folder}.", "Remove some.")
