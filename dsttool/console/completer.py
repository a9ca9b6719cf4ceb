"""Completion while somebody types: the function over the tree, for prompt_toolkit."""

from collections.abc import Iterable, Sequence

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from dsttool.cli.completing import Candidate, Names, complete
from dsttool.console.lines import quoted, split
from dsttool.console.session import BEFORE_COMMANDS, Session


class WordCompleter(Completer):
    """Completes the word at the cursor. It may read folders: to be run in a thread."""

    def __init__(self, session: Session, names: Names) -> None:
        self._session = session
        self._names = names

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """See Completer."""
        text = document.text_before_cursor
        line = split(text)
        if line.open == "\\":
            return
        quote = line.open or (text[line.start] if line.typing and text[line.start] in "'\"" else "")
        for found in candidates(self._session, line.before, line.last, self._names):
            value = quoted(found.value, quote)
            if found.whole:
                value += " "
            elif value[-1:] in "'\"" and value != found.value:
                value = value[:-1]  # more of it is to be typed
            yield Completion(
                value, line.start - len(text), display=found.value, display_meta=found.help or None
            )


def candidates(session: Session, words: Sequence[str], incomplete: str, names: Names) -> list[Candidate]:
    """What may be typed after `words`, with the used name there and without it."""
    words = list(words)
    if words[:1] == ["dsttool"]:
        words = words[1:]
    if words[:1] and words[0] in BEFORE_COMMANDS:
        seconds = words[0] == "watch" and words[1:2] and words[1].replace(".", "", 1).isdecimal()
        if len(words) > 1 or not incomplete.startswith("-"):
            return candidates(session, words[2:] if seconds else words[1:], incomplete, names)
    found = complete(session.outlines, words, incomplete, names)
    if named := session.named(words):
        found += [each for each in complete(session.outlines, named, incomplete, names) if each not in found]
    return found
