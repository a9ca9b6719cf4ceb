"""`config show`, `check` and `path`: what holds and why, and every mistake at its place."""

import json
from pathlib import Path

import pytest

from support.site import Site


@pytest.fixture
def folder(site: Site) -> Path:
    folder = site.path("config")
    for name in ("arrays", "exports"):
        (folder / name).mkdir(parents=True)
    return folder


def shown(site: Site, *words: str) -> dict[str, tuple[str, str, str | None]]:
    """What `config show` answers: by key the value, its source, and its place without the folder."""
    answer = site.json("config", "show", *words)
    assert answer["schema"] == "dsttool.config/1"
    config = f"{site.path('config')}/"
    return {
        each["key"]: (each["value"], each["source"], each["place"] and each["place"].replace(config, ""))
        for each in answer["values"]
    }


def test_the_machines_configuration_says_what_decides(site: Site, folder: Path) -> None:
    (folder / "dsttool.toml").write_text("[policy]\nresends = 3\n\n[daemon]\ncrypto_threads = 4\n")
    values = shown(site)
    assert values["folders.config"] == (str(folder), "environment", "$DSTTOOL_CONFIG_DIR")
    assert values["daemon.crypto_threads"] == ("4", "machine", "dsttool.toml:5")
    assert values["policy.resends"] == ("3", "machine", "dsttool.toml:2")
    assert values["policy.window"] == ("1024", "default", None)
    site.env["DSTTOOL_CRYPTO_THREADS"] = "2"
    assert shown(site)["daemon.crypto_threads"] == ("2", "environment", "$DSTTOOL_CRYPTO_THREADS")


def test_every_value_of_an_array_names_what_decides_and_the_strongest_wins(site: Site, folder: Path) -> None:
    site.export("mem:1M", "a")
    (folder / "dsttool.toml").write_text("[policy]\nresends = 3\nping_misses = 5\nwindow = 9\n")
    (folder / "arrays/pool.toml").write_text(
        f'layout = "mirror"\nraw = true\nnodes = ["mem:1M", "{site.dst("a", window=7)}"]\n'
        "[policy]\nresends = 4\n"
    )
    values = shown(site, "array", "pool")
    assert values["layout"] == ("mirror", "file", "arrays/pool.toml:1")
    assert values["read_policy"] == ("nearest", "default", None)
    assert values["n1.window"] == ("7", "address", "arrays/pool.toml:3")
    assert values["n1.resends"] == ("4", "file", "arrays/pool.toml:5")
    assert values["n1.ping_misses"] == ("5", "machine", "dsttool.toml:3")
    assert values["n1.links"] == ("1", "default", None)
    assert "n0.resends" not in values

    site.dsttool("array", "up", "pool", "--assume-clean")
    site.dsttool("policy", "set", "pool", "resends=8")
    assert shown(site, "array", "pool")["n1.resends"] == ("8", "live", None)
    assert site.json("policy", "show", "pool")["nodes"][0]["policy"]["ping_misses"] == {
        "value": 5,
        "source": "machine",
    }
    site.dsttool("array", "down", "pool")


def test_an_array_that_nobody_configured_is_shown_as_it_runs(site: Site) -> None:
    site.array("pool", "mirror", "mem:1M", "mem:1M?name=b")
    values = shown(site, "array", "pool")
    assert values["layout"] == ("mirror", "live", None)
    assert values["nodes.b"] == ("mem:1M", "live", None)


def test_an_exports_configuration_is_shown(site: Site, folder: Path) -> None:
    (folder / "exports/a.toml").write_text('device = "mem:1M"\nread_only = true\n')
    values = shown(site, "export", "a")
    assert values["device"] == ("mem:1M", "file", "exports/a.toml:1")
    assert values["read_only"] == ("true", "file", "exports/a.toml:2")
    assert values["shared"] == ("false", "default", None)


def test_what_is_not_configured_is_not_shown(site: Site, folder: Path) -> None:
    assert "No array named 'pol'" in site.dsttool("config", "show", "array", "pol", code=3).stderr
    assert "No export named 'a'" in site.dsttool("config", "show", "export", "a", code=3).stderr
    assert "Which array?" in site.dsttool("config", "show", "array", code=2).stderr


BAD = """\
layout = "miror"
raw = true
nodes = ["mem:1M", "dst://a/b?links=2", "nbd://a?links=2"]
listen = ["nbd://0.0.0.0"]
"""


