from pathlib import Path

import msgspec
import pytest

from dsttool.engine.config import durable, paths, state_file
from dsttool.engine.config.state_file import ArrayState
from dsttool.engine.vocabulary.errors import DsttoolError

STATE = ArrayState(
    layout="mirror",
    parameters={"chunk": 65536, "read_policy": "nearest"},
    nodes=("dst://a/d0", "/srv/d1"),
    members=("in_sync", "suspended"),
    clean=False,
    generation=3,
    verifiers=("00112233445566778899aabbccddeeff", None),
    lost=True,
    identities=(None, "ffeeddccbbaa99887766554433221100"),
)


@pytest.fixture(autouse=True)
def _state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSTTOOL_STATE_DIR", str(tmp_path))


def test_an_array_that_never_ran_has_no_state() -> None:
    assert state_file.load("pool") is None


def test_a_stored_state_is_loaded_the_same() -> None:
    state_file.store("pool", STATE)
    assert state_file.load("pool") == STATE


def test_a_later_state_replaces_an_earlier_one_and_is_private() -> None:
    state_file.store("pool", STATE)
    later = msgspec.structs.replace(STATE, clean=True, generation=4)
    state_file.store("pool", later)
    assert state_file.load("pool") == later
    assert paths.state_file("pool").stat().st_mode & 0o777 == 0o600


def test_arrays_have_states_of_their_own() -> None:
    state_file.store("pool", STATE)
    assert state_file.load("other") is None


@pytest.mark.parametrize(
    "damage",
    [
        {"members": ["in_sync"]},
        {"members": ["stale", "stale"]},
        {"members": ["in_sync", "fine"]},
        {"members": None},
        {"generation": -1},
        {"verifiers": [None]},
        {"verifiers": ["0", None]},
        {"identities": [None]},
        {"clean": 1},
        {"unknown": 1},
        {"version": "1"},
    ],
)
def test_a_state_that_makes_no_sense_is_refused(damage: dict[str, object]) -> None:
    state_file.store("pool", STATE)
    path = paths.state_file("pool")
    path.write_bytes(msgspec.json.encode({**msgspec.json.decode(path.read_bytes()), **damage}))
    with pytest.raises(DsttoolError, match=r"'pool' in .*/pool\.json are damaged") as caught:
        state_file.load("pool")
    assert "which members are current" in caught.value.advice


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b"{}", b"\xff\xfe", b"\0" * 100])
def test_content_that_is_no_state_is_refused_and_never_taken_for_none(content: bytes) -> None:
    state_file.store("pool", STATE)
    paths.state_file("pool").write_bytes(content)
    with pytest.raises(DsttoolError, match="are damaged"):
        state_file.load("pool")


def test_every_cut_of_a_state_is_refused() -> None:
    state_file.store("pool", STATE)
    path = paths.state_file("pool")
    content = path.read_bytes().rstrip(b"\n")
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(DsttoolError):
            state_file.load("pool")


def test_a_state_of_the_first_version_is_read_and_knows_no_verifiers() -> None:
    paths.state_file("pool").parent.mkdir(exist_ok=True, parents=True)
    paths.state_file("pool").write_bytes(
        b'{"layout":"mirror","parameters":{},"nodes":["/a","/b"],"members":["in_sync","stale"],'
        b'"clean":true,"generation":7,"version":1}\n'
    )
    state = state_file.load("pool")
    assert state is not None
    assert (state.generation, state.verifiers, state.lost) == (7, (), False)


def test_a_state_of_a_later_version_is_refused_as_such() -> None:
    state_file.store("pool", STATE)
    path = paths.state_file("pool")
    path.write_bytes(path.read_bytes().replace(b'"version":3', b'"version":4,"more":1'))
    with pytest.raises(
        DsttoolError, match="has version 4, and this release of dsttool reads versions up to 3"
    ):
        state_file.load("pool")


def test_a_state_that_cannot_be_stored_is_an_error_and_the_old_one_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state_file.store("pool", STATE)

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", fail)
    with pytest.raises(DsttoolError, match="No space left"):
        state_file.store("pool", msgspec.structs.replace(STATE, generation=4))
    assert state_file.load("pool") == STATE
