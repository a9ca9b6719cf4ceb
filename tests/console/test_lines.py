"""How lines are split into words."""

import pytest

from dsttool.console.lines import logical, operator, quoted, split


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("  status  ", ("status",)),
        ("array up pool", ("array", "up", "pool")),
        ("use 'my pool'", ("use", "my pool")),
        ('use "my pool"', ("use", "my pool")),
        ("use my\\ pool", ("use", "my pool")),
        ("use 'a'\"b\"c", ("use", "abc")),
        ("key show ''", ("key", "show", "")),
        (r"a 'b\c' " + r'"d\"e\\f\g"', ("a", r"b\c", 'd"e\\f\\g')),
        ("status # of all", ("status",)),
        ("# nothing", ()),
        ("cp a#b c", ("cp", "a#b", "c")),
        ("cp 'a'#b", ("cp", "a#b")),
        ("node \\\nlist pool", ("node", "list", "pool")),
        ("node li\\\nst", ("node", "list")),
        ("echo $HOME *", ("echo", "$HOME", "*")),
    ],
)
def test_words_are_those_of_a_shell_without_its_expansions(text: str, words: tuple[str, ...]) -> None:
    line = split(text)

    assert line.words == words
    assert line.open == ""


@pytest.mark.parametrize(("text", "awaited"), [("a 'b", "'"), ('a "b', '"'), ("a \\", "\\"), ('a "b\\', '"')])
def test_what_is_not_finished_says_what_it_waits_for(text: str, awaited: str) -> None:
    assert split(text).open == awaited


@pytest.mark.parametrize(
    ("text", "before", "last", "start"),
    [
        ("array up po", ("array", "up"), "po", 9),
        ("array up ", ("array", "up"), "", 9),
        ("key show 'my f", ("key", "show"), "my f", 9),
        ("key show my\\ f", ("key", "show"), "my f", 9),
        ("key show ''", ("key", "show"), "", 9),
    ],
)
def test_the_word_that_is_typed_is_known_with_its_place(
    text: str, before: tuple[str, ...], last: str, start: int
) -> None:
    line = split(text)

    assert (line.before, line.last, line.start) == (before, last, start)


@pytest.mark.parametrize("word", ["pool", "a b", "it's", 'say "x"', "a\\b", "#1", "mem:1M?name=x", ""])
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_quoted_word_is_read_as_it_was(word: str, quote: str) -> None:
    assert split(f"x {quoted(word, quote or ('' if word else chr(39)))}").words == ("x", word)


def test_lines_go_on_where_they_are_not_finished_and_keep_the_number_of_their_first() -> None:
    script = ["# begin\n", "\n", "node \\\n", "  list pool\n", "use 'a\n", "b'\n", "status"]

    assert list(logical(script)) == [(3, "node \\\n  list pool"), (5, "use 'a\nb'"), (7, "status")]


def test_what_is_never_finished_comes_at_the_end() -> None:
    assert list(logical(["status\n", "use 'a\n"])) == [(1, "status"), (2, "use 'a")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("array down pool; status", ";"),
        ("status;", ";"),
        ("status ;uri pool", ";"),
        ("cp a b && status", "&&"),
        ("export a &", "&"),
        ("status | grep pool", "|"),
        ("uri pool >file", ">"),
        ("uri pool 2>&1", ""),
        ("source < lines", "<"),
        ("info nbd://host?links=2&window=3", ""),
        ("tx list --filter age>1s", ""),
        ("use 'a;' \\; \";\" x\\;", ""),
        ("status # a; b", ""),
    ],
)
def test_what_a_shell_would_take_for_an_operator_is_found_where_it_is_not_quoted(
    text: str, found: str
) -> None:
    assert operator(text) == found
