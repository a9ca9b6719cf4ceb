"""Requests under way to other machines: what they are, how old, and how long they may still take."""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dsttool.cli.tx import tries
from dsttool.engine.vocabulary.status import TransactionStatus
from dsttool.tui import cells, look
from dsttool.tui.look import UNKNOWN, Cell
from dsttool.tui.subject import Subject
from dsttool.tui.table import Column, Table

if TYPE_CHECKING:
    from dsttool.engine.control.picture import Found, Picture

_BAR: Final = 10
# Shares of the budget that are left: less than these stand out.
_LITTLE: Final = 0.5
_LAST: Final = 0.2
_FOREVER: Final = 1 << 63


class _Order(NamedTuple):
    """An order of the rows. word: for the heading; key: the smallest comes first."""

    word: str
    key: Callable[[TransactionStatus], Any]


_ORDERS: Final = (
    _Order("age", lambda tx: -tx["age_ns"]),
    _Order("budget left", lambda tx: _FOREVER if tx["budget_left_ns"] is None else tx["budget_left_ns"]),
    _Order("next resend", lambda tx: _FOREVER if tx["next_resend_ns"] is None else tx["next_resend_ns"]),
    _Order("attempts", lambda tx: -tx["attempts"]),
    _Order("length", lambda tx: -tx["length"]),
    _Order("node", lambda tx: tx["node"]),
)


class TransactionTable(Table["Found[TransactionStatus]"]):
    """The oldest transactions that the filter lets through."""

    LABEL = "TRANSACTIONS"
    kind = "transactions"
    COLUMNS = (
        Column("TX", 8, keep=1, what="The number of the transaction; each node counts its own."),
        Column("OP", 6, what="What is asked for."),
        Column("FLAGS", 5, keep=7, what="FUA: on stable storage before it is acked."),
        Column("OFFSET", 13, keep=5, right=True, what="Where on the node."),
        Column("LEN", 8, keep=6, right=True, what="How much."),
        Column("NODE", 9, grow=True, what="To whom: ARRAY/MEMBER."),
        Column(
            "STATE",
            11,
            what="Queued: waits for room, or for the link. Held: waits for an overlapping one. "
            "In flight: sent, without an answer. Resend: its link was lost; it is sent again. Frozen and "
            "exhausted: its budget has ended without an answer.",
        ),
        Column("AGE ms", 8, right=True, what="Since it began."),
        Column(
            "TRY", 5, keep=4, right=True, what="How often it was sent, of how often its budget allows for."
        ),
        Column("NEXT s", 6, keep=3, right=True, what="Until it is sent again, if there is a link by then."),
        Column("BUDGET", _BAR, keep=2, what="What is left of the time it has."),
        Column("CLIENT", 12, keep=8, grow=True, what="Who asked for it."),
    )

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._order = 0
        self._found: list[Found[TransactionStatus]] = []

    @property
    def subject(self) -> Subject | None:
        """What the cursor is on."""
        if self.row is None:
            return None
        tx = self.row.entry
        name, _, node = tx["node"].partition("/")
        return Subject("transaction", self.row.place, self.row.daemon, name, node, tx["id"])

    def show(self, picture: "Picture", now_ns: int) -> None:
        """As Panel's."""
        self._found = picture.transactions()
        total = matched = tried = 0
        states: dict[str, int] = {}
        for _, _, daemon in picture.daemons():
            if daemon.state is None or daemon.lost_since_ns is not None:
                continue
            known = daemon.state["transactions"]
            total, matched = total + known["total"], matched + known["matched"]
            tried += known.get("tried", known["total"])
            for word, number in known["states"].items():
                states[word] = states.get(word, 0) + number
        self._totals = (total, matched, tried, states)
        self._arrange()

    def sort(self) -> None:
        """Sort by the next of the orders."""
        self._order = (self._order + 1) % len(_ORDERS)
        self._arrange()

    def key(self, row: "Found[TransactionStatus]") -> Hashable:
        """As Table's. Before its window admits it a transaction has no id: then it is known by its extent."""
        tx = row.entry
        return (row.place, row.daemon, tx["node"], tx["id"] or (tx["op"], tx["offset"], tx["length"]))

    def cells(self, row: "Found[TransactionStatus]") -> tuple[Cell, ...]:
        """As Table's."""
        tx = row.entry
        return (
            str(tx["id"]) if tx["id"] else UNKNOWN,
            tx["op"],
            ",".join(tx["flags"]),
            f"0x{tx['offset']:011x}",
            cells.size(tx["length"]),
            tx["node"],
            look.state(tx["state"]),
            cells.milliseconds(tx["age_ns"]),
            tries(tx),
            cells.seconds(tx["next_resend_ns"]),
            _budget(tx),
            tx.get("client") or UNKNOWN,
        )

    def _arrange(self) -> None:
        order = _ORDERS[self._order]
        rows = self._found if self._order == 0 else sorted(self._found, key=lambda row: order.key(row.entry))
        total, matched, tried, states = self._totals
        counts = " · ".join(
            f"{number} {word.replace('_', ' ')}" for word, number in sorted(states.items()) if number
        )
        note = f"{len(rows)} of {total} shown" if total > len(rows) else f"{total}"
        if matched < total:
            note += f", {matched} match" if tried >= total else f", {matched} of the oldest {tried} match"
        self.annotate(" · ".join(part for part in (note, counts, f"by {order.word}") if part))
        self.fill(rows)


def _budget(tx: TransactionStatus) -> Cell:
    """What is left of the budget, as a bar; without a known whole, in seconds."""
    left, whole = tx["budget_left_ns"], tx.get("budget_ns")
    if left is None:
        return UNKNOWN
    if not whole:
        return cells.seconds(left) + " s"
    share = left / whole
    role: look.Role = "bad" if share < _LAST else "warn" if share < _LITTLE else ""
    return (cells.bar(share, _BAR), role)
