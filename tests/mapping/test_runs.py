"""Runs: what lies side by side on a member is one piece, however many chunks it is made of."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.mapping.algorithm import Algorithm
from dsttool.engine.mapping.linear import Linear
from dsttool.engine.mapping.mirror import Mirror
from dsttool.engine.mapping.stripe import Stripe

LAYOUTS = [Linear([1000, 7, 3000]), Mirror([4000, 5000]), Stripe([4096, 5000, 4500], chunk=512)]


def bytes_of(pieces, slots):
    return sorted(
        (slot, byte)
        for piece in pieces
        for slot in piece.slots
        if slot in slots
        for byte in range(piece.offset, piece.offset + piece.length)
    )


@pytest.mark.parametrize("algorithm", LAYOUTS, ids=lambda algorithm: algorithm.name)
@given(data=st.data())
def test_runs_cover_the_same_bytes_as_pieces_in_fewer_of_them(algorithm, data):
    offset = data.draw(st.integers(0, algorithm.size))
    length = data.draw(st.integers(0, algorithm.size - offset))
    pieces, runs = algorithm.split(offset, length), algorithm.runs(offset, length)
    everybody = range(algorithm.slots)
    assert bytes_of(runs, everybody) == bytes_of(pieces, everybody)
    assert len(runs) <= algorithm.slots
    assert [run.start for run in runs] == sorted(run.start for run in runs)
    by_start = {piece.start: piece for piece in pieces}
    for run in runs:
        assert (by_start[run.start].slots, by_start[run.start].offset) == (run.slots, run.offset)


@given(data=st.data(), chunk=st.sampled_from([512, 1536]), members=st.integers(1, 5))
def test_a_stripe_finds_by_arithmetic_what_joining_its_pieces_finds(data, chunk, members):
    stripe = Stripe([chunk * 6] * members, chunk=chunk)
    offset = data.draw(st.integers(0, stripe.size))
    length = data.draw(st.integers(0, stripe.size - offset))
    assert stripe.runs(offset, length) == Algorithm.runs(stripe, offset, length)


def test_the_longest_trim_of_a_stripe_is_mapped_without_going_through_its_chunks():
    stripe = Stripe([1 << 40] * 4)
    calls = []
    sys.setprofile(lambda _frame, event, _argument: calls.append(event))
    try:
        runs = stripe.runs(4096, (1 << 32) - 8192)
    finally:
        sys.setprofile(None)
    assert len(runs) == 4
    assert len(calls) < 500  # it has 65536 chunks
