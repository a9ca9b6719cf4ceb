"""Searching among transactions: all are looked at, and no turn of the reactor takes long."""

from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dsttool.engine.control.sampler import ROWS_PER_TURN
from dsttool.engine.control.server import Answer
from dsttool.engine.export.offer import Offer
from dsttool.engine.host.tx_commands import TRANSACTIONS_MAX, Transactions
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary.errors import DsttoolError
from dsttool.engine.vocabulary.status import TransactionStatus
from support.watched import row

MANY = 20_000


class Listed:
    """A device with many transactions, which counts those that were looked at."""

    def __init__(self) -> None:
        self.looked = 0
        self.broken = MANY

    def transactions(self, _node: str | None) -> Iterator[TransactionStatus]:
        for number in range(MANY):
            self.looked += 1
            assert number < self.broken, "it is broken"
            yield row(number, op="READ" if number % 50 == 49 else "WRITE")

    def transaction_states(self, _node: str | None) -> Counter[str]:
        return Counter(in_flight=MANY)


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor(io_threads=1, crypto_threads=0)
    yield made
    made.close()


def ask(reactor: Reactor, device: Listed, **arguments: Any) -> list[Any]:
    """Where the answer will be."""
    answers: list[Any] = []
    offers = [cast(Offer, SimpleNamespace(name="pool", device=device))]
    Transactions(reactor, offers).list({"name": "pool", **arguments}, cast(Answer, answers.append))
    return answers


def test_a_filter_is_tried_on_all_and_on_few_in_a_turn(reactor: Reactor) -> None:
    device = Listed()
    answers = ask(reactor, device, filter="op:read")
    before, turns = 0, 0
    while not answers:
        assert device.looked - before <= ROWS_PER_TURN
        before, turns = device.looked, turns + 1
        reactor.turn()
    assert device.looked == MANY
    assert turns >= MANY // ROWS_PER_TURN
    (answer,) = answers
    assert answer["total"] == MANY // 50
    assert [each["id"] for each in answer["transactions"][:2]] == [49, 99]
    assert len(answer["transactions"]) == TRANSACTIONS_MAX


def test_the_youngest_is_found_by_its_id(reactor: Reactor) -> None:
    answers = ask(reactor, Listed(), id=MANY - 1)
    while not answers:
        reactor.turn()
    assert [each["id"] for each in answers[0]["transactions"]] == [MANY - 1]


def test_without_a_filter_no_more_are_looked_at_than_are_shown(reactor: Reactor) -> None:
    device = Listed()
    (answer,) = ask(reactor, device)
    assert (device.looked, answer["total"]) == (TRANSACTIONS_MAX, MANY)


def test_a_search_that_fails_is_answered_and_ends_nothing_else(reactor: Reactor) -> None:
    device = Listed()
    device.broken = 5 * ROWS_PER_TURN + 1
    answers = ask(reactor, device, filter="op:read")
    for _ in range(10):
        reactor.post(lambda: None)
        reactor.turn()
    (error,) = answers
    assert isinstance(error, DsttoolError)
    assert "it is broken" in error.what
