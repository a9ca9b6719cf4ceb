"""exports/NAME.json: who may write to an export, over restarts of its server."""

import json
from pathlib import Path

import pytest

from dsttool.engine.config import durable, export_state, paths
from dsttool.engine.transaction.grant import Holder
from dsttool.engine.vocabulary.errors import DsttoolError

DISK, OTHER = bytes(range(16)), bytes(16)
HOLDER = Holder("uid 0 array a slot 0", bytes([7]) * 16, 3)


@pytest.fixture(autouse=True)
def _state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSTTOOL_STATE_DIR", str(tmp_path))


def test_an_export_that_nobody_wrote_to_has_no_holder() -> None:
    assert export_state.load("disk", DISK) is None


@pytest.mark.parametrize("released", [False, True])
def test_a_stored_holder_is_loaded_the_same(released: bool) -> None:
    holder = Holder(HOLDER.owner, HOLDER.session, HOLDER.term, released)
    export_state.store("disk", DISK, holder)
    assert export_state.load("disk", DISK) == holder


def test_a_later_holder_replaces_an_earlier_one_and_is_private() -> None:
    export_state.store("disk", DISK, HOLDER)
    later = Holder("nbd", bytes([8]) * 16, 4)
    export_state.store("disk", DISK, later)
    assert export_state.load("disk", DISK) == later
    assert paths.export_state_file("disk").stat().st_mode & 0o777 == 0o600


def test_another_device_under_the_name_begins_anew_and_the_old_one_goes_on_when_it_is_back() -> None:
    export_state.store("disk", DISK, HOLDER)
    assert export_state.load("disk", OTHER) is None
    export_state.store("disk", OTHER, Holder("nbd", bytes(16), 1))
    assert export_state.load("disk", DISK) == HOLDER


def test_exports_have_holders_of_their_own() -> None:
    export_state.store("disk", DISK, HOLDER)
    assert export_state.load("other", DISK) is None


def test_what_is_remembered_under_one_name_is_bounded() -> None:
    for number in range(100):
        export_state.store("disk", number.to_bytes(16, "big"), HOLDER)
    assert export_state.load("disk", (99).to_bytes(16, "big")) == HOLDER
    assert export_state.load("disk", bytes(16)) is None
    assert len(json.loads(paths.export_state_file("disk").read_bytes())["devices"]) == 64


def damaged(**changes: object) -> bytes:
    writer = {"owner": "a b", "session": "00" * 16, "term": 1, "released": False} | changes
    return json.dumps({"version": 1, "devices": {DISK.hex(): writer}}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"version": 1}',
        b'{"version": "1", "devices": {}}',
        b'{"version": 1, "devices": {}, "unknown": 1}',
        b'{"version": 1, "devices": {"12": null}}',
        damaged(term=0),
        damaged(term=-1),
        damaged(term=1.5),
        damaged(session="00"),
        damaged(owner=None),
        damaged(released="no"),
        damaged(unknown=1),
        damaged(owner="x" * (1 << 20)),
    ],
)
def test_content_that_makes_no_sense_is_refused_and_left_alone(content: bytes) -> None:
    path = paths.export_state_file("disk")
    path.parent.mkdir(mode=0o700)
    path.write_bytes(content)
    with pytest.raises(DsttoolError, match=r"disk\.json is damaged") as refused:
        export_state.load("disk", DISK)
    assert "move the file away" in refused.value.advice
    with pytest.raises(DsttoolError, match="is damaged"):
        export_state.store("disk", DISK, HOLDER)
    assert path.read_bytes() == content


def test_a_later_version_is_refused_with_the_release_to_use() -> None:
    path = paths.export_state_file("disk")
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b'{"version": 2, "anything": 1}')
    with pytest.raises(DsttoolError, match="version 2") as refused:
        export_state.load("disk", DISK)
    assert refused.value.advice == "Use the release that wrote it."


def test_a_folder_that_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "write", fails)
    with pytest.raises(DsttoolError, match="No space left on device"):
        export_state.store("disk", DISK, HOLDER)
