"""Noise handshake patterns as a table, and the protocol names that pick from it (rev 34, sections 7 to 9).

A pattern says which static public keys the two sides know before the first message, and what each
message carries. The initiator writes the first message, then they alternate. The tokens of a message
are worked through in order (sections 5.3, 7.1, 9.2):

    e               the sender's ephemeral public key, fresh for this handshake
    s               the sender's static public key, sealed as soon as there is a key to seal with
    ee es se ss     mix in the Diffie-Hellman result of two keys: initiator's first, responder's second
    psk             mix in the shared key

and after them comes the payload. The modifier pskN (section 9.4) puts a psk token before the first
token of the first message (N = 0), or after the last token of the Nth. One modifier at most: the two
sides share one key.
"""

import re
from dataclasses import dataclass
from typing import Final

from dsttool.engine.vocabulary.errors import UsageError

CIPHERS: Final = ("AESGCM", "ChaChaPoly")

_NAME: Final = re.compile(r"Noise_([A-Z]+)(?:psk([0-3]))?_([0-9A-Za-z/+]+)_([0-9A-Za-z/]+)_([0-9A-Za-z/]+)")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern: what is known beforehand, and the tokens of each message, spaces between them."""

    messages: tuple[str, ...]
    initiator_known: bool = False
    """The responder has the initiator's static public key before the first message."""
    responder_known: bool = False
    """The initiator has the responder's static public key before the first message."""


# First letter: the initiator's static key is not there (N), known (K), sent (X), or sent at once (I).
# Second letter: the same of the responder's. One letter: a single message, nothing comes back.
PATTERNS: Final = {
    # Section 7.4, one way.
    "N": Pattern(("e es",), responder_known=True),
    "K": Pattern(("e es ss",), initiator_known=True, responder_known=True),
    "X": Pattern(("e es s ss",), responder_known=True),
    # Section 7.5, interactive.
    "NN": Pattern(("e", "e ee")),
    "NK": Pattern(("e es", "e ee"), responder_known=True),
    "NX": Pattern(("e", "e ee s es")),
    "XN": Pattern(("e", "e ee", "s se")),
    "XK": Pattern(("e es", "e ee", "s se"), responder_known=True),
    "XX": Pattern(("e", "e ee s es", "s se")),
    "KN": Pattern(("e", "e ee se"), initiator_known=True),
    "KK": Pattern(("e es ss", "e ee se"), initiator_known=True, responder_known=True),
    "KX": Pattern(("e", "e ee se s es"), initiator_known=True),
    "IN": Pattern(("e s", "e ee se")),
    "IK": Pattern(("e es s ss", "e ee se"), responder_known=True),
    "IX": Pattern(("e s", "e ee se s es")),
}


@dataclass(frozen=True, slots=True)
class Protocol:
    """What a protocol name stands for: a pattern with its modifier applied, and a cipher."""

    name: str
    cipher: str
    messages: tuple[tuple[str, ...], ...]
    initiator_known: bool
    responder_known: bool

    @property
    def psk(self) -> bool:
        """A shared key is mixed in, so every ephemeral public key is too (section 9.2)."""
        return any("psk" in tokens for tokens in self.messages)

    @property
    def one_way(self) -> bool:
        """Only the initiator ever sends, in the handshake and after it (section 7.4)."""
        return len(self.messages) == 1

    def static_known(self, initiator: bool) -> bool:
        """Whether that side's static public key is known to the other beforehand."""
        return self.initiator_known if initiator else self.responder_known

    def static_used(self, initiator: bool) -> bool:
        """Whether that side needs a static key pair: the other knows it, or is sent it."""
        sent = any("s" in tokens for tokens in self.messages[0 if initiator else 1 :: 2])
        return sent or self.static_known(initiator)


def parse_name(name: str) -> Protocol:
    """The protocol of a name like Noise_IKpsk2_25519_AESGCM_SHA256 (section 8).

    Raises UsageError for names that are not Noise's, and for what is not offered here: other
    patterns than the table's, several modifiers, other functions than 25519 and SHA256.
    """
    found = _NAME.fullmatch(name)
    if not found:
        raise UsageError(
            f"{name!r} is not the name of a supported Noise protocol.",
            "They look like Noise_IKpsk2_25519_AESGCM_SHA256.",
        )
    base, psk, dh, cipher, hashing = found.groups()
    _offered("pattern", base, tuple(PATTERNS))
    _offered("Diffie-Hellman function", dh, ("25519",))
    _offered("cipher", cipher, CIPHERS)
    _offered("hash function", hashing, ("SHA256",))
    pattern = PATTERNS[base]
    messages = [tuple(tokens.split()) for tokens in pattern.messages]
    if psk is not None:
        _add_psk(messages, int(psk), base)
    return Protocol(name, cipher, tuple(messages), pattern.initiator_known, pattern.responder_known)


def _offered(what: str, wanted: str, offered: tuple[str, ...]) -> None:
    if wanted not in offered:
        raise UsageError(f"The Noise {what} {wanted} is not supported.", f"Use {' or '.join(offered)}.")


def _add_psk(messages: list[tuple[str, ...]], position: int, base: str) -> None:
    if position > len(messages):
        raise UsageError(
            f"The Noise pattern {base} has no message {position} to mix the shared key into.",
            f"Use psk0 to psk{len(messages)}.",
        )
    if position == 0:
        messages[0] = ("psk", *messages[0])
    else:
        messages[position - 1] = (*messages[position - 1], "psk")
