"""What must be true of every layout. Each property takes an algorithm and hypothesis' `data`.

PROPERTIES names them all, so that a layout from anywhere is tested by a parametrised test.
"""

from itertools import pairwise

from hypothesis import strategies as st


def draw_extent(data, size):
    """An extent of 0..size that is not empty; half of them short."""
    offset = data.draw(st.integers(0, size - 1), label="offset")
    longest = size - offset
    length = data.draw(st.integers(1, longest) | st.integers(1, min(longest, 2048)), label="length")
    return offset, length


def pieces_tile_the_extent_in_order(algorithm, data):
    offset, length = draw_extent(data, algorithm.size)
    reached = 0
    for piece in algorithm.split(offset, length):
        assert piece.start == reached
        assert piece.length > 0
        reached += piece.length
    assert reached == length


def pieces_never_leave_a_member(algorithm, data):
    offset, length = draw_extent(data, algorithm.size)
    for piece in algorithm.split(offset, length):
        assert len(set(piece.slots)) == len(piece.slots) > 0
        for slot in piece.slots:
            assert 0 <= slot < algorithm.slots
            assert piece.offset >= 0
            assert piece.offset + piece.length <= algorithm.member_size(slot)


def join_inverts_split(algorithm, data):
    offset, length = draw_extent(data, algorithm.size)
    for piece in algorithm.split(offset, length):
        for slot in piece.slots:
            assert algorithm.join(slot, piece.offset, piece.length) == [(offset + piece.start, piece.length)]


def split_inverts_join(algorithm, data):
    slot = data.draw(st.integers(0, algorithm.slots - 1), label="slot")
    at, length = draw_extent(data, algorithm.member_size(slot))
    reached = at
    for array_offset, run in algorithm.join(slot, at, length):
        for piece in algorithm.split(array_offset, run):
            assert slot in piece.slots
            assert piece.offset >= reached
            reached = piece.offset + piece.length
    assert reached <= at + length


def join_leaves_out_what_lies_behind_the_bytes_in_use(algorithm, data):
    slot = data.draw(st.integers(0, algorithm.slots - 1), label="slot")
    used = algorithm.member_size(slot)
    at = data.draw(st.integers(0, used), label="offset")
    beyond = data.draw(st.integers(1, 4096), label="beyond")
    assert algorithm.join(slot, at, used - at + beyond) == (
        algorithm.join(slot, at, used - at) if at < used else []
    )
    assert algorithm.join(slot, used, beyond) == []
    assert algorithm.join(slot, used + beyond, beyond) == []


def locate_agrees_with_split(algorithm, data):
    offset, length = draw_extent(data, algorithm.size)
    pieces = algorithm.split(offset, length)
    found = algorithm.locate(offset, length)
    if len(pieces) == 1:
        assert found == (pieces[0].slots, pieces[0].offset)
    else:
        assert found is None


def an_empty_extent_has_a_place_and_no_pieces(algorithm, data):
    offset = data.draw(st.sampled_from([0, algorithm.size]) | st.integers(0, algorithm.size), label="offset")
    assert algorithm.split(offset, 0) == []
    found = algorithm.locate(offset, 0)
    assert found is not None
    slots, at = found
    assert all(0 <= at <= algorithm.member_size(slot) for slot in slots)


def a_byte_is_at_the_same_place_whatever_request_it_is_part_of(algorithm, data):
    offset, length = draw_extent(data, algorithm.size)
    piece = data.draw(st.sampled_from(algorithm.split(offset, length)), label="piece")
    byte = data.draw(st.integers(0, piece.length - 1), label="byte of the piece")
    alone = algorithm.split(offset + piece.start + byte, 1)
    assert alone == [(piece.slots, piece.offset + byte, 1, 0)]


def different_bytes_never_share_a_byte_of_a_member(algorithm, data):
    taken = []
    for piece in algorithm.split(0, algorithm.size):
        taken += [(slot, piece.offset, piece.offset + piece.length) for slot in piece.slots]
    taken.sort()
    for (slot, _, end), (next_slot, next_start, _) in pairwise(taken):
        assert slot != next_slot or end <= next_start


PROPERTIES = (
    pieces_tile_the_extent_in_order,
    pieces_never_leave_a_member,
    join_inverts_split,
    split_inverts_join,
    join_leaves_out_what_lies_behind_the_bytes_in_use,
    locate_agrees_with_split,
    an_empty_extent_has_a_place_and_no_pieces,
    a_byte_is_at_the_same_place_whatever_request_it_is_part_of,
    different_bytes_never_share_a_byte_of_a_member,
)
