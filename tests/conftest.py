"""Rules for every test: it leaves nothing behind; what it needs is there; it runs the same twice."""

import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from support import leaks, peers, surroundings
from support.site import Site

# No test of time: a machine may be slow, and examples are made slowly there.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deterministic", _UNTIMED, derandomize=True)
settings.register_profile("short", _UNTIMED, derandomize=True, max_examples=20)
settings.register_profile("explore", _UNTIMED, max_examples=1000)
settings.load_profile("deterministic")
surroundings.make_neutral()
peers.extend_path()

# What a thousand connections with both ends in one process need; the limit of many shells is 1024.
DESCRIPTORS = 4096


def pytest_addoption(parser: pytest.Parser) -> None:
    """Switches of long campaigns; each has a short form that runs always."""
    parser.addoption(
        "--campaign-seconds", type=float, default=4.0, help="how long exports keep dying under load"
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """A peer's program that is missing ends the run: a skip nobody sees would look like a pass."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS:
        most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if hasattr(session.config, "workerinput"):
        return
    absent = peers.missing()
    if absent:
        pytest.exit(f"missing Debian packages: {' '.join(absent)} (tests/run installs them)", returncode=1)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    before = leaks.Leaks()
    yield
    found = before.found()
    assert not found, "left behind: " + "; ".join(found)


@pytest.fixture(autouse=True)
def _no_folders_of_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No test reads or writes this machine's own configuration, sockets or state."""
    nowhere = tmp_path_factory.getbasetemp() / "nowhere"
    for name in ("CONFIG", "RUNTIME", "STATE"):
        monkeypatch.setenv(f"DSTTOOL_{name}_DIR", str(nowhere / name.lower()))


@pytest.fixture
def campaign_seconds(request: pytest.FixtureRequest) -> float:
    """How long each campaign with real processes lasts at least."""
    return float(request.config.getoption("--campaign-seconds"))


@pytest.fixture
def site() -> Iterator[Site]:
    """A folder of its own with real dsttool processes; nothing of them survives the test."""
    with Site() as made:
        yield made


@pytest.fixture
def disk_folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder whose files answer RWF_NOWAIT, as disks' do; the temporary one may be in memory."""
    for parent in (tmp_path, Path("/var/tmp"), Path(__file__).parent):
        with (
            tempfile.TemporaryDirectory(prefix="dst", dir=parent) as name,
            tempfile.TemporaryFile(dir=name) as file,
        ):
            try:
                os.preadv(file.fileno(), (bytearray(1),), 0, os.RWF_NOWAIT)
            except BlockingIOError:
                pass
            except OSError:
                continue
            yield Path(name)
            return
    pytest.fail("No folder here has files that answer RWF_NOWAIT; set TMPDIR to one on a disk.")


@pytest.fixture
def loop_devices() -> None:
    """For tests that need root and loop devices: elsewhere a visible skip, in CI a failure."""
    reason = peers.why_no_loop_devices()
    if reason and os.environ.get("CI"):
        pytest.fail(f"no loop devices: {reason}")
    if reason:
        pytest.skip(f"no loop devices: {reason}")
