"""A member's policy: what is set nearest to it holds, and a live change is made whole or not at all."""

import logging

import pytest

from dsttool.engine.config.options import POLICY_KEYS, parse_policy, policy_field
from dsttool.engine.host.policies import MemberPolicy
from dsttool.engine.transaction.policy import REDUNDANT, SINGLE_COPY
from dsttool.engine.vocabulary.errors import Conflict, UsageError
from dsttool.engine.vocabulary.limits import MS, SECOND


def member(array: dict[str, str] | None = None, address: dict[str, str] | None = None) -> MemberPolicy:
    return MemberPolicy("pool/n0", REDUNDANT, parse_policy(array or {}), parse_policy(address or {}))


def test_an_address_has_the_last_word_over_the_array_and_that_over_the_default() -> None:
    each = member({"resends": "7", "window": "8"}, {"resends": "3"})
    assert (each.policy.resends, each.policy.window, each.policy.ping_misses) == (3, 8, 3)
    assert [each.source(key) for key in ("resends", "window", "ping_misses")] == [
        "address",
        "array",
        "default",
    ]


def test_the_machine_is_stronger_than_the_default_and_weaker_than_the_array() -> None:
    machine = parse_policy({"resends": "9", "window": "7", "ping_misses": "5"})
    each = MemberPolicy(
        "pool/n0",
        REDUNDANT,
        parse_policy({"resends": "7"}),
        parse_policy({"window": "3"}),
        machine=machine,
    )
    assert (each.policy.resends, each.policy.window, each.policy.ping_misses) == (7, 3, 5)
    assert [each.source(key) for key in ("resends", "window", "ping_misses", "links")] == [
        "array",
        "address",
        "machine",
        "default",
    ]


def test_every_key_of_the_protocol_is_shown_with_its_value_and_its_source() -> None:
    shown = member({}, {"on_exhausted": "freeze"}).status()
    assert set(shown) == {
        "resend_timeout_ns",
        "resends",
        "ping_interval_ns",
        "ping_misses",
        "connect_timeout_ns",
        "backoff_min_ns",
        "backoff_max_ns",
        "on_exhausted",
        "links",
        "window",
    }
    assert shown["resend_timeout_ns"] == {"value": 2 * SECOND, "source": "default"}
    assert shown["on_exhausted"] == {"value": "freeze", "source": "address"}


@pytest.mark.parametrize("key", POLICY_KEYS)
def test_every_key_may_be_set_for_an_array_and_in_an_address(key: str) -> None:
    text = {"on_exhausted": "freeze", "backoff_max": "11s"}.get(key, "2")
    for each, source in ((member({key: text}), "array"), (member({}, {key: text}), "address")):
        assert each.source(key) == source
        assert getattr(each.policy, policy_field(key)) == parse_policy({key: text})[key]


def test_a_live_change_wins_over_the_address_and_says_what_it_changed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    each = member({}, {"resends": "3"})
    with caplog.at_level(logging.INFO):
        changes = each.change(parse_policy({"resends": "1", "resend_timeout": "500ms", "window": "1024"}))
    assert changes == [("resends", "3", "1"), ("resend_timeout", "2s", "500ms")]
    assert (each.policy.resends, each.policy.budget_ns) == (1, 1000 * MS)
    assert each.source("resends") == each.source("window") == "live"
    assert caplog.messages == ["pool/n0: policy set: resends 3 -> 1, resend_timeout 2s -> 500ms"]


def test_what_changes_nothing_is_no_event(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert member().change(parse_policy({"resends": "4"})) == []
    assert caplog.messages == []


def test_the_number_of_links_is_not_changed_live() -> None:
    each = member()
    with pytest.raises(Conflict, match="links of pool/n0 cannot be changed while it is connected") as caught:
        each.changed(parse_policy({"resends": "1", "links": "2"}))
    assert "links=2" in caught.value.advice
    assert each.changed(parse_policy({"links": "1"})).links == 1
    assert each.policy.resends == 4


def test_a_backoff_whose_shortest_would_be_longer_than_its_longest_is_refused() -> None:
    with pytest.raises(UsageError, match=r"backoff_min of pool/n0 \(20s\) would be longer .* \(10s\)"):
        member({"backoff_min": "20s"})
    each = member({"backoff_max": "1s"})
    with pytest.raises(UsageError, match="backoff_min"):
        each.change(parse_policy({"backoff_min": "2s"}))
    assert each.policy.backoff_min_ns == 100 * MS
    each.change(parse_policy({"backoff_min": "2s", "backoff_max": "3s"}))
    assert each.policy.backoff_max_ns == 3 * SECOND


def test_the_default_is_the_layouts() -> None:
    assert MemberPolicy("a", SINGLE_COPY, {}, {}).policy == SINGLE_COPY
    assert member().policy == REDUNDANT


@pytest.mark.parametrize(
    ("words", "what", "advice"),
    [
        ({"reesnds": "1"}, "A policy has no key 'reesnds'.", "Did you mean 'resends'?"),
        ({"zzz": "1"}, "A policy has no key 'zzz'.", "There are: resend_timeout, resends,"),
        ({"name": "n0"}, "A policy has no key 'name'.", ""),
        ({"resends": "-1"}, "resends=-1 is wrong: '-1' is not a number from 0 to 1000000.", "Write"),
        ({"resend_timeout": "0"}, "resend_timeout=0 is wrong: It must be longer than nothing.", "500ms"),
        ({"on_exhausted": "frieze"}, "on_exhausted=frieze is wrong", "Did you mean 'freeze'?"),
        ({"window": "0"}, "window=0 is wrong", "Write"),
        ({"links": "65"}, "links=65 is wrong", "Write"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_to_write(words: dict[str, str], what: str, advice: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_policy(words)
    assert caught.value.what.startswith(what)
    assert caught.value.advice.startswith(advice) or advice in caught.value.advice
