"""Two ends of a Noise handshake, with keys that are the same in every run."""

from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from dsttool.engine.wire.noise import NoiseHandshake
from dsttool.engine.wire.noise_cipher import Cipher
from dsttool.engine.wire.noise_patterns import CIPHERS, PATTERNS, parse_name

IK = "Noise_IKpsk2_25519_AESGCM_SHA256"
NN = "Noise_NNpsk0_25519_ChaChaPoly_SHA256"

ALL_NAMES = [
    f"Noise_{base}{modifier}_25519_{cipher}_SHA256"
    for cipher in CIPHERS
    for base, pattern in PATTERNS.items()
    for modifier in ["", *(f"psk{n}" for n in range(len(pattern.messages) + 1))]
]


def key(name: str) -> bytes:
    return sha256(name.encode()).digest()


def public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def keys_of(name: str, role: str) -> dict[str, bytes]:
    """The keys that end needs for that protocol."""
    protocol = parse_name(name)
    initiator = role == "init"
    keys = {}
    if protocol.static_used(initiator):
        keys["static"] = key(f"{role}_static")
    if protocol.static_known(not initiator):
        keys["remote_static"] = public(key("resp_static" if initiator else "init_static"))
    if protocol.psk:
        keys["psk"] = key("psk")
    return keys


def end(name: str, role: str, **changes: Any) -> NoiseHandshake:
    return NoiseHandshake(name, initiator=role == "init", **{**keys_of(name, role), **changes})


def ends(name: str, **changes: Any) -> tuple[NoiseHandshake, NoiseHandshake]:
    return end(name, "init", **changes), end(name, "resp", **changes)


def shake(initiator: NoiseHandshake, responder: NoiseHandshake, messages: int | None = None) -> list[bytes]:
    """Let them talk, with empty payloads, until done or for that many messages; what was said."""
    said: list[bytes] = []
    sender, receiver = initiator, responder
    while not initiator.done if messages is None else len(said) < messages:
        said.append(sender.write_message())
        receiver.read_message(said[-1])
        sender, receiver = receiver, sender
    return said


def connected(name: str) -> tuple[tuple[Cipher, Cipher], tuple[Cipher, Cipher]]:
    initiator, responder = ends(name)
    shake(initiator, responder)
    return initiator.split(), responder.split()
