"""The in-flight table, alone and against a model that counts everything anew."""

from collections.abc import Iterable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dsttool.engine.transaction.table import InFlightTable, Transaction
from dsttool.engine.vocabulary import limits
from dsttool.engine.vocabulary.operations import FAIL_FAST, FLUSH, READ, WRITE


class Asked:
    """As much of a request as the table looks at."""

    def __init__(self, op: int = READ, length: int = 1, flags: int = 0) -> None:
        self.op, self.length, self.flags = op, length, flags
        self.error = 0


def ids(transactions: Iterable[Transaction]) -> list[int]:
    return [transaction.id for transaction in transactions]


def answer(table: InFlightTable, *numbers: int) -> list[Transaction]:
    """What a node does with replies; returns what the backlog may send."""
    return table.settle([table.in_flight.pop(number).request for number in numbers])


def test_ids_begin_at_one_and_grow() -> None:
    table = InFlightTable(10, 1000)
    assert ids(table.start([Asked(), Asked()], 0)) == [1, 2]
    answer(table, 1, 2)
    assert ids(table.start([Asked()], 0)) == [3]


def test_the_window_admits_as_many_as_it_says() -> None:
    table = InFlightTable(2, 1000)
    assert ids(table.start([Asked() for _ in range(5)], 0)) == [1, 2]
    assert len(table) == 5
    assert ids(answer(table, 2)) == [3]
    assert ids(answer(table, 1, 3)) == [4, 5]


def test_the_window_in_bytes_is_closed_by_the_one_that_passes_it() -> None:
    table = InFlightTable(100, 1000)
    assert len(table.start([Asked(WRITE, 999), Asked(READ, 500), Asked(WRITE, 1)], 0)) == 2
    assert table.bytes == 1499
    assert ids(answer(table, 1)) == [3]


def test_one_is_admitted_however_large() -> None:
    table = InFlightTable(100, 1000)
    assert len(table.start([Asked(WRITE, 1 << 30)], 0)) == 1


def test_what_carries_no_payload_takes_no_bytes_of_the_window() -> None:
    table = InFlightTable(100, 1000)
    assert len(table.start([Asked(FLUSH, 1 << 30), Asked(WRITE, 1)], 0)) == 2
    assert table.bytes == 1


def test_nobody_overtakes_the_backlog() -> None:
    table = InFlightTable(100, 1000)
    first, large, small = Asked(WRITE, 1000), Asked(WRITE, 2000), Asked(WRITE, 1)
    table.start([first, large], 0)
    assert table.start([small], 1) == []
    (refilled,) = answer(table, 1)
    assert refilled.request is large
    assert [t.request for t in answer(table, 2)] == [small]


def test_time_in_the_backlog_counts() -> None:
    table = InFlightTable(1, 1000)
    table.start([Asked(), Asked()], 5)
    (refilled,) = answer(table, 1)
    assert refilled.started == 5


def test_a_window_that_shrinks_admits_nobody_until_there_is_room_again() -> None:
    table = InFlightTable(4, 1000)
    table.start([Asked() for _ in range(6)], 0)
    table.window = 2
    assert answer(table, 1) == []
    assert answer(table, 2) == []
    assert ids(answer(table, 3)) == [5]


def test_the_floor_is_the_lowest_id_without_an_answer() -> None:
    table = InFlightTable(10, 1000)
    assert table.floor == 1
    table.start([Asked() for _ in range(3)], 0)
    answer(table, 2)
    assert table.floor == 1
    answer(table, 1)
    assert table.floor == 3
    answer(table, 3)
    assert table.floor == 4


def test_all_unanswered_ones_are_sent_again_in_order_of_ids() -> None:
    table = InFlightTable(10, 1000)
    for transaction in table.start([Asked() for _ in range(4)], 0):
        transaction.attempts = 1
    table.start([Asked()], 0)
    answer(table, 2)
    assert ids(table.resend()) == [1, 3, 4, 5]
    assert table.resends == 3, "what was never sent is not sent again"


def test_what_is_put_back_has_its_old_place() -> None:
    table = InFlightTable(10, 1000)
    table.start([Asked() for _ in range(3)], 0)
    table.put_back(table.in_flight.pop(1))
    assert table.floor == 1
    assert ids(table.resend()) == [1, 2, 3]
    assert table.bytes == 3


