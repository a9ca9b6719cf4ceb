"""A file or a block device as a Device.

What a hot page can answer is answered at once on the reactor: reads as slices of a mapping whose
pages are resident, or else with RWF_NOWAIT into a pooled segment; buffered writes with pwrite.
Everything that really blocks (cold reads, flushes, FUA, trims, zeroes) goes to the I/O pool.

A write that is in the I/O pool is not yet in effect, so while one is there, later overlapping ones
wait for it (device contract: overlapping writes take effect in order).

When the kernel could not write something to the medium it says so once, to whoever syncs next, and then
forgets: the pages count as written. So after a failed sync the device has another verifier, and that is
recorded before the failure is told: a client whose answer was lost, or a server that starts again, must
not take a later flush that succeeds for one that covers what was lost. As long as it cannot be recorded every
flush fails, and tries again to record it.
"""

import errno
import logging
import os
from collections.abc import Callable
from typing import Protocol

from dsttool.engine.device.device import Device
from dsttool.engine.device.request import Request, deliver
from dsttool.engine.extents.overlap import OverlapGate
from dsttool.engine.node.backing import Backing, open_backing
from dsttool.engine.node.identity import verifier_of
from dsttool.engine.node.mapped import REGION_SHIFT, MappedFile
from dsttool.engine.runtime.iopool import Done
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.operations import CACHE, FLUSH, FUA, LOOKED_AT, READ, TRIM, WRITE, WRITE_ZEROES

LOG = logging.getLogger(__name__)

# Reads below this length share the segments of their batch.
SHARED_MAX = 32 * limits.KIB


class FailedFlushes(Protocol):
    """How many flushes have failed, for each file or block device that was ever opened here. Both block."""

    def count(self, identity: bytes) -> int:
        """What was recorded last."""

    def record(self, identity: bytes, count: int) -> None:
        """Durable when it returns; OSError or DsttoolError if it is not."""


