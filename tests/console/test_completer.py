"""Completion in the console: with the name in use, within quotes, after watch and help."""

from collections.abc import Iterable

from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from dsttool.cli.settings import Settings
from dsttool.console.commands import build_session
from dsttool.console.completer import WordCompleter


def names(wanted: str, of: str) -> Iterable[tuple[str, str]]:
    return {
        "arrays": [("pool", "mirror, online")],
        "nodes": [(f"{of}-n0", "in sync")],
        "file": [("my file", ""), ("my folder/", "")],
        "served": [("pool", ""), ("e1", "")],
    }.get(wanted, [])


def lines(text: str, used: str = "") -> list[str]:
    """What the line may become."""
    session = build_session(Settings(), scripted=False)
    session.used = used
    found = WordCompleter(session, names).get_completions(Document(text), CompleteEvent())
    return [text[: len(text) + each.start_position] + each.text for each in found]


def test_a_whole_word_gets_a_blank_and_what_is_begun_none() -> None:
    assert lines("arr") == ["array "]
    assert lines("array create x n") == [
        f"array create x {each}" for each in ("nbd://", "nbd+unix:///", "nbds://", "nbds+unix:///")
    ]


def test_names_come_with_what_they_are() -> None:
    session = build_session(Settings(), scripted=False)
    (found,) = WordCompleter(session, names).get_completions(Document("node list p"), CompleteEvent())

    assert (found.text, found.display_meta_text) == ("pool ", "mirror, online")


def test_with_a_name_in_use_its_members_are_offered_beside_arrays() -> None:
    assert lines("node suspend ") == ["node suspend pool "]
    assert lines("node suspend ", used="pool") == ["node suspend pool ", "node suspend pool-n0 "]
    assert lines("node suspend other ", used="pool") == ["node suspend other other-n0 "]


def test_odd_words_are_quoted_and_open_quotes_kept() -> None:
    assert lines("key show my") == ["key show 'my file' ", "key show 'my folder/"]
    assert lines('key show "my fi') == ['key show "my file" ']


def test_commands_are_completed_after_watch_and_help() -> None:
    assert lines("watch stat") == ["watch status "]
    assert lines("watch 5 node list p") == ["watch 5 node list pool "]
    assert lines("help node res") == ["help node resume "]


def test_the_consoles_own_commands_are_completed() -> None:
    assert lines("sou") == ["source "]
    assert lines("use ") == ["use pool ", "use e1 "]


def test_after_a_backslash_nothing_is() -> None:
    assert lines("array \\") == []
