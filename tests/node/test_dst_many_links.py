"""A session over its connects: what is done once, what may still run, who may write, who gives up."""

import errno
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import pytest

from dsttool.engine.transaction.policy import Policy
from dsttool.engine.vocabulary.errors import Conflict, Fenced, Forbidden
from dsttool.engine.vocabulary.limits import MS, SECOND
from dsttool.engine.vocabulary.operations import FLUSH, READ, WRITE
from dsttool.engine.wire import dst_hello, dst_records
from dsttool.engine.wire.dst_hello import BUSY, FENCED, GOODBYE, REFUSED_KEY, RUNNING
from support.array_bench import ask, is_done, read, write
from support.dst_hall import DstHall
from support.dst_stage import BRIEF, QUICK, Stage, answers_of
from support.dst_strangers import RawServer, Talker, record, replies, reply, requests_of

PATIENT = replace(QUICK, ping_interval_ns=60 * SECOND)
FREEZING = replace(BRIEF, on_exhausted="freeze")


@pytest.fixture
def stage() -> Iterator[Stage]:
    with DstHall() as hall, RawServer(hall) as server:
        yield Stage(hall, server)


def wait_until_down(stage: Stage) -> None:
    stage.hall.until(lambda: not stage.hall.nodes[-1].up)


# -- once ------------------------------------------------------------------------------------------------


def test_an_answer_lost_with_the_connection_is_taken_from_the_welcome(stage: Stage) -> None:
    node, talker = stage.up()
    asked = [write(0, b"a" * 512), write(512, b"b" * 512), read(0, 4)]
    node.submit(asked)
    before = requests_of(talker, 3)
    talker.close()
    talker = stage.again(found=True, known=((1, 0), (2, errno.ENOSPC)))
    assert requests_of(talker) == before[2:], "only the read runs again"
    assert [request.error for request in asked[:2]] == [0, errno.ENOSPC]
    assert talker.is_silent()
    talker.say(answers_of(*before[2:]))
    stage.hall.wait(*asked)


def test_what_still_runs_is_asked_for_again_so_that_its_answer_comes_by_the_new_link(stage: Stage) -> None:
    node, talker = stage.up()
    asked = [write(0, b"a"), write(512, b"b")]
    node.submit(asked)
    before = requests_of(talker, 2)
    talker.close()
    talker = stage.again(found=True, known=((1, RUNNING),))
    assert requests_of(talker, 2) == before, "in the order of ids, what was never begun included"
    talker.say(replies(reply(1), reply(2)))
    stage.hall.wait(*asked)
    assert {request.error for request in asked} == {0}


def test_a_status_for_what_was_never_sent_is_not_believed(stage: Stage) -> None:
    node, talker = stage.up()
    talker.close()
    wait_until_down(stage)
    asked = write(0, b"x")
    node.submit([asked])
    talker = stage.again(known=((1, 0), (2, 0)))
    assert requests_of(talker) == [(1, WRITE, 0, 1)]
    talker.say(replies(reply(1)))
    stage.hall.wait(asked)


def test_the_floor_leaves_out_what_was_given_up(stage: Stage) -> None:
    node, talker = stage.up(BRIEF)
    given_up = write(0, b"x")
    node.submit([given_up])
    requests_of(talker)
    stage.hall.wait(given_up)
    talker.close()
    talker, hello = stage.hello_again()
    assert hello.floor == 2
    stage.welcome(talker)


# -- what was given up -------------------------------------------------------------------------------------


def give_up(stage: Stage, policy: Policy = BRIEF) -> None:
    """A write of 512 bytes at 0, id 1, was sent and has ended without an answer; its link is gone."""
    node, talker = stage.up(policy)
    stalled = write(0, b"old!" * 128)
    node.submit([stalled])
    requests_of(talker)
    stage.hall.wait(stalled)
    assert stalled.error == errno.EIO
    talker.close()
    wait_until_down(stage)
    node.set_policy(PATIENT)


