"""The demo: the second README command."""

from pathlib import Path

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
