"""A virtual network: connections with delay, loss at any byte, silence, and the kernel's habits.

    sender's socket -> pipe (in flight, in order) -> receiver's inbox

What a process wrote before it closed or was killed is still delivered, as a kernel does it: that is how
a stalled write comes late. A pipe holds a bounded number of bytes; beyond it the sender blocks.
Between partitioned machines nothing arrives; it does once they are joined again, unless the
machine it was for has lost power meanwhile.
"""

import errno
import random
import socket
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dsttool.engine.runtime.reactor import READABLE, WRITABLE, Handler
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.limits import MS, SECOND

if TYPE_CHECKING:
    from sim.world import Machine, Process, SimReactor, SimWorld

US = 1000
NBD_PORT = 10809
HANG_UP = 0x10 | 0x8  # EPOLLHUP, EPOLLERR: reported whatever one waits for
# Times after which a kernel sends its SYN again, in ns.
SYN_AGAIN = (1 * SECOND, 3 * SECOND, 7 * SECOND)
# Delays of connections, in ns, and the bytes that may be under way.
_DISTANCES = (
    (30 * US, (3000, 20_000)),
    (200 * US, (3000, 20_000, 200_000)),
    (2 * MS, (20_000, 200_000)),
    (20 * MS, (200_000, 1_000_000)),
)
_FIN = b"fin"
_RST = b"rst"


class Wire:
    """Which machines do not reach each other, and the listeners by (host, port)."""

    def __init__(self, world: "SimWorld") -> None:
        self.world = world
        self.listeners: dict[tuple[str, int], SimSocket] = {}
        self.machines: dict[str, Machine] = {}
        # Directed: (from, to).
        self._cut: set[tuple[str, str]] = set()
        self._stuck: dict[tuple[str, str], list[Pipe]] = {}
        self.connections: list[Connection] = []

    def open(self, source: str, target: str) -> bool:
        """Whether what leaves `source` arrives at `target`."""
        return (source, target) not in self._cut

    def cut(self, source: str, target: str) -> None:
        """From now on nothing goes that way."""
        self._cut.add((source, target))

    def heal(self) -> None:
        """Everybody reaches everybody again; what was under way arrives."""
        self._cut.clear()
        stuck, self._stuck = self._stuck, {}
        for pipes in stuck.values():
            for pipe in pipes:
                pipe.move_on()

    def hold(self, pipe: "Pipe") -> None:
        """What the pipe carries waits for `heal`."""
        self._stuck.setdefault(pipe.way, []).append(pipe)


class Connection:
    """Two sockets and a pipe each way."""

    def __init__(self, wire: Wire, client: "SimSocket", server: "SimSocket") -> None:
        rng = wire.world.random
        # What is far away has room for more under way, or requests would not fit into their budgets.
        delay, capacities = rng.choice(_DISTANCES)
        capacity = rng.choice(capacities)
        self.client, self.server = client, server
        self.wire = wire
        client.out = Pipe(wire, client, server, delay, capacity, self)
        server.out = Pipe(wire, server, client, delay, capacity, self)
        # Nothing is delivered once an end knows that the connection is lost, as on a Unix socket: NBD knows
        # no sessions, so a write that came late would be the client's own risk.
        self.prompt = False
        # A network that chops: what is sent together arrives in parts, cut at any byte.
        self.choppy = rng.random() < 0.3
        wire.connections.append(self)

    @property
    def whole(self) -> bool:
        """Whether both ends are open."""
        return not (self.client.closed or self.server.closed)

    def cut_after(self, size: int, *, both: bool, forth: bool) -> None:
        """Once `size` more bytes have gone one way the connection is lost: for both ends, or one end
        does not notice."""
        pipe = self.client.out if forth else self.server.out
        assert pipe is not None
        pipe.left = size
        pipe.lost_for_both = both

    def lose(self, pipe: "Pipe", *, both: bool, noticed_by: "SimSocket") -> None:
        """A reset out of nowhere, after what the pipe carries. The other way nothing comes any more."""
        sender, receiver = (
            (self.client, self.server) if pipe is self.client.out else (self.server, self.client)
        )
        self.spoil()
        if both or noticed_by is receiver:
            pipe.reset()
        if both or noticed_by is sender:
            sender.fail(errno.ECONNRESET)

    def spoil(self) -> None:
        """An end knows that it is lost."""
        if self.prompt:
            assert self.client.out is not None
            assert self.server.out is not None
            self.client.out.void = self.server.out.void = True


