"""A member whose content is void is refilled from the others; a resync that is stopped stays so."""

import errno

import pytest

from dsttool.engine.mapping.mirror import Mirror
from dsttool.engine.mapping.stripe import Stripe
from dsttool.engine.vocabulary.errors import Conflict, DsttoolError, Unsafe
from dsttool.engine.vocabulary.operations import READ, WRITE
from support.array_bench import SIZE, ArrayBench, Store, content, read, write

Answers = list[DsttoolError | None]


def discard(bench: ArrayBench, slot: int) -> Answers:
    answers: Answers = []
    bench.array.discard(slot, answers.append)
    return answers


def halt(bench: ArrayBench, *slots: int) -> list[bool]:
    ended: list[bool] = []
    bench.array.resyncs.halt([bench.array.members[slot] for slot in slots], lambda: ended.append(True))
    return ended


def whole(bench: ArrayBench) -> None:
    bench.until(lambda: bench.states() == ["in_sync"] * len(bench.nodes))


def test_a_discarded_member_is_never_read_and_refilled_as_a_whole() -> None:
    with ArrayBench() as bench:
        assert bench.run(write(0, b"good" * 1024)) == [0]
        bench.nodes[1].bytes[:] = b"\xff" * SIZE  # what made somebody discard it
        answers = discard(bench, 1)
        assert bench.states()[1] == "stale"
        bench.until(lambda: answers == [None])
        whole(bench)
        assert bench.nodes[1].bytes == bench.nodes[0].bytes
        assert bench.array.members[1].resynced == SIZE


def test_that_it_is_stale_is_durable_before_a_discard_is_done() -> None:
    store = Store(blocked=True)
    with ArrayBench(store=store) as bench:
        answers = discard(bench, 1)
        store.await_attempt()
        assert not answers
        store.let()
        bench.until(lambda: answers == [None])
        assert store.stored[0][0] == ["in_sync", "stale"]
        whole(bench)


def test_a_member_in_the_middle_of_its_resync_is_refilled_from_the_beginning() -> None:
    with ArrayBench(prompt=False) as bench:
        discard(bench, 1)
        bench.until(lambda: bench.states()[1] == "resyncing" and bool(bench.nodes[0].waiting))
        bench.nodes[0].answer(*bench.nodes[0].waiting)
        discard(bench, 1)
        for node in bench.nodes:
            node.prompt = True
            node.answer(*node.waiting)
        whole(bench)
        copied = [length for op, _, length in bench.nodes[1].got if op == WRITE]
        assert sum(copied) >= SIZE
        assert bench.array.members[1].resynced == SIZE


def test_a_suspended_member_is_refilled_once_it_is_resumed() -> None:
    with ArrayBench() as bench:
        done: Answers = []
        bench.array.suspend(1, None, done.append)
        bench.until(lambda: done == [None])
        answers = discard(bench, 1)
        bench.until(lambda: answers == [None])
        assert bench.states() == ["in_sync", "suspended"]
        assert bench.array.members[1].missed.dirty_bytes == SIZE
        bench.array.resume(1, done.append)
        whole(bench)
        assert bench.array.members[1].resynced == SIZE


def test_the_last_good_copy_is_not_discarded() -> None:
    with ArrayBench() as bench:
        bench.nodes[0].go_down()
        (answer,) = discard(bench, 1)
        assert isinstance(answer, Unsafe)
        assert "n1 of a is the last good copy" in answer.what
        assert bench.array.refuses_to_discard(1) is not None
        bench.nodes[0].come_up()
        assert bench.array.refuses_to_discard(1) is None


def test_a_copy_is_no_good_while_it_is_resynced() -> None:
    with ArrayBench(prompt=False) as bench:
        discard(bench, 1)
        bench.until(lambda: bench.states()[1] == "resyncing")
        assert isinstance(discard(bench, 0)[0], Unsafe)
        for node in bench.nodes:
            node.prompt = True
            node.answer(*node.waiting)
        whole(bench)


def test_what_has_no_copy_or_no_node_is_not_discarded() -> None:
    with ArrayBench(Stripe) as bench:
        assert isinstance(discard(bench, 1)[0], Unsafe)
    with ArrayBench() as bench:
        bench.nodes[1].failure = DsttoolError("n1 has ended.")
        assert isinstance(discard(bench, 1)[0], Conflict)


