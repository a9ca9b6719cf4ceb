"""What the system refuses is told with something to do about it."""

import errno

import pytest

from dsttool.engine.vocabulary.errors import from_oserror


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_error_of_the_system_comes_with_advice(number: int) -> None:
    error = from_oserror(OSError(number, "x"), "open disk.img")
    assert error.what.startswith("Cannot open disk.img: ")
    assert error.advice


def test_a_full_disk_is_told_with_its_own_advice() -> None:
    assert "Make room" in from_oserror(OSError(errno.ENOSPC, "x"), "write it").advice
