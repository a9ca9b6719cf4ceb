"""Who may write to an export: one test for each line of the table in grant.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.transaction.grant import NBD_OWNER, Admit, Asker, Busy, Decision, Fenced, Grant, Holder
from dsttool.engine.vocabulary.limits import GRANT_NS, SECOND

ONE, TWO, THREE = bytes([1]) * 16, bytes([2]) * 16, bytes([3]) * 16
START = 1000 * SECOND


def admitted(grant: Grant, asker: Asker, now: int = START) -> Holder:
    """Decide, and do what a server does then."""
    decision = grant.decide(asker, now)
    assert isinstance(decision, Admit), decision
    if decision.displaces:
        grant.displace()
    grant.begin(decision.holder)
    return decision.holder


@pytest.fixture
def held() -> Grant:
    """Array a writes, and has a link."""
    grant = Grant(None, START)
    admitted(grant, Asker("array a", ONE))
    return grant


def busy(decision: Decision) -> int:
    assert isinstance(decision, Busy), decision
    return decision.wait_ns


# -- never given -----------------------------------------------------------------------------------------


def test_the_first_one_is_admitted_under_term_1_once_that_is_stored() -> None:
    decision = Grant(None, START).decide(Asker("array a", ONE), START)
    assert decision == Admit(Holder("array a", ONE, 1), store=True, displaces=False)


def test_a_session_that_knows_a_term_keeps_it_when_the_servers_state_was_lost() -> None:
    assert admitted(Grant(None, START), Asker("array a", ONE, 7)).term == 7


# -- held by the asker -----------------------------------------------------------------------------------


@pytest.mark.parametrize("term", [0, 1])
def test_the_holder_goes_on_under_its_term_and_nothing_is_stored(held: Grant, term: int) -> None:
    decision = held.decide(Asker("array a", ONE, term), START)
    assert decision == Admit(Holder("array a", ONE, 1), store=False, displaces=False)


def test_the_holder_goes_on_under_its_term_after_a_restart_of_the_server() -> None:
    grant = Grant(Holder("array a", ONE, 5), START)
    decision = grant.decide(Asker("array a", ONE, 5), START)
    assert decision == Admit(Holder("array a", ONE, 5), store=False, displaces=False)


def test_the_holder_keeps_a_higher_term_than_the_one_stored_and_it_is_stored() -> None:
    grant = Grant(Holder("array a", ONE, 5), START)
    decision = grant.decide(Asker("array a", ONE, 8), START)
    assert decision == Admit(Holder("array a", ONE, 8), store=True, displaces=False)


def test_the_holder_with_a_lower_term_than_its_own_is_fenced() -> None:
    assert Grant(Holder("array a", ONE, 5), START).decide(Asker("array a", ONE, 4), START) == Fenced(5)


# -- held, and its owner comes with another session ----------------------------------------------------------


@pytest.mark.parametrize("silent", [False, True])
def test_a_new_session_of_the_same_owner_is_admitted_at_once(held: Grant, silent: bool) -> None:
    if silent:
        held.leave(START)
    decision = held.decide(Asker("array a", TWO), START)
    assert decision == Admit(Holder("array a", TWO, 2), store=True, displaces=True)


@pytest.mark.parametrize("term", [1, 2])
def test_an_old_session_of_the_same_owner_is_fenced(held: Grant, term: int) -> None:
    admitted(held, Asker("array a", TWO))
    assert held.decide(Asker("array a", ONE, term), START) == Fenced(2)


def test_a_displaced_session_that_never_learned_its_term_is_fenced(held: Grant) -> None:
    admitted(held, Asker("array a", TWO))
    assert held.decide(Asker("array a", ONE, 0), START) == Fenced(2)


def test_an_older_term_is_fenced_after_a_restart_of_the_server() -> None:
    grant = Grant(Holder("array a", TWO, 2), START)
    assert grant.decide(Asker("array a", ONE, 1), START) == Fenced(2)


# -- held, and another owner comes ------------------------------------------------------------------------


def test_another_owner_waits_while_the_holder_is_present(held: Grant) -> None:
    later = START + 10 * GRANT_NS
    assert held.decide(Asker("array b", TWO), later) == Busy("array a", GRANT_NS, present=True)


def test_another_owner_waits_until_the_holder_was_silent_for_the_grant_time(held: Grant) -> None:
    held.leave(START)
    assert busy(held.decide(Asker("array b", TWO), START + GRANT_NS - 1)) == 1
    decision = held.decide(Asker("array b", TWO), START + GRANT_NS)
    assert decision == Admit(Holder("array b", TWO, 2), store=True, displaces=True)


def test_a_holder_that_comes_back_is_not_silent_any_more(held: Grant) -> None:
    held.leave(START)
    admitted(held, Asker("array a", ONE, 1), START + GRANT_NS - 1)
    assert busy(held.decide(Asker("array b", TWO), START + 2 * GRANT_NS)) == GRANT_NS


def test_after_a_restart_of_the_server_silence_counts_from_its_start() -> None:
    grant = Grant(Holder("array a", ONE, 5), START)
    assert busy(grant.decide(Asker("array b", TWO), START + SECOND)) == GRANT_NS - SECOND
    assert admitted(grant, Asker("array b", TWO), START + GRANT_NS).term == 6


def test_another_owner_is_admitted_at_once_if_it_takes_over(held: Grant) -> None:
    decision = held.decide(Asker("array b", TWO, takeover=True), START)
    assert decision == Admit(Holder("array b", TWO, 2), store=True, displaces=True)


def test_whoever_was_taken_over_is_fenced(held: Grant) -> None:
    admitted(held, Asker("array b", TWO, takeover=True))
    assert held.decide(Asker("array a", ONE, 1), START + 2 * GRANT_NS) == Fenced(2)
    assert held.decide(Asker("array a", ONE, 1, takeover=True), START) == Fenced(2)


def test_whoever_was_taken_over_comes_back_as_a_new_session_by_the_rules_for_others(held: Grant) -> None:
    admitted(held, Asker("array b", TWO, takeover=True))
    assert busy(held.decide(Asker("array a", THREE), START)) == GRANT_NS


def test_the_session_of_one_owner_in_the_hands_of_another_is_not_the_holder(held: Grant) -> None:
    assert busy(held.decide(Asker("array b", ONE), START)) == GRANT_NS


# -- released ------------------------------------------------------------------------------------------------


def test_after_a_goodbye_anybody_is_admitted_at_once(held: Grant) -> None:
    assert held.release() == Holder("array a", ONE, 1, released=True)
    decision = held.decide(Asker("array b", TWO), START)
    assert decision == Admit(Holder("array b", TWO, 2), store=True, displaces=False)


@pytest.mark.parametrize("term", [0, 1])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_session_that_said_goodbye_is_fenced(held: Grant, term: int, restarted: bool) -> None:
    released = held.release()
    grant = Grant(released, START) if restarted else held
    assert grant.decide(Asker("array a", ONE, term), START) == Fenced(1)


def test_an_older_term_is_fenced_though_nobody_holds_the_grant(held: Grant) -> None:
    admitted(held, Asker("array a", TWO))
    held.release()
    grant = Grant(held.holder, START)
    assert grant.decide(Asker("array a", ONE, 1), START) == Fenced(2)


def test_a_second_goodbye_releases_nothing(held: Grant) -> None:
    held.release()
    assert held.release() is None
    assert Grant(None, START).release() is None


# -- NBD, which is one owner ---------------------------------------------------------------------------------


def test_nbd_connections_are_one_owner_beside_the_others(held: Grant) -> None:
    assert not held.would_write(NBD_OWNER, START)
    held.leave(START)
    assert held.would_write(NBD_OWNER, START + GRANT_NS)
    assert admitted(held, Asker(NBD_OWNER, TWO), START + GRANT_NS).owner == NBD_OWNER
    assert held.would_write(NBD_OWNER, START + GRANT_NS)
    assert busy(held.decide(Asker("array a", THREE), START + GRANT_NS)) == GRANT_NS


# -- storing -------------------------------------------------------------------------------------------------


def test_a_term_that_could_not_be_stored_is_never_given_again(held: Grant) -> None:
    failed = held.decide(Asker("array a", TWO), START)
    assert isinstance(failed, Admit)
    held.displace()
    held.not_stored(failed.holder)
    assert held.decide(Asker("array a", ONE, 1), START) == Fenced(2)
    assert admitted(held, Asker("array a", THREE)) == Holder("array a", THREE, 3)


def test_the_holder_is_stored_again_when_what_is_stored_is_not_known() -> None:
    grant = Grant(Holder("array a", ONE, 5), START)
    higher = grant.decide(Asker("array a", ONE, 8), START)
    assert isinstance(higher, Admit)
    grant.not_stored(higher.holder)
    again = grant.decide(Asker("array a", ONE, 5), START)
    assert isinstance(again, Admit)
    assert again.store


def test_what_is_remembered_of_displaced_sessions_is_bounded() -> None:
    grant = Grant(None, START)
    for number in range(1000):
        admitted(grant, Asker("array a", number.to_bytes(16, "big")))
    assert len(grant._retired) <= 256


OWNERS = st.sampled_from(["array a", "array b", NBD_OWNER])


@given(st.lists(st.tuples(OWNERS, st.integers(0, 5), st.booleans(), st.integers(0, GRANT_NS)), max_size=30))
def test_terms_only_grow_and_each_belongs_to_one_session(
    moves: list[tuple[str, int, bool, int]],
) -> None:
    grant, now = Grant(None, START), START
    given: dict[int, tuple[str, bytes]] = {}
    known: dict[tuple[str, bytes], int] = {}
    highest = 0
    for owner, number, takeover, pause in moves:
        now += pause
        session = bytes([number]) * 16
        asker = Asker(owner, session, known.get((owner, session), 0), takeover)
        decision = grant.decide(asker, now)
        if isinstance(decision, Admit):
            if decision.displaces:
                grant.displace()
            grant.begin(decision.holder)
            term = decision.holder.term
            assert term >= highest
            assert given.setdefault(term, (owner, session)) == (owner, session)
            highest = term
            known[owner, session] = term
        elif number == 0:
            grant.release()
        else:
            grant.leave(now)
