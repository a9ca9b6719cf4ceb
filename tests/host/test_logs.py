"""A process's log: it stays short however long the process runs, and writing it ends nothing."""

import errno
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dsttool.engine.host import daemon, logs
from dsttool.engine.host.logs import Logs
from dsttool.engine.vocabulary.errors import from_oserror

LIMIT = 2000
LOG = logging.getLogger("dsttool.test")


@pytest.fixture(autouse=True)
def _logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logs, "LOG_BYTES_KEPT", LIMIT)
    monkeypatch.setattr(daemon, "LOG_BYTES_KEPT", LIMIT)
    root = logging.getLogger("dsttool")
    level, propagate = root.level, root.propagate
    yield
    root.setLevel(level)
    root.propagate = propagate


def numbers(path: Path) -> list[int]:
    return [int(line.rsplit(" ", 1)[1]) for line in path.read_text().splitlines()]


def logs_as_a_daemon(path: Path, lines: int) -> int:
    """In a process of its own, because its standard streams become the log; its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            daemon._redirect(path)
            with open(2, "w", closefd=False) as stream:
                writing = Logs(0, stream=stream, put_aside=lambda: daemon._redirect(path))
                for number in range(lines):
                    LOG.info("line %d", number)
                writing.close()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_long_log_is_put_aside_while_the_daemon_runs_and_one_is_kept(tmp_path: Path) -> None:
    path, aside = tmp_path / "a.b.log", tmp_path / "a.b.log.1"
    assert logs_as_a_daemon(path, 200) == 0
    before, now = numbers(aside), numbers(path)
    assert before + now == list(range(before[0], 200))
    assert before[0] > 0, "the one put aside earlier is gone"
    line = len(path.read_text()) // len(now)
    assert LIMIT < aside.stat().st_size <= LIMIT + 2 * line
    assert path.stat().st_size <= LIMIT
    assert sorted(tmp_path.iterdir()) == [path, aside]


def test_a_short_log_stays_where_it_is(tmp_path: Path) -> None:
    assert logs_as_a_daemon(tmp_path / "a.log", 5) == 0
    assert numbers(tmp_path / "a.log") == list(range(5))
    assert [each.name for each in tmp_path.iterdir()] == ["a.log"]


@pytest.mark.parametrize("take_away", [lambda path: path.rename(path.with_suffix(".old")), Path.unlink])
def test_a_log_that_others_took_away_is_begun_anew(tmp_path: Path, take_away: Callable[[Path], None]) -> None:
    path = tmp_path / "a.log"
    child = os.fork()
    if child == 0:
        code = 1
        try:
            daemon._redirect(path)
            with open(2, "w", closefd=False) as stream:
                writing = Logs(0, stream=stream, put_aside=lambda: daemon._redirect(path), file=path)
                LOG.info("line 0")
                while not path.stat().st_size:
                    pass
                take_away(path)
                LOG.info("line 1")
                writing.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert numbers(path) == [1]


def test_a_log_that_cannot_be_put_aside_is_written_on(tmp_path: Path) -> None:
    attempts: list[int] = []

    def put_aside() -> None:
        attempts.append(1)
        raise from_oserror(OSError(errno.ENOSPC, "no space left"), "write a.log")

    path = tmp_path / "a.log"
    with path.open("a") as stream:
        writing = Logs(0, stream=stream, put_aside=put_aside)
        for number in range(100):
            LOG.info("line %d", number)
        writing.close()
    assert attempts
    assert numbers(path) == list(range(100))
