"""What is remembered of a raw array, and what comes of it when it comes up again."""

from pathlib import Path

import msgspec
import pytest

from dsttool.engine.array.marks import Record
from dsttool.engine.config import state_file
from dsttool.engine.config.address import parse_address
from dsttool.engine.config.array_file import ArrayConfig
from dsttool.engine.device.device import Device
from dsttool.engine.host.array_plan import ArrayPlan
from dsttool.engine.host.array_state import History
from dsttool.engine.vocabulary.errors import Unsafe

ONE, TWO, OTHER = b"1" * 16, b"2" * 16, b"3" * 16


@pytest.fixture(autouse=True)
def _state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSTTOOL_STATE_DIR", str(tmp_path))


class Node(Device):
    def __init__(self, verifier: bytes, identity: bytes = ONE) -> None:
        self.verifier = verifier
        self.identity = identity

    def submit(self, batch) -> None:
        raise AssertionError

    def close(self, done) -> None:
        done()


def plan(layout: str = "mirror", *nodes: str, **options) -> ArrayPlan:
    addresses = tuple(parse_address(node) for node in nodes or ("/a", "/b"))
    return ArrayPlan(ArrayConfig("pool", layout, addresses, raw=True), **options)


def ran(made: ArrayPlan, *states: str, clean: bool = False, lost: bool = False) -> None:
    """The array has run, with these states at its end, on storage of the identities ONE and TWO."""
    record = Record(list(states), 5, [ONE, TWO], lost, [ONE, TWO])
    history = History(made)
    history.store(record)
    if clean:
        history.end(record)


def test_an_array_that_never_ran_begins_in_sync_and_has_lost_nothing() -> None:
    history = History(plan())
    assert history.states_to_begin_with() == ["in_sync", "in_sync"]
    assert history.clean
    assert not history.has_lost([Node(ONE), Node(TWO)], ["in_sync", "in_sync"])


@pytest.mark.parametrize("layout", ["linear", "stripe"])
def test_a_member_without_copy_that_acked_under_another_verifier_has_lost_what_it_acked(layout: str) -> None:
    ran(plan(layout), "in_sync", "in_sync")
    history = History(plan(layout))
    states = history.states_to_begin_with()
    assert states == ["in_sync", "in_sync"]
    assert not history.has_lost([Node(ONE), Node(TWO)], states)
    assert history.has_lost([Node(ONE), Node(OTHER)], states)


def test_a_loss_that_not_every_client_was_told_of_is_told_until_a_clean_end() -> None:
    ran(plan("linear"), "in_sync", "in_sync", lost=True)
    assert History(plan("linear")).has_lost([Node(ONE), Node(TWO)], ["in_sync"] * 2)
    ran(plan("linear"), "in_sync", "in_sync", lost=True, clean=True)
    assert not History(plan("linear")).has_lost([Node(OTHER), Node(TWO)], ["in_sync"] * 2)


def test_only_what_is_taken_for_in_sync_counts_as_lost() -> None:
    ran(plan(), "in_sync", "stale")
    history = History(plan(degraded=True))
    states = history.states_to_begin_with()
    assert states == ["in_sync", "stale"]
    assert not history.has_lost([Node(ONE), Node(OTHER)], states)
    assert history.has_lost([Node(OTHER), None], states)


def test_a_suspended_member_stays_suspended_over_a_restart() -> None:
    ran(plan(), "in_sync", "suspended", clean=True)
    with pytest.raises(Unsafe, match="n1 of pool missed writes"):
        History(plan()).states_to_begin_with()
    assert History(plan(degraded=True)).states_to_begin_with() == ["in_sync", "suspended"]


def test_a_source_makes_all_others_stale_unless_they_hold_more() -> None:
    ran(plan(), "in_sync", "in_sync")
    with pytest.raises(Unsafe, match="not stopped cleanly") as refused:
        History(plan()).states_to_begin_with()
    assert "--resync-from n0" in refused.value.advice
    assert History(plan(resync_from="n1")).states_to_begin_with() == ["stale", "in_sync"]
    ran(plan(), "in_sync", "stale")
    assert History(plan(resync_from="/a")).states_to_begin_with() == ["in_sync", "stale"]
    with pytest.raises(Unsafe, match="n1 of pool missed writes that n0 holds"):
        History(plan(resync_from="n1")).states_to_begin_with()


def test_verifiers_follow_their_nodes_into_other_slots() -> None:
    ran(plan("linear"), "in_sync", "in_sync")
    history = History(plan("linear", "/b", "/a"))
    assert not history.has_lost([Node(TWO), Node(ONE)], ["in_sync"] * 2)
    assert history.has_lost([Node(ONE), Node(TWO)], ["in_sync"] * 2)


def test_an_array_that_is_only_read_writes_nothing_down() -> None:
    History(plan(read_only=True)).store(Record(["in_sync"] * 2, 1, [ONE, TWO], False))
    assert state_file.load("pool") is None


def test_a_node_that_was_no_part_of_a_mirror_is_not_taken_for_a_copy() -> None:
    ran(plan(), "in_sync", "in_sync", clean=True)
    with pytest.raises(Unsafe, match="n1 of pool was no part of it when it last ran") as refused:
        History(plan("mirror", "/a", "/c")).states_to_begin_with()
    assert "--resync-from n0" in refused.value.advice
    with pytest.raises(Unsafe, match="n1 of pool was no part"):
        History(plan("mirror", "/a", "/c", degraded=True)).states_to_begin_with()
    source = History(plan("mirror", "/a", "/c", resync_from="n0"))
    assert source.states_to_begin_with() == ["in_sync", "stale"]
    assumed = History(plan("mirror", "/a", "/c", assume_clean=True))
    assert assumed.states_to_begin_with() == ["in_sync", "in_sync"]


