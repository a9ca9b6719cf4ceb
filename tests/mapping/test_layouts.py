import pytest

from dsttool.engine.mapping.algorithm import Piece
from dsttool.engine.mapping.linear import Linear
from dsttool.engine.mapping.mirror import Mirror
from dsttool.engine.mapping.stripe import Stripe
from dsttool.engine.vocabulary.errors import UsageError

KIB = 1024


def test_linear_uses_every_member_whole():
    linear = Linear([100, 7, 1000])
    assert (linear.size, linear.slots, linear.spare) == (1107, 3, 0)
    assert linear.split(90, 100) == [Piece((0,), 90, 10, 0), Piece((1,), 0, 7, 10), Piece((2,), 0, 83, 17)]


def test_stripe_deals_chunks_in_turn_and_uses_whole_chunks_of_the_smallest():
    stripe = Stripe([200 * KIB, 1000 * KIB])
    assert (stripe.size, stripe.slots, stripe.spare) == (2 * 192 * KIB, 2, 0)
    assert [stripe.member_size(slot) for slot in (0, 1)] == [192 * KIB, 192 * KIB]
    assert stripe.split(60 * KIB, 136 * KIB) == [
        Piece((0,), 60 * KIB, 4 * KIB, 0),
        Piece((1,), 0, 64 * KIB, 4 * KIB),
        Piece((0,), 64 * KIB, 64 * KIB, 68 * KIB),
        Piece((1,), 64 * KIB, 4 * KIB, 132 * KIB),
    ]


def test_mirror_has_everything_on_every_member_and_the_size_of_the_smallest():
    mirror = Mirror([500, 300, 400])
    assert (mirror.size, mirror.slots, mirror.spare) == (300, 3, 2)
    assert mirror.split(10, 200) == [Piece((0, 1, 2), 10, 200, 0)]


def test_the_parameters_given_make_the_same_array_again():
    stripe = Stripe([8192, 8192], chunk=1024)
    assert Stripe([8192, 8192], **stripe.parameters()).split(0, 16384) == stripe.split(0, 16384)


def test_parameters_not_given_have_their_default_values():
    assert Stripe([1 << 20]).parameters() == {"chunk": 64 * KIB}
    assert Linear([1 << 20]).parameters() == {}


@pytest.mark.parametrize("chunk", [0, -512, 100, 513, 1.5, "64K", None])
def test_a_chunk_that_is_no_multiple_of_512_is_refused(chunk):
    with pytest.raises(UsageError, match="multiple of 512"):
        Stripe([1 << 20, 1 << 20], chunk=chunk)


def test_a_member_shorter_than_a_chunk_is_named():
    with pytest.raises(UsageError, match=r"slot 1 has 4096 bytes, less than one chunk of 65536"):
        Stripe([1 << 20, 4096])


def test_a_mirror_of_one_is_refused():
    with pytest.raises(UsageError, match="mirror needs at least 2 members, not 1"):
        Mirror([4096])


@pytest.mark.parametrize("layout", [Linear, Stripe, Mirror])
def test_an_array_of_nothing_is_refused(layout):
    with pytest.raises(UsageError, match=r"needs at least . members?, not 0"):
        layout([])


@pytest.mark.parametrize("layout", [Linear, Stripe, Mirror])
def test_an_empty_member_is_named(layout):
    with pytest.raises(UsageError, match="slot 1 has no bytes"):
        layout([1 << 20, 0, 1 << 20])


def test_a_mistyped_parameter_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"no parameter 'chunks'\. Did you mean 'chunk'"):
        Stripe([1 << 20, 1 << 20], chunks=4096)


def test_a_parameter_of_another_layout_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match=r"linear has no parameter 'chunk'\. It takes none"):
        Linear([1 << 20], chunk=4096)
