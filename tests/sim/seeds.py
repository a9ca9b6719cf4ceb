"""One seed: a world, a topology, a load and faults; then quiet, and everything is checked."""

import logging
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dsttool.engine.array import piece as pieces
from dsttool.engine.device.device import Device
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.limits import MS, SECOND
from sim.block import BLOCK, Violation
from sim.faults import WEIGHTS, Faults
from sim.hosts import BARE, Host
from sim.load import Load
from sim.model import Model
from sim.topology import SHAPES, Topology
from sim.world import Process, SimWorld

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
        return "\n".join([head, *self.trace[-150:], head])


class Run:
    """A seed while it runs."""

    def __init__(
        self,
        seed: int,
        weights: dict[str, int] = WEIGHTS,
        shapes: tuple[str, ...] = SHAPES,
        *,
        verbose: bool = False,
    ) -> None:
        self.world = SimWorld(seed, verbose=verbose)
        self.shape = self.world.random.choice(shapes)
        self.topology = Topology(self.world, self.shape, self._lost)
        top = self.topology.top
        self.model = Model(
            self.topology.blocks,
            self._last_loss,
            # Only arrays remember what their members said of themselves.
            reports=top.layout not in BARE,
            # NBD knows no sessions, so what a dead client has sent may still run; and so may what an array
            # between has given up.
            settles=top.layout != "nbd" and self.topology.levels == 1,
            retains=top.layout != "mirror",
            leaves=self.topology.keeps_copies,
            alike=top.layout == "mirror",
        )
        fast = 0.4 if self.topology.keeps_copies else 0.0
        self.load = Load(self.world, self.model, self.topology.blocks, fast=fast)
        self.faults = Faults(self.world, self.topology, weights)
        self.faults.on_rival = self._bring_rival
        self.rivals = 0
        self._contends = False
        for host in self.topology.hosts:
            host.on_states = self.model.lost
        top.on_device = self._attach
        top.on_end = self.load.detach

    def _attach(self, process: Process, device: Device) -> None:
        # Which member a mirror's administrator chose decides what is lost.
        self.model.lost()
        self.load.attach(process, device, lost=self.topology.top.lost)

    def _last_loss(self) -> int:
        return self.topology.top.last_loss()

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
            self._look_after_hosts()
        self.faults.heal()
        self._calm_down()

    # -- another owner -------------------------------------------------------------------------------

    def _bring_rival(self) -> None:
        """Another machine wants to write there, with or without the administrator's word."""
        old = self.topology.top
        if self._contends or old.layout in ("mirror", "nbd"):
            return
        self._contends = True
        self.rivals += 1
        rival = Host(self.world, f"rival{self.rivals}", old.children, old.layout, old.policy)
        rival.on_states = self.model.lost
        rival.takeover = self.world.random.random() < 0.6

        def refused(error: DsttoolError) -> None:
            self._contends = False
            rival.retire()
            self.world.strike("other owner refused", error)

        rival.on_refused = refused
        rival.on_device = lambda process, device: self._taken_over(old, rival, process, device)
        rival.start()

    def _taken_over(self, old: Host, rival: Host, process: Process, device: Device) -> None:
        self._contends = False
        rival.takeover = False  # The administrator said so once, not for every start.
        self.world.strike("other owner took over", rival.name)
        # What the members said of themselves is remembered on the other machine.
        self.model.excuse()
        old.on_device, old.on_end = lambda process, device: None, lambda: None
        if old.process is not None and old.device is not None:
            self.load.haunt(old.process, old.device)
            self.world.after(10 * SECOND, lambda _: old.retire())
        else:
            self.model.die()
            old.retire()
        self.topology.replace_top(rival)
        rival.on_device, rival.on_end = self._attach, self.load.detach
        rival.on_refused = lambda error: rival.kill(3000)
        self._attach(process, device)

    def _look_after_hosts(self) -> None:
        """An array that was fenced, or a node of which has ended, is started again by its administrator."""
        for host in () if self._contends else self.topology.hosts:
            if host.serving and host.stuck:
                self.world.strike("array that had ended for good started again", host.name)
                host.kill(3000)

    # -- the end -------------------------------------------------------------------------------------

    def _calm_down(self) -> None:
        self._expect(lambda: not self._contends, "another owner neither came in nor was refused")
        self._look_after_hosts()
        self._expect(self._all_whole, "somebody never came back, or into sync")
        self._expect(self._all_answered, "no answer")
        load = self.load
        self._steps(load.read_all, load.flush)
        self._expect_agreement()
        for _ in range(10):  # a connection may still be lost at a byte chosen before, a slow disk be at work
            failed = load.failed
            self._steps(load.write_all, load.flush)
            # An NBD node gives up its connection when a flush fails, and is told of the loss on the next one.
            if load.failed == failed or "nbd" in self.shape:
                break
            self.world.run_for(2 * SECOND)
        else:
            raise Violation("a healthy system fails what is asked of it")
        self._steps(load.read_all)
        self._expect_agreement()
        # What was flushed is safe: all lose their power.
        for leaf in self.topology.leaves:
            leaf.lose_power()
        self._expect(self._all_serve, "somebody never came back")
        self._steps(load.read_all)

    def _steps(self, *steps: Callable[[], None]) -> None:
        for step in steps:
            step()
            self._expect(self._all_answered, "no answer")

    def _all_answered(self) -> bool:
        self._look_after_hosts()
        return self.load.attached and self.load.idle

    def _expect_agreement(self) -> None:
        """What an array between was slow to do may still be under way when the top has given it up."""
        for _ in range(30):
            try:
                self.topology.top.content()
            except Violation:
                self.world.run_for(SECOND)
            else:
                return
        self.topology.top.content()

    def _all_serve(self) -> bool:
        return all(party.serving for party in self.topology.parties)

    def _all_whole(self) -> bool:
        self._look_after_hosts()
        return self._all_serve() and all(host.whole for host in self.topology.hosts)

    def _expect(self, condition: Callable[[], bool], what: str) -> None:
        if not self.world.run_until(condition, QUIET):
            raise Violation(f"{what}: {self.model.waiting[:5]}")


