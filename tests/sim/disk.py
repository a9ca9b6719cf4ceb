"""Virtual disks: what a machine's power loss, a failing medium and a slow one do to a device.

A Platter belongs to a machine. It has what is durable, what the page cache shows, and the changes in
between, in order. A SimDisk is the Device through which one process uses a platter.

* Power loss: any subset of the changes that no flush covered survives, each perhaps only in some of its
  blocks; the rest is gone. The machine's boot id changes, and with it the verifier.
* A failing flush: some of what it was to cover will never become durable, though the cache still shows
  it; the count of failed flushes is durable, and changes the verifier, before the flush is answered.
* kill -9: what was running has happened, in part, or not at all.

What a trim means is the disk's own affair, and so is whether zeroes are written fast (FAST_ZERO).
"""

import errno
import hashlib
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from dsttool.engine.device.device import Capabilities, Device
from dsttool.engine.device.request import Request, deliver
from dsttool.engine.extents.overlap import OverlapGate
from dsttool.engine.vocabulary.limits import MS, SECOND
from dsttool.engine.vocabulary.operations import FAST_ZERO, FLUSH, FUA, READ, TRIM, WRITE, WRITE_ZEROES
from sim.block import BLOCK, Violation, described

if TYPE_CHECKING:
    from sim.world import Machine, Process

US = 1000
_CHANGES = (WRITE, TRIM, WRITE_ZEROES)


class Change:
    """Bytes that are in the cache. durable: a FUA, so no power loss takes it; lost: a failed flush
    means that it never will be."""

    __slots__ = ("data", "durable", "lost", "offset")

    def __init__(self, offset: int, data: bytes, durable: bool) -> None:
        self.offset = offset
        self.data = data
        self.durable = durable
        self.lost = False


class Platter:
    """The medium and the page cache before it."""

    def __init__(self, machine: "Machine", name: str, size: int) -> None:
        self.machine = machine
        self.name = name
        self.size = size
        self.cache = bytearray(size)
        self.durable = bytearray(size)
        self.unflushed: list[Change] = []
        self.failed_flushes = 0
        # Until these times it is slow, does not answer at all, or fails some requests.
        self.slow_until = self.stalled_until = self.failing_until = 0
        self.fail_flushes = 0
        # Whether a trim does anything; how often fast zeroes are refused, if they are (0 to 1).
        self.trims = True
        self.refusing = 0.0
        # Whether its clients promise that changes which overlap are never under way together.
        self.ordered_above = False
        # Writes that were executed since anything could make executing them again right, by place and
        # stamp; None where that cannot be told.
        self.executed: set[tuple[int, int, bytes]] | None = None
        # Told when acked data may have been lost.
        self.on_loss: Callable[[], None] = lambda: None
        machine.platters.append(self)

    @property
    def verifier(self) -> bytes:
        """Of the boot id and the count of failed flushes."""
        text = f"{self.machine.name} {self.machine.boot} {self.name} {self.failed_flushes}"
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    def change(self, offset: int, data: bytes, *, durable: bool) -> None:
        self.cache[offset : offset + len(data)] = data
        self.unflushed.append(Change(offset, data, durable))

    def execute(self, request: Request) -> None:
        """A write happens: not for the second time."""
        if self.executed is not None:
            key = (request.offset, request.length, bytes(request.data[:8]))
            if key in self.executed:
                raise Violation(f"{self.name}: a write was executed twice: {request}")
            self.executed.add(key)

    def forget(self) -> None:
        """From now on it may be right to execute again what was executed before."""
        if self.executed is not None:
            self.executed.clear()

    def flush(self, count: int) -> None:
        """The first `count` unflushed changes become durable."""
        for change in self.unflushed[:count]:
            if not change.lost:
                self.durable[change.offset : change.offset + len(change.data)] = change.data
        del self.unflushed[:count]

    def fail_flush(self, count: int, rng: random.Random) -> None:
        """The first `count` unflushed changes are durable, or lost; nobody knows which."""
        self.failed_flushes += 1
        # What is acked before its client hears of this is written again, too.
        self.executed = None
        for change in self.unflushed[:count]:
            if not change.durable and rng.random() < 0.5:
                change.lost = True
        self.flush(count)
        self.machine.world.strike("flush failed", self.name)
        self.on_loss()

    def lose_power(self) -> None:
        """What survives, survives."""
        rng = self.machine.world.random
        self.forget()
        lost = 0
        for change in self.unflushed:
            if change.durable:
                self._keep(change, 0, len(change.data))
                continue
            fate = rng.random()
            if fate < 0.4 or change.lost:
                lost += 1
            elif fate < 0.8:
                self._keep(change, 0, len(change.data))
            else:
                lost += 1
                self.machine.world.struck["write torn by a power loss"] += 1
                for start in range(0, len(change.data), BLOCK):
                    if rng.random() < 0.5:
                        self._keep(change, start, start + BLOCK)
        self.unflushed.clear()
        self.cache[:] = self.durable
        if lost:
            self.machine.world.strike("writes lost with the power", f"{self.name}: {lost}")
        self.on_loss()

    def _keep(self, change: Change, start: int, end: int) -> None:
        self.durable[change.offset + start : change.offset + end] = change.data[start:end]


