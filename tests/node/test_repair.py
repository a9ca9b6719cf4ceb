"""What is written again after a loss: the last of what was acked, and nothing that was durable."""

from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.node.repair import newest
from dsttool.engine.transaction.retained import Change
from dsttool.engine.vocabulary.operations import FAST_ZERO, FUA, NO_HOLE, WRITE, WRITE_ZEROES

SPACE = 24


def written(number: int, offset: int, length: int, flags: int = 0) -> Change:
    return (WRITE, flags, offset, length, memoryview(bytes([number]) * length))


def perform(changes: list[Change], space: bytearray) -> None:
    for op, _, offset, length, data in changes:
        space[offset : offset + length] = data if op == WRITE else bytes(length)


@st.composite
def histories(draw: st.DrawFn) -> list[Change]:
    changes = []
    for number in range(1, draw(st.integers(0, 8)) + 1):
        offset, length = draw(st.integers(0, SPACE - 1)), draw(st.integers(1, 8))
        length = min(length, SPACE - offset)
        flags = draw(st.sampled_from((0, 0, FUA)))
        if draw(st.booleans()):
            changes.append(written(number, offset, length, flags))
        else:
            changes.append((WRITE_ZEROES, flags, offset, length, None))
    return changes


@given(histories())
def test_all_bytes_are_as_the_last_change_left_them_in_whatever_order_it_is_written(
    changes: list[Change],
) -> None:
    expected, durable = bytearray(SPACE), bytearray(SPACE)
    perform(changes, expected)
    perform([change for change in changes if change[1] & FUA], durable)
    perform(newest(changes)[::-1], durable)
    assert durable == expected


def test_an_older_change_never_reverts_one_that_was_durable_not_even_for_a_moment() -> None:
    again = newest([written(1, 0, 4), written(2, 1, 2, FUA)])
    assert sorted((offset, length) for _, _, offset, length, _ in again) == [(0, 1), (3, 1)]


def test_zeroes_that_were_fast_once_are_written_again_even_if_that_is_slow() -> None:
    """What is left of them may be cut where the server cannot be fast, and a refusal would end the node."""
    ((_, flags, _, _, _),) = newest([(WRITE_ZEROES, FAST_ZERO | NO_HOLE, 0, 8, None)])
    assert flags == NO_HOLE
