"""Authorised keys: found, changed without losing anything, and refused when the list is not right."""

import os
from pathlib import Path

import pytest

from dsttool.engine.config import authorized, keys
from dsttool.engine.config.authorized import Entry, Permission
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, Forbidden, NotFound, UsageError

A, B, C = (bytes([n]) * 32 for n in (1, 2, 3))


@pytest.fixture(autouse=True)
def _config_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSTTOOL_CONFIG_DIR", str(tmp_path))


def write(text: str) -> Path:
    path = authorized.file()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_without_a_list_nobody_is_authorised() -> None:
    known = authorized.load()
    assert known.permission(A, "a") is Permission.NONE
    assert not known.any_for(["a"])


def test_an_authorised_key_may_use_every_export() -> None:
    authorized.authorize(A)
    known = authorized.load()
    assert known.permission(A, "a") is Permission.READ_WRITE
    assert known.permission(B, "a") is Permission.NONE
    assert known.any_for(["a"])


def test_a_key_may_be_authorised_for_reading_only() -> None:
    authorized.authorize(A, read_only=True)
    assert authorized.load().permission(A, "a") is Permission.READ_ONLY


def test_a_key_may_be_authorised_for_some_exports() -> None:
    authorized.authorize(A, exports=["a", "b"])
    known = authorized.load()
    assert [known.permission(A, name) for name in ("a", "b", "c")] == [
        Permission.READ_WRITE,
        Permission.READ_WRITE,
        Permission.NONE,
    ]
    assert known.any_for(["c", "b"])
    assert not known.any_for(["c"])


def test_the_name_of_an_export_is_stronger_than_all() -> None:
    authorized.authorize(A)
    authorized.authorize(A, exports=["a"], read_only=True)
    known = authorized.load()
    assert known.permission(A, "a") is Permission.READ_ONLY
    assert known.permission(A, "b") is Permission.READ_WRITE


def test_what_is_authorised_last_holds() -> None:
    authorized.authorize(A, exports=["a"], read_only=True, name="laptop")
    entry = authorized.authorize(A, exports=["a"])
    assert entry == Entry(A, "laptop", read_write=frozenset({"a"}))
    assert authorized.load().entries == {A: entry}


def test_a_key_is_found_by_its_name_its_fingerprint_and_itself() -> None:
    authorized.authorize(A, name="laptop")
    authorized.authorize(B)
    known = authorized.load()
    assert known.find("laptop").public == A
    assert known.find(keys.fingerprint(B)).public == B
    assert known.find(keys.format_public(B)).public == B
    with pytest.raises(NotFound) as caught:
        known.find("labtop")
    assert "'laptop'" in caught.value.advice


@pytest.mark.parametrize("called", ["laptop", keys.fingerprint(A), keys.format_public(A)])
def test_a_revoked_key_is_authorised_no_more(called: str) -> None:
    authorized.authorize(A, name="laptop")
    authorized.authorize(B)
    assert authorized.revoke(called).public == A
    assert list(authorized.load().entries) == [B]
    with pytest.raises(NotFound):
        authorized.revoke(called)


def test_the_last_key_can_be_revoked_and_authorised_again() -> None:
    authorized.authorize(A)
    authorized.revoke(keys.format_public(A))
    assert authorized.load().entries == {}
    authorized.authorize(A)
    assert list(authorized.load().entries) == [A]


def test_two_keys_cannot_have_one_name() -> None:
    authorized.authorize(A, name="laptop")
    with pytest.raises(Conflict, match="named 'laptop' already"):
        authorized.authorize(B, name="laptop")
    assert list(authorized.load().entries) == [A]


@pytest.mark.parametrize("name", ["-x", "a b", "a\nb", "dst1-abc"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        authorized.authorize(A, name=name)
    assert not authorized.file().exists()


def test_an_export_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(UsageError):
        authorized.authorize(A, exports=["a/b"])


def test_what_a_person_wrote_stays() -> None:
    comment = "# the machine under the stairs"
    path = write(f'[[keys]]\n{comment}\nkey = "{keys.format_public(A)}"\nread_only = ["*"]  # only backups\n')
    authorized.authorize(B, name="b")
    authorized.authorize(A, exports=["a"])
    authorized.revoke("b")
    text = path.read_text()
    assert comment in text
    assert "# only backups" in text
    assert authorized.load().entries == {A: Entry(A, "", frozenset({"a"}), frozenset({"*"}))}


def test_the_list_is_private() -> None:
    authorized.authorize(A)
    assert authorized.file().stat().st_mode & 0o777 == 0o600


def test_a_list_that_others_may_write_is_refused() -> None:
    path = write("")
    path.chmod(0o620)
    with pytest.raises(Forbidden, match="Other users may change"):
        authorized.load()


def test_a_list_that_others_may_read_is_no_secret() -> None:
    write("").chmod(0o644)
    assert authorized.load().entries == {}


def test_a_list_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("")
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(Forbidden, match="belongs to another user"):
        authorized.load()


PUBLIC, OTHER = keys.format_public(A), keys.format_public(B)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("keys = 1\n", "authorized.toml:1:8: 'keys' must be a list"),
        ("[[keys]]\n", "authorized.toml:1:1: 'key' is missing"),
        ('[[keys]]\nkey = "dst1-a"\n', "authorized.toml:2:7: The public key 'dst1-a' is mistyped"),
        (
            f'[[keys]]\nkey = "{PUBLIC}"\nreadonly = ["a"]\n',
            "unknown key 'readonly'; did you mean 'read_only'?",
        ),
        (
            f'[[keys]]\nkey = "{PUBLIC}"\nread_only = ["a", "b/c"]\n',
            "authorized.toml:3:19: 'b/c' cannot be a name",
        ),
        (
            f'[[keys]]\nkey = "{PUBLIC}"\nread_only = ["a"]\nread_write = ["a"]\n',
            "authorized.toml:3:13: 'a' is both",
        ),
        (
            f'[[keys]]\nkey = "{PUBLIC}"\n\n[[keys]]\nkey = "{PUBLIC}"\n',
            "authorized.toml:5:7: this key is listed twice",
        ),
        (
            f'[[keys]]\nkey = "{PUBLIC}"\nname = "a"\n[[keys]]\nkey = "{OTHER}"\nname = "a"\n',
            "authorized.toml:6:8: two keys are named 'a'",
        ),
    ],
)
def test_a_list_that_is_wrong_is_refused_with_the_line(text: str, complaint: str) -> None:
    write(text)
    with pytest.raises(DsttoolError) as caught:
        authorized.load()
    assert complaint in caught.value.what


def test_a_wrong_list_is_not_written_over() -> None:
    path = write("[[keys]]\nkey = 1\n")
    with pytest.raises(UsageError):
        authorized.authorize(A)
    assert path.read_text() == "[[keys]]\nkey = 1\n"
