"""OverlapGate: lets overlapping writes run one after the other, in the order they came.

A device promises that overlapping writes, trims and zeroes take effect in the order of their
submission. What runs over links and threads keeps no order, so of two that overlap only the
earlier may be under way. The rules:

1. A request waits for every earlier one that overlaps it and has not finished, whether that one
   runs or waits itself. So nobody overtakes, and nobody starves.
2. A request that overlaps no earlier one never waits.
3. An empty request overlaps nothing.

Nearly every answer is "nothing in the way", and this is asked for each write. Hence requests are
filed by the chunks they touch: a chunk nobody has filed under is proof, by one look-up. Only those
filed under the same chunk are compared byte for byte. A request of gigabytes (trim, write zeroes)
would be filed under thousands of chunks, so wide ones are kept in a list that everybody checks
when there are any.

A waiting request counts those it waits for, and each of them lists it as a follower. The search
for them goes backwards and stops at one that covers all of the request within the chunk: what is
earlier and in the way here, that one waits for as well. So a queue of writes to one block costs
each of them one comparison, not one per write before it.
"""

from collections.abc import Iterator
from typing import Any, Final, Generic, Protocol, TypeVar

# 64 KiB: a block of 4 KiB rarely touches two chunks, and a sequential stream of such blocks has at
# most 15 neighbours to compare with.
CHUNK_SHIFT: Final = 16
CHUNK_BYTES: Final = 1 << CHUNK_SHIFT
_WITHIN: Final = CHUNK_BYTES - 1
# Filing under 64 chunks costs a few microseconds, little beside the moving of 4 MiB.
WIDE_BYTES: Final = 64 * CHUNK_BYTES


class Located(Protocol):
    """What the gate looks at: an extent, in bytes, that stays the same until it is released."""

    @property
    def offset(self) -> int:
        """The first byte."""

    @property
    def length(self) -> int:
        """How many bytes; 0 is allowed."""


R = TypeVar("R", bound=Located)