@pytest.fixture
def stale() -> ArrayBench:
    """A mirror of three whose last member has missed all, and is being copied to without an answer."""
    bench = ArrayBench(Mirror, 3, prompt=False)
    discard(bench, 2)
    bench.until(lambda: bench.states()[2] == "resyncing" and any(node.waiting for node in bench.nodes))
    return bench


def answer_all(bench: ArrayBench) -> None:
    for node in bench.nodes:
        node.prompt = True
        node.answer(*node.waiting)


def test_a_stopped_resync_ends_when_nothing_of_it_is_under_way_and_leaves_the_member_stale(
    stale: ArrayBench,
) -> None:
    with stale as bench:
        ended = halt(bench, 2)
        assert bench.states() == ["in_sync", "in_sync", "stale"]
        assert not ended
        answer_all(bench)
        bench.until(lambda: ended == [True])
        assert [job["state"] for job in bench.array.resyncs.status()] == ["stopped"]
        assert bench.array.resyncs.status()[0].get("member") == "n2"


def test_a_stopped_resync_survives_reconnects_and_gets_no_writes_until_it_is_started(
    stale: ArrayBench,
) -> None:
    with stale as bench:
        ended = halt(bench, 2)
        answer_all(bench)
        bench.until(lambda: ended == [True])
        before = len(bench.nodes[2].got)
        bench.nodes[2].go_down()
        bench.nodes[2].come_up()
        assert bench.run(write(0, b"x" * 4096)) == [0]
        bench.pass_time(5_000_000)
        assert bench.states()[2] == "stale"
        assert len(bench.nodes[2].got) == before
        bench.array.resyncs.start()
        whole(bench)
        assert bench.nodes[2].bytes == bench.nodes[0].bytes
        assert bench.array.resyncs.status() == []


def test_a_member_that_is_stopped_is_not_in_the_way_of_another() -> None:
    with ArrayBench(Mirror, 3) as bench:
        ended = halt(bench, 2)
        assert ended == [True]
        discard(bench, 1)
        discard(bench, 2)
        bench.until(lambda: bench.states() == ["in_sync", "in_sync", "stale"])
        bench.array.resyncs.start()
        whole(bench)


def test_a_read_under_way_on_a_discarded_member_still_ends() -> None:
    with ArrayBench(prompt=False, read_policy="first") as bench:
        asked = read(0, 4096)
        bench.submit(asked)
        bench.until(lambda: any(op == READ for op, _, _ in bench.nodes[0].got))
        discard(bench, 0)
        answer_all(bench)
        bench.until(lambda: bool(asked.cookie.ends))
        assert content(asked) == bytes(4096)
        whole(bench)


def test_a_resync_is_stopped_at_once_where_the_link_is_down(stale: ArrayBench) -> None:
    with stale as bench:
        for source in bench.nodes[:2]:
            source.prompt = True
            source.answer(*source.waiting)
        bench.until(lambda: bool(bench.nodes[2].waiting))
        bench.nodes[2].go_down()
        ended = halt(bench, 2)
        bench.until(lambda: ended == [True])
        assert bench.states() == ["in_sync", "in_sync", "stale"]


def test_no_write_waits_for_a_discarded_member_whose_link_is_down() -> None:
    with ArrayBench(prompt=False) as bench:
        asked = write(0, b"z" * 4096)
        bench.submit(asked)
        bench.nodes[0].prompt = True
        bench.nodes[0].answer(*bench.nodes[0].waiting)
        bench.nodes[1].go_down()
        discard(bench, 1)
        bench.until(lambda: bool(asked.cookie.ends))
        assert asked.error == 0
        assert bench.nodes[0].bytes[:4096] == b"z" * 4096


def test_a_write_that_fails_on_a_member_while_it_is_discarded_is_no_error() -> None:
    with ArrayBench(prompt=False) as bench:
        asked = write(0, b"y" * 4096)
        bench.submit(asked)
        discard(bench, 1)
        bench.nodes[1].fail(errno.EIO, WRITE, once=True)
        answer_all(bench)
        bench.until(lambda: bool(asked.cookie.ends))
        assert asked.error == 0
        whole(bench)
        assert bench.nodes[1].bytes == bench.nodes[0].bytes
