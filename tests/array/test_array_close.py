"""The end of an array: everything comes back exactly once, and nothing goes to a closed node."""

import errno

from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.operations import READ, WRITE
from support.array_bench import ArrayBench, Store, is_done, read, write

DATA = b"d" * 512


def test_what_is_under_way_comes_back_and_what_waited_for_it_too() -> None:
    with ArrayBench(prompt=False) as bench:
        queue = [write(0, DATA) for _ in range(300)]
        bench.submit(*queue, read(4096, 512))
        bench.close()
        assert is_done(*bench.asked)
        assert all(request.error for request in queue)
        assert [op for op, _, _ in bench.nodes[0].got].count(WRITE) == 1


def test_reads_that_are_parked_come_back() -> None:
    with ArrayBench(budget=10 * SECOND) as bench:
        for node in bench.nodes:
            node.go_down()
        request = read(0, 512)
        bench.submit(request)
        bench.settle()
        bench.close()
        assert (is_done(request), request.error) == (True, errno.EIO)


def test_a_read_that_fails_while_nodes_are_closed_is_not_asked_of_another() -> None:
    with ArrayBench(prompt=False) as bench:
        requests = [read(0, 512), read(0, 512)]
        bench.submit(*requests)
        bench.close()
        assert is_done(*requests)
        assert [[op for op, _, _ in node.got] for node in bench.nodes] == [[READ], [READ]]


def test_what_is_held_for_a_record_comes_back_before_the_array_is_closed() -> None:
    store = Store(blocked=True)
    with ArrayBench(store=store) as bench:
        bench.nodes[1].fail(errno.EIO, WRITE)
        request = write(0, DATA)
        bench.submit(request)
        store.await_attempt()
        closed: list[bool] = []
        bench.array.close(lambda: closed.append(is_done(request)))
        bench.settle()
        assert closed == []
        store.let()
        bench.until(lambda: bool(closed))
        assert closed == [True]
        assert request.error == 0


def test_a_write_that_only_one_member_has_when_the_array_closes_is_recorded_or_unsettled() -> None:
    store = Store()
    with ArrayBench(prompt=False, store=store) as bench:
        request = write(0, DATA)
        bench.submit(request)
        bench.nodes[0].answer()
        bench.close()
        assert is_done(request)
        assert store.stored[-1][0] == ["in_sync", "stale"] or not bench.array.settled
        assert request.error or store.stored
