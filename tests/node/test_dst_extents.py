"""Which requests of a DST node wait for extents that are locked."""

from dsttool.engine.device.request import Request
from dsttool.engine.node.dst_extents import Extents
from dsttool.engine.transaction.table import Transaction
from dsttool.engine.vocabulary.operations import READ, WRITE

BLOCK = 4096


class Watched(Request):
    """A request that counts how often anybody looks where it is."""

    looks = 0

    @property
    def offset(self) -> int:
        Watched.looks += 1
        return self._offset

    @offset.setter
    def offset(self, offset: int) -> None:
        self._offset = offset


def request(op: int, block: int, count: int = 1) -> Request:
    return Watched(op, 0, block * BLOCK, count * BLOCK, None, None, lambda _: None)


def locked(*blocks: int) -> Extents:
    """Writes of these blocks were given up; their ids are the numbers of the blocks."""
    extents = Extents(ordered_above=False)
    writes = [Transaction(block, request(WRITE, block), 0) for block in blocks]
    for write in writes:
        write.attempts = 1
    assert extents.gate is not None
    extents.admit([write.request for write in writes])
    extents.give_up(writes, [])
    return extents


def submitted(extents: Extents, *requests: Request) -> list[Transaction]:
    """Those that are sent; the others are held."""
    extents.admit(requests)
    return extents.without_held([Transaction(1 << 20, each, 0) for each in requests])


def test_a_read_waits_until_the_last_of_what_it_touches_is_free() -> None:
    extents = locked(1, 3, 9)
    wide, beside = request(READ, 0, 4), request(READ, 5, 4)
    assert [each.request for each in submitted(extents, wide, beside)] == [beside]
    assert extents.unlock([1]) == []
    assert extents.unlock([9]) == []
    assert [each.request for each in extents.unlock([3])] == [wide]
    assert not extents.held


def test_reads_that_wait_for_something_else_cost_little_when_an_extent_is_freed() -> None:
    """What a disk that hung answers late comes one by one, while its clients wait."""
    count = 64
    extents = locked(*range(1, count + 1))
    assert submitted(extents, *(request(READ, block) for block in range(1, count + 1))) == []
    Watched.looks = 0
    freed = [each for block in range(1, count + 1) for each in extents.unlock([block])]
    assert len(freed) == count
    assert Watched.looks < 5 * count * count
