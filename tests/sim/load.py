"""A client's load: random requests, many in flight, that the model follows."""

import errno
import random

from dsttool.engine.device.device import Device
from dsttool.engine.device.request import Request
from dsttool.engine.vocabulary.limits import MS
from dsttool.engine.vocabulary.operations import FAST_ZERO, FLUSH, FUA, READ, TRIM, WRITE, WRITE_ZEROES
from sim.block import BLOCK, Violation, content
from sim.model import Model, Op
from sim.world import Process, SimWorld

OPS = (READ,) * 8 + (WRITE,) * 9 + (TRIM, WRITE_ZEROES, FLUSH, FLUSH)
# Lengths in blocks; the longest payloads are beyond the crossover, so that they are announced.
LENGTHS = (1, 1, 1, 2, 2, 3, 5, 8, 16, 70)
IN_FLIGHT_MAX = 24
CHANGES = (WRITE, TRIM, WRITE_ZEROES)


class Load:
    """Keeps one device busy. The device may be replaced when its process was started again.

    fast: how many of the zeroes it asks for are to be fast (0 to 1).
    """

    def __init__(self, world: SimWorld, model: Model, blocks: int, *, fast: float) -> None:
        self._world = world
        self._rng = random.Random(world.random.getrandbits(64))
        self._blocks = blocks
        self._fast = fast
        # Drawn apart: runs without stay what they are.
        self._fast_rng = random.Random(f"fast zeroes of {world.seed}")
        self._stamp = 0
        self._sink = self._finished
        self._device: Device | None = None
        self._process: Process | None = None
        self._verifier = b""
        # Batches that the process has not looked at yet.
        self._posted = 0
        self.model = model
        self.asked = self.answered = self.failed = 0

    def attach(self, process: Process, device: Device, *, lost: bool = False) -> None:
        """From now on ask this device, on this process, as an NBD connection would: a flush under another
        verifier than the last has failed, and so has the first one if writes were lost before."""
        self._verifier = bytes(16) if lost else device.verifier
        self._process, self._device, self._posted = process, device, 0
        if self._rng.random() < 0.6:
            self.read_all()

    def detach(self) -> None:
        """The process has died."""
        if self._device is not None:
            self._process = self._device = None
            self.model.die()

    def haunt(self, process: Process, device: Device) -> None:
        """Another owner has taken over: what the old one still tries must not be acked, nor ever be seen."""
        self.model.die()
        for delay in (0, 50, 400, 2000):
            self._world.after(delay * MS, lambda _: self._haunt_now(process, device))

    def _haunt_now(self, process: Process, device: Device) -> None:
        if process.alive:
            # The model is not told of them.
            ops = [op for op in (self._random_op() for _ in range(4)) if op.request.op in CHANGES]
            for op in ops:
                op.request.sink = self._haunted
                self._world.note("ghost  %r", op)
            process.reactor.post(lambda: device.submit([op.request for op in ops]))

    def _haunted(self, requests: list[Request]) -> None:
        for request in requests:
            if not request.error:
                raise Violation(f"acked, though another owner has taken over: {request.cookie!r}")
            self._world.struck["write of a fenced owner refused"] += 1

    @property
    def attached(self) -> bool:
        return self._device is not None

    @property
    def idle(self) -> bool:
        """Whether everything asked has been answered."""
        return not self._posted and not self.model.waiting

    def submit_some(self) -> None:
        """A batch, if there is a device and not too much is under way."""
        if self._posted < 3 and len(self.model.waiting) < IN_FLIGHT_MAX:
            self._submit([self._random_op() for _ in range(self._rng.randint(1, 6))])

    def read_all(self) -> None:
        """Check every block."""
        step = 40
        self._submit(
            [self._op(READ, first, min(step, self._blocks - first)) for first in range(0, self._blocks, step)]
        )

    def flush(self) -> None:
        self._submit([self._op(FLUSH, 0, 0)])

    def write_all(self) -> None:
        """Give every block a known content."""
        step = 40
        self._submit(
            [
                self._op(WRITE, first, min(step, self._blocks - first))
                for first in range(0, self._blocks, step)
            ]
        )

    def _submit(self, ops: list[Op]) -> None:
        if self._process is not None:
            process, device = self._process, self._device
            self._posted += 1
            process.reactor.post(lambda: self._submit_now(device, ops))

    def _submit_now(self, device: Device | None, ops: list[Op]) -> None:
        if device is self._device and device is not None:
            self._posted -= 1
            for op in ops:
                self.model.begin(op)
                self._world.note("ask    %r", op)
            self.asked += len(ops)
            device.submit([op.request for op in ops])

    def _finished(self, requests: list[Request]) -> None:
        for request in requests:
            if request.op == FLUSH and not request.error and self._device is not None:
                self._check_verifier(request, self._device)
            self._world.note("answer %r error %d", request.cookie, request.error)
            self.model.end(request.cookie)
            self.answered += 1
            self.failed += request.error != 0

    def _check_verifier(self, request: Request, device: Device) -> None:
        if request.data != self._verifier:
            self._world.strike("loss reported by a flush")
            request.error = errno.EIO
            self._verifier = device.verifier

    def _random_op(self) -> Op:
        rng = self._rng
        op = rng.choice(OPS)
        if op == FLUSH:
            return self._op(FLUSH, 0, 0)
        length = min(rng.choice(LENGTHS), self._blocks)
        # Half of them meet in a few places.
        first = rng.randrange(8) if rng.random() < 0.5 else rng.randrange(self._blocks)
        length = min(length, self._blocks - first)
        flags = FUA if op != READ and rng.random() < 0.15 else 0
        if op == WRITE_ZEROES and self._fast_rng.random() < self._fast:
            flags |= FAST_ZERO
        return self._op(op, first, length, flags)

    def _op(self, op: int, first: int, count: int, flags: int = 0) -> Op:
        data = None
        stamp = 0
        if op == WRITE:
            self._stamp += 1
            stamp = self._stamp
            data = memoryview(b"".join(content(stamp, block) for block in range(first, first + count)))
        request = Request(op, flags, first * BLOCK, count * BLOCK, data, None, self._sink)
        request.cookie = Op(stamp, request)
        return request.cookie
