"""Samples: do the members of a raw mirror hold the same?

A raw array has no superblock to tell whether its members belong together, so when it comes up samples
of them are compared: the edges, and blocks spread over the array. That finds a wrong disk or a member
that missed much; it cannot prove that all is equal, and nothing here claims so.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from dsttool.engine.array.member import Member
from dsttool.engine.device.request import Request
from dsttool.engine.mapping.algorithm import Algorithm
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.operations import LOOKED_AT, READ

# Blocks compared, about, and their length (or the members' own, if that is more): 1 MiB in all per
# member, read in a moment over any link.
COUNT = 256
BYTES = 4 * limits.KIB

Done = Callable[[tuple[str, str, int] | None, DsttoolError | None], None]


class Samples:
    """Compares samples of the members in sync. `done(difference, error)`: the names of two members
    that differ and the array's offset where they do, or None if no sample differs."""

    # Whose its requests are, where a status shows them.
    peer: Final = "comparison"

    def __init__(self, algorithm: Algorithm, members: list[Member], done: Done) -> None:
        self._members = members
        self._done = done
        self._found: dict[int, list[tuple[str, bytes]]] = {}
        self._left = 0
        batches: dict[int, list[Request]] = {}
        unit = max(member.node.capabilities.block_min for member in members if member.node is not None)
        for offset, length in _places(algorithm.size // unit * unit, max(BYTES, unit)):
            for part in algorithm.split(offset, length):
                slots = [slot for slot in part.slots if members[slot].in_sync]
                for slot in slots if len(slots) > 1 else ():
                    cookie = (offset + part.start, slot)
                    request = Request(READ, LOOKED_AT, part.offset, part.length, None, cookie, self._read)
                    batches.setdefault(slot, []).append(request)
        self._batches = batches
        self._error: DsttoolError | None = None

    def start(self) -> None:
        """Read; `done` follows, possibly at once where there is nothing to compare."""
        self._left = sum(map(len, self._batches.values()))
        if not self._left:
            self._done(None, None)
        for slot, batch in self._batches.items():
            node = self._members[slot].node
            assert node is not None
            node.submit(batch)

    def _read(self, requests: list[Request]) -> None:
        for request in requests:
            offset, slot = request.cookie
            name = self._members[slot].name
            if request.error:
                self._error = DsttoolError(
                    f"Cannot read member {name} at offset {offset} to compare it.",
                    "Check that member.",
                )
            else:
                self._found.setdefault(offset, []).append((name, _bytes(request.data)))
        self._left -= len(requests)
        if not self._left:
            self._done(None if self._error else self._difference(), self._error)

    def _difference(self) -> tuple[str, str, int] | None:
        for offset in sorted(self._found):
            (first, expected), *others = self._found[offset]
            for name, data in others:
                if data != expected:
                    return first, name, offset
        return None


def _places(size: int, block: int) -> Iterator[tuple[int, int]]:
    """Blocks spread evenly over `size` bytes, at multiples of their length, and the very last bytes."""
    last = max(0, size - block)
    step = -(-last // (COUNT - 1) // block) * block or block
    for offset in range(0, last, step):
        yield offset, block
    yield last, size - last


def _bytes(data: Any) -> bytes:
    return b"".join(data) if type(data) is list else bytes(data)
