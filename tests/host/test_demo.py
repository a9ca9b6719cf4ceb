"""The demo: the second README command."""

from pathlib import Path
from typing import Any

import pytest

from dsttool.cli.demo import Stage, Story
from dsttool.cli.moving import reactor
from dsttool.cli.settings import Settings
from support.site import Site


def test_the_demo_tells_its_story_and_leaves_nothing(site: Site) -> None:
    site.env["TMPDIR"] = str(site.folder)
    said = site.dsttool("demo").stdout
    assert "transactions were sent again" in said
    assert "'right' is stale, the mirror is degraded" in said
    assert said.count("0 errors") == 2
    assert "0 mismatches" in said
    assert said.endswith("Everything is stopped, and the folder is gone.\n")
    assert not site.processes()
    assert not list(Path(site.folder).glob("dsttool-demo-*"))


def test_a_demo_that_is_told_to_end_in_the_middle_leaves_nothing(site: Site) -> None:
    site.env["TMPDIR"] = str(site.folder)
    with site.begun("demo") as demo:
        assert demo.stdout is not None
        assert "Two exports serve" in demo.stdout.readline()
        demo.terminate()
        assert demo.wait(60) == 143
    assert not site.processes()
    assert not list(Path(site.folder).glob("dsttool-demo-*"))


def test_where_daemons_start_slowly_there_is_as_much_time_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reached(Exception):
        pass

    with reactor() as used:

        class Slow:
            def export(self, _name: str) -> None:
                used.now -= 60 * 10**9  # a minute passes, during which the loop does not look at the clock

            def run(self, *_words: str) -> None:
                pass

        behind = []

        def load(_story: Story) -> Any:
            behind.append(used.clock() - used.now)
            raise Reached

        monkeypatch.setattr(Story, "_load", load)
        stage: Stage = Slow()  # type: ignore[assignment]
        with pytest.raises(Reached):
            Story(Settings(quiet=True), stage, used).tell()
    assert behind[0] < 60 * 10**9
