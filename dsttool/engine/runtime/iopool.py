"""Threads for what can block: cold reads, flushes, FUA writes, trims, opens, name look-ups.

Results come back in one list per wake-up of the reactor, however many calls finished meanwhile.
"""

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

Done = Callable[[Any, BaseException | None], None]
_Task = tuple[Callable[[], Any], Done]


class IOPool:
    """At most `size` threads, started when first needed. `submit` belongs to the reactor's thread."""

    def __init__(self, size: int, wake: Callable[[], None]) -> None:
        self._size = size
        self._wake = wake
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._finished: deque[tuple[Done, Any, BaseException | None]] = deque()
        self._threads: list[threading.Thread] = []
        self._leaving: list[threading.Thread] = []
        self.pending = 0

    @property
    def threads(self) -> int:
        """How many there are now."""
        return len(self._threads)

    def submit(self, call: Callable[[], Any], done: Done) -> None:
        """Run `call` in a thread; `done(result, error)` will run on the reactor."""
        self.pending += 1
        if self.pending > len(self._threads) < self._size:
            thread = threading.Thread(target=self._work, name=f"io-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._tasks.put((call, done))

    def resize(self, size: int) -> None:
        """At most so many threads from now on. What was submitted is done, whatever the size."""
        self._size = size
        for _ in range(size, len(self._threads)):
            self._tasks.put(None)
            self._leaving.append(self._threads.pop())

    def _work(self) -> None:
        get, finished, wake = self._tasks.get, self._finished, self._wake
        while (task := get()) is not None:
            call, done = task
            result: Any = None
            error: BaseException | None = None
            try:
                result = call()
            except BaseException as raised:  # noqa: BLE001 - it is handed to `done`, on the reactor
                error = raised
            # Nothing of the task may outlive it here: a sleeping thread would pin its segment.
            finished.append((done, result, error))
            del task, call, done, result, error
            wake()

    def collect(self) -> None:
        """Run the `done` of every finished call. On the reactor's thread."""
        finished = self._finished
        for _ in range(len(finished)):
            done, result, error = finished.popleft()
            self.pending -= 1
            done(result, error)

    def close(self) -> None:
        """Wait for what is running and end the threads. What is submitted from now on does not run."""
        self.resize(0)
        for thread in self._leaving:
            thread.join()
        self._leaving.clear()
