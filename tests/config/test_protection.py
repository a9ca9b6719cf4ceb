"""What an address and a listener say about keys, and the security that comes of it."""

from pathlib import Path

import pytest

from dsttool.engine.config import key_files, keys, protection
from dsttool.engine.config.address import parse_address
from dsttool.engine.config.keys import PrivateKey, SharedKey
from dsttool.engine.config.listen import parse_listen
from dsttool.engine.vocabulary.errors import Forbidden, NotFound, UsageError
from dsttool.engine.wire import dst_security
from dsttool.engine.wire.dst_security import Security

SHARED = SharedKey(b"s" * 32)
PRIVATE = PrivateKey(b"p" * 32)
SERVER = keys.format_public(PrivateKey(b"r" * 32).public)


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSTTOOL_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("DSTTOOL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    key_files.create_key(tmp_path / "shared", SHARED)
    key_files.create_key(tmp_path / "private", PRIVATE)


def of_address(text: str) -> Security:
    return protection.of_address(parse_address(text))


def of_listen(text: str) -> tuple[Security, bytes | None]:
    return protection.of_listen(parse_listen(text), admits=lambda _key: False)


@pytest.mark.parametrize("text", ["dst+unix:///a?socket=s", "dst://h/a?security=none"])
def test_without_protection_there_are_no_keys(text: str) -> None:
    assert of_address(text) == dst_security.PLAIN
    assert not key_files.client_key_file().exists()


def test_a_shared_key_is_that_of_the_file() -> None:
    for text in ("dst+unix:///a?socket=s&security=aes256gcm&key=shared", "dst://h/a?key=shared"):
        assert of_address(text) == dst_security.shared("aes256gcm", SHARED.secret)
    security, public = of_listen("dst://h?security=chacha20poly1305&key=shared")
    assert security == dst_security.shared("chacha20poly1305", SHARED.secret)
    assert public is None


def test_a_client_is_the_machine_unless_a_key_file_says_otherwise() -> None:
    expected = keys.parse_public(SERVER)
    own = of_address(f"dst://h/a?server={SERVER}")
    assert own == dst_security.of_client("aes256gcm", key_files.client_identity().secret, expected)
    spelled = of_address(f"dst://h/a?server={SERVER}&key=private")
    assert spelled == dst_security.of_client("aes256gcm", PRIVATE.secret, expected)


def test_a_server_is_the_machine_unless_a_key_file_says_otherwise() -> None:
    _, public = of_listen("dst://h")
    assert public == key_files.server_identity().public
    assert of_listen("dst://h")[1] == public, "it stays the same"
    assert of_listen("dst://h?key=private")[1] == PRIVATE.public


def test_the_address_that_a_listener_gives_is_met_by_its_server() -> None:
    listen = parse_listen("dst+unix:///?socket=/s&security=aes256gcm")
    security, public = protection.of_listen(listen, admits=lambda _key: True)
    assert public is not None
    client = protection.of_address(listen.address("a", server=keys.format_public(public)))
    assert (client.server, client.code) == (public, security.code)


@pytest.mark.parametrize(
    ("text", "complaint", "advice"),
    [
        ("dst://h/a", "does not say with which keys", "dst://h/a?security=none"),
        ("dst://h/a?resends=3", "does not say with which keys", "dst://h/a?resends=3&security=none"),
        ("dst+unix:///a?socket=s&security=aes256gcm", "does not say with which keys", "server="),
        ("dst://h/a?security=none&key=k", "says key=, and security=none uses no keys", "Leave key= out"),
        ("dst://h/a?security=checksum&key=k", "security=checksum uses no keys", "Leave key= out"),
        (f"dst://h/a?security=none&server={SERVER}", "says server=", "Leave server= out"),
        ("nbd://h/a?key=k", "is for dst addresses", "Leave it out"),
    ],
)
def test_an_address_that_contradicts_itself_is_refused_before_any_file_is_read(
    text: str, complaint: str, advice: str
) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        protection.check_address(parse_address(text))
    assert advice in caught.value.advice


def test_a_private_key_needs_to_know_its_server() -> None:
    with pytest.raises(UsageError, match="does not say whom it is for"):
        of_address("dst://h/a?key=private")


def test_a_shared_key_is_not_for_one_server() -> None:
    with pytest.raises(UsageError, match="a shared key and a server's public key"):
        of_address(f"dst://h/a?key=shared&server={SERVER}")


def test_a_key_file_that_is_missing_or_open_to_others_is_refused_on_both_ends() -> None:
    Path("shared").chmod(0o640)
    for name, error in (("missing", NotFound), ("shared", Forbidden)):
        with pytest.raises(error):
            of_address(f"dst://h/a?key={name}")
        with pytest.raises(error):
            of_listen(f"dst://h?key={name}")


def test_no_secret_is_shown() -> None:
    for security in (of_address("dst://h/a?key=shared"), of_listen("dst://h?key=private")[0]):
        assert "ssss" not in repr(security)
        assert "pppp" not in repr(security)
