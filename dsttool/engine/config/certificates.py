"""What TLS needs of an nbds address: whom to believe, and what to show to the server.

    tls-certificates=FOLDER    ca-cert.pem                       who may have signed the server's certificate;
                                                                 without it, whom the system believes
                               client-cert.pem, client-key.pem   shown to a server that asks for them

The names are those of libnbd and nbdkit. The files are read for every connection, so that renewed ones
need no restart. Nobody else may have access to the key, or may change whom to believe.
"""

import os
import re
import ssl
from pathlib import Path
from typing import Final

from dsttool.engine.config.address import Address
from dsttool.engine.config.key_files import ACCESSIBLE_TO_OTHERS, WRITABLE_BY_OTHERS, read_owned
from dsttool.engine.vocabulary.errors import NotFound, UsageError

CA_FILE: Final = "ca-cert.pem"
CERTIFICATE_FILE: Final = "client-cert.pem"
KEY_FILE: Final = "client-key.pem"

# A bundle with all that the world believes in is some 250 KiB.
_FILE_BYTES_MAX: Final = 4 << 20
# How OpenSSL names what it looks up in a folder of authorities (openssl-rehash(1)).
_HASHED: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def server_name(address: Address) -> str:
    """The host that the server's certificate must be for; '' if only who signed it can be checked."""
    assert address.endpoint is not None
    spelled = str(address.options.get("tls-hostname", ""))
    # A scope says by which interface to get there (RFC 4007), not to whom.
    return spelled or address.endpoint.host.partition("%")[0]


def client_context(address: Address) -> ssl.SSLContext:
    """How to meet the server of an nbds address. Reads files.

    NotFound, Forbidden and UsageError for what is wrong with them.
    """
    spelled = str(address.options.get("tls-certificates", ""))
    folder = Path(spelled) if spelled else None
    authorities = _read(folder / CA_FILE, WRITABLE_BY_OTHERS) if folder else None
    certificate = _read(folder / CERTIFICATE_FILE, WRITABLE_BY_OTHERS) if folder else None
    if folder is not None and authorities is None and certificate is None:
        raise NotFound(
            f"There is neither a {CA_FILE} nor a {CERTIFICATE_FILE} in {folder}.",
            "tls-certificates= names the folder with them.",
        )
    name = server_name(address)
    if authorities is None and not name:
        # Any owner of any domain has a certificate that the system believes.
        raise UsageError(
            f"'{address}' does not say who the server must be.",
            f"Add tls-hostname=, or tls-certificates= with a folder that has your own {CA_FILE}.",
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.check_hostname = bool(name)
    if folder is not None and authorities is not None:
        _believe(context, authorities, folder / CA_FILE)
    else:
        _believe_the_system(context)
    if folder is not None and certificate is not None:
        _show(context, certificate, folder)
    return context


def _read(path: Path, forbidden_bits: int) -> bytes | None:
    try:
        return read_owned(path, forbidden_bits, _FILE_BYTES_MAX)
    except FileNotFoundError:
        return None


def _believe(context: ssl.SSLContext, authorities: bytes, path: Path) -> None:
    try:
        context.load_verify_locations(cadata=authorities.decode("ascii", errors="ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise UsageError(f"{path} has no certificates that can be read.", "It must be PEM.") from error


def _believe_the_system(context: ssl.SSLContext) -> None:
    """All at once: OpenSSL itself would look into the folder in the midst of a handshake."""
    places = ssl.get_default_verify_paths()
    files = [places.cafile] if places.cafile else []
    if not files and places.capath:
        files = [entry.path for entry in os.scandir(places.capath) if _HASHED.fullmatch(entry.name)]
    for file in files:
        try:
            context.load_verify_locations(cafile=file)
        except (ssl.SSLError, OSError):
            continue  # what cannot be read is not believed
    if not context.cert_store_stats()["x509_ca"]:
        raise NotFound(
            "This system has no list of whom to believe (certificate authorities).",
            f"Install its package ca-certificates, or give tls-certificates= with your own {CA_FILE}.",
        )


def _show(context: ssl.SSLContext, certificate: bytes, folder: Path) -> None:
    key = _read(folder / KEY_FILE, ACCESSIBLE_TO_OTHERS)
    if key is None:
        raise NotFound(f"There is a {CERTIFICATE_FILE} in {folder}, and no {KEY_FILE}.", "Put it there.")
    # What was checked is what is used: the library reads files only, so it gets one without a name.
    descriptor = os.memfd_create(KEY_FILE, os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(certificate + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_nobody_types)
    except ssl.SSLError as error:
        reason = (error.reason or "they cannot be read").lower().replace("_", " ")
        raise UsageError(
            f"{CERTIFICATE_FILE} and {KEY_FILE} in {folder} are not a certificate and its key: {reason}.",
            "Both must be PEM.",
        ) from error
    finally:
        os.close(descriptor)


def _nobody_types() -> str:
    raise UsageError(
        f"{KEY_FILE} is encrypted, and nobody is there to type its passphrase.",
        "Keep it without one: openssl pkey -in OLD -out NEW.",
    )