def test_a_write_that_was_given_up_keeps_its_extent_and_not_its_payload(stage: Stage) -> None:
    """A disk may hang for hours, and all the while its clients try again."""
    give_up(stage)
    (locked,) = stage.hall.nodes[0]._extents.locked.values()
    assert (locked.request.offset, locked.request.length) == (0, 512)
    assert locked.request.data is None


def test_a_stalled_write_that_still_runs_keeps_its_extent_over_a_reconnect_until_it_ends(
    stage: Stage,
) -> None:
    give_up(stage)
    (node,) = stage.hall.nodes
    newer = write(4, b"new!")
    node.submit([newer])
    talker = stage.again(found=True, known=((1, RUNNING),))
    assert requests_of(talker) == [(1, WRITE, 0, 512)], "so that its end is told over this link"
    assert talker.is_silent()
    talker.say(replies(reply(1)))
    assert requests_of(talker) == [(2, WRITE, 4, 4)]
    talker.say(replies(reply(2)))
    stage.hall.wait(newer)


def test_to_ask_for_the_end_of_what_was_given_up_can_never_begin_it(stage: Stage) -> None:
    """Its payload may be anything by now: the floor in the same record says that it must not begin."""
    give_up(stage)
    talker = stage.again(found=True, known=((1, RUNNING),))
    length, kind, _, _ = dst_records.HEADER.unpack(talker.hear(8))
    body = talker.hear(length)
    assert kind == dst_records.REQUESTS
    assert int.from_bytes(body[:8], "big") > 1
    assert body[-512:] == bytes(512)
    talker.say(replies(reply(1, errno.ECANCELED)))


@pytest.mark.parametrize("known", [(), ((1, 0),), ((1, errno.EIO),)], ids=["absent", "done", "failed"])
def test_a_stalled_write_that_cannot_run_any_more_lets_go_of_its_extent(
    stage: Stage, known: tuple[tuple[int, int], ...]
) -> None:
    give_up(stage)
    (node,) = stage.hall.nodes
    newer = write(4, b"new!")
    node.submit([newer])
    talker = stage.again(found=bool(known), known=known)
    assert requests_of(talker) == [(2, WRITE, 4, 4)]
    talker.say(replies(reply(2)))
    stage.hall.wait(newer)


def test_a_welcome_says_nothing_of_what_another_link_may_still_bring(stage: Stage) -> None:
    """It was sent over a link that is up, and an older request is unanswered: the floor is below it."""
    node, first = stage.up(replace(PATIENT, links=2))
    second, hello = stage.hello_again()
    stage.welcome(second)
    stage.hall.until(lambda: len(node._links.up) == 2)
    asked = [read(0, 1), write(0, b"old!")]
    node.submit(asked)
    sender = first if not first.is_silent() else second
    idle = second if sender is first else first
    requests_of(sender, 2)
    expired = node._table.in_flight.pop(2)
    node.exhausted([expired])
    newer = write(0, b"new!")
    node.submit([newer])
    idle.close()
    again, hello = stage.hello_again()
    assert hello.floor == 1
    stage.welcome(again, found=True)
    stage.hall.until(lambda: len(node._links.up) == 2)
    assert again.is_silent()
    assert sender.is_silent()
    sender.say(replies(reply(2)))
    stage.hall.until(lambda: not node._extents.locked)
    node.abandon()


# -- who may write -----------------------------------------------------------------------------------------


def test_a_term_that_was_granted_is_told_at_every_connect(stage: Stage) -> None:
    node = stage.node(array=b"a" * 16, slot=3, owner="machine", takeover=True)
    talker, hello = stage.hello_again()
    assert (hello.term, hello.array, hello.slot, hello.owner) == (0, b"a" * 16, 3, "machine")
    assert hello.takeover
    stage.welcome(talker, term=7)
    stage.hall.until(lambda: node.up)
    talker.close()
    talker, hello = stage.hello_again()
    assert hello.term == 7
    assert not hello.takeover, "once: who took over meanwhile stays"
    stage.welcome(talker, term=7)


def test_a_client_without_an_array_is_nobodys_successor(stage: Stage) -> None:
    stage.node()
    talker, hello = stage.hello_again()
    assert hello.array == hello.session
    stage.welcome(talker)


