"""Every layout against a bytearray: random mixed operations, many in flight, answered in random order."""

import errno
import random
from collections.abc import Callable, Sequence

import pytest

from dsttool.engine.device.device import Device
from dsttool.engine.mapping.algorithm import Algorithm
from dsttool.engine.mapping.linear import Linear
from dsttool.engine.mapping.mirror import Mirror
from dsttool.engine.mapping.stripe import Stripe
from dsttool.engine.vocabulary.limits import MS, SECOND
from dsttool.engine.vocabulary.operations import FLUSH, READ, WRITE, WRITE_ZEROES
from support.array_bench import SIZE, ArrayBench, over
from support.array_load import AREA, Load
from support.faulty_device import FaultyDevice

# Across the edge of the first member.
BEGIN = SIZE - AREA // 2


def answer_some(bench: ArrayBench, rng: random.Random) -> None:
    node = rng.choice(bench.nodes)
    node.answer(*rng.sample(node.waiting, rng.randint(0, len(node.waiting))))


def finish(bench: ArrayBench, load: Load) -> None:
    for _ in range(10_000):
        for node in bench.nodes:
            node.answer()
        bench.settle()
        load.collect()
        if not load.running:
            return
    raise AssertionError(f"never ended: {load.running}")


def read_back(bench: ArrayBench, load: Load) -> None:
    load.read_all()
    finish(bench, load)


def small_stripe(sizes: Sequence[int]) -> Stripe:
    return Stripe(sizes, chunk=512)


Build = Callable[[ArrayBench], Device]


def flat(layout: Callable[[Sequence[int]], Algorithm]) -> Build:
    return lambda bench: over(bench.reactor, layout([SIZE] * 4), bench.nodes)


def tree(outer: Callable[[Sequence[int]], Algorithm], inner: Callable[[Sequence[int]], Algorithm]) -> Build:
    def build(bench: ArrayBench) -> Device:
        halves = [over(bench.reactor, inner([SIZE] * 2), bench.nodes[i : i + 2]) for i in (0, 2)]
        return over(bench.reactor, outer([half.capabilities.size for half in halves]), halves)

    return build


SHAPES: dict[str, Build] = {
    "linear": flat(Linear),
    "stripe": flat(small_stripe),
    "mirror": flat(Mirror),
    "linear of mirrors": tree(Linear, Mirror),
    "stripe of mirrors": tree(small_stripe, Mirror),
    "mirror of stripes": tree(Mirror, small_stripe),
    "mirror of linears": tree(Mirror, Linear),
    "mirror of mirrors": tree(Mirror, Mirror),
}


def agreeing(bench: ArrayBench, shape: str) -> list[list[bytes]]:
    """Groups of what must be equal on the members of a mirror."""
    nodes = [bytes(node.bytes) for node in bench.nodes]
    if shape in ("mirror", "mirror of mirrors"):
        return [nodes]
    if shape.startswith("mirror of"):
        return [[nodes[0], nodes[2]], [nodes[1], nodes[3]]]
    return [nodes[:2], nodes[2:]] if shape.endswith("of mirrors") else []


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", SHAPES)
def test_an_array_is_its_bytes_in_whatever_order_its_nodes_answer(shape: str, seed: int) -> None:
    rng = random.Random(f"{shape} {seed}")
    with ArrayBench(count=4, prompt=False) as bench:
        bench.array = SHAPES[shape](bench)  # type: ignore[assignment]
        size = bench.array.capabilities.size
        load = Load(bench.submit, size, rng, min(BEGIN, size - AREA))
        for _ in range(60):
            if len(load.running) < 64:
                load.submit_some()
            for _ in range(rng.randint(1, 4)):
                answer_some(bench, rng)
            load.collect()
        finish(bench, load)
        read_back(bench, load)
        for copies in agreeing(bench, shape):
            assert len(set(copies)) == 1, "members of a mirror do not agree"


