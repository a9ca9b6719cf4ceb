"""A verified load: random requests on an array, and a model that knows what each read may bring."""

import random
from collections.abc import Callable

from dsttool.engine.device.request import Request
from dsttool.engine.vocabulary.operations import CACHE, FLUSH, FUA, READ, TRIM, WRITE, WRITE_ZEROES
from support.array_bench import ask, write
from support.faulty_device import CHANGES

# Small, so that requests overlap all the time.
AREA = 3000


class Model:
    """Which bytes each read may bring: those of changes that ended before it began, or of any since.

    A change writes its own number to each of its bytes; what takes no payload writes 0.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.acked = [0] * size
        self._open: list[tuple[Request, int]] = []
        self._reads: dict[Request, dict[int, set[int]]] = {}

    def begins(self, request: Request, value: int) -> None:
        if request.op == READ:
            allowed = {at: {self.acked[at]} for at in self._bytes(request)}
            for change, written in self._open:
                for at in self._bytes(change):
                    if at in allowed:
                        allowed[at].add(written)
            self._reads[request] = allowed
        if request.op not in CHANGES:
            return
        for at in self._bytes(request):
            for allowed in self._reads.values():
                if at in allowed:
                    allowed[at].add(value)
        self._open.append((request, value))

    def ends(self, request: Request) -> None:
        if request.op == READ:
            allowed = self._reads.pop(request)
            data = b"".join(request.data) if type(request.data) is list else bytes(request.data)
            assert len(data) == request.length
            for at, byte in zip(self._bytes(request), data):
                assert byte in allowed[at], f"byte {at} is {byte}, not one of {allowed[at]}"
        if request.op not in CHANGES:
            return
        (value,) = [value for change, value in self._open if change is request]
        self._open = [entry for entry in self._open if entry[0] is not request]
        for at in self._bytes(request):
            self.acked[at] = value

    @staticmethod
    def _bytes(request: Request) -> range:
        return range(request.offset, request.offset + request.length)


class Load:
    """Random requests within AREA bytes from `begin`. `submit(*requests)` hands a batch to a device."""

    OPS = (READ, READ, READ, WRITE, WRITE, WRITE, TRIM, WRITE_ZEROES, FLUSH, CACHE)

    def __init__(self, submit: Callable[..., None], size: int, rng: random.Random, begin: int = 0) -> None:
        self.rng = rng
        self.model = Model(size)
        self._submit = submit
        self.running: list[Request] = []
        self._begin = begin
        self._value = 0

    def submit_some(self) -> None:
        batch = [self._random_request() for _ in range(self.rng.randint(1, 12))]
        self.submit(*batch)

    def submit(self, *batch: Request) -> None:
        self.running += batch
        for request in batch:
            self.model.begins(request, self._value_of(request))
        self._submit(*batch)
        self.collect()

    def read_all(self) -> None:
        """Compare everything once more."""
        self.submit(ask(READ, self._begin, AREA))

    def collect(self) -> None:
        for request in [request for request in self.running if request.cookie.ends]:
            self.running.remove(request)
            assert request.error == 0, f"{request} failed"
            self.model.ends(request)

    def _random_request(self) -> Request:
        rng = self.rng
        op = rng.choice(self.OPS)
        if op == FLUSH:
            return ask(FLUSH)
        offset = self._begin + rng.randrange(AREA)
        length = min(rng.choice((1, 100, 512, 1500, AREA)), self._begin + AREA - offset)
        if op != WRITE:
            return ask(op, offset, length, flags=rng.choice((0, FUA)) if op in (TRIM, WRITE_ZEROES) else 0)
        self._value = self._value % 255 + 1
        return write(offset, bytes([self._value]) * length, rng.choice((0, FUA)))

    @staticmethod
    def _value_of(request: Request) -> int:
        return request.data[0] if request.op == WRITE else 0
