"""Array daemons of a simulated world: host.run_array's steps, each in its own time.

What host.run_array does by turning its reactor until something has happened is done here by waiting for
it, for many parties share one clock. What it remembers is kept by its own code (History), in a dictionary
in the place of the state folder.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dsttool.engine.array.array import Array
from dsttool.engine.array.marks import Record
from dsttool.engine.array.member import Member
from dsttool.engine.config import state_file
from dsttool.engine.config.address import Address
from dsttool.engine.config.array_file import ArrayConfig
from dsttool.engine.device.device import Device
from dsttool.engine.device.request import Request
from dsttool.engine.host.array_plan import ArrayPlan
from dsttool.engine.host.array_state import History
from dsttool.engine.node.dst import DstNode
from dsttool.engine.node.nbd import NbdNode
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.vocabulary.errors import DsttoolError, Unsafe
from dsttool.engine.vocabulary.operations import FLUSH
from sim.block import BLOCK, Violation
from sim.parties import Leaf, Party
from sim.world import Process, SimWorld

CHUNK = 8 * BLOCK
# Layouts that are a bare node: over DST, and over NBD.
BARE = ("single", "nbd")


@contextmanager
def _state_folder(files: dict[str, Any]) -> Iterator[None]:
    """state_file, with its files in a dictionary."""
    load, store = state_file.load, state_file.store
    state_file.load = files.get
    state_file.store = files.__setitem__
    try:
        yield
    finally:
        state_file.load, state_file.store = load, store


class Host(Party):
    """An array daemon. layout: linear, stripe, mirror, or one of BARE.

    exported: whether it offers its device; on_device is told of it when it is ready. lost: it came up
    knowing that acked writes were lost.
    """

    def __init__(
        self, world: SimWorld, name: str, children: Sequence["Leaf | Host"], layout: str, policy: Policy
    ) -> None:
        super().__init__(world, name)
        self.children = list(children)
        self.layout = layout
        self.policy = policy
        self.exported = self.takeover = self.lost = self._ready = False
        # What becomes of a start that fails.
        self.on_refused: Callable[[DsttoolError], None] = lambda error: self.kill(3000)
        self.array: Array | None = None
        self.device: Device | None = None
        self.nodes: list[DstNode | NbdNode] = []
        self.on_device: Callable[[Process, Device], None] = lambda process, device: None
        self.states = ["in_sync"] * len(children)
        # Told when other members are in sync than before; and when what was in sync had last lost something.
        self.on_states: Callable[[], None] = lambda: None
        self._source_lost = 0
        addresses = tuple(Address("dst", child.endpoint, "disk") for child in children)
        chunk = CHUNK if layout == "stripe" else None
        self._config = ArrayConfig(name, layout, addresses, raw=True, chunk=chunk)

    @property
    def serving(self) -> bool:
        return self.process is not None and self._ready

    @property
    def stuck(self) -> bool:
        """Whether it serves no more, and never will again."""
        return any(node.failure is not None for node in self.nodes)

    @property
    def whole(self) -> bool:
        """Whether it serves, and all its members are in sync and hold the same."""
        array = self.array
        return self.serving and (
            array is None or (array.settled and all(member.in_sync for member in array.members))
        )

    @property
    def size(self) -> int:
        if self.layout in BARE:
            return self.children[0].size
        return ArrayPlan(self._config).algorithm([child.size for child in self.children]).size

    def last_loss(self) -> int:
        losses = [child.last_loss() for child, state in zip(self.children, self.states) if state == "in_sync"]
        return max(self._source_lost, min(losses)) if self.layout == "mirror" else max(losses)

    def content(self) -> bytes:
        """What its device holds. Violation if members in sync do not agree."""
        contents = [child.content() for child in self.children]
        if self.layout in BARE:
            return contents[0]
        algorithm = ArrayPlan(self._config).algorithm([len(each) for each in contents])
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

    # -- coming up -------------------------------------------------------------------------------------

    def run(self, process: Process) -> None:
        """See Party."""
        self._ready = False
        self.array = self.device = None
        self.nodes = []
        if self.layout not in BARE:
            self._remember()
        self._left = len(self.children)
        for slot, child in enumerate(self.children):
            node = self._node(process, slot, child)
            self.nodes.append(node)
            node.connect(lambda error: self._connected(process, error))

    def _remember(self) -> None:
        """What is known from the last run, and what the administrator says to that."""
        with _state_folder(self.machine.files):
            self._plan = ArrayPlan(self._config, degraded=True)
            self._history = History(self._plan)
            try:
                self.states = list(self._history.states_to_begin_with())
            except Unsafe:
                self._plan = ArrayPlan(self._config, degraded=True, resync_from=self._source())
                self._history = History(self._plan)
                self.states = list(self._history.states_to_begin_with())

    def _source(self) -> str:
        """The administrator's choice after an unclean end: any member that was in sync."""
        before = self.machine.files[self.name]
        slots = [slot for slot, state in enumerate(before.members) if state == "in_sync"]
        slot = self.world.random.choice(slots)
        self.world.strike("resync from one member after an unclean end", f"{self.name}/n{slot}")
        return f"n{slot}"

    def _node(self, process: Process, slot: int, child: "Leaf | Host") -> DstNode | NbdNode:
        reactor: Any = process.reactor
        name = f"{self.name}/n{slot}"
        if self.layout == "nbd":
            return NbdNode(reactor, name, child.nbd_endpoint, "disk", policy=self.policy, retain=True)
        return DstNode(
            reactor,
            name,
            child.endpoint,
            "disk",
            policy=self.policy,
            owner=self.machine.name,
            array=hashlib.blake2b(self.name.encode(), digest_size=16).digest(),
            slot=slot,
            takeover=self.takeover,
            ordered_above=self.layout not in BARE,
            retain=self.layout != "mirror",
        )

    def _connected(self, process: Process, error: DsttoolError | None) -> None:
        """As the host: all nodes have to be there at the first try."""
        if self.process is not process:
            return
        if error is not None:
            self.world.note("%s does not come up: %s", self.name, error)
            process.reactor.post(lambda: self.on_refused(error) if process.alive else None)
            return
        self._left -= 1
        if self._left:
            return
        if self.layout in BARE:
            self._serve_it(process, self.nodes[0])
        elif self._history.clean:
            self._assemble(process, lost=False)
        else:
            self._flush_nodes(process)

    def _flush_nodes(self, process: Process) -> None:
        """After an unclean end: what was acked reaches the media, or it is lost."""
        left = len(self.nodes)
        failed = False

        def flushed(requests: list[Request]) -> None:
            nonlocal left, failed
            left -= len(requests)
            failed = failed or any(request.error for request in requests)
            if not left and self.process is process:
                self._assemble(process, lost=failed or self._history.has_lost(self.nodes, self.states))

        for node in self.nodes:
            node.submit([Request(FLUSH, 0, 0, 0, None, None, flushed)])

    def _assemble(self, process: Process, *, lost: bool) -> None:
        algorithm = self._plan.algorithm([node.capabilities.size for node in self.nodes])
        members = [
            Member(slot, f"n{slot}", str(child.endpoint), node, state)
            for slot, (child, node, state) in enumerate(zip(self.children, self.nodes, self.states))
        ]
        reactor: Any = process.reactor
        self.lost = lost
        if lost:
            self.world.strike("array came up with losses", self.name)
        self.array = Array(
            reactor,
            self.name,
            algorithm,
            members,
            store=self._store,
            generation=self._history.generation,
            lost=lost,
        )
        self._store(self.array.record)
        self._serve_it(process, self.array)

    def _serve_it(self, process: Process, device: Device) -> None:
        self.device = device
        self._ready = True
        if self.exported:
            self._serve(process, device, lost=self.lost)
        self.world.note("%s is ready", self.name)
        self.on_device(process, device)

    def _store(self, record: Record) -> None:
        with _state_folder(self.machine.files):
            self._history.store(record)
        self.states = list(record.states)
        self._source_lost = self.last_loss()
        self.world.note("%s stores %s", self.name, record.states)
        self.on_states()
