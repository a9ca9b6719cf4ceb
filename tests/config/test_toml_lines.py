import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.config.toml_lines import Place, Step, place_of


def line_of(text: str, path: tuple[Step, ...]) -> int:
    return place_of(text, path).line


TEXT = '''\
# nodes = [1, 2]
title = "a # b [ c"
"quoted key" = 1
a.b.c = 1979-05-27T07:32:00Z
long = """
x = 1
nodes = [ \\"""
"""
nodes = [
  "one", """two
two""", 'three',
  {address = "x", deep = [1.5, {k = 2}]},  # ]
]
[table.sub]
key = true
[[list]]
x = 1
[[list]]
x = 2
[list.inner]
y = 3
'''


def test_keys_and_elements_of_every_kind_are_found() -> None:
    found = {
        path: line_of(TEXT, path)
        for path in [
            ("title",),
            ("quoted key",),
            ("a", "b", "c"),
            ("long",),
            ("nodes",),
            ("nodes", 0),
            ("nodes", 1),
            ("nodes", 2),
            ("nodes", 3, "address"),
            ("nodes", 3, "deep", 1, "k"),
            ("table", "sub", "key"),
            ("list", 0),
            ("list", 0, "x"),
            ("list", 1, "x"),
            ("list", 1, "inner", "y"),
        ]
    }
    assert list(found.values()) == [2, 3, 4, 5, 9, 10, 10, 11, 12, 12, 15, 16, 17, 19, 21]


def test_the_column_is_that_of_the_key_or_of_its_value() -> None:
    assert place_of(TEXT, ("title",)) == Place(2, 1)
    assert place_of(TEXT, ("title",), value=True) == Place(2, 9)
    assert place_of(TEXT, ("nodes", 2)) == Place(11, 9)
    assert place_of(TEXT, ("nodes", 3, "deep", 1, "k")) == Place(12, 33)
    assert place_of(TEXT, ("nodes", 3, "deep", 1, "k"), value=True) == Place(12, 37)
    assert place_of(TEXT, ("nodes", 3, "missing"), value=True) == Place(12, 3)
    assert place_of(TEXT, ("list", 1)) == Place(18, 1)


def test_what_is_not_there_is_put_to_what_is_around_it() -> None:
    assert line_of(TEXT, ("nodes", 3, "name")) == 12
    assert line_of(TEXT, ("nodes", 9)) == 9
    assert line_of(TEXT, ("nowhere",)) == 1
    assert line_of("", ("x",)) == 1


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1, max_size=6))
def test_no_content_of_strings_leads_the_scanner_astray(strings: list[str]) -> None:
    document = tomlkit.document()
    for index, text in enumerate(strings):
        document[f"k{index}"] = text
    array = tomlkit.array().multiline(True)
    array.extend(strings)
    document["array"] = array
    text = tomlkit.dumps(document)
    assert [line_of(text, (f"k{index}",)) for index in range(len(strings))] == list(
        range(1, len(strings) + 1)
    )
    first = len(strings) + 2
    assert [line_of(text, ("array", index)) for index in range(len(strings))] == list(
        range(first, first + len(strings))
    )


@given(st.text("ab =[]{},.\"'#\\\n", max_size=40))
def test_the_scanner_ends_on_any_text(text: str) -> None:
    assert 1 <= line_of(text, ("a", 0, "b")) <= text.count("\n") + 1
