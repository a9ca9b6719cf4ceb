"""What is counted for each member: exactly what clients had it do, whatever kind of node it has."""

import errno
from collections.abc import Callable, Iterator

import pytest

from dsttool.engine.array.array import Array
from dsttool.engine.device.device import Device
from dsttool.engine.device.figures import Figures
from dsttool.engine.export.nbd_server import NbdServer
from dsttool.engine.export.offer import Offer
from dsttool.engine.mapping.linear import Linear
from dsttool.engine.mapping.mirror import Mirror
from dsttool.engine.node.file import FileDevice
from dsttool.engine.node.memory import MemoryDevice
from dsttool.engine.node.nbd import NbdNode
from dsttool.engine.transaction.latency import bucket_of
from dsttool.engine.transport.listener import Listener
from dsttool.engine.vocabulary.endpoint import Endpoint
from dsttool.engine.vocabulary.limits import MS, SECOND
from dsttool.engine.vocabulary.operations import READ, WRITE
from support.array_bench import ArrayBench, flush, over, read, trim, write
from support.dst_hall import POLICY, DstHall

SIZE = 1 << 16
US = 1000
Make = Callable[[DstHall, str], Device]


def file_node(hall: DstHall, name: str) -> Device:
    return FileDevice.open(hall.reactor, str(hall.folder / f"{name}.img"), size=SIZE)


def dst_node(hall: DstHall, name: str) -> Device:
    return hall.node(hall.export(MemoryDevice(hall.reactor, SIZE)), ordered_above=True, retain=True)


class NbdExport:
    """As dst_hall.Export, over NBD."""

    def __init__(self, hall: DstHall, name: str) -> None:
        self.endpoint = Endpoint("unix", path=str(hall.folder / name))
        self._server = NbdServer(hall.reactor, [Offer("disk", MemoryDevice(hall.reactor, SIZE))])
        self._listener = Listener(hall.reactor, self.endpoint, self._server.accept)
        self._listener.start()

    def cut(self) -> None:
        for connection in list(self._server.connections):
            connection.close()

    def go_away(self) -> None:
        self._listener.close()
        self._server.close()


def nbd_node(hall: DstHall, name: str) -> Device:
    export = NbdExport(hall, name)
    hall.exports.append(export)  # type: ignore[arg-type]
    node = NbdNode(hall.reactor, name, export.endpoint, "disk", policy=POLICY, retain=True)
    answers: list[object] = []
    node.connect(answers.append)
    hall.until(lambda: bool(answers))
    return node


NODES: dict[str, Make] = {"file": file_node, "dst": dst_node, "nbd": nbd_node}


@pytest.fixture
def hall() -> Iterator[DstHall]:
    with DstHall() as hall:
        yield hall


def array_of(hall: DstHall, layout: type[Linear] | type[Mirror], kind: str) -> Array:
    nodes = [NODES[kind](hall, f"m{slot}") for slot in range(2)]
    array = over(hall.reactor, layout([SIZE, SIZE]), nodes)
    hall.closes(array)
    return array


def shown(figures: Figures) -> tuple[int, int, int, int]:
    return figures.reads, figures.read_bytes, figures.writes, figures.written_bytes


def figures_of(array: Array) -> list[tuple[int, int, int, int]]:
    return [shown(member.figures) for member in array.members]


def ended(array: Array) -> list[int]:
    """How many requests each member's histogram knows."""
    return [sum(member.latencies.counts) for member in array.members]


@pytest.mark.parametrize("kind", NODES)
def test_what_is_written_counts_on_every_copy_and_what_is_read_on_one(hall: DstHall, kind: str) -> None:
    array = array_of(hall, Mirror, kind)
    asked = [write(0, b"a" * 512), write(4096, b"b" * 1024), write(0, b"c" * 100), trim(8192, 4096)]
    array.submit(asked)
    hall.wait(*asked)
    assert figures_of(array) == [(0, 0, 3, 1636)] * 2
    assert ended(array) == [4, 4]
    asked = [flush(), *(read(512 * index, 512) for index in range(5)), read(4096, 1024)]
    array.submit(asked)
    hall.wait(*asked)
    assert sum(reads for reads, *_ in figures_of(array)) == 6
    assert sum(size for _, size, *_ in figures_of(array)) == 5 * 512 + 1024
    assert [each[2:] for each in figures_of(array)] == [(3, 1636)] * 2
    assert sum(ended(array)) == 2 * 4 + 2 + 6
    status = array.members[0].status()
    counted = status["reads"], status["read_bytes"], status["writes"], status["written_bytes"]
    assert (counted, status["losses"]) == (figures_of(array)[0], 0)


