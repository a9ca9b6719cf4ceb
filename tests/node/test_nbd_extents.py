"""Extents: what waits for what, and which places stay taken."""

from dsttool.engine.device.request import Request
from dsttool.engine.node.nbd_extents import Extents
from dsttool.engine.vocabulary.operations import WRITE


def change(offset: int, length: int) -> Request:
    return Request(WRITE, 0, offset, length, None, None, lambda _: None)


def test_what_overlaps_waits_until_the_other_has_ended() -> None:
    extents = Extents()
    first, second, other = change(0, 10), change(5, 10), change(20, 5)
    assert extents.admit(first)
    assert not extents.admit(second)
    assert extents.admit(other)
    assert extents.waiting == {second}
    assert extents.end(other) == []
    assert extents.end(first) == [second]
    assert extents.waiting == set()


def test_a_send_in_doubt_keeps_the_extent_after_the_end() -> None:
    extents = Extents()
    first, second = change(0, 10), change(5, 10)
    extents.admit(first)
    extents.admit(second)
    extents.doubt(first)
    assert extents.end(first) == []
    assert extents.settle(first) == [second]


def test_a_doubt_that_ends_first_changes_nothing() -> None:
    extents = Extents()
    first, second = change(0, 10), change(5, 10)
    extents.admit(first)
    extents.admit(second)
    extents.doubt(first)
    assert extents.settle(first) == []
    assert extents.end(first) == [second]


def test_every_send_in_doubt_counts() -> None:
    extents = Extents()
    first, second = change(0, 10), change(5, 10)
    extents.admit(first)
    extents.admit(second)
    extents.doubt(first)
    extents.doubt(first)
    assert extents.end(first) == []
    assert extents.settle(first) == []
    assert extents.settle(first) == [second]


def test_what_was_given_up_while_it_waited_is_waited_for_no_more() -> None:
    extents = Extents()
    first, second, third = change(0, 10), change(5, 10), change(12, 10)
    extents.admit(first)
    assert not extents.admit(second)
    assert not extents.admit(third)
    extents.withdraw(second)
    assert extents.waiting == {third}
    assert extents.end(first) == [third]


def test_only_what_failed_without_an_answer_is_shown_as_exhausted() -> None:
    extents = Extents()
    acked, failed = change(0, 10), change(20, 10)
    for request in (acked, failed):
        extents.admit(request)
        extents.doubt(request)
        extents.end(request)
    failed.error = 5
    assert extents.exhausted() == [failed]
    extents.settle(failed)
    assert extents.exhausted() == []
