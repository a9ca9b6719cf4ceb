"""The prompt and the toolbar, of made-up pictures."""

from typing import Any

import pytest

from dsttool.cli.settings import Settings
from dsttool.console import toolbar
from dsttool.engine.control.picture import STALE_NS, Picture, Update
from dsttool.engine.vocabulary.limits import SECOND
from support import status_frames

PLAIN = Settings(color="never")


@pytest.fixture(autouse=True)
def _stdout_takes_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdout", Stream())


def array(name: str, state: str = "online", **more: Any) -> dict[str, Any]:
    return {"name": name, "layout": "mirror", "state": state, "jobs": [], "members": [], **more}


def picture(*arrays: dict[str, Any], place: str = "local", rates: dict[str, Any] | None = None) -> Picture:
    made = Picture()
    for each in arrays:
        state = status_frames.state(arrays={each["name"]: each}, rates=rates or {})
        made.apply(Update(place, each["name"], 0, status_frames.hello()))
        made.apply(Update(place, each["name"], 0, status_frames.snapshot(state)))
    return made


def shown(made: Picture, used: str = "", width: int = 100, now_ns: int = 0) -> str:
    return toolbar.toolbar(made, now_ns, PLAIN, used, width)


def test_nothing_runs() -> None:
    assert shown(Picture()) == "nothing runs"


def test_when_all_is_well_one_word_says_so() -> None:
    assert shown(picture(array("a"), array("b"))).startswith("local | ● online | ")


def test_what_is_not_well_is_named_the_worst_first() -> None:
    made = picture(array("a", "degraded"), array("b", "failed"), array("c"))

    assert "✖ failed: b | ▲ degraded: a" in shown(made)


def test_a_daemon_that_died_is_unreachable_and_its_last_state_is_not_shown() -> None:
    made = picture(array("a", "degraded"), array("b"))
    made.apply(Update("local", "a", 1, None, "connection reset by peer"))

    assert "✖ unreachable: a" in shown(made)
    assert "degraded" not in shown(made)


def test_a_daemon_that_hangs_is_unreachable_and_its_last_state_is_not_shown() -> None:
    made = picture(array("a"), array("b"))
    made.apply(
        Update("local", "b", STALE_NS, status_frames.snapshot(made.places["local"].daemons["b"].state))
    )
    assert "● online" in shown(made, now_ns=STALE_NS)
    assert shown(made, now_ns=STALE_NS + 1).startswith("local | ✖ unreachable: a | ")
    assert toolbar.prompt(made, STALE_NS, PLAIN, "a", 0) == "dst[a ●]> "
    assert toolbar.prompt(made, STALE_NS + 1, PLAIN, "a", 0) == "dst[a ✖]> "


def test_a_daemon_that_was_ended_is_gone() -> None:
    made = picture(array("a"))
    made.apply(Update("local", "a", 1, status_frames.bye("it was told to end")))
    made.apply(Update("local", "a", 2, None, ""))

    assert shown(made) == "local | nothing runs"


def test_jobs_are_shown_with_the_time_they_still_need() -> None:
    job = {
        "kind": "resync",
        "state": "running",
        "done_bytes": 41,
        "total_bytes": 100,
        "rate_bytes": 1,
        "eta_ns": 90 * SECOND,
    }

    assert "resync of a 41 %, 90s left" in shown(picture(array("a", jobs=[job])))
    assert "resync of a paused" in shown(picture(array("a", jobs=[job | {"state": "paused"}])))


def test_rates_are_of_all_arrays_or_of_the_used_one() -> None:
    rates = {
        name: status_frames.RATES | {"read_bytes": size, "written_bytes": 2 * size}
        for name, size in (("a", 1 << 20), ("b", 3 << 20))
    }
    made = picture(array("a"), rates={"a": rates["a"]})
    for update in (
        status_frames.hello(),
        status_frames.snapshot(status_frames.state(arrays={"b": array("b")}, rates={"b": rates["b"]})),
    ):
        made.apply(Update("local", "b", 0, update))

    assert shown(made).endswith("R 4 MiB/s W 8 MiB/s")
    assert shown(made, used="a").endswith("R 1 MiB/s W 2 MiB/s")


def test_what_does_not_fit_is_left_out() -> None:
    made = picture(array("a", "degraded"))

    assert shown(made, width=30) == "local | ▲ degraded: a"
    assert shown(made, width=8) == "local"


@pytest.mark.parametrize(
    ("used", "code", "prompt"),
    [
        ("", 0, "dst> "),
        ("", 3, "dst(3)> "),
        ("a", 0, "dst[a ▲]> "),
        ("a", 130, "dst[a ▲](130)> "),
        ("gone", 0, "dst[gone ○]> "),
    ],
)
def test_the_prompt_shows_what_is_used_and_how_the_last_command_failed(
    used: str, code: int, prompt: str
) -> None:
    assert toolbar.prompt(picture(array("a", "degraded")), 0, PLAIN, used, code) == prompt
