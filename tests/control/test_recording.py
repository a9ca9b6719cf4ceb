"""Recordings are read as they were written, as far as they go, and nothing else is taken for one."""

from pathlib import Path
from typing import cast

import pytest

from dsttool.engine.control.picture import Update
from dsttool.engine.control.recording import Reader, Writer
from dsttool.engine.vocabulary import errors
from dsttool.engine.vocabulary.stream import Frame

HELLO = cast(
    Frame,
    {
        "schema": "dsttool.stream/1",
        "type": "hello",
        "sequence": 1,
        "time_ns": 5,
        "daemon": "a",
        "kind": "export",
        "instance": "0123",
        "host": "here",
        "version": "1",
        "pid": 7,
    },
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "r"


def written(file: Path) -> list[Update]:
    updates = [
        Update("local", "a", 1_000, HELLO),
        Update("local", "a", 3_000, None, "it hung up"),
        Update("box", "", 4_000, None, "No route to host."),
    ]
    with Writer(file, began_ns=77, now_ns=1_000) as writer:
        for update in updates:
            writer.add(update)
    assert writer.frames == 1
    assert writer.bytes == file.stat().st_size
    return updates


def test_what_was_written_is_read_with_times_since_the_beginning(file: Path) -> None:
    updates = written(file)
    with Reader(file) as reader:
        assert reader.began_ns == 77
        read = list(reader)
    assert [update.received_ns for update in read] == [0, 2_000, 3_000]
    assert [(u.place, u.daemon, u.frame, u.reason) for u in read] == [
        (u.place, u.daemon, u.frame, u.reason) for u in updates
    ]


def test_a_recording_that_was_cut_off_holds_up_to_there(file: Path) -> None:
    written(file)
    file.write_bytes(file.read_bytes()[:-5])
    with Reader(file) as reader:
        assert len(list(reader)) == 2


def test_a_line_that_is_none_is_named_with_its_number(file: Path) -> None:
    written(file)
    lines = file.read_bytes().splitlines(True)
    for bad in (
        b"nonsense\n",
        b"[]\n",
        b'{"at_ns": "x"}\n',
        lines[1].replace(b'"sequence":1', b'"sequence":""'),
    ):
        file.write_bytes(lines[0] + lines[1] + bad + lines[2])
        with Reader(file) as reader, pytest.raises(errors.UsageError, match="Line 3 of"):
            list(reader)


def test_frames_of_a_later_release_are_passed_over(file: Path) -> None:
    written(file)
    lines = file.read_bytes().splitlines(True)
    file.write_bytes(lines[0] + lines[1].replace(b'"hello"', b'"greeting"') + lines[2])
    with Reader(file) as reader:
        assert [update.frame for update in reader] == [None]


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\n", b'{"schema":"dsttool.recording/2","began_ns":1}\n', b"x" * 99]
)
def test_what_is_no_recording_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(errors.UsageError):
        Reader(file)


def test_a_file_that_exists_is_replaced_only_if_that_is_wanted(file: Path) -> None:
    written(file)
    with pytest.raises(errors.Conflict):
        Writer(file, 1, 1)
    Writer(file, 1, 1, replace=True).close()
    with Reader(file) as reader:
        assert list(reader) == []


def test_a_recording_is_for_its_owner_only(file: Path) -> None:
    written(file)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_medium_that_is_full_is_an_error() -> None:
    with pytest.raises(errors.DsttoolError, match="No space left"):
        Writer(Path("/dev/full"), 1, 1, replace=True)
