"""Every layout keeps every property, whatever the members' sizes and its parameters are."""

import pytest
from backwards import Backwards
from hypothesis import given
from hypothesis import strategies as st
from layout_properties import PROPERTIES

from dsttool.engine.mapping.linear import Linear
from dsttool.engine.mapping.mirror import Mirror
from dsttool.engine.mapping.stripe import Stripe

# Odd sizes, equal ones, and whole chunks.
SIZES = st.integers(1, 5000) | st.sampled_from([512, 4096, 8192])


def members(fewest, extra=0):
    return st.lists(SIZES.map(lambda size: size + extra), min_size=fewest, max_size=5)


@st.composite
def stripes(draw):
    chunk = draw(st.sampled_from([512, 1024, 1536, 4096]))
    return Stripe(draw(members(1, extra=chunk)), chunk=chunk)


LAYOUTS = {
    "linear": members(1).map(Linear),
    "stripe": stripes(),
    "mirror": members(2).map(Mirror),
    "backwards": members(1, extra=100).map(lambda sizes: Backwards(sizes, reserve=100)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("keeps", PROPERTIES, ids=lambda keeps: keeps.__name__)
@given(data=st.data())
def test_layout(keeps, layout, data):
    keeps(data.draw(LAYOUTS[layout], label="algorithm"), data)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(data=st.data())
def test_a_layout_claims_as_many_spare_members_as_may_be_missing_from_any_piece(layout, data):
    algorithm = data.draw(LAYOUTS[layout], label="algorithm")
    assert algorithm.spare == min(len(piece.slots) for piece in algorithm.split(0, algorithm.size)) - 1
