"""The reactor: one thread that owns all state of an engine.

A turn: wait for events, let their handlers run, run due timers and what other threads posted, then
flush everybody who has output, once. Batches form because a handler only collects: all requests that
one receive brought go down as one list, and all answers of a turn, over all connections, go out with
one system call per connection.

The reactor is the only door to the clock, sockets, files, randomness and threads. It is passed in,
so that a simulator can stand in its place: nothing else asks the time, opens or sleeps.
"""

import heapq
import os
import random
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, Protocol

from dsttool.engine.runtime.iopool import Done, IOPool
from dsttool.engine.runtime.network import Network
from dsttool.engine.runtime.segments import SegmentPool
from dsttool.engine.vocabulary import limits

READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT
Handler = Callable[[int], None]
Lane = Literal["device", "names", "state", "crypto"]


class Flushable(Protocol):
    """Somebody with output; `flush` is called once per registration, when the turn ends."""

    def flush(self) -> None:
        """Send what is queued."""


class Timer:
    """A call in the future; `cancel` any time, also after it ran."""

    __slots__ = ("call", "when")

    def __init__(self, when: int, call: Callable[[], None] | None) -> None:
        self.when = when
        self.call = call

    def __lt__(self, other: "Timer") -> bool:
        return self.when < other.when

    def cancel(self) -> None:
        """It will not run. The entry leaves the heap when its time comes."""
        self.call = None


class Reactor:
    """Event loop on epoll. `now` is monotonic, in ns, read once per turn.

    clock: what it is read from, for figures of what happens within a turn.
    crypto_threads: how many threads may seal and open records; 0: it is done on the reactor.
    """

    def __init__(
        self, io_threads: int = limits.IO_THREADS, crypto_threads: int = limits.CRYPTO_THREADS
    ) -> None:
        self.pool = SegmentPool()
        self.network = Network()
        self.random = random.SystemRandom().random
        self.random_bytes = os.urandom
        self.clock = time.monotonic_ns
        self.now = self.clock()
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[Timer] = []
        self._flushes: list[Flushable] = []
        self._posted: deque[Callable[[], None]] = deque()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake_fd, READABLE)
        self._handlers[self._wake_fd] = self._woken
        # A device that hangs keeps its threads; host names and state files must not wait for them.
        self._pools: dict[Lane, IOPool] = {
            "device": IOPool(io_threads, self._wake),
            "names": IOPool(limits.NAME_THREADS, self._wake),
            "state": IOPool(1, self._wake),
            "crypto": IOPool(crypto_threads, self._wake),
        }
        self.crypto_threads = crypto_threads
        self._running = False

    # -- what handlers use -------------------------------------------------------------------

    def register(self, fd: int, handler: Handler, events: int = READABLE) -> None:
        """Call `handler(events)` whenever the descriptor is ready (level-triggered)."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def modify(self, fd: int, events: int) -> None:
        """Wait for other events; 0 waits for errors and hang-ups only."""
        self._epoll.modify(fd, events)

    def unregister(self, fd: int) -> None:
        """Forget the descriptor; call it before closing."""
        del self._handlers[fd]
        self._epoll.unregister(fd)

    def call_at(self, when: int, call: Callable[[], None]) -> Timer:
        """Call once `now` >= when (ns, monotonic)."""
        timer = Timer(when, call)
        heapq.heappush(self._timers, timer)
        return timer

    def call_later(self, delay: int, call: Callable[[], None]) -> Timer:
        """Call `delay` ns from now."""
        return self.call_at(self.now + delay, call)

    def flush_later(self, output: Flushable) -> None:
        """Have `output.flush()` called when this turn ends. The caller registers once per turn."""
        self._flushes.append(output)

    def run_blocking(self, call: Callable[[], Any], done: Done, lane: Lane = "device") -> None:
        """Run `call` in a thread, then `done(result, error)` here; error is what it raised.

        lane: what it waits for. Each has threads of its own.
        """
        self._pools[lane].submit(call, done)

    def resize_crypto(self, threads: int) -> None:
        """Seal and open with so many threads from now on; what was handed off is still done."""
        self.crypto_threads = threads
        self._pools["crypto"].resize(threads)

    def load(self) -> dict[str, Any]:
        """How much there is of everything, for whoever looks for what is wrong. Sizes in bytes."""
        return {
            "descriptors": len(self._handlers),
            "timers": sum(1 for timer in self._timers if timer.call is not None),
            "posted": len(self._posted),
            "pools": {
                lane: {"threads": pool.threads, "pending": pool.pending} for lane, pool in self._pools.items()
            },
            "segments": {"in_use": self.pool.bytes_in_use, "free": self.pool.bytes_free},
        }

    # -- what other threads use ----------------------------------------------------------------

    def post(self, call: Callable[[], None]) -> None:
        """Run `call` on the reactor's thread, soon. From any thread or signal handler."""
        self._posted.append(call)
        self._wake()

    def stop(self) -> None:
        """Let `run` return after this turn. From any thread or signal handler."""
        self.post(self._halt)

    # -- the loop --------------------------------------------------------------------------------

    def run(self) -> None:
        """Turn until stopped."""
        self._running = True
        while self._running:
            self.turn()

    def run_until(self, condition: Callable[[], bool], timeout: int | None = None) -> bool:
        """Turn until `condition()`; False once `timeout` ns have passed first."""
        self.now = time.monotonic_ns()
        guard = None if timeout is None else self.call_later(timeout, lambda: None)
        try:
            while not condition():
                if guard is not None and self.now >= guard.when:
                    return False
                self.turn()
            return True
        finally:
            if guard is not None:
                guard.cancel()

    def turn(self) -> None:
        """One wake-up: events, timers, posts, then all output."""
        timers = self._timers
        while timers and timers[0].call is None:
            heapq.heappop(timers)
        if self._flushes or self._posted:
            wait = 0.0
        elif timers:
            # Rounded up by epoll to its milliseconds; a late timer is fine, a spin is not.
            wait = max(0.0, (timers[0].when - time.monotonic_ns()) / 1e9)
        else:
            wait = -1.0
        events = self._epoll.poll(wait)
        self.now = time.monotonic_ns()
        handlers = self._handlers
        for fd, event in events:
            # An earlier handler of this turn may have closed it.
            handler = handlers.get(fd)
            if handler is not None:
                handler(event)
        if timers and timers[0].when <= self.now:
            self._run_timers()
        if self._posted:
            self._run_posted()
        while self._flushes:
            flushes = self._flushes
            self._flushes = []
            for output in flushes:
                output.flush()

    def close(self) -> None:
        """End the threads and release the descriptors. Nothing may run afterwards."""
        for pool in self._pools.values():
            pool.close()
            pool.collect()
        self._epoll.close()
        os.close(self._wake_fd)
        self._handlers.clear()
        self._timers.clear()

    def _run_timers(self) -> None:
        # One that is set again for now waits for the next turn, or events would starve.
        timers = self._timers
        due = []
        while timers and timers[0].when <= self.now:
            due.append(heapq.heappop(timers))
        for timer in due:
            call = timer.call
            if call is not None:
                timer.call = None
                call()

    def _run_posted(self) -> None:
        posted = self._posted
        for _ in range(len(posted)):
            posted.popleft()()

    def _halt(self) -> None:
        self._running = False

    def _wake(self) -> None:
        os.eventfd_write(self._wake_fd, 1)

    def _woken(self, _event: int) -> None:
        os.eventfd_read(self._wake_fd)
        for pool in self._pools.values():
            pool.collect()