class FileDevice(Device):
    """A regular file or a block device, opened and locked (see `open_backing`)."""

    def __init__(
        self, reactor: Reactor, backing: Backing, *, mapped: bool, failed: FailedFlushes | None = None
    ) -> None:
        self._reactor = reactor
        self._backing = backing
        self._fd = backing.fd
        self.name = backing.path
        self.capabilities = backing.capabilities
        self.identity = backing.identity
        self._mapping = MappedFile.of(backing.fd, backing.capabilities.size) if mapped else None
        self._view = self._mapping.view if self._mapping else memoryview(b"")
        self._trusted: dict[int, int] = self._mapping.trusted if self._mapping else {}
        self._read_flags = os.RWF_NOWAIT if backing.nowait else 0
        self._shared = memoryview(b"")
        self._shared_used = 0
        self._gate: OverlapGate[Request] = OverlapGate()
        self._pooled = 0
        self._pooled_reads = 0
        self._flushing: list[Request] = []
        self._flush_waiting: list[Request] = []
        self._failed = failed
        self._failures = failed.count(backing.identity) if failed is not None else 0
        self._unrecorded = 0
        self._forgettable = False  # the latest failure is on no record
        self.verifier = self._flushing_under = verifier_of(backing.identity, self._failures)
        self._closed: Callable[[], None] | None = None

    @classmethod
    def open(
        cls,
        reactor: Reactor,
        path: str,
        *,
        read_only: bool = False,
        size: int | None = None,
        mapped: bool = False,
        failed: FailedFlushes | None = None,
    ) -> "FileDevice":
        """Open, lock and, with a `size` for a path that does not exist, create it sparse. Blocks.

        mapped: reads may be slices of a mapping. Only for devices whose data goes straight to
        a socket: user code that touches a mapping gets SIGBUS where the kernel gets EFAULT. failed: where
        failed flushes are recorded; without it they are forgotten with the device.
        """
        backing = open_backing(path, read_only=read_only, size=size)
        mapped = mapped and backing.nowait and backing.tells_residency
        return cls(reactor, backing, mapped=mapped, failed=failed)

    def submit(self, batch: list[Request]) -> None:
        """See Device."""
        finished: list[Request] = []
        small: list[Request] = []
        fd, pwrite, busy, now = self._fd, os.pwrite, self._pooled, self._reactor.now
        view, mapping, trusted = self._view, self._mapping, self._trusted.get
        # A single small read is copied sooner than it is decided about.
        ask = SHARED_MAX if len(batch) == 1 else 0
        for request in batch:
            op = request.op
            if op == READ:
                offset = request.offset
                end = offset + request.length
                region = offset >> REGION_SHIFT
                known = trusted(region, 0) > now and region == (end - 1) >> REGION_SHIFT
                if not request.flags & LOOKED_AT and (
                    known
                    or (
                        request.length >= ask
                        and mapping is not None
                        and mapping.resident(offset, end - offset, now)
                    )
                ):
                    request.data = view[offset:end]
                    finished.append(request)
                elif request.length < SHARED_MAX:
                    small.append(request)
                else:
                    self._read_segment(request, finished)
            elif op == WRITE and not busy and not request.flags & FUA:
                try:
                    written = pwrite(fd, request.data, request.offset)
                except OSError as error:
                    request.error = error.errno or errno.EIO
                else:
                    if written != request.length:
                        request.error = self._backing.write_rest(request.data, request.offset, written)
                finished.append(request)
            else:
                self._submit_ordered(request)
                busy = self._pooled
        if small:
            self._read_small(small, finished)
        if finished:
            deliver(finished)

    def distrust(self) -> None:
        """See Device: no more slices of the mapping."""
        if self._mapping is not None:
            self._mapping.close()
            self._mapping = None
            self._view = memoryview(b"")

    def close(self, done: Callable[[], None]) -> None:
        """See Device."""
        self._closed = done
        self._maybe_closed()

    # -- reads -----------------------------------------------------------------------------------

    def _read_small(self, requests: list[Request], finished: list[Request]) -> None:
        """Short reads share segments, across batches as well."""
        preadv, fd, flags = os.preadv, self._fd, self._read_flags
        segment, position = self._shared, self._shared_used
        room = len(segment)
        for request in requests:
            length = request.length
            end = position + length
            if end > room:
                self._shared = segment = self._reactor.pool.take()
                room = len(segment)
                position, end = 0, length
            view = segment[position:end]
            position = end
            try:
                got = preadv(fd, (view,), request.offset, flags)
            except BlockingIOError:
                got = -1
            except OSError as error:
                request.error = error.errno or errno.EIO
                finished.append(request)
                continue
            if got == length:
                request.data = view
                finished.append(request)
            else:
                self._read_blocking(request, view)
        self._shared_used = position

    def _read_segment(self, request: Request, finished: list[Request]) -> None:
        view = self._reactor.pool.take(request.length)[: request.length]
        try:
            if os.preadv(self._fd, (view,), request.offset, self._read_flags) == request.length:
                request.data = view
                finished.append(request)
                return
        except BlockingIOError:
            pass
        except OSError as error:
            request.error = error.errno or errno.EIO
            finished.append(request)
            return
        self._read_blocking(request, view)

    def _read_blocking(self, request: Request, view: memoryview) -> None:
        backing, offset = self._backing, request.offset
        self._pooled_reads += 1

        def done(code: int, error: BaseException | None) -> None:
            self._pooled_reads -= 1
            request.error = _errno(code, error)
            if not request.error:
                request.data = view
            deliver([request])
            self._maybe_closed()

        self._reactor.run_blocking(lambda: backing.read_into(view, offset), done)

    # -- what goes to the I/O pool in order -----------------------------------------------------

    def _submit_ordered(self, request: Request) -> None:
        if request.op == FLUSH:
            self._flush_waiting.append(request)
            self._start_flush()
        else:
            self._pooled += 1
            if self._gate.admit(request):
                self._start(request)

    def _start(self, request: Request) -> None:
        backing = self._backing
        op, flags, offset, length, data = (
            request.op,
            request.flags,
            request.offset,
            request.length,
            request.data,
        )

        def call() -> int:
            if op == WRITE:
                return backing.write(data, offset, sync=bool(flags & FUA))
            if op == CACHE:
                return backing.prefetch(offset, length)
            if op == TRIM:
                code = backing.trim(offset, length, flags)
            elif op == WRITE_ZEROES:
                code = backing.write_zeroes(offset, length, flags)
            else:
                return errno.EINVAL
            return backing.flush() if flags & FUA and not code else code

        def done(code: int, error: BaseException | None) -> None:
            request.error = _errno(code, error)
            for admitted in self._gate.release(request):
                self._start(admitted)
            self._pooled -= 1
            if request.error and flags & FUA:
                self._sync_failed([request])
                return
            deliver([request])
            self._maybe_closed()

        self._reactor.run_blocking(call, done)

    def _start_flush(self) -> None:
        """One flush runs at a time; all that arrive meanwhile share the next one."""
        if self._flushing or not self._flush_waiting or self._unrecorded:
            return
        if self._forgettable:
            self._record_again()
            return
        self._flushing, self._flush_waiting = self._flush_waiting, []
        self._flushing_under = self.verifier
        self._reactor.run_blocking(self._backing.flush, self._flushed)

    def _flushed(self, code: int, error: BaseException | None) -> None:
        finished, self._flushing = self._flushing, []
        failure = _errno(code, error)
        for request in finished:
            request.error = failure
            request.data = self.verifier
        if failure:
            self._sync_failed(finished)
            return
        if self._flushing_under != self.verifier or self._unrecorded:
            self._flush_waiting = finished + self._flush_waiting  # another sync failed meanwhile: again
            finished = []
        self._start_flush()
        if finished:
            deliver(finished)
        self._maybe_closed()

    # -- failed syncs ----------------------------------------------------------------------------

    def _sync_failed(self, requests: list[Request]) -> None:
        """What was acked and not on the medium may be lost: on record first, then the answers."""
        self._failures += 1
        count = self._failures
        self._record(count, lambda _, error: self._recorded(requests, count, error))

    def _record(self, count: int, done: Done) -> None:
        self._unrecorded += 1
        failed, identity = self._failed, self.identity

        def record() -> None:
            if failed is not None:
                failed.record(identity, count)

        self._reactor.run_blocking(record, done, "state")

    def _recorded(self, requests: list[Request], count: int, error: BaseException | None) -> None:
        what = "a flush failed: what was written since the last one may be lost"
        tell(LOG, "flush.failed", self.name, "%s: %s", self.name, what)
        if error is not None:
            LOG.error(
                "%s: that a flush failed could not be recorded, so all fail until it is: %s", self.name, error
            )
        self._unrecorded -= 1
        self._forgettable = error is not None  # records are made in turn: the last one tells
        self.verifier = verifier_of(self.identity, count)
        if self.on_verifier is not None:
            self.on_verifier()
        self._start_flush()
        deliver(requests)
        self._maybe_closed()

    def _record_again(self) -> None:
        """Before flushes succeed: the next server must not take them for what covers what was lost."""
        requests, self._flush_waiting = self._flush_waiting, []

        def done(_: object, error: BaseException | None) -> None:
            self._unrecorded -= 1
            if error is None:
                self._forgettable = False
                LOG.warning("%s: that a flush failed is recorded now", self.name)
                self._flush_waiting = requests + self._flush_waiting
            self._start_flush()
            if error is not None:
                for request in requests:
                    request.error = errno.EIO
                deliver(requests)
            self._maybe_closed()

        self._record(self._failures, done)

    def _maybe_closed(self) -> None:
        """Release the file once nothing runs any more."""
        busy = self._pooled or self._pooled_reads or self._flushing or self._unrecorded
        if self._closed and not busy:
            done, self._closed = self._closed, None
            self.distrust()
            self._backing.close()
            done()


def _errno(code: int, error: BaseException | None) -> int:
    if error is None:
        return code
    if isinstance(error, OSError):
        return error.errno or errno.EIO
    LOG.error("an operation failed in a way it must not", exc_info=error)
    return errno.EIO
