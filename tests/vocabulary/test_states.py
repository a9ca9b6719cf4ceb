"""The tables of states agree with the words of the schema, and with the code that is not driven by them."""

from collections.abc import Iterable

import pytest

from dsttool.engine.extents import dirty_map
from dsttool.engine.vocabulary import states, status
from dsttool.engine.vocabulary.states import MACHINES, MEMBER, Step, allows

CHUNK_STATES = {"clean": dirty_map.CLEAN, "dirty": dirty_map.DIRTY, "loose": dirty_map.LOOSE}


def named(table: Iterable[Step]) -> set[str]:
    return {state for step in table for state in (step.before, step.after)}


@pytest.mark.parametrize("name", MACHINES)
def test_no_state_of_a_machine_is_a_dead_end_but_the_ends_of_transactions(name: str) -> None:
    ends = named(MACHINES[name]) - {step.before for step in MACHINES[name]}

    assert ends == ({"acked", "failed"} if name == "transaction" else set())


@pytest.mark.parametrize("name", MACHINES)
def test_one_event_leads_from_a_state_to_one_state(name: str) -> None:
    pairs = [(step.before, step.event) for step in MACHINES[name]]

    assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize("name", ["array", "member", "link"])
def test_the_schema_lists_the_states_of_a_machine(name: str) -> None:
    line = next(line for line in (status.__doc__ or "").split("\n") if line.strip().startswith(f"{name} "))
    words = {word.strip() for word in line.strip().removeprefix(name).split(",")}

    assert named(MACHINES[name]) <= words
    assert words - named(MACHINES[name]) <= {"rebuilding", "faulty"}


def test_the_schema_explains_the_states_of_transactions() -> None:
    shown = named(states.TRANSACTION) - {"acked", "failed"}

    assert all(word in (status.__doc__ or "") for word in shown)


def test_a_member_never_comes_into_sync_without_a_resync() -> None:
    assert [step.before for step in MEMBER if step.after == "in_sync"] == ["resyncing"]


def test_every_step_is_allowed_and_its_reverse_only_if_it_is_in_the_table() -> None:
    for step in MEMBER:
        assert allows(MEMBER, step.before, step.after)
    assert not allows(MEMBER, "stale", "in_sync")
    assert not allows(MEMBER, "in_sync", "missing")


@pytest.mark.parametrize(
    ("table", "event"),
    [
        (dirty_map._LOOSEN, "a change on it was acked, and not flushed yet"),
        (dirty_map._FLUSH, "flushed under the same verifier"),
        (dirty_map._LOSE, "the verifier changed"),
    ],
)
def test_a_map_changes_its_chunks_as_the_table_says(table: bytes, event: str) -> None:
    steps = {step.before: step.after for step in states.CHUNK if step.event == event}

    for word, state in CHUNK_STATES.items():
        assert table[state] == CHUNK_STATES[steps.get(word, word)]
