"""What we say must be what others say, byte for byte."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from noise_ends import ALL_NAMES, end, key

from dsttool.engine.wire.noise import NoiseHandshake
from dsttool.engine.wire.noise_cipher import Cipher

VECTORS = Path(__file__).parent.parent / "vectors"
PUBLISHED = json.loads((VECTORS / "noise.json").read_text())["vectors"]
ANSWERS = json.loads((VECTORS / "noise_patterns.json").read_text())["answers"]


def published_end(vector: dict[str, Any], role: str) -> NoiseHandshake:
    names = ("prologue", "static", "remote_static", "ephemeral")
    given = {n: bytes.fromhex(vector[f"{role}_{n}"]) for n in names if f"{role}_{n}" in vector}
    psk = bytes.fromhex(vector[f"{role}_psks"][0])
    return NoiseHandshake(vector["protocol_name"], initiator=role == "init", psk=psk, **given)


@pytest.mark.parametrize("vector", PUBLISHED, ids=lambda vector: vector["protocol_name"])
def test_published_vectors_come_out_byte_for_byte(vector: dict[str, Any]) -> None:
    initiator, responder = published_end(vector, "init"), published_end(vector, "resp")
    said = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in vector["messages"]]
    sender, receiver = initiator, responder
    while not initiator.done:
        payload, message = said.pop(0)
        assert sender.write_message(payload) == message
        assert receiver.read_message(message) == payload
        sender, receiver = receiver, sender
    assert initiator.handshake_hash.hex() == responder.handshake_hash.hex() == vector["handshake_hash"]
    sides = [initiator.split(), responder.split()]
    if sender is responder:
        sides.reverse()
    assert said
    for payload, message in said:
        assert sides[0][0].encrypt(b"", payload) == message
        assert sides[1][1].decrypt(b"", message) == payload
        sides.reverse()


def three_messages(send: Cipher, receive: Cipher) -> list[bytes]:
    """Two messages and, with a new key, a third; as the receiver opened them."""
    said = [send.encrypt(b"", b"one"), send.encrypt(b"", b"two")]
    assert [receive.decrypt(b"", message) for message in said] == [b"one", b"two"]
    send.rekey()
    receive.rekey()
    said.append(send.encrypt(b"", b"three"))
    assert receive.decrypt(b"", said[-1]) == b"three"
    return said


@pytest.mark.parametrize("name", ALL_NAMES)
def test_another_implementation_says_the_same(name: str) -> None:
    """All patterns, modifiers and both ciphers, with rekey, as the package noiseprotocol has them."""
    prologue = b"prologue of " + name.encode()
    initiator = end(name, "init", prologue=prologue, ephemeral=key("init_ephemeral"))
    responder = end(name, "resp", prologue=prologue, ephemeral=key("resp_ephemeral"))
    said: list[bytes] = []
    sender, receiver = initiator, responder
    while not initiator.done:
        payload = b"payload %d" % len(said)
        said.append(sender.write_message(payload))
        assert receiver.read_message(said[-1]) == payload
        sender, receiver = receiver, sender
    first, second = initiator.split(), responder.split()
    one_way = len(said) == 1
    said += three_messages(first[0], second[1])
    if not one_way:
        said += three_messages(second[0], first[1])
    assert [initiator.handshake_hash.hex(), sha256(b"".join(said)).hexdigest()] == ANSWERS[name]