class _IntoTrace(logging.Handler):
    """What the engine logs, as lines of the trace."""

    def __init__(self, world: SimWorld) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        self._world.note("log    %s", record.getMessage())


def run_seed(seed: int, weights: dict[str, int] = WEIGHTS, shapes: tuple[str, ...] = SHAPES) -> Result:
    """Run one seed. One that fails is run again, so that its trace tells more."""
    with _short_parts():
        return _run_seed(seed, weights, shapes)


@contextmanager
def _short_parts() -> Iterator[None]:
    """Devices are small here, and so are the parts of trims."""
    before = pieces.PROBE_BYTES, pieces.PART_BYTES
    pieces.PROBE_BYTES, pieces.PART_BYTES = 2 * BLOCK, 5 * BLOCK
    try:
        yield
    finally:
        pieces.PROBE_BYTES, pieces.PART_BYTES = before


def _run_seed(seed: int, weights: dict[str, int], shapes: tuple[str, ...]) -> Result:
    run = Run(seed, weights, shapes)
    result = _result(run, seed)
    if result.fault:
        again = Run(seed, weights, shapes, verbose=True)
        handler = _IntoTrace(again.world)
        before = logging.root.manager.disable
        log = logging.getLogger("dsttool")
        log.addHandler(handler)
        logging.disable(logging.NOTSET)
        try:
            second = _result(again, seed)
        finally:
            log.removeHandler(handler)
            logging.disable(before)
        if second.fault == result.fault:
            return second
        result.fault += f" (not the same when run again: {second.fault})"
    return result


def _result(run: Run, seed: int) -> Result:
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
