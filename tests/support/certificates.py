"""Certificate authorities for tests, with the file names that nbdkit, libnbd and dsttool expect.

ca-cert.pem                        whom to believe
server-cert.pem, server-key.pem    for the hosts given
client-cert.pem, client-key.pem
"""

import ipaddress
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BEGIN, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2090, 1, 1, tzinfo=UTC)
PAST = datetime(2021, 1, 1, tzinfo=UTC)


class Authority:
    """One that signs certificates, in files in a folder."""

    def __init__(self, folder: Path, *hosts: str, until: datetime = END) -> None:
        folder.mkdir()
        self.folder = folder
        self._key = generate_private_key(SECP256R1())
        self._name = _name(f"Authority {folder.name}")
        own = self._builder(self._name, self._key, END).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self._write("ca-cert.pem", own.sign(self._key, hashes.SHA256()))
        self.sign("server", ExtendedKeyUsageOID.SERVER_AUTH, hosts, until)
        self.sign("client", ExtendedKeyUsageOID.CLIENT_AUTH)

    def sign(
        self, who: str, usage: x509.ObjectIdentifier, hosts: tuple[str, ...] = (), until: datetime = END
    ) -> None:
        """Make the certificate and the key of a server or a client."""
        key = generate_private_key(SECP256R1())
        builder = self._builder(_name(who), key, until)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(h) for h in hosts]), critical=False
            )
        self._write(f"{who}-cert.pem", builder.sign(self._key, hashes.SHA256()))
        self.write_key(f"{who}-key.pem", key)

    def write_key(self, name: str, key: EllipticCurvePrivateKey, passphrase: bytes = b"") -> None:
        """A key file that is private, as it must be."""
        path = self.folder / name
        path.touch(0o600)
        path.write_bytes(
            key.private_bytes(
                Encoding.PEM,
                PrivateFormat.PKCS8,
                BestAvailableEncryption(passphrase) if passphrase else NoEncryption(),
            )
        )

    def _builder(
        self, subject: x509.Name, key: EllipticCurvePrivateKey, until: datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(BEGIN)
            .not_valid_after(until)
        )

    def _write(self, name: str, certificate: x509.Certificate) -> None:
        path = self.folder / name
        path.write_bytes(certificate.public_bytes(Encoding.PEM))
        path.chmod(0o644)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
