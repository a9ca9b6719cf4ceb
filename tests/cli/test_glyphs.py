"""Where glyphs are shown, and where only ASCII is."""

import subprocess
import sys

import pytest

from dsttool.cli.glyphs import unicode_wanted


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, True),
        ({"LANG": ""}, True),
        ({"LANG": "C"}, False),
        ({"LANG": "POSIX"}, False),
        ({"LC_ALL": "POSIX", "LANG": "en_US.UTF-8"}, False),
        ({"LC_ALL": "", "LANG": "en_US.UTF-8"}, True),
        ({"LC_CTYPE": "en_US.utf8", "LANG": "C"}, True),
        ({"LC_ALL": "C.UTF-8"}, True),
        ({"LANG": "de_DE.ISO-8859-1"}, False),
        ({"LANG": "de_DE.UTF-8@euro"}, True),
        ({"LANG": "de_DE"}, True),
    ],
)
def test_the_first_locale_that_is_set_decides(environ: dict[str, str], wanted: bool) -> None:
    assert unicode_wanted(environ, replaced=False) is wanted


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ((), "True"),
        (("LANG=C",), "False"),
        (("LC_ALL=POSIX",), "False"),
        (("LANG=xx_XX.UTF-8",), "True"),
        (("LANG=xx_XX.ISO-8859-1",), "False"),
        (("LC_ALL=C.UTF-8", "PYTHONIOENCODING=ascii"), "False"),
        (("LC_ALL=C.UTF-8",), "True"),
    ],
)
def test_what_python_makes_of_a_locale_does_not_hide_it(words: tuple[str, ...], shown: str) -> None:
    code = "from dsttool.cli.glyphs import shows; print(shows('●'))"
    path = f"PYTHONPATH={':'.join(sys.path)}"
    done = subprocess.run(
        ["env", "-i", path, *words, sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == shown
