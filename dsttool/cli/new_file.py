"""Files that commands make: whether they can, before anything else is done."""

import os
from pathlib import Path

from dsttool.engine.vocabulary.errors import Forbidden, NotFound


def check_folder(folder: Path) -> None:
    """NotFound or Forbidden if no file can be made in it."""
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder}.", "Make it, or check the path.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Forbidden(f"Files cannot be created in {folder}.", "Run as a user who may, or choose another.")
