"""Budgets and the wait between attempts to connect."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.transaction.policy import REDUNDANT, SINGLE_COPY, Policy, backoff
from dsttool.engine.vocabulary.limits import MS, SECOND

JITTER = st.floats(0, 1, exclude_max=True)


def test_a_budget_is_a_resend_timeout_for_each_send() -> None:
    assert Policy(resend_timeout_ns=3 * SECOND, resends=4).budget_ns == 15 * SECOND


def test_the_defaults_are_the_documented_ones() -> None:
    assert SINGLE_COPY.budget_ns == 5 * SECOND * 10
    assert REDUNDANT.budget_ns == 2 * SECOND * 5


@given(st.integers(1, 1000), JITTER)
def test_a_backoff_is_within_half_of_its_step_and_its_bounds(attempt: int, jitter: float) -> None:
    policy = Policy(backoff_min_ns=100 * MS, backoff_max_ns=10 * SECOND)
    step = min(10 * SECOND, 100 * MS * 2 ** min(attempt - 1, 40))
    assert step // 2 <= backoff(policy, attempt, jitter) <= step


@given(JITTER)
def test_a_backoff_starts_at_its_minimum_and_doubles(jitter: float) -> None:
    policy = Policy(backoff_min_ns=100 * MS, backoff_max_ns=10 * SECOND)
    waits = [backoff(policy, attempt, jitter) for attempt in range(1, 8)]
    assert waits[0] <= 100 * MS
    assert all(abs(later - 2 * earlier) <= 2 for earlier, later in itertools.pairwise(waits))
