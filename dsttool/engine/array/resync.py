"""Resync of one member: exactly its dirty extents, from members in sync, while everybody is served.

A run of dirty chunks is copied in five steps:

1. lock it: what was written there before has ended, and nobody writes there meanwhile
2. read it from a member in sync; if that one fails, from the next
3. write it to the member
4. it is no longer dirty but loose: the member may still lose it with its power
5. unlock it

When nothing is dirty any more, and from time to time before, no copy is begun until the member has flushed:
what was loose is clean then, or dirty if the flush fails. Writes of clients go to the member all the while;
if one fails there, or the member's verifier changes, that is dirty again. A copy that was begun before any
member's trust changed (another `era`) does not count.

The work goes on in turns of the reactor, a few copies in each, so that clients come in between.
"""

import errno
from collections.abc import Callable
from typing import Any, Final

from dsttool.engine.array.member import Member
from dsttool.engine.array.pacer import Meter, Pacer
from dsttool.engine.array.piece import Lock
from dsttool.engine.array.trust import Trust
from dsttool.engine.device.request import Request
from dsttool.engine.extents.extent import Extent
from dsttool.engine.runtime.reactor import Reactor, Timer
from dsttool.engine.vocabulary.limits import KIB, MIB
from dsttool.engine.vocabulary.operations import FAIL_FAST, FLUSH, LOOKED_AT, READ, WRITE
from dsttool.engine.vocabulary.status import JobStatus

# What one lock covers, unless a chunk is larger: a few milliseconds on a link of 1 Gbit/s.
COPY_BYTES: Final = 256 * KIB
# Copies at a time: enough to keep a link busy while others are read or written.
DEPTH: Final = 8
# What would have to be copied again if the member lost its power now.
FLUSH_BYTES: Final = 256 * MIB


class Copy:
    """One run on its way. waiting: locks not granted yet, and one; left: transfers under way."""

    __slots__ = ("era", "error", "left", "locks", "run", "waiting")

    def __init__(self, run: Extent, era: int) -> None:
        self.run = run
        self.era = era
        self.error = 0
        self.left = 0
        self.locks: list[Lock] = []
        self.waiting = 1


class Transfer(Request):
    """Part of a copy: read from one member after the other, then written. array_offset: in the array."""

    __slots__ = ("array_offset", "slots", "source", "tried")

    def __init__(
        self, copy: Copy, offset: int, length: int, array_offset: int, slots: tuple[int, ...], sink: Any
    ) -> None:
        super().__init__(READ, LOOKED_AT | FAIL_FAST, offset, length, None, copy, sink)
        self.array_offset = array_offset
        self.slots = slots
        self.source: Member | None = None
        self.tried: set[int] = set()


