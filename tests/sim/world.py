"""The simulated world: one virtual clock, machines, and processes with a reactor each.

Everything that happens is an entry of one heap, in the order of time and, at one time, of its making;
all chance comes from generators seeded by the world's seed. So a seed is a run, every time.

A machine has disks and outlives its processes; a process has a reactor and dies with all its state.
Nothing of a dead process runs any more: its timers, posts and calls come to nothing.
"""

import random
from collections import Counter, deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from dsttool.engine.runtime.iopool import Done
from dsttool.engine.runtime.reactor import READABLE, Flushable, Handler, Lane, Timer
from dsttool.engine.runtime.segments import SegmentPool
from dsttool.engine.vocabulary.limits import MS, SECOND
from sim.network import SimNetwork, SimSocket, Wire

if TYPE_CHECKING:
    from sim.disk import Platter

US = 1000
# Segments of all worlds of this process: making them anew would cost more than running a seed.
_POOL = SegmentPool()
_TRACE_LINES = 2000


class SimWorld:
    """The clock, the heap, and what the run reports. `struck` counts the faults that really happened.

    verbose: whether the trace has what disks, connections and the engine's logs say, too.
    """

    def __init__(self, seed: int | str, *, verbose: bool = False) -> None:
        self.seed = seed
        self.verbose = verbose
        self.random = random.Random(seed)
        # Virtual time begins late enough that no deadline is negative.
        self.now = 1000 * SECOND
        self.began = self.now
        self.struck: Counter[str] = Counter()
        self._trace: deque[tuple[int, str, tuple[object, ...]]] = deque(maxlen=_TRACE_LINES)
        self.sockets: dict[int, SimSocket] = {}
        self.next_fd = 100
        self.wire = Wire(self)
        self._heap: list[tuple[int, int, Callable[[Any], None], Any]] = []
        self._sequence = 0

    def at(self, when: int, call: Callable[[Any], None], argument: Any = None) -> None:
        """Have `call(argument)` called when the clock says `when` (ns)."""
        self._sequence += 1
        heappush(self._heap, (when, self._sequence, call, argument))

    def after(self, delay: int, call: Callable[[Any], None], argument: Any = None) -> None:
        """The same, `delay` ns from now."""
        self._sequence += 1
        heappush(self._heap, (self.now + delay, self._sequence, call, argument))

    def run_until(self, condition: Callable[[], bool], patience: int) -> bool:
        """Let time pass until `condition()`; False after `patience` ns."""
        heap, end = self._heap, self.now + patience
        while not condition():
            if not heap or heap[0][0] > end:
                self.now = end
                return condition()
            when, _, call, argument = heappop(heap)
            self.now = when
            call(argument)
        return True

    def run_for(self, duration: int) -> None:
        """Let this much time pass."""
        heap, end = self._heap, self.now + duration
        while heap and heap[0][0] <= end:
            when, _, call, argument = heappop(heap)
            self.now = when
            call(argument)
        self.now = end

    def strike(self, fault: str, what: object = "") -> None:
        """Count a fault that really struck."""
        self.struck[fault] += 1
        self.note("FAULT %s %s", fault, what)

    def note(self, text: str, *arguments: object) -> None:
        """A line of the trace; formatted only when it is printed."""
        self._trace.append((self.now, text, arguments))

    def trace(self) -> list[str]:
        """The last of what happened."""
        return [
            f"{(when - self.began) / 1e6:12.3f} ms  {text % arguments}"
            for when, text, arguments in self._trace
        ]


class Machine:
    """Something with power: disks, and processes on it. `boot` counts how often it was started."""

    def __init__(self, world: SimWorld, name: str) -> None:
        self.world = world
        self.name = name
        self.boot = 1
        self.on = True
        self.processes: list[Process] = []
        self.platters: list[Platter] = []
        # What its processes keep durably, as their state folder does.
        self.files: dict[str, Any] = {}
        world.wire.machines[name] = self

    def lose_power(self) -> None:
        """Everything stops at once, nobody is told, and what no flush covered may be gone."""
        self.on = False
        for process in list(self.processes):
            process.vanish()
        for platter in self.platters:
            platter.lose_power()

    def start(self) -> None:
        """Power is back. Processes have to be started."""
        self.on = True
        self.boot += 1


class Process:
    """One process: a reactor, and whatever runs on it. `at_death` is told when it is killed."""

    def __init__(self, machine: Machine, name: str) -> None:
        world = machine.world
        self.machine = machine
        self.name = name
        self.alive = True
        self.reactor = SimReactor(world, self)
        self.at_death: list[Callable[[], None]] = []
        machine.processes.append(self)

    def kill(self) -> None:
        """kill -9: the kernel closes its sockets, and what they had taken still leaves."""
        self._die()
        for sock in self.reactor.network.drop_all():
            sock.close()

    def vanish(self) -> None:
        """As kill, but the machine died: nobody closes anything."""
        self._die()
        for sock in self.reactor.network.drop_all():
            sock.vanish()

    def _die(self) -> None:
        if self.alive:
            self.alive = False
            self.machine.processes.remove(self)
            self.reactor.die()
            for call in self.at_death:
                call()

    def pause(self, duration: int) -> None:
        """SIGSTOP for so long (ns): its sockets live, it does not run."""
        self.reactor.paused_until = max(self.reactor.paused_until, self.machine.world.now + duration)


