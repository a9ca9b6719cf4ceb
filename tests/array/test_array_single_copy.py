"""Linear and stripe: there is no other copy, so what a member says goes up."""

import errno
from collections.abc import Callable

import pytest

from dsttool.engine.mapping.linear import Linear
from dsttool.engine.mapping.stripe import Stripe
from dsttool.engine.vocabulary.errors import Conflict
from dsttool.engine.vocabulary.operations import CACHE, FAIL_FAST, FLUSH, READ, TRIM, WRITE, WRITE_ZEROES
from support.array_bench import SIZE, ArrayBench, Store, ask, content, flush, read, write

LAYOUTS = {"linear": Linear, "stripe": lambda sizes: Stripe(sizes, chunk=4096)}


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> Callable:
    return LAYOUTS[request.param]


@pytest.mark.parametrize("op", [READ, WRITE, TRIM, WRITE_ZEROES, FLUSH])
def test_a_members_error_goes_up_as_it_is_and_marks_nobody(layout: Callable, op: int) -> None:
    store = Store()
    with ArrayBench(layout, 3, store=store) as bench:
        bench.nodes[1].fail(errno.EDQUOT, op)
        length = 0 if op == FLUSH else 3 * SIZE
        request = ask(op, 0, length, memoryview(bytes(length)) if op == WRITE else None)
        assert bench.run(request) == [errno.EDQUOT]
        assert bench.states() == ["in_sync"] * 3
        assert (store.attempts, bench.array.settled) == (0, True)
        assert [bool(member.errors) for member in bench.array.members] == [False, True, False]
        bench.nodes[1].heal()
        assert bench.run(write(0, b"x" * 3 * SIZE), read(0, 3 * SIZE), flush()) == [0, 0, 0]


def test_a_read_over_several_members_comes_in_order_whoever_answers_first(layout: Callable) -> None:
    with ArrayBench(layout, 3, prompt=False) as bench:
        data = bytes(i // 512 % 251 for i in range(3 * SIZE))
        request = write(0, data)
        bench.submit(request)
        for node in bench.nodes:
            node.answer()
        reading = read(100, 3 * SIZE - 200)
        bench.submit(reading)
        for node in reversed(bench.nodes):
            node.answer(*reversed(node.waiting))
        assert content(reading) == data[100:-100]


def test_a_flush_reaches_every_member_and_a_prefetch_those_it_concerns(layout: Callable) -> None:
    with ArrayBench(layout, 3) as bench:
        bench.run(flush(), ask(CACHE, 0, 512))
        flushed = (FLUSH, 0, 0)
        assert [node.got for node in bench.nodes] == [[flushed, (CACHE, 0, 512)], [flushed], [flushed]]


def test_reads_wait_for_a_link_because_nobody_else_has_the_data(layout: Callable) -> None:
    with ArrayBench(layout, 2) as bench:
        bench.nodes[0].go_down()
        request = read(0, 512)
        bench.submit(request)
        bench.settle()
        assert not request.cookie.ends
        assert not bench.nodes[0].flags[-1] & FAIL_FAST
        bench.nodes[0].come_up()
        assert request.error == 0


def test_a_node_that_ended_for_good_is_a_faulty_member_of_a_failed_array(layout: Callable) -> None:
    with ArrayBench(layout, 2) as bench:
        assert bench.array.status()["state"] == "online"
        bench.nodes[1].failure = Conflict("The export behind n1 is another device now.", "")
        status = bench.array.status()
        assert status["state"] == bench.array.state == "failed"
        assert [member["state"] for member in status["members"]] == ["in_sync", "faulty"]


def test_a_huge_trim_of_a_stripe_is_one_piece_for_each_member() -> None:
    with ArrayBench(LAYOUTS["stripe"], 4, size=1 << 20) as bench:
        request = ask(TRIM, 1000, (4 << 20) - 2000)
        bench.run(write(0, b"x" * (4 << 20)))
        for node in bench.nodes:
            node.got.clear()
        assert bench.run(request) == [0]
        assert [len(node.got) for node in bench.nodes] == [1, 1, 1, 1]
        check = read(0, 4 << 20)
        bench.run(check)
        assert content(check) == b"x" * 1000 + bytes((4 << 20) - 2000) + b"x" * 1000


def test_overlapping_writes_that_span_members_take_effect_in_their_order(layout: Callable) -> None:
    with ArrayBench(layout, 2, prompt=False) as bench:
        first, second = write(SIZE - 8192, b"1" * 16384), write(SIZE - 4096, b"2" * 8192)
        bench.submit(first, second)
        while not second.cookie.ends:
            for node in reversed(bench.nodes):
                node.answer()
        reading = read(SIZE - 8192, 16384)
        bench.submit(reading)
        for node in bench.nodes:
            node.answer()
        assert content(reading) == b"1" * 4096 + b"2" * 8192 + b"1" * 4096