@pytest.mark.parametrize("how", ["notice", "refusal", "frozen"])
def test_a_fenced_node_fails_everything_and_never_replays(stage: Stage, how: str) -> None:
    node, talker = stage.up(FREEZING if how == "frozen" else PATIENT)
    asked = [write(0, b"x"), read(0, 1), write(0, b"y"), ask(FLUSH)]
    told: list[tuple[bool, bool]] = []
    node.on_failure = lambda: told.append((isinstance(node.failure, Fenced), is_done(asked[0])))
    node.submit(asked)
    requests_of(talker, 3)
    if how == "notice":
        talker.say(record(dst_records.NOTICE, dst_hello.pack_reason(FENCED, "Another one writes.")))
    else:
        talker.close()
        if how == "frozen":
            stage.hall.until(lambda: node.frozen)
        talker, _ = stage.hello_again()
        stage.refuse(talker, FENCED, "Another one writes.")
    stage.hall.wait(*asked)
    assert told == [(True, False)], "whoever is above knows before its requests fail"
    assert {request.error for request in asked} == {errno.EIO}
    later = write(0, b"z")
    node.submit([later])
    stage.hall.wait(later)
    assert later.error == errno.EIO
    stage.hall.pass_time(3 * node.policy.backoff_max_ns)
    with pytest.raises(BlockingIOError):
        stage.server.socket.accept()


@pytest.mark.parametrize(("code", "kind"), [(BUSY, Conflict), (FENCED, Fenced), (REFUSED_KEY, Forbidden)])
def test_who_may_not_write_from_the_start_is_told_why(stage: Stage, code: int, kind: type) -> None:
    node = stage.node()
    talker, _ = stage.hello_again()
    stage.refuse(talker, code, "Somebody else writes.")
    stage.hall.until(lambda: bool(stage.outcomes))
    (error,) = stage.outcomes
    assert type(error) is kind
    assert "Somebody else writes." in str(error)
    assert node.failure is error


def test_an_export_that_is_busy_after_a_reconnect_is_tried_again(stage: Stage) -> None:
    node, talker = stage.up()
    asked = write(0, b"x")
    node.submit([asked])
    before = requests_of(talker)
    talker.close()
    talker, _ = stage.hello_again()
    stage.refuse(talker, BUSY)
    assert requests_of(stage.again()) == before
    assert node.failure is None


def test_a_key_that_is_revoked_ends_the_node(stage: Stage) -> None:
    node, talker = stage.up()
    talker.say(record(dst_records.NOTICE, dst_hello.pack_reason(REFUSED_KEY, "Revoked.")))
    stage.hall.until(lambda: node.failure is not None)
    assert isinstance(node.failure, Forbidden)


def closed(stage: Stage) -> None:
    (node,) = stage.hall.nodes
    done: list[bool] = []
    node.close(lambda: done.append(True))
    stage.hall.until(lambda: bool(done))
    stage.hall.nodes.clear()


def test_a_node_that_closes_with_everything_answered_says_goodbye(stage: Stage) -> None:
    node, talker = stage.up()
    asked = write(0, b"x")
    node.submit([asked])
    requests_of(talker)
    talker.say(replies(reply(1)))
    stage.hall.wait(asked)
    closed(stage)
    kind, body = talker.record()
    assert (kind, dst_hello.parse_reason(body)[0]) == (dst_records.NOTICE, GOODBYE)
    assert talker.is_closed()


@pytest.mark.parametrize("given_up", [False, True])
def test_a_node_that_closes_while_something_may_run_keeps_its_grant(stage: Stage, given_up: bool) -> None:
    node, talker = stage.up(BRIEF if given_up else PATIENT)
    asked = write(0, b"x")
    node.submit([asked])
    requests_of(talker)
    if given_up:
        stage.hall.wait(asked)
    closed(stage)
    assert talker.is_closed()
    assert talker._heard == b""


# -- budgets -----------------------------------------------------------------------------------------------