class OverlapGate(Generic[R]):
    """Admits requests, those that overlap strictly one after the other.

    Requests are told apart by identity: their class must not define `__eq__`.
    """

    __slots__ = ("_chunks", "_followers", "_waiting", "_wide")

    def __init__(self) -> None:
        # All lists of requests are in the order of submission, running and waiting ones alike.
        # Filed under a chunk is the one request that touches it, bare, for most are alone and a
        # list costs a tenth of the whole; or the list of those that do, once there were two.
        self._chunks: dict[int, Any] = {}
        self._wide: list[R] = []
        self._waiting: dict[R, int] = {}
        self._followers: dict[R, list[R]] = {}

    @property
    def busy(self) -> bool:
        """Whether any request that is not empty is running (none waits if none runs)."""
        return bool(self._chunks) or bool(self._wide)

    def running(self) -> Iterator[R]:
        """Those that were admitted and are not released. Looks at all: for what goes wrong, not for what
        goes well. The gate must not change meanwhile."""
        filed = dict.fromkeys(self._wide)
        for each in self._chunks.values():
            filed.update(dict.fromkeys(each if type(each) is list else [each]))
        return (request for request in filed if request not in self._waiting)

    def admit(self, request: R) -> bool:
        """Whether the request may run now; if not, a later `release` returns it.

        Either way it is in the gate until `release` is called for it, once it has run.
        """
        offset = request.offset
        length = request.length
        if not length:
            return True
        if self._wide or (offset & _WITHIN) + length > CHUNK_BYTES:
            return self._admit_far(request)
        chunk = offset >> CHUNK_SHIFT
        filed = self._chunks.get(chunk)
        if filed is None:
            self._chunks[chunk] = request
            return True
        if type(filed) is list:
            bucket = filed
        else:
            self._chunks[chunk] = bucket = [filed]
        end = offset + length
        for other in bucket:
            start = other.offset
            if start < end and offset < start + other.length:
                self._wait(request, _in_the_way(bucket, offset, end))
                bucket.append(request)
                return False
        bucket.append(request)
        return True

    def release(self, request: R) -> list[R]:
        """Tell that a running request has finished. Returns those that may run now, in order."""
        offset = request.offset
        length = request.length
        if not length:
            return []
        if (offset & _WITHIN) + length <= CHUNK_BYTES:
            chunk = offset >> CHUNK_SHIFT
            filed = self._chunks[chunk]
            if filed is request:
                del self._chunks[chunk]
            else:
                self._leave(chunk, filed, request)
        else:
            self._unfile(request)
        if self._followers:
            return self._admit_followers(request)
        return []

    def withdraw(self, request: R) -> None:
        """Forget a request that still waits: those behind it wait for what it waited for.

        Looks at all that wait, so it is for what is given up, not for what goes well.
        """
        assert request in self._waiting, "withdrawn, but it was not waiting"
        del self._waiting[request]
        behind = self._followers.pop(request, [])
        for followers in self._followers.values():
            if request in followers:
                followers.remove(request)
                inherited = [follower for follower in behind if follower not in followers]
                followers += inherited
                for follower in inherited:
                    self._waiting[follower] += 1
        for follower in behind:
            self._waiting[follower] -= 1
        self._unfile(request)

    def _unfile(self, request: R) -> None:
        """Take the request out of every list it is filed in."""
        offset, length = request.offset, request.length
        if length > WIDE_BYTES:
            self._wide.remove(request)
            return
        for chunk in range(offset >> CHUNK_SHIFT, ((offset + length - 1) >> CHUNK_SHIFT) + 1):
            filed = self._chunks[chunk]
            if filed is request:
                del self._chunks[chunk]
            else:
                self._leave(chunk, filed, request)

    def _admit_far(self, request: R) -> bool:
        """As `admit`, for a request of several chunks, or beside wide ones."""
        offset = request.offset
        length = request.length
        end = offset + length
        # One may be in the way in several chunks, hence a dictionary: they keep their order.
        ahead: dict[R, None] = {}
        if self._wide:
            ahead.update(dict.fromkeys(_in_the_way(self._wide, offset, end)))
        chunks = self._chunks
        if length > WIDE_BYTES:
            for filed in chunks.values():
                bucket = filed if type(filed) is list else [filed]
                ahead.update(dict.fromkeys(_in_the_way(bucket, offset, end)))
            self._wide.append(request)
        else:
            for chunk in range(offset >> CHUNK_SHIFT, ((end - 1) >> CHUNK_SHIFT) + 1):
                filed = chunks.get(chunk)
                if filed is None:
                    chunks[chunk] = request
                    continue
                bucket = filed if type(filed) is list else [filed]
                low = chunk << CHUNK_SHIFT
                found = _in_the_way(bucket, max(offset, low), min(end, low + CHUNK_BYTES))
                ahead.update(dict.fromkeys(found))
                bucket.append(request)
                chunks[chunk] = bucket
        if ahead:
            self._wait(request, list(ahead))
            return False
        return True

    def _leave(self, chunk: int, bucket: list[R], request: R) -> None:
        """Take the request out of a chunk's list."""
        bucket.remove(request)
        if not bucket:
            del self._chunks[chunk]

    def _wait(self, request: R, ahead: list[R]) -> None:
        """Let the request wait for all of those."""
        self._waiting[request] = len(ahead)
        for other in ahead:
            self._followers.setdefault(other, []).append(request)

    def _admit_followers(self, request: R) -> list[R]:
        """Those that waited for this request and for no other any more."""
        assert request not in self._waiting, "released, but it was still waiting"
        admitted = []
        for follower in self._followers.pop(request, ()):
            left = self._waiting[follower] - 1
            if left:
                self._waiting[follower] = left
            else:
                del self._waiting[follower]
                admitted.append(follower)
        return admitted


def _in_the_way(earlier: list[R], offset: int, end: int) -> list[R]:
    """Those whose finish lets offset..end go, searched from the latest on (see the module)."""
    found = []
    for other in reversed(earlier):
        start = other.offset
        stop = start + other.length
        if start < end and offset < stop:
            found.append(other)
            if start <= offset and end <= stop:
                break
    return found
