"""A deep queue of overlapping writes, on nodes that answer at once."""

from dsttool.engine.array.array import Array
from dsttool.engine.array.member import Member
from dsttool.engine.device.request import Request
from dsttool.engine.mapping.mirror import Mirror
from dsttool.engine.node.memory import MemoryDevice
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.operations import WRITE


def test_a_thousand_writes_to_one_block_take_effect_in_order_without_nesting() -> None:
    reactor = Reactor(io_threads=1)
    nodes = [MemoryDevice(reactor, 1 << 16) for _ in range(2)]
    members = [Member(i, f"n{i}", f"mem{i}", node, "in_sync") for i, node in enumerate(nodes)]
    array = Array(reactor, "a", Mirror([1 << 16] * 2), members, store=lambda _states, _generation: None)
    finished: list[Request] = []
    batch = [
        Request(WRITE, 0, 0, 512, memoryview(number.to_bytes(2, "big") * 256), number, finished.extend)
        for number in range(1000)
    ]
    for request in batch:
        request.sink = finished.extend
    array.submit(batch)
    assert [request.cookie for request in finished] == list(range(1000))
    assert not any(request.error for request in finished)
    for node in nodes:
        assert bytes(node._view[:2]) == (999).to_bytes(2, "big")
    reactor.close()