@pytest.mark.parametrize("kind", NODES)
def test_a_request_of_two_members_counts_on_each_with_its_part(hall: DstHall, kind: str) -> None:
    array = array_of(hall, Linear, kind)
    asked = [write(SIZE - 100, b"x" * 300), write(7, b"yz")]
    array.submit(asked)
    hall.wait(*asked)
    across = read(SIZE - 10, 30)
    array.submit([across])
    hall.wait(across)
    assert figures_of(array) == [(1, 10, 2, 102), (1, 20, 1, 200)]
    assert ended(array) == [3, 2]


@pytest.mark.parametrize("kind", ["dst", "nbd"])
def test_a_connection_that_is_lost_counts_once_and_so_does_what_it_carried(hall: DstHall, kind: str) -> None:
    array = array_of(hall, Linear, kind)
    node = array.members[0].node
    assert node is not None
    asked = write(0, b"x" * 512)
    array.submit([asked])
    hall.exports[0].cut()
    hall.until(lambda: not node.up)
    assert array.members[0].status()["losses"] == 1
    hall.until(lambda: node.up)
    hall.wait(asked)
    assert [member.status()["losses"] for member in array.members] == [1, 0]
    assert figures_of(array) == [(0, 0, 1, 512), (0, 0, 0, 0)]


def test_what_failed_is_no_read_and_no_write() -> None:
    with ArrayBench() as bench:
        bench.nodes[0].fail(errno.EIO, READ)
        bench.nodes[1].fail(errno.EIO, WRITE)
        assert bench.run(*(read(0, 512) for _ in range(4)), write(0, b"x" * 100)) == [0] * 5
        assert figures_of(bench.array) == [(0, 0, 1, 100), (4, 2048, 0, 0)]
        assert ended(bench.array) == [1, 4]


def test_what_a_resync_copies_is_nothing_that_clients_asked_for() -> None:
    with ArrayBench(states=["in_sync", "stale"]) as bench:
        bench.until(lambda: bench.states() == ["in_sync", "in_sync"])
        assert bench.array.members[1].resynced > 0
        assert figures_of(bench.array) == [(0, 0, 0, 0)] * 2
        assert ended(bench.array) == [0, 0]


def test_the_time_of_a_request_runs_from_its_submission_to_that_member() -> None:
    with ArrayBench(prompt=False, budget=20 * SECOND) as bench:
        bench.reactor.clock = lambda: bench.reactor.now + 70 * US
        asked = write(0, b"x")
        bench.submit(asked)
        began = bench.reactor.now
        bench.nodes[0].answer()
        bench.pass_time(2 * MS)
        bench.nodes[1].answer()
        quick, slow = (member.latencies.counts for member in bench.array.members)
        assert quick[bucket_of(70 * US)] == 1
        assert slow[bucket_of(bench.reactor.now - began + 70 * US)] == 1


def test_a_read_that_is_asked_of_another_member_begins_anew_there() -> None:
    with ArrayBench(prompt=False) as bench:
        bench.reactor.clock = lambda: bench.reactor.now + 70 * US
        asked = read(0, 512)
        bench.submit(asked)
        bench.pass_time(2 * MS)
        first = next(node for node in bench.nodes if node.waiting)
        first.fail(errno.EIO)
        first.answer()
        (second,) = (node for node in bench.nodes if node.waiting)
        second.answer()
        counts = bench.array.members[bench.nodes.index(second)].latencies.counts
        assert counts[bucket_of(70 * US)] == sum(counts) == 1
