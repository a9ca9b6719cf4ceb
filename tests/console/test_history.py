"""What is kept of what was typed."""

import stat
from pathlib import Path

import pytest

from dsttool.console.history import FileHistory, is_kept


def test_lines_come_back_the_latest_first(tmp_path: Path) -> None:
    history = FileHistory(tmp_path / "file")
    for line in ("status", "node \\\nlist", "ü"):
        history.append_string(line)

    assert list(FileHistory(tmp_path / "file").load_history_strings()) == ["ü", "node \\\nlist", "status"]
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "line", [" status", "\tstatus", "x dsttool-invite-v1 dst://a b c", "x dsttool-key-v1 y"]
)
def test_secrets_and_lines_that_begin_with_a_blank_are_not_kept(tmp_path: Path, line: str) -> None:
    history = FileHistory(tmp_path / "file")
    history.append_string(line)

    assert not is_kept(line)
    assert not (tmp_path / "file").exists()
    assert history.get_strings() == []


def test_lines_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b'"a"\n"b\n\xff\n5\n"c"\n')

    assert list(FileHistory(tmp_path / "file").load_history_strings()) == ["c", "a"]


def test_a_long_file_is_cut_to_its_newer_part(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("".join(f'"{number:0100}"\n' for number in range(12_000)))
    kept = list(FileHistory(tmp_path / "file").load_history_strings())

    assert kept[0] == f"{11_999:0100}"
    assert (tmp_path / "file").stat().st_size < 1 << 20
    assert list(FileHistory(tmp_path / "file").load_history_strings()) == kept


def test_where_nothing_can_be_written_nothing_is_kept_and_nothing_fails(tmp_path: Path) -> None:
    history = FileHistory(tmp_path / "nowhere" / "file")
    history.append_string("status")

    assert list(history.load_history_strings()) == []