class Pipe:
    """Bytes under way in one direction, in order."""

    __slots__ = (
        "_arrives", "_capacity", "_delay", "_flying", "_held", "_receiver", "_sender", "_wire",
        "connection", "dead", "left", "lost_for_both", "used", "void", "way",
    )  # fmt: skip

    def __init__(
        self,
        wire: Wire,
        sender: "SimSocket",
        receiver: "SimSocket",
        delay: int,
        capacity: int,
        connection: Connection,
    ) -> None:
        self._wire = wire
        self._sender = sender
        self._receiver = receiver
        self._delay = delay
        self._capacity = capacity
        self._flying: deque[bytes] = deque()
        self._held = 0
        self._arrives = 0
        self.connection = connection
        self.way = (sender.machine.name, receiver.machine.name)
        self.used = 0
        # Bytes until the connection is lost, if that is to happen; then nothing goes on from here.
        self.left: int | None = None
        self.dead = False
        # Whether what is under way is dropped.
        self.void = False
        self.lost_for_both = True

    @property
    def room(self) -> int:
        return self._capacity - self.used

    def put(self, data: bytes) -> None:
        """Bytes leave."""
        size = len(data)
        self.used += size
        if self.dead:
            return
        if self.left is not None:
            data = data[: self.left]
            size = len(data)
            self.left -= size
        rng = self._wire.world.random
        if self.connection.choppy and size > 1:
            middle = rng.randrange(1, size)
            self._fly(data[:middle], rng)
            data = data[middle:]
        self._fly(data, rng)
        if self.left == 0:
            self.left = None
            self._wire.world.strike("connection lost at a byte", self.way)
            noticed_by = rng.choice((self._sender, self._receiver))
            self.connection.lose(self, both=self.lost_for_both, noticed_by=noticed_by)
            self.dead = True

    def _fly(self, data: bytes, rng: random.Random) -> None:
        world = self._wire.world
        when = world.now + self._delay + int(rng.random() * (self._delay >> 1))
        self._arrives = when = max(when, self._arrives)
        self._flying.append(data)
        world.at(when, self._arrive)

    def _arrive(self, _: None) -> None:
        if self._held or not self._wire.open(*self.way):
            if not self._held:
                self._wire.hold(self)
            self._held += 1
            return
        data = self._flying.popleft()
        receiver = self._receiver
        if data is _FIN:
            receiver.take_end()
        elif data is _RST:
            receiver.fail(errno.ECONNRESET)
        elif self.void:
            pass
        elif receiver.closed:
            # Nobody is there any more; whoever sent is told, unless the machine is off.
            if receiver.machine.on and not self._sender.closed and receiver.out is not None:
                receiver.out.reset()
        else:
            receiver.take(data)

    def reset(self) -> None:
        """Tell the other end that nobody is here."""
        self._fly(_RST, self._wire.world.random)

    def end(self) -> None:
        """The sender has closed."""
        self._fly(_FIN, self._wire.world.random)

    def move_on(self) -> None:
        """The machines are joined again."""
        held, self._held = self._held, 0
        world = self._wire.world
        for _ in range(held):
            self._arrives = max(self._arrives, world.now + self._delay)
            world.at(self._arrives, self._arrive)

    def taken(self, size: int) -> None:
        """The receiver has read so many bytes: the sender may go on."""
        blocked = self.used >= self._capacity
        self.used -= size
        if blocked:
            self._sender.changed()


