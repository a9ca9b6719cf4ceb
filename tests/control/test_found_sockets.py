"""Which daemons are found in a runtime folder."""

import os
from pathlib import Path

import pytest

from dsttool.engine.control.client import sockets
from dsttool.engine.vocabulary.errors import Forbidden


def test_the_sockets_of_a_folder_are_found_by_name_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.sock", "a.sock", "a.lock", "a.log"):
        (tmp_path / name).touch()
    assert sockets(tmp_path) == [tmp_path / "a.sock", tmp_path / "b.sock"]
    assert sockets(tmp_path / "absent") == []


def test_a_folder_that_may_not_be_looked_into_is_not_taken_for_an_empty_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(path: Path) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", refuse)
        with pytest.raises(Forbidden, match="Cannot look into"):
            sockets(tmp_path)
