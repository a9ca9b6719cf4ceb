"""The nearest of the known words to one that was mistyped."""

from collections.abc import Iterable


def suggest(word: str, known: Iterable[str]) -> str:
    """The known word nearest to `word`, or ''."""
    import difflib  # costs more to load than this whole room, and is needed for errors only

    matches = difflib.get_close_matches(word, list(known), n=1)
    return matches[0] if matches else ""