@pytest.mark.parametrize("seed", range(8))
def test_no_acked_write_is_lost_while_members_fail_one_after_the_other(seed: int) -> None:
    """Three members; two of them go down, lose their budget, or fail requests, at random moments."""
    rng = random.Random(f"failing {seed}")
    with ArrayBench(count=3, prompt=False, budget=600 * SECOND) as bench:
        load = Load(bench.submit, SIZE, rng)
        victims = rng.sample(bench.nodes, 2)
        for step in range(120):
            if len(load.running) < 48:
                load.submit_some()
            for _ in range(rng.randint(1, 4)):
                answer_some(bench, rng)
            if step % 10 == 0:
                strike(rng, rng.choice(victims))
            bench.settle()
            load.collect()
        for node in victims:
            node.end_budget()
            node.come_up()
        finish(bench, load)
        read_back(bench, load)
        assert bench.array.generation > 0, "nothing struck"
        assert "in_sync" in bench.states()
        copies = {bytes(n.bytes) for n, m in zip(bench.nodes, bench.array.members) if m.in_sync}
        assert len(copies) == 1


@pytest.mark.parametrize("seed", range(24))
def test_no_acked_write_is_lost_while_members_come_and_go(seed: int) -> None:
    """Members are suspended and resumed, lose their power, their links and their budgets, and fail requests:
    what was acked is read all the time, and in the end all sides are equal."""
    rng = random.Random(f"coming and going {seed}")
    with ArrayBench(count=3, prompt=False, budget=600 * SECOND) as bench:
        told: list[bool] = []
        bench.array.on_verifier = lambda: told.append(True)
        load = Load(bench.submit, SIZE, rng)
        for step in range(250):
            if len(load.running) < 48:
                load.submit_some()
            for _ in range(rng.randint(1, 6)):
                spare_the_last(bench)
                answer_some(bench, rng)
            if step % 5 == 0:
                stir(rng, bench)
            bench.settle()
            load.collect()
        calm(bench)
        finish(bench, load)
        bench.until(lambda: online(bench))
        read_back(bench, load)
        assert len({bytes(node.bytes) for node in bench.nodes}) == 1
        assert told == [], "there was always a member that had lost nothing"
        assert bench.array.generation > 3, "hardly anything happened"
        assert all(member.in_flight == 0 for member in bench.array.members)


def stir(rng: random.Random, bench: ArrayBench) -> None:
    """Something happens to a member; never to the last one that has everything."""
    slot = rng.randrange(3)
    node, member = bench.nodes[slot], bench.array.members[slot]
    blow = rng.randrange(9)
    last = member.in_sync and bench.states().count("in_sync") == 1
    last = last or bool(bench.array._flow._failed)  # somebody has failed already what is still under way
    if blow == 0:
        bench.array.suspend(slot, rng.choice((None, 5 * MS)), lambda _: None)
    elif blow in (1, 2):
        bench.array.resume(slot, lambda _: None)
    elif blow in (3, 4):
        node.come_up()
        bench.array.resyncs.start()
    elif last:
        return
    elif blow == 5:
        node.lose_power()
    elif blow == 6:
        node.go_down()
    elif blow == 7:
        node.end_budget()
    elif not any(each._faults for each in bench.nodes):  # two at once may strike the same request
        node.fail(rng.choice((errno.EIO, errno.ENOSPC)), rng.choice((WRITE, FLUSH, WRITE_ZEROES)), once=True)


def spare_the_last(bench: ArrayBench) -> None:
    """What the last member in sync fails is an error for everybody, which is not what is tested here."""
    if bench.states().count("in_sync") == 1:
        bench.nodes[bench.states().index("in_sync")].heal()


def calm(bench: ArrayBench) -> None:
    """Whatever happened to members is over."""
    for slot, node in enumerate(bench.nodes):
        node.heal()
        node.come_up()
        node.prompt = True
        node.answer()
        bench.array.resume(slot, lambda _: None)


def online(bench: ArrayBench) -> bool:
    bench.array.resyncs.start()
    return bench.array.state == "online"


def strike(rng: random.Random, node: FaultyDevice) -> None:
    blow = rng.randrange(5)
    if blow == 0:
        node.go_down()
    elif blow == 1:
        node.come_up()
    elif blow == 2:
        node.end_budget()
    elif blow == 3:
        node.fail(errno.EIO, READ, once=True)
    else:
        node.fail(errno.ENOSPC, rng.choice((WRITE, FLUSH, WRITE_ZEROES)), once=True)
