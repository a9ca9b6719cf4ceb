"""Files whose names are no UTF-8: they can be served, and what is said of them is text for everybody."""

import json
import os
from typing import Any

import pytest

from support.site import Site

NAME = os.fsdecode(b"a\\\xff\xc3\xa9.img")
SHOWN = "a\\\\\\xff\u00e9.img"


@pytest.fixture
def served(site: Site) -> Site:
    site.file(NAME, 1 << 20)
    site.dsttool("export", site.path(NAME), "--name", "odd", "-d")
    return site


def strictly(text: str) -> Any:
    """What a parser understands that takes no lone surrogates, as most do."""
    found = json.loads(text)
    json.dumps(found, ensure_ascii=False).encode()
    return found


def test_answers_events_recordings_and_logs_are_text(served: Site) -> None:
    site = served
    status = site.dsttool("status", "--json").stdout
    strictly(status)
    (export,) = json.loads(status)["exports"]
    assert export["device"] == str(site.path(SHOWN))
    assert SHOWN in site.dsttool("status").stdout
    frames = site.path("frames")
    with site.begun("record", frames, "--for", "1s"):
        pass
    for words in (("events", "--json"), ("daemon", "list", "--json"), ("tx", "list", "--json")):
        strictly(site.dsttool(*words).stdout)
    site.dsttool("daemon", "stop", "odd")


def test_errors_about_them_are_text(site: Site) -> None:
    missing = site.path(NAME + "no")
    error = strictly(site.dsttool("export", missing, "--json", code=3).stderr)
    assert "\\xff\u00e9.imgno" in error["error"]["what"]
    assert "\\xff\u00e9.imgno" in site.dsttool("export", missing, code=3).stderr


def test_they_can_be_members(site: Site) -> None:
    site.file(NAME, 1 << 20)
    site.dsttool("array", "up", "pool", "--layout", "linear", "--raw", site.path(NAME))
    (array,) = site.json("status", "pool")["arrays"]
    assert array["state"] == "online"
    site.dsttool("array", "down", "pool")
    site.dsttool("array", "create", "kept", "--layout", "linear", "--raw", site.path(NAME))
    site.dsttool("array", "up", "kept")
    site.dsttool("array", "down", "kept")
