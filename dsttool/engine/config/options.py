"""What the query of a node's address may say: its name, its protection, and its transaction policy.

The policy's keys are also those of an array's `[policy]` table and of `policy set`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, get_args

from dsttool.engine.config import keys, units
from dsttool.engine.config.names import check_name
from dsttool.engine.vocabulary.errors import UsageError
from dsttool.engine.vocabulary.suggest import suggest

Value = str | int

Security = Literal["none", "checksum", "aes256gcm", "chacha20poly1305"]
SECURITIES: Final[tuple[str, ...]] = get_args(Security)

# Sends of one transaction; with the shortest sensible timeout more than this outlasts any outage.
_RESENDS_MAX: Final = 1_000_000
# Links cost a socket and buffers on both sides; nothing is gained beyond the number of paths and cores.
_LINKS_MAX: Final = 64
_WINDOW_MAX: Final = 65536


def parse_options(query: Mapping[str, str], address: str) -> dict[str, Value]:
    """Check the query of a node's address; durations become ns, counts int. UsageError names the option."""
    return {key: parse_option(key, text, address) for key, text in query.items()}


def parse_policy(words: Mapping[str, str]) -> dict[str, Value]:
    """Settings of a transaction policy by key; durations become ns, counts int.

    UsageError names the key that is none, or whose value is wrong.
    """
    settings: dict[str, Value] = {}
    for key, text in words.items():
        parser = _POLICY_PARSERS.get(key)
        if parser is None:
            near = suggest(key, _POLICY_PARSERS)
            raise UsageError(
                f"A policy has no key '{key}'.",
                f"Did you mean '{near}'?" if near else f"There are: {', '.join(_POLICY_PARSERS)}.",
            )
        try:
            settings[key] = parser(text)
        except UsageError as error:
            raise UsageError(f"{key}={text} is wrong: {error.what}", error.advice) from None
    return settings


def parse_option(key: str, text: str, address: str) -> Value:
    """The value of one option. `address` is for the error."""
    parser = _PARSERS.get(key)
    if parser is None and key in _TLS_PSK_KEYS:
        raise UsageError(
            f"'{key}' in '{address}' asks for TLS with pre-shared keys, which Python's TLS does not have.",
            "Give the server a certificate, and say tls-certificates=FOLDER with its ca-cert.pem.",
        )
    if parser is None:
        near = suggest(key, _PARSERS)
        raise UsageError(
            f"'{key}' in '{address}' is not an option.",
            f"Did you mean '{near}'?" if near else f"There are: {', '.join(_PARSERS)}.",
        )
    try:
        return parser(text)
    except UsageError as error:
        raise UsageError(f"{key}={text} in '{address}' is wrong: {error.what}", error.advice) from None


def format_option(key: str, value: Value) -> str:
    """A value as `parse_option` reads it."""
    if key in _DURATIONS and isinstance(value, int):
        return units.format_duration(value)
    return str(value)


def policy_overrides(options: Mapping[str, Value]) -> dict[str, Any]:
    """The transaction policy's fields that options set, named as in transaction.policy.Policy."""
    return {policy_field(key): value for key, value in options.items() if key in _POLICY_PARSERS}


def policy_field(key: str) -> str:
    """The field of transaction.policy.Policy that a policy's key sets."""
    return f"{key}_ns" if key in _DURATIONS else key


def _public_key(text: str) -> str:
    return keys.format_public(keys.parse_public(text))


def _duration(text: str) -> int:
    duration_ns = units.parse_duration(text)
    if duration_ns == 0:
        raise UsageError("It must be longer than nothing.", "Write for example 500ms.")
    return duration_ns


def _count(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20 and minimum <= int(text) <= maximum):
            raise UsageError(f"'{text}' is not a number from {minimum} to {maximum}.", "Write such a number.")
        return int(text)

    return parse


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            near = suggest(text, words)
            raise UsageError(
                f"'{text}' is none of {', '.join(words)}.",
                f"Did you mean '{near}'?" if near else "Choose one of them.",
            )
        return text

    return parse


_DURATIONS: Final = frozenset(
    {"resend_timeout", "ping_interval", "connect_timeout", "backoff_min", "backoff_max"}
)

_POLICY_PARSERS: Final[Mapping[str, Callable[[str], Value]]] = {
    "resend_timeout": _duration,
    "resends": _count(0, _RESENDS_MAX),
    "ping_interval": _duration,
    "ping_misses": _count(1, 1000),
    "connect_timeout": _duration,
    "backoff_min": _duration,
    "backoff_max": _duration,
    "window": _count(1, _WINDOW_MAX),
    "on_exhausted": _one_of("fail", "freeze"),
    "links": _count(1, _LINKS_MAX),
}

# Keys of the transaction policy (protocol.md, "Transactions"), in the order in which they are shown.
POLICY_KEYS: Final = tuple(_POLICY_PARSERS)

_PARSERS: Final[Mapping[str, Callable[[str], Value]]] = {
    "name": check_name,
    "security": _one_of(*SECURITIES),
    "key": str,
    "server": _public_key,
    "tls-certificates": str,
    "tls-hostname": str,
    **_POLICY_PARSERS,
}

# As libnbd and nbdkit call them (doc/uri.md of the NBD project).
TLS_KEYS: Final = ("tls-certificates", "tls-hostname")
_TLS_PSK_KEYS: Final = ("tls-psk-file", "tls-username")
