"""What runs in a simulated world: export daemons on disks, and array daemons over them, as the host
assembles them, but each in a process that can be killed and comes back.

    Leaf    a machine with a disk and an export daemon
    Host    a machine with an array (or a single node) over other parties, perhaps exported again
"""

from collections.abc import Callable, Sequence
from typing import Any

from dsttool.engine.array.array import Array
from dsttool.engine.array.marks import Record
from dsttool.engine.array.member import Member
from dsttool.engine.device.device import Device
from dsttool.engine.export.dst_server import DstServer
from dsttool.engine.export.offer import Offer
from dsttool.engine.mapping.algorithm import Algorithm
from dsttool.engine.mapping.linear import Linear
from dsttool.engine.mapping.mirror import Mirror
from dsttool.engine.mapping.stripe import Stripe
from dsttool.engine.node.dst import DstNode
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.transport.listener import Listener
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.limits import MS
from sim.block import BLOCK, Violation
from sim.disk import Platter, SimDisk
from sim.world import Machine, Process, SimWorld

PORT = 6207
CHUNK = 8 * BLOCK


class Party:
    """A machine with one daemon that is started again whenever it has ended."""

    def __init__(self, world: SimWorld, name: str) -> None:
        self.world = world
        self.name = name
        self.machine = Machine(world, name)
        self.process: Process | None = None
        # What happens when the daemon is gone, for whoever looks at it from outside.
        self.on_end: Callable[[], None] = lambda: None
        self.retired = False
        self._starting = False

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("tcp", self.name, PORT)

    @property
    def serving(self) -> bool:
        return self.process is not None

    def start(self) -> None:
        """Start the daemon's process."""
        assert self.process is None
        self.process = Process(self.machine, self.name)
        self.world.note("%s starts", self.name)
        self.run(self.process)

    def run(self, process: Process) -> None:
        raise NotImplementedError

    def last_loss(self) -> int:
        raise NotImplementedError

    def kill(self, patience: int = 300) -> None:
        """kill -9, and a supervisor that starts it again, after at most so many ms."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            self.on_end()
        self.start_again(patience)

    def lose_power(self) -> None:
        self.process = None
        self.machine.lose_power()
        self.on_end()
        self.world.after(self._delay(2000), lambda _: self._power_on())

    def _power_on(self) -> None:
        self.machine.start()
        self.start_again()

    def retire(self) -> None:
        """kill -9, and nobody starts it again."""
        self.retired = True
        self.kill()

    def start_again(self, patience: int = 300) -> None:
        if not self._starting and not self.retired:
            self._starting = True
            self.world.after(self._delay(patience), self._start_now)

    def _start_now(self, _: None) -> None:
        self._starting = False
        if self.machine.on and self.process is None and not self.retired:
            self.start()

    def _delay(self, milliseconds: int) -> int:
        return self.world.random.randrange(MS, milliseconds * MS)

    def _serve(self, process: Process, device: Device) -> None:
        """As host.listening does it."""
        reactor: Any = process.reactor
        self.offer = Offer("disk", device)
        self.server = DstServer(reactor, [self.offer])
        Listener(reactor, self.endpoint, self.server.accept).start()


class Leaf(Party):
    """An export daemon on a disk."""

    def __init__(self, world: SimWorld, name: str, blocks: int, lost: Callable[[], int]) -> None:
        super().__init__(world, name)
        self.platter = Platter(self.machine, f"{name}.disk", blocks * BLOCK)
        self.lost_at = 0
        self._lost = lost
        self.platter.on_loss = self._note_loss

    @property
    def size(self) -> int:
        return self.platter.size

    def run(self, process: Process) -> None:
        self._serve(process, SimDisk(process, self.platter))

    def content(self) -> bytes:
        """What the disk shows."""
        return bytes(self.platter.cache)

    def last_loss(self) -> int:
        """When the disk last lost something that no flush covered, by the model's clock."""
        return self.lost_at

    def _note_loss(self) -> None:
        self.lost_at = self._lost()