class SimSocket:
    """A socket, connected, connecting or listening, as Link, Listener and the dialling code use one."""

    family = socket.AF_INET

    def __init__(self, wire: Wire, process: "Process") -> None:
        world = wire.world
        self._wire = wire
        self.process = process
        self.machine = process.machine
        self.boot = self.machine.boot
        self.fd = world.next_fd
        world.next_fd += 1
        world.sockets[self.fd] = self
        self.reactor: SimReactor | None = None
        self.handler: Handler | None = None
        self.events = 0
        self.out: Pipe | None = None
        self.inbound: Pipe | None = None
        self.closed = False
        self.connecting = False
        self.address: tuple[str, int] | None = None
        self.backlog: deque[SimSocket] | None = None
        self._inbox = bytearray()
        self._ended = self._shut = False
        self._error = 0
        process.reactor.network.sockets[self] = None

    # -- what the engine uses --------------------------------------------------------------------

    def fileno(self) -> int:
        return -1 if self.closed else self.fd

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def setsockopt(self, *_: object) -> None:
        pass

    def getsockopt(self, *_: object) -> int:
        error, self._error = self._error, 0
        return error

    def getsockname(self) -> tuple[str, int]:
        return self.address or (self.machine.name, 1)

    def getpeername(self) -> tuple[str, int]:
        pipe = self.out
        if pipe is None or self._error:
            raise OSError(errno.ENOTCONN, "not connected")
        return (pipe.way[1], 1)

    def accept(self) -> tuple["SimSocket", tuple[str, int]]:
        assert self.backlog is not None
        if not self.backlog:
            raise BlockingIOError(errno.EAGAIN, "nobody waits")
        accepted = self.backlog.popleft()
        assert accepted.out is not None
        return accepted, (accepted.out.way[1], 1)

    def recv_into(self, view: memoryview) -> int:
        assert not self.closed, "read after close"
        inbox = self._inbox
        if not inbox:
            if self._error:
                raise OSError(self._error, "lost")
            if self._ended:
                return 0
            raise BlockingIOError(errno.EAGAIN, "nothing there")
        size = min(len(view), len(inbox))
        assert size, "read into nothing"
        assert self.inbound is not None
        view[:size] = inbox[:size]
        if size == len(inbox):
            inbox.clear()
        else:
            del inbox[:size]
        self.inbound.taken(size)
        return size

    def sendmsg(self, buffers: Sequence[Any]) -> int:
        assert not self.closed, "sent after close"
        pipe = self.out
        if self._error or pipe is None:
            raise OSError(self._error or errno.ENOTCONN, "lost")
        room = pipe.room
        if room <= 0:
            raise BlockingIOError(errno.EAGAIN, "full")
        data = b"".join(buffers)[:room]
        pipe.put(data)
        return len(data)

    def send(self, data: bytes) -> int:
        return self.sendmsg([data])

    def shutdown(self, _how: int) -> None:
        if self.out is None or self._error:
            raise OSError(errno.ENOTCONN, "lost")
        if not self._shut:
            self._shut = True
            self.out.end()

    def close(self) -> None:
        if self.closed:
            return
        self._gone()
        if self._wire.world.verbose:
            self._wire.world.note("net    %s closes socket %d", self.process.name, self.fd)
        if self.address is not None:
            self._wire.listeners.pop(self.address, None)
        if self.backlog:
            for waiting in self.backlog:
                waiting.close()
        if self.out is not None:
            self.out.connection.spoil()
        if self.out is not None and not self._error:
            # Unread bytes make it a reset, as in Linux.
            if self._inbox:
                self.out.reset()
            elif not self._shut:
                self.out.end()

    # -- what the network does ---------------------------------------------------------------------

    def vanish(self) -> None:
        """The machine lost power: closed, and nobody is told."""
        if self.address is not None:
            self._wire.listeners.pop(self.address, None)
        for waiting in self.backlog or ():
            waiting.vanish()
        self._gone()

    def _gone(self) -> None:
        self.closed = True
        self.handler = None
        self._wire.world.sockets.pop(self.fd, None)
        self.process.reactor.network.sockets.pop(self, None)

    def ready(self) -> int:
        """The events that the reactor would report now."""
        if self._error:
            return self.events & (READABLE | WRITABLE) | HANG_UP
        if self.connecting:
            return 0
        ready = 0
        if self._inbox or self._ended or self.backlog:
            ready = READABLE
        if self.out is not None and self.out.room > 0:
            ready |= WRITABLE
        return ready & self.events

    def changed(self) -> None:
        """Perhaps it is ready now."""
        if self.handler is not None and self.ready():
            assert self.reactor is not None
            self.reactor.mark(self)

    def take(self, data: bytes) -> None:
        self._inbox += data
        self.changed()

    def take_end(self) -> None:
        if not self.closed:
            self._ended = True
            self.changed()

    def fail(self, error: int) -> None:
        """The connection is lost for this end."""
        if not self.closed:
            self._error = error
            self.connecting = False
            self.changed()


