"""What an array tells of its transactions: those of all members, oldest first, and for whom they are."""

from dsttool.engine.mapping.linear import Linear
from dsttool.engine.node.listing import client_of
from dsttool.engine.vocabulary.limits import MS
from support.array_bench import ArrayBench, over, read, write
from support.dst_hall import DstHall
from support.faulty_device import FaultyDevice

SIZE = 1 << 16


def test_the_transactions_of_all_members_are_listed_oldest_first() -> None:
    with DstHall() as hall:
        devices = [FaultyDevice(hall.reactor, SIZE, prompt=False) for _ in range(2)]
        nodes = [hall.node(hall.export(device), ordered_above=True) for device in devices]
        array = over(hall.reactor, Linear([SIZE, SIZE]), nodes)
        hall.closes(array)
        asked = [read(SIZE, 512), read(0, 512), read(SIZE + 512, 512)]
        for request in asked:
            array.submit([request])
            hall.pass_time(2 * MS)
        hall.until(lambda: len(devices[1].waiting) == 2)
        assert [(each["node"], each["offset"]) for each in array.transactions()] == [
            ("n1", 0),
            ("n0", 0),
            ("n1", 512),
        ]
        assert array.transaction_states() == {"in_flight": 3}
        assert [each["offset"] for each in array.transactions("n1")] == [0, 512]
        assert array.transaction_states("n1") == {"in_flight": 2}
        for device in devices:
            device.answer()
        hall.wait(*asked)
        assert (list(array.transactions()), array.transaction_states()) == ([], {})


def test_an_array_over_files_has_no_transactions() -> None:
    with ArrayBench(prompt=False) as bench:
        bench.submit(write(0, b"x"))
        assert (list(bench.array.transactions()), bench.array.transaction_states()) == ([], {})


def test_what_a_resync_asks_for_is_its_own() -> None:
    with ArrayBench(prompt=False, states=["in_sync", "stale"]) as bench:
        bench.until(lambda: bool(bench.nodes[0].waiting))
        assert client_of(bench.nodes[0].waiting[0]) == "resync"
        bench.nodes[0].answer()
        bench.until(lambda: bool(bench.nodes[1].waiting))
        assert client_of(bench.nodes[1].waiting[0]) == "resync"


def test_a_piece_is_for_whom_its_request_is() -> None:
    class Client:
        peer = "somebody"

        def answered(self, requests: list[object]) -> None:
            pass

    with ArrayBench(prompt=False) as bench:
        asked = write(0, b"x")
        asked.sink = Client().answered
        bench.array.submit([asked])
        assert [client_of(node.waiting[0]) for node in bench.nodes] == ["somebody"] * 2
        nobody = read(512, 1)
        bench.submit(nobody)
        (piece,) = [r for node in bench.nodes for r in node.waiting if r.offset == 512]
        assert client_of(piece) is None
