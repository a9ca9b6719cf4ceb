"""What a server remembers of a session: held against a model that remembers everything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.transaction.session import NEW, OUTSIDE, PLACES, RUNNING, ServerSession
from dsttool.engine.vocabulary.limits import ID_WINDOW


class Model:
    """The rules of the head of session.py, with a dictionary that forgets nothing by itself."""

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.changes: dict[int, int] = {}

    def advance(self, floor: int) -> None:
        self.floor = max(self.floor, floor)
        self.changes = {i: s for i, s in self.changes.items() if i >= self.floor or s == RUNNING}

    def begin(self, id_: int) -> int:
        if id_ in self.changes:
            return self.changes[id_]
        if not self.floor <= id_ < self.floor + ID_WINDOW:
            return OUTSIDE
        self.changes[id_] = RUNNING
        return NEW

    def finish(self, id_: int, status: int) -> None:
        del self.changes[id_]
        if id_ >= self.floor:
            self.changes[id_] = status


# Steps small and large, so that ids meet each other as well as the window's ends.
STEPS = st.one_of(st.integers(-5, 5), st.integers(-ID_WINDOW - 5, 3 * ID_WINDOW), st.just(ID_WINDOW))
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), STEPS),
        st.tuples(st.just("begin"), st.integers(0, 40)),
        st.tuples(st.just("finish"), st.tuples(st.integers(0, 50), st.sampled_from([0, 0, 5, 28]))),
        st.tuples(st.just("advance"), STEPS),
    ),
    max_size=60,
)


@given(st.one_of(st.just(0), st.integers(0, 2**64)), MOVES)
def test_it_answers_as_the_model_does(floor: int, moves: list[tuple[str, object]]) -> None:
    session, model = ServerSession(floor), Model(floor)
    for move, what in moves:
        if move == "begin":
            assert isinstance(what, int)
            id_ = max(0, model.floor + what)
            assert session.begin(id_) == model.begin(id_)
        elif move == "advance":
            assert isinstance(what, int)
            session.advance(model.floor + what)
            model.advance(model.floor + what)
        else:
            assert isinstance(what, tuple)
            running = sorted(i for i, s in model.changes.items() if s == RUNNING)
            if running:
                id_ = running[what[0] % len(running)]
                session.finish(id_, what[1])
                model.finish(id_, what[1])
        assert session.known() == sorted(model.changes.items())


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=200), st.integers(1, 500))
def test_a_well_behaved_client_is_never_refused(steps: list[int], in_flight: int) -> None:
    """Ids that grow by one, the floor behind them: over many windows."""
    session = ServerSession(1)
    next_id = 1
    for step in steps:
        for id_ in range(next_id, next_id + step):
            session.advance(max(1, id_ - in_flight))
            assert session.begin(id_) == NEW
            session.finish(id_, 0)
        next_id += step


def test_a_change_that_runs_is_not_new() -> None:
    session = ServerSession()
    assert session.begin(7) == NEW
    assert session.begin(7) == RUNNING


@pytest.mark.parametrize("status", [0, 5])
def test_a_change_that_has_finished_has_its_status(status: int) -> None:
    session = ServerSession()
    session.begin(7)
    session.finish(7, status)
    assert session.begin(7) == status


def test_the_window_has_a_lowest_and_a_highest_id() -> None:
    session = ServerSession(100)
    assert session.begin(99) == OUTSIDE
    assert session.begin(100) == NEW
    assert session.begin(100 + ID_WINDOW - 1) == NEW
    assert session.begin(100 + ID_WINDOW) == OUTSIDE


def test_what_finished_below_the_floor_never_begins_again() -> None:
    session = ServerSession()
    session.begin(7)
    session.finish(7, 0)
    session.advance(8)
    assert session.begin(7) == OUTSIDE
    assert session.known() == []


@pytest.mark.parametrize("floor", [8, 8 + PLACES, 1 << 63])
def test_what_runs_below_the_floor_is_known_until_it_ends(floor: int) -> None:
    session = ServerSession()
    session.begin(7)
    session.advance(floor)
    assert session.begin(7) == RUNNING
    assert session.known() == [(7, RUNNING)]
    session.finish(7, 0)
    assert session.begin(7) == OUTSIDE
    assert session.known() == []


def test_what_runs_below_the_floor_does_not_mark_the_id_that_takes_its_place() -> None:
    session = ServerSession()
    session.begin(7)
    session.advance(7 + PLACES)
    session.finish(7, 5)
    assert session.begin(7 + PLACES) == NEW


def test_a_floor_that_goes_down_changes_nothing() -> None:
    session = ServerSession(50)
    session.advance(10)
    assert (session.floor, session.begin(49)) == (50, OUTSIDE)


def test_a_session_that_only_reads_costs_no_memory_and_has_a_window() -> None:
    session = ServerSession(10, changes=False)
    session.advance(1 << 40)
    assert (session.floor, session.ceiling) == (1 << 40, (1 << 40) + ID_WINDOW)
    assert (len(session.marks), session.known()) == (0, [])


def test_memory_stays_bounded_whatever_fails() -> None:
    session = ServerSession()
    for id_ in range(3 * PLACES):
        session.advance(max(0, id_ - 10))
        session.begin(id_)
        session.finish(id_, 5)
    assert len(session.marks) == PLACES
    assert len(session._failures) < ID_WINDOW