class SimNetwork:
    """In the place of runtime.network.Network, for one process. Hosts are machines' names."""

    def __init__(self, world: "SimWorld", process: "Process") -> None:
        self._wire = world.wire
        self._process = process
        self.sockets: dict[SimSocket, None] = {}

    def drop_all(self) -> list[SimSocket]:
        """Every socket of the process, which has ended."""
        sockets = list(self.sockets)
        self.sockets.clear()
        return sockets

    def queued(self, sock: SimSocket) -> int:
        return 0 if sock.out is None else sock.out.used

    def resolve(self, endpoint: Endpoint) -> list[Endpoint]:
        return [endpoint]

    def listen(self, endpoint: Endpoint, *, mode: int = 0o600, group: int | None = None) -> SimSocket:
        address = (endpoint.host, endpoint.port)
        assert address not in self._wire.listeners, "two listeners at one place"
        sock = SimSocket(self._wire, self._process)
        sock.address = address
        sock.backlog = deque()
        self._wire.listeners[address] = sock
        return sock

    def connect(self, endpoint: Endpoint) -> SimSocket:
        sock = SimSocket(self._wire, self._process)
        sock.connecting = True
        attempt = _Attempt(self._wire, sock, endpoint)
        attempt.send_syn(0)
        return sock


class _Attempt:
    """A connection being made."""

    def __init__(self, wire: Wire, sock: SimSocket, endpoint: Endpoint) -> None:
        self._wire = wire
        self._sock = sock
        self._endpoint = endpoint
        self._delay = wire.world.random.randrange(20 * US, 500 * US)

    def send_syn(self, number: int) -> None:
        if self._sock.closed or not self._sock.connecting:
            return
        self._wire.world.after(self._delay, self._syn_arrives, number)

    def _syn_arrives(self, number: int) -> None:
        sock, wire, world = self._sock, self._wire, self._wire.world
        source, target = sock.machine.name, self._endpoint.host
        there = wire.machines[target]
        both_ways = wire.open(source, target) and wire.open(target, source)
        if sock.closed or not both_ways or not there.on:
            if number < len(SYN_AGAIN):
                world.after(SYN_AGAIN[number], self.send_syn, number + 1)
            return
        listener = wire.listeners.get((target, self._endpoint.port))
        if listener is None:
            world.strike("connect refused", target)
            world.after(self._delay, lambda _: sock.fail(errno.ECONNREFUSED))
            return
        accepted = SimSocket(wire, listener.process)
        connection = Connection(wire, sock, accepted)
        connection.prompt = self._endpoint.port == NBD_PORT
        if world.verbose:
            world.note("net    %s connects, socket %d to %s's %d", source, sock.fd, target, accepted.fd)
        sock.inbound, accepted.inbound = accepted.out, sock.out
        assert listener.backlog is not None
        listener.backlog.append(accepted)
        listener.changed()
        world.after(self._delay, self._connected)

    def _connected(self, _: None) -> None:
        sock = self._sock
        if sock.connecting:
            sock.connecting = False
            sock.changed()
