"""The command tx.list: what is under way to other machines."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from dsttool.engine.control.sampler import ROWS_PER_TURN
from dsttool.engine.control.server import Answer
from dsttool.engine.export.offer import Offer
from dsttool.engine.host.array_commands import text_of
from dsttool.engine.runtime.reactor import Reactor
from dsttool.engine.vocabulary import tx_filter
from dsttool.engine.vocabulary.errors import DsttoolError, NotFound
from dsttool.engine.vocabulary.status import TransactionStatus

# Of more than this nobody reads the list; the totals say how many there are.
TRANSACTIONS_MAX: Final = 200

LOG = logging.getLogger(__name__)


class Transactions:
    """Those of what `offers` offer."""

    def __init__(self, reactor: Reactor, offers: Sequence[Offer]) -> None:
        self._reactor = reactor
        self._offers = offers

    def list(self, arguments: dict[str, Any], answer: Answer) -> None:
        """The oldest of the transactions of what is served under a name, and totals by state of all.

        Those chosen by an id or a filter are sought among all, as many in a turn of the reactor as nobody
        notices.
        """
        name, node, id_ = text_of(arguments, "name"), arguments.get("node"), arguments.get("id")
        label = None if node is None else f"{name}/{node}"
        device = next((offer.device for offer in self._offers if offer.name == name), None)
        if device is None:
            raise NotFound(f"Nothing called {name} is running here.", "`dsttool status` lists what runs.")
        chosen = tx_filter.parse(text_of({"filter": "", **arguments}, "filter"))
        listed = device.transactions(label)
        if id_ is not None or chosen.tests:
            _Search(
                *(self._reactor, name, listed, answer),
                lambda row: id_ in (None, row["id"]) and chosen.matches(row),
            ).go_on()
        else:
            oldest = list(islice(listed, TRANSACTIONS_MAX))
            answer(_answer(name, oldest, device.transaction_states(label)))


class _Search:
    def __init__(
        self,
        reactor: Reactor,
        name: str,
        listed: Iterator[TransactionStatus],
        answer: Answer,
        matches: Callable[[TransactionStatus], bool],
    ) -> None:
        self._reactor = reactor
        self._name = name
        self._listed = listed
        self._answer = answer
        self._matches = matches
        self._oldest: list[TransactionStatus] = []
        self._states: Counter[str] = Counter()

    def go_on(self) -> None:
        """Look at some more, and then in the next turn."""
        try:
            there = self._look()
        except Exception as error:  # whatever goes wrong here must not end a daemon that serves
            LOG.exception("a search among transactions failed")
            self._answer(DsttoolError(f"The daemon failed: {error!r}.", "Its log has the details."))
            return
        if there:
            self._reactor.post(self.go_on)
        else:
            self._answer(_answer(self._name, self._oldest, self._states))

    def _look(self) -> bool:
        """Whether there may be more."""
        rows = list(islice(self._listed, ROWS_PER_TURN))
        found = [row for row in rows if self._matches(row)]
        self._oldest += found[: TRANSACTIONS_MAX - len(self._oldest)]
        self._states.update(row["state"] for row in found)
        return len(rows) == ROWS_PER_TURN


def _answer(name: str, oldest: list[TransactionStatus], states: Counter[str]) -> dict[str, Any]:
    return {"name": name, "total": states.total(), "states": states, "transactions": oldest}
