"""Key files: made private and whole, and refused when anybody else has access."""

import os
from pathlib import Path

import pytest

from dsttool.engine.config import durable, key_files, paths
from dsttool.engine.config.keys import PrivateKey, SharedKey
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, Forbidden, NotFound, UsageError

SHARED = SharedKey(b"s" * 32)
PRIVATE = PrivateKey(b"p" * 32)


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSTTOOL_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("DSTTOOL_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "k"
    key_files.create_key(path, SHARED)
    return path


def test_a_key_file_is_only_for_its_owner_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        key_files.create_key(tmp_path / "k", SHARED)
    finally:
        os.umask(before)
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    assert key_files.load_key(tmp_path / "k") == SHARED


def test_a_key_file_is_never_replaced(path: Path) -> None:
    with pytest.raises(Conflict, match="exists already"):
        key_files.create_key(path, PRIVATE)
    assert key_files.load_key(path) == SHARED


def test_a_dead_link_in_the_place_of_a_key_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "k").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Conflict):
        key_files.create_key(tmp_path / "k", SHARED)
    assert not (tmp_path / "elsewhere").exists()


def test_nothing_of_a_key_that_could_not_be_stored_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", fail)
    with pytest.raises(DsttoolError, match="No space left"):
        key_files.create_key(tmp_path / "k", SHARED)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o601, 0o620, 0o602, 0o644, 0o777])
def test_a_key_that_others_have_access_to_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(Forbidden, match=f"Other users have access to .* \\(mode {mode:04o}\\)") as caught:
        key_files.load_key(path)
    assert f"chmod 600 {path}" in caught.value.advice


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_key_file_is_accepted(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert key_files.load_key(path) == SHARED


def test_a_key_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(Forbidden, match="belongs to another user"):
        key_files.load_key(path)


def test_what_was_opened_is_checked_and_not_what_the_name_stood_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is exchanged right after it was looked at by name."""
    path.chmod(0o644)
    private = os.stat(path)
    monkeypatch.setattr(os, "stat", lambda *_a, **_k: private)
    monkeypatch.setattr(os, "lstat", lambda *_a, **_k: private)
    with pytest.raises(Forbidden):
        key_files.load_key(path)


def test_a_folder_or_pipe_is_no_key_and_nothing_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    for name in ("pipe", "folder"):
        with pytest.raises(Forbidden, match="not a regular file"):
            key_files.load_key(tmp_path / name)


def test_a_missing_key_is_said_with_the_way_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no key file") as caught:
        key_files.load_key(tmp_path / "k")
    assert "dsttool key generate" in caught.value.advice


def test_a_long_file_is_no_key(path: Path) -> None:
    path.write_bytes(b"x" * 100_000)
    with pytest.raises(UsageError, match="longer than"):
        key_files.load_key(path)


def test_a_key_of_the_other_kind_is_refused(tmp_path: Path, path: Path) -> None:
    key_files.create_key(tmp_path / "p", PRIVATE)
    assert key_files.load_shared(path) == SHARED
    assert key_files.load_private(tmp_path / "p") == PRIVATE
    with pytest.raises(UsageError, match="has a private key, and a shared one"):
        key_files.load_shared(tmp_path / "p")
    with pytest.raises(UsageError, match="has a shared key, and a private one"):
        key_files.load_private(path)


def test_identities_are_made_once_and_stay() -> None:
    client, server = key_files.client_identity(), key_files.server_identity()
    assert client != server
    assert (client, server) == (key_files.client_identity(), key_files.server_identity())
    assert paths.config_dir() / "keys" / "client.key" == key_files.client_key_file()
    assert paths.state_dir() / "server.key" == key_files.server_key_file()
    assert (paths.config_dir() / "keys").stat().st_mode & 0o777 == 0o700
    assert key_files.client_key_file().stat().st_mode & 0o777 == 0o600


def test_two_that_make_the_identity_at_once_get_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def while_another_is_first() -> PrivateKey:
        key_files.create_key(key_files.client_key_file(), PRIVATE)
        return PrivateKey(b"o" * 32)

    monkeypatch.setattr(key_files, "generate_private", while_another_is_first)
    assert key_files.client_identity() == PRIVATE


def test_an_identity_in_a_folder_that_others_may_write_is_refused() -> None:
    folder = key_files.client_key_file().parent
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.raises(Forbidden, match="Other users have access to the folder"):
        key_files.client_identity()
