"""The filter language: what each word lets through, and what is said about words that are none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.node import listing
from dsttool.engine.vocabulary import tx_filter
from dsttool.engine.vocabulary.errors import UsageError

ROW: dict[str, Any] = {
    "id": 0x7B,
    "op": "WRITE",
    "flags": ["FUA", "NO_HOLE"],
    "offset": 1 << 20,
    "length": 64 << 10,
    "node": "pool/n3",
    "state": "resend",
    "age_ns": 4_211_000_000,
    "attempts": 3,
    "attempts_max": 5,
    "next_resend_ns": 1_800_000_000,
    "budget_left_ns": 1_500_000_000,
    "budget_ns": 30_000_000_000,
    "client": "10.0.0.7:51522",
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "state:resend",
        "STATE:Resend",
        "state=resend",
        "node:n3",
        "node:N?",
        "node:n[1-4]",
        "node:pool/n3",
        "node:pool/*",
        "name:pool",
        "name:p*",
        "op:write",
        "flags:fua",
        "flags:no_hole",
        "client:*:51522",
        "age>1s",
        "age>4210ms",
        "age<4.3s",
        "age<5",
        "age>=4211ms",
        "age<=1m",
        "length>=64K",
        "length:64KiB",
        "length=65536",
        "length<1M",
        "offset:1M",
        "attempts>1",
        "attempts:3",
        "budget<2s",
        "id:123",
        "id:0x7b",
        "id>0X7A",
        "n3",
        "POOL",
        "writ",
        "10.0.0.7:51522",
        "-state:queued",
        "-age<1s",
        "-n4",
        " state:resend   node:n3\tage>1s ",
    ],
)
def test_a_word_that_holds_lets_a_transaction_through(text: str) -> None:
    assert tx_filter.parse(text).matches(ROW)


@pytest.mark.parametrize(
    "text",
    [
        "state:queued",
        "node:n4",
        "node:pool",
        "name:n3",
        "op:read",
        "flags:fast_zero",
        "client:10.0.0.7",
        "age>5s",
        "age<1s",
        "length>64K",
        "length<65536b",
        "attempts<3",
        "budget>2s",
        "id:124",
        "n4",
        "-state:resend",
        "-n3",
        "state:resend node:n4",
    ],
)
def test_a_word_that_does_not_hold_keeps_it_back(text: str) -> None:
    assert not tx_filter.parse(text).matches(ROW)


@pytest.mark.parametrize("text", ["budget>0", "budget<1h", "client:?*"])
def test_a_comparison_with_what_a_transaction_does_not_have_does_not_hold(text: str) -> None:
    assert not tx_filter.parse(text).matches(ROW | {"budget_left_ns": None, "client": None})
    without = {key: value for key, value in ROW.items() if key not in ("budget_left_ns", "client")}
    assert not tx_filter.parse(text).matches(without)


@pytest.mark.parametrize(
    ("text", "what", "advice"),
    [
        ("n3 stat:resend", "'stat:resend' at character 4 of the filter", "Did you mean state:resend?"),
        ("zzz:1", "begins with no field", "There are age, attempts, budget"),
        ("state:resent", "'resent' is none of queued", "Did you mean resend?"),
        ("op:wriet", "none of read, write", "Did you mean write?"),
        ("flags:zzzzzz", "none of fua", "Write one of them."),
        ("state>resend", "cannot be compared by size", "Write state:resend."),
        ("age>soon", "'soon' is no duration", "age>1s"),
        ("age>1k", "'1k' is no duration", "age>1s"),
        ("length>1s", "'1s' is no number", "length>=64K"),
        ("attempts>1K", "'1K' is no number", "attempts>1"),
        ("id:0xzz", "'0xzz' is no number", "id:123"),
        ("age>", "nothing behind '>'", "age>1s"),
        ("-", "'-' at character 1", "-state:queued"),
        ("-stat:x", "'-stat:x' at character 1", "state:x"),
        ("n " * 17, "more than 16 words", "Leave words out."),
        ("n" * 501, "longer than 500 characters", "Leave words out."),
    ],
)
def test_a_word_that_is_none_is_refused_with_its_place_and_what_to_write(
    text: str, what: str, advice: str
) -> None:
    with pytest.raises(UsageError) as caught:
        tx_filter.parse(text)
    assert what in caught.value.what
    assert advice in caught.value.advice


words = st.one_of(
    st.text(max_size=20),
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["", "-"]),
        st.sampled_from([*tx_filter._EXAMPLES, "what", ""]),
        st.sampled_from([">", ">=", "<", "<=", ":", "=", ""]),
        st.one_of(
            st.sampled_from(["1s", "64K", "*", "[", "[!]", "[z-a]", "n3", "fua", "WRITE", "resend"]),
            st.text(max_size=12),
            st.decimals(min_value=0, allow_nan=False, allow_infinity=False).map(str),
        ),
    ),
)


@given(st.lists(words, max_size=20).map(" ".join))
def test_any_text_is_a_filter_or_a_sentence(text: str) -> None:
    try:
        chosen = tx_filter.parse(text)
    except UsageError as caught:
        said = caught
    else:
        assert chosen.matches(ROW) in (True, False)
        return
    assert said.what
    assert said.advice


def test_every_flag_that_is_shown_can_be_asked_for() -> None:
    assert set(tx_filter.FLAGS) == set(listing._FLAGS.values())


@given(st.sampled_from(["state:resend", "age>1s", "n3", "op:read", "node:n*", "budget<1s", "client:x"]))
def test_a_minus_turns_a_word_round(word: str) -> None:
    assert tx_filter.parse(f"-{word}").matches(ROW) is not tx_filter.parse(word).matches(ROW)
