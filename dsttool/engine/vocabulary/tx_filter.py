"""The language in which transactions are chosen: `state:resend node:n3 age>1s -op:read`.

Words are separated by blanks, and all of them must hold; letters may be of either case.

    state:resend  op:write  flags:fua    a word of the status; flags: it is among them
    node:n3  node:pool/n*                a member's name, or with its array's; * ? and [a-c] stand for others
    name:pool  client:*:51522            the array's or export's name; the client's address
    age>1s  budget<500ms                 durations in ns, us, ms, s, m or h; a bare number is in seconds
    length>=64K  offset<1G               sizes in bytes, K, M, G or T (powers of 1024)
    attempts>1  id:123  id:0x7b          plain numbers; > >= < <= : and = compare, : is the same as =
    n3                                   part of the node, the operation, the state or the client
    -word                                what it says does not hold

A comparison with what a transaction does not have (a budget, where none runs) does not hold.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from typing import Any, Final

from dsttool.engine.vocabulary.errors import UsageError
from dsttool.engine.vocabulary.operations import NAMES
from dsttool.engine.vocabulary.suggest import suggest

# A filter is typed by hand, and tried on every transaction.
TEXT_MAX: Final = 500
WORDS_MAX: Final = 16

STATES: Final = ("queued", "held", "in_flight", "resend", "exhausted", "frozen")
FLAGS: Final = ("FUA", "NO_HOLE", "DF", "REQ_ONE", "FAST_ZERO", "FAIL_FAST")

Row = Mapping[str, Any]
"""A TransactionStatus; fields that an older daemon does not give are taken for None."""
Test = Callable[[Row], bool]

_WORD: Final = re.compile(r"\S+")
_FIELD: Final = re.compile(r"([a-zA-Z_]+)(>=|<=|[:=<>])(.*)")
_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?)([a-zA-Z]*)")
_NANOSECONDS: Final = {
    "": 10**9,
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_BYTES: Final = {
    unit + end: 1 << 10 * power for power, unit in enumerate(("", "k", "m", "g", "t")) for end in ("", "ib")
} | {"b": 1}
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    ">": lambda have, want: have > want,
    ">=": lambda have, want: have >= want,
    "<": lambda have, want: have < want,
    "<=": lambda have, want: have <= want,
    ":": lambda have, want: have == want,
    "=": lambda have, want: have == want,
}


@dataclass(frozen=True, slots=True)
class TxFilter:
    """An understood filter; `text` as it was written, without outer blanks."""

    text: str
    tests: tuple[Test, ...]

    def matches(self, row: Row) -> bool:
        """Whether every word holds for a transaction."""
        return all(test(row) for test in self.tests)


def parse(text: str) -> TxFilter:
    """Understand a filter; '' lets everything through. Raises UsageError with the place in it."""
    if len(text) > TEXT_MAX:
        raise UsageError(f"The filter is longer than {TEXT_MAX} characters.", "Leave words out.")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageError("The filter holds what is no text.", "Write it in UTF-8.")
    words = list(_WORD.finditer(text))
    if len(words) > WORDS_MAX:
        raise UsageError(f"The filter has more than {WORDS_MAX} words.", "Leave words out.")
    return TxFilter(text.strip(), tuple(_test(word.group(), word.start()) for word in words))


def _test(word: str, start: int) -> Test:
    at = f"'{word}' at character {start + 1} of the filter"
    if word.startswith("-"):
        if word == "-":
            raise UsageError(f"{at} says no word that is not to hold.", "Write for example -state:queued.")
        inner = _positive(word[1:], at)
        return lambda row: not inner(row)
    return _positive(word, at)


def _positive(word: str, at: str) -> Test:
    field = _FIELD.fullmatch(word)
    if field is None:
        return _bare(word.casefold())
    name, operator, value = field.group(1).casefold(), field.group(2), field.group(3)
    if name not in _EXAMPLES:
        raise _unknown(name, operator, value, at)
    if not value:
        raise UsageError(f"{at} has nothing behind '{operator}'.", f"Write for example {_EXAMPLES[name]}.")
    if name in _QUANTITIES:
        return _quantity(name, operator, value, at)
    if operator not in (":", "="):
        raise UsageError(f"{at}: {name} cannot be compared by size.", f"Write {name}:{value}.")
    return _TEXTS[name](value, at)


def _unknown(name: str, operator: str, value: str, at: str) -> UsageError:
    near = suggest(name, _EXAMPLES)
    fields = ", ".join(sorted(_EXAMPLES))
    return UsageError(
        f"{at} begins with no field of a transaction.",
        f"Did you mean {near}{operator}{value}?" if near else f"There are {fields}.",
    )


def _bare(part: str) -> Test:
    return lambda row: any(
        part in str(row.get(field) or "").casefold() for field in ("node", "op", "state", "client")
    )


def _quantity(name: str, operator: str, value: str, at: str) -> Test:
    field, units = _QUANTITIES[name]
    wanted = _number(value, units)
    if wanted is None:
        raise UsageError(
            f"{at}: '{value}' is no {'duration' if units is _NANOSECONDS else 'number'}.",
            f"Write for example {_EXAMPLES[name]}.",
        )
    compare = _COMPARE[operator]
    return lambda row: (have := row.get(field)) is not None and compare(have, wanted)


def _number(value: str, units: Mapping[str, int]) -> int | None:
    if units is _PLAIN and re.fullmatch("0[xX][0-9a-fA-F]+", value):
        return int(value, 16)
    parts = _QUANTITY.fullmatch(value)
    unit = None if parts is None else units.get(parts.group(2).casefold())
    if parts is None or unit is None:
        return None
    whole, _, fraction = parts.group(1).partition(".")
    scale: int = 10 ** len(fraction)
    return int(whole + fraction) * unit // scale


def _pattern(value: str) -> Callable[[str], object]:
    return re.compile(translate(value.casefold())).match


def _node(value: str, _at: str) -> Test:
    match = _pattern(value)

    def test(row: Row) -> bool:
        node = row["node"].casefold()
        return bool(match(node) or match(node.rpartition("/")[2]))

    return test


def _name(value: str, _at: str) -> Test:
    match = _pattern(value)
    return lambda row: bool(match(row["node"].casefold().partition("/")[0]))


def _client(value: str, _at: str) -> Test:
    match = _pattern(value)
    return lambda row: bool(match((row.get("client") or "").casefold()))


def _among(known: tuple[str, ...], value: str, at: str) -> str:
    """The word of the status that was meant. UsageError if it is none."""
    for word in known:
        if word.casefold() == value.casefold():
            return word
    near = suggest(value.casefold(), [word.casefold() for word in known])
    words = ", ".join(word.casefold() for word in known)
    raise UsageError(
        f"{at}: '{value}' is none of {words}.", f"Did you mean {near}?" if near else "Write one of them."
    )


def _state(value: str, at: str) -> Test:
    wanted = _among(STATES, value, at)
    return lambda row: bool(row["state"] == wanted)


def _op(value: str, at: str) -> Test:
    wanted = _among(tuple(NAMES.values()), value, at)
    return lambda row: bool(row["op"] == wanted)


def _flags(value: str, at: str) -> Test:
    wanted = _among(FLAGS, value, at)
    return lambda row: wanted in row["flags"]


_PLAIN: Final = {"": 1}
_QUANTITIES: Final[Mapping[str, tuple[str, Mapping[str, int]]]] = {
    "age": ("age_ns", _NANOSECONDS),
    "budget": ("budget_left_ns", _NANOSECONDS),
    "length": ("length", _BYTES),
    "offset": ("offset", _BYTES),
    "attempts": ("attempts", _PLAIN),
    "id": ("id", _PLAIN),
}
_TEXTS: Final[Mapping[str, Callable[[str, str], Test]]] = {
    "state": _state,
    "op": _op,
    "flags": _flags,
    "node": _node,
    "name": _name,
    "client": _client,
}
_EXAMPLES: Final[Mapping[str, str]] = {
    "age": "age>1s",
    "attempts": "attempts>1",
    "budget": "budget<2s",
    "client": "client:*:51522",
    "flags": "flags:fua",
    "id": "id:123",
    "length": "length>=64K",
    "name": "name:pool",
    "node": "node:n3",
    "offset": "offset<1G",
    "op": "op:write",
    "state": "state:resend",
}
