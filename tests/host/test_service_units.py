"""The unit files of systemd: it takes them, and what they say is true of the daemons."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import dsttool
from dsttool.engine.config.units import parse_duration
from dsttool.engine.host.ending import CLOSE_NS, FLUSH_NS
from dsttool.engine.host.engine import DRAIN_NS
from dsttool.engine.vocabulary.errors import Conflict, Forbidden, Unsafe, UsageError
from dsttool.engine.vocabulary.limits import SECOND
from support.manager import Manager
from support.site import Site

FOLDER = Path(dsttool.__file__).parent / "systemd"
UNITS = sorted(FOLDER.iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
PROJECT = Path(dsttool.__file__).parent.parent / "pyproject.toml"


def settings(unit: Path) -> dict[str, list[str]]:
    """What a unit file sets; a key may be there more than once."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith(("#", ";")):
            found.setdefault(key, []).append(value)
    return found


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def installed(unit: Path, folder: Path) -> Path:
    """The unit where this interpreter has dsttool, as an instance called a."""
    text = unit.read_text().replace("=dsttool ", f"={sys.executable} -m dsttool ")
    path = folder / unit.name.replace("@", "@a")
    path.write_text(text)
    return path


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None and os.environ.get("CI"):
        pytest.fail("no systemd-analyze")
    if found is None:
        pytest.skip("no systemd-analyze")
    return found


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_the_unit(unit: Path, analyze: str, tmp_path: Path) -> None:
    for each in UNITS:  # a socket wants to see its service
        installed(each, tmp_path)
    path = tmp_path / unit.name.replace("@", "@a")

    def complaints() -> str:
        words = [analyze, "verify", "--man=no", "--recursive-errors=no", str(path)]
        return subprocess.run(words, capture_output=True, text=True, check=False).stderr

    before = complaints()
    assert path.name not in before, before
    path.write_text(path.read_text() + "\nNonsense=1\n")
    assert path.name in complaints(), "it would be told"


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_what_would_fail_again_is_not_tried_again(unit: Path) -> None:
    (codes,) = settings(unit)["RestartPreventExitStatus"]
    final = {kind.exit_code for kind in (UsageError, Forbidden, Unsafe, Conflict)}
    assert {int(code) for code in codes.split()} == final


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_daemon_has_the_time_to_end_that_it_may_need(unit: Path) -> None:
    (timeout,) = settings(unit)["TimeoutStopSec"]
    assert seconds(timeout) * SECOND >= DRAIN_NS + FLUSH_NS + CLOSE_NS


@pytest.mark.parametrize("kind", ["export", "array"])
def test_its_command_lines_start_a_daemon_and_reload_it(kind: str, site: Site) -> None:
    found = settings(FOLDER / f"dsttool-{kind}@.service")
    (start,), (reload,) = found["ExecStart"], found["ExecReload"]
    (folders,) = found["Environment"]
    assert {each.partition("=")[0] for each in folders.split()} == set(site.env) & {
        "DSTTOOL_CONFIG_DIR",
        "DSTTOOL_RUNTIME_DIR",
        "DSTTOOL_STATE_DIR",
    }
    folder = site.path("config")
    (folder / f"{kind}s").mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    site.file("d0", 1 << 20)
    nodes = f'layout = "linear"\nraw = true\nnodes = ["{site.path("d0")}"]\n'
    content = f'device = "{site.path("d0")}"\n' if kind == "export" else nodes
    (folder / f"{kind}s/a.toml").write_text(content)
    with Manager(site) as manager:
        service = manager.start(*start.replace("%i", "a").split()[1:])
        manager.hear("READY")
        done = site.dsttool(*reload.replace("%i", "a").split()[1:])
        assert done.stdout == "a: nothing has changed.\n"
        service.stop()


@pytest.mark.parametrize("kind", ["export", "array"])
def test_its_sockets_are_those_that_a_daemon_would_make_itself(kind: str) -> None:
    places = settings(FOLDER / f"dsttool-{kind}@.socket")["ListenStream"]
    assert places == ["/run/dsttool/%i.nbd", "/run/dsttool/%i.dst"]


def test_arrays_start_after_the_exports_of_their_machine_and_end_before_them() -> None:
    between = "dsttool-exports.target"
    export, array = (settings(FOLDER / f"dsttool-{kind}@.service") for kind in ("export", "array"))
    assert (FOLDER / between).exists()
    assert between in " ".join(export["Before"]).split()
    # An order holds between jobs: without the wish there would be none for what is between.
    assert all(between in " ".join(array[key]).split() for key in ("After", "Wants"))
    # One command stops all of them, in that order.
    assert export["PartOf"] == array["PartOf"] == [between]
    assert between in " ".join(export["Wants"]).split()


def test_an_array_has_the_time_to_start_that_its_members_are_waited_for() -> None:
    found = settings(FOLDER / "dsttool-array@.service")
    words = found["ExecStart"][0].split()
    waited = parse_duration(words[words.index("--wait") + 1])
    (timeout,) = found["TimeoutStartSec"]
    assert parse_duration(timeout) > waited


def test_the_wheel_carries_the_units() -> None:
    shared = tomllib.loads(PROJECT.read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    carried = {source: target for source, target in shared.items() if source.startswith("dsttool/systemd")}
    assert carried == {f"dsttool/systemd/{unit.name}": f"lib/systemd/system/{unit.name}" for unit in UNITS}