class Resync:
    """`lock(lock)`: whether it is granted at once; `unlock(locks)`; `busy()`: whether clients have asked for
    anything since it was last called. `ended(resync, error)` once nothing is under way any more; error is
    an errno, 0 if the member holds everything, on stable storage."""

    # Whose its requests are, where a status shows them.
    peer: Final = "resync"

    def __init__(
        self,
        reactor: Reactor,
        member: Member,
        trust: Trust,
        pacer: Pacer,
        *,
        lock: Callable[[Lock], bool],
        unlock: Callable[[list[Request]], None],
        busy: Callable[[], bool],
        longest: int,
        ended: Callable[["Resync", int], None],
    ) -> None:
        self._reactor = reactor
        self.member = member
        self._trust = trust
        self._pacer = pacer
        self._lock = lock
        self._unlock = unlock
        self._busy = busy
        self._longest = longest
        self._ended = ended
        self._meter = Meter(reactor.now)
        self._running: set[Copy] = set()
        self._cursor = 0
        self._since_flush = 0
        self._flushing = False
        self._scheduled = False
        self._timer: Timer | None = None
        self._stopped: int | None = None
        self.paused = False

    # -- for the array -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, or look again whether there is something to do."""
        if not self._scheduled:
            self._scheduled = True
            self._reactor.post(self._turn)

    def stop(self, error: int) -> None:
        """Begin nothing more, and end with this errno as soon as nothing is under way."""
        if self._stopped is None:
            self._stopped = error
            self.start()

    def status(self) -> JobStatus:
        """The fields of interface.md."""
        dirty = self.member.missed.dirty_bytes
        rate = self._meter.rate(self._reactor.now)
        return {
            "kind": "resync",
            "member": self.member.name,
            "state": "paused" if self.paused else "running",
            "done_bytes": self.member.resynced,
            "total_bytes": self.member.resynced + dirty,
            "rate_bytes": 0 if self.paused else rate,
            "eta_ns": dirty * 1_000_000_000 // rate if rate and not self.paused else None,
        }

    # -- turns ---------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        self._scheduled = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stopped is not None:
            self._maybe_end(self._stopped)
        elif not self._flushing:
            self._copy_some()

    def _maybe_end(self, error: int) -> None:
        if not self._running and not self._flushing:
            self._flushing = True  # nothing follows
            self._ended(self, error)

    def _copy_some(self) -> None:
        """Begin copies as far as depth, pace and the next flush allow; flush once there are none."""
        now = self._reactor.now
        for _ in range(DEPTH):
            if self.paused or self._since_flush >= FLUSH_BYTES or len(self._running) >= DEPTH:
                break
            wait = self._pacer.wait(now)
            if wait:
                self._timer = self._reactor.call_later(wait, self.start)
                break
            run = self._next_run()
            if run is None:
                break
            self._pacer.began(now, run.length, busy=self._busy())
            self._begin(run)
        if self._running or self._timer is not None or self._flushing or self._scheduled:
            return
        if self._since_flush >= FLUSH_BYTES or self.member.missed.next_run(0, 1) is None:
            self._flush()

    def _next_run(self) -> Extent | None:
        """What to copy next; nothing that is being copied."""
        missed = self.member.missed
        run = missed.next_run(self._cursor, COPY_BYTES)
        if run is None and not self._running:
            run = missed.next_run(0, COPY_BYTES)
        if run is not None:
            self._cursor = run.end
        return run

    # -- one copy --------------------------------------------------------------------------------------------

    def _begin(self, run: Extent) -> None:
        copy = Copy(run, self._trust.era)
        self._running.add(copy)
        for offset, length in self._trust.algorithm.join(self.member.slot, run.offset, run.length):
            copy.locks.append(Lock(offset, length, copy, self._granted, self._refused))
        copy.waiting += len(copy.locks)
        for lock in copy.locks:
            if self._lock(lock):
                copy.waiting -= 1
        self._go_on(copy)

    def _granted(self, lock: Lock) -> None:
        self._go_on(lock.cookie)

    def _refused(self, locks: list[Request]) -> None:
        """Locks that come back: granted ones were released, the others refused because the array closes."""
        for lock in locks:
            if lock.error:
                copy = lock.cookie
                copy.error = lock.error
                copy.locks.remove(lock)
                self._go_on(copy)

    def _go_on(self, copy: Copy) -> None:
        copy.waiting -= 1
        if copy.waiting:
            return
        copy.left = 1  # so that it does not end while transfers are begun
        if self._stopped is None and not copy.error:
            for lock in copy.locks:
                self._read(copy, lock)
        self._transferred(copy, 0)

    def _read(self, copy: Copy, lock: Lock) -> None:
        for part in self._trust.algorithm.split(lock.offset, lock.length):
            for start in range(0, part.length, self._longest):
                length = min(self._longest, part.length - start)
                copy.left += 1
                self._ask(
                    Transfer(
                        copy,
                        part.offset + start,
                        length,
                        lock.offset + part.start + start,
                        part.slots,
                        self._was_read,
                    )
                )

    def _ask(self, transfer: Transfer) -> None:
        """Read it from the best member that was not tried yet; fail with EIO if there is none."""
        members = self._trust.members
        holders = [members[slot] for slot in transfer.slots if members[slot].in_sync]
        if self._trust.unsettled.overlaps(transfer.array_offset, transfer.length):
            holders = holders[:1]
        holders = [member for member in holders if member.slot not in transfer.tried]
        if not holders:
            self._transferred(transfer.cookie, errno.EIO)
            return
        source = min(holders, key=lambda member: (not member.up, member.in_flight))
        transfer.source = source
        transfer.tried.add(source.slot)
        transfer.error = 0
        assert source.node is not None
        source.node.submit([transfer])

    def _was_read(self, transfers: list[Any]) -> None:
        writes: list[Request] = []
        for transfer in transfers:
            copy: Copy = transfer.cookie
            if transfer.error:
                transfer.data = None
                self._ask(transfer)
            elif copy.era != self._trust.era or not self.member.written:
                self._transferred(copy, 0)
            else:
                data = transfer.data
                payload = memoryview(b"".join(data)) if type(data) is list else data
                writes.append(
                    Request(WRITE, 0, transfer.offset, transfer.length, payload, copy, self._was_written)
                )
        if writes:
            assert self.member.node is not None
            self.member.node.submit(writes)

    def _was_written(self, requests: list[Request]) -> None:
        for request in requests:
            if request.error:
                self.member.errors += 1
            self._transferred(request.cookie, request.error)

    def _transferred(self, copy: Copy, error: int) -> None:
        copy.error = copy.error or error
        copy.left -= 1
        if copy.left:
            return
        self._running.remove(copy)
        if copy.error:
            self.stop(copy.error)
        elif self._stopped is None and copy.era == self._trust.era:
            self.member.missed.copied(copy.run.offset, copy.run.length)
            self.member.resynced += copy.run.length
            self._since_flush += copy.run.length
            self._meter.count(self._reactor.now, copy.run.length)
        if copy.locks:
            self._unlock(list(copy.locks))
        self.start()

    # -- flushes ---------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        self._flushing = True
        node = self.member.node
        assert node is not None
        if not self.member.missed.dirty_bytes:
            self.member.flushed = True  # what clients flush from now on, this one does not cover
        unflushed = self._trust.unflushed
        epoch = unflushed.begin_flush() if unflushed is not None else 0
        state = (epoch, self._trust.era, node.verifier)
        flush = Request(FLUSH, 0, 0, 0, None, state, self._was_flushed)
        if node.capabilities.flush:
            node.submit([flush])
        else:
            self._was_flushed([flush])

    def _was_flushed(self, requests: list[Request]) -> None:
        (flush,) = requests
        epoch, era, verifier = flush.cookie
        member, unflushed = self.member, self._trust.unflushed
        assert member.node is not None
        self._flushing = False
        if flush.error:
            member.errors += 1
            self._trust.dropped(member)
            self.stop(flush.error)
        elif era == self._trust.era and (flush.data or member.node.verifier) == verifier:
            self._since_flush = 0
            member.missed.flushed()
            if unflushed is not None:
                unflushed.flushed(member.slot, epoch)
            if self._stopped is None and not member.missed.dirty_bytes:
                self._maybe_end(0)
                return
        self.start()
