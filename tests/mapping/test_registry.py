import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layout_properties import PROPERTIES

from dsttool.engine.mapping import registry
from dsttool.engine.mapping.linear import Linear
from dsttool.engine.mapping.mirror import Mirror
from dsttool.engine.mapping.stripe import Stripe
from dsttool.engine.vocabulary.errors import UsageError


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package that brings layouts: `name = module:object` lines."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(*entry_points: str) -> None:
        metadata = tmp_path / "another_layout-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: another-layout\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("\n".join(["[dsttool.algorithms]", *entry_points, ""]))
        shutil.copy(Path(__file__).with_name("backwards.py"), tmp_path / "another_layout.py")
        monkeypatch.delitem(sys.modules, "another_layout", raising=False)

    yield install
    sys.modules.pop("another_layout", None)


@pytest.mark.parametrize("layout", [Linear, Stripe, Mirror])
def test_the_layouts_of_dsttool_are_found_by_their_names(layout):
    assert registry.find(layout.name) is layout


def test_they_are_found_without_looking_at_what_is_installed():
    code = (
        "import sys, dsttool.engine.mapping.registry as registry;"
        "[registry.find(name) for name in ('linear', 'stripe', 'mirror')];"
        "print('importlib.metadata' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_a_layout_of_another_package_is_found_and_listed(install):
    install("backwards = another_layout:Backwards")
    assert registry.find("backwards")([100, 200]).split(190, 20)[1].slots == (0,)
    assert registry.names() == ["backwards", "linear", "mirror", "stripe"]


@pytest.mark.parametrize("keeps", PROPERTIES, ids=lambda keeps: keeps.__name__)
def test_a_layout_of_another_package_keeps(keeps, install):
    install("backwards = another_layout:Backwards")
    algorithm = registry.find("backwards")

    @settings(max_examples=30)
    @given(st.data(), st.lists(st.integers(101, 5000), min_size=1, max_size=4))
    def check(data, sizes):
        keeps(algorithm(sizes, reserve=100), data)

    check()


def test_another_package_cannot_replace_a_layout_of_dsttool(install):
    install("linear = another_layout:Backwards")
    assert registry.find("linear") is Linear


def test_a_mistyped_layout_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"no layout 'mirorr'\. Did you mean 'mirror'"):
        registry.find("mirorr")


def test_an_unknown_layout_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match=r"no layout 'zfs'\. Use one of linear, mirror, stripe"):
        registry.find("zfs")


@pytest.mark.parametrize("entry", ["no_such_module:Thing", "another_layout:NoSuchThing"])
def test_a_layout_that_cannot_be_loaded_is_named_with_its_origin(install, entry):
    install(f"broken = {entry}")
    with pytest.raises(UsageError, match=f"'broken' cannot be loaded from {entry}"):
        registry.find("broken")


def test_an_entry_point_that_is_no_algorithm_is_refused(install):
    install("module = another_layout")
    with pytest.raises(UsageError, match="'module' is not a dsttool algorithm"):
        registry.find("module")