class SimReactor:
    """In the place of runtime.reactor.Reactor, for one process.

    What became ready between two turns is handled in one, as under epoll: a turn comes some
    microseconds after the first reason for it.
    """

    def __init__(self, world: SimWorld, process: Process) -> None:
        self._world = world
        self._rng = random.Random(world.random.getrandbits(64))
        self.process = process
        self.pool = _POOL
        self.network = SimNetwork(world, process)
        self.random = self._rng.random
        self.random_bytes = self._rng.randbytes
        self.clock = lambda: world.now
        self.now = world.now
        self.paused_until = 0
        self._dead = False
        self._scheduled = False
        self._ready: dict[SimSocket, None] = {}
        self._due: list[Timer] = []
        self._flushes: list[Flushable] = []
        self._posted: deque[Callable[[], None]] = deque()
        self._lane_free = 0

    # -- what handlers use -----------------------------------------------------------------------

    def register(self, fd: int, handler: Handler, events: int = READABLE) -> None:
        sock = self._world.sockets[fd]
        assert sock.handler is None, "registered twice"
        sock.reactor, sock.handler, sock.events = self, handler, events
        if sock.ready():
            self.mark(sock)

    def modify(self, fd: int, events: int) -> None:
        sock = self._world.sockets[fd]
        assert sock.handler is not None, "modified, but not registered"
        sock.events = events
        if sock.ready():
            self.mark(sock)

    def unregister(self, fd: int) -> None:
        sock = self._world.sockets[fd]
        assert sock.handler is not None, "unregistered twice"
        sock.handler = None
        self._ready.pop(sock, None)

    def call_at(self, when: int, call: Callable[[], None]) -> Timer:
        timer = Timer(when, call)
        self._world.at(max(when, self._world.now), self._timer_due, timer)
        return timer

    def call_later(self, delay: int, call: Callable[[], None]) -> Timer:
        return self.call_at(self.now + delay, call)

    def flush_later(self, output: Flushable) -> None:
        self._flushes.append(output)
        self._wake()

    def run_blocking(self, call: Callable[[], Any], done: Done, lane: Lane = "device") -> None:
        """The call runs after a while, its result comes a while later. The state lane keeps its order."""
        started = self._world.now + self._rng.randrange(10 * US, 2 * MS)
        if lane == "state":
            started = self._lane_free = max(started, self._lane_free) + US
        self._world.at(started, self._run_call, (call, done))

    def post(self, call: Callable[[], None]) -> None:
        if not self._dead:
            self._posted.append(call)
            self._wake()

    # -- the loop ----------------------------------------------------------------------------------

    def mark(self, sock: "SimSocket") -> None:
        """The socket is ready: its handler runs in the next turn."""
        self._ready[sock] = None
        self._wake()

    def die(self) -> None:
        """The process is gone."""
        self._dead = True
        self._ready.clear()
        self._due.clear()
        self._flushes.clear()
        self._posted.clear()

    def _wake(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._world.after(int(self._rng.random() * 50_000), self._turn)

    def _turn(self, _: None) -> None:
        world = self._world
        self._scheduled = False
        if self._dead:
            return
        if world.now < self.paused_until:
            self._scheduled = True
            world.at(self.paused_until, self._turn)
            return
        self.now = world.now
        if self._ready:
            self._run_ready()
        if self._due:
            due, self._due = self._due, []
            for timer in due:
                call = timer.call
                if call is not None:
                    timer.call = None
                    call()
        posted = self._posted
        for _ in range(len(posted)):
            if posted:  # it may have died of what was posted
                posted.popleft()()
        while self._flushes:
            flushes, self._flushes = self._flushes, []
            for output in flushes:
                output.flush()
        if self._ready or self._posted:
            self._wake()

    def _run_ready(self) -> None:
        ready, self._ready = self._ready, {}
        for sock in ready:
            events = sock.ready()
            handler = sock.handler
            if events and handler is not None:
                handler(events)
                if sock.handler is not None and sock.ready():
                    self._ready[sock] = None

    def _timer_due(self, timer: Timer) -> None:
        if timer.call is not None and not self._dead:
            self._due.append(timer)
            self._wake()

    def _run_call(self, task: tuple[Callable[[], Any], Done]) -> None:
        if self._dead:
            return
        call, done = task
        result: Any = None
        error: BaseException | None = None
        try:
            result = call()
        except Exception as raised:  # noqa: BLE001 - as the I/O pool: it is handed to `done`
            error = raised
        delay = self._rng.randrange(US, MS)
        self._world.after(delay, self._call_done, lambda: done(result, error))

    def _call_done(self, done: Callable[[], None]) -> None:
        self.post(done)
