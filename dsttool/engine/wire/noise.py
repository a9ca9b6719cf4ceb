"""The Noise handshake: two ends agree on keys and know who they talk to. Pure.

The Noise Protocol Framework, revision 34. Both ends name the same protocol, as in
Noise_IKpsk2_25519_AESGCM_SHA256 (section 8): a pattern (table and tokens in noise_patterns), X25519
(section 12.1), a cipher (noise_cipher), SHA-256 (section 12.5).

The idea (section 2): both ends keep a hash `h` of everything said so far and a chaining key `ck`
of every secret agreed so far. Each Diffie-Hellman result and the shared key are mixed into `ck`, from
which the key for what follows is drawn; all that is sealed has `h` as its associated data. So a
message opens only if both ends have seen the same bytes, the same prologue (section 6), and hold the
keys that the pattern asks for; and no message can be taken into another handshake. At the end `ck` gives
one key per direction, and `h` a name of this session that no other has (channel binding, section 11.2).

    section 5.2  _SymmetricState   h and ck
    section 5.3  NoiseHandshake    keys, whose turn it is, the tokens of each message

A handshake goes forward only. Whose turn it is follows from the number of messages done:

    state     write_message            read_message             split
    my turn   -> their turn or done    refused                  refused
    theirs    refused                  -> my turn or done       refused
    done      refused                  refused                  once, then refused
    failed    refused                  refused                  refused

Refused calls (UsageError) change nothing. Whatever goes wrong once a message is being worked on makes the
handshake failed for good: nothing is tried twice with the same keys. What a peer's bytes cause is a
ProtocolError. Public keys of low order, whose Diffie-Hellman result is zero whatever our key is, are
refused, as section 12.1 allows.

What a first message proves. Its payload, and in IK the initiator's static key, can be read before the
responder has contributed anything: a recorded first message opens again and again at every responder with
the same static key, shared key and prologue (section 7.7: its payload can be replayed, and whoever got
hold of the responder's static key can forge it). It reveals nothing to the one who repeats it: the answer
is made with a fresh ephemeral key, and without the first message's ephemeral private key neither the
answer nor anything after it opens. Hence: a responder does nothing for a first message except answer it,
and believes the initiator only when its first message after the handshake opens.

Python cannot wipe memory; keys are let go of as soon as they are not needed. They are in no repr and no
error.
"""

from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dsttool.engine.vocabulary.errors import ProtocolError, UsageError
from dsttool.engine.wire.noise_cipher import KEY_BYTES, TAG_BYTES, Bytes, Cipher
from dsttool.engine.wire.noise_patterns import Protocol, parse_name

# Every handshake message fits into a 16 bit length (section 3).
MESSAGE_MAX: Final = 65535
HASH_BYTES: Final = 32


class _SymmetricState:
    """The hash of what was said, the chain of secrets, and the key drawn from it (section 5.2)."""

    __slots__ = ("_chaining_key", "_cipher", "_cipher_name", "hash")

    def __init__(self, protocol: Protocol) -> None:
        name = protocol.name.encode("ascii")
        self.hash = name.ljust(HASH_BYTES, b"\0") if len(name) <= HASH_BYTES else sha256(name).digest()
        self._chaining_key = self.hash
        self._cipher_name = protocol.cipher
        self._cipher: Cipher | None = None

    @property
    def keyed(self) -> bool:
        """There is a key: what is sent from now on is sealed."""
        return self._cipher is not None

    def mix_hash(self, data: bytes) -> None:
        self.hash = sha256(self.hash + data).digest()

    def mix_key(self, secret: bytes) -> None:
        self._chaining_key, key = self._derive(secret, 2)
        self._cipher = Cipher(self._cipher_name, key)

    def mix_key_and_hash(self, secret: bytes) -> None:
        self._chaining_key, said, key = self._derive(secret, 3)
        self.mix_hash(said)
        self._cipher = Cipher(self._cipher_name, key)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        sealed = self._cipher.encrypt(self.hash, plaintext) if self._cipher else plaintext
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash(self, sealed: bytes) -> bytes:
        try:
            plaintext = self._cipher.decrypt(self.hash, sealed) if self._cipher else sealed
        except ProtocolError:
            raise ProtocolError(
                "The peer's handshake message does not open: its keys are not those expected here.",
                "Check the shared key and the public keys on both sides.",
            ) from None
        self.mix_hash(sealed)
        return plaintext

    def split(self) -> tuple[Cipher, Cipher]:
        """The initiator's sending and the responder's sending cipher. Forgets what they came from."""
        first, second = (Cipher(self._cipher_name, key) for key in self._derive(b"", 2))
        self.forget()
        return first, second

    def forget(self) -> None:
        self._chaining_key = b""
        self._cipher = None

    def _derive(self, secret: bytes, count: int) -> list[bytes]:
        """Noise's HKDF (section 4.3) is RFC 5869's with the chaining key as salt and no info."""
        wanted = HKDF(SHA256(), count * HASH_BYTES, salt=self._chaining_key, info=b"").derive(secret)
        return [wanted[at : at + HASH_BYTES] for at in range(0, len(wanted), HASH_BYTES)]