class SimDisk(Device):
    """A platter as a Device, opened by one process."""

    def __init__(self, process: "Process", platter: Platter) -> None:
        self._world = process.machine.world
        self._reactor = process.reactor
        self._platter = platter
        self._rng = random.Random(self._world.random.getrandbits(64))
        self._gate: OverlapGate[Request] = OverlapGate()
        self._running: dict[Request, int] = {}
        self._closed: Callable[[], None] | None = None
        self._dead = False
        self.name = platter.name
        self.identity = hashlib.blake2b(platter.name.encode(), digest_size=16).digest()
        self.capabilities = Capabilities(size=platter.size, fast_zero=True)
        self.verifier = platter.verifier
        process.at_death.append(self._killed)

    # -- Device ------------------------------------------------------------------------------------

    def submit(self, batch: list[Request]) -> None:
        """See Device."""
        assert self._closed is None, "submitted after close"
        for request in batch:
            assert 0 <= request.offset <= request.offset + request.length <= self.capabilities.size
            if request.op not in _CHANGES or self._gate.admit(request):
                self._start(request)
            elif self._platter.ordered_above:
                raise Violation(f"{self.name}: overlapping changes are under way together: {request}")

    def close(self, done: Callable[[], None]) -> None:
        """See Device."""
        self._closed = done
        self._maybe_closed()

    # -- the medium ----------------------------------------------------------------------------------

    def _start(self, request: Request) -> None:
        """It takes a while. A flush covers what is in the cache now."""
        world, platter = self._world, self._platter
        self._running[request] = len(platter.unflushed)
        when = world.now + int(self._rng.random() ** 3 * 2 * MS) + 5 * US
        if world.now < platter.slow_until:
            when += int(self._rng.random() ** 2 * 4 * SECOND)
            world.struck["slow I/O"] += 1
        if world.now < platter.stalled_until:
            when += platter.stalled_until - world.now
            world.struck["stalled I/O"] += 1
        world.at(when, self._finish, request)

    def _finish(self, request: Request) -> None:
        if self._dead:
            return
        unflushed = self._running.pop(request)
        request.error = self._perform(request, unflushed)
        if self._world.verbose:
            self._world.note("disk   %s %s", self.name, described(request))
        self._reactor.post(lambda: self._answer(request))

    def _answer(self, request: Request) -> None:
        if request.op in _CHANGES:
            for admitted in self._gate.release(request):
                self._start(admitted)
        if request.op == FLUSH:
            before, self.verifier = self.verifier, self._platter.verifier
            if not request.error:
                request.data = self.verifier
            if before != self.verifier and self.on_verifier is not None:
                self.on_verifier()
        deliver([request])
        self._maybe_closed()

    def _perform(self, request: Request, unflushed: int) -> int:
        """Let it happen; its errno."""
        platter, op = self._platter, request.op
        failing = self._world.now < platter.failing_until and self._rng.random() < 0.3
        if failing and op != FLUSH:
            self._world.strike("disk error", f"{platter.name} op {op}")
            if op in _CHANGES and self._rng.random() < 0.5:
                self._change(request, self._rng.randrange(request.length // BLOCK + 1))
            return self._rng.choice((errno.EIO, errno.ENOSPC)) if op == WRITE else errno.EIO
        if op == READ:
            request.data = memoryview(bytes(platter.cache[request.offset : request.offset + request.length]))
        elif request.flags & FAST_ZERO and self._refuses(request):
            return errno.ENOTSUP
        elif op in _CHANGES:
            if op == WRITE:
                platter.execute(request)
            if op != TRIM or platter.trims:
                self._change(request, None)
        elif op == FLUSH:
            # Only what has not become durable through another flush since.
            covered = min(unflushed, len(platter.unflushed))
            if platter.fail_flushes:
                platter.fail_flushes -= 1
                platter.fail_flush(covered, self._rng)
                return errno.EIO
            platter.flush(covered)
        return 0

    def _refuses(self, request: Request) -> bool:
        """Some find out in the middle."""
        refusing = self._platter.refusing
        if not refusing or self._rng.random() >= refusing:
            return False
        self._world.strike("fast zeroes refused", self.name)
        if refusing < 1:
            self._change(request, self._rng.randrange(request.length // BLOCK + 1))
        return True

    def _change(self, request: Request, blocks: int | None) -> None:
        data = bytes(request.data) if request.op == WRITE else bytes(request.length)
        durable = bool(request.flags & FUA) and blocks is None
        if blocks is not None:
            data = data[: blocks * BLOCK]
        if data:
            self._platter.change(request.offset, data, durable=durable)

    def _killed(self) -> None:
        """The process is gone; what the kernel had begun for it may have happened."""
        self._dead = True
        self._platter.forget()
        if not self._platter.machine.on:
            return
        for request, unflushed in self._running.items():
            fate = self._rng.random()
            if request.op in _CHANGES and fate < 0.7:
                blocks = None if fate < 0.5 else self._rng.randrange(request.length // BLOCK + 1)
                self._change(request, blocks)
            elif request.op == FLUSH and fate < 0.5:
                self._platter.flush(min(unflushed, len(self._platter.unflushed)))

    def _maybe_closed(self) -> None:
        if self._closed is not None and not self._running:
            done, self._closed = self._closed, None
            self._reactor.post(done)
