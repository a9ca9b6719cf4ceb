"""An array one of whose members has another writer now: frozen as a whole, until it is closed."""

import errno

from dsttool.engine.vocabulary.errors import Fenced
from dsttool.engine.vocabulary.limits import SECOND
from dsttool.engine.vocabulary.operations import WRITE
from support.array_bench import ArrayBench, Store, flush, is_done, read, write
from support.faulty_device import FaultyDevice

DATA = b"d" * 512


def fence(node: FaultyDevice, *, silently: bool = False) -> None:
    """As a node does it: everything it has fails, and it says why."""
    node.failure = Fenced("Another writer has taken over.", "")
    if node.on_failure is not None and not silently:
        node.on_failure()
    node._fail(node.waiting, errno.EIO)


def test_a_fenced_member_freezes_the_whole_array_and_is_not_marked() -> None:
    store = Store()
    with ArrayBench(prompt=False, budget=10 * SECOND, store=store) as bench:
        under_way = [write(0, DATA), read(4096, 512), flush()]
        bench.submit(*under_way)
        fence(bench.nodes[0])
        later = [write(8192, DATA), read(0, 512)]
        bench.submit(*later)
        for node in bench.nodes:
            node.prompt = True
        bench.nodes[1].answer()
        bench.settle()
        assert bench.array.state == "frozen"
        assert not any(is_done(request) for request in (*under_way, *later))
        assert (bench.states(), store.attempts) == (["in_sync", "in_sync"], 0)
        bench.close()
        assert is_done(*under_way, *later)
        assert {request.error for request in (*under_way, *later)} == {errno.ESHUTDOWN}
        assert store.attempts == 0


def test_a_fence_is_noticed_by_what_fails_even_before_it_is_told() -> None:
    store = Store()
    with ArrayBench(prompt=False, store=store) as bench:
        change, behind = write(0, DATA), write(0, DATA)
        bench.submit(change, behind)
        bench.nodes[1].answer()
        fence(bench.nodes[0], silently=True)
        bench.settle()
        assert bench.array.state == "frozen"
        assert not is_done(change)
        assert store.attempts == 0
        bench.close()
        assert [change.error, behind.error] == [errno.ESHUTDOWN] * 2
        assert [op for op, _, _ in bench.nodes[1].got].count(WRITE) == 1


def test_a_frozen_array_is_not_resynced() -> None:
    with ArrayBench(states=["in_sync", "stale"], size=1 << 20) as bench:
        bench.until(lambda: bench.states()[1] == "resyncing")
        fence(bench.nodes[0])
        bench.settle()
        sent = len(bench.nodes[1].got)
        bench.array.resyncs.start()
        bench.settle()
        assert len(bench.nodes[1].got) == sent
        assert bench.array.status()["jobs"] == []


def test_a_node_that_holds_what_ran_out_of_time_shows_as_a_frozen_array() -> None:
    with ArrayBench() as bench:
        bench.nodes[1].frozen = True
        assert bench.array.state == "frozen"
        bench.nodes[1].frozen = False
        assert bench.array.state == "online"
