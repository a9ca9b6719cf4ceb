"""Texts that are none: names of files with bytes that are no UTF-8."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsttool.engine.vocabulary.texts import cleaned, name_of, printable, readable, to_json

NAME = os.fsdecode(b"a\xff\xc3\xa9.img")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("na\u00efve \U0001f600", "na\u00efve \U0001f600"),
        (NAME, "a\\xff\u00e9.img"),
        ("\ud800", "\\ud800"),
        ("c:\\new", "c:\\new"),
    ],
)
def test_a_readable_text_has_no_lone_surrogates(text: str, shown: str) -> None:
    assert readable(text) == shown


def test_printable_text_steers_no_terminal() -> None:
    assert printable("gr\u00f6\u00dfer\x1b[2J\n\t") == "gr\u00f6\u00dfer?[2J??"
    assert printable("a\nb\r", "\n") == "a\nb?"


@given(st.binary(max_size=20))
def test_every_byte_of_a_name_can_be_had_back(name: bytes) -> None:
    shown = name_of(os.fsdecode(name))
    parts = shown.encode().split(b"\\\\")
    for index, part in enumerate(parts):
        first, *rest = part.split(b"\\x")
        parts[index] = first + b"".join(bytes([int(each[:2], 16)]) + each[2:] for each in rest)
    assert b"\\".join(parts) == name


def test_json_is_taken_by_parsers_that_want_text() -> None:
    value = {NAME: [NAME, ("x", 1)], "\U0001f600": None}
    for indent in (None, 2):
        text = to_json(value, indent)
        assert text.isascii()
        assert json.loads(text) == {readable(NAME): [readable(NAME), ["x", 1]], "\U0001f600": None}
    assert json.dumps(cleaned(value), ensure_ascii=False).encode()


def test_json_of_texts_is_as_ever() -> None:
    value = {"name": "\u00e9\\udcff", "rows": [1, None, True]}
    assert to_json(value, 2) == json.dumps(value, indent=2)
    assert to_json(value) == json.dumps(value, separators=(",", ":"))
