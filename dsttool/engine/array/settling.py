"""Settling: extents on which a change failed everywhere are made alike again, without anybody asking.

Members may differ there, so such an extent is read from the first member in sync and no other (Trust). When
that one is lost the next would bring another content, though nobody has written; and an array that ends with
such extents has not ended cleanly. So each is done as soon as all members in sync are connected:

1. lock it: what was written there before has ended, and nobody writes there meanwhile
2. read it, as any client would
3. write that to all members, the one it came from among them: what was given up there, and might land later
   still, has to end before. A member that fails this is stale, as with any other write.

One at a time, no faster than the floor of resyncs. After a failure it is tried again later and later, the
others first: what nobody can read for good is in nobody's way. In the members' figures it counts as a
client's.
"""

import errno
from collections.abc import Callable
from typing import Any, Final

from dsttool.engine.array.pacer import Pacer
from dsttool.engine.array.piece import Lock
from dsttool.engine.array.trust import Trust
from dsttool.engine.device.request import Request
from dsttool.engine.extents.extent import Extent
from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.vocabulary.limits import KIB, SECOND
from dsttool.engine.vocabulary.operations import FAIL_FAST, LOOKED_AT, READ

# What made all members fail is not over in no time.
AGAIN_MIN_NS: Final = SECOND
AGAIN_MAX_NS: Final = 30 * SECOND
# What one lock covers.
_BYTES: Final = 256 * KIB


class Settling:
    """Of one array. `lock(lock)`: whether it is granted at once; `read(batch)`: as a client's;
    `fill(lock, data)`: write that where the lock is, and release it; `release(locks)`.

    block, longest: the least and the most that one request may have, in bytes.
    """

    # Whose its requests are, where a status shows them.
    peer: Final = "settling"

    def __init__(
        self,
        reactor: Reactor,
        trust: Trust,
        pacer: Pacer,
        *,
        lock: Callable[[Lock], bool],
        read: Callable[[list[Request]], None],
        fill: Callable[[Lock, memoryview], None],
        release: Callable[[list[Request]], None],
        block: int,
        longest: int,
    ) -> None:
        self._reactor = reactor
        self._trust = trust
        self._pacer = pacer
        self._lock = lock
        self._read = read
        self._fill = fill
        self._release = release
        self._longest = max(block, min(_BYTES, longest) // block * block)
        self._delay = AGAIN_MIN_NS
        self._cursor = 0  # behind what failed last
        self._timer: Timer | None = None
        self._running = False
        self._over = False

    def begin(self) -> None:
        """There is something to settle, if not now then soon."""
        if not (self._running or self._over or self._timer is not None):
            self._timer = self._reactor.call_later(self._delay, self._go_on)

    def end(self) -> None:
        """The array closes, or is not written to any more."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()

    def _go_on(self) -> None:
        """Settle the next extent, now or when the pace allows; if that cannot be, wait for longer."""
        self._timer = None
        unsettled = self._trust.unsettled
        run = unsettled.after(self._cursor) or unsettled.after(0)
        if run is None:
            self._delay = AGAIN_MIN_NS
        elif not self._all_there():
            self._again()
        else:
            # Nobody tells when the limits change, so a pace is not relied on for long.
            wait = min(self._pacer.wait(self._reactor.now), AGAIN_MAX_NS)
            if wait:
                self._timer = self._reactor.call_later(wait, self._go_on)
            else:
                self._settle(Extent(run.offset, min(run.length, self._longest)))

    def _all_there(self) -> bool:
        return all(member.up for member in self._trust.members if member.in_sync)

    def _again(self) -> None:
        self._delay = min(2 * self._delay, AGAIN_MAX_NS)
        self.begin()

    def _settle(self, run: Extent) -> None:
        self._pacer.began(self._reactor.now, run.length, busy=True)
        self._running = True
        lock = Lock(run.offset, run.length, None, self._granted, self._ended)
        if self._lock(lock):
            self._granted(lock)

    def _granted(self, lock: Lock) -> None:
        """In a turn of its own: whoever grants it may be in the middle of something."""
        self._reactor.post(lambda: self._begin(lock))

    def _begin(self, lock: Lock) -> None:
        if self._over or not self._trust.unsettled.covers(lock.offset, lock.length):
            self._release([lock])  # a client has written there
            return
        flags = LOOKED_AT | FAIL_FAST  # nobody may write there, so it must not wait for long
        self._read([Request(READ, flags, lock.offset, lock.length, None, lock, self._was_read)])

    def _was_read(self, requests: list[Any]) -> None:
        (request,) = requests
        lock: Lock = request.cookie
        if request.error or self._over:
            lock.error = request.error or errno.ESHUTDOWN
            self._release([lock])
        else:
            data = request.data
            self._fill(lock, memoryview(b"".join(data) if type(data) is list else data))

    def _ended(self, locks: list[Request]) -> None:
        (lock,) = locks
        self._running = False
        if self._over:
            return
        if lock.error:
            self._cursor = lock.offset + lock.length
            self._again()
        else:
            self._delay = AGAIN_MIN_NS
            self._reactor.post(self._next)

    def _next(self) -> None:
        if not (self._running or self._over or self._timer is not None):
            self._go_on()
