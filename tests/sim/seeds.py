"""One seed: a world, a topology, a load and faults; then quiet, and everything is checked."""

import traceback
from collections import Counter
from dataclasses import dataclass, field

from dsttool.engine.vocabulary.limits import MS, SECOND
from sim.faults import WEIGHTS, Faults
from sim.load import Load
from sim.model import Model, Violation
from sim.topology import SHAPES, Topology
from sim.world import SimWorld

STEPS = (10, 60)
# After this much quiet time everything asked must have been answered.
QUIET = 120 * SECOND


@dataclass
class Result:
    """What a seed did. fault: why it failed, empty if it did not."""

    seed: int
    shape: str
    fault: str = ""
    trace: list[str] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    failed: int = 0
    checked: int = 0
    # The virtual time at its end, in ns.
    ended: int = 0

    def __str__(self) -> str:
        head = f"seed {self.seed} ({self.shape}): {self.fault}"
        return "\n".join([head, *self.trace[-120:], head])


class Run:
    """A seed while it runs."""

    def __init__(
        self, seed: int, weights: dict[str, int] = WEIGHTS, shapes: tuple[str, ...] = SHAPES
    ) -> None:
        self.world = SimWorld(seed)
        self.shape = self.world.random.choice(shapes)
        self.topology = Topology(self.world, self.shape, self._lost)
        self.top = self.topology.top
        self.model = Model(self.topology.blocks, self.top.last_loss, reports=False)
        self.load = Load(self.world, self.model, self.topology.blocks)
        self.faults = Faults(self.world, self.topology, weights)
        self.top.on_device = self.load.attach
        self.top.on_end = self.load.detach

    def _lost(self) -> int:
        self.world.after(0, lambda _: self.model.lost())
        return self.model.tick()

    def all(self) -> None:
        """Raises Violation, or whatever the engine raised."""
        world, rng = self.world, self.world.random
        self.topology.start()
        self._expect(lambda: self.load.attached, "the array never came up")
        rate = rng.choice((0.0, 0.1, 0.3))
        for _ in range(rng.randint(*STEPS)):
            self.load.submit_some()
            if rng.random() < rate:
                self.faults.strike()
            world.run_for(int(rng.random() ** 3 * 400 * MS) + 50_000)
        self.faults.heal()
        self._calm_down()

    def _calm_down(self) -> None:
        self._expect(
            lambda: all(party.serving for party in self.topology.parties), "somebody never came back"
        )
        self._expect(lambda: not self.model.waiting, "no answer")
        for step in (
            self.load.read_all,
            self.load.flush,
            self.load.write_all,
            self.load.flush,
            self.load.read_all,
        ):
            step()
            self.world.run_for(MS)
            self._expect(lambda: not self.model.waiting, "no answer")

    def _expect(self, condition: object, what: str) -> None:
        if not self.world.run_until(condition, QUIET):  # type: ignore[arg-type]
            raise Violation(f"{what}: {self.model.waiting[:5]}")


def run_seed(seed: int, weights: dict[str, int] = WEIGHTS, shapes: tuple[str, ...] = SHAPES) -> Result:
    """Run one seed."""
    run = Run(seed, weights, shapes)
    result = Result(seed, run.shape)
    try:
        run.all()
    except Exception as error:  # noqa: BLE001 - a seed that fails is reported as one
        result.fault = f"{type(error).__name__}: {error}"
        result.trace = run.world.trace()
        if not isinstance(error, Violation):
            result.trace += traceback.format_exc().splitlines()
    result.struck, result.ended = run.world.struck, run.world.now
    result.asked, result.failed, result.checked = run.load.asked, run.load.failed, run.model.checked
    return result
