"""Faults: what is done to a world while it works. Each is counted when it really strikes."""

from collections.abc import Callable

from dsttool.engine.array.array import Array
from dsttool.engine.array.member import Member
from dsttool.engine.vocabulary.limits import MS, SECOND
from sim.hosts import Host
from sim.parties import Leaf
from sim.topology import Topology
from sim.world import SimWorld

# How likely each is, relative to the others.
WEIGHTS = {
    "kill_export": 3,
    "power_loss": 3,
    "kill_top": 3,
    "kill_middle": 3,
    "cut": 8,
    "cut_at_byte": 10,
    "partition": 4,
    "partition_one_way": 4,
    "slow_disk": 3,
    "stall_disk": 2,
    "disk_error": 2,
    "flush_failure": 3,
    "pause": 3,
    "rival": 2,
}
# What an administrator does to the members of mirrors. Kept apart, for each new kind makes other runs of all
# seeds.
WITH_ACTS = WEIGHTS | {"discard": 8, "stop_resync": 8, "start_resync": 4, "suspend": 6, "resume": 3}


class Faults:
    """Strikes at random moments. `weights` may favour some kinds."""

    def __init__(self, world: SimWorld, topology: Topology, weights: dict[str, int] = WEIGHTS) -> None:
        self._world = world
        self._rng = world.random
        self._topology = topology
        self._kinds = list(weights)
        self._weights = list(weights.values())
        self.on_rival: Callable[[], None] = lambda: None

    def strike(self) -> None:
        """One fault of some kind, if it can strike now."""
        (kind,) = self._rng.choices(self._kinds, self._weights)
        getattr(self, f"_{kind}")()

    def heal(self) -> None:
        """Everything works again; processes are started by who looks after them."""
        self._world.wire.heal()
        for host in self._topology.hosts:
            self._administer(host, _let_all_go_on)
        for leaf in self._topology.leaves:
            platter = leaf.platter
            platter.slow_until = platter.stalled_until = platter.failing_until = 0
            platter.fail_flushes = 0

    def _leaf(self) -> Leaf:
        return self._rng.choice(self._topology.leaves)

    def _kill_export(self) -> None:
        leaf = self._leaf()
        if leaf.process is not None:
            self._world.strike("export killed", leaf.name)
            leaf.kill()

    def _power_loss(self) -> None:
        leaf = self._leaf()
        if leaf.machine.on:
            self._world.strike("power lost", leaf.name)
            leaf.lose_power()

    def _kill_top(self) -> None:
        self._kill_host(self._topology.top, "array killed")

    def _kill_middle(self) -> None:
        middle = [host for host in self._topology.hosts if host is not self._topology.top]
        if middle:
            self._kill_host(self._rng.choice(middle), "middle array killed")

    def _kill_host(self, host: Host, kind: str) -> None:
        if host.serving:
            self._world.strike(kind, host.name)
            host.kill()

    def _cut(self) -> None:
        whole = [c for c in self._world.wire.connections if c.whole]
        if whole:
            connection = self._rng.choice(whole)
            both = self._rng.random() < 0.6
            self._world.strike(
                "link cut" if both else "link cut, one end unaware", connection.client.machine.name
            )
            pipe = self._rng.choice((connection.client.out, connection.server.out))
            assert pipe is not None
            ends = (connection.client, connection.server)
            connection.lose(pipe, both=both, noticed_by=self._rng.choice(ends))

    def _cut_at_byte(self) -> None:
        whole = [c for c in self._world.wire.connections if c.whole]
        if whole:
            connection = self._rng.choice(whole)
            connection.cut_after(
                self._rng.choice((1, 7, 30, 200, 2000, 9000)) + self._rng.randrange(1000),
                both=self._rng.random() < 0.6,
                forth=self._rng.random() < 0.5,
            )

    def _partition(self) -> None:
        self._separate(both=True)

    def _partition_one_way(self) -> None:
        self._separate(both=False)

    def _separate(self, *, both: bool) -> None:
        host = self._rng.choice(self._topology.hosts)
        names = [host.name, self._rng.choice(host.children).name]
        self._rng.shuffle(names)
        wire = self._world.wire
        wire.cut(names[0], names[1])
        if both:
            wire.cut(names[1], names[0])
        self._world.strike("partition" if both else "partition one way", names)
        self._world.after(int(self._rng.random() ** 2 * 5 * SECOND), lambda _: wire.heal())

    def _slow_disk(self) -> None:
        leaf = self._leaf()
        leaf.platter.slow_until = self._world.now + self._rng.randrange(2000) * MS

    def _stall_disk(self) -> None:
        leaf = self._leaf()
        leaf.platter.stalled_until = self._world.now + self._rng.randrange(4000) * MS

    def _disk_error(self) -> None:
        leaf = self._leaf()
        leaf.platter.failing_until = self._world.now + self._rng.randrange(500) * MS

    def _flush_failure(self) -> None:
        self._leaf().platter.fail_flushes = 1

    def _pause(self) -> None:
        party = self._rng.choice(self._topology.parties)
        if party.process is not None:
            self._world.strike("process paused", party.name)
            party.process.pause(int(self._rng.random() ** 2 * 4 * SECOND))

    # -- what an administrator does --------------------------------------------------------------------

    def _administer(self, host: Host, act: Callable[[Array], None]) -> None:
        """By a command, which its process takes when it turns."""
        array, process = host.array, host.process
        if array is not None and process is not None:
            process.reactor.post(lambda: act(array) if host.array is array else None)

    def _mirror(self, act: Callable[[Array, Member], None]) -> None:
        """To a member of an array that keeps copies, if there is one."""
        mirrors = [host for host in self._topology.hosts if host.layout == "mirror" and host.serving]
        if mirrors:
            host = self._rng.choice(mirrors)
            slot = self._rng.randrange(len(host.children))
            self._administer(host, lambda array: act(array, array.members[slot]))

    def _discard(self) -> None:
        def act(array: Array, member: Member) -> None:
            if array.refuses_to_discard(member.slot) is None:
                self._world.strike("member discarded", f"{array.name}/{member.name}")
                array.discard(member.slot, _nothing)

        self._mirror(act)

    def _stop_resync(self) -> None:
        def act(array: Array, member: Member) -> None:
            if member.state in ("stale", "resyncing"):
                self._world.strike("resync stopped", f"{array.name}/{member.name}")
                array.resyncs.halt([member], lambda: None)

        self._mirror(act)

    def _start_resync(self) -> None:
        self._mirror(lambda array, _: array.resyncs.start())

    def _suspend(self) -> None:
        for_ns = self._rng.randrange(3000) * MS  # without a time it would outlive its process

        def act(array: Array, member: Member) -> None:
            if array.refuses_to_suspend(member.slot) is None:
                self._world.strike("member suspended", f"{array.name}/{member.name}")
                array.suspend(member.slot, for_ns, _nothing)

        self._mirror(act)

    def _resume(self) -> None:
        self._mirror(lambda array, member: array.resume(member.slot, _nothing))

    def _rival(self) -> None:
        self.on_rival()


def _let_all_go_on(array: Array) -> None:
    array.resyncs.start()
    for member in array.members:
        array.resume(member.slot, _nothing)


def _nothing(_error: object) -> None:
    """Whether it was refused, or done meanwhile, is all the same."""