def test_what_has_expired_is_taken_out_wherever_it_waited() -> None:
    table = InFlightTable(2, 1000)
    early, late = [Asked() for _ in range(3)], [Asked() for _ in range(2)]
    table.start(early, 10)
    table.start(late, 20)
    assert table.expire(9) == []
    expired = table.expire(10)
    assert [t.request for t in expired] == early
    assert ids(expired) == [1, 2, 0]
    assert [t.request for t in table.settle([t.request for t in expired if t.id])] == late


def test_the_oldest_is_found_in_the_table_before_the_backlog() -> None:
    table = InFlightTable(1, 1000)
    assert table.oldest() is None
    table.start([Asked()], 10)
    table.start([Asked()], 20)
    assert table.oldest() == 10
    table.in_flight.clear()
    assert table.oldest() == 20


def test_only_reads_with_the_flag_that_are_old_enough_are_taken() -> None:
    table = InFlightTable(3, 1000)
    fast, slow = Asked(READ, 1, FAIL_FAST), Asked(READ, 1)
    write, waiting, young = Asked(WRITE, 1, FAIL_FAST), Asked(READ, 1, FAIL_FAST), Asked(READ, 1, FAIL_FAST)
    table.start([fast, slow, write, waiting], 10)
    table.start([young], 11)
    taken = table.take_reads(FAIL_FAST, 10)
    assert [t.request for t in taken] == [fast, waiting]
    assert ids(taken) == [1, 0]
    assert [request for request, _ in table.backlog] == [young]
    assert list(table.in_flight) == [2, 3]


def test_giving_up_takes_everything() -> None:
    table = InFlightTable(1, 1000)
    requests = [Asked(), Asked()]
    table.start(requests, 0)
    assert [t.request for t in table.take_all()] == requests
    assert len(table) == 0


def test_the_highest_id_is_never_so_far_from_the_lowest_that_a_server_would_refuse_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "ID_WINDOW", 4)
    table = InFlightTable(100, 1000)
    assert ids(table.start([Asked() for _ in range(10)], 0)) == [1, 2, 3, 4]
    assert ids(answer(table, 2, 3, 4)) == []
    assert table.begin([Asked()]) == []
    assert ids(answer(table, 1)) == [5, 6, 7, 8]


def test_what_is_held_back_waits_in_its_order() -> None:
    table = InFlightTable(10, 1000)
    table.hold = True
    assert table.start([Asked(), Asked()], 0) == []
    assert ids(table.begin([Asked()])) == [1]
    assert answer(table, 1) == []
    table.hold = False
    assert ids(table.refill()) == [2, 3]


def test_what_began_without_a_budget_never_expires() -> None:
    table = InFlightTable(10, 1000)
    table.begin([Asked(WRITE, 7)])
    assert table.expire(1 << 61) == []
    assert table.bytes == 7


def test_a_status_ends_changes_that_were_sent_and_nothing_else() -> None:
    table = InFlightTable(10, 1000)
    sent, unsent, read, other = Asked(WRITE), Asked(WRITE), Asked(READ), Asked(WRITE)
    table.start([sent, unsent, read, other], 0)
    for id_ in (1, 3, 4):
        table.in_flight[id_].attempts = 1
    assert table.take_known({1: 28, 2: 0, 3: 0}) == [sent]
    assert sent.error == 28
    assert list(table.in_flight) == [2, 3, 4]


def test_after_a_loss_all_is_done_again_with_new_ids_and_what_may_run_only_once_it_has_ended() -> None:
    table = InFlightTable(10, 1000)
    requests = [Asked(WRITE), Asked(WRITE, 2), Asked(READ), Asked(FLUSH), Asked(WRITE)]
    table.start(requests, 5)
    table.begin([Asked(FLUSH)])
    for id_ in (1, 2, 3, 4, 6):
        table.in_flight[id_].attempts = 1
    table.doubt(lambda transaction: transaction.id == 2)
    assert list(table.doubted) == [2]
    assert table.floor == 7
    again = table.refill()
    assert [t.request for t in again][:4] == [requests[0], requests[2], requests[3], requests[4]]
    assert again[0].id == 7
    assert {t.started for t in again[:4]} == {5}
    (last,) = table.believe([2, 99])
    assert last.request is requests[1]
    assert table.doubted == {}
    assert table.bytes == 5
    assert table.resends == 5, "four of them, and the flush of the table's owner"


