"""Samples: whether the members of a raw mirror hold the same."""

import errno
from itertools import pairwise
from typing import Any

import pytest

from dsttool.engine.array.member import Member
from dsttool.engine.array.samples import BYTES, COUNT, Samples
from dsttool.engine.mapping.linear import Linear
from dsttool.engine.mapping.mirror import Mirror
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.operations import LOOKED_AT, READ
from support.array_bench import over
from support.faulty_device import FaultyDevice

SIZE = 8 << 20


@pytest.fixture
def reactor():
    made = Reactor(io_threads=1)
    yield made
    made.close()


def compare(algorithm: Any, nodes: list[Any], states: list[str] | None = None) -> Any:
    answers: list[Any] = []
    members = [
        Member(slot, f"n{slot}", "", node, (states or ["in_sync"] * len(nodes))[slot])
        for slot, node in enumerate(nodes)
    ]
    Samples(algorithm, members, lambda difference, error: answers.append((difference, error))).start()
    for node in nodes:
        if node is not None and not node.prompt:
            node.answer()
    assert len(answers) == 1, "done is called exactly once"
    return answers[0]


def devices(reactor: Reactor, count: int = 2, size: int = SIZE, **options: Any) -> list[FaultyDevice]:
    return [FaultyDevice(reactor, size, f"n{slot}", **options) for slot in range(count)]


@pytest.mark.parametrize("prompt", [True, False])
def test_members_that_hold_the_same_do_not_differ(reactor: Reactor, prompt: bool) -> None:
    assert compare(Mirror([SIZE, SIZE]), devices(reactor, prompt=prompt)) == (None, None)


@pytest.mark.parametrize("size", [1, 511, 4096, 4097, 100_000, SIZE, SIZE + 512])
@pytest.mark.parametrize("last", [False, True])
def test_a_difference_at_either_edge_is_found_and_located(reactor: Reactor, size: int, last: bool) -> None:
    nodes = devices(reactor, 3, size)
    nodes[2].bytes[size - 1 if last else 0] = 1
    difference, error = compare(Mirror([size] * 3), nodes)
    assert error is None
    first, second, offset = difference
    assert (first, second) == ("n0", "n2")
    assert offset <= (size - 1 if last else 0) < offset + BYTES


def test_what_lies_beyond_the_mirror_on_a_larger_member_does_not_matter(reactor: Reactor) -> None:
    small, large = FaultyDevice(reactor, 10000), FaultyDevice(reactor, 20000)
    large.bytes[10000:] = b"x" * 10000
    assert compare(Mirror([10000, 20000]), [small, large]) == (None, None)


def test_a_member_that_cannot_be_read_is_an_error_that_names_it(reactor: Reactor) -> None:
    nodes = devices(reactor)
    nodes[1].fail(errno.EIO, lambda request: request.offset > 0)
    difference, error = compare(Mirror([SIZE, SIZE]), nodes)
    assert difference is None
    assert isinstance(error, DsttoolError)
    assert "n1" in error.what


def test_members_that_are_stale_or_missing_are_left_out(reactor: Reactor) -> None:
    nodes: list[Any] = devices(reactor, 3)
    nodes[1].bytes[0] = 1
    assert compare(Mirror([SIZE] * 3), nodes, ["in_sync", "stale", "in_sync"]) == (None, None)
    assert nodes[1].got == []
    nodes[2] = None
    assert compare(Mirror([SIZE] * 3), nodes, ["in_sync", "stale", "missing"]) == (None, None)


def test_without_copies_there_is_nothing_to_read(reactor: Reactor) -> None:
    nodes = devices(reactor)
    assert compare(Linear([SIZE, SIZE]), nodes) == (None, None)
    assert nodes[0].got == nodes[1].got == []


@pytest.mark.parametrize("block", [1, 512, 4096, 65536])
@pytest.mark.parametrize("blocks", [1, 129, 3001])
def test_samples_are_spread_evenly_and_lie_on_the_members_blocks(
    reactor: Reactor, block: int, blocks: int
) -> None:
    size = blocks * max(block, 512)
    nodes = devices(reactor, 2, size, block_min=block)
    algorithm = Mirror([size, size])
    over(reactor, algorithm, nodes)  # an array that these members make
    assert compare(algorithm, nodes) == (None, None)
    places = sorted((offset, length) for _, offset, length in nodes[0].got)
    assert len(places) <= COUNT + 1
    assert places[0][0] == 0
    assert sum(places[-1]) == size
    assert len(places) == len(set(places))
    assert {op for op, _, _ in nodes[0].got} == {READ}
    assert all(flags & LOOKED_AT for flags in nodes[0].flags), "user code looks at what they bring"
    gaps = [after - before for (before, _), (after, _) in pairwise(places[:-1])]
    assert max(gaps, default=0) <= max(2 * size // COUNT, block, BYTES)
