"""Kinds of events are words that filters and manuals can rely on."""

import re
from pathlib import Path

import pytest

import dsttool.engine
from dsttool.engine.vocabulary import event_kinds
from dsttool.engine.vocabulary.event_kinds import KINDS

ENGINE = Path(dsttool.engine.__file__).parent
# Said with the state as the second word.
OF_STATES = {f"array.{state}" for state in ("online", "degraded", "frozen", "failed")}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_two_words_with_a_dot_and_says_what_happened(kind: str) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", kind)
    assert re.fullmatch(r"[A-Z].*\.", KINDS[kind].says)
    assert KINDS[kind].level in ("info", "warning", "error")


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_no_news_only_says_what_to_do(kind: str) -> None:
    says_what = re.fullmatch(r"[A-Z].*\.", KINDS[kind].do) is not None

    assert says_what == (KINDS[kind].level != "info")


def test_every_kind_is_told_somewhere() -> None:
    sources = [path for path in ENGINE.rglob("*.py") if path != Path(event_kinds.__file__)]
    text = "".join(path.read_text() for path in sources)

    assert {kind for kind in KINDS if f'"{kind}"' not in text} == OF_STATES
