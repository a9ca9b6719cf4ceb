"""What runs in a simulated world: machines with daemons in processes that can be killed and come back.

Leaf    a machine with a disk and an export daemon
Host    a machine with an array (or a single node) over other parties, perhaps exported again (hosts)
"""

from collections.abc import Callable
from typing import Any

from dsttool.engine.device.device import Device
from dsttool.engine.export.dst_server import DstServer
from dsttool.engine.export.nbd_server import NbdServer
from dsttool.engine.export.offer import Offer
from dsttool.engine.transport.listener import Listener
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.limits import MS
from sim.block import BLOCK
from sim.disk import Platter, SimDisk
from sim.network import NBD_PORT
from sim.world import Machine, Process, SimWorld

PORT = 6207


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
    def nbd_endpoint(self) -> Endpoint:
        return Endpoint("tcp", self.name, NBD_PORT)

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

    def _serve(self, process: Process, device: Device, *, lost: bool = False) -> None:
        """As host.listening does it."""
        reactor: Any = process.reactor
        files = self.machine.files
        self.offer = Offer(
            "disk", device, stored=files.get("writer"), store=lambda holder: files.update(writer=holder)
        )
        self.offer.lost = lost
        self.server = DstServer(reactor, [self.offer])
        Listener(reactor, self.endpoint, self.server.accept).start()
        nbd = NbdServer(reactor, [self.offer])
        Listener(reactor, self.nbd_endpoint, nbd.accept).start()


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
