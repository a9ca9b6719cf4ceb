"""Security: what protects one end's links, as both ends are configured with it. A value; pure.

    name               prefaces say     what it does
    none               0                nothing: for Unix sockets and networks one trusts
    checksum           1                finds accidents, not people: CRC-32C or BLAKE3 of each record
    aes256gcm          2, or 4          Noise handshake, then AES-256-GCM for each record
    chacha20poly1305   3, or 5          the same with ChaCha20-Poly1305

    2, 3   identities, Noise_IKpsk2_25519_…_SHA256: each end has a key pair, the client knows the
           server's public key and the server decides which clients' keys it admits
    4, 5   one shared key, Noise_NNpsk0_25519_…_SHA256: for scripts

An end uses exactly what it is configured with, and nothing below it: there is no fallback. Make values with
`checksummed`, `shared`, `of_client` and `of_server`; PLAIN is the one without any protection. Keys are 32 raw
bytes. They are in no repr.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Final

from dsttool.engine.vocabulary.errors import UsageError
from dsttool.engine.wire.dst_preface import NONE
from dsttool.engine.wire.noise_cipher import KEY_BYTES

CHECKSUM: Final = 1
_CIPHERS: Final = {"aes256gcm": "AESGCM", "chacha20poly1305": "ChaChaPoly"}
_IDENTITIES: Final = {"aes256gcm": 2, "chacha20poly1305": 3}
_SHARED: Final = {"aes256gcm": 4, "chacha20poly1305": 5}
NAMES: Final = ("none", "checksum", *_CIPHERS)

# Fastest first, which is the order of preference. Their bits are those of the preface's byte 7.
CHECKSUMS: Final = {"crc32c": 1, "blake3": 2}
# What an invitation's id may be as the payload of a first message.
INVITATION_BYTES_MAX: Final = 64


def no_invitation(_invitation: bytes) -> bytes | None:
    """For servers that have invited nobody."""
    return None


@dataclass(frozen=True, slots=True)
class Security:
    """One end's configuration. See above for how to make one; fields that a mode does not use are empty.

    name: as in addresses and in the status. code: what the prefaces say. cipher: Noise's name of it.
    checksums: those this end can use, in its order. psk: the shared key; of a client with an invitation,
    the invitation's. static: this end's private key. server: the server's public key, which a client expects.
    invitation: the id that a client shows with its first message. admits: whether a server lets a client's
    public key in; it may be asked for replayed messages too, so it must change nothing. psk_for: the key of
    the invitation with that id, None if there is none; must change nothing either: an invitation is used up
    when its client's hello has come, not before.
    """

    name: str = "none"
    code: int = NONE
    cipher: str = ""
    checksums: tuple[str, ...] = ()
    psk: bytes | None = field(default=None, repr=False)
    static: bytes | None = field(default=None, repr=False)
    server: bytes | None = None
    invitation: bytes = b""
    admits: Callable[[bytes], bool] | None = field(default=None, repr=False)
    psk_for: Callable[[bytes], bytes | None] = field(default=no_invitation, repr=False)

    @property
    def sealed(self) -> bool:
        """Whether records are sealed, and a Noise handshake comes first."""
        return bool(self.cipher)

    @property
    def protocol(self) -> str:
        """The Noise protocol's name; only if sealed."""
        pattern = "IKpsk2" if self.static is not None else "NNpsk0"
        return f"Noise_{pattern}_25519_{self.cipher}_SHA256"

    @property
    def touches_payloads(self) -> bool:
        """Whether our own code reads what is sent: never hand it a mapping, whose medium may fail."""
        return self.code != NONE

    @property
    def checksum_bits(self) -> int:
        """The checksums it can use, as the client's preface offers them."""
        return sum(CHECKSUMS[name] for name in self.checksums)


PLAIN: Final = Security()


def checksummed(checksums: tuple[str, ...] | None = None) -> Security:
    """Checksums on every record; of those given, or installed, the server chooses.

    UsageError if no package for any is installed.
    """
    usable = tuple(name for name in checksums or CHECKSUMS if find_spec(name))
    if not usable:
        raise UsageError(
            "security=checksum needs the Python package crc32c or blake3, and neither is installed.",
            "Install one of them, or use aes256gcm.",
        )
    return Security("checksum", CHECKSUM, checksums=usable)


def shared(name: str, key: bytes) -> Security:
    """Either end, with one key that both have. UsageError for a name that does not seal, or a bad key."""
    return Security(name, _code(name, _SHARED), _CIPHERS[name], psk=_key(key))


def of_client(
    name: str, private: bytes, server: bytes, *, invitation: bytes = b"", invitation_key: bytes | None = None
) -> Security:
    """A client with a private key, of a server whose public key it knows.

    With an invitation: its id (at most INVITATION_BYTES_MAX bytes) and its one-time key. UsageError for a
    name that does not seal, or a bad key.
    """
    if bool(invitation) != (invitation_key is not None) or len(invitation) > INVITATION_BYTES_MAX:
        raise UsageError("The invitation is damaged.", "Ask for a new one.")
    return Security(
        name,
        _code(name, _IDENTITIES),
        _CIPHERS[name],
        psk=_key(invitation_key or bytes(KEY_BYTES)),
        static=_key(private),
        server=_key(server),
        invitation=invitation,
    )


def of_server(
    name: str,
    private: bytes,
    admits: Callable[[bytes], bool],
    psk_for: Callable[[bytes], bytes | None] = no_invitation,
) -> Security:
    """A server with a private key. `admits` and `psk_for` as in Security; they must not block.

    UsageError for a name that does not seal, or a bad key.
    """
    return Security(
        name,
        _code(name, _IDENTITIES),
        _CIPHERS[name],
        psk=bytes(KEY_BYTES),
        static=_key(private),
        admits=admits,
        psk_for=psk_for,
    )


def _code(name: str, codes: dict[str, int]) -> int:
    if name not in codes:
        raise UsageError(f"security={name} uses no keys.", f"Use {' or '.join(codes)}.")
    return codes[name]


def _key(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise UsageError(f"A key has {KEY_BYTES} bytes, and this one has {len(key)}.", "Make a new one.")
    return key
