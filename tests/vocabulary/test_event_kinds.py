"""Kinds of events are words that filters and manuals can rely on."""

import re

import pytest

from dsttool.engine.vocabulary.event_kinds import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_two_words_with_a_dot_and_says_what_happened(kind: str) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", kind)
    assert re.fullmatch(r"[A-Z].*\.", KINDS[kind].says)
    assert KINDS[kind].level in ("info", "warning", "error")
