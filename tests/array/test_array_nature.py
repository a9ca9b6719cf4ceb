"""What an array says it is: capabilities, identity, state and status."""

import pytest

from dsttool.engine.device.device import Device
from dsttool.engine.mapping.linear import Linear
from dsttool.engine.mapping.mirror import Mirror
from dsttool.engine.mapping.stripe import Stripe
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.errors import UsageError
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.operations import FLUSH
from support.array_bench import ArrayBench, ask, over
from support.faulty_device import FaultyDevice

MIB = 1 << 20


@pytest.fixture
def reactor():
    made = Reactor(io_threads=1)
    yield made
    made.close()


def test_the_weakest_member_decides_what_the_array_can_do(reactor: Reactor) -> None:
    weak = {"flush": False, "fua": False, "trim": False, "write_zeroes": False, "fast_zero": False}
    strong = FaultyDevice(reactor, MIB, fast_zero=True, block_preferred=4096, payload_max=MIB)
    for name in weak:
        other = FaultyDevice(reactor, MIB, **{"fast_zero": True, name: False})
        can = over(reactor, Linear([MIB, MIB]), [strong, other]).capabilities
        assert {each: getattr(can, each) for each in weak} == {each: each != name for each in weak}


def test_blocks_are_the_largest_and_payloads_the_smallest_that_a_member_names(reactor: Reactor) -> None:
    one = FaultyDevice(reactor, MIB, block_min=512, block_preferred=65536, payload_max=4 * MIB)
    two = FaultyDevice(reactor, MIB, block_min=1, block_preferred=4096, payload_max=MIB, rotational=True)
    can = over(reactor, Mirror([MIB, MIB]), [one, two]).capabilities
    assert (can.block_min, can.block_preferred, can.payload_max) == (512, 65536, MIB)
    assert can.rotational
    assert not can.read_only


def test_one_member_that_is_read_only_makes_the_array_so(reactor: Reactor) -> None:
    nodes = [FaultyDevice(reactor, MIB), FaultyDevice(reactor, MIB, read_only=True)]
    assert over(reactor, Linear([MIB, MIB]), nodes).capabilities.read_only


def test_a_missing_member_does_not_count(reactor: Reactor) -> None:
    array = over(reactor, Mirror([MIB, MIB]), [FaultyDevice(reactor, MIB, block_min=512), None])
    assert array.capabilities.block_min == 512
    assert [member.state for member in array.members] == ["in_sync", "missing"]
    assert array.state == "degraded"


def test_the_size_is_a_multiple_of_the_smallest_block(reactor: Reactor) -> None:
    nodes = [FaultyDevice(reactor, MIB + 100), FaultyDevice(reactor, 2 * MIB, block_min=512)]
    assert over(reactor, Mirror([MIB + 100, 2 * MIB]), nodes).capabilities.size == MIB
    assert over(reactor, Linear([2 * MIB, MIB + 100]), nodes[::-1]).capabilities.size == 3 * MIB


def test_a_layout_that_would_cut_a_members_blocks_is_refused(reactor: Reactor) -> None:
    coarse = FaultyDevice(reactor, MIB, block_min=4096)
    for algorithm in (
        Stripe([MIB, MIB], chunk=512),
        Stripe([MIB, MIB], chunk=6144),
        Linear([MIB + 100, MIB]),
    ):
        with pytest.raises(UsageError, match="blocks of 4096 bytes"):
            over(reactor, algorithm, [FaultyDevice(reactor, MIB + 100), coarse])
    with pytest.raises(UsageError):
        over(reactor, Stripe([MIB], chunk=512), [coarse])
    over(reactor, Stripe([MIB, MIB], chunk=8192), [FaultyDevice(reactor, MIB), coarse])


def test_the_identity_is_that_of_the_same_members_in_the_same_layout(reactor: Reactor) -> None:
    def identity(name: str = "a", chunk: int = 4096, first: str = "m0", second: str = "m1") -> bytes:
        array = over(
            reactor,
            Stripe([MIB, MIB], chunk=chunk),
            [FaultyDevice(reactor, MIB) for _ in range(2)],
            name=name,
        )
        for member, address in zip(array.members, (first, second)):
            member.address = address
        return type(array)(
            reactor, name, array.algorithm, array.members, store=lambda _states, _generation: None
        ).identity

    assert len(identity()) == 16
    assert identity() == identity()
    others = {identity("b"), identity(chunk=8192), identity(first="m2"), identity(first="m1", second="m0")}
    assert len(others - {identity()}) == 4


def test_a_read_only_array_has_nothing_to_flush_so_a_lost_member_is_not_marked_for_it() -> None:
    with ArrayBench() as bench:
        nodes: list[Device] = [FaultyDevice(bench.reactor, MIB, read_only=True) for _ in range(2)]
        array = over(bench.reactor, Mirror([MIB, MIB]), nodes)
        nodes[1].go_down()  # type: ignore[attr-defined]
        request = ask(FLUSH)
        array.submit([request])
        assert (request.cookie.ends, request.error) == (1, 0)


def test_the_status_shows_states_errors_and_what_is_in_flight() -> None:
    with ArrayBench(prompt=False, states=["in_sync", "stale"]) as bench:
        bench.submit(ask(FLUSH))
        status = bench.array.status()
        assert (status["state"], status["in_flight"], status["layout"]) == ("degraded", 1, "mirror")
        assert [member["state"] for member in status["members"]] == ["in_sync", "stale"]
        bench.nodes[0].answer()
        assert bench.array.status()["in_flight"] == 0


def test_an_array_waits_as_long_as_the_most_patient_of_its_members() -> None:
    with ArrayBench(budget=3 * SECOND) as bench:
        bench.nodes[1].budget_ns = 7 * SECOND
        array = over(bench.reactor, Mirror([MIB // 16] * 2), bench.nodes)
        assert array.budget_ns == 7 * SECOND
