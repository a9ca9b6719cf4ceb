"""What dsttool.toml says of a daemon, and of it only a start takes up, is named by a reload."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dsttool.engine.host import logs
from dsttool.engine.host.logs import Logs
from dsttool.engine.host.reload_parts import MachinePart
from dsttool.engine.host.reloading import Comparison
from dsttool.engine.runtime.reactor import Reactor


@pytest.fixture
def toml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("DSTTOOL_CONFIG_DIR", str(tmp_path))
    monkeypatch.delenv("DSTTOOL_LOG_FORMAT", raising=False)
    return tmp_path / "dsttool.toml"


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor(io_threads=1)
    yield made
    made.close()


def restart(part: MachinePart) -> list[tuple[str, str, str]]:
    comparison = Comparison()
    part.compare(part.read(), comparison)
    for act in comparison.acts:
        act()
    return [(each["key"], each["before"], each["after"]) for each in comparison.restart]


def test_another_format_of_the_log_needs_a_restart_and_is_named_until_then(
    toml: Path, reactor: Reactor
) -> None:
    part = MachinePart(reactor)
    toml.write_text('[daemon]\nlog_format = "json"\n')
    assert restart(part) == [("log_format", "default", "json")]
    assert restart(part) == [("log_format", "default", "json")]
    toml.write_text("")
    assert restart(part) == []


@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_format_that_is_spelled_is_not_compared(
    toml: Path, reactor: Reactor, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "variable":
        monkeypatch.setenv("DSTTOOL_LOG_FORMAT", "text")
    with (toml.parent / "log").open("w") as stream:
        log = Logs(0, stream=stream, form="text")
        try:
            assert logs.form() == "text"
            part = MachinePart(reactor)
            toml.write_text('[daemon]\nlog_format = "json"\n')
            assert restart(part) == []
        finally:
            log.close()
