"""What lines of the log look like to people, to programs and to the journal."""

import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from dsttool.cli.failure import report
from dsttool.cli.settings import Settings
from dsttool.engine.host import logs
from dsttool.engine.host.log_lines import Format
from dsttool.engine.host.logs import Logs
from dsttool.engine.runtime.telling import tell
from dsttool.engine.vocabulary.errors import Unsafe

LOG = logging.getLogger("dsttool.engine.host.engine")
MANAGED = "JOURNAL_STREAM"


@pytest.fixture(autouse=True)
def _logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(MANAGED, raising=False)
    root = logging.getLogger("dsttool")
    level, propagate = root.level, root.propagate
    yield
    root.setLevel(level)
    root.propagate = propagate


class Said:
    """A log whose lines are looked at once it is closed."""

    def __init__(self, form: Format | None = None, stream: TextIO | None = None, verbose: int = 0) -> None:
        self._stream = stream or io.StringIO()
        self._logs = Logs(verbose, stream=self._stream, form=form)

    def lines(self) -> list[str]:
        self._logs.close()
        self._stream.seek(0)
        return self._stream.read().splitlines()


def test_for_programs_each_line_is_an_object() -> None:
    said = Said("json")
    LOG.warning("plain")
    tell(LOG, "member.stale", "pool/n1", "pool: member n1 is stale")
    plain, event = (json.loads(line) for line in said.lines())
    assert (plain["level"], plain["module"], plain["message"]) == ("warning", "engine", "plain")
    assert plain["time"].endswith("Z")
    assert "kind" not in plain
    assert (event["kind"], event["name"], event["node"]) == ("member.stale", "pool", "n1")


def test_for_programs_a_traceback_stays_within_its_line() -> None:
    said = Said("json")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        LOG.exception("failed")
    (line,) = said.lines()
    assert "ValueError: two\nlines" in json.loads(line)["message"]


def test_for_the_journal_each_line_has_its_priority_and_no_time(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        said = Said("journal", stream)
        LOG.info("fine")
        LOG.warning("careful")
        try:
            raise ValueError("no")
        except ValueError:
            LOG.exception("failed")
        lines = said.lines()
    assert lines[:3] == ["<6>engine: fine", "<4>engine: careful", "<3>engine: failed"]
    assert len(lines) > 4
    assert all(line.startswith("<3>") for line in lines[2:])


def test_a_stream_that_the_journal_reads_is_written_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv(MANAGED, f"{status.st_dev}:{status.st_ino}")
        said = Said(stream=stream)
        LOG.info("fine")
        assert said.lines() == ["<6>engine: fine"]


def test_another_stream_than_the_journals_is_written_for_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MANAGED, "1:1")
    with (tmp_path / "log").open("w+") as stream:
        said = Said(stream=stream)
        LOG.info("fine")
        (line,) = said.lines()
    assert line.endswith("Z INFO  engine: fine")


@pytest.mark.parametrize("form", ["text", "json", "journal"])
def test_nothing_that_steers_a_terminal_gets_into_a_log(form: Format) -> None:
    said = Said(form)
    LOG.warning("\x1b[2J %s", "\u202e\x07")
    assert all(line.isprintable() for line in said.lines())


def test_the_configuration_says_what_is_said() -> None:
    said = Said("journal")
    logs.configure("warning")
    LOG.info("not said")
    logs.configure("debug")
    LOG.debug("said")
    logs.configure(None)
    LOG.debug("not said")
    assert said.lines() == ["<7>engine: said"]


def test_the_command_line_is_stronger_than_the_configuration() -> None:
    said = Said("journal", verbose=1)
    logs.configure("warning")
    LOG.debug("said")
    assert said.lines() == ["<7>engine: said"]


def test_why_a_command_failed_is_an_error_to_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv(MANAGED, f"{status.st_dev}:{status.st_ino}")
        monkeypatch.setattr(sys, "stderr", stream)
        assert report(Settings(), Unsafe("No.", "Or yes.")) == 6
        stream.seek(0)
        assert stream.read() == "<3>error: No.\n<3>Or yes.\n"
