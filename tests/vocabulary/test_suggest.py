"""Suggestions for mistyped words."""

from dsttool.engine.vocabulary.suggest import suggest


def test_the_nearest_word_is_suggested_and_nothing_for_a_strange_one() -> None:
    assert suggest("layot", ["layout", "nodes"]) == "layout"
    assert suggest("zzz", ["layout", "nodes"]) == ""
