"""Noise's CipherState: one key, one direction, nonces that count (rev 34, sections 5.1, 11.3, 12.3, 12.4).

The nonce is implicit: both ends count messages, so a message that was changed, repeated, left out or
swapped with another does not open. A nonce used twice under one key would give the plaintexts away
(and with AESGCM the key that authenticates), so it is counted up before anything is sealed with it:
whatever goes wrong then, it is gone. An object must have one owner, and must never be copied.

Section 3 allows 65535 bytes a message. That is checked for handshake messages; what is sent after the
handshake is bounded by those who frame it, here only the ciphers' own bound (2 GiB) holds.
"""

from struct import Struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from dsttool.engine.vocabulary.errors import ProtocolError, UsageError

KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
# Nonces are 64 bits; the last one is kept for rekey (section 5.1).
NONCE_LAST: Final = (1 << 64) - 1

Bytes = bytes | bytearray | memoryview
Aead = AESGCM | ChaCha20Poly1305

# 96 bits: 32 zero bits, then the count, big-endian (section 12.4) or little-endian (12.3).
_NONCE: Final = {"AESGCM": Struct(">4xQ"), "ChaChaPoly": Struct("<4xQ")}
_AEAD: Final[dict[str, type[AESGCM] | type[ChaCha20Poly1305]]] = {
    "AESGCM": AESGCM,
    "ChaChaPoly": ChaCha20Poly1305,
}


class Cipher:
    """Seals or opens the messages of one direction, in order.

    `name` is Noise's ("AESGCM" or "ChaChaPoly"), `key` 32 bytes. The first nonce is 0.
    """

    __slots__ = ("_aead", "_name", "_nonce")

    def __init__(self, name: str, key: bytes) -> None:
        self._name = name
        self._aead: Aead | None = _AEAD[name](key)
        self._nonce = 0

    def __repr__(self) -> str:
        state = f"nonce {self._nonce}" if self._aead else "closed"
        return f"<Cipher {self._name}, {state}>"

    @property
    def nonce(self) -> int:
        """The next message's nonce: how many messages were sealed or opened, over all rekeys."""
        return self._nonce

    def encrypt(self, ad: Bytes, plaintext: Bytes) -> bytes:
        """Seal a message; 16 bytes longer. The other end must give the same `ad`.

        Raises UsageError when all nonces are used up or the cipher is closed. After any other error
        the nonce is spent and the other end cannot follow: the connection has to end.
        """
        aead, nonce = self.claim()
        return aead.encrypt(nonce, plaintext, ad)

    def claim(self) -> tuple[Aead, bytes]:
        """The key's AEAD and the next nonce, for exactly one message: the nonce is spent.

        For who seals or opens with buffers of its own, or elsewhere; the messages must be in order all
        the same. Raises UsageError as `encrypt` does.
        """
        aead = self._open_aead()
        nonce = self._nonce
        if nonce >= NONCE_LAST:
            raise UsageError("All nonces of this key are used up.", "Make a new connection.")
        self._nonce = nonce + 1
        return aead, self._packed(nonce)

    def decrypt(self, ad: Bytes, ciphertext: Bytes) -> bytes:
        """Open the next message.

        Raises ProtocolError if it does not open, or has no nonce left, and closes the cipher: what
        follows on that connection cannot be trusted.
        """
        aead = self._open_aead()
        if self._nonce >= NONCE_LAST:
            self.close()
            raise ProtocolError("The peer sent more messages than one key may seal.")
        try:
            plaintext = aead.decrypt(self._packed(self._nonce), ciphertext, ad)
        except InvalidTag:
            self.close()
            raise ProtocolError("A sealed message does not open: it was changed on the way.") from None
        self._nonce += 1
        return plaintext

    def rekey(self) -> None:
        """Go on with a new key that does not give the old one away (section 11.3).

        Both ends must do it between the same two messages. The nonce counts on.
        """
        sealed = self._open_aead().encrypt(self._packed(NONCE_LAST), bytes(KEY_BYTES), b"")
        self._aead = _AEAD[self._name](sealed[:KEY_BYTES])

    def close(self) -> None:
        """Forget the key. Every further use raises UsageError."""
        self._aead = None

    def _open_aead(self) -> Aead:
        if self._aead is None:
            raise UsageError("This direction of the connection is closed.", "Make a new connection.")
        return self._aead

    def _packed(self, nonce: int) -> bytes:
        return _NONCE[self._name].pack(nonce)
