"""A rule that is broken on purpose is found: the simulator can see what it looks for."""

from collections.abc import Callable
from typing import Any

import pytest

from dsttool.engine.array.trims import Trims
from dsttool.engine.export.writers import Writers
from dsttool.engine.node.dst import DstNode
from dsttool.engine.node.dst_extents import Extents
from dsttool.engine.transaction.session import BEGUN, MASK, NEW, ServerSession
from dsttool.engine.vocabulary.operations import FUA, TRIM
from sim.faults import WEIGHTS
from sim.seeds import run_seed
from sim.topology import SHAPES

BOUND = 2000


SINGLE_COPY = ("single", "linear 2", "stripe 2")


def check_found(
    patch: pytest.MonkeyPatch, saying: str, shapes: tuple[str, ...] = SHAPES, **weights: int
) -> None:
    """One of so many seeds breaks a promise and says so, others may merely get stuck; and it is the rule
    that does it: unbroken, the same seed is clean."""
    chosen = {**WEIGHTS, **weights}
    found = next((seed for seed in range(BOUND) if saying in run_seed(seed, chosen, shapes).fault), None)
    assert found is not None
    patch.undo()
    assert run_seed(found, chosen, shapes).fault == ""


def executes_again(self: ServerSession, id_: int) -> int:
    self.marks[id_ & MASK] = BEGUN
    return NEW


def admits_beside_the_other(self: Any, claim: Any, decision: Any) -> None:
    self._serving = (claim, decision)
    self._drained()


def unlocks(original: Callable[..., Any]) -> Callable[..., Any]:
    def give_up(self: Extents, expired: Any, running: Any) -> Any:
        freed = original(self, expired, running)
        return freed + self.unlock(list(self.locked))

    return give_up


def ignores_the_verifier(self: Any, verifier: bytes, may_run: Any) -> None:
    self.server_verifier = verifier


def hands_trims_on(self: Trims, request: Any, out: Any, at_once: Any) -> None:
    self.send(request, out, at_once)
    for piece in (piece for pieces in out for piece in pieces if piece.parent is request):
        piece.op, piece.flags = TRIM, request.flags & FUA


def test_executing_resent_writes_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ServerSession, "begin", executes_again)
    check_found(monkeypatch, "executed twice")


def test_admitting_a_writer_beside_another_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Writers, "_prepare", admits_beside_the_other)
    check_found(monkeypatch, "another owner has taken over")


def test_unlocking_the_extents_of_exhausted_transactions_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Extents, "give_up", unlocks(Extents.give_up))
    check_found(monkeypatch, "overlapping changes are under way together")


@pytest.mark.parametrize("saying", [" holds #", "members in sync do not hold the same"])
def test_trims_of_which_each_member_makes_what_it_likes_are_found(
    monkeypatch: pytest.MonkeyPatch, saying: str
) -> None:
    monkeypatch.setattr(Trims, "begin", hands_trims_on)
    check_found(monkeypatch, saying, ("mirror 2", "mirror 3"))


def test_ignoring_a_changed_verifier_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DstNode, "_lose", ignores_the_verifier)
    check_found(monkeypatch, " holds #", SINGLE_COPY, power_loss=15)
