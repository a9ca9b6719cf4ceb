"""Arrays over arrays in one process, and layouts that keep copies on some members only."""

import errno
from collections.abc import Sequence

import pytest

from dsttool.engine.mapping.algorithm import Algorithm
from dsttool.engine.mapping.linear import Linear
from dsttool.engine.mapping.mirror import Mirror
from dsttool.engine.mapping.stripe import Stripe
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.operations import READ, WRITE
from support.array_bench import SIZE, ArrayBench, content, is_done, over, read, write

DATA = bytes(i // 256 % 251 for i in range(4 * SIZE))


class Tree:
    """An array of two arrays of two nodes each."""

    def __init__(self, bench: ArrayBench, outer: type[Algorithm], inner: type[Algorithm], **options) -> None:
        self.bench = bench
        self.halves = [
            over(bench.reactor, inner([SIZE] * 2), bench.nodes[start : start + 2], name=name, **options)
            for start, name in ((0, "left"), (2, "right"))
        ]
        sizes = [half.capabilities.size for half in self.halves]
        bench.array = over(bench.reactor, outer(sizes), self.halves)


def small_stripe(sizes: Sequence[int]) -> Stripe:
    return Stripe(sizes, chunk=4096)


@pytest.mark.parametrize("outer", [Linear, small_stripe, Mirror])
@pytest.mark.parametrize("inner", [Linear, small_stripe, Mirror])
def test_what_is_written_to_a_tree_is_read_from_it_in_order(outer, inner) -> None:
    with ArrayBench(count=4) as bench:
        Tree(bench, outer, inner)
        size = bench.array.capabilities.size
        bench.run(write(0, DATA[:size]))
        requests = [
            read(offset, min(length, size - offset)) for offset in (0, 5000) for length in (1, 9999, size)
        ]
        bench.run(*requests)
        for request in requests:
            assert content(request) == DATA[request.offset : request.offset + request.length]


@pytest.mark.parametrize("length", [20000, 100])
def test_a_read_that_failed_in_one_half_of_a_mirror_of_stripes_is_served_by_the_other(length: int) -> None:
    """The half that failed had begun to gather pieces; nothing of that may show up in the answer."""
    with ArrayBench(count=4) as bench:
        halves = [
            over(bench.reactor, Stripe([SIZE] * 2, chunk=chunk), bench.nodes[i : i + 2])
            for i, chunk in ((0, 512), (2, 32768))
        ]
        bench.array = over(bench.reactor, Mirror([2 * SIZE] * 2), halves, read_policy="first")
        bench.run(write(0, DATA[: 2 * SIZE]))
        bench.nodes[0].fail(errno.EIO, READ)
        request = read(450, length)
        assert bench.run(request) == [0]
        assert content(request) == DATA[450 : 450 + length]


@pytest.mark.parametrize("inner", [Linear, small_stripe])
def test_a_mirror_of_arrays_reads_from_the_other_half_at_once_when_a_link_is_down(inner) -> None:
    with ArrayBench(count=4, budget=10 * SECOND) as bench:
        tree = Tree(bench, Mirror, inner)
        bench.run(write(0, DATA[: 2 * SIZE]))
        bench.nodes[0].go_down()
        assert [half.up for half in tree.halves] == [False, True]
        requests = [read(i * 512, 20000) for i in range(6)]
        bench.submit(*requests)
        bench.settle()
        assert is_done(*requests)
        assert all(content(request) == DATA[request.offset :][:20000] for request in requests)


def test_a_read_in_flight_below_is_handed_to_the_other_half_when_its_link_goes_down() -> None:
    with ArrayBench(count=4, budget=10 * SECOND, prompt=False) as bench:
        Tree(bench, Mirror, small_stripe)
        request = read(0, 8192)
        bench.submit(request)
        bench.nodes[0].go_down()
        for node in bench.nodes[1:]:
            node.answer()
        bench.nodes[2].answer()
        bench.nodes[3].answer()
        assert (is_done(request), request.error) == (True, 0)


def test_a_read_with_both_halves_down_is_served_when_one_is_whole_again() -> None:
    with ArrayBench(count=4, budget=10 * SECOND) as bench:
        tree = Tree(bench, Mirror, small_stripe)
        bench.run(write(0, DATA[: 2 * SIZE]))
        for node in bench.nodes:
            node.go_down()
        request = read(0, 8192)
        bench.submit(request)
        bench.settle()
        bench.nodes[2].come_up()
        bench.settle()
        assert not is_done(request)
        assert [half.up for half in tree.halves] == [False, False]
        bench.nodes[3].come_up()
        bench.settle()
        assert content(request) == DATA[:8192]


def test_a_half_that_becomes_stale_no_longer_makes_writes_wait_for_its_links() -> None:
    with ArrayBench(count=4, budget=10 * SECOND) as bench:
        Tree(bench, Mirror, Linear)
        bench.nodes[1].go_down()
        waits = write(SIZE, b"x" * 512)
        bench.submit(waits)
        bench.nodes[0].fail(errno.EIO, WRITE)
        assert bench.run(write(0, b"y" * 512)) == [0]
        bench.until(lambda: is_done(waits))
        assert (waits.error, bench.states()) == (0, ["stale", "in_sync"])


class Pairs(Algorithm):
    """Chunks of 4 KiB alternate between two mirrors: a layout as another package may bring it."""

    name = "pairs"

    def __init__(self, member_sizes: Sequence[int], **parameters: object) -> None:
        super().__init__(member_sizes, **parameters)
        self.size = 2 * min(member_sizes)
        self.spare = 1

    def locate(self, offset: int, length: int) -> tuple[tuple[int, ...], int] | None:
        chunk, within = divmod(offset, 4096)
        if within + length > 4096:
            return None
        return ((0, 1), (2, 3))[chunk % 2], chunk // 2 * 4096 + within

    def room(self, offset: int) -> int:
        return 4096 - offset % 4096

    def join(self, slot: int, offset: int, length: int) -> list[tuple[int, int]]:
        raise NotImplementedError

    def member_size(self, slot: int) -> int:
        return self.size // 2


def test_a_layout_that_keeps_copies_on_some_members_is_read_from_those() -> None:
    with ArrayBench(Pairs, 4) as bench:
        bench.run(write(0, DATA[: 2 * SIZE]))
        requests = [read(i * 4096, 512) for i in range(16)] + [read(i * 4096, 9000) for i in range(8)]
        bench.run(*requests)
        for request in requests:
            assert content(request) == DATA[request.offset :][: request.length]
        bench.nodes[3].fail(errno.EIO)
        bench.run(write(4096, b"z" * 4096), *[read(i * 4096, 512) for i in range(16)])
        assert bench.states() == ["in_sync", "in_sync", "in_sync", "stale"]
