"""Keys as texts: what is in a key file, and what people pass on to each other.

    dsttool-key-v1 private BASE64     a machine's own half of a key pair (X25519); stays where it is
    dsttool-key-v1 shared BASE64      one key that both ends have (scripts); stays secret, too
    dst1-BASE32                       the public half: 32 bytes of key and 4 of checksum, no secret
    abcde-fghij-klmno-pqrst           a fingerprint: short enough to compare by eye, no secret

A key file is one line of text. Base 64 is RFC 4648's with padding; base 32 is RFC 4648's in lower case,
without padding. The checksum finds what was mistyped or cut off: it is the beginning of the SHA-256 of
the key under a name of its own, as is the fingerprint, whose 100 bits nobody can aim at.

Secrets are in no repr and in no error.
"""

import base64
import binascii
import os
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from dsttool.engine.vocabulary.errors import UsageError

KEY_BYTES: Final = 32
# A key file is some 70 bytes; a longer one is something else.
FILE_BYTES_MAX: Final = 256

_FILE_WORD: Final = "dsttool-key-v1"
_PUBLIC_PREFIX: Final = "dst1-"
_CHECKSUM_BYTES: Final = 4
_FINGERPRINT_GROUPS: Final = 4
_GROUP_LETTERS: Final = 5


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key pair, by its private half (32 bytes)."""

    secret: bytes = field(repr=False)

    @property
    def public(self) -> bytes:
        """The public half, 32 bytes."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # slow to load

        return X25519PrivateKey.from_private_bytes(self.secret).public_key().public_bytes_raw()


@dataclass(frozen=True, slots=True)
class SharedKey:
    """A key that both ends have (32 bytes)."""

    secret: bytes = field(repr=False)


Key = PrivateKey | SharedKey


def generate_private() -> PrivateKey:
    """A new key pair."""
    return PrivateKey(os.urandom(KEY_BYTES))


def generate_shared() -> SharedKey:
    """A new shared key."""
    return SharedKey(os.urandom(KEY_BYTES))


def format_key(key: Key) -> str:
    """The content of a key file."""
    kind = "private" if isinstance(key, PrivateKey) else "shared"
    return f"{_FILE_WORD} {kind} {base64.b64encode(key.secret).decode()}\n"


def parse_key(content: bytes, place: str) -> Key:
    """Read the content of a key file. UsageError, which says nothing of the content, otherwise."""
    words = content.decode("ascii", errors="replace").split()
    if len(content) > FILE_BYTES_MAX or not words or not words[0].startswith("dsttool-key-"):
        raise UsageError(f"{place} is not a key file.", f"Make one with: dsttool key generate {place}")
    if words[0] != _FILE_WORD:
        raise UsageError(
            f"{place} has a key of another version than this release reads.", "Use the release that wrote it."
        )
    kind = words[1] if len(words) == 3 else ""
    try:
        secret = base64.b64decode(words[-1], validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if kind not in ("private", "shared") or len(secret) != KEY_BYTES:
        raise UsageError(f"The key in {place} is damaged.", "Restore it, or make a new one.")
    return PrivateKey(secret) if kind == "private" else SharedKey(secret)


def format_public(public: bytes) -> str:
    """A public key as people pass it on."""
    return _PUBLIC_PREFIX + _base32(public + _checksum(public))


def parse_public(text: str) -> bytes:
    """The 32 bytes of a public key. UsageError if it is none, or was mistyped."""
    word = text.strip().lower()
    if not word.startswith(_PUBLIC_PREFIX):
        raise UsageError(
            f"'{text}' is not a public key: it does not begin with {_PUBLIC_PREFIX}.",
            "`dsttool key show` on the other machine prints its public key.",
        )
    letters = word.removeprefix(_PUBLIC_PREFIX).upper()
    try:
        data = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except (binascii.Error, ValueError):
        data = b""
    public = data[:KEY_BYTES]
    # Written again, because base 32 leaves bits over that decoding ignores.
    if len(data) != KEY_BYTES + _CHECKSUM_BYTES or format_public(public) != word:
        raise UsageError(f"The public key '{text}' is mistyped or cut off.", "Copy the whole of it.")
    return public


def is_public(text: str) -> bool:
    """Whether a text means to be a public key."""
    return text.strip().lower().startswith(_PUBLIC_PREFIX)


def fingerprint(public: bytes) -> str:
    """A short name of a public key."""
    return _grouped(sha256(b"dsttool public key fingerprint 1\0" + public).digest())


def shared_fingerprint(key: SharedKey) -> str:
    """A short name of a shared key, by which two machines can compare theirs. Tells nothing of the key."""
    return _grouped(sha256(b"dsttool shared key fingerprint 1\0" + key.secret).digest())


def _grouped(digest: bytes) -> str:
    letters = _base32(digest)
    return "-".join(
        letters[group * _GROUP_LETTERS : (group + 1) * _GROUP_LETTERS] for group in range(_FINGERPRINT_GROUPS)
    )


def _checksum(public: bytes) -> bytes:
    return sha256(b"dsttool public key checksum 1\0" + public).digest()[:_CHECKSUM_BYTES]


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