def test_a_node_that_was_no_part_of_a_mirror_is_no_source_while_another_holds_everything() -> None:
    ran(plan(), "in_sync", "in_sync", clean=True)
    with pytest.raises(Unsafe, match="n1 of pool was no part of it when it last ran") as refused:
        History(plan("mirror", "/a", "/c", resync_from="n1")).states_to_begin_with()
    assert "--resync-from n0" in refused.value.advice
    ran(plan(), "stale", "in_sync", clean=True)  # what held everything may have another address now
    moved = History(plan("mirror", "/a", "/c", resync_from="n1"))
    assert moved.states_to_begin_with() == ["stale", "in_sync"]


def test_a_node_that_was_no_part_of_a_mirror_does_not_vouch_for_a_missing_one_that_has_everything() -> None:
    ran(plan(), "in_sync", "in_sync", clean=True)
    assert not History(plan("mirror", "/a", "/c")).vouches_for([False, True])
    assert History(plan("mirror", "/a", "/c")).vouches_for([True, False])
    ran(plan(), "stale", "in_sync", clean=True)
    assert History(plan("mirror", "/a", "/c")).vouches_for([True, True])
    assert not History(plan("mirror", "/a", "/c")).vouches_for([True, False])


def test_other_storage_at_the_address_of_a_member_is_not_taken_for_a_copy() -> None:
    ran(plan(), "in_sync", "in_sync", clean=True)
    history = History(plan())
    states = history.states_to_begin_with()
    history.check_storage([Node(ONE, ONE), Node(TWO, TWO)], states)
    with pytest.raises(Unsafe, match="n1 of pool is other storage than when it last ran") as refused:
        history.check_storage([Node(ONE, ONE), Node(TWO, OTHER)], states)
    assert "--resync-from n0" in refused.value.advice
    with pytest.raises(Unsafe, match="n0 of pool is other storage"):
        history.check_storage([Node(ONE, OTHER), None], states)
    assumed = History(plan(assume_clean=True))
    assumed.check_storage([Node(ONE, ONE), Node(TWO, OTHER)], states)


def test_other_storage_is_no_source_while_a_member_that_is_known_holds_everything() -> None:
    ran(plan(), "in_sync", "in_sync", clean=True)
    history = History(plan(resync_from="n1"))
    states = history.states_to_begin_with()
    with pytest.raises(Unsafe, match="n1 of pool is other storage") as refused:
        history.check_storage([Node(ONE, ONE), Node(TWO, OTHER)], states)
    assert "--resync-from n0" in refused.value.advice
    history.check_storage([Node(ONE, ONE), Node(TWO, TWO)], states)


def test_a_mirror_all_of_whose_members_are_other_storage_is_a_new_one() -> None:
    """As memory is at every start, and restored disks are: its members are compared, as at first."""
    ran(plan(), "in_sync", "in_sync", clean=True)
    history = History(plan())
    history.check_storage([Node(ONE, OTHER), Node(TWO, OTHER)], history.states_to_begin_with())


def test_storage_is_known_in_another_slot_and_unknown_where_nothing_was_written_down() -> None:
    ran(plan(), "in_sync", "in_sync", clean=True)
    history = History(plan("mirror", "/b", "/a"))
    history.check_storage([Node(TWO, TWO), Node(ONE, ONE)], history.states_to_begin_with())
    before = state_file.load("pool")
    assert before is not None
    state_file.store("pool", msgspec.structs.replace(before, identities=()))
    history = History(plan())
    history.check_storage([Node(ONE, OTHER), Node(TWO, TWO)], history.states_to_begin_with())


def test_other_storage_at_the_address_of_a_stale_member_is_not_overwritten_unless_it_is_named() -> None:
    ran(plan(), "in_sync", "stale", clean=True)
    history = History(plan(degraded=True))
    states = history.states_to_begin_with()
    history.check_storage([Node(ONE, ONE), Node(TWO, TWO)], states)
    with pytest.raises(Unsafe, match="n1 of pool is other storage") as refused:
        history.check_storage([Node(ONE, ONE), Node(TWO, OTHER)], states)
    assert "--resync-from n0" in refused.value.advice
    told = History(plan(resync_from="n0"))
    told.check_storage([Node(ONE, ONE), Node(TWO, OTHER)], told.states_to_begin_with())


def test_what_storage_a_member_was_is_remembered_while_it_is_missing() -> None:
    ran(plan(), "in_sync", "in_sync", clean=True)
    for _ in range(2):
        made = History(plan(degraded=True))
        made.store(Record(["in_sync", "stale"], 6, [ONE, None], False, [ONE, None]))
        history = History(plan(degraded=True))
        assert history.is_known(1, Node(TWO, TWO))
        assert not history.is_known(1, Node(TWO, OTHER))
        assert made.is_known(1, Node(TWO, TWO))


def test_storage_of_which_nothing_is_remembered_may_come_in() -> None:
    assert History(plan()).is_known(1, Node(TWO, OTHER))
    ran(plan(), "in_sync", "in_sync", clean=True)
    told = History(plan(resync_from="n0", degraded=True))
    assert told.is_known(1, Node(TWO, OTHER)), "somebody said that it is to be overwritten"