class NoiseHandshake:
    """One end of one handshake (section 5.3).

    All keys are 32 raw bytes. `static` is this end's private key and `remote_static` the other end's
    public key, as the pattern has them before the first message; `psk` the shared key of patterns with
    a psk modifier. What the pattern needs must be there, and what it has no use for must not: a
    `remote_static` that would not be checked is a mistake. `prologue` is any data both ends already
    share. `ephemeral` is a private key for tests with published vectors; elsewhere leave it out, it
    must never be the same twice.

    Raises UsageError for an unsupported name, missing, needless or malformed keys.
    """

    __slots__ = (
        "_failed",
        "_initiator",
        "_private",
        "_protocol",
        "_psk",
        "_remote",
        "_split",
        "_step",
        "_symmetric",
    )

    def __init__(
        self,
        protocol_name: str,
        *,
        initiator: bool,
        prologue: bytes = b"",
        static: bytes | None = None,
        remote_static: bytes | None = None,
        psk: bytes | None = None,
        ephemeral: bytes | None = None,
    ) -> None:
        protocol = parse_name(protocol_name)
        self._protocol = protocol
        self._initiator = initiator
        self._private: dict[str, X25519PrivateKey] = {}
        self._remote: dict[str, bytes] = {}
        self._step = 0
        self._failed = False
        self._split = False
        if key := _checked(protocol, "static", static, protocol.static_used(initiator)):
            self._private["s"] = X25519PrivateKey.from_private_bytes(key)
        if key := _checked(protocol, "remote_static", remote_static, protocol.static_known(not initiator)):
            self._remote["s"] = _sound(key)
        self._psk = _checked(protocol, "psk", psk, protocol.psk)
        # A responder of a one-way pattern has no use for one, but published vectors give it.
        if key := _checked(protocol, "ephemeral", ephemeral, ephemeral is not None):
            self._private["e"] = X25519PrivateKey.from_private_bytes(key)
        self._symmetric = _SymmetricState(protocol)
        self._symmetric.mix_hash(prologue)
        self._mix_known_keys()

    def __repr__(self) -> str:
        role = "initiator" if self._initiator else "responder"
        state = "failed" if self._failed else f"{self._step} of {len(self._protocol.messages)} messages"
        return f"<NoiseHandshake {self._protocol.name}, {role}, {state}>"

    @property
    def done(self) -> bool:
        """All messages of the pattern were written or read: split() comes next."""
        return not self._failed and self._step == len(self._protocol.messages)

    @property
    def handshake_hash(self) -> bytes:
        """32 bytes that name this session, the same at both ends (section 11.2). Not a secret.

        Raises UsageError before the handshake is done.
        """
        self._refuse_unless_done()
        return self._symmetric.hash

    @property
    def remote_static(self) -> bytes | None:
        """The other end's static public key, as given or as read; None if there is none (yet).

        One that was read is the peer's own only as far as the messages up to now prove it: see above
        for the first message.
        """
        return None if self._failed else self._remote.get("s")

    def replace_psk(self, psk: bytes) -> None:
        """Use another shared key from now on, before the message that mixes it in.

        For a responder that learns from the first message which key to use: it starts with any.
        Raises UsageError when it is too late.
        """
        if self._failed or any("psk" in tokens for tokens in self._protocol.messages[: self._step]):
            raise UsageError("The shared key cannot be replaced any more.", "Start a new handshake.")
        self._psk = _checked(self._protocol, "psk", psk, self._protocol.psk)

    def write_message(self, payload: Bytes = b"") -> bytes:
        """Write the next message, with `payload` in it, sealed if the pattern has a key by then.

        Raises UsageError out of turn or if the message would be longer than 65535 bytes, and
        ProtocolError if the peer's public key is unsound.
        """
        tokens = self._tokens_of_turn(writing=True)
        room = MESSAGE_MAX - self._overhead(tokens)
        if len(payload) > room:
            raise UsageError(f"A payload of {len(payload)} bytes does not fit: at most {room} do.")
        try:
            message = self._write(tokens, bytes(payload))
        except BaseException:
            self._fail()
            raise
        self._step_on()
        return message

    def read_message(self, message: Bytes) -> bytes:
        """Read the peer's next message and return its payload.

        Raises ProtocolError if it is too long, too short, does not open or carries an unsound public
        key: then the handshake has failed. Raises UsageError out of turn.
        """
        tokens = self._tokens_of_turn(writing=False)
        try:
            payload = self._read(tokens, bytes(message))
        except BaseException:
            self._fail()
            raise
        self._step_on()
        return payload

    def split(self) -> tuple[Cipher, Cipher]:
        """The ciphers (send, receive) for everything after the handshake (section 5.2).

        Once only: two ciphers with one key would use each nonce twice. After a one-way pattern the
        responder's send and the initiator's receive are closed (section 7.4). Raises UsageError before
        the handshake is done, and the second time.
        """
        self._refuse_unless_done()
        if self._split:
            raise UsageError("The ciphers of this handshake were handed out already.")
        self._split = True
        from_initiator, from_responder = self._symmetric.split()
        if self._protocol.one_way:
            from_responder.close()
        return (from_initiator, from_responder) if self._initiator else (from_responder, from_initiator)

    def _mix_known_keys(self) -> None:
        """Both ends hash the public keys known beforehand, the initiator's first (section 5.3)."""
        for initiator in (True, False):
            if self._protocol.static_known(initiator):
                mine = initiator == self._initiator
                self._symmetric.mix_hash(self._public("s") if mine else self._remote["s"])

    def _tokens_of_turn(self, *, writing: bool) -> tuple[str, ...]:
        """The tokens of the next message, if it is this end's turn to write (or to read) it."""
        if self._failed:
            raise UsageError("The handshake has failed.", "Start a new one on a new connection.")
        if self.done:
            raise UsageError("The handshake is done: there are no more handshake messages.")
        if writing != ((self._step % 2 == 0) == self._initiator):
            whose = "the peer's" if writing else "this end's"
            raise UsageError(f"It is {whose} turn to write a handshake message.")
        return self._protocol.messages[self._step]

    def _overhead(self, tokens: tuple[str, ...]) -> int:
        """Bytes of a message that are not payload: public keys and tags."""
        sealed = self._symmetric.keyed
        size = 0
        for token in tokens:
            if token == "e":
                size += KEY_BYTES
                sealed |= self._protocol.psk
            elif token == "s":
                size += KEY_BYTES + sealed * TAG_BYTES
            else:
                sealed = True
        return size + sealed * TAG_BYTES

    def _write(self, tokens: tuple[str, ...], payload: bytes) -> bytes:
        parts = []
        for token in tokens:
            if token == "e":
                if "e" not in self._private:
                    self._private["e"] = X25519PrivateKey.generate()
                parts.append(self._public("e"))
                self._mix_ephemeral(parts[-1])
            elif token == "s":
                parts.append(self._symmetric.encrypt_and_hash(self._public("s")))
            else:
                self._mix_secret(token)
        parts.append(self._symmetric.encrypt_and_hash(payload))
        return b"".join(parts)

    def _read(self, tokens: tuple[str, ...], message: bytes) -> bytes:
        if not self._overhead(tokens) <= len(message) <= MESSAGE_MAX:
            raise ProtocolError(f"The peer's handshake message of {len(message)} bytes has a wrong length.")
        at = 0
        for token in tokens:
            if token == "e":
                self._remote["e"] = message[at : at + KEY_BYTES]
                self._mix_ephemeral(self._remote["e"])
                at += KEY_BYTES
            elif token == "s":
                end = at + KEY_BYTES + self._symmetric.keyed * TAG_BYTES
                self._remote["s"] = self._symmetric.decrypt_and_hash(message[at:end])
                at = end
            else:
                self._mix_secret(token)
        return self._symmetric.decrypt_and_hash(message[at:])

    def _mix_ephemeral(self, public: bytes) -> None:
        self._symmetric.mix_hash(public)
        if self._protocol.psk:
            # So that the key differs each time even while only the shared key was mixed in (section 9.2).
            self._symmetric.mix_key(public)

    def _mix_secret(self, token: str) -> None:
        if token == "psk":
            self._symmetric.mix_key_and_hash(self._psk)
            return
        mine, theirs = (token[0], token[1]) if self._initiator else (token[1], token[0])
        remote = X25519PublicKey.from_public_bytes(self._remote[theirs])
        try:
            shared = self._private[mine].exchange(remote)
        except ValueError:  # a result of zero
            raise ProtocolError("The peer's public key is of low order: no secret comes of it.") from None
        self._symmetric.mix_key(shared)

    def _public(self, token: str) -> bytes:
        return self._private[token].public_key().public_bytes_raw()

    def _step_on(self) -> None:
        self._step += 1
        if self.done:
            self._private.clear()
            self._psk = b""

    def _fail(self) -> None:
        self._failed = True
        self._private.clear()
        self._psk = b""
        self._symmetric.forget()

    def _refuse_unless_done(self) -> None:
        if not self.done:
            raise UsageError("The handshake is not done.")


def _checked(protocol: Protocol, name: str, key: bytes | None, needed: bool) -> bytes:
    """The key given as `name`: 32 bytes if this end needs one, else none."""
    if key is None and needed:
        raise UsageError(f"{protocol.name} needs the key {name} at this end.")
    if key is not None and not needed:
        raise UsageError(f"{protocol.name} has no use for the key {name} at this end.", "Leave it out.")
    if key is not None and len(key) != KEY_BYTES:
        raise UsageError(f"The key {name} must have {KEY_BYTES} bytes, not {len(key)}.")
    return bytes(key or b"")


def _sound(public: bytes) -> bytes:
    """A public key given to us, if it is not of low order: with any private key a secret comes of it."""
    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise UsageError("The key remote_static is of low order, not a public key of anybody.") from None
    return public