def test_a_frozen_node_holds_everything_until_the_link_returns_and_then_sends_it_once(stage: Stage) -> None:
    node, talker = stage.up(FREEZING)
    asked = [write(0, b"x"), write(0, b"y"), read(0, 1)]
    node.submit(asked)
    before = requests_of(talker, 2)
    talker.close()
    stage.hall.until(lambda: node.frozen)
    stage.hall.pass_time(2 * FREEZING.budget_ns)
    late = write(512, b"z")
    node.submit([late])
    assert not is_done(*asked[:1])
    assert {entry["state"] for entry in node.transactions()} == {"frozen", "queued"}
    assert node.transaction_states() == Counter(entry["state"] for entry in node.transactions())
    talker, _ = stage.hello_again()
    stage.welcome(talker, found=True)
    again = requests_of(talker, 3)
    assert again == [*before, (4, WRITE, 512, 1)]
    assert not node.frozen
    talker.say(answers_of(*again))
    talker.say(answers_of(*requests_of(talker)))
    stage.hall.wait(*asked, late)
    assert {request.error for request in [*asked, late]} == {0}
    assert talker.is_silent()


def test_a_frozen_node_fails_what_it_holds_when_the_policy_says_so(stage: Stage) -> None:
    node, talker = stage.up(FREEZING)
    asked = write(0, b"x")
    node.submit([asked])
    requests_of(talker)
    stage.hall.until(lambda: node.frozen)
    node.set_policy(BRIEF)
    assert asked.error == errno.EIO
    assert not node.frozen
    assert list(node._extents.locked) == [1], "it was sent: it may still land"


def test_a_frozen_node_does_not_spin(stage: Stage) -> None:
    node, talker = stage.up(FREEZING)
    node.submit([write(0, b"x")])
    requests_of(talker)
    stage.hall.until(lambda: node.frozen)
    turns = 0
    ended: list[bool] = []
    stage.hall.reactor.call_later(10 * FREEZING.resend_timeout_ns, lambda: ended.append(True))
    while not ended:
        stage.hall.reactor.turn()
        turns += 1
    assert turns < 60


def test_a_policy_that_changes_counts_budgets_from_the_start_of_each_transaction(stage: Stage) -> None:
    node, talker = stage.up(PATIENT)
    old = write(0, b"x")
    node.submit([old])
    requests_of(talker)
    stage.hall.pass_time(60 * MS)
    young = write(512, b"x")
    node.submit([young])
    node.set_policy(replace(PATIENT, resend_timeout_ns=25 * MS, resends=1))
    assert is_done(old)
    assert not is_done(young)
    stage.hall.wait(young)
    assert (old.error, young.error) == (errno.EIO, errno.EIO)
    assert node.budget_ns == 50 * MS


def test_a_larger_window_admits_what_waits(stage: Stage) -> None:
    node, talker = stage.up(replace(PATIENT, window=2))
    node.submit([read(at, 1) for at in range(5)])
    requests_of(talker, 2)
    assert talker.is_silent()
    node.set_policy(replace(PATIENT, window=4))
    assert len(requests_of(talker, 2)) == 2
    assert talker.is_silent()


def test_another_ping_interval_counts_at_once(stage: Stage) -> None:
    node, talker = stage.up(PATIENT)
    node.set_policy(replace(PATIENT, ping_interval_ns=5 * MS))
    kind, _ = talker.record()
    assert kind == dst_records.PING


def test_a_shorter_backoff_counts_at_once(stage: Stage) -> None:
    slow = replace(QUICK, backoff_min_ns=60 * SECOND, backoff_max_ns=60 * SECOND)
    node, talker = stage.up(slow)
    talker.close()
    wait_until_down(stage)
    node.set_policy(QUICK)
    stage.again()
    stage.hall.until(lambda: node.up)