class Host(Party):
    """An array daemon. layout: linear, stripe, mirror, or single for a bare node.

    exported: whether it offers its device; on_device is told of it when it is ready.
    """

    def __init__(
        self, world: SimWorld, name: str, children: Sequence["Leaf | Host"], layout: str, policy: Policy
    ) -> None:
        super().__init__(world, name)
        self.children = list(children)
        self.layout = layout
        self.policy = policy
        self.exported = False
        self.takeover = False
        # What becomes of a start that fails.
        self.on_refused: Callable[[DsttoolError], None] = lambda error: self.kill(3000)
        self.array: Array | None = None
        self.device: Device | None = None
        self.nodes: list[DstNode] = []
        self.on_device: Callable[[Process, Device], None] = lambda process, device: None
        # The state folder's content: members' states and the generation.
        self.states = ["in_sync"] * len(children)
        self.generation = 0

    @property
    def serving(self) -> bool:
        return self.process is not None and bool(self.nodes) and self._ready

    @property
    def stuck(self) -> bool:
        """Whether it serves no more, and never will again."""
        return any(node.failure is not None for node in self.nodes)

    @property
    def size(self) -> int:
        return (
            self._algorithm([child.size for child in self.children]).size
            if self.layout != "single"
            else self.children[0].size
        )

    def last_loss(self) -> int:
        losses = [child.last_loss() for child, state in zip(self.children, self.states) if state == "in_sync"]
        return min(losses) if self.layout == "mirror" else max(losses)

    def content(self) -> bytes:
        """What its device holds. Violation if members in sync do not agree."""
        contents = [child.content() for child in self.children]
        if self.layout == "single":
            return contents[0]
        algorithm = self._algorithm([len(each) for each in contents])
        found = []
        for piece in algorithm.split(0, algorithm.size):
            held = {
                contents[slot][piece.offset : piece.offset + piece.length]
                for slot in piece.slots
                if self.states[slot] == "in_sync"
            }
            if len(held) != 1:
                raise Violation(f"{self.name}: members in sync do not hold the same")
            found.append(held.pop())
        return b"".join(found)

    def run(self, process: Process) -> None:
        self._ready = False
        self.array = self.device = None
        self.nodes = []
        reactor: Any = process.reactor
        self._left = len(self.children)
        for slot, child in enumerate(self.children):
            node = DstNode(
                reactor,
                f"{self.name}/n{slot}",
                child.endpoint,
                "disk",
                policy=self.policy,
                owner=f"{self.name}/{slot}",
                ordered_above=self.layout != "single",
            )
            self.nodes.append(node)
            node.connect(lambda error: self._connected(process, error))

    def _connected(self, process: Process, error: DsttoolError | None) -> None:
        """As the host: all nodes have to be there at the first try."""
        if self.process is not process:
            return
        if error is not None:
            self.world.note("%s does not come up: %s", self.name, error)
            process.reactor.post(lambda: self.on_refused(error) if process.alive else None)
            return
        self._left -= 1
        if not self._left:
            self.device = device = self._assemble(process)
            self._ready = True
            if self.exported:
                self._serve(process, device)
            self.world.note("%s is ready", self.name)
            self.on_device(process, device)

    def _assemble(self, process: Process) -> Device:
        if self.layout == "single":
            return self.nodes[0]
        algorithm = self._algorithm([node.capabilities.size for node in self.nodes])
        members = [
            Member(slot, f"n{slot}", str(child.endpoint), node, state)
            for slot, (child, node, state) in enumerate(zip(self.children, self.nodes, self.states))
        ]
        reactor: Any = process.reactor
        self.array = Array(
            reactor, self.name, algorithm, members, store=self._store, generation=self.generation
        )
        return self.array

    def _algorithm(self, sizes: Sequence[int]) -> Algorithm:
        if self.layout == "linear":
            return Linear(sizes)
        if self.layout == "stripe":
            return Stripe(sizes, chunk=CHUNK)
        return Mirror(sizes)

    def _store(self, record: Record) -> None:
        self.states, self.generation = list(record.states), record.generation
        self.world.note("%s stores %s", self.name, record.states)