def test_all_files_are_checked_and_every_mistake_is_told_at_its_place(site: Site, folder: Path) -> None:
    (folder / "arrays/bad.toml").write_text(BAD)
    (folder / "arrays/worse.toml").write_text("layot = 1\nnodes = 7\n")
    (folder / "exports/a.toml").write_text('device = "mem:1M"\n')
    (folder / "dsttool.toml").write_text("[policy]\nresend = 1\n")
    done = site.dsttool("config", "check", "--json", code=2)
    answer = json.loads(done.stdout)
    assert answer["schema"] == "dsttool.problems/1"
    assert len(answer["files"]) == 4
    assert all(each["what"] and each["advice"] for each in answer["problems"])
    places = [(Path(p["file"]).name, p["line"], p["column"]) for p in answer["problems"]]
    assert places == [
        ("dsttool.toml", 2, 1),
        ("bad.toml", 1, 10),
        ("bad.toml", 3, 20),
        ("bad.toml", 3, 41),
        ("bad.toml", 4, 11),
        ("worse.toml", 1, 1),
        ("worse.toml", 1, 1),
        ("worse.toml", 2, 9),
    ]


def test_mistakes_are_printed_one_a_line_as_compilers_do(site: Site, folder: Path) -> None:
    file = folder / "exports/a.toml"
    file.write_text('device = "mem:1M"\nreadonly = true\nsize = "1X"\n')
    done = site.dsttool("config", "check", file, code=2)
    assert done.stdout.splitlines() == [
        f"{file}:2:1: unknown key 'readonly'; did you mean 'read_only'? Edit {file}.",
        f"{file}:3:8: '1X' is not a size. Write a number of bytes, or one with K, M, G, T or P, for example"
        " 64K or 1.5GiB.",
    ]
    assert done.stderr == "1 file, 2 problems.\n"


def test_what_is_right_exits_with_0(site: Site, folder: Path) -> None:
    assert "Nothing is configured" in site.dsttool("config", "check").stdout
    (folder / "arrays/pool.toml").write_text('layout = "mirror"\nraw = true\nnodes = ["mem:1M", "mem:2M"]\n')
    assert site.dsttool("config", "check").stdout == "1 file, all is well.\n"
    assert site.json("config", "check")["problems"] == []


def test_mistakes_between_files_are_found(site: Site, folder: Path) -> None:
    for name, below in (("one", "two"), ("two", "one")):
        (folder / f"arrays/{name}.toml").write_text(f'layout = "linear"\nraw = true\nnodes = ["{below}"]\n')
    (folder / "exports/one.toml").write_text('device = "mem:1M"\n')
    said = site.dsttool("config", "check", code=2).stdout
    assert "an array is called one, too" in said
    assert "These arrays are made of each other: one -> two -> one." in said


def test_a_list_of_keys_that_others_may_write_is_a_problem(site: Site, folder: Path) -> None:
    listed = folder / "keys/authorized.toml"
    listed.parent.mkdir()
    listed.write_text("[[keys]]\nkey = 'dst1-x'\n")
    listed.chmod(0o666)
    assert "Other users may change" in site.dsttool("config", "check", code=2).stdout
    listed.chmod(0o600)
    assert ":2:7: The public key 'dst1-x' is mistyped" in site.dsttool("config", "check", code=2).stdout


def test_a_file_that_is_not_there_is_not_found(site: Site) -> None:
    assert "There is no file x.toml." in site.dsttool("config", "check", "x.toml", code=3).stderr


def test_a_file_elsewhere_is_known_by_what_is_in_it(site: Site) -> None:
    site.file("x.toml", 18, b'device = "mem:0M"\n')
    assert (
        "x.toml:1:10: 'mem:0M' is a device of no bytes."
        in site.dsttool("config", "check", "x.toml", code=2).stdout
    )
    site.file("y.toml", 6, b"a = 1\n")
    assert "may be the configuration of an array" in site.dsttool("config", "check", "y.toml", code=2).stderr


def test_the_folders_and_files_are_shown(site: Site, folder: Path) -> None:
    (folder / "arrays/pool.toml").touch()
    found = {each["path"]: each for each in site.json("config", "path")["paths"]}
    assert found[str(folder)] == {"kind": "config", "path": str(folder), "exists": True}
    assert found[str(folder / "arrays/pool.toml")]["kind"] == "array"
    assert not found[str(folder / "keys/authorized.toml")]["exists"]


def test_the_machines_log_format_holds_unless_the_command_line_says_another(site: Site, folder: Path) -> None:
    (folder / "dsttool.toml").write_text('[daemon]\nlog_format = "json"\n')
    for name, words in (("a", ()), ("b", ("--log-format", "text"))):
        site.dsttool("export", "mem:1M", "--name", name, "-d", *words)
        site.dsttool("daemon", "stop", name)
    assert json.loads(site.path("runtime/a.log").read_text().splitlines()[0])
    assert not site.path("runtime/b.log").read_text().startswith("{")