def test_every_transaction_is_shown_with_its_state(stage: Stage) -> None:
    node, talker = stage.up(replace(BRIEF, window=3))
    stalled = write(0, b"old!")
    node.submit([stalled])
    requests_of(talker)
    stage.hall.wait(stalled)
    node.set_policy(replace(PATIENT, window=3))
    node.submit([write(0, b"held"), write(512, b"sent"), read(2048, 1), ask(FLUSH)])
    requests_of(talker, 2)
    shown = [(each["state"], each["op"], each["id"], each["attempts"]) for each in node.transactions()]
    assert shown == [
        ("exhausted", "WRITE", 1, 1),
        ("held", "WRITE", 2, 0),
        ("in_flight", "WRITE", 3, 1),
        ("in_flight", "READ", 4, 1),
        ("queued", "FLUSH", 0, 0),
    ]
    assert node.transaction_states() == {"exhausted": 1, "held": 1, "in_flight": 2, "queued": 1}
    stage.hall.pass_time(5 * MS)
    last = list(node.transactions())[2]
    assert (last["node"], last["offset"], last["length"], last["flags"]) == ("n0", 512, 4, [])
    assert last["age_ns"] >= 5 * MS
    assert last["budget_left_ns"] == PATIENT.budget_ns - last["age_ns"]
    assert last["next_resend_ns"] is None
    assert next(iter(node.transactions()))["budget_left_ns"] is None
    talker.close()
    wait_until_down(stage)
    down = list(node.transactions())[2]
    assert down["state"] == "resend"
    assert down["next_resend_ns"] is not None
    assert down["next_resend_ns"] <= QUICK.backoff_max_ns
    assert node.transaction_states() == {"exhausted": 1, "held": 1, "resend": 2, "queued": 1}


def test_those_listed_may_be_taken_while_others_come_and_go(stage: Stage) -> None:
    node, talker = stage.up(replace(PATIENT, window=4))
    batch = [read(index * 512, 512) for index in range(8)]
    node.submit(batch)
    asked = requests_of(talker, 4)
    listed = node.transactions()
    first = next(listed)
    talker.say(answers_of(*asked))
    stage.hall.wait(*batch[:4])
    node.submit([read(9 * 512, 512)])
    assert [first["offset"], *(each["offset"] for each in listed)] == [r.offset for r in batch]
    assert [each["offset"] for each in islice(node.transactions(), 2)] == [4 * 512, 5 * 512]


def test_transactions_of_another_node_are_not_this_one_s(stage: Stage) -> None:
    node, _ = stage.up()
    node.submit([read(0, 512)])
    assert [each["node"] for each in node.transactions("n0")] == ["n0"]
    assert (list(node.transactions("n1")), node.transaction_states("n1")) == ([], {})


# -- several links -----------------------------------------------------------------------------------------


def two_links(stage: Stage, policy: Policy = PATIENT) -> tuple[Talker, Talker]:
    node, first = stage.up(replace(policy, links=2))
    second, hello = stage.hello_again()
    assert (hello.link, hello.session) == (1, node._session.id)
    stage.welcome(second, found=True)
    stage.hall.until(lambda: len(node._links.up) == 2)
    return first, second


def test_batches_are_spread_over_the_links(stage: Stage) -> None:
    talkers = two_links(stage)
    (node,) = stage.hall.nodes
    for at in range(4):
        node.submit([read(at, 1)])
        stage.hall.pass_time(0)
    for talker in talkers:
        assert len(requests_of(talker, 2)) == 2


def test_one_links_death_moves_what_it_carried_to_the_other_at_once(stage: Stage) -> None:
    talkers = two_links(stage)
    (node,) = stage.hall.nodes
    asked = []
    for at in range(4):
        asked.append(write(at * 512, b"x"))
        node.submit(asked[-1:])
        stage.hall.pass_time(0)
    carried = [requests_of(talker, 2) for talker in talkers]
    dead, alive = talkers
    dead.close()
    assert requests_of(alive, 2) == carried[0]
    assert node.up
    alive.say(answers_of(*carried[0], *carried[1]))
    stage.hall.wait(*asked)
    alive.close()
    wait_until_down(stage)
    assert len(node.status()["links"]) == 2


