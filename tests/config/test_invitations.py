"""Invitations: one key comes in by each, and only in time."""

import stat
from pathlib import Path

import pytest

from dsttool.engine.config import authorized, durable, invitations, keys, paths
from dsttool.engine.config.address import parse_address
from dsttool.engine.config.authorized import Permission
from dsttool.engine.config.invitations import Invitation, Invite
from dsttool.engine.vocabulary.errors import DsttoolError, Forbidden, UsageError

A, B = b"a" * 32, b"b" * 32
INVITE = Invite(parse_address(f"dst://h/a?server={keys.format_public(A)}"), b"i" * 16, b"k" * 32)


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSTTOOL_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("DSTTOOL_STATE_DIR", str(tmp_path / "state"))


def invite(*, read_only: bool = False, lifetime_ns: int = invitations.LIFETIME_NS) -> Invitation:
    return invitations.create(["a"], read_only=read_only, lifetime_ns=lifetime_ns)


def file_of(invitation: Invitation) -> Path:
    return paths.state_dir() / "invitations" / f"{invitation.name}.json"


def test_an_invitation_is_remembered_privately() -> None:
    invitation = invite()
    assert invitations.load(invitation.name) == invitation
    assert stat.S_IMODE(file_of(invitation).stat().st_mode) == 0o600
    assert stat.S_IMODE(file_of(invitation).parent.stat().st_mode) == 0o700


def test_invitations_differ() -> None:
    one, other = invite(), invite()
    assert one.id != other.id
    assert one.key != other.key


def test_a_server_knows_the_invitations_to_its_exports() -> None:
    invitation = invite()
    invitations.create(["b"], read_only=False)
    assert invitations.to_exports(["a", "c"]) == {invitation.id: invitation}


def test_an_invited_key_is_authorised_for_what_it_was_invited_to() -> None:
    known = authorized.redeem(A, invite(read_only=True).name)
    assert known == authorized.load()
    assert known.permission(A, "a") is Permission.READ_ONLY
    assert known.permission(A, "b") is Permission.NONE
    assert authorized.redeem(B, invite().name).permission(B, "a") is Permission.READ_WRITE


def test_an_invitation_is_for_one_key_which_may_come_again() -> None:
    invitation = invite()
    first = authorized.redeem(A, invitation.name)
    assert authorized.redeem(A, invitation.name) == first
    with pytest.raises(Forbidden, match="used by another key"):
        authorized.redeem(B, invitation.name)
    assert authorized.load().permission(B, "a") is Permission.NONE


def test_a_key_that_came_by_two_invitations_has_used_up_both() -> None:
    one, other = invite(), invite()
    authorized.redeem(A, one.name)
    authorized.redeem(A, other.name)
    for invitation in (one, other):
        with pytest.raises(Forbidden, match="used by another key"):
            authorized.redeem(B, invitation.name)


def test_an_invitation_ends_with_its_time_and_its_file_goes() -> None:
    invitation = invite(lifetime_ns=1)
    assert invitations.load(invitation.name) is None
    with pytest.raises(Forbidden, match="expired"):
        authorized.redeem(A, invitation.name)
    assert invitations.load_all() == []
    assert not file_of(invitation).exists()
    assert authorized.load().entries == {}


def test_a_revoked_key_does_not_come_back_by_its_invitation() -> None:
    invitation = invite()
    authorized.redeem(A, invitation.name)
    authorized.revoke(keys.format_public(A))
    for key in (A, B):
        with pytest.raises(Forbidden, match="withdrawn"):
            authorized.redeem(key, invitation.name)


def test_what_an_administrator_changed_is_not_changed_back_by_coming_again() -> None:
    invitation = invite()
    authorized.redeem(A, invitation.name)
    authorized.authorize(A, exports=["a"], read_only=True)
    assert authorized.redeem(A, invitation.name).permission(A, "a") is Permission.READ_ONLY


class CrashError(BaseException):
    pass


def crash(*_arguments: object) -> None:
    raise CrashError


@pytest.mark.parametrize(
    ("owner", "call"), [(durable.os, "fsync"), (durable.os, "rename"), (durable, "sync_folder")]
)
def test_authorising_and_using_up_are_one_step_whenever_it_crashes(owner: object, call: str) -> None:
    """Nobody came in and the invitation holds, or the one key did and it is used up."""
    invitation = invite()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, call, crash)
        with pytest.raises(CrashError):
            authorized.redeem(A, invitation.name)
    if authorized.load().permission(A, "a") is Permission.NONE:
        assert authorized.redeem(B, invitation.name).permission(B, "a") is Permission.READ_WRITE
    else:
        with pytest.raises(Forbidden, match="used by another key"):
            authorized.redeem(B, invitation.name)


def test_a_revocation_that_crashes_does_not_leave_a_way_back() -> None:
    invitation = invite()
    authorized.redeem(A, invitation.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable.os, "rename", crash)
        with pytest.raises(CrashError):
            authorized.revoke(keys.format_public(A))
    authorized.revoke(keys.format_public(A))
    with pytest.raises(Forbidden, match="withdrawn"):
        authorized.redeem(A, invitation.name)


def test_an_invitation_that_others_can_read_is_refused() -> None:
    invitation = invite()
    file_of(invitation).chmod(0o644)
    with pytest.raises(Forbidden, match="Other users have access"):
        authorized.redeem(A, invitation.name)


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b'{"key":""}', b'{"version":2}'])
def test_a_damaged_invitation_is_refused(content: bytes) -> None:
    invitation = invite()
    file_of(invitation).write_bytes(content)
    with pytest.raises(DsttoolError, match="damaged"):
        authorized.redeem(A, invitation.name)


def test_an_invitation_is_one_line_that_is_read_as_it_was_written() -> None:
    line = invitations.format_invite(INVITE)
    assert "\n" not in line
    assert line.startswith(f"dsttool-invite-v1 dst://h/a?server={keys.format_public(A)} ")
    assert invitations.parse_invites(f"\n{line}\n\n{line}\n") == [INVITE, INVITE]


LINE = invitations.format_invite(INVITE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "dst://h/a",
        LINE[:-1],
        LINE[:-2] + "!",
        LINE + " more",
        LINE.replace("-v1", "-v2"),
        LINE.replace("server=", "name="),
        LINE.replace("dst://", "nbd://"),
    ],
)
def test_what_is_no_invitation_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        invitations.parse_invites(text)
    assert LINE.split()[3][:20] not in str(caught.value)


def test_no_secret_is_shown() -> None:
    invitation = invite()
    for shown in (repr(INVITE), repr(invitation)):
        assert "kkkk" not in shown
        assert repr(invitation.key)[2:-1] not in shown
