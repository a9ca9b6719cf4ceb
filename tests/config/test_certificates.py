"""What an nbds address makes of the certificates in its folder, and of the system's."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from dsttool.engine.config import certificates
from dsttool.engine.config.address import parse_address
from dsttool.engine.vocabulary.errors import Forbidden, NotFound, UsageError
from support.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki", "localhost")


def context_of(text: str) -> ssl.SSLContext:
    return certificates.client_context(parse_address(text))


def in_folder(folder: Path) -> str:
    return f"nbds://localhost/x?tls-certificates={folder}"


def test_the_server_must_show_a_certificate_of_the_folders_authority_for_its_host(
    authority: Authority,
) -> None:
    context = context_of(in_folder(authority.folder))

    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nbds://disk.example/x", "disk.example"),
        ("nbds://[fe80::1%25eth0]/x", "fe80::1"),
        ("nbds://10.0.0.1/x?tls-hostname=disk.example", "disk.example"),
        ("nbds+unix:///x?socket=s&tls-hostname=disk.example", "disk.example"),
        ("nbds+unix:///x?socket=s", ""),
    ],
)
def test_the_certificate_must_be_for_the_host_as_written(text: str, name: str) -> None:
    assert certificates.server_name(parse_address(text)) == name


def test_on_a_unix_socket_an_authority_of_ones_own_is_enough(authority: Authority) -> None:
    context = context_of(f"nbds+unix:///x?socket=s&tls-certificates={authority.folder}")

    assert context.verify_mode == ssl.CERT_REQUIRED
    assert not context.check_hostname


def test_on_a_unix_socket_the_systems_authorities_are_not_enough() -> None:
    with pytest.raises(UsageError, match="does not say who the server must be"):
        context_of("nbds+unix:///x?socket=s")


@pytest.mark.parametrize("given", ["file", "folder"])
def test_without_a_folder_those_are_believed_that_the_system_believes(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    own = authority.folder / "ca-cert.pem"
    (tmp_path / "hashed").mkdir()
    (tmp_path / "hashed" / "0123abcd.0").symlink_to(own)
    (tmp_path / "hashed" / "89abcdef.0").write_text("nothing")
    monkeypatch.setenv("SSL_CERT_FILE", str(own if given == "file" else tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "hashed"))

    assert len(context_of("nbds://localhost/x").get_ca_certs()) == 1


def test_a_system_that_believes_nobody_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))

    with pytest.raises(NotFound, match="no list of whom to believe"):
        context_of("nbds://localhost/x")


def test_a_folder_without_any_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"neither a ca-cert.pem nor a client-cert.pem"):
        context_of(in_folder(tmp_path))


def test_a_client_certificate_needs_its_key(authority: Authority) -> None:
    (authority.folder / "client-key.pem").unlink()

    with pytest.raises(NotFound, match=r"no client-key.pem"):
        context_of(in_folder(authority.folder))


def test_a_key_that_others_can_read_is_refused(authority: Authority) -> None:
    (authority.folder / "client-key.pem").chmod(0o640)

    with pytest.raises(Forbidden, match=r"Other users have access to .*client-key.pem"):
        context_of(in_folder(authority.folder))


def test_an_authority_that_others_can_change_is_refused(authority: Authority) -> None:
    (authority.folder / "ca-cert.pem").chmod(0o664)

    with pytest.raises(Forbidden, match=r"Other users may change .*ca-cert.pem"):
        context_of(in_folder(authority.folder))


def test_the_key_of_another_certificate_is_refused(authority: Authority) -> None:
    authority.write_key("client-key.pem", generate_private_key(SECP256R1()))

    with pytest.raises(UsageError, match="are not a certificate and its key: key values mismatch"):
        context_of(in_folder(authority.folder))


def test_nobody_is_asked_for_the_passphrase_of_a_key(authority: Authority) -> None:
    authority.write_key("client-key.pem", generate_private_key(SECP256R1()), b"secret")

    with pytest.raises(UsageError, match="is encrypted, and nobody is there"):
        context_of(in_folder(authority.folder))


@pytest.mark.parametrize("content", [b"", b"not PEM", b"\xff\0", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_an_authority_that_is_no_certificate_is_refused(authority: Authority, content: bytes) -> None:
    (authority.folder / "ca-cert.pem").write_bytes(content)

    with pytest.raises(UsageError, match="no certificates that can be read"):
        context_of(in_folder(authority.folder))


def test_the_key_leaves_no_descriptor_behind(authority: Authority) -> None:
    before = set(Path("/proc/self/fd").iterdir())

    context_of(in_folder(authority.folder))

    assert set(Path("/proc/self/fd").iterdir()) == before


def test_relative_folders_are_taken_from_the_folder_given() -> None:
    address = parse_address("nbds://a/x?tls-certificates=pki").absolute(Path("/etc"))

    assert address.options["tls-certificates"] == "/etc/pki"