def test_a_welcome_with_another_verifier_closes_the_other_links_first(stage: Stage) -> None:
    dead, alive = two_links(stage)
    (node,) = stage.hall.nodes
    dead.close()
    stage.hall.until(lambda: len(node._links.up) == 1)
    again, hello = stage.hello_again()
    assert hello.link == 0
    stage.welcome(again, verifier=b"another verifier", found=True)
    assert alive.is_closed()
    assert node.verifier == b"another verifier"
    talker, hello = stage.hello_again()
    assert hello.link == 1
    stage.welcome(talker, verifier=b"another verifier", found=True)
    stage.hall.until(lambda: len(node._links.up) == 2)


def test_what_becomes_down_tells_once_and_up_again_once(stage: Stage) -> None:
    first, second = two_links(stage)
    (node,) = stage.hall.nodes
    ups: list[bool] = []
    node.on_up = lambda: ups.append(node.up)
    first.close()
    stage.again(found=True)
    stage.hall.until(lambda: len(node._links.up) == 2)
    assert ups == []
    for talker in (second, stage.server.talkers[-1]):
        talker.close()
    wait_until_down(stage)
    stage.again(found=True)
    stage.hall.until(lambda: bool(ups))
    assert ups == [True]


def test_what_was_sent_by_two_links_may_still_come_by_the_first_when_the_second_knows_nothing(
    stage: Stage,
) -> None:
    """The server may read the first one's old connection late, if what it asked for before is slow."""
    first, second = two_links(stage, replace(PATIENT, resend_timeout_ns=20 * MS, resends=1000))
    (node,) = stage.hall.nodes
    older = read(0, 1)
    node.submit([older, write(0, b"old!")])
    stage.hall.pass_time(0)
    sender, other = (first, second) if not first.is_silent() else (second, first)
    requests_of(sender, 2)
    sender.close()
    stage.hello_again()  # and it does not come back
    requests_of(other, 2)
    node.exhausted([node._table.in_flight.pop(2)])
    newer = write(0, b"new!")
    node.submit([newer])
    other.close()
    other, hello = stage.hello_again()
    assert hello.floor == 1
    stage.welcome(other, found=True)
    assert requests_of(other) == [(1, READ, 0, 1)]
    stage.hall.pass_time(50 * MS)
    assert other.is_silent(), "the old write may land after the new one"
    other.say(replies(reply(1, errno.EIO)))
    assert requests_of(other) == [(2, WRITE, 0, 4)], "with the floor above it, it is asked for"
    other.say(replies(reply(2, errno.ECANCELED)))
    assert requests_of(other) == [(3, WRITE, 0, 4)]
    other.say(replies(reply(3)))
    stage.hall.wait(older, newer)


def test_the_end_of_what_was_given_up_is_asked_for_over_the_other_link_when_its_own_dies(
    stage: Stage,
) -> None:
    """Its own may not come back for long, and until then nothing could be written there."""
    talkers = two_links(stage, replace(PATIENT, resend_timeout_ns=50 * MS, resends=1))
    (node,) = stage.hall.nodes
    stalled = write(0, b"old!")
    node.submit([stalled])
    stage.hall.wait(stalled)
    sender = next(talker for talker in talkers if not talker.is_silent())
    other = next(talker for talker in talkers if talker is not sender)
    node.set_policy(replace(PATIENT, links=2))
    newer = write(0, b"new!")
    node.submit([newer])
    sender.close()
    assert requests_of(other) == [(1, WRITE, 0, 4)]
    other.say(replies(reply(1, errno.ECANCELED)))
    assert requests_of(other) == [(2, WRITE, 0, 4)]
    other.say(replies(reply(2)))
    stage.hall.wait(newer)


def test_what_is_given_up_just_before_it_would_be_sent_again_is_asked_after(stage: Stage) -> None:
    node, talker = stage.up(PATIENT)
    stalled = write(0, b"old!")
    node.submit([stalled])
    requests_of(talker)
    node.on_up = node.abandon
    talker.close()
    talker = stage.again(found=True, known=((1, RUNNING),))
    stage.hall.wait(stalled)
    assert requests_of(talker) == [(1, WRITE, 0, 4)]
    talker.say(replies(reply(1)))
    stage.hall.until(lambda: not list(node.transactions()))
