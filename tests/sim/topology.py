"""Topologies, drawn from the seed."""

import random
from collections.abc import Callable

from dsttool.engine.transaction.policy import Policy
from dsttool.engine.vocabulary.limits import MS
from sim.block import BLOCK
from sim.hosts import CHUNK, Host
from sim.parties import Leaf
from sim.world import SimWorld

SHAPES = (
    "single", "single", "linear 2", "linear 3", "stripe 2", "stripe 3", "mirror 2", "mirror 2", "mirror 3",
    "single over linear 2", "single over mirror 2", "linear 2 over mirror 2", "mirror 2 over linear 2",
    "mirror 2 over single",
    "nbd",
    "linear 2 over nbd",
)  # fmt: skip


class Topology:
    """The top, which a load is on, and everything below it. `text` says what it is."""

    def __init__(self, world: SimWorld, shape: str, lost: Callable[[], int]) -> None:
        self.world = world
        self.text = shape
        self.leaves: list[Leaf] = []
        self.hosts: list[Host] = []
        self._rng = world.random
        self._lost = lost
        self._blocks = self._rng.choice((24, 48, 96)) // (CHUNK // BLOCK) * (CHUNK // BLOCK)
        self.top = self._build(shape.split(" over "))
        self.blocks = self.top.size // BLOCK
        self.levels = len(shape.split(" over "))
        for leaf in self.leaves:
            leaf.platter.ordered_above = "nbd" not in shape
        if self.keeps_copies:
            self._draw_kinds()
        # NBD promises nothing of the kind, an array between rewrites what may be lost, a mirror copies.
        if self.levels == 1 and self.top.layout not in ("mirror", "nbd"):
            for leaf in self.leaves:
                leaf.platter.executed = set()

    @property
    def keeps_copies(self) -> bool:
        """Whether some array of it does."""
        return "mirror" in self.text

    def _draw_kinds(self) -> None:
        """What members of mirrors make of trims. Drawn apart: other runs stay what they are."""
        rng = random.Random(f"kinds of {self.world.seed}")
        for leaf in self.leaves:
            leaf.platter.trims = rng.random() < 0.5
            leaf.platter.refusing = rng.choice((0.0, 0.0, 0.0, 0.2, 1.0))

    def _build(self, levels: list[str]) -> Host:
        layout, _, count = levels[0].partition(" ")
        children: list[Leaf | Host] = []
        for _ in range(int(count or 1)):
            if len(levels) > 1:
                child = self._build(levels[1:])
                child.exported = True
                children.append(child)
            else:
                leaf = Leaf(self.world, f"leaf{len(self.leaves)}", self._blocks, self._lost)
                self.leaves.append(leaf)
                children.append(leaf)
        host = Host(self.world, f"host{len(self.hosts)}", children, layout, self._policy(len(levels)))
        self.hosts.append(host)
        return host

    def _policy(self, height: int) -> Policy:
        """Small budgets, so that they end within a run; those above are the longer."""
        rng = self._rng
        return Policy(
            resend_timeout_ns=rng.choice((150, 300, 1000)) * height * MS,
            resends=rng.choice((1, 3, 6)),
            ping_interval_ns=rng.choice((200, 500, 1000)) * MS,
            ping_misses=rng.choice((1, 3)),
            connect_timeout_ns=rng.choice((200, 1000)) * MS,
            backoff_min_ns=rng.choice((2, 50)) * MS,
            backoff_max_ns=rng.choice((100, 500)) * MS,
            window=rng.choice((6, 16, 256)),
            links=rng.choice((1, 1, 1, 2, 3)),
        )

    def start(self) -> None:
        for party in (*self.leaves, *self.hosts):
            party.start()

    def replace_top(self, top: Host) -> None:
        """Another owner has taken over."""
        self.hosts[self.hosts.index(self.top)] = top
        self.top = top

    @property
    def parties(self) -> "list[Leaf | Host]":
        return [*self.leaves, *self.hosts]