def test_what_is_doubted_keeps_its_budget() -> None:
    table = InFlightTable(10, 1000)
    (transaction,) = table.start([Asked(WRITE)], 5)
    transaction.attempts = 1
    table.doubt(lambda _: True)
    assert table.oldest() == 5
    assert table.expire(5) == [transaction]
    assert len(table) == 0


class TableModel(RuleBasedStateMachine):
    """Any order of events: each request leaves once, none overtakes, and the window holds."""

    WINDOW, WINDOW_BYTES = 4, 100

    def __init__(self) -> None:
        super().__init__()
        self.table = InFlightTable(self.WINDOW, self.WINDOW_BYTES)
        self.now = 0
        self.waiting: list[tuple[Asked, int]] = []
        self.running: dict[int, tuple[Asked, int]] = {}

    def admit(self, admitted: list[Transaction]) -> None:
        for transaction in admitted:
            assert self.waiting[0] == (transaction.request, transaction.started)
            self.running[transaction.id] = self.waiting.pop(0)

    @rule(
        plan=st.lists(
            st.tuples(
                st.sampled_from([READ, WRITE, FLUSH]), st.integers(0, 60), st.sampled_from([0, FAIL_FAST])
            ),
            max_size=6,
        ),
        later=st.integers(0, 3),
    )
    def start(self, plan: list[tuple[int, int, int]], later: int) -> None:
        self.now += later
        requests = [Asked(*item) for item in plan]
        self.waiting += [(request, self.now) for request in requests]
        self.admit(self.table.start(requests, self.now))

    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        numbers = (
            data.draw(st.lists(st.sampled_from(sorted(self.running)), unique=True)) if self.running else []
        )
        for number in numbers:
            del self.running[number]
        self.admit(answer(self.table, *numbers))

    @rule(age=st.integers(0, 6))
    def expire(self, age: int) -> None:
        before = self.now - age
        expired = self.table.expire(before)
        for transaction in expired:
            self.leave(transaction)
        assert all(started > before for _, started in [*self.running.values(), *self.waiting])
        self.admit(self.table.settle([t.request for t in expired if t.id]))

    @rule(age=st.integers(0, 6))
    def take_reads(self, age: int) -> None:
        taken = self.table.take_reads(FAIL_FAST, self.now - age)
        for transaction in taken:
            assert transaction.request.op == READ
            assert transaction.request.flags
            assert transaction.started <= self.now - age
            self.leave(transaction)
        self.admit(self.table.settle([t.request for t in taken if t.id]))

    def leave(self, transaction: Transaction) -> None:
        entry = (transaction.request, transaction.started)
        if transaction.id:
            assert self.running.pop(transaction.id) == entry
        else:
            self.waiting.remove(entry)

    @invariant()
    def the_table_is_what_the_model_says(self) -> None:
        assert {id_: (t.request, t.started) for id_, t in self.table.in_flight.items()} == self.running
        assert list(self.table.backlog) == self.waiting
        assert len(self.table) == len(self.running) + len(self.waiting)

    @invariant()
    def the_window_holds(self) -> None:
        lengths = [request.length for request, _ in self.running.values() if request.op <= WRITE]
        assert self.table.bytes == sum(lengths)
        assert len(self.running) <= self.WINDOW
        assert not lengths or sum(lengths) - lengths[-1] < self.WINDOW_BYTES + max(lengths)

    @invariant()
    def nobody_waits_while_there_is_room(self) -> None:
        full = len(self.running) >= self.WINDOW or self.table.bytes >= self.WINDOW_BYTES
        assert not self.waiting or full

    @invariant()
    def ids_ascend_and_the_first_is_the_floor(self) -> None:
        numbers = list(self.table.in_flight)
        assert numbers == sorted(numbers)
        assert not numbers or self.table.floor == numbers[0]
        started = [started for _, started in [*self.running.values(), *self.waiting]]
        assert self.table.oldest() == (min(started) if started else None)
        assert [t.id for t in self.table.resend()] == numbers


TestTableModel = TableModel.TestCase
