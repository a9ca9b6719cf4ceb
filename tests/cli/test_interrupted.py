"""Commands that are interrupted: by Ctrl-C, by a signal, by an error. They leave nothing half done behind."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from dsttool.cli.failure import run
from dsttool.engine.host.benching import Bench
from dsttool.engine.host.copying import Copy
from dsttool.engine.vocabulary.errors import DsttoolError


def send(number: int) -> Callable[[object], None]:
    return lambda _job: os.kill(os.getpid(), number)


def fail(_job: object) -> None:
    raise DsttoolError("The medium is broken.", "Replace it.")


@pytest.mark.parametrize(
    ("happens", "code"),
    [(send(signal.SIGINT), 130), (send(signal.SIGTERM), 143), (send(signal.SIGHUP), 129), (fail, 1)],
    ids=["Ctrl-C", "SIGTERM", "SIGHUP", "failure"],
)
def test_a_copy_that_does_not_end_well_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, happens: Callable[[object], None], code: int
) -> None:
    monkeypatch.setattr(Copy, "run", happens)
    assert run(["cp", "mem:1M", str(tmp_path / "new")]) == code
    assert list(tmp_path.iterdir()) == []


def test_what_nohup_has_ignored_interrupts_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = Copy.run

    def hang_up(job: Copy) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        whole(job)

    monkeypatch.setattr(Copy, "run", hang_up)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(["cp", "mem:1M", str(tmp_path / "new")]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_new_file_has_its_name_only_when_all_of_it_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target, before, whole = tmp_path / "new", [], Copy.run

    def look(job: Copy) -> None:
        before.append(target.exists())
        whole(job)

    monkeypatch.setattr(Copy, "run", look)
    assert run(["cp", "mem:1M", str(target)]) == 0
    assert before == [False]
    assert target.read_bytes() == bytes(1024 * 1024)
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_somebody_makes_meanwhile_is_not_replaced_by_a_new_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, whole = tmp_path / "new", Copy.run

    def make(job: Copy) -> None:
        whole(job)
        target.write_text("theirs")

    monkeypatch.setattr(Copy, "run", make)
    assert run(["cp", "mem:1M", str(target)]) == 8
    assert "exists" in capsys.readouterr().err
    assert target.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_to_a_file_that_does_not_exist_is_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "new", tmp_path / "link"
    link.symlink_to(target)
    assert run(["cp", "mem:1M", str(link)]) == 0
    assert link.is_symlink()
    assert target.stat().st_size == 1 << 20


def test_a_name_of_the_greatest_length_can_be_copied_to(tmp_path: Path) -> None:
    target = tmp_path / ("ä" * 127)
    assert run(["cp", "mem:1M", str(target)]) == 0
    assert target.exists()


def test_what_is_written_over_stays_when_a_copy_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = tmp_path / "old"
    target.write_bytes(bytes(1024 * 1024))
    monkeypatch.setattr(Copy, "run", fail)
    assert run(["cp", "mem:1M", str(target)]) == 1
    assert list(tmp_path.iterdir()) == [target]


def test_what_was_measured_is_released_when_that_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "disk").write_bytes(bytes(1024 * 1024))
    monkeypatch.setattr(Bench, "run", send(signal.SIGTERM))
    assert run(["bench", str(tmp_path / "disk"), "--rw", "write", "-y"]) == 143
    monkeypatch.undo()
    assert run(["cp", "mem:1M", str(tmp_path / "disk")]) == 0  # not locked any more
