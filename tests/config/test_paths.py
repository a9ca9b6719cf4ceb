import os
from pathlib import Path

import pytest

from dsttool.engine.config import durable, paths
from dsttool.engine.vocabulary.errors import Forbidden, UsageError

VARIABLES = (
    "DSTTOOL_CONFIG_DIR",
    "DSTTOOL_RUNTIME_DIR",
    "DSTTOOL_STATE_DIR",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
    "TMPDIR",
)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def _be_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any user but root; who owns a folder is then asked of the system as before."""
    if os.geteuid() == 0:
        real_stat = os.stat

        def stat_as_user(path: str | Path, *, follow_symlinks: bool = True) -> os.stat_result:
            fields = list(real_stat(path, follow_symlinks=follow_symlinks))
            fields[4] = 1000 if fields[4] == 0 else fields[4]
            return os.stat_result(fields)

        monkeypatch.setattr(paths.os, "geteuid", lambda: 1000)
        monkeypatch.setattr(paths.os, "stat", stat_as_user)


def test_root_uses_the_systems_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths.os, "geteuid", lambda: 0)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/0")
    folders = [paths.config_dir(), paths.runtime_dir(), paths.state_dir()]
    assert folders == [Path("/etc/dsttool"), Path("/run/dsttool"), Path("/var/lib/dsttool")]


def test_a_user_has_folders_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _be_a_user(monkeypatch)
    assert paths.config_dir() == tmp_path / "home/.config/dsttool"
    assert paths.state_dir() == tmp_path / "home/.local/state/dsttool"


def test_xdg_variables_move_a_users_folders_unless_relative(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _be_a_user(monkeypatch)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/x/c")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/x/r")
    monkeypatch.setenv("XDG_STATE_HOME", "x/s")
    assert paths.config_dir() == Path("/x/c/dsttool")
    assert paths.runtime_dir() == Path("/x/r/dsttool")
    assert paths.state_dir() == tmp_path / "home/.local/state/dsttool"


@pytest.mark.parametrize("user", [0, 1000])
def test_dsttool_variables_win_for_everybody(monkeypatch: pytest.MonkeyPatch, user: int) -> None:
    monkeypatch.setattr(paths.os, "geteuid", lambda: user)
    for what in ("CONFIG", "RUNTIME", "STATE"):
        monkeypatch.setenv(f"DSTTOOL_{what}_DIR", f"/own/{what}")
    folders = [paths.config_dir(), paths.runtime_dir(), paths.state_dir()]
    assert folders == [Path("/own/CONFIG"), Path("/own/RUNTIME"), Path("/own/STATE")]


def test_a_relative_dsttool_variable_is_made_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DSTTOOL_RUNTIME_DIR", "run")
    assert paths.runtime_dir() == tmp_path / "run"


def test_without_xdg_runtime_dir_a_private_temporary_folder_serves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _be_a_user(monkeypatch)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folder = paths.make_folder(paths.runtime_dir())
    assert folder == tmp_path / f"dsttool-{os.geteuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert paths.runtime_dir() == folder


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_temporary_folder_that_others_can_enter_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int
) -> None:
    _be_a_user(monkeypatch)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folder = tmp_path / f"dsttool-{os.geteuid()}"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(Forbidden, match=f"mode {mode:04o}"):
        paths.runtime_dir()


def test_a_temporary_folder_of_somebody_else_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    stranger = os.geteuid() + 4242
    (tmp_path / f"dsttool-{stranger}").mkdir(mode=0o700)
    monkeypatch.setattr(paths.os, "geteuid", lambda: stranger)
    with pytest.raises(Forbidden, match="belongs to another user"):
        paths.runtime_dir()


def test_a_link_in_the_temporary_directory_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _be_a_user(monkeypatch)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / f"dsttool-{os.geteuid()}").symlink_to("private")
    with pytest.raises(Forbidden, match="is not a folder"):
        paths.runtime_dir()


def test_every_file_of_a_name_has_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for what in ("CONFIG", "RUNTIME", "STATE"):
        monkeypatch.setenv(f"DSTTOOL_{what}_DIR", f"/{what[0]}")
    assert [str(path("pool")) for path in (paths.control_socket, paths.nbd_socket, paths.dst_socket)] == [
        "/R/pool.sock",
        "/R/pool.nbd",
        "/R/pool.dst",
    ]
    assert str(paths.lock_file("pool")) == "/R/pool.lock"
    assert str(paths.log_file("pool")) == "/R/pool.log"
    assert str(paths.array_file("pool")) == "/C/arrays/pool.toml"
    assert str(paths.export_file("pool")) == "/C/exports/pool.toml"
    assert str(paths.state_file("pool")) == "/S/arrays/pool.json"


@pytest.mark.parametrize(
    "place",
    [
        paths.control_socket,
        paths.nbd_socket,
        paths.dst_socket,
        paths.lock_file,
        paths.log_file,
        paths.array_file,
        paths.export_file,
        paths.state_file,
    ],
)
def test_no_name_leads_out_of_its_folder(
    place: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(place)
    monkeypatch.setenv("DSTTOOL_RUNTIME_DIR", "/r")
    with pytest.raises(UsageError, match="cannot be a name"):
        place("../etc/passwd")


def test_a_runtime_folder_too_deep_for_a_socket_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSTTOOL_RUNTIME_DIR", "/" + "d" * 100)
    with pytest.raises(UsageError, match="has 111 bytes, and a Unix socket's may have 107") as caught:
        paths.control_socket("pool")
    assert "DSTTOOL_RUNTIME_DIR" in caught.value.advice


def test_names_are_listed_sorted_without_hidden_and_other_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DSTTOOL_CONFIG_DIR", str(tmp_path))
    for file in ("arrays/y.toml", "arrays/x.toml", "arrays/.z.toml.1", "arrays/.v.toml", "exports/e.toml"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert paths.array_names() == ["x", "y"]
    assert paths.export_names() == ["e"]


def test_nothing_is_listed_where_no_folder_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DSTTOOL_CONFIG_DIR", str(tmp_path / "no"))
    assert paths.array_names() == paths.export_names() == []


def test_a_new_folder_and_its_parents_are_private(tmp_path: Path) -> None:
    folder = paths.make_folder(tmp_path / "a/b")
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [0o700, 0o700]


def test_an_existing_folder_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(Forbidden, match="mode 0777"):
        paths.make_folder(tmp_path)


def test_an_existing_folder_that_others_can_read_is_accepted(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert paths.make_folder(tmp_path) == tmp_path


def test_a_link_to_a_folder_is_accepted_only_where_others_cannot_make_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    assert paths.make_folder(tmp_path / "link") == tmp_path / "link"
    tmp_path.chmod(0o1777)
    with pytest.raises(Forbidden, match="is not a folder"):
        paths.make_folder(tmp_path / "link")


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Forbidden, match="is not a folder"):
        paths.make_folder(tmp_path / "file")


def test_a_durable_file_is_private_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    durable.write(tmp_path / "d/f", b"old", replace=True)
    durable.write(tmp_path / "d/f", b"new", replace=True)
    assert (tmp_path / "d/f").read_bytes() == b"new"
    assert (tmp_path / "d/f").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path / "d") == ["f"]


def test_a_durable_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    durable.write(tmp_path / "f", b"old", replace=False)
    with pytest.raises(FileExistsError):
        durable.write(tmp_path / "f", b"new", replace=False)
    assert (tmp_path / "f").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_a_durable_file_is_synced_before_it_gets_its_name_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "f"
    synced = []

    def fsync(descriptor: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), target.exists()))

    monkeypatch.setattr(durable.os, "fsync", fsync)
    durable.write(target, b"x", replace=True)
    (file, named_before), (folder, named_after) = synced
    assert file.startswith(str(tmp_path / ".f."))
    assert folder == str(tmp_path)
    assert (named_before, named_after) == (False, True)


def test_a_failed_sync_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "f"
    durable.write(target, b"old", replace=True)

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(durable.os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        durable.write(target, b"new", replace=True)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_a_folder_whose_place_may_not_be_looked_at_is_forbidden(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(self: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(self))  # as Path.exists below a folder of others

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(Forbidden, match=r"Cannot create .*/run: Permission denied"):
        paths.make_folder(tmp_path / "run")
