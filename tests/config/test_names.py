import pytest

from dsttool.engine.config.names import check_name, is_name
from dsttool.engine.vocabulary.errors import UsageError


@pytest.mark.parametrize("name", ["a", "pool", "disk.img", "n-1_x", "_x", "0", "x" * 64])
def test_letters_digits_and_three_marks_make_a_name(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", ".a", "-a", "a b", "a/b", "a\n", "ä", "a:b", "a\0"])
def test_what_is_no_name_is_refused_with_advice(name: str) -> None:
    assert not is_name(name)
    with pytest.raises(UsageError, match="cannot be a name") as caught:
        check_name(name)
    assert "letters, digits" in caught.value.advice


def test_a_name_of_65_characters_is_refused() -> None:
    with pytest.raises(UsageError, match="has 65 characters"):
        check_name("x" * 65)
